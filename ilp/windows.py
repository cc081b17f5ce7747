"""Divide and conquer for large irregular graphs: a plan improved by searching windows of its steps anew.

A window is a stretch of consecutive steps. What lies around it stays: what ran before it and what is held then, the order of what follows
and what that holds. The operators of the window are ordered anew, with what is held between them, by the down-set program begun from the
window's first state (``ilp.downset.Stretch``). Windows overlap by half and wander over the plan until none of them finds anything cheaper;
longer windows follow shorter ones. No bound comes of it: plans that differ in many places at once are not looked at.

What a plan pays is told drop by drop, as the down-set program does: a drop of an item that is read again costs the fetch that must follow,
and the store if there is no copy off chip yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ilp.decompose import Course
from ilp.downset import Stretch, Tables, sweep, tables_of
from ilp.problem import Problem

SPANS = (24, 48, 96)
"""Steps of a window."""
WIDTH = 4_096
"""States kept a layer within a window."""


@dataclass(frozen=True, slots=True)
class Improved:
    """What windows made of a course.

    Attributes:
        course: never worse than the one given; ``extra_bytes`` of it. ``states``: looked at.
        ended: nothing improves any more; otherwise the effort is spent.
    """

    course: Course
    extra_bytes: int
    states: int
    ended: bool


def improved(
    problem: Problem, capacity: int, course: Course, *, states: int, width: int = WIDTH,
    progress: Callable[[int, int, int], bool | None] | None = None, over: Callable[[], bool] | None = None, tables: Tables | None = None,
) -> Improved:  # fmt: skip
    """``course`` with windows of its steps searched anew, one after the other, until nothing improves.

    Args:
        course: of an atomic problem, within ``capacity``.
        states: effort, over all windows. ``width``: states a layer in each.
        progress: called before each window with (its first step, steps, states so far); once it answers True, the search ends.
        over: asked within windows, now and then (``ilp.downset.sweep``); once it answers True, the window ends.
        tables: ``ilp.downset.tables_of`` the problem and the capacity, if at hand.
    """
    tables = tables or tables_of(problem, capacity)
    walk = _Walk(problem, course)
    spent = 0
    steps = len(course[0])
    for span in SPANS:
        start, still = 0, 0  # ``still``: windows since the last that improved
        windows = max(1, -(-2 * (steps - span) // span) + 1)
        while still < windows:
            if spent >= states or (progress is not None and progress(start, steps, spent)):
                return Improved(walk.course, walk.total, spent, ended=False)
            stretch = walk.stretch(start, min(steps, start + span))
            found = sweep(problem, capacity, width=width, limit=walk.total, over=over, stretch=stretch, tables=tables)
            spent += found.states
            if found.order is not None:
                walk = _Walk(problem, _replaced(problem, walk.course, start, (found.order, found.kept), stretch.held_after))
            still = 0 if found.order is not None else still + 1
            start = start + span // 2 if start + span < steps else 0
        if span >= steps:
            break
    return Improved(walk.course, walk.total, spent, ended=True)


class _Walk:
    """A course with what it pays, step by step.

    Attributes:
        total: extra bytes of the course.
    """

    def __init__(self, problem: Problem, course: Course) -> None:
        self.problem, self.course = problem, course
        order, kept = course
        last = {item: step for step, task in enumerate(order) for item in problem.tasks[task].reads}
        self.copies: list[frozenset[int]] = [frozenset()]  # before each step, of items that are read at it or later
        self.paid = [0]
        self.fetches = [0]
        self.dropped: list[frozenset[int]] = []
        self.held: list[frozenset[int]] = [frozenset()]
        copies: set[int] = set()
        for step, task in enumerate(order):
            live = frozenset(item for item in kept[step] if last.get(item, -1) > step)
            there = self.held[-1] | {*problem.tasks[task].reads, *problem.tasks[task].writes}
            gone = frozenset(item for item in there - live if last.get(item, -1) > step)
            fetches = sum(problem.items[item].bytes for item in gone)
            fresh = {item for item in gone if not problem.items[item].stored and item not in copies}
            copies = {item for item in copies | fresh if last[item] > step}
            self.paid.append(self.paid[-1] + fetches + sum(problem.items[item].bytes for item in fresh))
            self.fetches.append(self.fetches[-1] + fetches)
            self.copies.append(frozenset(copies))
            self.dropped.append(gone)
            self.held.append(live)
        self.total = self.paid[-1]

    def stretch(self, first: int, end: int) -> Stretch:
        """The steps from ``first`` to before ``end``."""
        order = self.course[0]
        return Stretch(
            frozenset(order[:first]), self.held[first], self.copies[first], self.paid[first], frozenset(order[first:end]), self.held[end],
            frozenset[int]().union(*self.dropped[end:]), self.fetches[-1] - self.fetches[end],
        )  # fmt: skip


def _replaced(problem: Problem, course: Course, first: int, window: Course, held_after: frozenset[int]) -> Course:
    """``course`` with other steps from ``first`` on; items that these no longer hold at their end come back at their next use."""
    order, kept = course
    end = first + len(window[0])
    absent = held_after - window[1][-1]
    rest = []
    for task, held in zip(order[end:], kept[end:], strict=True):
        absent -= set(problem.tasks[task].reads)
        rest.append(held - absent)
    joined = (*kept[:first], *window[1][:-1], window[1][-1] & held_after, *rest)
    return order[:first] + window[0] + order[end:], joined
