"""Linear models against brute force and the down-set program, their laws, and what solvers that stop or are missing give."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from dataclasses import replace

import pulp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import ArgumentError, InfeasibleError, UnknownNameError, UnsupportedError
from ilp.atomic import least_capacity
from ilp.courses import kept_gaps
from ilp.downset import sweep
from ilp.gap_model import GapModel, solve_gaps
from ilp.joint_model import JointModel, solve_joint
from ilp.problem import Item, Problem, Task, Way
from ilp.recount import recount
from ilp.rows import CONSTANT, Rows
from ilp.solve import METHODS, solve
from ilp.solver import Effort, as_pulp, minimised
from ilp.timed_model import solve_timed
from tests.naive.memory import least_extra_bytes, random_problem
from tests.naive.replacement import least_of_order, random_mapped

HAS_ORTOOLS = importlib.util.find_spec("ortools") is not None
SOLVERS = ["highs", "cbc", pytest.param("cp-sat", marks=pytest.mark.skipif(not HAS_ORTOOLS, reason="needs the extra ortools"))]


def knapsack(solver, effort=None, start=None):
    """Cover 10 with pieces of 7, 5 and 4 of which there are two each, at prices 7, 6 and 4: 4 + 4 + 5 costs 14, 7 + 4 costs 11."""
    rows = Rows("cover")
    pieces = [rows.column(f"piece_{size}", cost=price, upper=2) for size, price in ((7, 7), (5, 6), (4, 4))]
    rows.at_least({pieces[0]: 7, pieces[1]: 5, pieces[2]: 4, CONSTANT: 3}, 13)
    rows.offset = 100
    return rows, minimised(rows, solver=solver, effort=effort, start=start)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_cover_by_hand(solver):
    rows, solved = knapsack(solver)
    assert (solved.objective, solved.bound, solved.status, solved.stopped) == (111, 111, "optimal", "")
    assert solved.values == (1, 0, 1)
    assert rows.violated((0, 2, 0)) is None
    assert rows.violated((0, 0, 2)) is not None


@pytest.mark.parametrize("solver", SOLVERS)
def test_rows_that_contradict_each_other_have_no_solution(solver):
    rows = Rows("none")
    a, b, c = (rows.column(name) for name in "abc")
    for x, y in ((a, b), (b, c), (a, c)):
        rows.equal({x: 1, y: 1}, 1)  # three that differ pairwise, of two values
    solved = minimised(rows, solver=solver)
    assert (solved.status, solved.values, solved.objective) == ("infeasible", (), None)


def test_the_pulp_problem_is_the_model():
    rows, _ = knapsack("highs")
    rows.column("in no row")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        problem, variables = as_pulp(rows)
        problem.solve(pulp.PULP_CBC_CMD(msg=False))
    assert pulp.value(problem.objective) == 11
    assert [variable.varValue for variable in variables[:3]] == [1, 0, 1]


def oracles(seeds, most_tasks=5):
    """Brute force, down-set program, joint model and time-indexed model agree; how many problems move bytes."""
    moved = 0
    for seed in seeds:
        problem, capacity = random_problem(seed, most_tasks)
        least = least_extra_bytes(problem, capacity)
        found = [solve_joint(problem, capacity), solve_timed(problem, capacity, addresses=False)]
        if HAS_ORTOOLS:
            found.append(solve_joint(problem, capacity, solver="cp-sat"))
        swept = sweep(problem, capacity, width=10**6)
        assert (swept.extra_bytes, swept.complete) == (least, True), seed
        for told in found:
            assert (told.extra_bytes, told.bound_bytes, told.proven) == (least, least, True), seed
            assert recount(problem, told.plan, capacity) == least, seed
        moved += least > 0
    return moved


@pytest.mark.parametrize("seeds", [range(60), pytest.param(range(60, 560), marks=pytest.mark.slow)])
def test_all_exact_methods_agree_with_brute_force(seeds):
    assert oracles(seeds) > len(seeds) // 10


def test_cbc_agrees():
    for seed in range(500, 512):
        problem, capacity = random_problem(seed, 6)
        told = solve_joint(problem, capacity, solver="cbc")
        assert (told.extra_bytes, told.proven) == (sweep(problem, capacity, width=10**6).extra_bytes, True), seed


@pytest.mark.parametrize("seeds", [range(40), pytest.param(range(40, 200), marks=pytest.mark.slow)])
def test_optimal_replacement_for_an_order(seeds):
    dearer = 0
    for seed in seeds:
        problem, capacity = random_problem(seed, 5)
        best = sweep(problem, capacity, width=10**6)
        order = tuple(range(len(problem.tasks)))
        fixed, free = solve_gaps(problem, order, capacity), solve_gaps(problem, best.order, capacity)
        assert (fixed.extra_bytes, fixed.proven) == (least_extra_bytes(problem, capacity, order), True), seed
        assert (free.extra_bytes, free.proven) == (best.extra_bytes, True), seed
        assert fixed.extra_bytes >= best.extra_bytes, seed
        dearer += fixed.extra_bytes > best.extra_bytes
    assert dearer  # the order matters in some


@pytest.mark.parametrize("seeds", [range(25), pytest.param(range(25, 300), marks=pytest.mark.slow)])
def test_replacement_and_ways_of_mapped_problems_equal_every_plan_counted(seeds):
    moved = 0
    for seed in seeds:
        problem, capacity = random_mapped(seed)
        order = tuple(range(len(problem.tasks)))
        told = solve_gaps(problem, order, capacity)
        cycles = sum(task.ways[way].cycles for task, way in zip(problem.tasks, told.plan.ways, strict=True))
        assert ((told.extra_bytes, cycles), told.proven) == (least_of_order(problem, order, capacity), True), seed
        moved += told.extra_bytes > 0
    assert moved > len(seeds) // 10


def test_a_larger_working_set_is_worth_it_if_it_saves_loads():
    """Way "wide" takes 6 more bytes and loads the item of 4 once, way "small" three times: 4 against 12, where there is room for it."""
    item = Item("a", 4, 0, (2,), stored=True)
    reader = Task("reader", (0,), (), (Way(2, "small", {0: 12}), Way(8, "wide", {0: 4})))
    tasks = (Task("maker", (), (0,), (Way(4),)), Task("large", (), (), (Way(7),)), reader)
    problem = Problem("ways", (item,), tasks, operands_inside=False)
    tight, wide, all_of_it = (solve_gaps(problem, (0, 1, 2), capacity) for capacity in (7, 10, 11))
    assert (tight.extra_bytes, tight.plan.ways[2]) == (12, 0)
    assert (wide.extra_bytes, wide.plan.ways[2]) == (4, 1)
    assert (all_of_it.extra_bytes, all_of_it.plan.ways[2]) == (0, 0)  # 7 + 4 beside each other; "wide" would need 12


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 5, 7, 8, 9])
def test_cosmas_model_places_what_it_plans(seed):
    problem, capacity = random_problem(seed, 5)
    told = solve_timed(problem, capacity, effort=Effort(nodes=500))
    least = sweep(problem, capacity, width=10**6).extra_bytes
    assert told.bound_bytes <= told.extra_bytes >= least
    assert all(stay.address >= 0 for stay in told.plan.stays)
    assert recount(problem, told.plan, capacity) == told.extra_bytes  # checks that no two overlap


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**9))
def test_a_plan_satisfies_the_rows_at_its_cost(seed):
    """No solver: each plan of a beam is a solution of both models, and the objective is what it moves."""
    problem, capacity = random_problem(seed, 10)
    beam = sweep(problem, capacity, width=2)
    if beam.order is None:
        return
    course = (beam.order, beam.kept)
    joint, gaps = JointModel(problem, capacity), GapModel(problem, beam.order, capacity)
    for model, values in ((joint, joint.values_of(course)), (gaps, gaps.values_of(kept_gaps(problem, course), (0,) * len(problem.tasks)))):
        assert model.rows.violated(values) is None
        assert model.rows.objective(values) * model.unit == beam.extra_bytes
    assert joint.course_of(joint.values_of(course))[0] == beam.order


def test_sizes_are_divided_by_what_they_share():
    problem, capacity = random_problem(6, 6)
    items = tuple(replace(item, bytes=item.bytes * 4096) for item in problem.items)
    tasks = tuple(replace(task, ways=(Way(task.ways[0].bytes * 4096),)) for task in problem.tasks)
    large = replace(problem, items=items, tasks=tasks, private=())
    told, small = solve_joint(large, capacity * 4096 + 4095), solve_joint(problem, capacity)
    assert small.extra_bytes > 0
    assert (told.extra_bytes, told.proven) == (small.extra_bytes * 4096, True)
    assert max(abs(coefficient) for row in JointModel(large, capacity * 4096).rows.rows for coefficient in row.coefficients) <= capacity


@pytest.fixture(scope="module")
def wide():
    """Some thirty operators, no proof without a search: the joint model of it takes HiGHS many seconds."""
    for seed in range(100):
        problem, _ = random_problem(seed, 30)
        capacity = least_capacity(problem)
        if len(problem.tasks) > 22 and sweep(problem, capacity, width=16).extra_bytes > 0:
            return problem, capacity
    raise AssertionError("no such problem")


@pytest.mark.parametrize(("limit", "why"), [({"seconds": 0.2}, "time limit"), ({"nodes": 0}, "node limit")])
def test_a_solve_that_is_stopped_gives_a_valid_plan_and_says_so(wide, limit, why):
    problem, capacity = wide
    answer = solve(problem, capacity, method="joint", solver="highs", **limit)
    assert recount(problem, answer.plan, capacity) == answer.extra_bytes
    assert not answer.proven
    assert answer.lower_bound_bytes < answer.extra_bytes
    assert answer.stopped == why


def test_every_method_gives_a_plan_and_a_true_bound():
    problem, capacity = random_problem(8, 5)
    least = sweep(problem, capacity, width=10**6).extra_bytes
    for method in METHODS:
        if method == "cp-sat" and not HAS_ORTOOLS:
            continue
        answer = solve(problem, capacity, method=method, solver=None if method == "cp-sat" else "highs", nodes=200)
        assert recount(problem, answer.plan, capacity) == answer.extra_bytes, method
        assert answer.lower_bound_bytes <= least <= answer.extra_bytes, method
        assert answer.proven or method in ("gap", "timed"), method


def test_a_beam_that_proves_nothing_is_proven_by_the_joint_model():
    problem, capacity = random_problem(6, 6)
    answer = solve(problem, capacity, states=1, solver="highs")
    assert answer.proven
    assert "proven by the joint model by highs" in answer.method


def test_names_that_are_not_known():
    problem, capacity = random_problem(0, 4)
    with pytest.raises(UnknownNameError, match=r"no solver is called 'hihgs'; known: .*highs"):
        solve(problem, capacity, solver="hihgs")
    with pytest.raises(ArgumentError, match="no method is called 'magic'; one of auto"):
        solve(problem, capacity, method="magic")


def test_a_missing_solver_is_named_with_what_to_install(monkeypatch):
    rows, _ = knapsack("highs")
    monkeypatch.setitem(sys.modules, "ortools", None)
    monkeypatch.setitem(sys.modules, "ortools.sat.python", None)
    with pytest.raises(UnsupportedError, match=r"CP-SAT.*pip install 'cyclewright\[ortools\]'"):
        minimised(rows, solver="cp-sat")
    monkeypatch.setitem(sys.modules, "highspy", None)
    with pytest.raises(UnsupportedError, match=r"HiGHS is not installed; pip install 'highspy<1.15'"):
        minimised(rows, solver="HiGHS")
    if "MOSEK" not in pulp.listSolvers(onlyAvailable=True):
        with pytest.raises(UnsupportedError, match=r"'MOSEK' is not installed; .*PuLP finds"):
            minimised(rows, solver="mosek")


def test_what_the_models_do_not_serve_is_refused():
    mapped, capacity = random_mapped(3)
    with pytest.raises(UnsupportedError, match="the joint model serves problems whose operands lie in the scratchpad"):
        solve_joint(mapped, capacity)
    problem, capacity = random_problem(3, 4)
    two = replace(problem, tasks=(replace(problem.tasks[0], ways=problem.tasks[0].ways * 2), *problem.tasks[1:]))
    with pytest.raises(UnsupportedError, match="op0: the joint model takes one way"):
        solve_joint(two, capacity)
    with pytest.raises(InfeasibleError, match="more than the scratchpad"):
        solve_gaps(problem, tuple(range(len(problem.tasks))), 1)
