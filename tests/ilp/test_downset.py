"""The down-set program against brute force, its beam's bound, and networks by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workloads
from ilp.atomic import atomic_problem, least_capacity
from ilp.downset import plan_of, sweep
from ilp.recount import recount
from tests.naive.memory import least_extra_bytes, random_problem


@pytest.mark.parametrize("seeds", [range(25), pytest.param(range(25, 525), marks=pytest.mark.slow)])
def test_equals_brute_force_on_random_graphs(seeds):
    moved = 0
    for seed in seeds:
        problem, capacity = random_problem(seed, 6)
        least = least_extra_bytes(problem, capacity)
        found = sweep(problem, capacity, width=10**6)
        assert (found.extra_bytes, found.bound_bytes, found.complete) == (least, least, True), seed
        assert recount(problem, plan_of(problem, found.order, found.kept), capacity) == least, seed
        moved += least > 0
    assert moved > len(seeds) // 10  # enough of them cannot keep everything


@pytest.mark.slow
@given(st.integers(0, 10**9), st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_a_beam_gives_a_valid_plan_and_a_true_bound(seed, width):
    problem, capacity = random_problem(seed, 10)
    least = sweep(problem, capacity, width=10**6)
    beam = sweep(problem, capacity, width=width)
    assert beam.bound_bytes <= least.extra_bytes
    if beam.order is not None:
        assert recount(problem, plan_of(problem, beam.order, beam.kept), capacity) == beam.extra_bytes >= least.extra_bytes


@pytest.mark.slow
@given(st.integers(0, 10**9), st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_more_scratchpad_never_moves_more(seed, more):
    problem, capacity = random_problem(seed, 9)
    tight, wide = (sweep(problem, room, width=10**6).extra_bytes for room in (capacity, capacity + more))
    assert wide <= tight


@pytest.mark.slow
@given(st.integers(0, 10**9))
@settings(max_examples=100, deadline=None)
def test_a_limit_keeps_what_is_cheaper_and_proves_what_is_not(seed):
    problem, capacity = random_problem(seed, 8)
    least = sweep(problem, capacity, width=10**6).extra_bytes
    assert sweep(problem, capacity, width=10**6, limit=least + 1).extra_bytes == least
    proof = sweep(problem, capacity, width=10**6, limit=least)
    assert proof.order is None
    assert proof.complete
    assert proof.bound_bytes == least


PIXELS = 56 * 56


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "capacity", "extra"),
    [
        ("resnet50", 2352 * 1024, 0),
        # at 1596.25 KiB the inputs of the layers with 192 and 224 channels go out and come back: norm and relu of them take the room
        ("densenet121-keras", 1596 * 1024 + 256, 2 * (192 + 224) * PIXELS),
        ("densenet121-keras", 2058 * 1024, 0),
        ("densenet121-keras", 2058 * 1024 - 1, 2 * 224 * PIXELS),
    ],
)
def test_networks_by_hand(name, capacity, extra):
    problem = atomic_problem(workloads.load_model(name, format="int8", fuse=False))
    assert least_capacity(problem) <= capacity
    found = sweep(problem, capacity, width=10_000)
    assert found.complete
    assert found.extra_bytes == found.bound_bytes == extra
    assert recount(problem, plan_of(problem, found.order, found.kept), capacity) == extra
