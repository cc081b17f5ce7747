"""Addresses at which the parts of joined tensors lie side by side, so that who reads a joined tensor finds it in one piece.

At a step that reads a joined tensor its parts have fixed distances, so the stretches of residence that cover the step move as one *shape*:
rectangles of fixed relative addresses, each over its own life. Stretches of other steps and joins are tied to the same shape where they
share a stretch. Shapes are placed as single rectangles are, first fit in turn; what finds no place goes to the front of the line, and the
line starts anew. Where not all joins find a place together, they are tied one after the other, as long as a place is found. The parts of
the others lie where they find room, and ``ilp.moves.side_by_side`` does not count them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ilp.moves import side_by_side
from ilp.placement import Buffer, rectangles, with_addresses
from ilp.problem import Plan, Problem

TRIES = 40
"""Lines tried with all joins."""
MORE_TRIES = 600
"""Lines tried in all for joins one by one, the same number for each and four at least."""

Tie = tuple[int, int, int]
"""(stretch, stretch, bytes from the first one's address to the second one's)."""


def side_by_side_addresses(problem: Problem, plan: Plan, capacity: int, *, over: Callable[[], bool] = lambda: False) -> Plan:
    """A placed ``plan`` with other addresses, at which more joined tensors lie in one piece (``Problem.views``); itself if none are found.

    Args:
        plan: of an atomic problem, placed within ``capacity``.
        over: asked before each line; once it answers True, the search ends.
    """
    if not problem.views:
        return plan
    buffers, groups = rectangles(problem, plan)
    covering = {
        (stay.item, step): number for number, group in enumerate(groups) for stay in group for step in range(stay.first, stay.last + 1)
    }
    ties = []
    for parts in problem.views:
        steps = [step for step, index in enumerate(plan.order) if set(parts) <= set(problem.tasks[index].reads)]
        ties.append(_ties(problem, parts, [[covering[part, step] for part in parts] for step in steps]))
    line = _Line(buffers, capacity, over)
    shapes = _shapes(buffers, ties)
    found = None if shapes is None else line.placed(shapes, TRIES)
    if found is None:
        found = _most(line, buffers, ties)
    if found is None:
        return plan
    other = with_addresses(problem, plan, groups, found)
    return other if side_by_side(problem, other)[0] > side_by_side(problem, plan)[0] else plan


def _most(line: _Line, buffers: Sequence[Buffer], ties: Sequence[tuple[Tie, ...]]) -> list[int] | None:
    """Addresses for as many joins as were found to go together, those of the fewest bytes over time first; None if not even one."""
    areas = [sum({n: buffers[n].size * (buffers[n].upper - buffers[n].lower) for tie in rows for n in tie[:2]}.values()) for rows in ties]
    tied: list[tuple[Tie, ...]] = []
    best = None
    for view in sorted(range(len(ties)), key=lambda view: (areas[view], view)):
        shapes = _shapes(buffers, [*tied, ties[view]])
        found = None if shapes is None else line.placed(shapes, max(4, MORE_TRIES // len(ties)))
        if found is not None:
            tied.append(ties[view])
            best = found
    return best


def _ties(problem: Problem, parts: Sequence[int], rows: Sequence[Sequence[int]]) -> tuple[Tie, ...]:
    """What has to hold for the parts of one joined tensor, which the stretches ``rows`` cover at the steps that read it."""
    found: dict[Tie, None] = {}
    for row in rows:
        for (first, one), second in zip(zip(row, parts, strict=True), row[1:], strict=False):
            found[first, second, problem.items[one].bytes] = None
    return tuple(found)


@dataclass(slots=True)
class _Shape:
    """Stretches that move as one: stretch to its address above the lowest of them."""

    offsets: dict[int, int] = field(default_factory=dict)


def _shapes(buffers: Sequence[Buffer], ties: Sequence[Sequence[Tie]]) -> list[_Shape] | None:
    """The shapes that ties make of all stretches; None if the ties of one join contradict those of others."""
    shape_of = {number: _Shape({number: 0}) for number in range(len(buffers))}
    for rows in ties:
        for first, second, distance in rows:
            one, other = shape_of[first], shape_of[second]
            shift = one.offsets[first] + distance - other.offsets[second]
            if one is other:
                if shift:
                    return None
                continue
            for number, offset in other.offsets.items():
                if any(_clash(buffers, number, offset + shift, there, at) for there, at in one.offsets.items()):
                    return None
            for number, offset in other.offsets.items():
                one.offsets[number] = offset + shift
                shape_of[number] = one
    shapes = list({id(shape): shape for shape in shape_of.values()}.values())
    for shape in shapes:
        lowest = min(shape.offsets.values())
        shape.offsets = {number: offset - lowest for number, offset in shape.offsets.items()}
    return shapes


def _clash(buffers: Sequence[Buffer], one: int, low: int, other: int, under: int) -> bool:
    a, b = buffers[one], buffers[other]
    return a.lower < b.upper and b.lower < a.upper and low < under + b.size and under < low + a.size


class _Line:
    """Shapes waiting for their place."""

    def __init__(self, buffers: Sequence[Buffer], capacity: int, over: Callable[[], bool]) -> None:
        self.buffers, self.capacity, self.over = buffers, capacity, over
        self.steps = max((buffer.upper for buffer in buffers), default=0)

    def placed(self, shapes: Sequence[_Shape], tries: int) -> list[int] | None:
        """Addresses of all stretches, or None after so many lines."""
        line = sorted(shapes, key=self._key)
        for _ in range(tries):
            if self.over():
                return None
            at, lost = self._first_fit(line)
            if lost < 0:
                return at
            line.insert(0, line.pop(lost))
        return None

    def _key(self, shape: _Shape) -> tuple[int, int, int]:
        """Shapes of several stretches first; of each kind the larger ones, in bytes times steps."""
        areas = [self.buffers[number].size * (self.buffers[number].upper - self.buffers[number].lower) for number in shape.offsets]
        return -min(2, len(shape.offsets)), -sum(areas), min(shape.offsets)

    def _first_fit(self, line: Sequence[_Shape]) -> tuple[list[int], int]:
        """(addresses, -1), or (.., place in the line of the first shape that found none)."""
        at = [0] * len(self.buffers)
        here: list[list[int]] = [[] for _ in range(self.steps)]
        for place, shape in enumerate(line):
            taken = []
            height = 0
            for number, offset in shape.offsets.items():
                buffer = self.buffers[number]
                height = max(height, offset + buffer.size)
                met = {other for step in range(buffer.lower, buffer.upper) for other in here[step]}
                taken += [(at[other] - offset - buffer.size, at[other] + self.buffers[other].size - offset) for other in met]
            base = 0
            for low, high in sorted(taken):
                if low < base < high:
                    base = high
                elif low >= base:
                    break
            if base + height > self.capacity:
                return at, place
            for number, offset in shape.offsets.items():
                at[number] = base + offset
                for step in range(self.buffers[number].lower, self.buffers[number].upper):
                    here[step].append(number)
        return at, -1
