"""Linear models solved: PuLP with HiGHS by default, CBC or any other solver that PuLP finds, CP-SAT of ortools.

What PuLP says of a stopped solve is not to be trusted as it is: ``status`` reads "Optimal" at a time limit, its HiGHS knows neither the
status of a node limit nor a starting solution, and no bound comes back. So HiGHS is reached through a subclass of PuLP's own adapter, which
hands the model over in one call, sets the start and keeps HiGHS's own status and bound; CBC's bound is read from its log; of any other
solver a bound is known only if it proves its solution. The objective is always counted again from the values.
"""

from __future__ import annotations

import math
import re
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwspecs.vocabulary.errors import UnknownNameError, UnsupportedError
from ilp.rows import Rows

HIGHS, CBC, CP_SAT = "highs", "cbc", "cp-sat"
ALIASES = {"highs": HIGHS, "cbc": CBC, "pulp_cbc_cmd": CBC, "cp-sat": CP_SAT, "cpsat": CP_SAT, "ortools": CP_SAT}
GAP = 0.9
"""Objectives are whole numbers: a bound less than one below the best solution proves it."""
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Effort:
    """What a solve may spend.

    Attributes:
        nodes: of the search tree (HiGHS, CBC); CP-SAT counts a tenth of a second of its deterministic time for each. None: no limit.
            A solver that PuLP reaches in another way is limited by ``seconds`` alone.
        seconds: wall clock; the same input may then give another plan on another machine.
    """

    nodes: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Solved:
    """What a solver found.

    Attributes:
        values: of the columns, whole ones rounded; empty where no solution was found.
        objective: of the values, offset included, counted again; None without values.
        bound: proven: no solution has a smaller objective (offset included); None: nothing is known.
        status: ``optimal``, ``feasible``, ``infeasible`` or ``unknown``.
        stopped: ``node limit``, ``time limit``, ``interrupted``, ``numerics`` or empty.
        nodes: of the search tree, 0 where the solver does not tell.
    """

    values: tuple[float, ...]
    objective: int | None
    bound: int | None
    status: str
    stopped: str
    nodes: int
    solver: str


def minimised(rows: Rows, *, solver: str = HIGHS, effort: Effort | None = None, start: Sequence[int] | None = None) -> Solved:
    """The least objective of ``rows`` that ``solver`` finds within ``effort``.

    Args:
        solver: ``highs``, ``cbc``, ``cp-sat``, or the name of any solver that PuLP lists.
        start: values of all columns to start from; given to HiGHS, CBC and CP-SAT, of no use to others. One that breaks a row is not given.

    Raises:
        UnknownNameError: PuLP lists no such solver.
        UnsupportedError: the solver is not installed; the hint says how to install it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PuLP 3.3 announces its 4.0, which needs a newer Python
        return _minimised(rows, canonical(solver), effort or Effort(), start)


def _minimised(rows: Rows, name: str, effort: Effort, start: Sequence[int] | None) -> Solved:
    if rows.impossible:
        return Solved((), None, None, "infeasible", "", 0, name)
    if start is not None and rows.violated(tuple(start)) is not None:
        start = None
    if not rows.rows:
        return Solved((0.0,) * len(rows.names), rows.offset, rows.offset, "optimal", "", 0, name)
    if name == CP_SAT:
        from ilp.cpsat import minimised_by_cp_sat

        return minimised_by_cp_sat(rows, effort, start)
    if name == HIGHS:
        return _by_highs(rows, effort, start)
    return _by_pulp(rows, name, effort, start)


def canonical(solver: str) -> str:
    """The solver's own name, whatever its case.

    Raises:
        UnknownNameError: PuLP lists no such solver.
    """
    if solver.lower() in ALIASES:
        return ALIASES[solver.lower()]
    import pulp

    known: dict[str, str] = {name.lower(): name for name in pulp.listSolvers()}
    if solver.lower() not in known:
        names = ", ".join(sorted({HIGHS, CBC, CP_SAT, *known.values()}, key=str.lower))
        raise UnknownNameError(f"no solver is called {solver!r}", hint=f"known: {names}")
    return known[solver.lower()]


def check_installed(solver: str) -> None:
    """Refuse a solver before anything is spent on a search that may need it.

    Raises:
        UnknownNameError: PuLP lists no such solver.
        UnsupportedError: the solver is not installed; the hint says how to install it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        name = canonical(solver)
        if name == CP_SAT:
            from ilp.cpsat import cp_model_module

            cp_model_module()
        elif name == HIGHS:
            _highs_adapter()
        else:
            _available(name, msg=False)


def _available(name: str, **options: Any) -> Any:
    """PuLP's adapter of a solver that is there."""
    import pulp

    adapter = pulp.getSolver("PULP_CBC_CMD" if name == CBC else name, **options)
    if not adapter.available():
        found = ", ".join(pulp.listSolvers(onlyAvailable=True))
        hint = "pip install 'pulp>=3.3,<4', which brings CBC" if name == CBC else f"install it where PuLP looks for it; PuLP finds {found}"
        raise UnsupportedError(f"the solver {name!r} is not installed", hint=hint)
    return adapter


def as_pulp(rows: Rows) -> tuple[Any, list[Any]]:
    """(pulp.LpProblem, its variables by column): to solve, or to write as LP or MPS; the objective is without ``rows.offset``.

    Columns that no row holds have no place in the problem (CBC refuses them); they are 0, as no cost is negative.
    """
    import pulp

    problem = pulp.LpProblem(re.sub(r"\W+", "_", rows.name), pulp.LpMinimize)
    kinds = {True: pulp.LpInteger, False: pulp.LpContinuous}
    variables = [
        pulp.LpVariable(name, 0, upper, kinds[whole]) for name, upper, whole in zip(rows.names, rows.upper, rows.whole, strict=True)
    ]
    bound = {column for row in rows.rows for column in row.columns}
    problem.setObjective(pulp.LpAffineExpression([(variables[column], rows.cost[column]) for column in sorted(bound) if rows.cost[column]]))
    problem.addVariables([variables[column] for column in sorted(bound)])
    for number, row in enumerate(rows.rows):
        terms = [(variables[column], coefficient) for column, coefficient in zip(row.columns, row.coefficients, strict=True)]
        sides = (
            [(pulp.LpConstraintEQ, row.low)] if row.low == row.high else [(pulp.LpConstraintGE, row.low), (pulp.LpConstraintLE, row.high)]
        )
        for sense, side in sides:
            if side is not None:
                problem.addConstraint(pulp.LpConstraint(pulp.LpAffineExpression(terms), sense, rhs=side), f"r{number}_{sense + 1}")
    return problem, variables


def _by_highs(rows: Rows, effort: Effort, start: Sequence[int] | None) -> Solved:
    adapter_class = _highs_adapter()
    problem, variables = as_pulp(rows)
    options: dict[str, Any] = {"gapAbs": GAP, "gapRel": 0.0}
    if effort.nodes is not None:
        options["mip_max_nodes"] = effort.nodes
    if effort.seconds is not None:
        options["timeLimit"] = max(0.0, effort.seconds)
    adapter = adapter_class(msg=False, **options)
    if start is not None:
        for variable, value in zip(variables, start, strict=True):
            variable.setInitialValue(value)
        adapter.started = True
    problem.solve(adapter)
    highs = problem.solverModel
    kinds, info = type(highs.getModelStatus()), highs.getInfo()
    status = highs.getModelStatus()
    stops = {kinds.kTimeLimit: "time limit", kinds.kSolutionLimit: "node limit", kinds.kInterrupt: "interrupted"}
    stops[kinds.kHighsInterrupt] = "interrupted"
    if status in (kinds.kInfeasible, kinds.kUnboundedOrInfeasible):
        return Solved((), None, None, "infeasible", "", 0, HIGHS)
    found = info.primal_solution_status == 2  # kSolutionStatusFeasible
    values = [variable.varValue or 0.0 for variable in variables] if found else []
    proven = status == kinds.kOptimal
    bound = info.mip_dual_bound if any(rows.whole) else (info.objective_function_value if proven else -math.inf)
    nodes = max(0, int(info.mip_node_count))
    return _told(rows, values, bound, proven, "" if proven else stops.get(status, "numerics"), nodes, HIGHS)


def _highs_adapter() -> Any:
    """PuLP's HiGHS adapter, with hand-over in one call, a starting solution and Ctrl-C; statuses are left to the caller."""
    try:
        import highspy
    except ImportError as error:
        raise UnsupportedError("the solver HiGHS is not installed", hint="pip install 'highspy<1.15'") from error
    import numpy as np
    import pulp

    class ArrayHighs(pulp.HiGHS):  # type: ignore[misc]
        started = False

        def buildSolverModel(self, lp: Any) -> None:  # noqa: N802 - PuLP's name
            variables = lp.variables()
            for index, variable in enumerate(variables):
                variable.index = index
            model = highspy.HighsLp()
            model.num_col_, model.num_row_ = len(variables), len(lp.constraints)
            model.col_cost_ = np.array([float(lp.objective.get(variable, 0.0)) for variable in variables])
            model.col_lower_ = np.array([float(variable.lowBound) for variable in variables])
            model.col_upper_ = np.array([float(variable.upBound) for variable in variables])
            kinds = {True: highspy.HighsVarType.kInteger, False: highspy.HighsVarType.kContinuous}
            model.integrality_ = [kinds[variable.cat == pulp.LpInteger] for variable in variables]
            starts, columns, coefficients, lows, highs = [0], [], [], [], []
            for row in lp.constraints.values():
                for variable, coefficient in row.items():
                    columns.append(variable.index)
                    coefficients.append(float(coefficient))
                starts.append(len(columns))
                lows.append(-highspy.kHighsInf if row.getLb() is None else float(row.getLb()))
                highs.append(highspy.kHighsInf if row.getUb() is None else float(row.getUb()))
            model.row_lower_, model.row_upper_ = np.array(lows), np.array(highs)
            model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
            model.a_matrix_.start_ = np.array(starts, dtype=np.int32)
            model.a_matrix_.index_ = np.array(columns, dtype=np.int32)
            model.a_matrix_.value_ = np.array(coefficients)
            lp.solverModel.passModel(model)
            if self.started:
                given = highspy.HighsSolution()
                given.col_value = [float(variable.varValue) for variable in variables]
                lp.solverModel.setSolution(given)

        def callSolver(self, lp: Any) -> None:  # noqa: N802
            lp.solverModel.HandleUserInterrupt = True  # its own handling of Ctrl-C writes to the terminal
            lp.solverModel.startSolve()
            try:
                while not lp.solverModel.wait(0.05)[0]:
                    pass
            except KeyboardInterrupt:
                lp.solverModel.cancelSolve()
                while not lp.solverModel.wait(0.05)[0]:
                    pass

        def findSolutionValues(self, lp: Any) -> tuple[int, int]:  # noqa: N802
            values = list(lp.solverModel.getSolution().col_value)
            for variable in lp.variables():
                variable.varValue = values[variable.index] if values else None
            return pulp.LpStatusNotSolved, pulp.LpSolutionNoSolutionFound

    return ArrayHighs


def _by_pulp(rows: Rows, name: str, effort: Effort, start: Sequence[int] | None) -> Solved:
    """CBC, or whatever else PuLP can call."""
    import pulp

    problem, variables = as_pulp(rows)
    options: dict[str, Any] = {"msg": False}
    if effort.seconds is not None:
        options["timeLimit"] = max(1e-3, effort.seconds)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "solver.log"
        if name == CBC:
            options |= {"gapAbs": GAP, "gapRel": 0.0, "logPath": str(log), "threads": None}
            if effort.nodes is not None:
                options["options"] = [f"maxNodes {effort.nodes}"]
            if start is not None:
                options["warmStart"] = True
                for variable, value in zip(variables, start, strict=True):
                    variable.setInitialValue(value)
        problem.solve(_available(name, **options))
        text = log.read_text(errors="replace") if log.exists() else ""
    if problem.status == pulp.LpStatusInfeasible:
        return Solved((), None, None, "infeasible", "", 0, name)
    found_one = problem.sol_status in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible)
    proven = problem.sol_status == pulp.LpSolutionOptimal
    values = [variable.varValue or 0.0 for variable in variables] if found_one else []
    told = re.search(r"Lower bound:\s+(-?[\d.eE+-]+)", text)
    counted = re.search(r"Enumerated nodes:\s+(\d+)", text)
    bound = float(told.group(1)) if told else -math.inf
    if proven:
        bound = sum(cost * value for cost, value in zip(rows.cost, values, strict=True)) - (GAP if name == CBC else 0.0)
    stopped = "" if proven else "node limit" if "on node limit" in text or "maximum nodes" in text else "time limit"
    return _told(rows, values, bound, proven, stopped, int(counted.group(1)) if counted else 0, name)


def _told(rows: Rows, values: Sequence[float], bound: float, proven: bool, stopped: str, nodes: int, solver: str) -> Solved:
    """The answer with whole columns rounded and the objective counted again; ``bound`` is without the offset."""
    least = math.ceil(bound - TOLERANCE * max(1.0, abs(bound))) + rows.offset if math.isfinite(bound) else None
    if not values:
        return Solved((), None, least, "unknown", stopped or "numerics", nodes, solver)
    rounded = tuple(float(round(value)) if whole else value for value, whole in zip(values, rows.whole, strict=True))
    objective = round(rows.offset + sum(cost * value for cost, value in zip(rows.cost, rounded, strict=True)))
    least = None if least is None else min(least, objective)
    status = "optimal" if proven and least == objective else "feasible"
    return Solved(rounded, objective, least, status, stopped or ("" if status == "optimal" else "numerics"), nodes, solver)
