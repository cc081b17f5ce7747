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
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
PRICE = 0.05
"""Candidates are ranked by their estimated cycles plus this share of the cycles that their transfers take: where the array is the
bottleneck, a few cycles of fill saved are not worth loading everything again."""
ACCUMULATOR_BYTES = 4.0
"""Partial sums are 32 bits wide (int32 for integers, fp32 for floats)."""

_FLOW_NUMBERS = {name: number for number, name in enumerate(FLOWS)}

Table = list[list[float]]


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
    """Searches tiles on one array; remembers the splits of dimension groups and what they touch, which many operators share."""

    def __init__(self) -> None:
        self._splits: dict[tuple[Dims, int], list[Split]] = {}
        self._touched: dict[object, list[tuple[int, int]]] = {}

    def search(self, product: Product, flows: Sequence[Flow], array: Array) -> tuple[list[Choice], list[Choice]]:
        """(candidates that fit, best first; the notable ones that do not, one per dataflow).

        The first list holds per dataflow the candidate of best rank, the one that moves least and the one of the smallest working
        set, as far as they differ and none is beaten by another in rank, bytes and working set. If nothing fits, it is empty and the
        second list holds the candidates that are nearest to fitting.
        """
        import numpy as np

        from simulator.kernels import systolic_tiles as kernel

        parameters = np.array(_parameters(product, array))
        made: dict[tuple[str, int], tuple[list[Split], NDArray[np.float64]]] = {}
        kept: list[Choice] = []
        failing: list[Choice] = []
        for flow in flows:
            found = []
            for group in "mnk":
                edge = array.rows if group == flow.rows else array.columns if group == flow.columns else max(array.rows, array.columns)
                if (group, edge) not in made:
                    cut = self.candidates(product, group, edge)
                    made[group, edge] = cut, np.array(self._table(product, group, cut, array))
                found.append(made[group, edge])
            (m_cut, m), (n_cut, n), (k_cut, k) = found
            picked, scores = kernel.search(_FLOW_NUMBERS[flow.name], m, n, k, parameters)
            numbers: list[int] = picked.tolist()
            rows: list[list[float]] = scores.tolist()
            own: dict[int, Choice] = {}
            for number, row in zip(numbers[:3], rows[:3], strict=True):
                if number >= 0 and number not in own and not any(_beats(one, row) for one in own.values()):
                    own[number] = _choice(flow, (m_cut, n_cut, k_cut), number, row, array)
            kept.extend(own.values())
            if numbers[3] >= 0:
                failing.append(_choice(flow, (m_cut, n_cut, k_cut), numbers[3], rows[3], array))
        return sorted(kept, key=lambda choice: (choice.rank, choice.bytes, choice.working_set)), failing

    def candidates(self, product: Product, group: str, edge: int) -> list[Split]:
        """Splits of m, n or k that are tried where the array holds ``edge`` points of it."""
        dims = product.dims[group]
        found = self._splits.get((dims, edge))
        if found is None:
            found = self._splits[dims, edge] = splits(dims, edge)
        uses = {"m": (), "n": (product.out,), "k": (product.a, product.b)}[group]
        whole = [dim for use in uses for dim in use.held_whole]
        if whole:
            extents = dict(dims)
            found = [item for item in found if all(item.tiles[dim] == extents[dim] for dim in whole)]
        if group == "n" and product.epilogue.whole_rows:
            found = [item for item in found if item.count == 1]
        return found

    def _table(self, product: Product, group: str, found: list[Split], array: Array) -> Table:
        """The kernel's table of a group: columns as in ``simulator.kernels.systolic_tiles``."""
        first, second = {"m": (product.a, product.out), "n": (product.b, product.out), "k": (product.a, product.b)}[group]
        size = product.size(group)
        touched = self._touch(first.parts[group], size, found), self._touch(second.parts[group], size, found)
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

    def _touch(self, part: Part, total: int, found: list[Split]) -> list[tuple[int, int]]:
        """(elements of a full tile, elements of all tiles) per split."""
        if part.plain:
            return [(split.size, total) for split in found]
        key = (part.axes, tuple(part.extents.items()), tuple(split.size for split in found))
        known = self._touched.get(key)
        if known is None:
            known = self._touched[key] = [part.touched(split) for split in found]
        return known


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


def _choice(flow: Flow, cut: tuple[list[Split], list[Split], list[Split]], number: int, row: list[float], array: Array) -> Choice:
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
