"""Simpler schemes: each gives a plan that the independent counter accepts, none beats the optimum, and small cases by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilp.arena import best_hole
from ilp.baselines import SCHEMES, baselines, best_of_order, depth_first, orders_of_schemes
from ilp.downset import sweep
from ilp.problem import Item, Problem, Task, Way
from ilp.recount import recount
from tests.naive.memory import least_extra_bytes, random_problem


@pytest.mark.slow
@given(st.integers(0, 10**9))
@settings(max_examples=80, deadline=None)
def test_every_scheme_is_a_valid_plan_that_does_not_beat_the_optimum(seed):
    problem, capacity = random_problem(seed, 9)
    least = sweep(problem, capacity, width=10**6).extra_bytes
    found = {(each.order, each.replacement, each.allocator): each for each in baselines(problem, capacity, orders_of_schemes(problem))}
    assert set(found) == set(SCHEMES)
    for each in found.values():
        assert recount(problem, each.plan, capacity) == each.extra_bytes >= least
        assert all(stay.address >= 0 for stay in each.plan.stays) == (each.allocator != "none")
        assert bool(each.plan.private_addresses) == (each.allocator != "none")
    # what an allocator costs, it costs on top of what the replacement moves anyway
    peak = [found["minimum-peak", "optimal", each].extra_bytes for each in ("none", "linear")]
    assert peak[0] <= peak[1]
    assert peak[0] <= found["minimum-peak", "belady", "none"].extra_bytes


@pytest.mark.parametrize("seeds", [range(12), pytest.param(range(12, 100), marks=pytest.mark.slow)])
def test_the_best_plan_of_an_order_equals_brute_force(seeds):
    for seed in seeds:
        problem, capacity = random_problem(seed, 6)
        for order in (tuple(range(len(problem.tasks))), depth_first(problem)):
            least = least_extra_bytes(problem, capacity, order)
            answer = best_of_order(problem, capacity, order)
            assert answer.plan is not None
            assert answer.plan.order == order
            assert (answer.extra_bytes, answer.lower_bound_bytes) == (least, least), seed
            assert recount(problem, answer.plan, capacity) == least


def two_branches() -> Problem:
    """a makes x (4 bytes) for b and d; b -> y (3) -> c -> z (2) -> d."""
    items = (Item("x", 4, 0, (1, 3)), Item("y", 3, 1, (2,)), Item("z", 2, 2, (3,)))
    tasks = (
        Task("a", (), (0,), (Way(4),)),
        Task("b", (0,), (1,), (Way(7),)),
        Task("c", (1,), (2,), (Way(5),)),
        Task("d", (0, 2), (), (Way(6),)),
    )
    return Problem("two branches", items, tasks, True, ((),) * 4)


def test_a_chain_by_hand():
    problem = two_branches()
    # c needs 5 beside x: 9 in all; else x goes out and comes back (8). In 8 bytes an arena has x at 0 and y at 4, so no gap for z that is
    # free both while c runs (y lies there) and while d runs (x lies there): z goes out and comes back too
    for capacity, extra, with_arena in ((9, 0, 0), (8, 8, 12)):
        for each in baselines(problem, capacity, orders_of_schemes(problem)):
            assert each.extra_bytes == (with_arena if each.allocator == "linear" else extra), (each.name, capacity)


def test_least_recently_used_against_farthest_next_use():
    """x, y, z, x, y, z in room for two."""
    items = (Item("x", 2, None, (0, 3), True), Item("y", 2, None, (1, 4), True), Item("z", 2, None, (2, 5), True))
    tasks = tuple(Task(f"op{i}", reads, (), (Way(2 * len(reads)),)) for i, reads in enumerate(((0,), (1,), (2,), (0,), (1,), (2,))))
    problem = Problem("reads", items, tasks, True, ((),) * 6, tuple((i, i + 1) for i in range(5)))
    orders = {"program": tuple(range(6))}
    schemes = [("program", rule, "none") for rule in ("lru", "belady", "optimal")]
    lru, belady, optimal = (each.extra_bytes for each in baselines(problem, 4, orders, schemes))
    # for the first z LRU drops x, and for x then y: both come back. Belady drops y, which is read after x, which is dead then
    assert (lru, belady, optimal) == (4, 2, 2)


def test_fragmentation_costs_a_spill_at_run_time():
    """Six bytes: p (2) at 0, q (2) at 2, r (2) at 4; p and r die, and w (4) finds two holes of two bytes until q is moved."""
    items = (Item("p", 2, 0, (3,)), Item("q", 2, 1, (4, 5)), Item("r", 2, 2, (4,)), Item("w", 4, 5, (6,)))
    tasks = (
        Task("a", (), (0,), (Way(2),)), Task("b", (), (1,), (Way(2),)), Task("c", (), (2,), (Way(2),)), Task("d", (0,), (), (Way(2),)),
        Task("e", (1, 2), (), (Way(4),)), Task("f", (1,), (3,), (Way(6),)), Task("g", (3,), (), (Way(4),)),
    )  # fmt: skip
    problem = Problem("holes", items, tasks, True, ((),) * 7, tuple((i, i + 1) for i in range(6)))
    orders = {"program": tuple(range(7))}
    schemes = [("program", "belady", allocator) for allocator in ("none", "best-fit", "linear")]
    assert [each.extra_bytes for each in baselines(problem, 6, orders, schemes)] == [0, 4, 0]


def test_the_smallest_hole_that_is_large_enough():
    assert best_hole([(2, 3), (7, 8)], 2, 20) == 0
    assert best_hole([(2, 3), (7, 8)], 3, 20) == 3
    assert best_hole([(2, 3), (7, 8)], 13, 20) == -1
    assert best_hole([], 20, 20) == 0
    assert best_hole([(0, 9), (2, 4)], 11, 20) == 9


def test_depth_first_follows_a_branch_to_its_end():
    items = (Item("x", 1, 0, (1, 2)), Item("y", 1, 1, (3,)), Item("z", 1, 2, (4,)))
    tasks = (
        Task("a", (), (0,), (Way(1),)), Task("b", (0,), (1,), (Way(2),)), Task("c", (0,), (2,), (Way(2),)), Task("d", (1,), (), (Way(1),)),
        Task("e", (2,), (), (Way(1),)),
    )  # fmt: skip
    problem = Problem("branches", items, tasks)
    assert depth_first(problem) == (0, 1, 3, 2, 4)
