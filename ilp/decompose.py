"""Exact decomposition at clean cuts, and plans of the whole from plans of the parts.

A *clean cut* is an operator v that is comparable with every other one, such that of all items touched by v and its ancestors only results
of v are used by its descendants. In every order the ancestors come first and v is at a fixed step; the results of v are in the scratchpad
then and have no copy off chip. So the optimum is the sum of the optima of both sides, the right one beginning with a source step of the
footprint of v that makes v's results: restricting a plan gives two plans, joining two gives one, and costs add.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from graphlib import TopologicalSorter

from hwspecs.vocabulary.records import dataclass
from ilp.bits import bits
from ilp.problem import Item, Problem, Task

Course = tuple[tuple[int, ...], tuple[frozenset[int], ...]]
"""An order of operators and the items held after each step."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a problem between two clean cuts.

    Attributes:
        tasks, items: of the part's operators and items, their indices in the whole; the first operator is the cut before it where
            ``opened`` (a source step here, which ran at the end of the part before).
    """

    problem: Problem
    tasks: tuple[int, ...]
    items: tuple[int, ...]
    opened: bool

    @property
    def key(self) -> Hashable:
        """Equal for parts that differ in names only."""
        items = tuple((item.bytes, item.maker, item.users, item.stored) for item in self.problem.items)
        tasks = tuple((task.reads, task.writes, tuple(way.bytes for way in task.ways)) for task in self.problem.tasks)
        return items, tasks, self.problem.after


def segments(problem: Problem) -> tuple[Segment, ...]:
    """The parts of an atomic problem between its clean cuts, in order; the problem itself as the only one where there is no cut."""
    ancestors, descendants = orders_of(problem)
    cuts = _cuts(problem, ancestors, descendants)
    parts: list[Segment] = []
    done: set[int] = set()
    opening: int | None = None
    for cut in (*cuts, None):
        inside = {*range(len(problem.tasks))} if cut is None else {*bits(ancestors[cut]), cut}
        own = sorted(inside - done)
        done |= inside
        if own:
            parts.append(_part(problem, own, opening))
        opening = cut
    return tuple(parts)


def _cuts(problem: Problem, ancestors: list[int], descendants: list[int]) -> tuple[int, ...]:
    """The operators at which the problem falls apart, first to last."""
    count = len(problem.tasks)
    everything = (1 << count) - 1
    found = []
    for v in range(count):
        if ancestors[v] | descendants[v] | 1 << v != everything or not descendants[v] or not ancestors[v]:
            continue
        left = ancestors[v] | 1 << v
        if not any(_crosses(item, v, left, descendants[v]) for item in problem.items):
            found.append(v)
    return tuple(sorted(found, key=lambda v: ancestors[v].bit_count()))


def _crosses(item: Item, v: int, left: int, right: int) -> bool:
    """Whether an item that ``v`` does not make is touched on both sides of it."""
    if item.maker == v:
        return False
    touched = sum(1 << user for user in item.users) | (1 << item.maker if item.maker is not None else 0)
    return bool(touched & left) and bool(touched & right)


def orders_of(problem: Problem) -> tuple[list[int], list[int]]:
    """(ancestors, descendants) of each operator, as sets of bits."""
    before = problem.predecessors()
    ancestors = [0] * len(before)
    for v in _valid_order(before):
        for u in before[v]:
            ancestors[v] |= ancestors[u] | 1 << u
    descendants = [0] * len(before)
    for v, above in enumerate(ancestors):
        for u in bits(above):
            descendants[u] |= 1 << v
    return ancestors, descendants


def _valid_order(before: Sequence[Sequence[int]]) -> Sequence[int]:
    """Program order where it is a valid one; precedences that a search has added may ask for another."""
    if all(u < v for v, row in enumerate(before) for u in row):
        return range(len(before))
    return tuple(TopologicalSorter(dict(enumerate(before))).static_order())


def _part(problem: Problem, own: list[int], opening: int | None) -> Segment:
    """The part of the operators ``own`` (program order), after the cut ``opening``."""
    tasks = own if opening is None else [opening, *own]
    local = {index: place for place, index in enumerate(tasks)}
    items = []
    kept: list[Item] = []
    for number, item in enumerate(problem.items):
        users = tuple(local[user] for user in item.users if user in local and user != opening)
        if not users:
            continue
        maker = None if item.maker is None else local[item.maker]
        items.append(number)
        kept.append(Item(item.name, item.bytes, maker, users, item.stored))
    place_of = {number: place for place, number in enumerate(items)}
    rows = []
    for index in tasks:
        task = problem.tasks[index]
        reads = () if index == opening else tuple(place_of[number] for number in task.reads if number in place_of)
        rows.append(Task(task.name, reads, tuple(place_of[number] for number in task.writes if number in place_of), task.ways))
    after = tuple((local[first], local[second]) for first, second in problem.after if first in local and second in local)
    part = Problem(f"{problem.name} from {problem.tasks[own[0]].name}", tuple(kept), tuple(rows), problem.operands_inside, (), after)
    return Segment(part, tuple(tasks), tuple(items), opening is not None)


def joined(parts: Sequence[Segment], courses: Sequence[Course]) -> Course:
    """The course of the whole from the courses of its parts."""
    order: list[int] = []
    held: list[frozenset[int]] = []
    for part, (own, sets) in zip(parts, courses, strict=True):
        for place, (task, kept) in enumerate(zip(own, sets, strict=True)):
            after = frozenset(part.items[item] for item in kept)
            if part.opened and not place:
                held[-1] = after  # the step of the cut ran in the part before; what it leaves is known here
                continue
            order.append(part.tasks[task])
            held.append(after)
    return tuple(order), tuple(held)
