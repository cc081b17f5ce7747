"""What a spec says of the arrays of a crossbar: geometry and times (``hwspecs.crossbar``), parts, writing, what the chip does with weights.

What one *action* of a part is (``Part.per``), of one matrix-vector product on one array:

========== ==========================================================================
row        a driven row in a phase
column     a column in use in a phase (and set of rows)
cell       a driven cell that holds weights in a phase
conversion a column's sum converted
phase      a phase (and set of rows)
product    the product
input      a byte of the input vector; output: a byte of the results
========== ==========================================================================

A part with ``energy`` takes it per action. A part with ``power`` draws it while its array works: per row, column or cell in use where it is
there for those, else whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from hwspecs.crossbar import Reading, Values, reading_of
from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.records import dataclass

ADC, DAC, CELLS = "adc", "dac", "cells"
DRAWN, WITH_ARRAYS = "drawn", "arrays"
"""Key of a special part, and its word for parts that draw their power while arrays work."""
DEFAULT_PER: Mapping[str, str] = {
    "sample_hold": "column",
    "shift_add": "conversion",
    "multiplexer": "conversion",
    "sense_amplifier": "conversion",
    "comparator": "conversion",
    "adder_tree": "column",
    "accumulator": "column",
    "driver": "row",
    "input_register": "input",
    "input_buffer": "input",
    "output_register": "output",
    "output_buffer": "output",
    "array": "cell",
    "cell": "cell",
}
"""What an action of a part is where its spec does not say; of any other name it is a product."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an array.

    Attributes:
        count: per array; ``per``: what one action is.
        energy_j: of one action; ``power_w``: of one part while its array works; ``area_mm2``: of one part.
    """

    name: str
    count: float
    per: str
    energy_j: float = 0.0
    power_w: float = 0.0
    area_mm2: float = 0.0


@dataclass(frozen=True, slots=True)
class Machine:
    """The arrays of a unit of kind ``crossbar``.

    Attributes:
        unit: the unit's name; ``reading``: geometry and times of one array.
        clock_hz: the device's clock, whose whole cycles a product takes.
        arrays: of one chip; ``tiles``, ``arrays_per_tile``: how they are grouped; ``chips``: that weights may be spread over.
        cell: cell type; ``cell_read_w``: mean watts of a cell driven at full scale, V^2 G.
        mean_input: mean input as a share of the full scale.
        adc, dac: the converters; None where there is none. ``energy_j``: of a conversion; of a row and phase, if stated.
        functions: activations that the converter computes.
        write_s: seconds to program a row of an array; ``write_j``: joules to program a cell; ``endurance``: writes before wear-out, or 0.
        beside: (name, watts per array) of special parts that serve the arrays, and draw power while these work.
        saved_bits: bits of a column's sum that an encoding saves the converter.
        reprogram, replicate, write_dynamic, diagonal, skip_empty: what the spec says of those keys.
    """

    unit: str
    reading: Reading
    clock_hz: float
    arrays: int
    tiles: int
    arrays_per_tile: int
    cell: str
    cell_read_w: float
    cell_area_mm2: float
    mean_input: float
    adc: Part | None
    dac: Part | None
    parts: tuple[Part, ...]
    beside: tuple[tuple[str, float], ...]
    functions: frozenset[str]
    write_s: float
    write_j: float
    endurance: float
    saved_bits: int
    chips: int
    chip_link: str
    reprogram: bool
    replicate: bool
    write_dynamic: bool
    diagonal: bool
    skip_empty: bool

    @property
    def rows(self) -> int:
        """Rows of an array."""
        return self.reading.rows

    @property
    def columns(self) -> int:
        """Columns of an array."""
        return self.reading.columns

    @property
    def cells(self) -> int:
        """Cells of an array."""
        return self.reading.rows * self.reading.columns

    @property
    def weights_per_row(self) -> int:
        """Whole weights that lie along one row of an array; 0 where a weight takes several arrays."""
        return self.reading.columns // self.reading.cells_per_weight


def machine_of(unit: ComputeUnit, hardware: Hardware) -> Machine:
    """The machine that the spec of ``unit`` describes; energies and areas that it leaves to a component model come from that model."""
    values: Values = unit.parameters
    if any(key.endswith(".model") for key in values):
        from mappings.crossbar.components import filled  # few specs name a model, and models may be other people's

        values = filled(unit, hardware)
    beside = tuple(
        [
            (name, float(part.get("count", 1)) * float(part["power"]) / unit.count)
            for name, part in hardware.specials.items()
            if part.get(DRAWN) == WITH_ARRAYS and part.get("power")
        ]
    )
    return _machine(
        unit.name, unit.count, (unit.clock_hz, hardware.clock_hz), tuple(values.items()), beside, next(iter(hardware.links), "")
    )


@lru_cache(maxsize=64)
def _machine(
    name: str, arrays: int, clocks: tuple[float, float], items: tuple[tuple[str, float | int | str], ...],
    beside: tuple[tuple[str, float], ...], link: str,
) -> Machine:  # fmt: skip
    values = dict(items)
    unit_clock, clock = clocks
    reading = reading_of(values, unit_clock)

    def number(key: str, default: float = 0.0) -> float:
        return float(values.get(key, default))

    off, on = number("conductance.off"), number("conductance.on")
    conductance = off + number("mean_level", 0.5) * (on - off)
    tiles = int(number("tiles", 1))
    return Machine(
        unit=name,
        reading=reading,
        clock_hz=clock,
        arrays=arrays,
        tiles=tiles,
        arrays_per_tile=int(number("arrays_per_tile", max(1, arrays // tiles))),
        cell=str(values.get("cell", "")),
        cell_read_w=number("read_voltage") ** 2 * conductance,
        cell_area_mm2=number("cell_area"),
        mean_input=number("mean_input", 0.5),
        adc=_converter(values, ADC, reading),
        dac=_converter(values, DAC, reading),
        parts=tuple([_part(values, name) for name in _part_names(values)]),
        beside=beside,
        functions=frozenset(word.strip() for word in str(values.get("adc.functions", "")).split(",") if word.strip()),
        write_s=number("write.latency"),
        write_j=number("write.energy"),
        endurance=number("write.endurance"),
        saved_bits=int(number("adc.saved_bits")),
        chips=int(number("chips", 1)),
        chip_link=str(values.get("chip_link", link)),
        reprogram=bool(values.get("reprogram", False)),
        replicate=values.get("replicate", "balance") == "balance",
        write_dynamic=values.get("dynamic", "digital") == "write",
        diagonal=values.get("depthwise", "diagonal") == "diagonal",
        skip_empty=bool(values.get("skip_empty", False)),
    )


def _part_names(values: Values) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key.split(".")[1] for key in values if key.startswith("parts.")))


def _part(values: Values, name: str) -> Part:
    start = f"parts.{name}."
    return Part(
        name,
        float(values.get(start + "count", 1)),
        str(values.get(start + "per", DEFAULT_PER.get(name, "product"))),
        float(values.get(start + "energy", 0.0)),
        float(values.get(start + "power", 0.0)),
        float(values.get(start + "area", 0.0)),
    )


def _converter(values: Values, name: str, reading: Reading) -> Part | None:
    """A converter: energy of one conversion as stated, or its power for the time it takes (of a driver that is known phase by phase)."""
    start = f"{name}."
    if not any(key.startswith(start) for key in values):
        return None
    power = float(values.get(start + "power", 0.0))
    if name == ADC:
        count, drawn = float(reading.converters), power * reading.conversion_s
    else:
        count, drawn = float(-(-reading.rows // int(values.get(start + "sharing", 1)))), 0.0
    energy = float(values.get(start + "energy", drawn))
    return Part(name, count, "conversion" if name == ADC else "row", energy, power, float(values.get(start + "area", 0.0)))
