"""The trace: the format to the letter, and counters whose integrals are the totals of the result."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cyclewright as cw
from ilp import trivial_schedule
from simulator import from_json, simulate, to_json, trace_json
from tests.simulator.build import random_graph
from tests.simulator.trace_format import checked, integral


@pytest.mark.parametrize(
    ("model", "device", "options"),
    [
        ("resnet50", "edge-npu", {}),
        ("llama-3-8b", "edge-npu", {"phase": "prefill", "tokens": 256, "fidelity": "cycle"}),
        ("llama-3-8b", "nvidia-h100-sxm", {"phase": "decode", "batch": 8, "context": 4096}),
    ],
)
def test_integrals_over_the_trace_are_the_totals_of_the_result(model, device, options):
    result = from_json(to_json(cw.run(model, device, **options)))
    events = checked(trace_json(result))
    for name, (read, written) in result.bytes_by_memory.items():
        if not result.capacities[name][1]:
            continue
        # GB/s x ns = bytes; the borders of pieces are rounded to nanoseconds
        for way, total in (("read", read), ("written", written)):
            assert integral(events, f"{name} GB/s", way) == pytest.approx(total, rel=2e-3, abs=64)
    performed = 0.0
    for key in result.over_time:
        kind, _, rest = key.partition(":")
        if kind in ("compute", "vector"):
            performed += integral(events, f"{rest.partition(':')[0]} use", "% of peak") / 100 * 1e-9 * result.roofs[key] / 2
    assert performed == pytest.approx(result.executed_flops / 2, rel=2e-3)
    names = {event["name"] for event in events if event["ph"] == "C"}
    assert {name.rpartition(" ")[2] for name in names} == {"use", "GB/s", "held"}


def test_stages_that_take_turns_at_a_port_have_threads_of_their_own():
    result = cw.run("gemm:512x512x512", "edge-npu")
    events = checked(trace_json(result))
    ports = [event["tid"] for event in events if event["name"] == "thread_name" and event["args"]["name"] == "memory:dram"]
    assert len(ports) > 1
    shown = [event for event in events if event["ph"] == "X" and event["tid"] in ports]
    assert len(shown) == sum(span.resource == "memory:dram" for span in result.timeline)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["tile", "roofline"]))
def test_the_trace_of_any_run_is_in_form(seed, fidelity):
    mapped = random_graph(random.Random(seed))
    checked(trace_json(simulate(mapped, trivial_schedule(mapped), fidelity=fidelity)))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda event: event.update(dur=event["dur"] + 1000.0) if event["ph"] == "X" else None,
        lambda event: event.update(ts=event["ts"] + 0.0001) if event["ph"] == "X" else None,
        lambda event: event.update(tid=0) if event["ph"] == "M" and "tid" in event else None,
        lambda event: event.pop("dur") if event["ph"] == "X" else None,
        lambda event: event["args"].update(read="1") if event["ph"] == "C" else None,
        lambda event: event.update(ts=0.0) if event["ph"] == "C" else None,
        lambda event: event.update(ph="Q") if event["ph"] == "C" else None,
    ],
)
def test_the_check_sees_what_a_viewer_would_drop(spoil):
    document = json.loads(trace_json(cw.run("gemm:512x512x512", "edge-npu")))
    checked(json.dumps(document))
    for event in document["traceEvents"]:
        spoil(event)
    with pytest.raises((AssertionError, KeyError)):
        checked(json.dumps(document))
