"""The tile search: every tile size and loop order at once, in numpy.

A product is cut into tiles of tm x tn x tk that are worked on one after the other, in one of three loop orders; an operand's tile
stays in the scratchpad as long as consecutive tiles use it, and is loaded again when they do not. What counts per candidate:

* off-chip bytes of each operand, re-loads, halo, partial sums that are spilled and read back;
* cycles of all folds (``mappings.systolic.folds``), edge tiles exact;
* the working set: one tile of each operand, two where the next one is loaded meanwhile (double buffering).

The candidates depend on the product and the array only: a larger scratchpad keeps every old tile, so the best never gets worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mappings.systolic.folds import FLOWS, OUTPUT, Flow
from mappings.systolic.problem import Product, Use
from mappings.systolic.splits import Split, splits

ORDERS = (("m", "n", "k"), ("m", "k", "n"), ("n", "k", "m"))
"""Loop orders, outermost first. The other three move at least as much: the two outer loops only matter where both operands of the
innermost one re-load anyway, or where swapping them spills partial sums."""

FIRINGS_LIMIT = 200_000
NEAR = 1.1
"""The alternative of the smallest working set may be this much slower than the fastest one."""
ACCUMULATOR_BYTES = 4.0
"""Partial sums are 32 bits wide (int32 for integers, fp32 for floats)."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Array:
    """The machine as the search sees it; cycles are of the device's clock, bandwidth in bytes per such cycle.

    Attributes:
        slowdown: cycles per step of the array (format slower than its widest rate, or a slower clock).
        buffers: ``ifmap``, ``filter``, ``ofmap`` to bytes; or only ``all`` for a unified scratchpad.
    """

    rows: int
    columns: int
    count: int
    slowdown: float
    buffers: Mapping[str, int]
    double_buffered: bool
    bytes_per_cycle: float


@dataclass(frozen=True, slots=True)
class Choice:
    """One candidate: its tiles, order and what they cost.

    Attributes:
        needs: buffer (as in ``Array.buffers``) to bytes; ``excess`` the bytes by which the worst one is too small (0: fits).
        moved: ``a``, ``b``, ``out`` (final results), ``spill`` (partial sums written; as many are read back) to bytes off chip.
        cycles: of the array; ``estimate``: of the whole operator with loads and stores overlapped.
    """

    flow: Flow
    order: tuple[str, str, str]
    split: Mapping[str, Split]
    needs: Mapping[str, int]
    excess: int
    moved: Mapping[str, float]
    cycles: float
    estimate: float
    working_set: int
    streamed: bool

    @property
    def bytes(self) -> float:
        """All off-chip bytes."""
        return self.moved["a"] + self.moved["b"] + self.moved["out"] + 2 * self.moved["spill"]

    @property
    def name(self) -> str:
        """For reports: dataflow, tile, order."""
        m, n, k = (self.split[group].size for group in "mnk")
        return f"{self.flow.name.replace('_', '-')}, tile {m}x{n}x{k}, loops {'-'.join(self.order)}"


@dataclass(slots=True)
class _Grid:
    """The candidates of one dataflow: three axes (m, n, k splits), fields broadcast over them."""

    flow: Flow
    product: Product
    array: Array
    cut: dict[str, list[Split]] = field(default_factory=dict)

    def column(self, group: str, values: list[int] | list[float]) -> Floats:
        shape = [1, 1, 1]
        shape["mnk".index(group)] = len(values)
        return np.array(values, dtype=np.float64).reshape(shape)

    def of(self, group: str, name: str) -> Floats:
        return self.column(group, [getattr(split, name) for split in self.cut[group]])


def candidate_splits(product: Product, flow: Flow, array: Array) -> dict[str, list[Split]]:
    """Splits of m, n and k that are tried."""
    cut = {}
    for group in "mnk":
        edge = array.rows if group == flow.rows else array.columns if group == flow.columns else max(array.rows, array.columns)
        whole: frozenset[str] = frozenset()
        for use in (product.a, product.b, product.out):
            if use.second == group:
                whole |= use.held_whole(product.dims)
        extents = dict(product.dims[group])
        found = [item for item in splits(product.dims[group], edge) if all(item.tiles[dim] == extents[dim] for dim in whole)]
        if group == "n" and product.epilogue.whole_rows:
            found = [item for item in found if item.count == 1]
        cut[group] = found
    return cut


def search(product: Product, flow: Flow, array: Array, *, keep: int = 3) -> tuple[list[Choice], list[Choice]]:
    """(best candidates that fit, notable ones that do not), each list by estimate; ``keep`` bounds both.

    The first list holds the fastest candidate, then those of fewer bytes or a smaller working set that are not dominated. If
    nothing fits, the second list starts with the candidate that is nearest to fitting.
    """
    grid = _Grid(flow, product, array, candidate_splits(product, flow, array))
    trips = {group: grid.of(group, "count") for group in "mnk"}
    cycles, streamed_cycles = _cycles(grid, trips)
    a_tile, a_pass = _traffic(grid, product.a)
    b_tile, b_pass = _traffic(grid, product.b)
    o_tile, o_pass = _traffic(grid, product.out)
    elements_out = o_pass / product.out.bytes_per_value
    extra = sum(product.epilogue.reads.values())
    stores = sum(product.stores.values()) if product.stores else None
    wide = _holds_sums(grid, trips)
    o_held = o_tile * np.where(wide, ACCUMULATOR_BYTES / product.out.bytes_per_value, 1.0)
    shape = np.broadcast_shapes(a_tile.shape, b_tile.shape, cycles.shape)
    firings = product.batch * trips["m"] * trips["n"] * trips["k"]
    rows = []
    for place, order in enumerate(ORDERS):
        again, spill = _reloads(order, trips)
        a_moved, b_moved = a_pass * again["a"], b_pass * again["b"]
        spilled = np.where(spill, elements_out * ACCUMULATOR_BYTES * (trips["k"] - 1), 0.0)
        out_moved = (o_pass if stores is None else stores) + extra
        moved = a_moved + b_moved + out_moved + 2 * spilled
        streamed = place == 0
        work = streamed_cycles if streamed else cycles
        loads = (product.batch * trips["m"] * trips["k"] * again["a"], product.batch * trips["n"] * trips["k"] * again["b"])
        needs = _needs(grid, a_tile, b_tile, o_held + extra / np.maximum(1, product.batch * trips["m"] * trips["n"]), loads, trips)
        first = (a_tile + b_tile) / array.bytes_per_cycle
        last = o_tile / array.bytes_per_cycle
        estimate = np.maximum(work, moved / array.bytes_per_cycle) + first + last
        excess = _excess(needs, array.buffers)
        if product.epilogue.nests:
            excess = np.where(spill, np.inf, excess)
        fields = (estimate, moved, sum(needs.values()), excess, firings, a_moved, b_moved, out_moved, spilled, work, *needs.values())
        rows.append(np.stack([np.broadcast_to(item, shape).ravel() for item in fields]))
    table = np.concatenate(rows, axis=1)
    return _pick(grid, table, shape, keep)


def _cycles(grid: _Grid, trips: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """Cycles of all folds per candidate, and the same where k streams on through the array in the innermost loop.

    Output-stationary tiles of one fold need not leave the array between k tiles: they pay fill and drain once, not per k tile.
    """
    flow, array = grid.flow, grid.array
    row_splits, column_splits = grid.cut[flow.rows], grid.cut[flow.columns]
    ramp = flow.ramp(array.rows, array.columns)
    if array.count == 1:
        along_rows = grid.column(flow.rows, [split.folded(array.rows) for split in row_splits])
        along_columns = grid.column(flow.columns, [split.folded(array.columns) for split in column_splits])
        spatial = along_rows * along_columns
    else:
        spatial = np.zeros((1, 1, 1))
        for row_count, row_folds in _fold_classes(grid, flow.rows, array.rows):
            for column_count, column_folds in _fold_classes(grid, flow.columns, array.columns):
                spatial = spatial + row_count * column_count * np.ceil(row_folds * column_folds / array.count)
    extent = float(grid.product.size(flow.time))
    scale = array.slowdown * grid.product.batch
    plain = spatial * (extent + trips[flow.time] * ramp) * scale
    if flow.name != OUTPUT:
        return plain, plain
    single = (grid.of("m", "size") <= array.rows) & (grid.of("n", "size") <= array.columns)
    return plain, np.where(single, spatial * (extent + ramp) * scale, plain)


def _fold_classes(grid: _Grid, group: str, edge: int) -> list[tuple[Floats, Floats]]:
    """(number of tiles, folds of one) for full and for last tiles."""
    cut = grid.cut[group]
    full = [split.outer * (split.trips - 1) for split in cut], [-(-split.size // edge) for split in cut]
    last = [split.outer for split in cut], [-(-split.last // edge) for split in cut]
    return [(grid.column(group, count), grid.column(group, folds)) for count, folds in (full, last)]


def _traffic(grid: _Grid, use: Use) -> tuple[Floats, Floats]:
    """(bytes of a full tile, bytes of all tiles once) of an operand per candidate."""
    dims = grid.product.dims
    tile: Floats = np.ones((1, 1, 1))
    total: Floats = np.full((1, 1, 1), float(grid.product.batch))
    for group in (use.first, use.second):
        touched = [use.touched(group, split, dims) for split in grid.cut[group]]
        tile = tile * grid.column(group, [item[0] for item in touched])
        total = total * grid.column(group, [item[1] for item in touched])
    return np.ceil(tile * use.bytes_per_value), np.maximum(np.ceil(total * use.bytes_per_value), use.least_bytes)


def _holds_sums(grid: _Grid, trips: Mapping[str, Floats]) -> npt.NDArray[np.bool_]:
    """Where the tile of results waits in the scratchpad as partial sums: k is cut, or k lies across the array in several folds."""
    wide = trips["k"] > 1
    if grid.flow.name != OUTPUT:
        wide = wide | (grid.of("k", "size") > grid.array.rows)
    return np.asarray(wide)


def _reloads(order: tuple[str, str, str], trips: Mapping[str, Floats]) -> tuple[dict[str, Floats], npt.NDArray[np.bool_]]:
    """How often A and B are loaded as a whole, and where partial sums leave the chip.

    An operand is loaded again for each step of a loop that does not move it if a loop inside that one does.
    """
    inside: dict[str, npt.NDArray[np.bool_]] = {}
    for place, group in enumerate(order):
        for other, name in (("a", "n"), ("b", "m"), ("out", "k")):
            if group == name:
                moving = [trips[later] > 1 for later in order[place + 1 :]]
                inside[other] = np.any(np.broadcast_arrays(*moving), axis=0) if moving else np.zeros((1, 1, 1), dtype=bool)
    again = {"a": np.where(inside["a"], trips["n"], 1.0), "b": np.where(inside["b"], trips["m"], 1.0)}
    return again, inside["out"] & (trips["k"] > 1)


def _needs(grid: _Grid, a: Floats, b: Floats, out: Floats, loads: tuple[Floats, Floats], trips: Mapping[str, Floats]) -> dict[str, Floats]:
    if grid.array.double_buffered:
        a = a * np.where(loads[0] > 1, 2.0, 1.0)
        b = b * np.where(loads[1] > 1, 2.0, 1.0)
        out = out * np.where(grid.product.batch * trips["m"] * trips["n"] > 1, 2.0, 1.0)
    return {"ifmap": a, "filter": b, "ofmap": out}


def _excess(needs: Mapping[str, Floats], buffers: Mapping[str, int]) -> Floats:
    """Bytes by which the buffers are too small together; 0 where everything fits."""
    if "all" in buffers:
        return np.maximum(0.0, sum(needs.values()) - float(buffers["all"]))
    total: Floats = np.zeros((1, 1, 1))
    for name, need in needs.items():
        total = total + np.maximum(0.0, need - buffers[name])
    return total


def _pick(grid: _Grid, table: Floats, shape: tuple[int, ...], keep: int) -> tuple[list[Choice], list[Choice]]:
    estimate, moved, held, excess, firings = table[:5]
    fits = excess <= 0
    bounded = fits & (firings <= FIRINGS_LIMIT)
    if bounded.any():
        fits = bounded
    inside = np.flatnonzero(fits)
    outside = np.flatnonzero(~fits & np.isfinite(excess))
    chosen: list[int] = []
    if inside.size:
        fastest = _least(inside, estimate, moved, held)
        near = inside[estimate[inside] <= NEAR * estimate[fastest]]
        chosen = _front([fastest, _least(inside, moved, estimate, held), _least(near, held, estimate, moved)][: max(1, keep)], table)
    if outside.size:
        key = estimate if inside.size else excess
        rejected = [_least(outside, key, estimate if not inside.size else excess)]
    else:
        rejected = []
    size = int(np.prod(shape))
    return [_choice(grid, table, index, size, shape) for index in chosen], [_choice(grid, table, index, size, shape) for index in rejected]


def _least(among: npt.NDArray[np.intp], *keys: Floats) -> int:
    """The index in ``among`` with the least first key, ties broken by the next ones."""
    for key in keys:
        values = key[among]
        among = among[values <= values.min() * (1 + 1e-12)]
    return int(among[0])


def _front(chosen: list[int], table: Floats) -> list[int]:
    """The candidates that no other of them beats in estimate, bytes and working set, fastest first, each once."""
    unique = sorted(dict.fromkeys(chosen), key=lambda index: (table[0, index], table[1, index], table[2, index]))
    return [one for place, one in enumerate(unique) if not any((table[:3, other] <= table[:3, one]).all() for other in unique[:place])]


def _choice(grid: _Grid, table: Floats, index: int, size: int, shape: tuple[int, ...]) -> Choice:
    order = ORDERS[index // size]
    m, n, k = np.unravel_index(index % size, shape)
    split = {"m": grid.cut["m"][m], "n": grid.cut["n"][n], "k": grid.cut["k"][k]}
    row = table[:, index]
    names = ("ifmap", "filter", "ofmap")
    array = grid.array
    single = split["m"].size <= array.rows and split["n"].size <= array.columns
    return Choice(
        grid.flow,
        order,
        split,
        {name: int(row[10 + place]) for place, name in enumerate(names)},
        int(row[3]) if np.isfinite(row[3]) else 0,
        {"a": float(row[5]), "b": float(row[6]), "out": float(row[7]), "spill": float(row[8])},
        float(row[9]),
        float(row[0]),
        int(row[2]),
        grid.flow.name == OUTPUT and order == ORDERS[0] and single and split["k"].count > 1,
    )


def flows_for(dataflow: str) -> tuple[Flow, ...]:
    """The dataflows that a spec's word stands for: one, or all three for ``auto``."""
    return tuple(FLOWS.values()) if dataflow == "auto" else (FLOWS[dataflow],)
