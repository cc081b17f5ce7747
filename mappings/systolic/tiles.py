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
from mappings.systolic.folds import FLOWS, OUTPUT, Flow
from mappings.systolic.problem import Dims, Part, Product
from mappings.systolic.splits import Split, splits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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

TABLE_COLUMNS = 14
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
        needs: buffer (``ifmap``, ``filter``, ``ofmap``) to bytes; ``excess``: bytes by which the scratchpad is too small (0: fits).
        moved: ``a``, ``b``, ``out`` (final results and what the epilogue reads), ``spill`` (partial sums written; as many are
            read back) to bytes off chip.
        cycles: of the array; ``estimate``: of the whole operator with loads and stores overlapped; ``rank``: what candidates
            are compared by (see ``PRICE``).
        streamed: k tiles follow each other through the array without a drain between them.
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

    @property
    def bytes(self) -> int:
        """All off-chip bytes."""
        return self.moved["a"] + self.moved["b"] + self.moved["out"] + 2 * self.moved["spill"]

    @property
    def name(self) -> str:
        """For reports: dataflow, tile, order."""
        m, n, k = (self.split[group].size for group in "mnk")
        return f"{self.flow.name.replace('_', '-')}, tile {m}x{n}x{k}, loops {'-'.join(self.order)}"


class TileSearch:
    """Searches tiles on one array; remembers the splits of dimension groups and the kernel's tables of them, which many operators share."""

    def __init__(self) -> None:
        import numpy as np

        self._splits: dict[tuple[Dims, Edge], list[Split]] = {}
        self._tables: dict[object, tuple[list[Split], int, int]] = {}
        self._rows: NDArray[np.float64] = np.empty((64, TABLE_COLUMNS))
        self._filled = 0

    def search(self, product: Product, flows: Sequence[Flow], array: Array) -> tuple[list[Choice], list[Choice]]:
        """(candidates that fit, best first; the notable ones that do not, one per dataflow).

        The first list holds per dataflow the candidate of best rank, the one that moves least and the one of the smallest working
        set, as far as they differ and none is beaten by another in rank, bytes and working set. If nothing fits, it is empty and the
        second list holds the candidates that are nearest to fitting.
        """
        import numpy as np

        from simulator.kernels import systolic_tiles as kernel

        cuts, where = self._tables_of(product, flows, array)
        parameters = np.array(_parameters(product, array))
        all_picked, all_scores = kernel.search_flows(np.array(where), self._rows, parameters)
        kept: list[Choice] = []
        failing: list[Choice] = []
        for flow, cut, numbers, rows in zip(flows, cuts, all_picked.tolist(), all_scores.tolist(), strict=True):
            own: dict[int, Choice] = {}
            for number, row in zip(numbers[:3], rows[:3], strict=True):
                if number >= 0 and number not in own and not any(_beats(one, row) for one in own.values()):
                    own[number] = _choice(flow, cut, number, row, array)
            kept.extend(own.values())
            if numbers[3] >= 0:
                failing.append(_choice(flow, cut, numbers[3], rows[3], array))
        return sorted(kept, key=lambda choice: (choice.rank, choice.bytes, choice.working_set)), failing

    def _tables_of(
        self, product: Product, flows: Sequence[Flow], array: Array
    ) -> tuple[list[tuple[list[Split], ...]], list[tuple[int, ...]]]:
        """Per dataflow the candidate splits of m, n and k, and what the kernel takes as ``where``.

        Dataflows share a table where the array holds as many points of a group: the one that streams the group has the longest list.
        """
        edges = [[_edge(group, flow, array) for group in "mnk"] for flow in flows]
        least: dict[tuple[str, int], int] = {}
        for row in edges:
            for group, (points, shortest) in zip("mnk", row, strict=True):
                least[group, points] = min(shortest, least.get((group, points), shortest))
        made = {key: self._tabled(product, key[0], (key[1], shortest), array) for key, shortest in least.items()}
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

    def _tabled(self, product: Product, group: str, edge: Edge, array: Array) -> tuple[list[Split], int, int]:
        """The candidate splits of a group, and the first row and the row after the last one of the kernel's table of them."""
        key: object = None
        known = None
        if all(part.plain for part in _touching(product, group)):  # the others differ from product to product
            key = (product.dims[group], edge, _whole(product, group))
            known = self._tables.get(key)
        if known is None:
            cut = self.candidates(product, group, edge)
            start, end = self._filled, self._filled + len(cut)
            if end > len(self._rows):
                import numpy as np

                self._rows = np.concatenate((self._rows, np.empty((end, TABLE_COLUMNS))))
            if cut:
                self._rows[start:end] = self._table(product, group, cut, array)
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
        return [item for item in found if item.count == 1] if one else found

    def _table(self, product: Product, group: str, found: list[Split], array: Array) -> Table:
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
                ]
            )  # fmt: skip
        return table


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
        return product.out.held_whole, product.epilogue.whole_rows
    return product.a.held_whole | product.b.held_whole, False


def _parameters(product: Product, array: Array) -> list[float]:
    buffers = array.buffers
    a, b, out = product.a, product.b, product.out
    return [
        product.batch, product.size("m"), product.size("n"), product.size("k"), array.rows, array.columns, array.count, array.slowdown,
        array.bytes_per_cycle, a.bytes_per_value, b.bytes_per_value, out.bytes_per_value, a.least_bytes, b.least_bytes, out.least_bytes,
        float(product.extra_bytes), float(sum(product.stores.values())) if product.stores else -1.0, ACCUMULATOR_BYTES,
        float(array.double_buffered), float(buffers.get("all", -1)), float(buffers.get("ifmap", 0)), float(buffers.get("filter", 0)),
        float(buffers.get("ofmap", 0)), float(bool(product.epilogue.nests)), NEAR, FIRINGS_LIMIT, PRICE,
    ]  # fmt: skip


def _beats(one: Choice, row: list[float]) -> bool:
    """Whether ``one`` ranks no worse, moves no more and needs no more than the candidate of score ``row``."""
    return one.rank <= row[15] and one.bytes <= row[1] and one.working_set <= row[2]


def _choice(flow: Flow, cut: Sequence[list[Split]], number: int, row: list[float], array: Array) -> Choice:
    rest, k = divmod(number, len(cut[2]))
    rest, n = divmod(rest, len(cut[1]))
    order, m = divmod(rest, len(cut[0]))
    split = {"m": cut[0][m], "n": cut[1][n], "k": cut[2][k]}
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
    )


def flows_for(dataflow: str) -> tuple[Flow, ...]:
    """The dataflows that a spec's word stands for: one, or all three for ``auto``."""
    return tuple(FLOWS.values()) if dataflow == "auto" else (FLOWS[dataflow],)
