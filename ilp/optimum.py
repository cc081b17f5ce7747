"""The answer to an atomic problem with addresses: solve, place, and cut back to the schedule where placing fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ilp.arena import fitted
from ilp.atomic import least_capacity
from ilp.baselines import baselines, depth_first
from ilp.problem import Answer, Plan, Problem
from ilp.recount import recount
from ilp.solve import Progress, solve

CUTS = (64, 32, 16, 8)
"""Where a plan finds no addresses, plans for a scratchpad that is smaller by one part in so many are tried in turn."""

PLACEMENTS = 400_000
"""Placements that the search for addresses may try for one plan: seconds."""


def optimum(
    problem: Problem, capacity: int, *, progress: Progress | None = None, placing: bool = True, effort: Mapping[str, Any] | None = None
) -> Answer:
    """The best plan found, placed within ``capacity``.

    The plan that the solver gives is placed as it is; where its search ended before it found any, that is program order with Belady's
    rule. If no addresses are found for it, so are plans for somewhat less scratchpad, and then the first plan with stretches cut
    (``ilp.arena``); the cheapest of these is the answer. The bound stays that of the problem.

    Args:
        placing: False leaves the plan without addresses.
        effort: keyword arguments of ``ilp.solve.solve`` (``states``, ``nodes``, ``seconds``, ``method``, ``solver``).

    Raises:
        InfeasibleError: an operator does not fit by itself; names it.
    """
    asked = dict(effort or {})
    answer = solve(problem, capacity, progress=progress, **asked)
    if answer.plan is None:
        simple = baselines(problem, capacity, {"program": tuple(range(len(problem.tasks)))}, [("program", "belady", "none")])[0]
        answer = replace(answer, plan=simple.plan, extra_bytes=simple.extra_bytes, method=f"{simple.name}: the search found none")
    if not placing or answer.plan is None or answer.placed:
        return answer
    try:
        return _placed(problem, answer, capacity, asked, progress)
    except KeyboardInterrupt:
        cut = fitted(problem, answer.plan, capacity)
        return replace(_with(problem, answer, cut, capacity, ", spills added to find addresses"), stopped="interrupted")


def _placed(problem: Problem, answer: Answer, capacity: int, asked: Mapping[str, Any], progress: Progress | None) -> Answer:
    """The answer with addresses, of a plan that costs as little more as was found."""
    from ilp.placement import placed

    assert answer.plan is not None
    found = placed(problem, answer.plan, capacity, effort=PLACEMENTS)
    if found is not None:
        return _with(problem, answer, found, capacity, "")
    if progress is not None:
        progress(f"{problem.name}: no addresses for this plan, trying with less room")
    best = fitted(problem, answer.plan, capacity)
    how = ", spills added to find addresses"
    for cut in CUTS if answer.stopped != "interrupted" else ():
        less = capacity - capacity // cut
        if less < least_capacity(problem):
            break
        other = solve(problem, less, progress=progress, **asked)
        found = placed(problem, other.plan, capacity, effort=PLACEMENTS) if other.plan is not None else None
        if found is not None:
            if recount(problem, found, capacity) < recount(problem, best, capacity):
                best, how = found, f", solved for {less} bytes to find addresses"
            break
    return _or_simpler(problem, _with(problem, answer, best, capacity, how), capacity)


def _or_simpler(problem: Problem, answer: Answer, capacity: int) -> Answer:
    """The answer, or a simple scheme's plan where the search has ended without a proof and that one moves less."""
    if answer.proven:
        return answer
    orders = {"program": tuple(range(len(problem.tasks))), "depth-first": depth_first(problem)}
    schemes = [(order, rule, how) for order in orders for rule, how in (("belady", "linear"), ("belady", "best-fit"))]
    simple = min(baselines(problem, capacity, orders, schemes), key=lambda scheme: scheme.extra_bytes)
    if simple.extra_bytes >= answer.extra_bytes:
        return answer
    return replace(
        answer, plan=simple.plan, extra_bytes=simple.extra_bytes, method=f"{simple.name}: less than {answer.method}", placed=True
    )


def _with(problem: Problem, answer: Answer, plan: Plan, capacity: int, how: str) -> Answer:
    extra = recount(problem, plan, capacity)
    stopped = answer.stopped or ("placement" if extra > answer.lower_bound_bytes and not answer.stopped else "")
    return replace(answer, plan=plan, extra_bytes=extra, method=answer.method + how, placed=True, stopped=stopped)
