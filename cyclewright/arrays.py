"""What a stored result says of a crossbar's arrays (``Result.in_memory``), read into records, and where each layer's weights lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil

from simulator.reading import read_record

WHERE = "in_memory"
_MOST_STRETCHES = 50_000
"""Stretches of a layer's arrays that are told apart by use; those of a layer with more have its mean use."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A matrix of the graph on its arrays; counts of arrays are of one copy of one instance.

    Attributes:
        rows, columns: of the matrix, of one group. ``instances``: different weights (0 where it reads those of an earlier row).
        rounds: products with each of them per input, as a multiple of ``products``.
        row_parts, column_parts: arrays that one group is split over. ``packed``: groups in one array.
        use: cells that hold weights over the cells of its arrays, <= 1. ``copies``: of each instance.
        resident: written before the run. ``written_bytes``: during it. ``held_as``: the first layer with the same stored weights.
        cycles_per_product: interval of an array; ``cycles``: of all products of one round.
    """

    name: str
    rows: int
    columns: int
    groups: int
    instances: int
    rounds: int
    arrays: int
    row_parts: int
    column_parts: int
    packed: int
    use: float
    copies: int
    resident: bool
    cycles_per_product: int
    products: int
    cycles: int
    written_bytes: int = 0
    held_as: str = ""

    @property
    def placed(self) -> int:
        """Arrays that it takes, all instances and copies; 0 where it is written during the run, or reads another row's weights."""
        return self.arrays * self.instances * self.copies if self.resident else 0


@dataclass(frozen=True, slots=True)
class Peak:
    """All arrays busy: 1e12 operations/s (two per multiply-accumulate), per watt and per mm2 (None where no part states it)."""

    tops: float
    tops_per_w: float | None = None
    tops_per_mm2: float | None = None
    power_w: float = 0.0
    area_mm2: float = 0.0
    interval_s: float = 0.0
    power_by_component: Mapping[str, float] = field(default_factory=dict)
    area_by_component: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Share:
    """Share of the converters in energy, in the time of the arrays and in area, 0 to 1."""

    energy: float
    time: float
    area: float


@dataclass(frozen=True, slots=True)
class Arrays:
    """The arrays of all chips in use.

    Attributes:
        rows, columns: of an array, in cells. ``tiles``: of one chip. ``arrays``: of all ``chips``; ``used``: that hold weights.
        use: cells that hold weights over the cells of used arrays. ``cells``: that hold weights.
        energy_j: joules of the run by the arrays' components; ``area_mm2``: of the chip by component.
        runs_until_worn: of arrays that are written during each; None where none is, or the spec states no endurance.
        interval_s: seconds per input where inputs follow each other; ``throughput_per_s``: inputs (tokens) per second at that pace.
    """

    unit: str
    rows: int
    columns: int
    tiles: int
    arrays_per_tile: int
    arrays: int
    used: int
    use: float
    chips: int
    cells: int
    written_bytes: int
    peak: Peak
    energy_j: Mapping[str, float]
    area_mm2: Mapping[str, float]
    adc_share: Share
    interval_s: float
    interval_bound_by: str
    throughput_per_s: float
    layers: tuple[Layer, ...]
    runs_until_worn: float | None = None

    @property
    def placed(self) -> tuple[Layer, ...]:
        """The layers that lie on arrays, in the order of the program."""
        return tuple(layer for layer in self.layers if layer.placed)

    @property
    def total_area_mm2(self) -> float:
        """mm2 of all components; 0 where no part states one."""
        return self.peak.area_mm2


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring arrays with equal content: how many, the number of their layer in ``Arrays.placed``, and their use."""

    arrays: int
    layer: int
    use: float


def read_arrays(in_memory: Mapping[str, object] | None) -> Arrays | None:
    """The record of ``Result.in_memory``; None where there is none.

    Raises:
        InvalidInput: a key is missing or has the wrong type; the message names it.
    """
    return None if in_memory is None else read_record(Arrays, in_memory, WHERE)


def stretches(found: Arrays) -> Iterator[Stretch]:
    """The used arrays in the order in which weights are placed: layers as the program has them, each with its copies side by side.

    Within a copy, the parts of the matrix follow each other row part by row part. Those that begin before the last row or column part are
    full to that edge; packed layers are given at their mean.
    """
    for number, layer in enumerate(found.placed):
        copies = layer.instances * layer.copies
        parts = _parts(layer, found)
        if not parts or copies * len(parts) > _MOST_STRETCHES:
            yield Stretch(layer.placed, number, layer.use)
            continue
        for _ in range(copies):
            for arrays, use in parts:
                yield Stretch(arrays, number, use)


def _parts(layer: Layer, found: Arrays) -> list[tuple[int, float]]:
    """(arrays, use of each) of one copy; empty where its cells do not follow from the matrix alone."""
    weights = layer.rows * layer.columns * layer.groups
    size = found.rows * found.columns
    each = round(layer.use * layer.arrays * size / weights) if weights else 0
    held = found.columns // each if each else 0
    regular = layer.row_parts * layer.column_parts * layer.groups == layer.arrays and layer.column_parts == ceil(
        layer.columns / max(1, held)
    )
    if layer.packed > 1 or not held or not regular:
        return []
    last_row = layer.rows - (layer.row_parts - 1) * found.rows
    last_column = layer.columns - (layer.column_parts - 1) * held
    parts: list[tuple[int, float]] = []
    for _ in range(layer.groups):
        for row_part in range(layer.row_parts):
            deep = found.rows if row_part < layer.row_parts - 1 else last_row
            for arrays, wide in ((layer.column_parts - 1, held), (1, last_column)):
                use = deep * wide * each / size
                if arrays and parts and parts[-1][1] == use:
                    parts[-1] = parts[-1][0] + arrays, use
                elif arrays:
                    parts.append((arrays, use))
    return parts
