"""Jumping over steady states gives what stepping gives: against the step-by-step twin, and against closed forms of long plays."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import InfeasibleError
from simulator import play as playing
from simulator.kernels import dataflow
from simulator.lowering import Flow
from simulator.play import pack, play
from tests.naive import dataflow as naive
from tests.naive.test_dataflow import random_edge, random_segment

BILLION = 10**9


def steady_flow(rng: random.Random, most: int = 200) -> Flow:
    """Few stages, up to ``most`` firings each in up to three segments: zero cycles, further holds, barriers, recurrences, rates."""
    resources = rng.randint(1, 4)
    count = rng.randint(1, 10) if rng.random() < 0.2 else rng.randint(1, 5)
    wild = rng.random() < 0.05
    rates = [rng.choice((1, 1, 1, 2, 3, 8)) for _ in range(count)]
    scale = rng.randint(1, most // max(rates))
    stages = []
    for rate in rates:
        home = rng.randrange(resources)
        cuts = sorted(rng.randint(0, scale * rate) for _ in range(rng.choice((0, 0, 0, 1, 2))))
        repeats = [after - before for before, after in zip([0, *cuts], [*cuts, scale * rate], strict=True)]
        if wild:
            repeats = [rng.randint(0, most) for _ in repeats]
        stages.append((home, tuple(random_segment(rng, repeat, home, resources) for repeat in repeats)))
    edges = [random_edge(rng, rates, wild) for _ in range(rng.randint(0, 2 * count))]
    names = tuple(f"s{number}" for number in range(count))
    return Flow(tuple(stages), tuple(edges), tuple(f"r{number}" for number in range(resources)), names)


def kernel(flows: list[Flow], window: int, least: int, most: int = 1 << 40):
    """Status, makespan, stepped per flow; first start, last end, fired per stage."""
    no_order = np.zeros(len(flows) + 1, dtype=np.int64), np.empty(0, dtype=np.int32)
    return dataflow.play_batch(*pack(flows), window, least, most, *no_order)


def compare(flows: list[Flow], window: int) -> tuple[int, int]:
    """The kernel that jumps whenever it can against the twin; returns how many flows it jumped in and how many are deadlocked."""
    status, makespan, stepped, first_start, last_end, fired = kernel(flows, window, 1)
    at = jumped = deadlocks = 0
    for number, flow in enumerate(flows):
        twin = naive.play(flow, window)
        part = slice(at, at + len(flow.stages))
        at += len(flow.stages)
        assert bool(status[number] == dataflow.DEADLOCK) == twin.deadlock, flow
        assert makespan[number] == twin.cycles, flow
        assert first_start[part].tolist() == twin.first_start, flow
        assert last_end[part].tolist() == twin.last_end, flow
        assert fired[part].tolist() == twin.fired, flow
        assert stepped[number] <= len(twin.order)
        jumped += int(stepped[number] < len(twin.order))
        deadlocks += twin.deadlock
    return jumped, deadlocks


def several(seed: int, count: int) -> None:
    rng = random.Random(seed)
    parts = [compare([steady_flow(rng) for _ in range(count // 5)], window) for window in (8, 8, 1, 2, 8)]
    jumped, deadlocks = (sum(column) for column in zip(*parts, strict=True))
    assert jumped > 0.6 * count, "most random graphs must reach a steady state"
    assert 0.05 * count < deadlocks < 0.5 * count, "the random graphs must hold both kinds"


def test_jumping_equals_the_twin_on_random_graphs():
    several(20261122, 400)


@pytest.mark.slow
def test_jumping_equals_the_twin_on_10000_random_graphs():
    several(20240613, 10_000)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9))
def test_jumping_equals_the_twin_on_graphs_that_hypothesis_picks(seed, window):
    compare([steady_flow(random.Random(seed))], window)


@pytest.mark.slow
def test_jumping_equals_stepping_on_long_random_graphs():
    rng = random.Random(7)
    flows = [steady_flow(rng, 20_000) for _ in range(500)]
    jumping, stepping = kernel(flows, 8, 48), kernel(flows, 8, dataflow.NEVER)
    for column in (0, 1, 3, 4, 5):
        assert (jumping[column] == stepping[column]).all()
    assert jumping[2].sum() < 0.05 * stepping[2].sum()


def flow(stages, edges, resources) -> Flow:
    """Stages are (resource, (repeat, cycles[, holds]), ...)."""
    full = tuple((home, tuple((*segment, ()) if len(segment) == 2 else segment for segment in segments)) for home, *segments in stages)
    names = tuple(f"s{number}" for number in range(len(stages)))
    return Flow(full, tuple(edges), tuple(f"r{number}" for number in range(resources)), names)


def played(made: Flow) -> playing.Played:
    """Plays it; nothing long may be stepped through."""
    (found,) = play([made], ["graph"])
    assert found.stepped < 5_000
    return found


@pytest.mark.parametrize("cycles", [(7, 11, 5), (11, 7, 5), (5, 7, 11), (4, 4, 4)])
def test_a_long_pipeline_takes_its_fill_and_its_bottleneck(cycles):
    n = BILLION
    stages = [(number, (n, each)) for number, each in enumerate(cycles)]
    found = played(flow(stages, [(0, 1, 1, 1, 0, 2), (1, 2, 1, 1, 0, 2)], 3))
    assert found.cycles == sum(cycles) + (n - 1) * max(cycles)
    assert found.first_start == (0, cycles[0], cycles[0] + cycles[1])
    assert found.last_end[2] == found.cycles


def test_a_buffer_of_a_million_places_fills_and_drains_between_jumps():
    n = 10**8
    found = played(flow([(0, (n, 7)), (1, (n, 11))], [(0, 1, 1, 1, 0, 10**6)], 2))
    assert found.cycles == 7 + 11 * n
    # The last load starts when a place is free: n - 10^6 firings have ended by then.
    assert found.last_end[0] == 7 + 11 * (n - 10**6) + 7


def test_segments_are_played_in_turn():
    n = 10**7
    compute = (1, (n, 20), (n, 3), (1, 500), (n, 20))
    found = played(flow([(0, (3 * n + 1, 10)), compute], [(0, 1, 1, 1, 0, 2)], 2))
    # Tile k of the first stretch starts at 10 + 20 k. In the second, tile n + k starts when its load has ended, 10 k after the stretch
    # began; so does the long one. The loads of the two tiles after it hide behind it, and compute is the bottleneck again.
    second = 10 + 20 * n
    assert found.cycles == second + 10 * n + 500 + 20 * n


def test_a_reduction_stores_once_in_a_thousand():
    n = 10**6
    stages = [(0, (1000 * n, 7)), (1, (1000 * n, 11)), (2, (n, 500))]
    found = played(flow(stages, [(0, 1, 1, 1, 0, 2), (1, 2, 1, 1000, 0, 2000)], 3))
    assert found.cycles == 7 + 11 * 1000 * n + 500


def test_a_long_firing_beside_many_short_ones():
    n = 10**4
    made = flow([(0, (n, 10**6, ((1, 300_000),))), (1, (70_000 * n, 10))], [], 2)
    # Each long firing holds the second resource for its first 300,000 cycles; the rest of it has room for 70,000 short ones.
    (found,) = play([made], ["graph"])
    assert found.cycles == n * 10**6
    assert found.stepped < 0.001 * made.firings


def test_barriers_end_one_steady_state_and_begin_the_next():
    n = BILLION
    stages = [(0, (n, 3)), (1, (n, 5)), (0, (n, 7)), (1, (n, 2))]
    edges = [(0, 1, 1, 1, 0, 2), (2, 3, 1, 1, 0, 2), (0, 2, 0, 0, 0, 0), (1, 2, 0, 0, 0, 0)]
    found = played(flow(stages, edges, 2))
    middle = 3 + 5 * n
    assert found.first_start == (0, 3, middle, middle + 7)
    assert found.last_end[1] == middle
    assert found.cycles == middle + 7 * n + 2


def test_a_deadlock_after_a_billion_firings_is_found_where_it_is():
    n = BILLION
    made = flow([(0, (2 * n, 3)), (1, (n, 7))], [(0, 1, 1, 1, 0, 2)], 2)
    status, makespan, stepped, _, last_end, fired = kernel([made], 8, 48)
    assert status[0] == dataflow.DEADLOCK
    assert fired.tolist() == [n + 2, n]
    # Two more loads fit into the places that the last two firings left; the second ends 3 cycles after the last firing.
    assert last_end.tolist() == [6 + 7 * n, 3 + 7 * n]
    assert makespan[0] == 6 + 7 * n
    assert stepped[0] < 1_000


def test_firings_of_zero_cycles_are_jumped_too():
    n = BILLION
    found = played(flow([(0, (n, 0)), (1, (n, 0)), (2, (n, 4))], [(0, 1, 1, 1, 0, 1), (1, 2, 1, 1, 0, 1)], 3))
    assert found.cycles == 4 * n


def test_graphs_that_never_repeat_are_refused_when_too_long(monkeypatch):
    rng = random.Random(3)
    made = flow([(home, *((2, rng.randint(1, 900)) for _ in range(600))) for home in range(2)], [(0, 1, 1, 1, 0, 2)], 2)
    assert play([made], ["graph"])[0].stepped == made.firings
    monkeypatch.setattr(playing, "MAX_STEPS", 1_000)
    with pytest.raises(InfeasibleError, match="would take 2400 firings to play, and no steady state saves enough of them"):
        play([made], ["graph"])
