"""Gaps between uses, and the plans that say which of them an item stays over: what all formulations have in common.

A *gap* of an item lies between two operators that touch it (its maker and its users, in the order in which they run) with no other toucher
between them. There is an optimal plan for every order that keeps an item over a whole gap or not at all, so an order, the gaps kept and the
ways taken are a plan.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hwspecs.vocabulary.errors import UnsupportedError
from ilp.decompose import Course
from ilp.downset import plan_of
from ilp.problem import Plan, Problem, Stay

Gap = tuple[int, int]
"""Item, and number of the gap: 0 begins at its maker or, if it has none, at its first user."""


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
        return replace_ways(plan_of(problem, tuple(order), kept_sets(problem, order, kept)), taken)
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


def replace_ways(plan: Plan, ways: tuple[int, ...]) -> Plan:
    """The same plan with other ways."""
    return replace(plan, ways=ways)


def common_unit(problem: Problem) -> int:
    """Greatest common divisor of all sizes and costs, bytes; models count in it, so that coefficients stay small."""
    found = 0
    for item in problem.items:
        found = math.gcd(found, item.bytes)
    for task in problem.tasks:
        for way in task.ways:
            found = math.gcd(found, way.bytes, way.own_extra_bytes, *way.loads.values())
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
