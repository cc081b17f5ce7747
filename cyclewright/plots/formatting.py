"""Numbers for people: three significant digits, an SI prefix, a unit."""

from __future__ import annotations

from math import floor, isfinite, log10

_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}


def si(value: float, unit: str, digits: int = 3) -> str:
    """``value`` (in ``unit``, an SI base unit) with a prefix that leaves one to three digits before the point.

    Bytes and other whole things take no prefix below one: 0.5 bytes are ``0.5 B``, not ``500 mB``.
    """
    if value == 0:
        return f"0 {unit}".rstrip()
    if not isfinite(value):
        return "unbounded" if value > 0 else "–"
    size = abs(float(value))
    power = 3 * floor(log10(size) / 3 + 1e-12)
    lowest = 0 if unit in ("B", "", "B/s", "OP/s", "FLOP/s", "tokens/s", "samples/s", "inferences/s") else -15
    power = min(18, max(lowest, power))
    if power < 18 and float(significant(size / 10.0**power, digits).replace(",", "")) >= 1000:
        power += 3
    return f"{significant(value / 10.0**power, digits)} {_PREFIXES[power]}{unit}".rstrip()


def significant(value: float, digits: int = 3) -> str:
    """``value`` with that many significant digits, no exponent between 0.0001 and 10 million, thousands set off by commas."""
    if value == 0:
        return "0"
    if not isfinite(value):
        return "∞" if value > 0 else "–"
    if not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{digits - 1}e}"
    value = float(f"{value:.{digits - 1}e}")
    power = floor(log10(abs(value)) + 1e-12)
    return f"{round(value, digits - 1 - power):,.{max(0, digits - 1 - power)}f}"


def percent(share: float) -> str:
    """A share of one as percent, with a digit more where it is small or all but the whole; only the whole is 100 %."""
    value = share * 100
    if 99.5 <= value < 100 - 1e-9:  # sums of shares may miss the whole by a rounding
        return f"{value:.1f} %" if value < 99.9 else "> 99.9 %"
    if value == 0:
        return "0 %"
    if abs(value) < 0.1:
        return "< 0.1 %" if value > 0 else "> −0.1 %"
    return f"{value:.1f} %" if abs(value) < 10 else f"{value:.0f} %"


def count(value: int) -> str:
    """A whole number with its thousands set off."""
    return f"{value:,}"


def seconds(value: float) -> str:
    """A duration."""
    return si(value, "s")


def amount(value: float) -> str:
    """An amount of bytes (decimal prefixes, as bandwidths have)."""
    return si(value, "B")


def energy(value: float) -> str:
    """An energy."""
    return si(value, "J")


def rate(value: float, form: str = "") -> str:
    """Operations per second: FLOP/s where ``form`` is a floating-point format, OP/s otherwise."""
    return si(value, "FLOP/s" if form.startswith(("fp", "bf", "tf")) else "OP/s")


def tick(value: float, unit: str) -> str:
    """A round value on an axis, without trailing zeros."""
    number, _, name = si(value, unit, 4).partition(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {name}".rstrip()
