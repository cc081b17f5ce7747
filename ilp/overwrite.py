"""Stays that share a place because a result is written over its operand: placed as one stretch."""

from __future__ import annotations

from ilp.problem import Plan, Problem, Stay


def chains(problem: Problem, plan: Plan) -> tuple[tuple[Stay, ...], ...]:
    """The stays of a plan in groups that must have one address, each in order of time; most groups are one stay.

    Two stays belong together where the first ends at the step of an operator that writes the second over it. All stays of a group have
    one size, and each begins at the step at which the one before it ends: a group is a rectangle in step and address.
    """
    ending = {(stay.item, stay.last): stay for stay in plan.stays}
    over = {(task, new): old for task, old, new in problem.overwrites}
    followed: dict[Stay, Stay] = {}
    follows: set[Stay] = set()
    for stay in plan.stays:
        old = over.get((plan.order[stay.first], stay.item))
        before = ending.get((old, stay.first)) if old is not None else None
        if before is not None:
            followed[before] = stay
            follows.add(stay)
    groups = []
    for stay in plan.stays:
        if stay in follows:
            continue
        group = [stay]
        while group[-1] in followed:
            group.append(followed[group[-1]])
        groups.append(tuple(group))
    return tuple(groups)
