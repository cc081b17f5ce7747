"""Attention on an array: scores, softmax on the vector unit and the weighted sum as one chain of stages, scores never off chip.

For each key-value head the query rows are cut into tiles of tm rows (the g query heads that share a key-value head lie along m)
and the keys into tiles of ts; a firing is one pair of tiles. Softmax runs online, tile by tile, as in FlashAttention (Dao et al.,
2022), so the keys need not fit; its rescaling of the running sum is not counted.
Masked-out pairs of causal attention are computed like all others: an array cannot skip within a fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from mappings.dataflow import PORT, Alternative, Edge, Rejected, Stage
from mappings.systolic.counting import added, vector_actions
from mappings.systolic.folds import sram_counts
from mappings.systolic.problem import ROW_FUNCTIONS, Product
from mappings.systolic.runs import Loop, Runs, computing, runs, scaled, zipped
from mappings.systolic.setting import Setting, Way
from mappings.systolic.splits import Split, splits
from mappings.systolic.stages import served_order
from mappings.systolic.tiles import ACCUMULATOR_BYTES, FIRINGS_LIMIT
from workloads.graph import Operator, Tensor


def is_attention(operator: Operator, found: Sequence[Product]) -> bool:
    """Two products with the same batch and rows, the second one working on a softmax of the first."""
    if len(found) != 2:
        return False
    scores, values = found
    linked = scores.out.name in operator.internal and values.a.name in scores.stores and values.a.name in operator.internal
    softmax = any(nest.function in ROW_FUNCTIONS or nest.function == "exp" for nest, _ in scores.epilogue.nests)
    same = (scores.batch, scores.size("m"), scores.size("n")) == (values.batch, values.size("m"), values.size("k"))
    return linked and softmax and same


@dataclass(frozen=True, slots=True)
class _Tiling:
    rows: Split
    keys: Split
    ways: tuple[Way, Way]
    cycles: int
    moved: Mapping[str, int]
    needs: Mapping[str, int]
    excess: int
    estimate: float

    @property
    def name(self) -> str:
        first, second = (way.flow.name.replace("_", "-") for way in self.ways)
        return f"scores {first}, sum {second}, tile of {self.rows.size} rows x {self.keys.size} keys"

    @property
    def bytes(self) -> int:
        return sum(self.moved.values())

    @property
    def working_set(self) -> int:
        return sum(self.needs.values())


def attention_alternatives(
    operator: Operator, tensors: Mapping[str, Tensor], found: Sequence[Product], setting: Setting
) -> tuple[list[Alternative], list[Rejected], str]:
    """Alternatives of the chain, best first; what does not fit; and the reason if nothing does."""
    chain = _Chain(operator, tensors, found, setting)
    edge = max(setting.array.rows, setting.array.columns)
    row_splits = splits(found[0].dims["m"], setting.array.rows, setting.array.rows)
    key_splits = splits(found[0].dims["n"], edge, edge)
    tilings = [chain.tiling(rows, keys) for rows in row_splits for keys in key_splits]
    fitting = sorted((item for item in tilings if not item.excess), key=lambda item: (item.estimate, item.bytes, item.working_set))
    failing = sorted((item for item in tilings if item.excess), key=lambda item: item.estimate)
    rejected = [Rejected(item.name, f"needs {item.excess} bytes more than the scratchpad has", ceil(item.estimate)) for item in failing[:2]]
    if not fitting:
        nearest = min(tilings, key=lambda item: item.excess)
        return [], rejected, f"its smallest tile ({nearest.name}) needs {nearest.excess} bytes more than the scratchpad has"
    kept: list[_Tiling] = []
    for item in fitting:
        if len(kept) < 3 and not any(one.bytes <= item.bytes and one.working_set <= item.working_set for one in kept):
            kept.append(item)
    return [chain.alternative(item) for item in kept], rejected, ""


class _Chain:
    def __init__(self, operator: Operator, tensors: Mapping[str, Tensor], found: Sequence[Product], setting: Setting) -> None:
        self.operator, self.tensors, self.setting = operator, tensors, setting
        self.scores, self.values = found
        self.depth = 2 if setting.array.double_buffered else 1
        self.head, self.value = self.scores.size("k"), self.values.size("n")
        self.softmax = sum(setting.cycles(nest, operator, tensors) * share for nest, share in self.scores.epilogue.nests)
        self.finish = sum(setting.cycles(nest, operator, tensors) * share for nest, share in self.values.epilogue.nests)
        self.stores = dict(self.values.stores)
        if not self.stores:
            self.stores = {self.values.out.name: self._whole(self.values.out.least_bytes, self.values, "out")}

    def _whole(self, least: int, product: Product, which: str) -> int:
        use = {"a": product.a, "b": product.b, "out": product.out}[which]
        size = product.batch
        for group in use.parts:
            size *= product.size(group)
        return max(least, ceil(size * use.bytes_per_value))

    def _way(self, m: int, n: int, k: int) -> Way:
        return min(self.setting.dense_ways(), key=lambda way: way.cycles(m, n, k))

    def _fold(self, way: Way, m: int, n: int, k: int) -> int:
        cycles = way.cycles(m, n, k)
        if way.array.count > 1:
            each = way.fold(m, n, k)
            cycles = ceil(cycles // each / way.array.count) * each
        return ceil(cycles * way.array.slowdown)

    def tiling(self, rows: Split, keys: Split) -> _Tiling:
        """One candidate: its cycles, bytes and buffers."""
        scores, values, array = self.scores, self.values, self.setting.array
        ways = self._way(rows.size, keys.size, self.head), self._way(rows.size, self.value, keys.size)
        cycles = 0
        for row_count, m in rows.variants():
            for key_count, s in keys.variants():
                pairs = scores.batch * rows.outer * row_count * keys.outer * key_count
                cycles += pairs * (self._fold(ways[0], m, s, self.head) + self._fold(ways[1], m, self.value, s))
        again = rows.count if keys.count > 1 else 1
        moved = {
            "query": self._whole(scores.a.least_bytes, scores, "a"),
            "key": self._whole(scores.b.least_bytes, scores, "b") * again,
            "value": self._whole(values.b.least_bytes, values, "b") * again,
            "extra": scores.extra_bytes + values.extra_bytes,
            "out": sum(self.stores.values()),
        }
        deep = self.depth
        several = deep if scores.batch * rows.count * keys.count > 1 else 1
        query = ceil(rows.size * self.head * scores.a.bytes_per_value) * (deep if scores.batch * rows.count > 1 else 1)
        held = ceil(rows.size * keys.size * values.a.bytes_per_value) * several
        key = ceil(keys.size * self.head * scores.b.bytes_per_value) + ceil(keys.size * self.value * values.b.bytes_per_value)
        raw = ceil(rows.size * keys.size * ACCUMULATOR_BYTES) * several
        out = ceil(rows.size * self.value * ACCUMULATOR_BYTES) * (deep if scores.batch * rows.count > 1 else 1)
        mask = ceil(moved["extra"] / (scores.batch * rows.count * keys.count)) * several
        needs = {"ifmap": query + held, "filter": key * (deep if scores.batch * keys.count > 1 else 1), "ofmap": raw + out + mask}
        if "all" in array.buffers:
            excess = max(0, sum(needs.values()) - array.buffers["all"])
        else:
            excess = sum(max(0, need - array.buffers[name]) for name, need in needs.items())
        if scores.batch * rows.count * keys.count > FIRINGS_LIMIT and rows.count * keys.count > 1:
            excess = max(excess, 1)
        transfer = sum(moved.values()) / array.bytes_per_cycle
        first = (query + key) / deep / array.bytes_per_cycle
        estimate = max(cycles, self.softmax + self.finish, transfer) + first
        return _Tiling(rows, keys, ways, cycles, moved, needs, excess, estimate)

    def alternative(self, tiling: _Tiling) -> Alternative:
        """The chain of stages: loads, scores, softmax, weighted sum, store."""
        stages, edges = self._stages(tiling)
        transfer = ceil(tiling.bytes / self.setting.array.bytes_per_cycle)
        breakdown = {
            "array": sum(stage.cycles for stage in stages if stage.unit == self.setting.site.unit),
            "vector": ceil(self.softmax + self.finish),
            f"memory {self.setting.site.dram}": transfer,
        }
        return Alternative(
            tiling.name,
            served_order(stages, self.setting.site.dram),
            tuple(edges),
            tiling.working_set,
            ceil(tiling.estimate),
            self._actions(tiling),
            breakdown,
        )

    def _stages(self, tiling: _Tiling) -> tuple[list[Stage], list[Edge]]:
        site, deep = self.setting.site, self.depth
        port = PORT + site.dram
        batch = Loop("batch", ((self.scores.batch * tiling.rows.outer, 1),))
        rows, keys = Loop("m", tiling.rows.variants()), Loop("s", tiling.keys.variants())
        steps = [batch, rows, *([Loop("s outer", ((tiling.keys.outer, 1),))] if tiling.keys.outer > 1 else []), keys]
        count, turns, blocks = tiling.rows.count, tiling.keys.count, self.scores.batch * tiling.rows.count
        whole = {"m": tiling.rows.size, "s": tiling.keys.size}
        first, second = tiling.ways

        def sized(name: str, sizes: dict[str, int]) -> int:
            return sizes.get(name, whole[name])

        by_row = runs([batch, rows], lambda sizes: sized("m", sizes))
        by_pair = runs(steps, lambda sizes: sized("m", sizes) * sized("s", sizes))
        resident = turns == 1
        by_key: Runs = [(self.scores.batch, 1)] if resident else runs(steps, lambda sizes: sized("s", sizes))
        uses = count if resident else 1

        def load(name: str, weights: Runs, sources: Sequence[tuple[str, float]], total: int) -> None:
            parts = [(source, scaled(weights, round(total * share))) for source, share in sources]
            stages.append(Stage(name, port, zipped(parts, site.dram, site.chip)))

        stages: list[Stage] = []
        edges: list[Edge] = []
        load("load query", by_row, self.scores.a.sources, tiling.moved["query"])
        load("load key", by_key, self.scores.b.sources, tiling.moved["key"])
        stages.append(
            Stage("scores", site.unit, computing(runs(steps, lambda z: self._fold(first, sized("m", z), sized("s", z), self.head))))
        )
        edges += [Edge("load query", "scores", turns, 1, 0, deep * turns), Edge("load key", "scores", uses, 1, 0, deep * uses)]
        edges += self._extra("load mask", self.scores, by_pair, stages, "softmax")
        stages.append(Stage("softmax", site.vector, computing(scaled(by_pair, ceil(self.softmax)))))
        load("load value", by_key, self.values.b.sources, tiling.moved["value"])
        stages.append(
            Stage("sum", site.unit, computing(runs(steps, lambda z: self._fold(second, sized("m", z), self.value, sized("s", z)))))
        )
        edges += [Edge("scores", "softmax", 1, 1, 0, deep), Edge("softmax", "sum", 1, 1, 0, deep)]
        edges.append(Edge("load value", "sum", uses, 1, 0, deep * uses))
        last, consumed = "sum", turns
        if self.values.epilogue.nests:
            edges += self._extra("load epilogue", self.values, by_row, stages, "epilogue")
            stages.append(Stage("epilogue", site.vector, computing(scaled(by_row, ceil(self.finish)))))
            edges.append(Edge("sum", "epilogue", 1, turns, 0, deep * turns))
            last, consumed = "epilogue", 1
        assert sum(repeat for repeat, _ in by_row) == blocks
        parts = [(name, scaled(by_row, size)) for name, size in self.stores.items()]
        stages.append(Stage("store", port, zipped(parts, site.chip, site.dram)))
        edges.append(Edge(last, "store", 1, consumed, 0, deep * consumed))
        return stages, edges

    def _extra(self, name: str, product: Product, weights: Runs, stages: list[Stage], target: str) -> list[Edge]:
        """A load stage for what the vector work reads besides (a mask, a residual)."""
        reads = {tensor: size for tensor, size in product.epilogue.reads.items() if size > 0}
        if not reads:
            return []
        parts = [(tensor, scaled(weights, size)) for tensor, size in reads.items()]
        stages.append(Stage(name, PORT + self.setting.site.dram, zipped(parts, self.setting.site.dram, self.setting.site.chip)))
        return [Edge(name, target, 1, 1, 0, self.depth)]

    def _actions(self, tiling: _Tiling) -> dict[str, float]:
        setting = self.setting
        pairs = self.scores.batch * tiling.rows.count * tiling.keys.count
        m, s = tiling.rows.size, tiling.keys.size
        read = written = 0.0
        for product, way, n, k in ((self.scores, tiling.ways[0], s, self.head), (self.values, tiling.ways[1], self.value, s)):
            counts = sram_counts(way.flow, m, n, k, way.array.rows, way.array.columns)
            read += counts.ifmap_reads * product.a.bytes_per_value + counts.filter_reads * product.b.bytes_per_value
            read += counts.partial_sum_reads * ACCUMULATOR_BYTES
            written += counts.ofmap_writes * ACCUMULATOR_BYTES
        chip = setting.site.chip
        moved = tiling.moved
        base = {
            f"{setting.unit.name}.mac.{setting.format_name}": float(self.operator.macs),
            f"{chip}.read.byte": read * pairs + moved["out"],
            f"{chip}.write.byte": written * pairs + tiling.bytes - moved["out"],
        }
        vector = setting.vector or setting.unit
        works = (*self.scores.epilogue.nests, *self.values.epilogue.nests)
        return added(base, vector_actions(works, self.operator, self.tensors, vector, setting.site.vector))
