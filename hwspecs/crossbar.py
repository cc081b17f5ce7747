"""Times of one array of a crossbar, as its spec states them, and the peak rates that follow.

A matrix-vector product runs in *phases*: in each the row drivers apply a part of the input, and the columns' sums are converted.

* ``bit_serial`` and ``multi_bit`` drivers apply ``dac.resolution`` bits per phase in a pulse of ``read_pulse`` (Shafiee et al., ISAAC, ISCA
  2016, section 4: 16 inputs bits in 16 phases). ``pulse_width`` drivers apply all n bits in one phase of 2^n steps of 1 / ``dac.rate``.
* SAR and flash converters take 1 / ``adc.rate`` (or ``adc.latency``) for each column that they serve. ``ramp`` and ``nonlinear_ramp``
  converters compare every column with one ramp of 2^n steps of 1 / ``adc.rate``, as often as ``adc.sharing`` columns share a comparator.
  Without a converter the sums are digital (an adder tree) and nothing is converted.
* Where ``rows_per_read`` is less than the rows in use, the rows are driven in sets, each with all phases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from hwspecs.hardware import Hardware
from hwspecs.vocabulary.formats import format_names, number_format

KIND = "crossbar"
"""The kind of compute units that are arrays."""

Values = Mapping[str, float | int | str]
RAMPS = ("ramp", "nonlinear_ramp")
PULSE_WIDTH = "pulse_width"
DIFFERENTIAL = "differential"


@dataclass(frozen=True, slots=True)
class Reading:
    """Geometry and times of one array.

    Attributes:
        rows, columns: of one array; ``rows_per_read``: of them driven at once.
        bits_per_cell, weight_bits, input_bits: bits of one cell, of a weight, of the widest input.
        cells_per_weight: neighbouring columns that hold one weight.
        driver: type of the row driver; ``driver_bits``: bits that it applies in one phase.
        pulse_s: length of a phase of a bit-serial or multi-bit driver; ``step_s``: of one step of a pulse-width driver.
        converter: type of the column converter, empty if there is none; ``resolution``: its bits; ``sharing``: columns that it serves.
        conversion_s: time of one conversion (of a ramp, all its steps).
        pipelined: the next phase is read while the last one is converted.
    """

    rows: int
    columns: int
    rows_per_read: int
    bits_per_cell: int
    weight_bits: int
    input_bits: int
    cells_per_weight: int
    driver: str
    driver_bits: int
    pulse_s: float
    step_s: float
    converter: str
    resolution: int
    sharing: int
    conversion_s: float
    pipelined: bool

    @property
    def converters(self) -> int:
        """Converters of one array."""
        return ceil(self.columns / self.sharing) if self.converter else 0

    def phases(self, input_bits: int) -> int:
        """Phases of one set of rows for inputs of ``input_bits``."""
        if self.driver == PULSE_WIDTH:
            return 1
        return ceil(min(input_bits, self.input_bits) / self.driver_bits)

    def read_s(self, input_bits: int) -> float:
        """Seconds that the rows are driven in one phase."""
        if self.driver == PULSE_WIDTH:
            return float(2 ** min(input_bits, self.input_bits)) * self.step_s
        return self.pulse_s

    def convert_s(self, columns: int) -> float:
        """Seconds that the sums of ``columns`` columns take to convert, once."""
        if not self.converter or columns < 1:
            return 0.0
        return ceil(min(columns, self.columns) / self.converters) * self.conversion_s

    def sets(self, rows: int) -> int:
        """Sets in which ``rows`` rows of an array are driven."""
        return ceil(min(rows, self.rows) / self.rows_per_read)

    def product_s(self, input_bits: int, rows: int, columns: int) -> tuple[float, float]:
        """(seconds from one product to the next, seconds of one) on an array of which ``rows`` and ``columns`` are in use."""
        read, convert = self.read_s(input_bits), self.convert_s(columns)
        turns = self.sets(rows) * self.phases(input_bits)
        if self.pipelined:
            interval = turns * max(read, convert)
            return interval, interval + min(read, convert)
        return turns * (read + convert), turns * (read + convert)


def reading_of(values: Values, clock_hz: float) -> Reading:
    """What a unit's leaves (below the unit) say of its arrays; what they leave out takes a cycle of the clock, or is all there is."""
    cycle = 1.0 / clock_hz
    rows, columns = int(values["rows"]), int(values["columns"])
    cell = int(values["bits_per_cell"])
    weight = int(values.get("weight_bits", cell))
    pair = 2 if str(values.get("columns_scheme", "")) == DIFFERENTIAL else 1
    driver = str(values.get("dac.type", "bit_serial"))
    converted = any(key.startswith("adc.") for key in values)
    converter = str(values.get("adc.type", "sar")) if converted else ""
    resolution = int(values.get("adc.resolution", 8)) if converted else 0
    rate = float(values.get("adc.rate", clock_hz))
    if converter in RAMPS:
        conversion = float(values.get("adc.latency", 2**resolution / rate))
    else:
        conversion = float(values.get("adc.latency", 1.0 / rate))
    sampled = any(key.startswith("parts.sample_hold.") for key in values)
    return Reading(
        rows=rows,
        columns=columns,
        rows_per_read=min(rows, int(values.get("rows_per_read", rows))),
        bits_per_cell=cell,
        weight_bits=weight,
        input_bits=int(values.get("input_bits", 8)),
        cells_per_weight=ceil(weight / cell) * pair,
        driver=driver,
        driver_bits=max(1, int(values.get("dac.resolution", 1))),
        pulse_s=float(values.get("read_pulse", cycle)),
        step_s=1.0 / float(values.get("dac.rate", clock_hz)),
        converter=converter,
        resolution=resolution,
        sharing=min(columns, int(values.get("adc.sharing", 1))),
        conversion_s=conversion if converted else 0.0,
        pipelined=bool(values.get("pipelined", sampled)),
    )


def peak_rates(values: Values, count: int, clock_hz: float) -> dict[tuple[str, str], float]:
    """Operations per second (two per multiply-accumulate) of ``count`` arrays in use entirely, by the inputs' format.

    No product of any size is faster: in each phase at most ``rows_per_read`` rows are driven, and columns are read or converted at no
    higher rate than all of them together.
    """
    reading = reading_of(values, clock_hz)
    stated = str(values.get("formats", ""))
    names = [word.strip() for word in stated.split(",")] if stated else _formats(reading.input_bits)
    held = reading.columns // reading.cells_per_weight or reading.columns / reading.cells_per_weight
    rates: dict[tuple[str, str], float] = {}
    for name in names:
        bits = number_format(name).bits
        per_s = held / reading.read_s(bits)
        if reading.converter and reading.conversion_s > 0.0:
            converted = reading.converters / (reading.conversion_s * reading.cells_per_weight)
            per_s = min(per_s, converted) if reading.pipelined else 1.0 / (1.0 / per_s + 1.0 / converted)
        rates[number_format(name).name, "dense"] = 2.0 * count * reading.rows_per_read * per_s / reading.phases(bits)
    return rates


def _formats(input_bits: int) -> list[str]:
    """Integer formats that inputs of ``input_bits`` bits or less may have."""
    formats = [number_format(name) for name in format_names()]
    return [item.name for item in formats if item.family == "int" and item.bits <= input_bits]


def has_crossbar(hardware: Hardware) -> bool:
    """Whether a unit of the device is a crossbar."""
    return any(unit.kind == KIND for unit in hardware.units.values())
