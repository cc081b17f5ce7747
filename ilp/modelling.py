"""The linear models within the portfolio: one part of a problem, what is known of it, and what a model adds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ilp.courses import Modelled
from ilp.decompose import Course, orders_of
from ilp.gap_model import solve_gaps
from ilp.joint_model import solve_joint
from ilp.order_model import free_pairs, order_bound
from ilp.problem import Problem
from ilp.solver import CP_SAT, HIGHS, Effort, canonical

MOST_WINDOWS = {True: 10_000, False: 1_000}
"""Steps at which operators may run, over all operators, beyond which CP-SAT (True) or another solver is not given the joint model of a part
unless it is asked for by name: linear relaxations of large ones take minutes and bound little."""

MOST_PAIRS = (0, 600, 3_000)
"""Pairs of operators whose order the order model takes into account, model after model."""
NODES_OF_A_BOUND = 25
"""The order model may spend so many times the nodes that the others may: its relaxations are small."""
PART_OF_A_BOUND = 4
"""The order model may spend one part in so many of the time that is left."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of one part.

    Attributes:
        course: the best one, or None; ``extra_bytes`` of it, -1 without one. ``bound_bytes``: no plan moves less.
        width: of the sweep that gave the course, states a layer. ``states``: that the last sweep looked at.
        plan_by, bound_by: the model that gave them where no sweep did.
        nodes: of all searches of solvers.
    """

    course: Course | None
    extra_bytes: int
    bound_bytes: int
    width: int = 0
    states: int = 0
    plan_by: str = ""
    bound_by: str = ""
    nodes: int = 0
    stopped: str = ""

    @property
    def proven(self) -> bool:
        """Nothing is left to do."""
        return self.course is not None and self.extra_bytes == self.bound_bytes


NOTHING = Found(None, -1, 0)


def windows(problem: Problem) -> int:
    """Steps at which operators may run, over all operators: what the joint model grows with."""
    ancestors, descendants = orders_of(problem)
    last = len(problem.tasks) - 1
    return sum(last - above.bit_count() - below.bit_count() for above, below in zip(ancestors, descendants, strict=True))


def preferred(solver: str | None) -> str:
    """The solver of the joint model: the one asked for, else CP-SAT where ortools is installed, else HiGHS."""
    if solver is not None:
        return canonical(solver)
    from ilp.cpsat import installed

    return CP_SAT if installed() else HIGHS


def replaced(
    problem: Problem, capacity: int, known: Found, solver: str | None, effort: Effort, order: tuple[int, ...] | None = None
) -> Found:
    """The optimal replacement for ``order``; without one, for that of the course known (program order without a course)."""
    start = known.course if order is None else None
    if order is None:
        order = tuple(range(len(problem.tasks))) if known.course is None else known.course[0]
    told = solve_gaps(problem, order, capacity, solver=solver or HIGHS, effort=effort, start=start)
    return _better(known, told, f"optimal replacement by {told.solver}", bounds=False)


def jointly(problem: Problem, capacity: int, known: Found, solver: str | None, effort: Effort) -> Found:
    """What the joint model adds: a better course, a better bound, or neither.

    Args:
        problem: it may have precedences that only plans cheaper than the course keep.
    """
    told = solve_joint(problem, capacity, solver=preferred(solver), effort=effort, start=known.course)
    return _better(known, told, f"joint model by {told.solver}", bounds=True)


def bounded(problem: Problem, capacity: int, known: Found, solver: str | None, effort: Effort) -> Found:
    """What the order model adds to a course that is known: a better bound, or none.

    Args:
        problem: it may have precedences that only plans cheaper than the course keep.
    """
    tried = -1
    for most in MOST_PAIRS:
        pairs = free_pairs(problem, most) if most else []
        far = 2 * known.bound_bytes < known.extra_bytes  # more pairs add a part of the bound, and do not make one
        if known.proven or len(pairs) == tried or (most and far):
            continue
        tried = len(pairs)
        nodes = None if effort.nodes is None else NODES_OF_A_BOUND * effort.nodes
        seconds = None if effort.seconds is None else effort.seconds / PART_OF_A_BOUND
        told = order_bound(problem, capacity, pairs=pairs, solver=preferred(solver), effort=Effort(nodes, seconds))
        if told.stopped == "interrupted":
            raise KeyboardInterrupt
        known = replace(known, nodes=known.nodes + told.nodes)
        if told.bound_bytes > known.bound_bytes:
            bound = min(told.bound_bytes, known.extra_bytes)
            known = replace(known, bound_bytes=bound, bound_by=f"order model by {told.solver}")
    return known


def _better(known: Found, told: Modelled, name: str, *, bounds: bool) -> Found:
    found = replace(known, nodes=known.nodes + told.nodes, stopped=told.stopped)
    if told.course is not None and (known.course is None or told.extra_bytes < known.extra_bytes):
        found = replace(found, course=told.course, extra_bytes=told.extra_bytes, plan_by=name)
    bound = min(told.bound_bytes, told.bound_bytes if found.course is None else found.extra_bytes)
    if bounds and bound > known.bound_bytes:
        found = replace(found, bound_bytes=bound, bound_by=name)
    return found
