"""The atomic problem of real networks against hand counts, and the recount of plans by hand."""

from __future__ import annotations

import pytest

import workloads
from hwspecs.vocabulary.errors import ContractError, InfeasibleError
from ilp.atomic import atomic_problem, check_fits, least_capacity
from ilp.problem import Item, Plan, Problem, Stay, Task, Way
from ilp.recount import recount

PIXELS = 56 * 56


def kept(problem):
    """Program order, everything kept from first to last touch."""
    stays = tuple(
        Stay(index, item.maker if item.maker is not None else item.users[0], item.users[-1]) for index, item in enumerate(problem.items)
    )
    steps = range(len(problem.tasks))
    return Plan(tuple(steps), (0,) * len(problem.tasks), stays)


def peak(problem, plan):
    return max(problem.room(step, 0, {stay.item for stay in plan.stays if stay.first <= step <= stay.last}) for step in plan.order)


@pytest.mark.parametrize(
    ("name", "largest", "at_once"),
    [
        ("resnet50", 3 * 256 * PIXELS, 3 * 256 * PIXELS),  # the residual add: two operands and a result of 256 channels
        ("densenet121", 2 * 256 * PIXELS, 3 * 224 * PIXELS),  # joined features: 256 in, 256 out; input, norm and relu of 224
        ("densenet121-keras", 64 * (114 * 114 + 112 * 112), 3 * 224 * PIXELS),  # padding before the pool
    ],
)
def test_largest_operator_and_peak_of_program_order(name, largest, at_once):
    problem = atomic_problem(workloads.load_model(name, format="int8", fuse=False))
    assert least_capacity(problem) == largest
    plan = kept(problem)
    assert peak(problem, plan) == at_once
    assert recount(problem, plan, at_once) == 0
    with pytest.raises(ContractError, match="needs"):
        recount(problem, plan, at_once - 1)


def test_densenet_counts():
    for name in ("densenet121", "densenet121-keras"):
        counts = workloads.counts(workloads.load_model(name))
        assert counts.parameters == 7_978_856  # torchvision's documented num_params
        assert counts.macs == 2_834_161_664


def diamond():
    """a -> (b, c) -> d; sizes 4 (a's result), 3, 2; two users of a's result."""
    items = (Item("x", 4, 0, (1, 2)), Item("y", 3, 1, (3,)), Item("z", 2, 2, (3,)))
    tasks = (
        Task("a", (), (0,), (Way(4),)),
        Task("b", (0,), (1,), (Way(7),)),
        Task("c", (0,), (2,), (Way(6),)),
        Task("d", (1, 2), (), (Way(5),)),
    )
    return Problem("diamond", items, tasks)


def test_recount_by_hand():
    problem = diamond()
    everything = Plan((0, 1, 2, 3), (0,) * 4, (Stay(0, 0, 2), Stay(1, 1, 3), Stay(2, 2, 3)))
    assert recount(problem, everything, 9) == 0
    # y (3 bytes) leaves while c runs: stored once and fetched for d
    spilled = Plan((0, 1, 2, 3), (0,) * 4, (Stay(0, 0, 2), Stay(1, 1, 1), Stay(1, 3, 3), Stay(2, 2, 3)))
    assert recount(problem, spilled, 7) == 6
    with pytest.raises(ContractError, match="'y'"):
        recount(problem, everything, 8)
    # x fetched again for c: stored once (4) and fetched once (4)
    again = Plan((0, 1, 2, 3), (0,) * 4, (Stay(0, 0, 1), Stay(0, 2, 2), Stay(1, 1, 3), Stay(2, 2, 3)))
    assert recount(problem, again, 9) == 8


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan((1, 0, 2, 3), (0,) * 4, ()), "runs before"),
        (Plan((0, 1, 2), (0,) * 4, ()), "each operator once"),
        (Plan((0, 1, 2, 3), (0, 1, 0, 0), ()), "way 1 of 1"),
        (Plan((0, 1, 2, 3), (0,) * 4, (Stay(0, 0, 2), Stay(1, 1, 1), Stay(2, 2, 3))), "'y' has no place"),
        (Plan((0, 1, 2, 3), (0,) * 4, (Stay(0, 0, 2, 0), Stay(1, 1, 3, 3), Stay(2, 2, 3, 7))), "one place"),
        (Plan((0, 1, 2, 3), (0,) * 4, (Stay(0, 0, 2, 0), Stay(1, 1, 3, 4), Stay(2, 2, 3, 8))), "beyond 9"),
        (Plan((0, 1, 2, 3), (0,) * 4, (Stay(0, 0, 2), Stay(1, 2, 3), Stay(2, 2, 3))), "neither makes nor reads"),
        (Plan((0, 1, 2, 3), (0,) * 4, (Stay(0, 0, 2), Stay(0, 1, 2), Stay(1, 1, 3))), "stays twice"),
    ],
)
def test_wrong_plans_are_refused(plan, message):
    with pytest.raises(ContractError, match=message):
        recount(diamond(), plan, 9)


def test_a_scratchpad_that_is_too_small_is_refused_by_name_and_by_how_much():
    with pytest.raises(InfeasibleError, match="3 more than the scratchpad of 4") as caught:
        check_fits(diamond(), 4)
    assert caught.value.where == "b"
