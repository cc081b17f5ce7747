"""The closed table of units: text such as ``"3.35 TB/s"`` to plain SI numbers and back.

Our own because general packages misread what data sheets write: ``Mb`` (bits) against ``MB`` (bytes), ``B/cycle``, ``pJ/bit``.
Case matters everywhere; the micro sign and the ohm sign may be Unicode or ASCII.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches

from hwspecs.vocabulary.errors import UnitError

_NUMBER = re.compile(r"\s*([-+]?(?:\d+(?:_\d+)*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*\Z", re.DOTALL)
_TRANSLATE = str.maketrans(
    {"µ": "u", "μ": "u", "\u03a9": "ohm", "\u2126": "ohm", "²": "2", "^": None, "\u00a0": " ", "\u2009": " ", "−": "-"}
)
_LARGE = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_SMALL = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "a": 1e-18}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}


@dataclass(frozen=True, slots=True)
class Unit:
    """One row of the table: ``value in base = number * factor``; ``clock`` is the power of the clock (Hz) still missing in it."""

    name: str
    dimension: str
    factor: float
    base: str
    clock: int = 0

    def to_base(self, number: float) -> float:
        """``number`` of this unit in base units, rounded once: 10 us is exactly 1e-05 s, 66.9 TB exactly 6.69e13 bytes."""
        exact = Decimal(repr(number))
        return float(exact / round(1 / self.factor) if self.factor < 1 else exact * Decimal(self.factor))

    def from_base(self, value: float) -> float:
        """Inverse of ``to_base``."""
        return _divide(value, self.factor)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A parsed text: ``value`` in ``base`` units; ``clock`` 1 for per-cycle rates, -1 for times counted in cycles, else 0."""

    value: float
    base: str
    dimension: str
    clock: int = 0

    def at(self, clock_hz: float) -> float:
        """The SI value at a clock."""
        return self.value / clock_hz if self.clock < 0 else self.value * clock_hz if self.clock else self.value


def _data_units() -> dict[str, float]:
    decimal = {f"{p}B": f for p, f in _LARGE.items()}
    bits = {f"{p}{word}": f / 8 for p, f in _LARGE.items() for word in ("bit", "b") if p or word == "bit"}
    return decimal | bits | {f"{p}B": f for p, f in _BINARY.items()} | {f"{p}{w}": f / 8 for p, f in _BINARY.items() for w in ("bit", "b")}


def _rows() -> Iterator[Unit]:
    simple = {
        "time": ("s", _SMALL),
        "frequency": ("Hz", _LARGE),
        "energy": ("J", _SMALL | {"k": 1e3, "M": 1e6}),
        "power": ("W", _SMALL | {"k": 1e3, "M": 1e6}),
        "voltage": ("V", _SMALL | {"k": 1e3}),
        "current": ("A", _SMALL),
        "conductance": ("S", _SMALL),
        "resistance": ("ohm", _LARGE | {"m": 1e-3}),
        "capacitance": ("F", _SMALL),
    }
    for dimension, (base, prefixes) in simple.items():
        for prefix, factor in prefixes.items():
            yield Unit(prefix + base, dimension, factor, base)
    for name in ("cycle", "cycles"):
        yield Unit(name, "time", 1.0, "cycle", -1)
    for name, factor in _data_units().items():
        yield Unit(name, "bytes", factor, "byte")
        yield Unit(name + "/s", "bandwidth", factor, "byte/s")
        yield Unit(name + "/cycle", "bandwidth", factor, "byte/cycle", 1)
    for word, operations in (("FLOP", 1.0), ("OP", 1.0), ("MAC", 2.0)):
        for prefix, factor in _LARGE.items():
            yield Unit(f"{prefix}{word}/s", "rate", factor * operations, "op/s")
            yield Unit(f"{prefix}{word}/cycle", "rate", factor * operations, "op/cycle", 1)
            if prefix:
                yield Unit(f"{prefix}{word}S", "rate", factor * operations, "op/s")
        for prefix, factor in _SMALL.items():
            yield Unit(f"{prefix}J/{word}", "energy_per_op", factor / operations, "J/op")
            yield Unit(f"{prefix}J/{word}", "energy_per_mac", factor * 2 / operations, "J/MAC")
        yield Unit(f"B/{word}", "bytes_per_op", 1.0 / operations, "byte/op")
    for prefix, factor in _SMALL.items():
        for dimension, base in (("energy_per_op", "J/op"), ("energy_per_mac", "J/MAC")):
            yield Unit(f"{prefix}J", dimension, factor, base)
        yield Unit(f"{prefix}J/B", "energy_per_byte", factor, "J/byte")
        yield Unit(f"{prefix}J/bit", "energy_per_byte", factor * 8, "J/byte")
    for name, factor in (("mm2", 1.0), ("um2", 1e-6), ("cm2", 1e2), ("nm2", 1e-12)):
        yield Unit(name, "area", factor, "mm2")
    yield Unit("K", "temperature", 1.0, "K")
    for dimension in ("ratio", "count", "number"):
        yield Unit("", dimension, 1.0, "")
    yield Unit("%", "ratio", 0.01, "")


_TABLE: dict[str, dict[str, Unit]] = {}
for _row in _rows():
    _TABLE.setdefault(_row.dimension, {})[_row.name] = _row
_EXAMPLES = {
    "time": "2.7 us", "frequency": "1.83 GHz", "bytes": "50 MiB", "bandwidth": "3.35 TB/s", "rate": "989.4 TFLOP/s", "energy": "0.2 pJ",
    "energy_per_byte": "4 pJ/bit", "energy_per_op": "0.76 pJ/FLOP", "energy_per_mac": "0.4 pJ/MAC", "power": "700 W", "area": "814 mm2",
    "voltage": "0.2 V", "current": "10 uA", "conductance": "150 uS", "resistance": "10 kohm", "capacitance": "1 fF", "temperature": "300 K",
    "ratio": "72 %", "count": "132", "number": "1.5", "bytes_per_op": "0.02 B/FLOP",
}  # fmt: skip
_INFER = (
    "time", "frequency", "bytes", "bandwidth", "rate", "energy", "energy_per_byte", "energy_per_op", "power", "area", "voltage", "current",
    "conductance", "resistance", "capacitance", "temperature", "bytes_per_op", "ratio",
)  # fmt: skip


def dimensions() -> tuple[str, ...]:
    """Names of all dimensions."""
    return tuple(_TABLE)


def example(dimension: str) -> str:
    """A text that is right for ``dimension``, for hints."""
    return _EXAMPLES[dimension]


def unit_names(dimension: str) -> tuple[str, ...]:
    """Every unit that ``dimension`` accepts."""
    return tuple(_TABLE[dimension])


def split_number(text: str) -> tuple[float, str] | None:
    """``"3.35 TB/s"`` to ``(3.35, "TB/s")``; None if the text does not begin with a number."""
    match = _NUMBER.match(text.translate(_TRANSLATE))
    return (float(match[1].replace("_", "")), match[2].replace(" ", "")) if match else None


def read_quantity(text: str | int | float, dimension: str) -> Quantity:
    """Parse ``text``, leaving per-cycle units per cycle.

    Raises:
        UnitError: no number, no unit where one is due, an unknown unit, the wrong dimension, not finite, or a fraction for a count.
    """
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        raise UnitError(f"{text!r} is not a quantity", hint=_write(dimension))
    found = split_number(text) if isinstance(text, str) else (float(text), "")
    if found is None:
        raise UnitError(f"{text!r} does not begin with a number", hint=_write(dimension))
    number, name = found
    unit = _TABLE[dimension].get(name)
    if unit is None:
        raise _unit_error(text, name, dimension)
    value = unit.to_base(number)
    if not math.isfinite(value):
        raise UnitError(f"{text!r} is not a finite number", hint=_write(dimension))
    if dimension == "count" and value != int(value):
        raise UnitError(f"{text!r} is not a whole number", hint=_write(dimension))
    return Quantity(value, unit.base, dimension, unit.clock)


def read_any(text: str | int | float) -> Quantity | None:
    """Parse a quantity of whatever dimension its unit names (a pure number where it has none); None if ``text`` is not a quantity."""
    if not isinstance(text, str):
        return Quantity(float(text), "", "number")
    found = split_number(text)
    if found is None:
        return None
    if not found[1]:
        return read_quantity(text, "number")
    dimension = next((name for name in _INFER if found[1] in _TABLE[name]), None)
    return read_quantity(text, dimension) if dimension else None


def parse_quantity(text: str | int | float, dimension: str, *, clock_hz: float | None = None) -> float:
    """The SI value of ``text``: seconds, hertz, bytes, bytes/s, operations/s (one MAC is two), joules, watts, mm2, volts, siemens, ohm.

    Raises:
        UnitError: see ``read_quantity``; also for a per-cycle unit when no ``clock_hz`` is given.
    """
    quantity = read_quantity(text, dimension)
    if quantity.clock and clock_hz is None:
        raise UnitError(f"{text!r} counts clock cycles, and no clock is known here", hint=_write(dimension))
    return quantity.at(clock_hz or 0.0) if quantity.clock else quantity.value


def _noun(dimension: str) -> str:
    word = {"bytes": "size"}.get(dimension, dimension.replace("_", " "))
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _write(dimension: str) -> str:
    return f'write {_noun(dimension)} like "{_EXAMPLES[dimension]}"'


def _unit_error(text: object, name: str, dimension: str) -> UnitError:
    if not name:
        return UnitError(f"{text!r} has no unit", hint=_write(dimension))
    wanted = _TABLE[dimension]
    if set(wanted) <= {"", "%"}:
        return UnitError(f"{text!r} has a unit where a plain number is due", hint=_write(dimension))
    near = [unit for unit in wanted if unit.lower() == name.lower()] or get_close_matches(name, wanted, n=3, cutoff=0.6)
    owner = next((other for other in _INFER if name in _TABLE[other]), None)
    if owner:
        return UnitError(f"{text!r} is {_noun(owner)}, not {_noun(dimension)}", hint=_write(dimension))
    return UnitError(f"{text!r} has the unknown unit {name!r}", hint=f"did you mean {' or '.join(near)}?" if near else _write(dimension))


_ONE = {"": 1.0}
_DECIMAL = {prefix: factor for prefix, factor in _LARGE.items() if prefix != "K"}
_SHOWN: dict[str, tuple[str, dict[str, float]]] = {
    **{base: (base, _SMALL) for base in ("s", "J", "V", "A", "S", "F", "J/MAC")},
    **{base: (base, _DECIMAL) for base in ("Hz", "ohm")},
    **{base: (base, _ONE) for base in ("K", "cycle")},
    "W": ("W", _SMALL | {"k": 1e3, "M": 1e6}),
    "byte": ("B", _DECIMAL),
    "byte/s": ("B/s", _DECIMAL),
    "byte/cycle": ("B/cycle", _ONE),
    "byte/op": ("B/OP", _ONE),
    "op/s": ("OP/s", _DECIMAL),
    "op/cycle": ("OP/cycle", _ONE),
    "J/byte": ("J/B", _SMALL),
    "J/op": ("J/OP", _SMALL),
}
"""Spelling and prefixes in which ``format_quantity`` writes each base unit."""


def _scales(base: str) -> list[tuple[float, str]]:
    """(factor, unit) of ``base`` ascending, one spelling each; empty if ``base`` is no base unit."""
    word, prefixes = _SHOWN.get(base, ("", {}))
    if base == "mm2":
        return [(1e-6, "um2"), (1.0, "mm2")]
    return sorted((factor, prefix + word) for prefix, factor in prefixes.items())


def format_quantity(value: float, unit: str, digits: int = 4) -> str:
    """Text for an SI value.

    With a base unit (``byte/s``) the prefix that gives 1 to 999 is chosen, with any other unit (``TB/s``) that one is used. Whole
    multiples of 1024 bytes that are not round in decimal are written in binary units; ``digits`` 17 makes the text parse back exactly.

    Raises:
        UnitError: ``unit`` is not in the table.
    """
    if not unit:
        return f"{value:.{digits}g}" if value != int(value) or abs(value) >= 1e15 else str(int(value))
    scales = _scales(unit)
    if not scales:
        row = next((units[unit] for units in _TABLE.values() if unit in units), None)
        if row is None:
            raise UnitError(f"unknown unit {unit!r}", hint="see the table in hwspecs.vocabulary.units")
        return f"{row.from_base(value):.{digits}g} {unit}"
    size = abs(value)
    if unit == "byte" and size >= 1024 and size % 1024 == 0 and size % 1000:
        scales = [(factor, name + "B") for name, factor in _BINARY.items()]
    rounding = 1 - 0.5 * 10.0**-digits
    fitting = [pair for pair in scales if size >= pair[0] * rounding]
    factor, name = fitting[-1] if fitting else scales[0] if size else next(pair for pair in scales if pair[0] == 1.0)
    return f"{_divide(value, factor):.{digits}g} {name}"


def _divide(value: float, factor: float) -> float:
    exact = Decimal(repr(value))
    return float(exact * round(1 / factor) if factor < 1 else exact / Decimal(factor))
