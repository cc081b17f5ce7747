"""From a chosen tile to the dataflow graph: loads, array, vector work and stores as stages, buffers as edges."""

from __future__ import annotations

from math import ceil, prod

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.records import dataclass
from mappings.dataflow import PORT, Edge, Stage
from mappings.systolic.problem import Product, Use, VectorWork
from mappings.systolic.runs import RUNS_LIMIT, Loop, Runs, computing, moving, product_runs, runs, scaled, spread, zipped
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

    stores: list[Stage] = []
    loads: list[tuple[float, int, Stage]] = []
    work: list[Stage] = []
    for place, stage in enumerate(stages):
        moves = next((segment.transfers for segment in stage.segments if segment.transfers), ())
        if not moves:
            work.append(stage)
        elif moves[0].target == dram:
            stores.append(stage)
        else:
            loads.append((sum([move.bytes for move in moves]), place, stage))
    loads.sort()
    work.reverse()
    return (*stores, *[stage for _, _, stage in loads], *work)


def _areas(loops: list[Loop], groups: str) -> Runs:
    """Firings of ``loops``, each weighed by the points of ``groups`` in its tile."""
    return product_runs([loop.variants if loop.group[0] in groups else ((loop_trips(loop), 1),) for loop in loops])


def loop_trips(loop: Loop) -> int:
    """Tiles along a loop."""
    variants = loop.variants
    return variants[0][0] if len(variants) == 1 else variants[0][0] + variants[1][0]


class _Planner:
    def __init__(self, product: Product, choice: Choice, site: Site, vector_cycles: dict[str, float], prefix: str) -> None:
        self.product, self.choice, self.site, self.vector, self.prefix = product, choice, site, vector_cycles, prefix
        self.array = choice.array or site.array
        self.packs = -(-product.batch // choice.pack)
        self.loops = [Loop("batch", ((self.packs, 1),))]
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
        array_cycles = sum([repeat * cycles for repeat, cycles in firings])
        return Plan(
            served_order(self.stages, self.site.dram), tuple(self.edges), array_cycles, ceil(sum(self.vector.values())), choice.bytes
        )

    def _merge(self) -> bool:
        """Let one firing stand for several consecutive tiles where there are more than ``FIRINGS_LIMIT``; totals stay exact."""
        firings = prod(loop_trips(loop) for loop in self.loops)
        many = -(-firings // FIRINGS_LIMIT)
        for place in range(len(self.loops) - 1, -1, -1):
            if many <= 1:
                break
            loop = self.loops[place]
            trips, size = loop_trips(loop), loop.variants[0][1]
            step = min(many, trips)
            fewer = -(-trips // step)
            points = sum(repeat * item for repeat, item in loop.variants)
            last = points - (fewer - 1) * step * size
            self.loops[place] = Loop(loop.group, ((fewer - 1, step * size), (1, last)) if fewer > 1 else ((1, last),))
            many = -(-many // step)
        return firings > FIRINGS_LIMIT

    def _count(self, groups: str) -> int:
        """Firings of the loops of ``groups`` (first letters: ``b`` batch, ``m``, ``n``, ``k``)."""
        return prod(loop_trips(loop) for loop in self.loops if loop.group[0] in groups)

    def _uses(self, groups: str) -> tuple[list[Loop], int]:
        """The loops that move an operand of ``groups`` (inner ones that do not are dropped) and the firings that use one tile of it."""
        loops, uses = list(self.loops), 1
        while len(loops) > 1:
            loop = loops[-1]
            if loop.group[0] in groups and loop_trips(loop) > 1:
                break
            uses *= loop_trips(loop)
            loops.pop()
        return loops, uses

    def _load(self, use: Use, key: str, compute: str) -> Edge:
        first, second = use.parts
        loops, uses = self._uses(first + second)
        total = self.choice.moved[key]
        firings = scaled(_areas(loops, first + second), total)
        totals = {name: int(total * share) for name, share in use.sources}
        totals[use.sources[0][0]] += total - sum(totals.values())
        name = f"{self.prefix}load {'ifmap' if key == 'a' else 'filter'}"
        self.stages.append(Stage(name, self.port, moving(firings, use.sources, self.site.dram, self.site.chip, totals, self._piece(use))))
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

    def _piece(self, use: Use) -> int:
        """Length of one contiguous piece of an operand's tile in DRAM, in bytes; 0: a long stream."""
        if not use.shape or self.merged:
            return 0
        split = self.choice.split
        return use.contiguous_bytes({**split["m"].tiles, **split["n"].tiles, **split["k"].tiles})

    def _tiles(self, use: Use) -> int:
        return self._count("b" + "".join(use.parts))

    def _compute_runs(self) -> Runs:
        """Cycles of the array per tile."""
        choice, array = self.choice, self.array
        flow = choice.flow
        ramp = array.ramp(flow)
        if self.merged or choice.steps is not None or choice.pack * self.packs != self.product.batch:
            # steps are expected values, not whole; a last pack holds fewer products: the total is kept, in proportion to the points
            return scaled(_areas(self.loops, "mnk"), ceil(choice.cycles))
        passes = choice.passes
        if passes is not None:
            return runs(self.loops, lambda sizes: ceil(passes.cycles(sizes)))
        if choice.streamed:
            return self._streamed_runs(ramp)
        if array.count > 1:
            return runs(self.loops, lambda sizes: self._shared_cycles(sizes, ramp))
        # folds along rows x folds along columns x cycles of a fold: one factor per loop
        edge = {flow.rows: array.rows, flow.columns: array.columns}
        factors = []
        for loop in self.loops:
            if loop.group == flow.time:
                factors.append(tuple([(repeat, size + ramp) for repeat, size in loop.variants]))
            elif loop.group in edge:
                factors.append(tuple([(repeat, -(-size // edge[loop.group])) for repeat, size in loop.variants]))
            else:
                factors.append(loop.variants)
        firings = product_runs(factors)
        return firings if array.slowdown == 1.0 else [(repeat, ceil(cycles * array.slowdown)) for repeat, cycles in firings]

    def _shared_cycles(self, sizes: dict[str, int], ramp: int) -> int:
        """Cycles of one tile whose folds several copies of the array share."""
        array, flow = self.array, self.choice.flow
        folds = -(-sizes[flow.rows] // array.rows) * -(-sizes[flow.columns] // array.columns)
        return ceil(-(-folds // array.count) * (sizes[flow.time] + ramp) * array.slowdown)

    def _streamed_runs(self, ramp: int) -> Runs:
        """k streams through tiles that stay in the array: fill and drain fall to the last tile of k."""
        slowdown = self.array.slowdown
        steps = product_runs([loop.variants for loop in self.loops if loop.group[0] == "k"])
        inner = [(repeat, ceil(size * slowdown)) for repeat, size in steps]
        repeat, last = inner.pop()
        inner.extend(run for run in ((repeat - 1, last), (1, last + ceil(ramp * slowdown))) if run[0])
        outer = self._count("bmn")
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
        areas = _areas(loops, "mn")
        source, consumed = compute, turns
        if product.epilogue.nests:
            source, consumed = self._epilogue(product.epilogue, compute, areas, turns), 1
        stores = product.stores or {product.out.name: choice.moved["out"] - product.extra_bytes}
        parts = [(name, scaled(areas, size)) for name, size in stores.items()]
        store = self.prefix + "store"
        piece = self._piece(product.out) if len(stores) == 1 else 0
        self.stages.append(Stage(store, self.port, zipped(parts, site.chip, site.dram, piece)))
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
