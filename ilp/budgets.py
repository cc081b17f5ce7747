"""Budgets of scratchpad that bracket a network (arXiv 2311.18246, section V): M_R, M_P and M_H.

*M_R* is what the largest operator needs: below it nothing runs. *M_P* is the least capacity at which a placed plan moves no extra byte:
above it nothing is left to gain. *M_H* lies half way between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from math import gcd

from hwspecs.vocabulary.errors import ArgumentError
from hwspecs.vocabulary.records import dataclass
from hwspecs.vocabulary.suggest import did_you_mean
from ilp.atomic import least_capacity
from ilp.decompose import Course, joined, segments
from ilp.downset import plan_of, sweep
from ilp.problem import Plan, Problem

NAMES = ("M_R", "M_H", "M_P")
_WIDTHS = (64, 2_048, 16_384)
"""States kept a layer while looking for a plan without extra bytes, sweep after sweep."""
STATES = 400_000
"""States that the search for one capacity of one part may look at."""

PLACEMENTS = 200_000
"""Placements that the search for addresses may try at one capacity."""
_PEAK = 0.7
"""Part of a wall-clock limit that the order may take; the rest is for its addresses."""


@dataclass(frozen=True, slots=True)
class Peak:
    """The order that needs least room if nothing is ever dropped.

    Attributes:
        course: the order, and what is held after each step.
        bytes: room that it takes at its largest step; ``bound_bytes``: proven, every order takes as much.
        interrupted: Ctrl-C ended the search; parts not searched by then run in program order.
    """

    course: Course
    bytes: int
    bound_bytes: int
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Budgets:
    """M_R, M_P and M_H of a problem, in bytes.

    Attributes:
        m_p_bound_bytes: proven: no plan without extra bytes, placed or not, needs less; M_P is proven where it is the same.
        plan: the placed plan without extra bytes at M_P.
        peak: the minimum-peak order, where M_P was looked for.
        interrupted: Ctrl-C ended the search for it; M_P is larger than need be then.
    """

    m_r_bytes: int
    m_p_bytes: int
    m_p_bound_bytes: int
    plan: Plan
    peak: Peak
    interrupted: bool = False

    @property
    def m_h_bytes(self) -> int:
        """(M_R + M_P) / 2, rounded down."""
        return (self.m_r_bytes + self.m_p_bytes) // 2

    @property
    def m_p_proven(self) -> bool:
        """Whether M_P is the least, not a bound from above."""
        return self.m_p_bytes == self.m_p_bound_bytes

    def named(self, name: str) -> int:
        """Bytes of ``M_R``, ``M_H`` or ``M_P``.

        Raises:
            ArgumentError: another name.
        """
        if name not in NAMES:
            raise ArgumentError(f"unknown budget {name!r}", where="--budget", hint=did_you_mean(name, NAMES))
        return {"M_R": self.m_r_bytes, "M_H": self.m_h_bytes, "M_P": self.m_p_bytes}[name]


class _Watch:
    """Tells how far a search is, and ends it when its time is up."""

    def __init__(self, seconds: float | None, progress: Callable[[str], None] | None) -> None:
        self.deadline = None if seconds is None else time.monotonic() + seconds
        self.progress = progress
        self.what = ""
        self.interrupted = False

    def over(self) -> bool:
        """Whether the time is up."""
        return self.interrupted or (self.deadline is not None and time.monotonic() > self.deadline)

    def tell(self, layer: int, layers: int, states: int) -> None:
        """Called by a sweep at each layer."""
        if self.over():
            raise _OverError
        if self.progress is not None:
            self.progress(f"{self.what}: step {layer} of {layers}, {states} states")


class _OverError(Exception):
    """The time is up."""


def budgets(
    problem: Problem, *, states: int = STATES, seconds: float | None = None, progress: Callable[[str], None] | None = None
) -> Budgets:
    """M_R, M_P and M_H of an atomic problem.

    M_P is sought from below: the minimum peak of any order first (a bound, and a plan), then the least capacity above it at which that
    plan can be placed. Where the plan is placed at a proven minimum peak, M_P is proven.

    Args:
        states: effort for each capacity tried. seconds: wall-clock limit of the search; M_P may be larger then.
        progress: called with a line of text now and then.
    """
    from ilp.placement import placed_lowest

    watch = _Watch(seconds, progress)
    peak = minimum_peak(problem, states=states, seconds=None if seconds is None else _PEAK * seconds, progress=progress)
    plan, found = placed_lowest(problem, plan_of(problem, *peak.course), effort=PLACEMENTS, at_least=peak.bytes, over=watch.over)
    return Budgets(least_capacity(problem), max(peak.bytes, found.height_bytes), peak.bound_bytes, plan, peak, peak.interrupted)


def minimum_peak(
    problem: Problem, *, states: int = STATES, seconds: float | None = None, progress: Callable[[str], None] | None = None
) -> Peak:
    """The order of an atomic problem whose largest step takes least, everything live being kept.

    At clean cuts the parts are independent, and the peak of the whole is the largest of theirs; so a part is searched only beyond what
    the parts before it need anyway.

    Args:
        states: effort for each capacity tried in each part. seconds: wall-clock limit, after which program order is taken.
        progress: called with a line of text now and then.
    """
    watch = _Watch(seconds, progress)
    parts = segments(problem)
    unit = _unit(problem)
    needed = bound = least_capacity(problem)
    known: dict[Hashable, Course] = {}
    for number, part in enumerate(parts):
        if part.key in known:
            continue
        watch.what = f"{problem.name}: least peak, part {number + 1} of {len(parts)}"
        course, proven = _without_extra(part.problem, needed, states, watch)
        if course is None:
            course, needed, infeasible = _search(part.problem, needed, proven, unit, states, watch)
            bound = max(bound, infeasible + unit)
        known[part.key] = course
    return Peak(joined(parts, [known[part.key] for part in parts]), needed, bound, watch.interrupted)


def _search(problem: Problem, low: int, low_proven: bool, unit: int, states: int, watch: _Watch) -> tuple[Course, int, int]:
    """(course, least capacity found for it, largest capacity that is proven too small) above ``low``, at which nothing was found."""
    infeasible = low if low_proven else 0
    course = kept_course(problem, range(len(problem.tasks)))
    high = peak_bytes(problem, course)
    while low + unit < high and not watch.over():
        middle = low + max(unit, (high - low) // 2 // unit * unit)
        found, proven = _without_extra(problem, middle, states, watch)
        if found is not None:
            course, high = found, peak_bytes(problem, found)
        else:
            low = middle
            infeasible = max(infeasible, middle if proven else 0)
    return course, high, infeasible


def _without_extra(problem: Problem, capacity: int, states: int, watch: _Watch) -> tuple[Course | None, bool]:
    """A course without extra bytes within ``capacity``, or None and whether there is proof that none exists."""
    program = kept_course(problem, range(len(problem.tasks)))
    if peak_bytes(problem, program) <= capacity:
        return program, True
    for width in _WIDTHS:
        try:
            swept = sweep(problem, capacity, width=width, limit=1, state_limit=states, progress=watch.tell)
        except _OverError:
            break
        except KeyboardInterrupt:
            watch.interrupted = True
            break
        if swept.order is not None:
            return (swept.order, swept.kept), True
        if swept.bound_bytes >= 1:
            return None, True
        if swept.states >= states:
            break
    return None, False


def kept_course(problem: Problem, order: Sequence[int]) -> Course:
    """The course that runs ``order`` and keeps every item from its first touch to its last."""
    last = {item: step for step, index in enumerate(order) for item in problem.tasks[index].reads}
    held: set[int] = set()
    sets = []
    for step, index in enumerate(order):
        held |= {item for item in (*problem.tasks[index].reads, *problem.tasks[index].writes) if item in last}
        held = {item for item in held if last[item] > step}
        sets.append(frozenset(held))
    return tuple(order), tuple(sets)


def peak_bytes(problem: Problem, course: Course) -> int:
    """Room that a course of an atomic problem takes at its largest step, each operator in its smallest way."""
    before: frozenset[int] = frozenset()
    most = 0
    for index, after in zip(*course, strict=True):
        way = min(range(len(problem.tasks[index].ways)), key=lambda number: problem.tasks[index].ways[number].bytes)
        most = max(most, problem.room(index, way, before | after))
        before = after
    return most


def _unit(problem: Problem) -> int:
    """Every room that a plan may take is a multiple of this."""
    sizes = [item.bytes for item in problem.items] + [way.bytes for task in problem.tasks for way in task.ways]
    return max(1, gcd(*sizes))
