"""Placement: what is found overlaps nowhere and is found exactly where trying every address finds it; plans with addresses are counted."""

from __future__ import annotations

import random
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclewright import load_model
from hwspecs.vocabulary.errors import ArgumentError, ContractError
from ilp.atomic import atomic_problem, least_capacity
from ilp.downset import plan_of, sweep
from ilp.placement import SEARCH_ORDERS, Allocation, Buffer, _Packing, allocate, lowest, placed, placed_lowest, rectangles
from ilp.problem import Item, Plan, Problem, Stay, Task, Way
from ilp.recount import recount
from ilp.solve import solve
from tests.naive.memory import random_problem
from tests.naive.placement import Rectangle, largest_load, overlapping, placeable


def named(rows: list[Rectangle]) -> list[Buffer]:
    return [Buffer(str(number), *row) for number, row in enumerate(rows)]


def tiny(seed: int) -> tuple[list[Rectangle], int]:
    """Few buffers and a capacity of their largest load, most moments filled up to it in one piece: every other one cannot be placed."""
    dice = random.Random(seed)
    rows = []
    for _ in range(dice.randint(4, 6)):
        lower = dice.randint(0, 5)
        rows.append((lower, lower + dice.randint(1, 4), dice.randint(1, 4)))
    capacity = largest_load(rows)
    for moment in range(9):
        left = capacity - sum(size for low, high, size in rows if low <= moment < high)
        if 0 < left < capacity and dice.random() < 0.8:
            rows.append((moment, moment + 1, left))
    return rows, capacity


def search_alone(rows: list[Rectangle], capacity: int, pull: int, seed: int) -> tuple[int, list[int]]:
    """The kernel without first fit before it, buffers in a random order: (answer, addresses)."""
    import numpy as np

    from simulator.kernels.placement import place

    order = random.Random(seed).sample(range(len(rows)), len(rows))
    first, end, size = (np.array([rows[number][column] for number in order], np.int64) for column in range(3))
    answer, address, _ = place(first, end, size, int(end.max()), capacity, 1_000_000, pull)
    offsets = [0] * len(rows)
    for number, at in zip(order, address.tolist(), strict=True):
        offsets[number] = at
    return answer, offsets


INFEASIBLE = (52, 73, 133, 234, 320, 331, 536, 553, 600, 713, 720, 1016, 1171, 1201, 1297, 1338)
"""Seeds of instances that have no placement although no moment holds more than the capacity."""


@pytest.mark.parametrize("seeds", [(*range(40), *INFEASIBLE), pytest.param(range(40, 1500), marks=pytest.mark.slow)])
def test_the_search_places_exactly_what_trying_every_address_places(seeds):
    answers = set()
    for seed in seeds:
        rows, capacity = tiny(seed)
        possible = placeable(rows, capacity)
        answers.add(possible)
        for pull in (0, 1, capacity):
            answer, offsets = search_alone(rows, capacity, pull, seed)
            assert answer == possible, (seed, pull)
            assert not possible or not overlapping(rows, offsets)
            assert not possible or max(at + row[2] for at, row in zip(offsets, rows, strict=True)) <= capacity
    assert answers == {True, False}


lives = st.tuples(st.integers(-3, 20), st.integers(1, 9), st.integers(0, 30)).map(lambda row: (row[0], row[0] + row[1], row[2]))


@given(st.lists(lives, max_size=30), st.integers(0, 200))
@settings(max_examples=100, deadline=None)
def test_an_allocation_overlaps_nowhere_and_stays_inside(rows, capacity):
    found = allocate(named(rows), capacity, effort=2_000)
    assert found.bound_bytes == largest_load(rows)
    if found.offsets is None:
        assert found.infeasible or found.method == "out of effort"
        assert capacity < sum(row[2] for row in rows)
        return
    assert not overlapping(rows, found.offsets)
    assert all(at >= 0 for at in found.offsets)
    assert found.height_bytes == max((at + row[2] for at, row in zip(found.offsets, rows, strict=True)), default=0) <= capacity


@given(st.lists(lives, min_size=1, max_size=14))
@settings(max_examples=60, deadline=None)
def test_the_lowest_height_is_one_that_is_placed_and_its_bound_is_no_higher(rows):
    found = lowest(named(rows), effort=20_000)
    assert found.offsets is not None
    assert not overlapping(rows, found.offsets)
    assert largest_load(rows) <= found.bound_bytes <= found.height_bytes
    assert allocate(named(rows), found.height_bytes, effort=20_000).offsets is not None
    if found.bound_bytes > largest_load(rows):
        assert allocate(named(rows), found.bound_bytes - 1, effort=50_000).infeasible


def test_the_lowest_height_equals_that_of_trying_every_address():
    above = 0
    for seed in range(80):
        rows, _ = tiny(seed)
        found = lowest(named(rows))
        least = next(height for height in range(largest_load(rows), 99) if placeable(rows, height))
        assert found.height_bytes == found.bound_bytes == least, seed
        above += least > largest_load(rows)
    assert above


def test_by_hand():
    assert allocate([], 0).offsets == ()
    assert allocate([Buffer("a", 0, 1, 4)], 3) == Allocation(None, 0, 4, "load", infeasible=True)
    # b and d meet at no moment and c lies over both: 4 + 4 bytes
    rows = [Buffer("a", 0, 2, 4), Buffer("c", 0, 4, 4), Buffer("d", 2, 4, 4)]
    found = allocate(rows, 8)
    assert found.height_bytes == 8
    assert found.offsets is not None
    assert found.offsets[0] == found.offsets[2]
    with pytest.raises(ArgumentError, match="'a'"):
        allocate([Buffer("a", 3, 3, 1)], 8)
    with pytest.raises(ArgumentError, match="'a'"):
        allocate([Buffer("a", 3, 4, -1)], 8)
    with pytest.raises(ArgumentError, match="capacity"):
        allocate([], -1)


def test_tries_are_as_long_as_the_universal_restart_sequence_has_it():
    """Luby, Sinclair, Zuckerman (1993), equation 1: its first fifteen terms."""
    packing = _Packing([Buffer("a", 0, 1, 1), Buffer("b", 0, 1, 2)])
    tries = list(islice(packing.orders(0), len(SEARCH_ORDERS) + 15))
    assert [patience for _, _, patience in tries[: len(SEARCH_ORDERS)]] == [1] * len(SEARCH_ORDERS)
    assert [patience for _, _, patience in tries[len(SEARCH_ORDERS) :]] == [1, 1, 2, 1, 1, 2, 4, 1, 1, 2, 1, 1, 2, 4, 8]


def test_effort_that_ends_is_said():
    seed = next(seed for seed in range(400) if not placeable(*tiny(seed)))
    rows, capacity = tiny(seed)
    found = allocate(named(rows), capacity, effort=1)
    assert (found.offsets, found.infeasible) == (None, False)
    assert allocate(named(rows), capacity).infeasible


@pytest.mark.parametrize("seeds", [range(30), pytest.param(range(30, 300), marks=pytest.mark.slow)])
def test_plans_of_random_problems_get_addresses_that_the_counter_accepts(seeds):
    done = 0
    for seed in seeds:
        problem, capacity = random_problem(seed, 8)
        answer = solve(problem, capacity, states=20_000)
        assert answer.plan is not None
        plan = placed(problem, answer.plan, capacity, effort=20_000)
        if plan is None:  # proven impossible, or out of effort: more room does it
            plan, found = placed_lowest(problem, answer.plan, effort=20_000)
            assert found.height_bytes > capacity
            capacity = found.height_bytes
        done += 1
        assert all(stay.address >= 0 for stay in plan.stays)
        assert recount(problem, plan, capacity) == answer.extra_bytes
    assert done


def test_private_operands_get_addresses_beside_the_stays():
    items = (Item("x", 4, 0, (1,)),)
    tasks = (Task("a", (), (0,), (Way(7),)), Task("b", (0,), (), (Way(6),)))
    problem = Problem("two", items, tasks, private=((("w", 3),), (("v", 2),)))
    plan = placed(problem, Plan((0, 1), (0, 0), (Stay(0, 0, 1),)), 7)
    assert plan is not None
    assert recount(problem, plan, 7) == 0
    assert (plan.private_addresses[0][0] in (0, 4), plan.stays[0].address in (0, 3)) == (True, True)
    # the counter sees a wrong one
    wrong = Plan(plan.order, plan.ways, plan.stays, ((plan.stays[0].address,), plan.private_addresses[1]))
    with pytest.raises(ContractError, match="one place"):
        recount(problem, wrong, 7)


def test_a_result_over_its_operand_is_one_rectangle():
    items = (Item("x", 4, 0, (1,)), Item("y", 4, 1, (2,)))
    tasks = (Task("a", (), (0,), (Way(4),)), Task("relu", (0,), (1,), (Way(4),)), Task("c", (1,), (), (Way(4),)))
    problem = Problem("in place", items, tasks, private=((),) * 3, overwrites=((1, 0, 1),))
    plan = Plan((0, 1, 2), (0, 0, 0), (Stay(0, 0, 1), Stay(1, 1, 2)))
    assert len(rectangles(problem, plan)[0]) == 1
    found = placed(problem, plan, 4)
    assert found is not None
    assert recount(problem, found, 4) == 0


@pytest.mark.parametrize("model", ["resnet50", "densenet121", "inception-v3"])
def test_networks_at_the_least_scratchpad_are_placed_in_it(model):
    problem = atomic_problem(load_model(model, format="int8", fuse=False))
    capacity = least_capacity(problem)
    swept = sweep(problem, capacity, width=64)
    assert swept.order is not None
    plan = placed(problem, plan_of(problem, swept.order, swept.kept), capacity)
    assert plan is not None
    assert recount(problem, plan, capacity) == swept.extra_bytes
