"""The answer to an atomic problem with addresses: solve, place, cut back to the schedule where placing fails, weigh the simple schemes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ilp.atomic import least_capacity
from ilp.baselines import Scheme, baselines, depth_first
from ilp.budgets import minimum_peak
from ilp.placement import placed
from ilp.placement_repair import mended
from ilp.placement_views import side_by_side_addresses
from ilp.problem import Answer, Plan, Problem
from ilp.recount import recount
from ilp.solve import STATES, Progress, solve

CUTS = (128, 32, 8)
"""Where addresses cost extra bytes, plans for a scratchpad that is smaller by one part in so many are tried in turn."""
PLACEMENTS = 400_000
"""Placements that the search for addresses may try for a plan as it is: seconds."""
RESERVE = (0.2, 6.0)
"""What a wall-clock limit leaves for addresses and baselines: this part of it, and so many seconds at most."""
LESS = 4
"""The search for a plan in less scratchpad may look at one state for so many that the first may look at."""

Schemes = Callable[[], Sequence[Scheme]]


@dataclass(frozen=True, slots=True)
class _Job:
    """What is asked, and until when."""

    problem: Problem
    capacity: int
    effort: Mapping[str, Any]
    progress: Progress | None
    deadline: float | None

    def over(self) -> bool:
        """Whether the time is up."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def left(self, part: float = 1.0) -> float | None:
        """The wall-clock limit of a search that may take ``part`` of the time left; None: no limit."""
        return None if self.deadline is None else max(1e-3, part * (self.deadline - time.monotonic()))

    def say(self, text: str) -> None:
        """Tell how far it is."""
        if self.progress is not None:
            self.progress(f"{self.problem.name}: {text}")

    def cost(self, plan: Plan) -> int:
        """Extra bytes of a plan."""
        return recount(self.problem, plan, self.capacity)


def optimum(
    problem: Problem, capacity: int, *, progress: Progress | None = None, placing: bool = True, effort: Mapping[str, Any] | None = None,
    schemes: Schemes | None = None,
) -> Answer:  # fmt: skip
    """The best plan found, placed within ``capacity``, never worse than a baseline; the bound is that of the problem.

    The plan that the solver gives is placed as it is. If no addresses are found for it, it is mended (``ilp.placement_repair``), and so
    are plans for somewhat less scratchpad; the cheapest of these counts. Where that is not proven, every baseline is weighed against it,
    mended where it has no addresses.

    Args:
        placing: False leaves the plan without addresses.
        effort: keyword arguments of ``ilp.solve.solve`` (``states``, ``nodes``, ``seconds``, ``method``, ``solver``); ``seconds`` holds
            for all of it: the search for addresses and the baselines of which the order is searched for are cut short as well.
        schemes: gives the baselines, called only where they are needed. None: ``simple_schemes``.

    Raises:
        InfeasibleError: an operator does not fit by itself; names it.
    """
    asked = dict(effort or {})
    seconds = asked.pop("seconds", None)
    job = _Job(problem, capacity, asked, progress, None if seconds is None else time.monotonic() + seconds)
    part, most = RESERVE
    limit = None if seconds is None else seconds - min(part * seconds, most) * placing
    answer = solve(problem, capacity, progress=progress, **{**asked, "seconds": limit})
    if answer.plan is None:
        simple = baselines(problem, capacity, {"program": tuple(range(len(problem.tasks)))}, [("program", "belady", "none")])[0]
        answer = replace(answer, plan=simple.plan, extra_bytes=simple.extra_bytes, method=f"{simple.name}: the search found none")
    best = answer
    try:
        if placing and not answer.placed:
            best = _placed(job, answer, quick=answer.stopped == "interrupted")
        if not best.proven and answer.stopped != "interrupted":
            best = _weighed(job, best, schemes or (lambda: simple_schemes(problem, capacity, seconds=job.left())), placing)
    except KeyboardInterrupt:
        if placing and not best.placed:
            best = _placed(job, answer, quick=True)
        return replace(best, stopped="interrupted")
    if placing and best.plan is not None:
        best = replace(best, plan=side_by_side_addresses(problem, best.plan, capacity, over=job.over))
    late = not best.proven and not best.stopped and job.over()
    return replace(best, stopped="time limit") if late else best


def simple_schemes(problem: Problem, capacity: int, *, seconds: float | None = None) -> tuple[Scheme, ...]:
    """All baselines of a problem (``ilp.baselines``).

    Args:
        seconds: wall-clock limit; where it cuts the search for the minimum-peak order short, that order is worse than it could be.
    """
    orders = {"program": tuple(range(len(problem.tasks))), "depth-first": depth_first(problem)}
    half = None if seconds is None else seconds / 2
    orders["minimum-peak"] = minimum_peak(problem, seconds=half).course[0]
    return baselines(problem, capacity, orders, seconds=half)


def _placed(job: _Job, answer: Answer, *, quick: bool) -> Answer:
    """The answer with addresses, of a plan that costs as little more as was found; ``quick``: with what is at hand."""
    assert answer.plan is not None
    problem, capacity = job.problem, job.capacity
    found = None if quick else placed(problem, answer.plan, capacity, effort=PLACEMENTS)
    if found is not None and answer.proven:
        return _with(job, answer, found, "")
    if found is None:
        job.say("no addresses for this plan, cutting it back")
    other = mended(problem, answer.plan, capacity, over=lambda: quick or job.over()).plan
    best = _with(job, answer, other, "" if job.cost(other) <= answer.extra_bytes else ", spills added to find addresses")
    if found is not None and best.extra_bytes >= answer.extra_bytes:
        return _with(job, answer, found, "")
    if quick:
        return best
    return _in_less(job, answer, best)


def _in_less(job: _Job, answer: Answer, best: Answer) -> Answer:
    """The best answer, or one solved for less scratchpad, which has room to spare for addresses."""
    states = job.effort.get("states", STATES)
    for cut in CUTS:
        if job.over() or best.extra_bytes <= answer.extra_bytes:
            break
        less = job.capacity - job.capacity // cut
        spend = {**job.effort, "states": max(1, states // LESS), "seconds": job.left(0.5)}
        other = solve(shrunk(job.problem, less), less, progress=job.progress, **spend)
        if other.stopped == "interrupted":
            raise KeyboardInterrupt
        if other.plan is None or other.extra_bytes >= best.extra_bytes:
            break
        plan = mended(job.problem, other.plan, job.capacity, over=job.over).plan
        if job.cost(plan) < best.extra_bytes:
            best = _with(job, answer, plan, f", solved for {less} bytes to find addresses")
    return best


def shrunk(problem: Problem, capacity: int) -> Problem:
    """The problem in which operators that need more than ``capacity`` need just that: nothing stays beside them in either."""
    if least_capacity(problem) <= capacity:
        return problem
    tasks = tuple(replace(task, ways=tuple(replace(way, bytes=min(way.bytes, capacity)) for way in task.ways)) for task in problem.tasks)
    return replace(problem, tasks=tasks)


def _weighed(job: _Job, answer: Answer, schemes: Schemes, placing: bool) -> Answer:
    """The answer, or a simple scheme's plan where that moves less, mended where it has no addresses."""
    rows = sorted(schemes(), key=lambda row: row.extra_bytes)
    for row in rows:
        if row.extra_bytes >= answer.extra_bytes:
            break
        plan = row.plan
        if placing and row.allocator == "none":
            if job.over():
                continue
            plan = mended(job.problem, plan, job.capacity, over=job.over).plan
        extra = job.cost(plan)
        if extra < answer.extra_bytes:
            method = f"{row.name}; bound by {answer.method}" if extra > answer.lower_bound_bytes else f"{row.name}; {answer.method}"
            answer = replace(answer, plan=plan, extra_bytes=extra, method=method, placed=placing)
    return answer


def _with(job: _Job, answer: Answer, plan: Plan, how: str) -> Answer:
    extra = job.cost(plan)
    stopped = "" if extra == answer.lower_bound_bytes else answer.stopped or "placement"
    return replace(answer, plan=plan, extra_bytes=extra, method=answer.method + how, placed=True, stopped=stopped)
