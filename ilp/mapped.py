"""The schedule that moves the fewest bytes off chip: alternatives, order and residencies of a mapped graph chosen together.

Each block is solved by itself, a repeat once for all its rounds (``ilp.residency`` says what there is to decide, ``ilp.residency_search``
how it is decided): first in program order, then in any order for plans that move less still. What comes out is never worse than the trivial
schedule, says how far from the least it may be, and is a schedule like any other: the replay checker and the simulator take it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from hwspecs.vocabulary.errors import ContractError
from ilp.bits import bits
from ilp.lifetimes import compulsory, lifetimes, resolved_outputs
from ilp.replay import check
from ilp.residency import BlockProblem, block_problem
from ilp.residency_gaps import by_gaps
from ilp.residency_places import Lot, addresses
from ilp.residency_search import NO_LIMIT, SHIFT, Move, Prices, Search, Turn, byte_prices, only_order, turns
from ilp.rounds import off_chip_bytes, rounds
from ilp.schedule import BlockSchedule, Residency, Schedule
from ilp.trivial import keeps_tensors, trivial_schedule
from mappings.dataflow import MappedBlock, MappedGraph

WIDTHS = (32, 1_000)
"""States kept a step: of the first sweeps, and of those for what these leave unproven."""
NODES = 500
"""Nodes of the search tree of the gap model."""
CUTS = (64, 32, 16, 8, 4, 2)
"""Where a plan finds no addresses, plans for a memory smaller by one part in so many are tried in turn."""

Progress = Callable[[str], None]
Pricing = Callable[[int, BlockProblem], Prices]
"""(number of the block, its problem) to prices in another measure than bytes; see ``ilp.residency_search.byte_prices``."""


def optimal_schedule(mapped: MappedGraph, *, width: int = WIDTHS[-1], progress: Progress | None = None) -> Schedule:
    """The schedule with the fewest extra bytes that the search finds, fewer cycles (as the mappers estimate) where bytes are equal.

    ``lower_bound_bytes`` holds for every schedule of these alternatives that ``ilp.replay`` accepts; ``proven`` says that it is met.
    Where a memory keeps nothing between operators (a split scratchpad, a GPU without an L2) only alternatives are chosen.

    Args:
        width: states kept a step; more of them find and prove more.
        progress: called with a line of text per block.

    Raises:
        InfeasibleError: no alternative of an operator fits the on-chip memory; names the operator.
    """
    return _scheduled(mapped, None, width, progress)


def priced_schedule(mapped: MappedGraph, pricing: Pricing, *, width: int = WIDTHS[-1], progress: Progress | None = None) -> Schedule:
    """The schedule of the least total by another measure than bytes (cycles as the simulator plays them), fewer bytes where that is equal.

    Its ``lower_bound_bytes`` is 0: nothing is proven about bytes. Raises as ``optimal_schedule`` does.
    """
    return _scheduled(mapped, pricing, width, progress)


def _scheduled(mapped: MappedGraph, pricing: Pricing | None, width: int, progress: Progress | None) -> Schedule:
    simple = trivial_schedule(mapped)
    hardware = mapped.hardware
    keep = keeps_tensors(hardware)
    capacity = simple.capacity_bytes if hardware.on_chip is not None else None
    lives = tuple(lifetimes(block) for block in mapped.blocks)
    off_chip = frozenset(name for name, memory in hardware.memories.items() if memory.off_chip)
    outputs = resolved_outputs(mapped.graph)
    known: dict[int, Solved] = {}
    solved = []
    for number, (block, life, plan) in enumerate(zip(mapped.blocks, lives, simple.blocks, strict=True)):
        if progress is not None:
            progress(f"{mapped.graph.name}: block {number + 1} of {len(mapped.blocks)}")
        if id(block) not in known:
            found = block_problem(block, life, outputs, off_chip, capacity, keep)
            start = Solved(plan, moved_bytes(block, plan, off_chip), 0, "trivial")
            prices = byte_prices(found) if pricing is None else pricing(number, found)
            known[id(block)] = _BlockSolver(block, found, prices, capacity, off_chip, start, width, pricing is None).solve()
        solved.append(known[id(block)])
    floor = compulsory(mapped, lives).bytes
    extra = sum(one.bytes for one in solved) - floor
    bound = min(max(sum(one.bound for one in solved) - floor, 0), extra)
    method = " and ".join(dict.fromkeys(one.method for one in solved)) + ("" if keep else "; the memory keeps nothing between operators")
    return _accepted(
        mapped, Schedule(tuple(one.plan for one in solved), simple.capacity_bytes, method, extra, bound, extra == bound), simple
    )


def _accepted(mapped: MappedGraph, schedule: Schedule, simple: Schedule) -> Schedule:
    """``schedule`` if the checker accepts it, else the trivial one, which says why."""
    try:
        check(mapped, schedule)
    except ContractError as error:
        check(mapped, simple)
        return replace(simple, method=f"trivial, because the plan found was refused: {error.where}: {error.what}")
    return schedule


def moved_bytes(block: MappedBlock, plan: BlockSchedule, off_chip: frozenset[str]) -> int:
    """Off-chip bytes of all rounds of ``block``."""
    flows = [off_chip_bytes(item.alternatives[pick], off_chip) for item, pick in zip(block.operators, plan.alternatives, strict=True)]
    moved = 0
    for turn in rounds(block, plan):
        for index, (loads, stores) in enumerate(flows):
            reads, writes = turn.kept_reads.get(index, frozenset()), turn.kept_writes.get(index, frozenset())
            moved += turn.count * sum(nbytes for tensor, nbytes in loads.items() if tensor not in reads)
            moved += turn.count * sum(nbytes for tensor, nbytes in stores.items() if tensor not in writes)
    return moved - block.count * sum(nbytes for _, _, nbytes in plan.kept_parts)


@dataclass(frozen=True, slots=True)
class Solved:
    """A block's plan: what it moves, the least that any plan moves, and how it was found."""

    plan: BlockSchedule
    bytes: int
    bound: int
    method: str


@dataclass(slots=True)
class _BlockSolver:
    """One block: sweeps in program order, the gap model where they are cut short, sweeps in any order, addresses.

    The best course so far is ``moves`` with ``turn``; its measure is ``cost >> SHIFT``, and no plan has a measure below ``bound``.
    """

    block: MappedBlock
    found: BlockProblem
    prices: Prices
    capacity: int | None
    off_chip: frozenset[str]
    start: Solved
    width: int
    in_bytes: bool
    moves: tuple[Move, ...] | None = None
    turn: Turn = field(default_factory=Turn)
    cost: int = NO_LIMIT << SHIFT
    bound: int = 0
    method: str = ""

    def solve(self) -> Solved:
        """The best plan that can be placed; the trivial one where none moves fewer bytes."""
        if self.block.count < 1 or not self.block.operators:
            return replace(self.start, bound=self.start.bytes)
        handing, every_turn = turns(self.found)
        whole = self.found.complete and every_turn
        searches = [(turn, self._search(turn, self.capacity)) for turn in handing]
        least = min(search.rest(0, search.entering) >> SHIFT for _, search in searches)
        self.bound = least if whole else 0
        ceiling = self.start.bytes + 1 if self.in_bytes else NO_LIMIT
        bounds = self._sweeps(searches, True, ceiling)
        if only_order(self.found) and whole:
            self.bound = max(self.bound, bounds)
        elif self.cost >> SHIFT > least:
            bounds = self._sweeps(searches, False, min(ceiling, self.cost >> SHIFT))
            self.bound = max(self.bound, bounds) if whole else 0
        best = self._placed(self.moves, self.turn, self.method) if self.moves is not None else None
        if self.moves is not None and (best is None or best.method != self.method):
            best = min((one for one in (best, self._with_less(handing)) if one is not None), key=lambda one: one.bytes, default=None)
        if best is None or (self.in_bytes and best.bytes > self.start.bytes):
            best = self.start
        return replace(best, bound=min(self.bound, best.bytes) if self.in_bytes else 0)

    def _search(self, turn: Turn, capacity: int | None) -> Search:
        return Search(self.found, turn, self.prices, capacity, in_bytes=self.in_bytes)

    def _sweeps(self, searches: Sequence[tuple[Turn, Search]], fixed: bool, ceiling: int) -> int:
        """Look for better courses, narrowly and then widely; returns a bound of the measure of all plans of such an order."""
        bounds = [0] * len(searches)
        open_ones = list(range(len(searches)))
        for width in sorted({min(WIDTHS[0], self.width), self.width}):
            left = []
            for number in open_ones:
                turn, search = searches[number]
                limit = min(ceiling, self.cost >> SHIFT) if width > WIDTHS[0] or not fixed else min(ceiling, (self.cost >> SHIFT) + 1)
                swept = search.sweep(fixed=fixed, width=width, limit=limit)
                bounds[number] = max(bounds[number], swept.bound)
                if swept.moves is not None and swept.cost < self.cost:
                    self.moves, self.cost, self.turn = swept.moves, swept.cost, turn
                    self.method = f"dynamic program over {'program order' if fixed else 'all orders'}"
                if swept.cut:
                    left.append(number)
            measure = min(ceiling, self.cost >> SHIFT)
            open_ones = [number for number in left if bounds[number] < measure]
            if not open_ones:
                break
            if fixed and width < self.width and self._gaps():
                return max(min(bounds), self.bound)
        return min((*bounds, self.cost >> SHIFT))

    def _gaps(self) -> bool:
        """Optimal replacement in program order by the gap model, where it says all that there is to decide; whether it proved it."""
        if not self.in_bytes or self.capacity is None or self.found.wraps or not self.found.keeps:
            return False
        solved = by_gaps(self.found, self.capacity, NODES)
        if solved is None:
            return False
        moves, nbytes, bound = solved
        if nbytes < self.cost >> SHIFT:
            self.moves, self.cost, self.turn, self.method = moves, nbytes << SHIFT, Turn(), "gap model of program order"
        if only_order(self.found) and self.found.complete:
            self.bound = max(self.bound, bound)
        return bound >= nbytes

    def _with_less(self, handing: Sequence[Turn]) -> Solved | None:
        """The best plan of those that find addresses for all that stays: of other wraps, and for less memory, at the first cut with any."""
        assert self.capacity is not None
        placed: list[tuple[int, Solved]] = []
        orders = (True,) if only_order(self.found) else (True, False)
        for cut in (0, *CUTS):
            less = self.capacity - (self.capacity // cut if cut else 0)
            method = f"dynamic program for {less} bytes, to find addresses"
            before = len(placed)
            for turn, fixed in product(handing, orders):
                swept = self._search(turn, less).sweep(fixed=fixed, width=min(WIDTHS[0], self.width))
                one = self._placed(swept.moves, turn, method) if swept.moves is not None else None
                if one is not None and one.method == method:
                    placed.append((swept.cost, one))
            if cut and len(placed) > before:
                break
        return min(placed, key=lambda pair: pair[0])[1] if placed else None

    def _placed(self, moves: Sequence[Move], turn: Turn, method: str) -> Solved | None:
        """The plan of ``moves`` with addresses, less what finds none; None if that is needed for the next round."""
        order, holds = _with_views(self.found, moves, turn.entering)
        ways = {move.operator: move.way for move in moves}
        alternatives = tuple(ways.get(index, 0) for index in range(len(self.block.operators)))
        rooms = [self.block.operators[index].alternatives[alternatives[index]].working_set_bytes for index in order]
        groups = _groups(_stays(holds, turn), turn, len(order))
        held, end = self.found.held, len(order) - 1
        lots = [
            Lot(held[group[0][0]].bytes, tuple((max(first, 0), min(last, end)) for _, first, last in spans), firm)
            for group, spans, firm in groups
        ]
        at = addresses(lots, rooms, self.capacity if self.capacity is not None else NO_LIMIT)
        if at is None:
            return None
        found = [(move.operator, item) for move in moves for item in bits(move.kept_reads)]
        reads = {(index, held[item].name) for index, item in found if not held[item].part}
        parts = {
            (index, held[item].name, nbytes)
            for index, item in found
            if held[item].part and (nbytes := dict(self.found.choices[index])[alternatives[index]].loads.get(item, 0))
        }
        writes = {(move.operator, held[item].name) for move in moves for item in bits(move.kept_writes)}
        residencies = []
        for (group, _, _), address in zip(groups, at, strict=True):
            for item, first, last in group:
                if address is not None:
                    residencies.append(Residency(held[item].name, first, last, address, held[item].bytes))
                    continue
                method += " less what finds no address" if "less what" not in method else ""
                reads.difference_update((order[step], held[item].name) for step in range(first + 1, last + 1))
                parts = {part for part in parts if part[1] != held[item].name}
                writes.discard((held[item].maker, held[item].name))
        residencies.sort(key=lambda stay: (stay.first, stay.address, stay.tensor))
        plan = BlockSchedule(order, alternatives, tuple(residencies), frozenset(reads), frozenset(writes), frozenset(parts))
        return Solved(plan, moved_bytes(self.block, plan, self.off_chip), 0, method)


def _with_views(found: BlockProblem, moves: Sequence[Move], entering: int) -> tuple[tuple[int, ...], list[int]]:
    """Order with the views in it, each behind the operator before it in the program; per step the tensors held after it.

    Args:
        entering: tensors held when a round begins, and so after views that come before everything else.
    """
    order: list[int] = []
    holds: list[int] = []
    views = set(found.views)

    def behind(index: int, held: int) -> None:
        while index + 1 in views:
            index += 1
            views.discard(index)
            order.append(index)
            holds.append(held)

    behind(-1, entering)
    for move in moves:
        order.append(move.operator)
        holds.append(move.held)
        behind(move.operator, move.held)
    return tuple(order), holds


def _stays(holds: Sequence[int], turn: Turn) -> list[tuple[int, int, int]]:
    """(tensor, first step, last step) of each residency: from the step that makes or loads it to the last that reads it."""
    since = dict.fromkeys(bits(turn.entering), -1)
    found: list[tuple[int, int, int]] = []
    for step, held in enumerate(holds):
        found.extend((item, since.pop(item), step) for item in tuple(since) if not held >> item & 1)
        for item in bits(held):
            since.setdefault(item, step)
    found.extend((item, first, len(holds)) for item, first in since.items())
    return found


Stayed = tuple[int, int, int]
"""Tensor, first step, last step."""


def _groups(stays: Sequence[Stayed], turn: Turn, steps: int) -> list[tuple[list[Stayed], list[Stayed], bool]]:
    """Residencies that need one address, over which stretches they need it, and whether they must have it.

    What stays at the end of a round lies where the next one looks for it: both have one address if the one is gone when the other is
    made. Else each has its own, and as they change places from round to round, both addresses are needed as long as either is there.
    """
    groups: list[tuple[list[Stayed], list[Stayed], bool]] = []
    done = set()
    for wrap, _ in turn.wraps:
        pair = [stay for stay in stays if (stay[0] == wrap.leaves and stay[2] == steps) or (stay[0] == wrap.enters and stay[1] < 0)]
        enters, leaves = min(pair, key=lambda stay: stay[1]), max(pair, key=lambda stay: stay[1])
        if enters[2] < leaves[1] or wrap.leaves == wrap.enters:
            groups.append((pair, pair, True))
        else:
            groups += [([enters], pair, True), ([leaves], pair, True)]
        done.update(pair)
    groups.extend(([stay], [stay], False) for stay in stays if stay not in done)
    return groups
