"""Addresses for a plan that has none within its capacity: the plan is changed as little as is found to help.

A plan whose loads fit may still have no placement. Three kinds of change mend that, each at the price of what it moves:

* a tensor is spilled over a pause between two touches, which frees its place there and lets it come back to another address;
* a tensor comes back to another address although nothing is done in between (the same with an empty pause);
* a tensor that is spilled is kept after all, where the cuts made for others have left room.

*Where.* The shortest prefix of the steps that is not placed is found by bisection, then its shortest end that is not placed: a window of
steps with a conflict in it. *What.* Of the pauses that meet the window the cheapest one without which the window is placed is cut. At the
end every cut, the dearest first, is taken back where the whole can be placed without it.

Effort is counted in placements tried, so that the same input gives the same plan on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from hwspecs.vocabulary.records import dataclass
from ilp.arena import fitted
from ilp.placement import Allocation, Buffer, allocate, rectangles, with_addresses
from ilp.problem import Plan, Problem, Stay

WINDOW_EFFORT = 10_000
"""Placements that the search may try for a window of steps."""
WHOLE_EFFORT = 60_000
"""The same for all steps."""
EFFORT = 1_500_000
"""Placements for all of one plan: a quarter of a minute. Each try counts as one placement of each buffer at least."""
LEAST = 20_000
"""Placements that are spent even where the time is up: less than a second."""
MOST_TRIED = 48
"""Pauses tried for one conflict, the cheapest first."""

Gap = tuple[int, int, int]
"""(item, step of a touch, step of the next one)."""


@dataclass(frozen=True, slots=True)
class Mended:
    """A plan with addresses. ``tried``: placements that the searches tried; ``ended``: not cut short by effort or time."""

    plan: Plan
    tried: int
    ended: bool


def mended(problem: Problem, plan: Plan, capacity: int, *, effort: int = EFFORT, over: Callable[[], bool] = lambda: False) -> Mended:
    """``plan`` with an address for each stay and private operand within ``capacity``, more spilled where that was found to help.

    Args:
        plan: of an atomic problem, within ``capacity`` at every step.
        effort: placements that all searches may try; afterwards, what is not placed is cut as an arena planner would (``ilp.arena``).
        over: asked between placements after the first ``LEAST``; once it answers True, the same.
    """
    return _Repair(problem, plan, capacity, effort, over).run()


class _Repair:
    def __init__(self, problem: Problem, plan: Plan, capacity: int, effort: int, over: Callable[[], bool]) -> None:
        self.problem, self.order, self.ways, self.capacity = problem, plan.order, plan.ways, capacity
        self.effort, self.over = effort, over
        self.tried = 0
        self.touches: dict[int, list[int]] = {}
        for step, index in enumerate(plan.order):
            for item in dict.fromkeys((*problem.tasks[index].reads, *problem.tasks[index].writes)):
                self.touches.setdefault(item, []).append(step)
        covered: dict[int, list[Stay]] = {}
        for stay in plan.stays:
            covered.setdefault(stay.item, []).append(stay)
        gaps: list[Gap] = [(item, a, b) for item, steps in self.touches.items() for a, b in pairwise(steps)]
        self.kept = {gap for gap in gaps if any(stay.first <= gap[1] and gap[2] <= stay.last for stay in covered[gap[0]])}
        self.spilled = [gap for gap in gaps if gap not in self.kept]
        self.free = [capacity - problem.tasks[index].ways[way].bytes for index, way in self._steps()]
        for item, a, b in self.kept:
            self._load(item, a, b, -1)

    def _steps(self) -> list[tuple[int, int]]:
        return [(index, self.ways[index]) for index in self.order]

    def _load(self, item: int, a: int, b: int, sign: int) -> None:
        for step in range(a + 1, b):
            self.free[step] += sign * self.problem.items[item].bytes

    def _spent(self) -> bool:
        return self.tried >= self.effort or (self.tried >= LEAST and self.over())

    def run(self) -> Mended:
        """Cut until everything is placed, take cuts back, keep more."""
        cut: list[Gap] = []
        found = self._placed()
        while found is None and not self._spent():
            gap = self._cheapest(*self._conflict())
            cut.append(gap)
            self._drop(gap)
            found = self._placed()
        if found is None:
            return Mended(fitted(self.problem, self._plan(), self.capacity), self.tried, False)
        for gap in sorted({*cut, *self.spilled}, key=lambda gap: (-self._price(gap, back=True), gap)):
            if self._spent():
                return Mended(found, self.tried, False)
            item, a, b = gap
            if any(self.free[step] < self.problem.items[item].bytes for step in range(a + 1, b)):
                continue
            self._keep(gap)
            better = self._placed()
            if better is None:
                self._drop(gap)
            else:
                found = better
        return Mended(found, self.tried, True)

    def _drop(self, gap: Gap) -> None:
        self.kept.discard(gap)
        self._load(*gap, 1)

    def _keep(self, gap: Gap) -> None:
        self.kept.add(gap)
        self._load(*gap, -1)

    def _price(self, gap: Gap, *, back: bool = False) -> int:
        """Bytes that move more without the gap, or, with ``back``, less with it: a fetch, and the store if no other gap asks for it."""
        item = self.problem.items[gap[0]]
        gone = sum((gap[0], a, b) not in self.kept for a, b in pairwise(self.touches[gap[0]]))
        return item.bytes * (1 + (not item.stored and gone == (1 if back else 0)))

    def _plan(self) -> Plan:
        stays: list[Stay] = []
        for item, steps in self.touches.items():
            first = steps[0]
            for a, b in pairwise(steps):
                if (item, a, b) not in self.kept:
                    stays.append(Stay(item, first, a))
                    first = b
            stays.append(Stay(item, first, steps[-1]))
        return Plan(self.order, self.ways, tuple(sorted(stays, key=lambda stay: (stay.first, stay.item))))

    def _placed(self) -> Plan | None:
        """The plan as it stands, if addresses are found for all of it."""
        plan = self._plan()
        buffers, groups = rectangles(self.problem, plan)
        found = self._allocate(buffers, WHOLE_EFFORT)
        return None if found.offsets is None else with_addresses(self.problem, plan, groups, found.offsets)

    def _allocate(self, buffers: Sequence[Buffer], effort: int) -> Allocation:
        found = allocate(buffers, self.capacity, effort=max(1, min(effort, self.effort - self.tried)))
        self.tried += max(found.tried, len(buffers))
        return found

    def _window(self, buffers: Iterable[Buffer], low: int, high: int) -> bool:
        """Whether addresses are found for the steps from ``low`` to before ``high``."""
        inside = [
            Buffer(each.name, max(each.lower, low), min(each.upper, high), each.size)
            for each in buffers
            if each.lower < high and low < each.upper
        ]
        return self._allocate(inside, WINDOW_EFFORT).offsets is not None

    def _conflict(self) -> tuple[int, int]:
        """A window of steps that finds no addresses: no shorter one that ends there, and none that ends earlier, as far as was tried."""
        buffers, _ = rectangles(self.problem, self._plan())
        good, high = 0, len(self.order)
        while good + 1 < high and not self._spent():
            middle = (good + high) // 2
            good, high = (middle, high) if self._window(buffers, 0, middle) else (good, middle)
        low, bad = 0, high
        while low + 1 < bad and not self._spent():
            middle = (low + bad) // 2
            low, bad = (low, middle) if self._window(buffers, middle, high) else (middle, bad)
        return low, high

    def _cheapest(self, low: int, high: int) -> Gap:
        """The pause to cut for the window's sake."""
        met = [gap for gap in self.kept if gap[1] < high and low < gap[2]] or list(self.kept)
        met.sort(key=lambda gap: (self._price(gap), -(min(gap[2], high) - max(gap[1], low)), gap))
        for gap in met[:MOST_TRIED]:
            if self._spent():
                break
            self.kept.discard(gap)
            buffers, _ = rectangles(self.problem, self._plan())
            self.kept.add(gap)
            if self._window(buffers, low, high):
                return gap
        return max(met, key=lambda gap: (self._relief(gap, low, high), gap))

    def _relief(self, gap: Gap, low: int, high: int) -> float:
        """Steps of the window that a pause frees for each byte that its cut moves, weighed by its bytes."""
        steps = max(0, min(gap[2], high) - max(gap[1] + 1, low))
        return steps * self.problem.items[gap[0]].bytes / self._price(gap)
