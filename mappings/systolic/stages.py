"""From a chosen tile to the dataflow graph: loads, array, vector work and stores as stages, buffers as edges."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod

from hwspecs.hardware import ComputeUnit, Hardware
from mappings.dataflow import PORT, Edge, Stage
from mappings.systolic.problem import Product, Use, VectorWork
from mappings.systolic.runs import RUNS_LIMIT, Loop, Runs, computing, moving, runs, scaled, spread, zipped
from mappings.systolic.tiles import FIRINGS_LIMIT, Array, Choice

PARTIAL_SUMS = "partial sums"


@dataclass(frozen=True, slots=True)
class Site:
    """Where stages run: the array's unit, what does vector work (a vector unit, or the array's own columns), and the two memories."""

    array: Array
    unit: str
    vector: str
    dram: str
    chip: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Stages and edges of one product, with what they add up to."""

    stages: tuple[Stage, ...]
    edges: tuple[Edge, ...]
    array_cycles: int
    vector_cycles: int
    moved_bytes: int


def plan(product: Product, choice: Choice, site: Site, vector_cycles: dict[str, float], prefix: str = "") -> Plan:
    """The dataflow graph of ``product`` tiled as ``choice``.

    Each operand has a load stage that fires once per tile loaded and leaves one token for each tile of work that uses it; the
    array fires once per tile; results leave once per finished tile (or per spill). An edge holds two tiles where the scratchpad
    is double-buffered, else one. Stages are listed in the order of ``served_order``.

    Args:
        vector_cycles: cycles of all vector work of ``prologue_a``, ``prologue_b``, ``epilogue``.
        prefix: of the stages' names.
    """
    return _Planner(product, choice, site, vector_cycles, prefix).plan()


def served_order(stages: list[Stage], dram: str) -> tuple[Stage, ...]:
    """``stages`` in the order in which a port or unit serves those that may start: the first in the list goes first.

    Results leave before new tiles are fetched, or else loads would fill every buffer while the array waits for room; among loads the
    small ones go first, or else the large ones would run ahead and leave the array without its other operand; of two stages on
    one unit the one nearer to the store goes first.
    """

    def key(stage: Stage) -> tuple[int, float]:
        moves = [(segment.repeat, move) for segment in stage.segments for move in segment.transfers]
        if not moves:
            return (2, 0.0)
        if any(move.target == dram for _, move in moves):
            return (0, 0.0)
        return (1, sum(repeat * move.bytes for repeat, move in moves) / stage.firings)

    ports = sorted((stage for stage in stages if key(stage)[0] < 2), key=key)
    return (*ports, *reversed([stage for stage in stages if key(stage)[0] == 2]))


class _Planner:
    def __init__(self, product: Product, choice: Choice, site: Site, vector_cycles: dict[str, float], prefix: str) -> None:
        self.product, self.choice, self.site, self.vector, self.prefix = product, choice, site, vector_cycles, prefix
        self.loops = [Loop("batch", ((product.batch, 1),))]
        for group in choice.order:
            split = choice.split[group]
            if split.outer > 1:
                self.loops.append(Loop(f"{group} outer", ((split.outer, 1),)))
            self.loops.append(Loop(group, split.variants()))
        self.merged = self._merge()
        self.stages: list[Stage] = []
        self.edges: list[Edge] = []
        self.depth = 2 if site.array.double_buffered else 1
        self.port = PORT + site.dram

    def plan(self) -> Plan:
        choice = self.choice
        compute = self.prefix + "array"
        sources = [self._load(self.product.a, "a", compute), self._load(self.product.b, "b", compute)]
        spilled = choice.moved["spill"] > 0
        if spilled:
            sources.append(self._load_sums(compute))
        firings = self._compute_runs()
        self.stages.append(Stage(compute, self.site.unit, computing(firings)))
        self.edges.extend(sources)
        last = self._finish_spilled(compute) if spilled else self._finish(compute)
        if spilled:
            self.edges.append(Edge(last, self.prefix + "load sums", 1, 1, self._count(choice.order[2]), 0))
        array_cycles = sum(repeat * cycles for repeat, cycles in firings)
        moved = sum(seg.repeat * move.bytes for stage in self.stages for seg in stage.segments for move in seg.transfers)
        return Plan(served_order(self.stages, self.site.dram), tuple(self.edges), array_cycles, ceil(sum(self.vector.values())), moved)

    def _merge(self) -> bool:
        """Let one firing stand for several consecutive tiles where there are more than ``FIRINGS_LIMIT``; totals stay exact."""
        firings = prod(self._trips(loop) for loop in self.loops)
        many = -(-firings // FIRINGS_LIMIT)
        for place in range(len(self.loops) - 1, -1, -1):
            if many <= 1:
                break
            loop = self.loops[place]
            trips, size = self._trips(loop), loop.variants[0][1]
            step = min(many, trips)
            fewer = -(-trips // step)
            points = sum(repeat * item for repeat, item in loop.variants)
            last = points - (fewer - 1) * step * size
            self.loops[place] = Loop(loop.group, ((fewer - 1, step * size), (1, last)) if fewer > 1 else ((1, last),))
            many = -(-many // step)
        return firings > FIRINGS_LIMIT

    @staticmethod
    def _trips(loop: Loop) -> int:
        return sum(repeat for repeat, _ in loop.variants)

    def _count(self, groups: str) -> int:
        """Firings of the loops of ``groups`` (first letters: ``b`` batch, ``m``, ``n``, ``k``)."""
        return prod(self._trips(loop) for loop in self.loops if loop.group[0] in groups)

    def _uses(self, groups: str) -> tuple[list[Loop], int]:
        """The loops that move an operand of ``groups`` (inner ones that do not are dropped) and the firings that use one tile of it."""
        loops, uses = list(self.loops), 1
        while len(loops) > 1:
            loop = loops[-1]
            if loop.group[0] in groups and self._trips(loop) > 1:
                break
            uses *= self._trips(loop)
            loops.pop()
        return loops, uses

    def _load(self, use: Use, key: str, compute: str) -> Edge:
        first, second = use.parts
        loops, uses = self._uses(first + second)
        split = self.choice.split
        whole_first, whole_second = split[first].size, split[second].size
        total = self.choice.moved[key]
        firings = scaled(runs(loops, lambda sizes: sizes.get(first, whole_first) * sizes.get(second, whole_second)), total)
        totals = {name: int(total * share) for name, share in use.sources}
        totals[use.sources[0][0]] += total - sum(totals.values())
        name = f"{self.prefix}load {'ifmap' if key == 'a' else 'filter'}"
        self.stages.append(Stage(name, self.port, moving(firings, use.sources, self.site.dram, self.site.chip, totals)))
        count = sum(repeat for repeat, _ in firings)
        work = self.product.prologue_a if key == "a" else self.product.prologue_b
        if work.nests:
            made = f"{self.prefix}make {'ifmap' if key == 'a' else 'filter'}"
            loads_per_tile = count / max(1, self._tiles(use))
            cycles = ceil(self.vector[f"prologue_{key}"] * loads_per_tile)
            self.stages.append(Stage(made, self.site.vector, computing(spread(cycles, count))))
            self.edges.append(Edge(name, made, 1, 1, 0, self.depth))
            name = made
        return Edge(name, compute, uses, 1, 0, self.depth * uses)

    def _tiles(self, use: Use) -> int:
        return self._count("b" + "".join(use.parts))

    def _compute_runs(self) -> Runs:
        choice, array = self.choice, self.site.array
        flow = choice.flow
        whole = {group: choice.split[group].size for group in "mnk"}
        ramp = flow.ramp(array.rows, array.columns)

        def cycles(sizes: dict[str, int]) -> int:
            size = {group: sizes.get(group, whole[group]) for group in "mnk"}
            folds = -(-size[flow.rows] // array.rows) * -(-size[flow.columns] // array.columns)
            steps = ceil(folds / array.count) * (size[flow.time] + (0 if choice.streamed else ramp))
            return ceil(steps * array.slowdown)

        if self.merged:
            return scaled(runs(self.loops, lambda sizes: prod(sizes.get(group, whole[group]) for group in "mnk")), ceil(choice.cycles))
        if not choice.streamed:
            return runs(self.loops, cycles)
        # k streams through tiles that stay in the array: fill and drain fall to the last tile of k
        inner = runs([loop for loop in self.loops if loop.group[0] == "k"], cycles)
        repeat, last = inner.pop()
        inner.extend(run for run in ((repeat - 1, last), (1, last + ceil(ramp * array.slowdown))) if run[0])
        outer = self.product.batch * choice.split["m"].count * choice.split["n"].count
        if outer == 1 or len(inner) * outer <= RUNS_LIMIT:
            return inner * outer
        period = sum(count for count, _ in inner)
        return spread(sum(count * item for count, item in inner) * outer, period * outer)

    def _rounds(self) -> tuple[int, int, int]:
        """(rounds of the outermost loop, tiles of k, tiles of the innermost loop) where partial sums are spilled."""
        order = self.choice.order
        return self._count("b" + order[0]), self._count("k"), self._count(order[2])

    def _load_sums(self, compute: str) -> Edge:
        """Partial sums come back for every tile of k but the first."""
        rounds, turns, inner = self._rounds()
        sums = self._sums([(inner, 0), (inner * (turns - 1), 1)] * rounds, self.choice.moved["spill"])
        name = self.prefix + "load sums"
        self.stages.append(Stage(name, self.port, zipped([(PARTIAL_SUMS, sums)], self.site.dram, self.site.chip)))
        return Edge(name, compute, 1, 1, 0, self.depth)

    def _finish_spilled(self, compute: str) -> str:
        """Every tile of k but the last leaves partial sums, the last one the result."""
        rounds, turns, inner = self._rounds()
        sums = self._sums([(inner * (turns - 1), 1), (inner, 0)] * rounds, self.choice.moved["spill"])
        out = self._sums([(inner * (turns - 1), 0), (inner, 1)] * rounds, self.choice.moved["out"])
        parts = [(PARTIAL_SUMS, sums), (self.product.out.name, out)]
        name = self.prefix + "store"
        self.stages.append(Stage(name, self.port, zipped(parts, self.site.chip, self.site.dram)))
        self.edges.append(Edge(compute, name, 1, 1, 0, self.depth))
        return name

    @staticmethod
    def _sums(weights: Runs, total: int) -> Runs:
        """``total`` bytes over the firings of weight 1; over all firings where that makes too many runs."""
        firings = sum(repeat for repeat, _ in weights)
        return scaled(weights, total) if len(weights) <= RUNS_LIMIT else spread(total, firings)

    def _finish(self, compute: str) -> str:
        product, choice, site = self.product, self.choice, self.site
        turns = self._count("k")
        loops = [loop for loop in self.loops if loop.group[0] != "k"]
        whole = {group: choice.split[group].size for group in "mn"}
        areas = runs(loops, lambda sizes: sizes.get("m", whole["m"]) * sizes.get("n", whole["n"]))
        source, consumed = compute, turns
        if product.epilogue.nests:
            source, consumed = self._epilogue(product.epilogue, compute, areas, turns), 1
        stores = product.stores or {product.out.name: choice.moved["out"] - product.extra_bytes}
        parts = [(name, scaled(areas, size)) for name, size in stores.items()]
        store = self.prefix + "store"
        self.stages.append(Stage(store, self.port, zipped(parts, site.chip, site.dram)))
        self.edges.append(Edge(source, store, 1, consumed, 0, self.depth * consumed))
        return store

    def _epilogue(self, work: VectorWork, compute: str, areas: Runs, turns: int) -> str:
        site = self.site
        name = self.prefix + "epilogue"
        reads = {tensor: size for tensor, size in work.reads.items() if size > 0}
        if reads:
            load = self.prefix + "load epilogue"
            parts = [(tensor, scaled(areas, size)) for tensor, size in reads.items()]
            self.stages.append(Stage(load, self.port, zipped(parts, site.dram, site.chip)))
            self.edges.append(Edge(load, name, 1, 1, 0, self.depth))
        cycles = ceil(self.vector["epilogue"])
        self.stages.append(Stage(name, site.vector, computing(scaled(areas, cycles))))
        self.edges.append(Edge(compute, name, 1, turns, 0, self.depth * turns))
        return name


def site_of(array: Array, unit: ComputeUnit, vector: ComputeUnit | None, hardware: Hardware) -> Site:
    """The site of ``unit``; the scratchpad is the outermost on-chip memory."""
    chip = hardware.on_chip
    return Site(array, unit.name, (vector or unit).name, hardware.dram.name, chip.name if chip is not None else unit.name)
