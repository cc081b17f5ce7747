"""Windows of a plan searched anew: never worse, counted by other code, as good as brute force where one window holds everything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilp.downset import NO_LIMIT, plan_of, sweep
from ilp.problem import Item, Problem, Task, Way
from ilp.recount import recount
from ilp.windows import _replaced, _Walk, improved
from tests.naive.memory import least_extra_bytes, random_problem


def start_of(problem: Problem, capacity: int):
    """A poor course: of each layer one state."""
    found = sweep(problem, capacity, width=1)
    return (found.order, found.kept), found.extra_bytes


@pytest.mark.parametrize("seeds", [range(40), pytest.param(range(40, 400), marks=pytest.mark.slow)])
def test_a_window_of_everything_is_the_optimum(seeds):
    gained = 0
    for seed in seeds:
        problem, capacity = random_problem(seed, 6)
        course, extra = start_of(problem, capacity)
        found = improved(problem, capacity, course, states=10**6)
        assert found.extra_bytes == least_extra_bytes(problem, capacity), seed
        assert recount(problem, plan_of(problem, *found.course), capacity) == found.extra_bytes, seed
        gained += found.extra_bytes < extra
    assert gained > 0


@given(st.integers(0, 10**9), st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_short_windows_never_make_a_plan_worse(seed, span):
    problem, capacity = random_problem(seed, 14)
    course, extra = start_of(problem, capacity)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ilp.windows.SPANS", (span,))
        found = improved(problem, capacity, course, states=10**6)
        again = improved(problem, capacity, course, states=10**6)
    assert found == again
    assert found.extra_bytes <= extra
    assert recount(problem, plan_of(problem, *found.course), capacity) == found.extra_bytes


def test_every_window_of_a_plan_costs_what_the_whole_plan_costs():
    """Searched with no limit, a window finds its own steps again or better ones, and says the bytes of the whole."""
    gained = 0
    for seed in range(30):
        problem, capacity = random_problem(seed, 12)
        course, extra = start_of(problem, capacity)
        walk = _Walk(problem, course)
        assert walk.total == extra
        steps = len(course[0])
        for first in range(0, steps - 3, 2):
            stretch = walk.stretch(first, first + 4)
            found = sweep(problem, capacity, width=10**5, limit=NO_LIMIT, stretch=stretch)
            assert sorted(found.order) == sorted(course[0][first : first + 4])
            assert found.extra_bytes <= extra
            other = _replaced(problem, course, first, (found.order, found.kept), stretch.held_after)
            assert recount(problem, plan_of(problem, *other), capacity) == found.extra_bytes, (seed, first)
            gained += found.extra_bytes < extra
    assert gained > 0


def test_effort_and_a_word_end_the_search():
    problem, capacity = random_problem(3, 14)
    course, extra = start_of(problem, capacity)
    stopped = improved(problem, capacity, course, states=10**6, progress=lambda *_: True)
    assert (stopped.extra_bytes, stopped.states, stopped.ended) == (extra, 0, False)
    assert not improved(problem, capacity, course, states=0).ended
    assert improved(problem, capacity, course, states=10**6).ended


def test_a_fork_by_hand():
    """Two branches of a large tensor each; run side by side both are alive, run one after the other only one is."""
    names = ("source", "a1", "b1", "a2", "b2", "join")
    sizes = {"s": 1, "a": 10, "b": 10, "x": 1, "y": 1}
    made = {"s": 0, "a": 1, "b": 2, "x": 3, "y": 4}
    read = {"s": (1, 2), "a": (3,), "b": (4,), "x": (5,), "y": (5,)}
    items = tuple(Item(name, size, made[name], read[name]) for name, size in sizes.items())
    numbers = {name: number for number, name in enumerate(sizes)}
    tasks = []
    for index, name in enumerate(names):
        reads = tuple(numbers[item] for item in sizes if index in read[item])
        writes = tuple(numbers[item] for item in sizes if made[item] == index)
        tasks.append(Task(name, reads, writes, (Way(sum(items[item].bytes for item in (*reads, *writes))),)))
    problem = Problem("fork", items, tuple(tasks))
    kept = ({0}, {0, 1}, {2}, {3}, {3, 4}, set())  # a is dropped when b is made, and fetched again: 20 bytes
    course = (tuple(range(6)), tuple(frozenset(row) for row in kept))
    assert recount(problem, plan_of(problem, *course), 13) == 20 + 20  # b too, when a2 brings a back
    found = improved(problem, 13, course, states=10**4)
    assert found.extra_bytes == 0
    assert recount(problem, plan_of(problem, *found.course), 13) == 0


def test_what_a_window_gives_up_is_held_again_from_its_next_use_on():
    """Beside v there is room for x (5 bytes) or z (6 bytes); z dies in the window, x is read twice behind it and fetched once."""
    items = (Item("x", 5, 0, (4, 5)), Item("z", 6, 1, (3,)))
    reads, writes, sizes = ((), (), (), (1,), (0,), (0,)), ((0,), (1,), (), (), (), ()), (5, 6, 14, 6, 5, 5)
    tasks = tuple(Task(f"op{n}", reads[n], writes[n], (Way(sizes[n]),)) for n in range(6))
    problem = Problem("swap", items, tasks, after=tuple((n, n + 1) for n in range(5)))
    kept = ({0}, {0, 1}, {0}, {0}, {0}, set())  # z is dropped for v: 12 bytes
    course = (tuple(range(6)), tuple(frozenset(row) for row in kept))
    assert recount(problem, plan_of(problem, *course), 20) == 12
    stretch = _Walk(problem, course).stretch(2, 4)
    found = sweep(problem, 20, width=100, stretch=stretch)
    assert (found.extra_bytes, found.kept) == (10, (frozenset({1}), frozenset()))
    other = _replaced(problem, course, 2, (found.order, found.kept), stretch.held_after)
    assert other[1][4] == {0}
    assert recount(problem, plan_of(problem, *other), 20) == 10
