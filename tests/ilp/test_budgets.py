"""M_R, M_P and M_H: the least peak against brute force, and results over their operands."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workloads
from hwspecs.vocabulary.errors import ArgumentError
from ilp.atomic import atomic_problem, least_capacity, overwrites_of
from ilp.budgets import budgets, kept_course, minimum_peak, peak_bytes
from ilp.moves import side_by_side, told
from ilp.optimum import optimum
from ilp.overwrite import chains
from ilp.problem import Item, Plan, Problem, Stay, Task, Way
from ilp.recount import recount
from tests.naive.memory import least_extra_bytes, random_problem


@pytest.mark.parametrize("seeds", [range(15), pytest.param(range(15, 120), marks=pytest.mark.slow)])
def test_the_minimum_peak_equals_that_of_all_orders(seeds):
    reordered = 0
    for seed in seeds:
        problem, _ = random_problem(seed, 6)
        before = problem.predecessors()
        count = len(problem.tasks)
        orders = [
            order for order in permutations(range(count)) if all(order.index(u) < order.index(v) for v in range(count) for u in before[v])
        ]
        least = min(peak_bytes(problem, kept_course(problem, order)) for order in orders)
        found = minimum_peak(problem)
        assert (found.bytes, found.bound_bytes) == (least, least), seed
        assert peak_bytes(problem, found.course) <= least
        reordered += least < peak_bytes(problem, kept_course(problem, range(count)))
    assert reordered


@pytest.mark.slow
@given(st.integers(0, 10**9))
@settings(max_examples=60, deadline=None)
def test_at_m_p_nothing_extra_moves_and_below_its_bound_something_does(seed):
    problem, _ = random_problem(seed, 6)
    found = budgets(problem)
    assert found.m_r_bytes <= found.m_h_bytes <= found.m_p_bytes
    assert recount(problem, found.plan, found.m_p_bytes) == 0
    assert all(stay.address >= 0 for stay in found.plan.stays)
    below = found.m_p_bound_bytes - 1
    if below >= least_capacity(problem):
        assert least_extra_bytes(problem, below) > 0


@pytest.mark.slow
@given(st.integers(0, 10**9))
@settings(max_examples=60, deadline=None)
def test_the_placed_answer_holds_and_its_moves_add_up(seed):
    problem, capacity = random_problem(seed, 8)
    answer = optimum(problem, capacity)
    assert answer.plan is not None
    assert answer.placed
    assert recount(problem, answer.plan, capacity) == answer.extra_bytes >= answer.lower_bound_bytes
    moved = sum(
        problem.items[each.stay.item].bytes * ((each.enters == "fetched") + (each.leaves == "spilled"))
        for each in told(problem, answer.plan)
    )
    assert moved == answer.extra_bytes


def test_published_budgets():
    """DenseNet-121 of the COSMA re-implementation: M_R 1596.25 KiB, 2,609,152 bytes there, nothing at 2058 KiB, M_P between."""
    problem = atomic_problem(workloads.load_model("densenet121-keras", format="int8", fuse=False))
    found = budgets(problem)
    assert (found.m_r_bytes, found.m_p_bytes, found.m_p_proven) == (1596.25 * 1024, 2058 * 1024, True)
    assert found.named("M_H") == (1634560 + 2107392) // 2
    answer = optimum(problem, found.m_r_bytes)
    assert (answer.extra_bytes, answer.proven, answer.placed) == (2_609_152, True, True)
    with pytest.raises(ArgumentError, match="M_X"):
        found.named("M_X")


def chain() -> Problem:
    """a -> x (4) -> relu -> y (4) -> relu -> z (4) -> d; the activations may write over their operands."""
    items = (Item("x", 4, 0, (1,)), Item("y", 4, 1, (2,)), Item("z", 4, 2, (3,)))
    tasks = (
        Task("a", (), (0,), (Way(4),)),
        Task("b", (0,), (1,), (Way(4),)),
        Task("c", (1,), (2,), (Way(4),)),
        Task("d", (2,), (), (Way(4),)),
    )
    return Problem("chain", items, tasks, True, ((),) * 4, (), ((1, 0, 1), (2, 1, 2)))


def test_results_over_their_operands_share_an_address():
    problem = chain()
    found = budgets(problem)
    assert (found.m_r_bytes, found.m_p_bytes) == (4, 4)
    assert {stay.address for stay in found.plan.stays} == {0}
    assert [len(group) for group in chains(problem, found.plan)] == [3]
    apart = Plan((0, 1, 2, 3), (0,) * 4, (Stay(0, 0, 1, 0), Stay(1, 1, 2, 4), Stay(2, 2, 3, 0)))
    with pytest.raises(Exception, match="beyond 4"):
        recount(problem, apart, 4)


def test_only_an_operand_that_dies_in_every_order_is_written_over():
    """x is read by b and c in any order; y by d alone, and once more by e, which runs before f in every order."""
    items = (
        Item("x", 4, 0, (1, 2)),
        Item("y", 4, 1, (3,)),
        Item("z", 4, 2, (3,)),
        Item("w", 4, 3, (4, 5)),
        Item("v", 4, 4, (5,)),
        Item("u", 4, 5, (6,)),
    )
    tasks = (
        Task("a", (), (0,), (Way(4),)), Task("b", (0,), (1,), (Way(8),)), Task("c", (0,), (2,), (Way(8),)),
        Task("d", (1, 2), (3,), (Way(12),)), Task("e", (3,), (4,), (Way(8),)), Task("f", (3, 4), (5,), (Way(12),)),
        Task("g", (5,), (), (Way(4),)),
    )  # fmt: skip
    problem = Problem("branches", items, tasks)
    # b and c may not write over x (who runs last is open); d over y; e not over w, which f reads later; f over w, since e is done by then
    assert overwrites_of(problem, frozenset(range(7))) == ((3, 1, 3), (5, 3, 5))


def test_in_place_and_views_need_no_more_room_and_joins_vanish():
    graph = workloads.load_model("densenet121", format="int8", fuse=False)
    plain, both = atomic_problem(graph), atomic_problem(graph, in_place=True, concat_views=True)
    joins = sum(task.name.endswith(".join") or task.name in ("block1", "block2", "block3", "block4") for task in plain.tasks)
    assert len(plain.tasks) - len(both.tasks) == joins == 58
    assert least_capacity(both) <= least_capacity(plain)
    assert minimum_peak(both).bytes < minimum_peak(plain).bytes
    whole, of = side_by_side(both, budgets(both).plan)
    assert 0 <= whole <= of == len(both.views)


def test_parts_side_by_side_are_one_piece():
    items = (Item("p", 2, 0, (2,)), Item("q", 3, 1, (2,)))
    tasks = (Task("a", (), (0,), (Way(2),)), Task("b", (), (1,), (Way(3),)), Task("c", (0, 1), (), (Way(5),)))
    problem = Problem("join", items, tasks, True, ((),) * 3, (), (), ((0, 1),))
    for addresses, whole in (((1, 3), 1), ((3, 0), 0), ((0, 3), 0)):
        plan = Plan((0, 1, 2), (0,) * 3, (Stay(0, 0, 2, addresses[0]), Stay(1, 1, 2, addresses[1])))
        assert side_by_side(problem, plan) == (whole, 1)


def test_out_of_time_the_peak_is_that_of_a_valid_order_and_the_bound_holds():
    problem = atomic_problem(workloads.load_model("darts-6", format="int8", fuse=False))
    said: list[str] = []
    hurried, calm = minimum_peak(problem, seconds=0.0), minimum_peak(problem, progress=said.append)
    assert hurried.bound_bytes <= calm.bound_bytes <= calm.bytes <= hurried.bytes
    assert hurried.course[0] == tuple(range(len(problem.tasks)))
    assert said
