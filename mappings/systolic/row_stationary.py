"""Row-stationary arrays: rows of filters stay in the cells (Chen et al., Eyeriss, ISCA 2016, section V; JSSC 2017, section III).

A cell convolves a row of S taps with a row of input into a row of F partial sums. R x e cells make a set: a filter row goes along a row
of cells, an input row along a diagonal, partial sums up a column, so that a set gives e output rows of one filter and one channel. The
array holds r x t sets: r on other channels, whose sums add up in the same columns, t on other filters; a set wider than the array is
cut into strips of columns that lie on top of each other, and a filter of more rows than the array is folded. A cell works on p filters
and q channels in turn, as many as its registers hold: p q S filter words, p partial sums, q windows of input.

A *pass* works on p t filters and q r channels; its filter rows are loaded first (p t q r R S words), then image after image and strip
after strip takes

    max(p q S F, input words / rate, partial sums / rate) + R r - 1 cycles:

one multiplication per cell and cycle, or what the networks from the buffer deliver, and the way of the sums up the column. Partial sums
wait in the buffer for the next channels. Strips and passes at the edge take as long as full ones. A matrix product is a convolution
of 1 x 1 windows with its rows as output columns; of a 3-D window the planes count as channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import TYPE_CHECKING

from hwspecs.hardware import ComputeUnit
from hwspecs.vocabulary.formats import number_format
from mappings.systolic.folds import Flow
from mappings.systolic.problem import Product
from mappings.systolic.splits import Split
from mappings.systolic.tiles import Array, Choice, Edge, TileSearch, choice_of, notable, parameters_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROW = Flow("row_stationary", "k", "m", "n", True)
RATES = ("filter", "ifmap", "psum")
EDGE = 16
"""Filters and channels per tile are tried down to this many, and by halves to one channel and four filters."""


@dataclass(frozen=True, slots=True)
class Registers:
    """Registers of a cell and the networks that fill them, by ``filter``, ``ifmap``, ``psum``.

    Attributes:
        bytes: of one cell; ``bytes_per_cycle``: from the buffer to all cells (sums: each way), per cycle of the device.
        sum_bytes: of a partial sum.
    """

    bytes: Mapping[str, int]
    bytes_per_cycle: Mapping[str, float]
    sum_bytes: float


def registers_of(unit: ComputeUnit, clock_hz: float) -> Registers | None:
    """The registers that a spec's ``registers`` states; None where it states none."""
    found = unit.group("registers")
    if "filter.size" not in found:
        return None
    return Registers(
        {name: int(found[f"{name}.size"]) for name in RATES},
        {name: float(found[f"{name}.bandwidth"]) / clock_hz for name in RATES},
        float(found.get("psum.width", 4.0)),
    )


@dataclass(frozen=True, slots=True)
class Windows:
    """A product seen as a convolution: which dimensions are output rows and columns, filter rows and taps, and how they step.

    Attributes:
        row, column: dimensions of m ("" where there is none); ``tap_row``, ``tap``: of k, with their extents.
        strides, dilations: vertical, horizontal; ``extents``: rows and columns of the input.
    """

    row: str
    column: str
    tap_row: tuple[str, int]
    tap: tuple[str, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    extents: tuple[int, int]

    @property
    def window(self) -> int:
        """Input columns that a row of taps spans."""
        return (self.tap[1] - 1) * self.dilations[1] + 1

    @property
    def taps(self) -> int:
        """Taps of one channel."""
        return self.tap_row[1] * self.tap[1]


def windows_of(product: Product) -> Windows:
    """The last two windows of the input are rows and columns; a product without windows is a convolution of 1 x 1."""
    m, k = dict(product.dims["m"]), dict(product.dims["k"])
    found = []
    for axis, size in product.a.parts["m"].axes:
        across = [(dim, step) for dim, step in axis.terms if dim in m]
        along = [(dim, step) for dim, step in axis.terms if dim in k]
        if len(across) == 1 and len(along) <= 1:
            tap = (along[0][0], k[along[0][0]], abs(along[0][1])) if along else ("", 1, 1)
            found.append((bool(along), across[0][0], abs(across[0][1]), tap, size))
    windows = [item for item in found if item[0]] or found
    none = (False, "", 1, ("", 1, 1), 1)
    column = windows[-1] if windows else none
    row = windows[-2] if len(windows) > 1 else none
    return Windows(
        row[1], column[1], row[3][:2], column[3][:2], (row[2], column[2]), (row[3][2], column[3][2]), (row[4], column[4])
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counts:
    """Words that a tile moves on the chip.

    Attributes:
        filter_reads, ifmap_reads: from the buffer; sums_written: partial sums to the buffer (all but each output's first are read back).
        filter_delivered, ifmap_delivered: to cells; sum_hops: partial sums from cell to cell.
        filter_registers, ifmap_registers, sum_registers: reads and writes of registers. A multiplication reads a filter word, an input word
            and a partial sum and writes one; what is delivered is written.
    """

    filter_reads: float
    ifmap_reads: float
    sums_written: float
    filter_delivered: float
    ifmap_delivered: float
    sum_hops: float
    filter_registers: float
    ifmap_registers: float
    sum_registers: float


@dataclass(frozen=True, slots=True)
class TilePasses:
    """A layout of the array and what tiles of a product cost in it.

    Attributes:
        layout: e, r, t, p, q (``simulator.kernels.row_stationary``).
        parameters, rates: of the kernel.
        shapes: group to the (full, last) tile: (images, rows, columns), (filters,), (channels,); sizes: to the points of the full one.
        slowdown: cycles per step.
    """

    layout: tuple[int, ...]
    parameters: tuple[int, ...]
    rates: tuple[float, float, float]
    shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    sizes: Mapping[str, int]
    slowdown: float

    def _shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Images, rows, columns, filters, channels of the tile with so many points of m, n and k."""
        return tuple([item for group in "mnk" for item in self.shapes[group][0 if sizes[group] == self.sizes[group] else 1]])

    def cycles(self, sizes: Mapping[str, int]) -> float:
        """Array cycles of a tile: the kernel's ``cycles_of``."""
        images, rows, width, filters, channels = self._shape(sizes)
        e, r, t, p, q = self.layout
        array_rows, _, copies, tap_rows, taps, stride, dilation, high, side, window, wide = self.parameters[:11]
        folds = -(-tap_rows // array_rows)
        set_rows = -(-tap_rows // folds)
        passes = -(-filters // (p * t)) * -(-channels // (q * r)) * folds
        ifmap = q * r * min((min(e, rows) - 1) * stride + (set_rows - 1) * dilation + 1, high) * min((width - 1) * side + window, wide)
        body = max(p * q * taps * width, ifmap / self.rates[1], p * t * min(e, rows) * width / self.rates[2]) + set_rows * r - 1
        fill = p * t * q * r * set_rows * taps / self.rates[0]
        return -(-passes // copies) * (fill + images * -(-rows // e) * body) * self.slowdown

    @property
    def active_cells(self) -> int:
        """Cells at work in a full pass: R e r t."""
        e, r, t, _, _ = self.layout
        return -(-self.parameters[3] // -(-self.parameters[3] // self.parameters[0])) * e * r * t

    def counts(self, sizes: Mapping[str, int]) -> Counts:
        """Words of a tile; the last strip, filters and channels count as many as there are.

        A filter word goes to the cells of one row of its set (one per output row of the strip), an input word to the cells along a
        diagonal of each set that works on its channel, a partial sum up the R r cells of its column.
        """
        images, rows, width, filters, channels = self._shape(sizes)
        e, r, t, p, q = self.layout
        array_rows, _, _, tap_rows, taps, stride, dilation, high, side, window, wide = self.parameters[:11]
        folds = -(-tap_rows // array_rows)
        set_rows = -(-tap_rows // folds)
        filter_turns, channel_turns = -(-filters // (p * t)), -(-channels // (q * r)) * folds
        strips = -(-rows // e)
        across = min((width - 1) * side + window, wide)
        heights = [min((min(e, rows - e * strip) - 1) * stride + (set_rows - 1) * dilation + 1, high) for strip in (0, strips - 1)]
        filter_words = float(filters * channels * tap_rows * taps)
        ifmap_words = float(images * (heights[0] * (strips - 1) + heights[1]) * across * channels * folds * filter_turns)
        outputs = float(images * rows * width * filters)
        macs = outputs * channels * tap_rows * taps
        filter_delivered = filter_words * min(e, rows)
        ifmap_delivered = float(images * rows * tap_rows * across * channels * min(filters, filter_turns * t))
        return Counts(
            filter_words, ifmap_words, outputs * channel_turns, filter_delivered, ifmap_delivered,
            outputs * channel_turns * (set_rows * min(r, channels) - 1),
            macs + filter_delivered, macs + ifmap_delivered, 2.0 * macs,
        )  # fmt: skip


def word_bytes(format_name: str) -> float:
    """Bytes of a filter or input word in the cells: those of the format that they multiply in."""
    return number_format(format_name).bits / 8.0


def search_rows(product: Product, array: Array, registers: Registers, search: TileSearch, word: float) -> tuple[list[Choice], list[Choice]]:
    """(candidates that fit, best first; those that do not) of the row-stationary dataflow, as ``TileSearch.search``.

    Both are empty where a cell's registers hold no window (``too_wide`` says why).

    Args:
        word: bytes of a filter or input word as the cells hold them.
    """
    import numpy as np

    from simulator.kernels import row_stationary as rows_kernel
    from simulator.kernels import systolic_tiles as kernel

    windows = windows_of(product)
    cuts = [search.candidates(product, group, _edge(group, product, windows, array)) for group in "mnk"]
    if too_wide(product, registers, word) or not all(cuts):
        return [], []
    machine = replace(array, rows=1, sum_bytes=registers.sum_bytes)  # one row: sums leave the array after each pass
    shapes = {group: [_shapes(group, split, product, windows) for split in cut] for group, cut in zip("mnk", cuts, strict=True)}
    parameters, rates = _parameters(windows, array, registers, word)
    m, n, k = [_tiles(shapes[group], cut) for group, cut in zip("mnk", cuts, strict=True)]
    layouts, cycles = rows_kernel.layouts(m, n, k, np.array(parameters), np.array(rates))
    of_m, of_n, of_k = [np.array(search.table(product, group, cut, machine)) for group, cut in zip("mnk", cuts, strict=True)]
    work = cycles * (product.batch * array.slowdown)
    picked, scores = kernel.search(kernel.ROW_STATIONARY, of_m, of_n, of_k, np.array(parameters_of(product, machine)), work)
    fitting: list[Choice] = []
    failing: list[Choice] = []
    for place, number, row in notable(picked.tolist(), scores.tolist()):
        at = np.unravel_index(number % cycles.size, cycles.shape)
        chosen = {group: shapes[group][int(index)] for group, index in zip("mnk", at, strict=True)}
        choice = choice_of(ROW, cuts, number, row, machine)
        sizes = {group: choice.split[group].size for group in "mnk"}
        passes = TilePasses(tuple(layouts[at].tolist()), parameters, rates, chosen, sizes, array.slowdown)
        (failing if place == 3 else fitting).append(replace(choice, passes=passes))
    return sorted(fitting, key=lambda choice: (choice.rank, choice.bytes, choice.working_set)), failing


def too_wide(product: Product, registers: Registers, word: float) -> str:
    """Why a cell's registers cannot hold a row of taps and a window of the input; empty where they can."""
    windows = windows_of(product)
    needs = {"filter": windows.tap[1] * word, "ifmap": windows.window * word, "psum": registers.sum_bytes}
    for name, need in needs.items():
        if need > registers.bytes[name]:
            return f"one row of its window needs {ceil(need)} bytes of the cells' {name} registers, which have {registers.bytes[name]}"
    return ""


def _edge(group: str, product: Product, windows: Windows, array: Array) -> Edge:
    """(points of a group down to which tiles are tried in even ratios, and by halves)."""
    if group == "n":
        return EDGE, 4
    if group == "k":
        return EDGE * windows.taps, windows.taps
    extents = dict(product.dims["m"])
    width, height = extents.get(windows.column, 1), extents.get(windows.row, 1)
    if height == 1:
        return min(width, 4 * EDGE), min(width, EDGE)
    return width * min(height, array.columns), width


def _shapes(group: str, split: Split, product: Product, windows: Windows) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(full, last) tile of a split: (images, rows, columns), (filters,) or (channels,)."""
    last = dict(split.tiles)
    outer = 1
    for dim, extent in product.dims[group]:
        tile = split.tiles[dim]
        if outer == split.outer and -(-extent // tile) == split.trips:
            last[dim] = extent - (split.trips - 1) * tile
            break
        outer *= extent
    return _shape(group, split.tiles, windows), _shape(group, last, windows)


def _shape(group: str, tiles: Mapping[str, int], windows: Windows) -> tuple[int, ...]:
    whole = prod(tiles.values())
    if group == "n":
        return (whole,)
    if group == "k":
        return (whole // windows.taps,)
    rows, columns = tiles.get(windows.row, 1), tiles.get(windows.column, 1)
    return (whole // (rows * columns), rows, columns)


def _tiles(shapes: list[tuple[tuple[int, ...], tuple[int, ...]]], cut: list[Split]) -> NDArray[np.int64]:
    import numpy as np

    rows = []
    for (full, last), split in zip(shapes, cut, strict=True):
        rows.append([split.outer * (split.trips - 1), *full, split.outer, *last])
    return np.array(rows, dtype=np.int64)


def _parameters(windows: Windows, array: Array, registers: Registers, word: float) -> tuple[tuple[int, ...], tuple[float, float, float]]:
    """The kernel's whole parameters and rates (words per step of the array)."""
    room, rate = registers.bytes, registers.bytes_per_cycle
    whole = (
        array.rows, array.columns, array.count, windows.tap_row[1], windows.tap[1], windows.strides[0], windows.dilations[0],
        windows.extents[0], windows.strides[1], windows.window, windows.extents[1],
        int(room["filter"] / word), int(room["ifmap"] / word), int(room["psum"] / registers.sum_bytes),
    )  # fmt: skip
    slow = array.slowdown
    return whole, (rate["filter"] / word * slow, rate["ifmap"] / word * slow, rate["psum"] / registers.sum_bytes * slow)
