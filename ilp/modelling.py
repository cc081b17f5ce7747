"""The linear models within the portfolio: one part of a problem, what is known of it, and what a model adds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ilp.courses import Modelled
from ilp.decompose import Course, orders_of
from ilp.gap_model import solve_gaps
from ilp.joint_model import solve_joint
from ilp.problem import Problem
from ilp.solver import CP_SAT, HIGHS, Effort, canonical

MOST_WINDOWS = {True: 10_000, False: 1_000}
"""Steps at which operators may run, over all operators, beyond which CP-SAT (True) or another solver is not given the joint model of a part
unless it is asked for by name: linear relaxations of large ones take minutes and bound little."""


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


def replaced(problem: Problem, capacity: int, known: Found, solver: str | None, effort: Effort) -> Found:
    """The optimal replacement for the order of the course known (program order without one)."""
    order = tuple(range(len(problem.tasks))) if known.course is None else known.course[0]
    told = solve_gaps(problem, order, capacity, solver=solver or HIGHS, effort=effort, start=known.course)
    return _better(known, told, f"optimal replacement by {told.solver}", bounds=False)


def jointly(problem: Problem, capacity: int, known: Found, solver: str | None, effort: Effort) -> Found:
    """What the joint model adds: a better course, a better bound, or neither."""
    told = solve_joint(problem, capacity, solver=preferred(solver), effort=effort, start=known.course)
    return _better(known, told, f"joint model by {told.solver}", bounds=True)


def _better(known: Found, told: Modelled, name: str, *, bounds: bool) -> Found:
    found = replace(known, nodes=known.nodes + told.nodes, stopped=told.stopped)
    if told.course is not None and (known.course is None or told.extra_bytes < known.extra_bytes):
        found = replace(found, course=told.course, extra_bytes=told.extra_bytes, plan_by=name)
    if bounds and told.bound_bytes > known.bound_bytes:
        found = replace(found, bound_bytes=told.bound_bytes, bound_by=name)
    return found
