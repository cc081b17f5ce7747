"""Gaps between uses, and the plans that say which of them an item stays over: what all formulations have in common.

A *gap* of an item lies between two operators that touch it (its maker and its users, in the order in which they run) with no other toucher
between them. There is an optimal plan for every order that keeps an item over a whole gap or not at all, so an order, the gaps kept and the
ways taken are a plan.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hwspecs.vocabulary.errors import ContractError, UnsupportedError
from ilp.decompose import Course
from ilp.downset import plan_of
from ilp.problem import Plan, Problem, Stay
from ilp.recount import recount
from ilp.rows import Rows
from ilp.solver import Solved

Gap = tuple[int, int]
"""Item, and number of the gap: 0 begins at its maker or, if it has none, at its first user."""


@dataclass(frozen=True, slots=True)
class Modelled:
    """What a model said of a problem.

    Attributes:
        course: order and items held after each step; None if no plan was found, as is ``plan``.
        extra_bytes: of the plan, as ``ilp.recount`` counts it; -1 without one.
        bound_bytes: no plan (of the order given, for the gap model) moves fewer extra bytes; 0 if nothing is known.
        stopped: why it ended before a proof, or empty. ``rows``, ``columns``: size of the model; ``nodes``: of the search.
    """

    course: Course | None
    plan: Plan | None
    extra_bytes: int
    bound_bytes: int
    solver: str
    stopped: str
    rows: int
    columns: int
    nodes: int

    @property
    def proven(self) -> bool:
        """The plan is optimal."""
        return self.plan is not None and self.extra_bytes == self.bound_bytes


def told(problem: Problem, capacity: int, rows: Rows, solved: Solved, unit: int, course: Course | None, plan: Plan | None) -> Modelled:
    """The plan recounted; one that holds within the solver's tolerances but not in whole bytes is none.

    Args:
        unit: bytes that the model counts as one.
    """
    shape = (len(rows.rows), len(rows.names), solved.nodes)
    bound = 0 if solved.bound is None else solved.bound * unit
    if plan is None:
        return Modelled(None, None, -1, bound, solved.solver, solved.stopped or solved.status, *shape)
    try:
        extra = recount(problem, plan, capacity)
    except ContractError:
        return Modelled(None, None, -1, bound, solved.solver, "numerics", *shape)
    bound = min(bound, extra)
    stopped = "" if extra == bound else solved.stopped or "numerics"
    return Modelled(course, plan, extra, bound, solved.solver, stopped, *shape)


def touches(problem: Problem, order: Sequence[int]) -> list[list[int]]:
    """Per item the steps that touch it, ascending."""
    step = {task: place for place, task in enumerate(order)}
    return [sorted({step[task] for task in (*item.users, *(() if item.maker is None else (item.maker,)))}) for item in problem.items]


def kept_sets(problem: Problem, order: Sequence[int], kept: Mapping[Gap, bool]) -> tuple[frozenset[int], ...]:
    """Per step the items in the scratchpad after it; gaps not in ``kept`` are not."""
    held: list[set[int]] = [set() for _ in order]
    for item, steps in enumerate(touches(problem, order)):
        for gap, (first, last) in enumerate(itertools.pairwise(steps)):
            if kept.get((item, gap), False):
                for step in range(first, last):
                    held[step].add(item)
    return tuple(frozenset(items) for items in held)


def kept_gaps(problem: Problem, course: Course) -> dict[Gap, bool]:
    """Per gap whether ``course`` holds the item all over it; gaps without a step inside are always kept where operands lie inside."""
    order, held = course
    found: dict[Gap, bool] = {}
    for item, steps in enumerate(touches(problem, order)):
        for gap, (first, last) in enumerate(itertools.pairwise(steps)):
            inside = all(item in held[step] for step in range(first, last))
            found[item, gap] = inside or (problem.operands_inside and last == first + 1)
    return found


def plan_with(problem: Problem, order: Sequence[int], kept: Mapping[Gap, bool], ways: Sequence[int] | None = None) -> Plan:
    """The plan that runs ``order`` in ``ways`` (indexed by operator; the first ones by default) and holds items over the gaps ``kept``."""
    taken = tuple(ways) if ways is not None else (0,) * len(problem.tasks)
    if problem.operands_inside:
        return replace(plan_of(problem, tuple(order), kept_sets(problem, order, kept)), ways=taken)
    stays = []
    for item, steps in enumerate(touches(problem, order)):
        since: int | None = None
        for gap, (first, last) in enumerate(itertools.pairwise(steps)):
            if not kept.get((item, gap), False):
                continue
            since = first if since is None else since
            if not kept.get((item, gap + 1), False):
                stays.append(Stay(item, since, last))
                since = None
    return Plan(tuple(order), taken, tuple(sorted(stays, key=lambda stay: (stay.first, stay.item))))


def common_unit(problem: Problem) -> int:
    """Greatest common divisor of all sizes and costs, bytes; models count in it, so that coefficients stay small."""
    found = 0
    for item in problem.items:
        found = math.gcd(found, item.bytes)
    for task in problem.tasks:
        for way in task.ways:
            found = math.gcd(found, way.bytes, way.own_extra_bytes, *way.loads.values())
    for buffers in problem.private:
        found = math.gcd(found, *(size for _, size in buffers))
    return max(1, found)


def check_plain(problem: Problem, what: str) -> None:
    """Models that choose the order serve atomic problems with one way per operator that moves each item at its size.

    Raises:
        UnsupportedError: names the operator that has several ways, or one with costs of its own.
    """
    if not problem.operands_inside:
        hint = "use the gap model, for a given order"
        raise UnsupportedError(f"{what} serves problems whose operands lie in the scratchpad whole", where=problem.name, hint=hint)
    for task in problem.tasks:
        if len(task.ways) > 1 or task.ways[0].loads or task.ways[0].own_extra_bytes:
            raise UnsupportedError(
                f"{what} takes one way per operator, without costs of its own", where=task.name, hint="use the gap model"
            )
