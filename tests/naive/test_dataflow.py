"""The kernels equal their plain-Python twins on random bounded dataflow graphs, deadlocking ones included."""

from __future__ import annotations

import random
from math import gcd

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import ContractError, InfeasibleError
from simulator.kernels import dataflow
from simulator.lowering import Flow
from simulator.play import pack, play, replay_order
from tests.naive import dataflow as naive


def random_flow(rng: random.Random) -> Flow:
    """Up to 12 stages on up to 4 resources: zero-cycle firings, further holds, recurrences, unequal rates, barriers, tight buffers.

    Token counts mostly balance (a repetition vector), so that most graphs run to their end; every tenth graph is wild.
    """
    resources = rng.randint(1, 4)
    count = rng.randint(1, 12) if rng.random() < 0.3 else rng.randint(1, 6)
    wild = rng.random() < 0.1
    rates = [rng.choice((1, 1, 1, 2, 3, 4)) for _ in range(count)]
    scale = rng.randint(1, 8)
    stages = []
    for rate in rates:
        home = rng.randrange(resources)
        cuts = sorted(rng.randint(0, scale * rate) for _ in range(rng.randint(0, 2)))
        repeats = [after - before for before, after in zip([0, *cuts], [*cuts, scale * rate], strict=True)]
        if wild:
            repeats = [rng.randint(0, 4) for _ in repeats]
        stages.append((home, tuple(random_segment(rng, repeat, home, resources) for repeat in repeats)))
    edges = [random_edge(rng, rates, wild) for _ in range(rng.randint(0, 2 * count))]
    names = tuple(f"s{number}" for number in range(count))
    return Flow(tuple(stages), tuple(edges), tuple(f"r{number}" for number in range(resources)), names)


def random_segment(rng, repeat, home, resources):
    cycles = rng.choice((0, 1, 1, 2, 3, 5, 9))
    others = [resource for resource in range(resources) if resource != home]
    rng.shuffle(others)
    holds = tuple((other, rng.randint(1, cycles)) for other in others[: rng.choice((0, 0, 1, 2))] if cycles)
    return repeat, cycles, holds


def random_edge(rng, rates, wild):
    source, target = rng.randrange(len(rates)), rng.randrange(len(rates))
    if source > target and rng.random() < 0.8:
        source, target = target, source
    if source < target and rng.random() < 0.1:
        return source, target, 0, 0, 0, 0
    common = gcd(rates[source], rates[target])
    produced, consumed = rates[target] // common, rates[source] // common
    if wild and rng.random() < 0.5:
        produced, consumed = rng.choice((1, 1, 2, 3)), rng.choice((1, 1, 2, 3))
    initial = consumed * rng.randint(1, 3) if source >= target else rng.choice((0, 0, 0, 2))
    # produced + consumed - 1 places beside the initial tokens are enough for one edge; a few less may deadlock
    enough = initial + produced + consumed - 1
    capacity = rng.choice((0, enough, enough + rng.randint(0, 3), max(1, initial, enough - 1) if rng.random() < 0.2 else enough + 1))
    return source, target, produced, consumed, initial, capacity


def compare(flows: list[Flow], window: int) -> int:
    """Both kernels against both twins; returns how many flows deadlock."""
    order_at = np.zeros(len(flows) + 1, dtype=np.int64)
    np.cumsum([flow.firings for flow in flows], out=order_at[1:])
    order = np.full(int(order_at[-1]), -1, dtype=np.int32)
    arrays = pack(flows)
    status, makespan, _, first_start, last_end, fired = dataflow.play_batch(*arrays, window, dataflow.NEVER, 0, order_at, order)
    stage_at = arrays[1]
    deadlocks = 0
    for number, flow in enumerate(flows):
        twin = naive.play(flow, window)
        part = slice(int(stage_at[number]), int(stage_at[number + 1]))
        served = order[order_at[number] : order_at[number + 1]]
        assert bool(status[number] == dataflow.DEADLOCK) == twin.deadlock, flow
        assert makespan[number] == twin.cycles, flow
        assert first_start[part].tolist() == twin.first_start, flow
        assert last_end[part].tolist() == twin.last_end, flow
        assert fired[part].tolist() == twin.fired, flow
        assert served[: len(twin.order)].tolist() == twin.order, flow
        deadlocks += twin.deadlock
        if twin.deadlock:
            continue
        cycles, starts = replay_order(flow, served)
        again, twin_starts = naive.play_fixed(flow, twin.order)
        assert (cycles, starts.tolist()) == (again, twin_starts), flow
        # The replay starts every firing as early as the order allows; a window can only have made the play later.
        assert cycles <= twin.cycles
        if len(flow.stages) <= window:
            assert starts.tolist() == twin.starts, flow
    return deadlocks


@pytest.mark.slow
def test_kernels_equal_their_twins_on_10000_random_graphs():
    rng = random.Random(20240613)
    flows = [random_flow(rng) for _ in range(10_000)]
    deadlocks = sum(compare(flows[start : start + 2_000], window) for start, window in ((0, 8), (2000, 8), (4000, 2), (6000, 1), (8000, 8)))
    assert 500 < deadlocks < 5_000, "the random graphs must hold both kinds"


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9))
def test_kernels_equal_their_twins_on_graphs_that_hypothesis_picks(seed, window):
    compare([random_flow(random.Random(seed))], window)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_in_a_fixed_order_no_shorter_duration_lengthens_the_schedule(seed, chooser):
    flow = random_flow(random.Random(seed))
    try:
        (played,) = play([flow], ["flow"], record=True)
    except InfeasibleError:
        return
    before, starts = replay_order(flow, played.order)
    stages = tuple(
        (home, tuple((repeat, *shorter(cycles, holds, chooser)) for repeat, cycles, holds in segments)) for home, segments in flow.stages
    )
    after, earlier = replay_order(Flow(stages, flow.edges, flow.resources, flow.names), played.order)
    assert after <= before
    assert (earlier <= starts).all()


def shorter(cycles, holds, chooser):
    new = chooser.randint(0, cycles)
    return new, tuple((resource, chooser.randint(0, min(held, new))) for resource, held in holds)


def test_a_wrong_order_is_refused():
    flow = Flow(((0, ((1, 5, ()),)), (1, ((1, 5, ()),))), ((0, 1, 1, 1, 0, 1),), ("a", "b"), ("load", "use"))
    with pytest.raises(ContractError, match="before one that it needs"):
        replay_order(flow, np.array([1, 0]))


def test_deadlock_names_the_stages_and_what_they_wait_for():
    flow = Flow(((0, ((4, 5, ()),)), (1, ((4, 5, ()),))), ((0, 1, 1, 3, 0, 2),), ("a", "b"), ("load", "use"))
    with pytest.raises(InfeasibleError) as caught:
        play([flow], ["conv1"])
    assert caught.value.where == "conv1"
    assert "stage 'load' (firing 3 of 4) waits for 1 places towards 'use' and has 0" in caught.value.what
    assert "stage 'use' (firing 1 of 4) waits for 3 tokens of 'load' and has 2" in caught.value.what


def test_a_chain_longer_than_the_window_is_no_deadlock():
    stages = tuple((0, ((3, 1, ()),)) for _ in range(20))
    edges = tuple((number, number + 1, 1, 1, 0, 1) for number in range(19))
    flow = Flow(stages, edges, ("unit",), tuple(f"s{number}" for number in range(20)))
    assert play([flow], ["chain"])[0].cycles == 60
