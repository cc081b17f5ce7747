"""More bandwidth, and every other shorter duration, never hurts in a fixed service order; with dynamic arbitration there is no such law."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from ilp import trivial_schedule
from simulator.lowering import chain
from simulator.play import play, replay_order
from simulator.program import build_program
from tests.simulator.build import random_graph


def whole(mapped, schedule):
    """The program of one round of each block as one flow."""
    return chain([step.turns[0][1].flow for steps in build_program(mapped, schedule) for step in steps])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.floats(1.0, 50.0))
def test_more_bandwidth_never_hurts_in_the_recorded_order(seed, factor):
    mapped = random_graph(random.Random(seed))
    schedule = trivial_schedule(mapped)
    device = mapped.hardware
    memory = device.memories["dram"]
    quick = replace(memory, bandwidth_bytes_per_s=memory.bandwidth_bytes_per_s * factor)
    faster = replace(mapped, hardware=replace(device, memories={**device.memories, "dram": quick}))
    slow, fast = whole(mapped, schedule), whole(faster, schedule)
    (played,) = play([slow], ["graph"], record=True)
    before, starts = replay_order(slow, played.order)
    after, earlier = replay_order(fast, played.order)
    assert before == played.cycles
    assert after <= before
    assert (earlier <= starts).all()
