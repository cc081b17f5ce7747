"""Joined tensors in one piece: by hand, and laws on random problems with random joins."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from cyclewright import load_model
from ilp.atomic import atomic_problem, least_capacity
from ilp.moves import side_by_side
from ilp.optimum import optimum
from ilp.placement import placed
from ilp.placement_views import side_by_side_addresses
from ilp.problem import Item, Plan, Problem, Stay, Task, Way
from ilp.recount import recount
from tests.naive.memory import random_problem


def join(room: int) -> tuple[Problem, Plan]:
    """a makes x (2 bytes), b makes z (3) for c, c makes y (2), d reads x and y as one tensor, in this order."""
    items = (Item("x", 2, 0, (3,)), Item("z", 3, 1, (2,)), Item("y", 2, 2, (3,)))
    tasks = (
        Task("a", (), (0,), (Way(2),)),
        Task("b", (), (1,), (Way(3),)),
        Task("c", (1,), (2,), (Way(5),)),
        Task("d", (0, 2), (), (Way(4),)),
    )
    stays = (Stay(0, 0, 3, 0), Stay(1, 1, 2, 2), Stay(2, 2, 3, 5))
    problem = Problem("join", items, tasks, True, ((),) * 4, (), (), ((0, 2),))
    plan = Plan((0, 1, 2, 3), (0,) * 4, stays)
    assert recount(problem, plan, room) == 0
    return problem, plan


def test_parts_move_together_by_hand():
    """In 7 bytes z lies above both parts; y cannot lie beside x where z did, since both live while c runs."""
    problem, plan = join(7)
    assert side_by_side(problem, plan) == (0, 1)
    found = side_by_side_addresses(problem, plan, 7)
    assert recount(problem, found, 7) == 0
    assert side_by_side(problem, found) == (1, 1)
    at = {stay.item: stay.address for stay in found.stays}
    assert at[2] == at[0] + 2


def test_parts_of_two_joins_in_two_orders_cannot_both_be_in_one_piece():
    problem, plan = join(7)
    found = side_by_side_addresses(replace(problem, views=((0, 2), (2, 0))), plan, 7)
    assert side_by_side(replace(problem, views=((0, 2), (2, 0))), found) == (1, 2)


@pytest.mark.parametrize("seeds", [range(25), pytest.param(range(25, 250), marks=pytest.mark.slow)])
def test_other_addresses_move_no_more_bytes_and_join_no_less(seeds):
    more = 0
    for seed in seeds:
        problem, capacity = random_problem(seed, 9)
        dice = random.Random(seed)
        reads = [task.reads for task in problem.tasks if len(set(task.reads)) > 1]
        problem = replace(problem, views=tuple(tuple(dice.sample(row, len(row))) for row in reads))
        answer = optimum(replace(problem, views=()), capacity)
        assert answer.plan is not None
        found = side_by_side_addresses(problem, answer.plan, capacity)
        assert recount(problem, found, capacity) == answer.extra_bytes
        assert [replace(stay, address=0) for stay in found.stays] == [replace(stay, address=0) for stay in answer.plan.stays]
        before, after = side_by_side(problem, answer.plan)[0], side_by_side(problem, found)[0]
        assert after >= before
        more += after > before
    assert more


@pytest.mark.parametrize("model", ["inception-v1", "shufflenet-v2"])
def test_networks_get_their_joins_for_nothing(model):
    problem = atomic_problem(load_model(model, format="int8", fuse=False), concat_views=True)
    capacity = least_capacity(problem)
    answer = optimum(problem, capacity, effort={"states": 200_000})
    assert answer.plan is not None
    assert (answer.extra_bytes, answer.placed) == (0, True)
    assert side_by_side(problem, answer.plan) == (len(problem.views),) * 2
    assert placed(problem, answer.plan, capacity) is not None
