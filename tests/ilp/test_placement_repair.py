"""Plans that find no addresses are mended: every answer holds, none is cheaper than trying every set of cuts, and no baseline is better."""

from __future__ import annotations

from itertools import combinations

import pytest

from ilp.arena import fitted
from ilp.atomic import least_capacity
from ilp.baselines import baselines, orders_of_schemes
from ilp.downset import plan_of, sweep
from ilp.optimum import optimum, shrunk
from ilp.placement import rectangles
from ilp.placement_repair import mended
from ilp.problem import Item, Plan, Problem, Stay, Task, Way
from ilp.recount import recount
from tests.ilp.test_placement import INFEASIBLE, tiny
from tests.naive.memory import random_problem
from tests.naive.placement import placeable


def problem_of(rows: list[tuple[int, int, int]]) -> tuple[Problem, Plan]:
    """A problem of one order whose plan without extra bytes has the rectangles ``rows``; each is touched when it begins and ends alone."""
    steps = max(high for _, high, _ in rows)
    wide = [row for row in rows if row[1] - row[0] > 1]
    items = tuple(Item(f"x{number}", size, low, (high - 1,)) for number, (low, high, size) in enumerate(wide))
    tasks, private = [], []
    for step in range(steps):
        reads = tuple(number for number, (_, high, _) in enumerate(wide) if high - 1 == step)
        writes = tuple(number for number, (low, _, _) in enumerate(wide) if low == step)
        own = tuple((f"p{number}", size) for number, (low, high, size) in enumerate(rows) if high - low == 1 and low == step)
        size = sum(wide[number][2] for number in (*reads, *writes)) + sum(size for _, size in own)
        tasks.append(Task(f"op{step}", reads, writes, (Way(size),)))
        private.append(own)
    after = tuple((step, step + 1) for step in range(steps - 1))
    problem = Problem("rows", items, tuple(tasks), True, tuple(private), after)
    stays = tuple(Stay(number, low, high - 1) for number, (low, high, _) in enumerate(wide))
    return problem, Plan(tuple(range(steps)), (0,) * steps, tuple(sorted(stays, key=lambda stay: (stay.first, stay.item))))


def least_cost(rows: list[tuple[int, int, int]], capacity: int) -> int:
    """The fewest bytes that spills move, of all sets of spilled rectangles after which every address can be tried with success."""
    wide = [row for row in rows if row[1] - row[0] > 1]
    best = -1
    for count in range(len(wide) + 1):
        for gone in combinations(wide, count):
            cost = 2 * sum(size for _, _, size in gone)
            left = list(rows)
            for row in gone:
                left.remove(row)
                left += [(row[0], row[0] + 1, row[2]), (row[1] - 1, row[1], row[2])]
            if (best < 0 or cost < best) and placeable(left, capacity):
                best = cost
    return best


def test_what_cannot_be_placed_is_mended_nearly_as_cheaply_as_can_be():
    least = spent = by_arena = 0
    for seed in INFEASIBLE:
        rows, capacity = tiny(seed)
        problem, plan = problem_of(rows)
        assert recount(problem, plan, capacity) == 0
        found = mended(problem, plan, capacity)
        extra = recount(problem, found.plan, capacity)
        assert all(stay.address >= 0 for stay in found.plan.stays)
        best = least_cost(rows, capacity)
        assert extra >= best > 0, seed
        least, spent = least + best, spent + extra
        by_arena += recount(problem, fitted(problem, plan, capacity), capacity)
    assert least <= spent < by_arena


def test_a_plan_that_can_be_placed_is_left_as_it_is():
    for seed in (seed for seed in range(30) if placeable(*tiny(seed))):
        rows, capacity = tiny(seed)
        problem, plan = problem_of(rows)
        found = mended(problem, plan, capacity)
        assert recount(problem, found.plan, capacity) == 0, seed
        assert len(rectangles(problem, found.plan)[0]) == len(rows)


@pytest.mark.parametrize("effort", [0, 30, 10_000])
def test_effort_that_ends_still_gives_addresses(effort):
    for seed in (*INFEASIBLE[:4], 0, 1):
        rows, capacity = tiny(seed)
        problem, plan = problem_of(rows)
        found = mended(problem, plan, capacity, effort=effort, over=lambda: True)
        assert recount(problem, found.plan, capacity) >= 0
        assert all(stay.address >= 0 for stay in found.plan.stays)


@pytest.mark.parametrize("seeds", [range(12), pytest.param(range(12, 150), marks=pytest.mark.slow)])
def test_a_spill_that_was_not_needed_is_undone(seeds):
    """A narrow beam spills more than the best plan of its order; what fits beside the rest is kept again."""
    better = 0
    for seed in seeds:
        problem, capacity = random_problem(seed, 9)
        least = sweep(problem, capacity, width=10**6).extra_bytes
        steps = range(len(problem.tasks))
        touched = [{*task.reads, *task.writes} for task in problem.tasks]
        stays = tuple(Stay(item, step, step) for step in steps for item in sorted(touched[step]))
        bare = Plan(tuple(steps), (0,) * len(steps), stays)
        found = mended(problem, bare, capacity)
        extra = recount(problem, found.plan, capacity)
        assert least <= extra <= recount(problem, bare, capacity)
        better += extra < recount(problem, bare, capacity)
    assert better


@pytest.mark.parametrize("seeds", [range(12), pytest.param(range(12, 200), marks=pytest.mark.slow)])
def test_no_baseline_moves_less_than_the_placed_answer(seeds):
    """With a search of one state, which is worse than many baselines, and with all of it."""
    for seed in seeds:
        problem, capacity = random_problem(seed, 10)
        rows = baselines(problem, capacity, orders_of_schemes(problem))
        for effort in ({"states": 1, "nodes": 0, "method": "downset"}, {}):
            answer = optimum(problem, capacity, effort=effort)
            assert answer.plan is not None
            assert answer.placed
            assert recount(problem, answer.plan, capacity) == answer.extra_bytes >= answer.lower_bound_bytes
            assert answer.extra_bytes <= min(row.extra_bytes for row in rows if row.allocator != "none"), (seed, effort)


@pytest.mark.parametrize("seeds", [range(20), pytest.param(range(20, 200), marks=pytest.mark.slow)])
def test_a_plan_in_less_scratchpad_is_a_plan_in_more_and_leaves_room(seeds):
    """Below the largest operator too: where it runs, nothing else stays, and everywhere else the room that was taken away is free."""
    smaller = 0
    for seed in seeds:
        problem, capacity = random_problem(seed, 8)
        less = capacity - max(1, capacity // 8)
        swept = sweep(shrunk(problem, less), less, width=10**6)
        if swept.order is None or swept.kept is None:
            continue
        plan = plan_of(problem, swept.order, swept.kept)
        assert recount(problem, plan, capacity) == swept.extra_bytes >= sweep(problem, capacity, width=10**6).extra_bytes
        for step, index in enumerate(plan.order):
            beside = problem.room(index, 0, {stay.item for stay in plan.stays if stay.first <= step <= stay.last})
            assert beside <= max(less, problem.tasks[index].ways[0].bytes)
        smaller += less < least_capacity(problem)
    assert smaller
