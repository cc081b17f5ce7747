"""The tile search: every tile size and loop order, scored by a kernel.

A product is cut into tiles of tm x tn x tk that are worked on one after the other, in one of three loop orders; an operand's tile
stays in the scratchpad as long as consecutive tiles use it, and is loaded again when they do not. What counts per candidate:

* off-chip bytes of each operand, re-loads, halo, partial sums that are spilled and read back;
* cycles of all folds (``mappings.systolic.folds``), edge tiles exact;
* the working set: one tile of each operand, two where the next one is loaded meanwhile (double buffering).

The candidates depend on the product and the array only: a larger scratchpad keeps every old tile, so the best never gets worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hwspecs.vocabulary.records import dataclass
from mappings.systolic.folds import FLOWS, OUTPUT, WEIGHT, Flow
from mappings.systolic.pace import Stream
from mappings.systolic.problem import Dims, Part, Product
from mappings.systolic.splits import Split, aligned, finest_whole, splits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mappings.systolic.row_stationary import TilePasses

ORDERS = (("m", "n", "k"), ("m", "k", "n"), ("n", "k", "m"))
"""Loop orders, outermost first. The other three move at least as much: the two outer loops only matter where both operands of the
innermost one re-load anyway, or where swapping them spills partial sums."""

FIRINGS_LIMIT = 200_000
NEAR = 1.1
"""The alternative of the smallest working set may be this much slower than the fastest one."""
SHORTEST_RUN = 8
"""Tiles stream at least this part of the array's longer side; a small scratchpad has no room for more."""
PRICE = 0.05
"""Candidates are ranked by their estimated cycles plus this share of the cycles that their transfers take and that the array works: where
the array is the bottleneck, a few cycles of fill saved are not worth loading everything again, and where transfers are, a schedule that
keeps operands on chip may save them, and then the array's cycles count."""
ACCUMULATOR_BYTES = 4.0
"""Partial sums are 32 bits wide (int32 for integers, fp32 for floats)."""

TABLE_COLUMNS = 15
NO_STREAMS: Mapping[str, Stream] = {}
_FLOW_NUMBERS = {name: number for number, name in enumerate(FLOWS)}

Table = list[list[float]]
Edge = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Array:
    """The machine as the search sees it; cycles are of the device's clock, bandwidth in bytes per such cycle.

    Attributes:
        count: copies of the array, which share the folds of a tile.
        slowdown: cycles per step of the array (format slower than its widest rate, or a slower clock).
        buffers: ``ifmap``, ``filter``, ``ofmap`` to bytes; or only ``all`` for a unified scratchpad.
        sum_bytes: bytes of a partial sum outside the array.
        fill: cycles of a fold beyond its streaming, where outputs stay and where an operand is loaded first; None: by rows and columns
            (an array that holds more than one value per cell is larger here than the cells that it fills).
    """

    rows: int
    columns: int
    count: int
    slowdown: float
    buffers: Mapping[str, int]
    double_buffered: bool
    bytes_per_cycle: float
    sum_bytes: float = ACCUMULATOR_BYTES
    fill: tuple[int, int] | None = None

    def ramp(self, flow: Flow) -> int:
        """Cycles of a fold beyond its streaming (see ``Flow.ramp``)."""
        return flow.ramp(self.rows, self.columns) if self.fill is None else self.fill[flow.loads]


@dataclass(frozen=True, slots=True)
class Choice:
    """One candidate: its tiles, order and what they cost.

    Attributes:
        needs: buffer (``ifmap``, ``filter``, ``ofmap``) to bytes; ``excess``: bytes by which the scratchpad is too small (0: fits).
        moved: ``a``, ``b``, ``out`` (final results and what the epilogue reads), ``spill`` (partial sums written; as many are
            read back) to bytes off chip.
        cycles: of the array; ``estimate``: of the whole operator with loads and stores overlapped; ``rank``: what candidates
            are compared by (see ``PRICE``).
        streamed: k tiles follow each other through the array without a drain between them.
        steps: of a stream, where the array skips zeros of what streams or takes longer steps; None: one cycle per point.
        pack: products of the batch side by side.
        passes: array cycles of a tile where the dataflow is row-stationary.
        array: the array that it was searched on.
    """

    flow: Flow
    order: tuple[str, str, str]
    split: Mapping[str, Split]
    needs: Mapping[str, int]
    excess: int
    moved: Mapping[str, int]
    cycles: float
    estimate: float
    rank: float
    working_set: int
    streamed: bool
    steps: Stream | None = None
    pack: int = 1
    passes: TilePasses | None = None
    array: Array | None = None

    @property
    def executed(self) -> float:
        """Share of the dense multiplications that are executed."""
        return 1.0 if self.steps is None else self.steps.density

    @property
    def pattern(self) -> str:
        """The N:M mode that the array runs in, or ``dense`` (zeros that are skipped as they come are no mode)."""
        return "dense" if self.steps is None else self.steps.pattern

    @property
    def bytes(self) -> int:
        """All off-chip bytes."""
        return self.moved["a"] + self.moved["b"] + self.moved["out"] + 2 * self.moved["spill"]

    @property
    def name(self) -> str:
        """For reports: dataflow, tile, order."""
        m, n, k = (self.split[group].size for group in "mnk")
        more = f", {self.pack} side by side" if self.pack > 1 else ""
        if self.steps is not None and self.steps.label:
            more += f", {self.steps.label}"
        if self.passes is not None:
            more = f", {self.passes.active_cells} cells at work"
        return f"{self.flow.name.replace('_', '-')}, tile {m}x{n}x{k}, loops {'-'.join(self.order)}{more}"


class TileSearch:
    """Searches tiles on one array; remembers the splits of dimension groups and the kernel's tables of them, which many operators share."""

    def __init__(self) -> None:
        import numpy as np

        self._splits: dict[tuple[Dims, Edge], list[Split]] = {}
        self._tables: dict[object, tuple[list[Split], int, int]] = {}
        self._rows: NDArray[np.float64] = np.empty((64, TABLE_COLUMNS))
        self._filled = 0

    def search(
        self, product: Product, flows: Sequence[Flow], array: Array, streams: Mapping[str, Stream] = NO_STREAMS, *, finest: bool = False
    ) -> tuple[list[Choice], list[Choice]]:
        """(candidates that fit, best first; the notable ones that do not, one per dataflow).

        The first list holds per dataflow the candidate of best rank, the one that moves least and the one of the smallest working
        set, as far as they differ and none is beaten by another in rank, bytes and working set. If nothing fits, it is empty and the
        second list holds the candidates that are nearest to fitting.

        Args:
            streams: steps of the groups that do not stream at one point per cycle (zeros that the array skips).
            finest: also tiles that leave rows or columns of the array idle, for scratchpads that hold no others.
        """
        import numpy as np

        from simulator.kernels import systolic_tiles as kernel

        cuts, where = self._tables_of(product, flows, array, streams, finest)
        parameters = np.array(parameters_of(product, array))
        all_picked, all_scores = kernel.search_flows(np.array(where), self._rows, parameters)
        kept: list[Choice] = []
        failing: list[Choice] = []
        for flow, cut, numbers, rows in zip(flows, cuts, all_picked.tolist(), all_scores.tolist(), strict=True):
            steps = streams.get(flow.time)
            for place, number, row in notable(numbers, rows):
                (failing if place == 3 else kept).append(choice_of(flow, cut, number, row, array, steps, product.pack))
        return sorted(kept, key=lambda choice: (choice.rank, choice.bytes, choice.working_set)), failing

    def _tables_of(
        self, product: Product, flows: Sequence[Flow], array: Array, streams: Mapping[str, Stream], finest: bool
    ) -> tuple[list[tuple[list[Split], ...]], list[tuple[int, ...]]]:
        """Per dataflow the candidate splits of m, n and k, and what the kernel takes as ``where``.

        Dataflows share a table where the array holds as many points of a group: the one that streams the group has the longest list.
        """
        edges = [[_edge(group, flow, array) for group in "mnk"] for flow in flows]
        if finest:
            edges = [[(points, 1) for points, _ in row] for row in edges]
        least: dict[tuple[str, int], int] = {}
        for row in edges:
            for group, (points, shortest) in zip("mnk", row, strict=True):
                least[group, points] = min(shortest, least.get((group, points), shortest))
        made = {key: self._tabled(product, key[0], (key[1], shortest), array, streams.get(key[0])) for key, shortest in least.items()}
        cuts: list[tuple[list[Split], ...]] = []
        where: list[tuple[int, ...]] = []
        for flow, row in zip(flows, edges, strict=True):
            own = []
            places = [_FLOW_NUMBERS[flow.name]]
            for group, edge in zip("mnk", row, strict=True):
                cut, start, end = made[group, edge[0]]
                if edge[1] > least[group, edge[0]]:
                    cut = cut[: len(self.candidates(product, group, edge))]
                    end = start + len(cut)
                own.append(cut)
                places += (start, end)
            cuts.append(tuple(own))
            where.append(tuple(places))
        return cuts, where

    def _tabled(self, product: Product, group: str, edge: Edge, array: Array, steps: Stream | None) -> tuple[list[Split], int, int]:
        """The candidate splits of a group, and the first row and the row after the last one of the kernel's table of them."""
        key: object = None
        known = None
        if all(part.plain for part in _touching(product, group)):  # the others differ from product to product
            key = (product.dims[group], edge, _whole(product, group), steps, product.pack, product.grain if group == "k" else None)
            known = self._tables.get(key)
        if known is None:
            cut = self.candidates(product, group, edge)
            start, end = self._filled, self._filled + len(cut)
            if end > len(self._rows):
                import numpy as np

                self._rows = np.concatenate((self._rows, np.empty((end, TABLE_COLUMNS))))
            if cut:
                self._rows[start:end] = self.table(product, group, cut, array, steps)
            self._filled = end
            known = cut, start, end
            if key is not None:
                self._tables[key] = known
        return known

    def candidates(self, product: Product, group: str, edge: Edge) -> list[Split]:
        """Splits of m, n or k that are tried where the array holds ``edge[0]`` points of it and runs may be as short as ``edge[1]``."""
        dims = product.dims[group]
        found = self._splits.get((dims, edge))
        if found is None:
            found = self._splits[dims, edge] = splits(dims, *edge)
        whole, one = _whole(product, group)
        if whole:
            extents = dict(dims)
            found = [item for item in found if all(item.tiles[dim] == extents[dim] for dim in whole)]
            found = finest_whole(dims, found, whole, edge[0])
        if group == "k" and product.grain is not None:
            found = aligned(dims, found, *product.grain)
        return [item for item in found if item.count == 1] if one else found

    def table(self, product: Product, group: str, found: list[Split], array: Array, steps: Stream | None = None) -> Table:
        """The kernel's table of a group: columns as in ``simulator.kernels.systolic_tiles``."""
        first, second = _touching(product, group)
        size = product.size(group)
        touched = _touch(first, size, found), _touch(second, size, found)
        r, c = array.rows, array.columns
        table: Table = []
        for split, one, other in zip(found, *touched, strict=True):
            rows, last_rows = -(-split.size // r), -(-split.last // r)
            cols, last_cols = -(-split.size // c), -(-split.last // c)
            last = split.outer
            full = last * (split.trips - 1)
            table.append(
                [
                    full + last, split.size, full * rows + last * last_rows, full * cols + last * last_cols,
                    full, last, rows, last_rows, cols, last_cols, *one, *other,
                    size if steps is None else full * steps.of(split.size) + last * steps.of(split.last),
                ]
            )  # fmt: skip
        if product.pack > 1 and group != "m":
            _pack_table(table, group, found, product.pack, array)
        return table


def _pack_table(table: Table, group: str, found: list[Split], pack: int, array: Array) -> None:
    """Widen a table of n or k to ``pack`` products side by side: more folds, and as many times the elements in a tile.

    The elements of B lie on the diagonal alone, so that its tile grows with k and not with n once more; streams and totals of all tiles
    are those of the whole batch and stay.
    """
    for row, split in zip(table, found, strict=True):
        wide = split.packed(pack)
        rows, cols = -(-wide.size // array.rows), -(-wide.size // array.columns)
        row[1], row[2], row[3] = wide.size, rows, cols
        row[6], row[7], row[8], row[9] = rows, rows, cols, cols
        if group == "k":
            row[10] *= pack
        row[12] *= pack


def notable(numbers: Sequence[int], rows: Sequence[list[float]]) -> list[tuple[int, int, list[float]]]:
    """(place, candidate, score) of what the kernel picked: each candidate once, and none that an earlier one beats (see ``_beats``)."""
    kept: list[tuple[int, int, list[float]]] = []
    for place, (number, row) in enumerate(zip(numbers, rows, strict=True)):
        if number < 0:
            continue
        if place < 3:
            for _, other, score in kept:
                if number == other or _beats(score, row):
                    break
            else:
                kept.append((place, number, row))
        else:
            kept.append((place, number, row))
    return kept


def _touch(part: Part, total: int, found: list[Split]) -> list[tuple[int, int]]:
    """(elements of a full tile, elements of all tiles) per split."""
    return [(split.size, total) for split in found] if part.plain else part.touched(found)


def _edge(group: str, flow: Flow, array: Array) -> Edge:
    """(points of a group that the array holds in a dataflow, shortest run tried); of the one that streams, as many as its longer side."""
    if group in (flow.rows, flow.columns):
        edge = array.rows if group == flow.rows else array.columns
        return edge, edge
    edge = max(array.rows, array.columns)
    return edge, max(1, edge // SHORTEST_RUN)


def _touching(product: Product, group: str) -> tuple[Part, Part]:
    """The parts of the two operands that a group moves, as the kernel's table orders them."""
    if group == "m":
        return product.a.parts["m"], product.out.parts["m"]
    if group == "n":
        return product.b.parts["n"], product.out.parts["n"]
    return product.a.parts["k"], product.b.parts["k"]


def _whole(product: Product, group: str) -> tuple[frozenset[str], bool]:
    """(dimensions of a group that are never cut, whether none may be)."""
    if group == "m":
        return frozenset(), False
    if group == "n":
        return product.out.held_whole, product.epilogue.whole_rows or product.pack > 1
    return product.a.held_whole | product.b.held_whole, product.pack > 1


def parameters_of(product: Product, array: Array) -> list[float]:
    """The kernel's parameters, in the order of ``simulator.kernels.systolic_tiles``."""
    buffers = array.buffers
    a, b, out = product.a, product.b, product.out
    return [
        product.batch, product.size("m"), product.size("n"), product.size("k"), array.rows, array.columns, array.count, array.slowdown,
        array.bytes_per_cycle, a.bytes_per_value, b.bytes_per_value, out.bytes_per_value, a.least_bytes, b.least_bytes, out.least_bytes,
        float(product.extra_bytes), float(sum(product.stores.values())) if product.stores else -1.0, array.sum_bytes,
        float(array.double_buffered), float(buffers.get("all", -1)), float(buffers.get("ifmap", 0)), float(buffers.get("filter", 0)),
        float(buffers.get("ofmap", 0)), float(bool(product.epilogue.nests)), NEAR, FIRINGS_LIMIT, PRICE, product.packs,
        float(bool(product.out.held_whole) and product.out.least_bytes > 0), array.ramp(FLOWS[OUTPUT]), array.ramp(FLOWS[WEIGHT]),
    ]  # fmt: skip


def _beats(one: list[float], row: list[float]) -> bool:
    """Whether the candidate of score ``one`` ranks no worse, moves no more and needs no more than that of score ``row``."""
    return one[15] <= row[15] and one[1] <= row[1] and one[2] <= row[2]


def choice_of(
    flow: Flow, cut: Sequence[list[Split]], number: int, row: list[float], array: Array, steps: Stream | None = None, pack: int = 1
) -> Choice:
    """The candidate ``number`` of splits ``cut`` (m, n, k) with score ``row``."""
    rest, k = divmod(number, len(cut[2]))
    rest, n = divmod(rest, len(cut[1]))
    order, m = divmod(rest, len(cut[0]))
    split = {"m": cut[0][m], "n": cut[1][n], "k": cut[2][k]}
    if pack > 1:
        split.update(n=split["n"].packed(pack), k=split["k"].packed(pack))
    single = split["m"].size <= array.rows and split["n"].size <= array.columns
    return Choice(
        flow,
        ORDERS[order],
        split,
        {"ifmap": int(row[10]), "filter": int(row[11]), "ofmap": int(row[12])},
        int(row[3]),
        {"a": int(row[5]), "b": int(row[6]), "out": int(row[7]), "spill": int(row[8])},
        row[9],
        row[0],
        row[15],
        int(row[2]),
        flow.name == OUTPUT and order == 0 and single and split["k"].count > 1,
        steps,
        pack,
        None,
        array,
    )


def flows_for(dataflow: str) -> tuple[Flow, ...]:
    """The dataflows that a spec's word stands for: one, or all three for ``auto``; none of them for ``row_stationary``."""
    if dataflow == "auto":
        return tuple(FLOWS.values())
    return (FLOWS[dataflow],) if dataflow in FLOWS else ()
