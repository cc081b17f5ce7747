"""One address for each stretch of residence, ahead of time, as an arena planner does; stretches that find no place are cut.

The rule is that of TensorFlow Lite's ``SimpleMemoryArena``: stretches in turn, each into the smallest gap among those placed that live at
the same time. TensorFlow Lite lets its arena grow; here the capacity is given, so what finds no gap is spilled (``ilp.baselines``).
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import pairwise

from ilp.overwrite import chains
from ilp.problem import Plan, Problem, Stay

Piece = tuple[int, int, int, int]
"""(group of stays that share a place, or -1 - number for a private operand; first step, last step, bytes)."""


def best_hole(taken: Sequence[tuple[int, int]], size: int, capacity: int) -> int:
    """Start of the smallest hole of at least ``size`` between the sorted, perhaps overlapping, stretches ``taken``; -1 if there is none."""
    best, start, end = capacity + 1, -1, 0
    for low, high in (*taken, (capacity, capacity)):
        if size <= low - end < best:
            best, start = low - end, end
        end = max(end, high)
    return start


def fitted(problem: Problem, plan: Plan, capacity: int, *, by_size: bool = True) -> Plan:
    """``plan`` with addresses, spilling more where a stretch finds none.

    Args:
        by_size: take the largest stretch first (an arena); else the one that begins first.
    """
    arena = _Arena(problem, plan, capacity, by_size)
    arena.fill()
    stays = []
    for (group, first, last, _), address in arena.at.items():
        for stay in arena.groups[group] if group >= 0 else ():
            begin, end = max(first, stay.first), min(last, stay.last)
            if begin <= end:
                stays.append(Stay(stay.item, begin, end, address))
    rows: list[tuple[int, ...]] = [()] * len(plan.order)
    for step, index in enumerate(plan.order if problem.private else ()):
        rows[index] = tuple(arena.at[-1 - number, step, step, size] for number, (_, size) in enumerate(problem.private[index]))
    ordered = tuple(sorted(stays, key=lambda stay: (stay.first, stay.item)))
    return Plan(plan.order, plan.ways, ordered, tuple(rows) if problem.private else ())


class _Arena:
    def __init__(self, problem: Problem, plan: Plan, capacity: int, by_size: bool) -> None:
        self.capacity, self.by_size = capacity, by_size
        self.groups = chains(problem, plan)
        self.queue: list[tuple[int, int, int, Piece]] = []
        self.at: dict[Piece, int] = {}
        self.here: list[set[Piece]] = [set() for _ in plan.order]
        self.touches: list[list[int]] = []
        touched = [{*problem.tasks[index].reads, *problem.tasks[index].writes} for index in plan.order]
        for number, group in enumerate(self.groups):
            steps = {step for stay in group for step in range(stay.first, stay.last + 1) if stay.item in touched[step]}
            self.touches.append(sorted(steps))
            self.push((number, group[0].first, group[-1].last, problem.items[group[0].item].bytes))
        for step, index in enumerate(plan.order if problem.private else ()):
            for number, (_, size) in enumerate(problem.private[index]):
                self.push((-1 - number, step, step, size))

    def push(self, piece: Piece) -> None:
        """Let a stretch wait for its turn."""
        key = (-piece[3], piece[1]) if self.by_size else (piece[1], -piece[3])
        heappush(self.queue, (*key, piece[0], piece))

    def fill(self) -> None:
        """Place or cut until nothing waits: every cut makes a stretch shorter, and operands of one step fit side by side."""
        while self.queue:
            piece = heappop(self.queue)[3]
            address = self._gap(piece)
            if address >= 0:
                self._put(piece, address)
            elif piece[2] > piece[1]:
                self._cut(piece)
            else:
                self._clear(piece)

    def _gap(self, piece: Piece) -> int:
        _, first, last, size = piece
        met = {other for step in range(first, last + 1) for other in self.here[step]}
        return best_hole(sorted((self.at[other], self.at[other] + other[3]) for other in met), size, self.capacity)

    def _put(self, piece: Piece, address: int) -> None:
        self.at[piece] = address
        for step in range(piece[1], piece[2] + 1):
            self.here[step].add(piece)

    def _take(self, piece: Piece) -> None:
        del self.at[piece]
        for step in range(piece[1], piece[2] + 1):
            self.here[step].discard(piece)

    def _cut(self, piece: Piece) -> None:
        """Two stretches instead of one, the longest pause between two touches left out."""
        group, first, last, size = piece
        touches = [step for step in self.touches[group] if first <= step <= last]
        if len(touches) < 2:
            self.push((group, touches[0], touches[0], size))
            return
        _, minus_before, after = max((after - before, -before, after) for before, after in pairwise(touches))
        self.push((group, first, -minus_before, size))
        self.push((group, after, touches[-1], size))

    def _clear(self, piece: Piece) -> None:
        """Make room at the one step of ``piece``: cut the largest stretch that passes through it, or lay all operands side by side."""
        step = piece[1]
        passing = [other for other in self.here[step] if other[2] > other[1]]
        if passing:
            longest = max(passing, key=lambda other: (step not in self.touches[other[0]], other[3], -other[0]))
            self._take(longest)
            self._cut(longest)
            self.push(piece)
            return
        address = 0
        for other in sorted([*self.here[step], piece], key=lambda other: (-other[3], other[0])):
            if other in self.at:
                self._take(other)
            self._put(other, address)
            address += other[3]
