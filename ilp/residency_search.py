"""The search over orders, ways and residencies of one block of a mapped graph: a dynamic program over what has run and what is held.

A state is the set of operators that have run, the tensors held on chip, and those among them with a copy off chip. What to
hold is decided where a tensor is made or read, because a tensor held over a part of the gap between two uses saves nothing; so at every
step only the operands and results of the operator that runs are open, and untouched tensors stay. Of the ways of running an operator the
cheapest that fits beside what is held is taken: which one has no bearing on later steps. States beyond ``width`` per step are dropped,
cheapest kept; the least that one of these could have come to is then the proven bound, and where none was dropped, the plan is optimal.

Costs are whole numbers of two parts, the upper one the measure to be made least and the lower one to break ties (``SHIFT``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, product

from ilp.bits import bits
from ilp.residency import BlockProblem, Wrap

SHIFT = 60
NO_LIMIT = 1 << 62

Key = tuple[int, int, int]
"""Sets of bits: operators that ran, tensors held, tensors among the live ones that are unstored no longer."""
Prices = Callable[[int, int, int], list[tuple[int, int, int]]]
"""(operator, tensors found on chip, results not stored) to ways as (cost of one round, room, number of the alternative), cheapest first."""


@dataclass(frozen=True, slots=True)
class Move:
    """One step of a plan: operator, alternative, tensors read on chip, results not stored, tensors held afterwards; sets of bits."""

    operator: int
    way: int
    kept_reads: int
    kept_writes: int
    held: int


@dataclass(frozen=True, slots=True)
class Turn:
    """How rounds hand over: wraps that are used, each with whether the tensor has a copy off chip when a round begins."""

    wraps: tuple[tuple[Wrap, bool], ...] = ()

    @property
    def entering(self) -> int:
        """Tensors held when a round begins."""
        return sum(1 << wrap.enters for wrap, _ in self.wraps)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found: the moves, None if no plan is cheaper than the limit; their cost; a bound of the measure (at most the limit).

    ``cut``: states were dropped.
    """

    moves: tuple[Move, ...] | None
    cost: int
    bound: int
    cut: bool


def turns(problem: BlockProblem, most: int = 81) -> tuple[tuple[Turn, ...], bool]:
    """All ways in which rounds may hand over, and whether these are all (else the first ``most`` wraps' worth)."""
    rows: list[list[tuple[tuple[Wrap, bool], ...]]] = []
    count = 1
    for wrap in problem.wraps:
        options: list[tuple[tuple[Wrap, bool], ...]] = [(), ((wrap, True),)]
        if not wrap.stored:
            options.append(((wrap, False),))
        if count * len(options) > most:
            return _products(rows), False
        count *= len(options)
        rows.append(options)
    return _products(rows), True


def _products(rows: list[list[tuple[tuple[Wrap, bool], ...]]]) -> tuple[Turn, ...]:
    return tuple(Turn(tuple(pair for part in picked for pair in part)) for picked in product(*rows))


def only_order(problem: BlockProblem) -> bool:
    """Whether the operators can run in program order alone (but for those that touch nothing)."""
    tasks = [index for index in range(len(problem.choices)) if index not in problem.views]
    return all(first in problem.before[second] for first, second in pairwise(tasks))


def byte_prices(problem: BlockProblem) -> Prices:
    """Bytes off chip, ties broken by the mapper's cycles."""
    known: dict[tuple[int, int, int], list[tuple[int, int, int]]] = {}

    def prices(operator: int, kept_reads: int, kept_writes: int) -> list[tuple[int, int, int]]:
        key = (operator, kept_reads, kept_writes)
        found = known.get(key)
        if found is None:
            found = []
            for pick, choice in problem.choices[operator]:
                moved = choice.own
                moved += sum(nbytes for item, nbytes in choice.loads.items() if not kept_reads >> item & 1)
                moved += sum(nbytes for item, nbytes in choice.stores.items() if not kept_writes >> item & 1)
                found.append(((moved << SHIFT) + choice.cycles, choice.room, pick))
            found.sort()
            known[key] = found
        return found

    return prices


class Search:
    """Sweeps over one block with one handing over of its rounds.

    Args:
        prices: what a way costs in one round. capacity: on-chip bytes, None: not limited.
        in_bytes: the measure is bytes, so that what a load costs at least is known.
    """

    def __init__(self, problem: BlockProblem, turn: Turn, prices: Prices, capacity: int | None, *, in_bytes: bool = True) -> None:
        self.problem, self.prices, self.in_bytes = problem, prices, in_bytes
        self.capacity = capacity if capacity is not None else NO_LIMIT
        held, tasks = problem.held, len(problem.choices)
        self.tasks = [index for index in range(tasks) if index not in problem.views]
        self.size = [item.bytes for item in held]
        self.reads = [0] * tasks
        self.makes = [0] * tasks
        self.users = [0] * len(held)
        self.whole = [sum(1 << index for index in item.whole) for item in held]
        self.most = [sum(1 << index for index in item.most) for item in held]
        self.forced = 0
        for number, item in enumerate(held):
            for user in item.users:
                self.reads[user] |= 1 << number
                self.users[number] |= 1 << user
            if item.maker is not None:
                self.makes[item.maker] |= 1 << number
            if item.stored:
                self.forced |= 1 << number
        viewed = sum(1 << index for index in problem.views)
        self.before = [sum(1 << other for other in row) & ~viewed for row in problem.before]
        self._hand_over(turn)
        self._live: dict[int, int] = {}
        self._rest: dict[int, int] = {}
        self._loads: dict[int, int] = {}
        self._ready: dict[int, list[int]] = {}
        self._costs: dict[tuple[int, int, int, int], list[tuple[int, int, int]]] = {}
        self._sizes: dict[int, int] = {0: 0}
        self._prepare()

    def _hand_over(self, turn: Turn) -> None:
        """Tensors held at both ends of a round, and what must be stored.

        What a round begins with may still be there when what it ends with is made: the two then change places from round to round.
        """
        self.entering = turn.entering
        self.final = sum(1 << wrap.leaves for wrap, _ in turn.wraps)
        self.final_stored = self.start_stored = self.saved_last = 0
        for wrap, stored in turn.wraps:
            if wrap.leaves != wrap.enters:
                self.forced &= ~(1 << wrap.enters)
                if stored:
                    self.start_stored |= 1 << wrap.enters
                if not wrap.stored:
                    self.forced &= ~(1 << wrap.leaves)
                    if stored:
                        self.final_stored |= 1 << wrap.leaves
                    elif wrap.leaves in self.problem.leaving:
                        self.saved_last |= 1 << wrap.leaves

    def _prepare(self) -> None:
        """Least costs of what is still to run: of each operator if all it could find on chip is there, and of a load of each tensor."""
        least_room = [min((choice.room for _, choice in row), default=0) for row in self.problem.choices]
        barred = [
            sum(1 << user for user in item.users if item.bytes + least_room[user] > self.capacity or not self.problem.keeps)
            for item in self.problem.held
        ]
        self.least = {}
        for task in self.tasks:
            found = sum(1 << item for item in bits(self.reads[task]) if not barred[item] >> task & 1)
            unstored = sum(1 << item for item in bits(self.makes[task] & ~self.forced) if not barred[item])
            unstored |= self.makes[task] & self.final & ~self.forced
            row = self._priced(task, found, unstored, 0)
            self.least[task] = min((cost for cost, _, _ in row), default=NO_LIMIT)
        self.reload = [0] * len(self.problem.held)
        for number, item in enumerate(self.problem.held if self.in_bytes else ()):
            if not barred[number]:  # else some of its loads are in the least costs already
                loads = [choice.loads.get(number, 0) for user in item.users for _, choice in self.problem.choices[user]]
                self.reload[number] = self.problem.count * min(loads, default=0) << SHIFT

    def _priced(self, task: int, kept_reads: int, kept_writes: int, fresh: int) -> list[tuple[int, int, int]]:
        """Ways of ``task`` by cost over all rounds; ``fresh``: tensors that its first round finds off chip all the same."""
        key = (task, kept_reads, kept_writes, fresh)
        found = self._costs.get(key)
        if found is None:
            count, rescued = self.problem.count, kept_writes & self.saved_last
            found = self.prices(task, kept_reads, kept_writes)
            if count > 1:
                total = {pick: (count - 2) * cost for cost, _, pick in found}
                for reads, writes in ((kept_reads & ~fresh, kept_writes), (kept_reads, kept_writes & ~rescued)):
                    for cost, _, pick in self.prices(task, reads, writes):
                        total[pick] += cost
                found = sorted((total[pick], room, pick) for _, room, pick in found)
            self._costs[key] = found
        return found

    def rest(self, done: int, held: int) -> int:
        """What the operators not in ``done`` cost at least: a tensor that they need and that is not ``held`` is loaded once or more."""
        found = self._rest.get(done)
        if found is None:
            found = self._rest[done] = sum(self.least[task] for task in self.tasks if not done >> task & 1)
        missing = self._alive(done) & ~held
        loads = self._loads.get(missing)
        if loads is None:
            loads = self._loads[missing] = sum(self.reload[item] for item in bits(missing))
        return found + loads

    def sweep(self, *, fixed: bool, width: int, limit: int = NO_LIMIT) -> Swept:
        """The cheapest plan whose measure is below ``limit``; ``fixed``: in program order."""
        layer: dict[Key, tuple[int, Key | None, Move | None]] = {(0, self.entering, self.start_stored): (0, None, None)}
        layers = [layer]
        bound, cut = limit, False
        for _ in self.tasks:
            following: dict[Key, tuple[int, Key | None, Move | None]] = {}
            for key, (cost, _, _) in layer.items():
                done = key[0]
                for task in self._next(done, fixed):
                    self._step(key, cost, task, following, limit)
            if len(following) > width:
                ranked = sorted(following.items(), key=lambda pair: pair[1][0] + self.rest(pair[0][0], pair[0][1]))
                dropped, entry = ranked[width]
                bound = min(bound, entry[0] + self.rest(dropped[0], dropped[1]) >> SHIFT)
                following = dict(ranked[:width])
                cut = True
            if not following:
                return Swept(None, 0, bound, cut)
            layer = following
            layers.append(layer)
        ends = [(cost, key) for key, (cost, _, _) in layer.items() if key[1] == self.final and key[2] & self.final == self.final_stored]
        if not ends:
            return Swept(None, 0, bound, cut)
        cost, at = min(ends)
        return Swept(_traced(layers, at), cost, min(bound, cost >> SHIFT), cut)

    def _next(self, done: int, fixed: bool) -> list[int]:
        found = self._ready.get(done)
        if found is None:
            found = self._ready[done] = [task for task in self.tasks if not done >> task & 1 and not self.before[task] & ~done]
        return found[:1] if fixed else found

    def _step(self, key: Key, cost: int, task: int, into: dict[Key, tuple[int, Key | None, Move | None]], limit: int) -> None:
        """All that may follow ``key`` if ``task`` runs next."""
        done, held, stored = key
        kept_reads = self.reads[task] & held
        fresh = sum(1 << item for item in bits(kept_reads & self.entering) if not self.most[item] & done)
        after = done | 1 << task
        live = self._alive(after)
        for kept, copies, unstored in self._options(task, held, stored, live):
            rest = self.rest(after, kept)
            room = self.capacity - self._bytes(held | kept)
            if room < 0:
                continue
            for price, need, way in self._priced(task, kept_reads, unstored, fresh):
                if need <= room:
                    spent = cost + price
                    if spent + rest >> SHIFT >= limit:
                        break
                    new = (after, kept, copies)
                    old = into.get(new)
                    if old is None or spent < old[0]:
                        into[new] = (spent, key, Move(task, way, kept_reads, unstored, kept))
                    break

    def _options(self, task: int, held: int, stored: int, live: int) -> list[tuple[int, int, int]]:
        """(held afterwards, stored afterwards, results not stored) for all that may be decided while ``task`` runs."""
        reads, makes, bit = self.reads[task], self.makes[task], 1 << task
        found = [(held & ~reads, stored & live, makes & ~live & ~self.forced)]
        for item in bits((reads | makes) & live):
            one = 1 << item
            forced = self.forced & one
            choices: list[tuple[int, int, int]] = []
            if not makes & one:
                if held & one:
                    choices.append((one, 0, 0))
                    if forced or stored & one:
                        choices.append((0, 0, 0))
                else:
                    choices.append((0, 0, 0))
                    if self.whole[item] & bit:
                        choices.append((one, 0, 0))
            elif forced:
                choices = [(0, 0, 0), (one, 0, 0)] if self.problem.keeps else [(0, 0, 0)]
            else:
                choices = [(0, one, 0)]
                if self.problem.keeps:
                    choices.append((one, 0, one))
                    if self.final & one or self.users[item] & (self.users[item] - 1):
                        choices.append((one, one, 0))
            found = [(kept | a, copies | b, unstored | c) for kept, copies, unstored in found for a, b, c in choices]
        return found

    def _alive(self, done: int) -> int:
        """Tensors that are there after ``done`` and needed later."""
        found = self._live.get(done)
        if found is None:
            found = 0
            for number, item in enumerate(self.problem.held):
                made = item.maker is None or done >> item.maker & 1
                if made and (self.users[number] & ~done or self.final >> number & 1):
                    found |= 1 << number
            self._live[done] = found
        return found

    def _bytes(self, mask: int) -> int:
        found = self._sizes.get(mask)
        if found is None:
            found = self._sizes[mask] = sum(self.size[item] for item in bits(mask))
        return found


def _traced(layers: list[dict[Key, tuple[int, Key | None, Move | None]]], at: Key) -> tuple[Move, ...]:
    moves = []
    for layer in reversed(layers[1:]):
        _, before, move = layer[at]
        assert move is not None
        assert before is not None
        moves.append(move)
        at = before
    return tuple(reversed(moves))
