"""The portfolio: the best plan that a bounded effort finds, and the best bound that it proves.

Each part between clean cuts is solved by itself, equal parts once. A part is swept by the down-set program with ever wider layers; each
sweep looks only for plans that are cheaper than the best so far, so the sweep that leaves nothing out and finds none is the proof.
Effort is counted in states, so that the same input gives the same plan on every machine; a wall-clock limit is a last resort, and an answer
that it (or Ctrl-C) cut short says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from ilp.atomic import check_fits
from ilp.decompose import Course, Segment, joined, segments
from ilp.downset import NO_LIMIT, plan_of, sweep
from ilp.problem import Answer, Problem
from ilp.recount import recount

WIDTHS = (16, 256, 2_048, 16_384, 131_072)
"""States kept a layer, sweep after sweep."""
STATES = 3_000_000
"""States that all sweeps of all parts may look at, unless the caller says otherwise; about a minute."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Found:
    """What is known of one part."""

    course: Course | None
    extra_bytes: int
    bound_bytes: int
    width: int
    states: int


class _OutOfTimeError(Exception):
    """The time is up."""


def solve(
    problem: Problem, capacity: int, *, states: int = STATES, seconds: float | None = None, progress: Progress | None = None
) -> Answer:
    """The best plan of an atomic problem that the effort finds, not placed yet.

    Args:
        states: effort. seconds: wall-clock limit; the answer says if it was hit, and may differ from run to run then.
        progress: called with a line of text now and then.

    Raises:
        InfeasibleError: an operator does not fit by itself; names it.
    """
    check_fits(problem, capacity)
    parts = segments(problem)
    found: dict[Hashable, _Found] = {}
    deadline = time.monotonic() + seconds if seconds is not None else None
    stopped = ""
    spent = 0
    try:
        for width in WIDTHS:
            todo = [part for part in {part.key: part for part in parts}.values() if not _proven(found.get(part.key))]
            for number, part in enumerate(todo):
                told = _telling(progress, f"{problem.name}: part {number + 1} of {len(todo)}, width {width}", deadline)
                known = found[part.key] = _swept(part, capacity, width, found.get(part.key), max(1, states - spent), told)
                spent += known.states
            if spent >= states:
                stopped = "state limit" if any(not _proven(found.get(part.key)) for part in parts) else ""
                break
    except _OutOfTimeError:
        stopped = "time limit"
    except KeyboardInterrupt:
        stopped = "interrupted"
    return _answer(problem, capacity, parts, found, spent, stopped)


def _proven(found: _Found | None) -> bool:
    return found is not None and found.course is not None and found.extra_bytes == found.bound_bytes


def _telling(progress: Progress | None, what: str, deadline: float | None) -> Callable[[int, int, int], None]:
    last = time.monotonic()

    def tell(layer: int, layers: int, states: int) -> None:
        nonlocal last
        now = time.monotonic()
        if deadline is not None and now > deadline:
            raise _OutOfTimeError
        if progress is not None and now - last > 1.0:
            last = now
            progress(f"{what}: step {layer} of {layers}, {states} states")

    return tell


def _swept(part: Segment, capacity: int, width: int, known: _Found | None, states: int, tell: Callable[[int, int, int], None]) -> _Found:
    """What is known of a part after one more sweep."""
    limit = NO_LIMIT if known is None or known.course is None else known.extra_bytes
    swept = sweep(part.problem, capacity, width=width, limit=limit, state_limit=states, progress=tell)
    bound = max(swept.bound_bytes if swept.bound_bytes < NO_LIMIT else 0, known.bound_bytes if known else 0)
    if swept.order is not None:
        return _Found((swept.order, swept.kept), swept.extra_bytes, min(bound, swept.extra_bytes), width, swept.states)
    if known is not None and known.course is not None:
        return _Found(known.course, known.extra_bytes, min(bound, known.extra_bytes), known.width, swept.states)
    return _Found(None, -1, bound, width, swept.states)


def _answer(problem: Problem, capacity: int, parts: tuple[Segment, ...], found: dict[Hashable, _Found], spent: int, stopped: str) -> Answer:
    effort = {"states": spent, "parts": len(parts), "distinct_parts": len({part.key for part in parts})}
    known = [found.get(part.key) for part in parts]
    bound = sum(item.bound_bytes for item in known if item is not None)
    courses = [item.course for item in known if item is not None and item.course is not None]
    if len(courses) < len(parts):
        return Answer(None, -1, bound, "none found", effort=effort, stopped=stopped or "state limit")
    order, kept = joined(parts, courses)
    plan = plan_of(problem, order, kept)
    extra = recount(problem, plan, capacity)
    proven = extra == bound
    method = "down-set program" if proven else f"down-set beam of {max(item.width for item in known if item is not None)} states"
    return Answer(plan, extra, bound, method, effort=effort, stopped="" if proven else stopped or "width limit")
