"""CP-SAT of ortools on the rows of a model: exact in whole numbers, strong where items have many readers (extra ``ortools``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hwspecs.vocabulary.errors import UnsupportedError
from ilp.rows import Rows

if TYPE_CHECKING:
    from ilp.solver import Effort, Solved

DETERMINISTIC_SECONDS_PER_NODE = 0.1
"""About what a node of a linear solver costs on models that are hard."""
WORKERS = 8
"""Searches that take turns in a fixed order, so that the answer is the same however many cores there are."""


def installed() -> bool:
    """Whether ortools can be imported; it is looked for, not imported."""
    import importlib.util

    return importlib.util.find_spec("ortools") is not None


def cp_model_module() -> Any:
    """The module ``ortools.sat.python.cp_model``.

    Raises:
        UnsupportedError: it is not installed, or cannot be loaded beside the installed highspy.
    """
    try:
        from ortools.sat.python import cp_model
    except ImportError as error:
        hint = "pip install 'cyclewright[ortools]'" + (" with highspy<1.15" if installed() else "")
        raise UnsupportedError(f"the solver CP-SAT cannot be loaded ({error})", hint=hint) from error
    return cp_model


def configured(cp_model: Any, effort: Effort) -> Any:
    """A CP-SAT solver that stops at ``effort`` and gives the same answer every time where no wall clock stops it."""
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = WORKERS
    solver.parameters.interleave_search = True
    solver.parameters.absolute_gap_limit = 0.0
    solver.parameters.relative_gap_limit = 0.0
    if effort.nodes is not None:
        solver.parameters.max_deterministic_time = effort.nodes * DETERMINISTIC_SECONDS_PER_NODE
    if effort.seconds is not None:
        solver.parameters.max_time_in_seconds = max(1e-3, effort.seconds)
    return solver


def minimised_by_cp_sat(rows: Rows, effort: Effort, start: Sequence[int] | None) -> Solved:
    """The least objective of ``rows`` by CP-SAT; continuous columns take whole values, which the formulations of this room allow.

    Raises:
        UnsupportedError: ortools is not installed.
    """
    from ilp.solver import CP_SAT, Solved

    cp_model = cp_model_module()
    model = cp_model.CpModel()
    variables = [model.new_int_var(0, upper, name) for name, upper in zip(rows.names, rows.upper, strict=True)]
    for row in rows.rows:
        total = cp_model.LinearExpr.weighted_sum([variables[column] for column in row.columns], row.coefficients)
        low = cp_model.INT_MIN if row.low is None else row.low
        model.add_linear_constraint(total, low, cp_model.INT_MAX if row.high is None else row.high)
    model.minimize(cp_model.LinearExpr.weighted_sum(variables, rows.cost) + rows.offset)
    if start is not None:
        for variable, value in zip(variables, start, strict=True):
            model.add_hint(variable, value)
    solver = configured(cp_model, effort)
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return Solved((), None, None, "infeasible", "", 0, CP_SAT)
    bound = solver.best_objective_bound
    least = math.ceil(bound - 1e-6) if math.isfinite(bound) else None
    stopped = "" if status == cp_model.OPTIMAL else why_stopped(solver, effort)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Solved((), None, least, "unknown", stopped, int(solver.num_branches), CP_SAT)
    values = tuple(int(solver.value(variable)) for variable in variables)
    objective = rows.objective(values)
    proven = "optimal" if status == cp_model.OPTIMAL else "feasible"
    least = None if least is None else min(least, objective)
    return Solved(tuple(map(float, values)), objective, least, proven, stopped, int(solver.num_branches), CP_SAT)


def why_stopped(solver: Any, effort: Effort) -> str:
    """Which limit ended a search that proved nothing."""
    if effort.seconds is not None and solver.wall_time >= 0.98 * effort.seconds:
        return "time limit"
    spent = solver.response_proto.deterministic_time
    ended = effort.nodes is not None and spent >= 0.9 * effort.nodes * DETERMINISTIC_SECONDS_PER_NODE
    return "node limit" if ended else "interrupted"
