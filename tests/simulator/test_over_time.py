"""Pictures over time: amounts are conserved, levels are what a hand-played run holds, parts of the time add up."""

from __future__ import annotations

import copy
import pickle
import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cyclewright as cw
from ilp import trivial_schedule
from mappings.dataflow import Alternative, Edge, MappedOperator, Segment, Stage, Transfer
from simulator import from_json, recorded, simulate, to_json
from simulator.counters import bandwidths, held, uses
from simulator.lowering import LAUNCH
from tests.simulator.build import layered, mapped_operator, random_graph, straight, tensor
from workloads.graph import Role


def move(name, nbytes):
    places = ("spad", "dram") if name == "y" else ("dram", "spad")
    return (Transfer(name, nbytes, *places),)


def played(stages, edges=(), *, macs=0, read=0, written=0, room=0, fidelity="tile"):
    way = Alternative("by hand", tuple(stages), tuple(edges), room, 1)
    reads, writes = {"x": read}, {"y": written}
    item = MappedOperator("op", "gemm", "array", (way,), macs=macs, executed_macs=macs, compute_format="int8", reads=reads, writes=writes)
    mapped = straight([tensor("x", max(1, read)), tensor("y", max(1, written))], [item], ["y"])
    return simulate(mapped, trivial_schedule(mapped), fidelity=fidelity)


LOAD, WORK = Stage("load", "port:dram", (Segment(4, 0, move("x", 1_000)),)), Stage("work", "array", (Segment(4, 25),))


def test_double_buffering_by_hand():
    # loads of 10 cycles at 0, 10, 35, 60 (as buffers become free); work of 25 cycles at 10, 35, 60, 85; 1,000 MACs are the peak of a cycle
    result = played((LOAD, WORK), [Edge("load", "work", capacity=2)], macs=50_000, read=4_000)
    assert dict(result.over_time) == {
        "cycles": (0, 10, 20, 35, 45, 60, 70, 85, 110),
        "memory:dram:read": (1_000, 1_000, 0, 1_000, 0, 1_000, 0, 0),
        "compute:array:int8": (0, 5_000, 7_500, 5_000, 7_500, 5_000, 7_500, 12_500),
        "held:spad": (1_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 1_000),
    }
    assert dict(result.time_parts) == {"computing": (100,), "memory": (10,), "launch": (0,), "idle": (0,)}
    assert uses(result) == {"array": pytest.approx([0.0] + [0.5] * 7)}
    read, written = bandwidths(result)["dram"]
    assert read == pytest.approx([100e9, 100e9, 0, 100e9, 0, 100e9, 0, 0])
    assert set(written) == {0.0}


def test_a_tile_of_many_uses_is_held_until_the_last():
    # one load of 40 cycles brings 4,000 bytes for four firings; results of 500 bytes are made and stored in 5 cycles each
    stages = (
        Stage("load", "port:dram", (Segment(1, 0, move("x", 4_000)),)), WORK, Stage("store", "port:dram", (Segment(4, 0, move("y", 500)),)),
    )  # fmt: skip
    edges = [Edge("load", "work", produced=4, capacity=4), Edge("work", "store", capacity=2)]
    result = played(stages, edges, read=4_000, written=2_000)
    assert result.cycles == 40 + 100 + 5
    levels = dict(zip(result.over_time["cycles"], result.over_time["held:spad"], strict=False))
    assert levels == {0: 4_000, 40: 4_500, 65: 5_000, 70: 4_500, 90: 5_000, 95: 4_500, 115: 5_000, 120: 4_500, 140: 500}
    assert result.time_parts["memory"] == (45,)


def test_a_kernel_that_moves_its_own_data_splits_into_arithmetic_and_memory():
    # 30 cycles of arithmetic beside 100 cycles of transfer, after a launch of 7; nobody tells what its tiles hold
    main = Stage("main", "array", (Segment(2, 30, move("x", 10_000)),))
    stages = (Stage(LAUNCH, "array", (Segment(1, 7),)), main)
    result = played(stages, [Edge(LAUNCH, "main", 0, 0)], macs=6_000, read=20_000, room=123)
    assert dict(result.time_parts) == {"computing": (60,), "memory": (140,), "launch": (7,), "idle": (0,)}
    assert set(result.over_time["held:spad"]) == {123}
    assert result.over_time["memory:dram:read"] == (0, 10_000, 10_000)
    assert result.over_time["compute:array:int8"] == (0, 3_000, 3_000)


def test_each_core_has_its_share_of_the_arithmetic_and_a_link_is_no_arithmetic():
    # a link carries for 5 cycles, then one core works for 10 and another for 30: 1,000 MACs in each of 40 cycles
    stages = (
        Stage("hand over", "link:noc", (Segment(1, 5),), work={"link:noc": 5}),
        Stage("work", "array.0", (Segment(1, 10),)), Stage("work (core 1)", "array.1", (Segment(1, 30),)),
    )  # fmt: skip
    edges = [Edge("hand over", "work", 0, 0), Edge("hand over", "work (core 1)", 0, 0)]
    result = played(stages, edges, macs=40_000)
    assert result.over_time["cycles"] == (0, 5, 15, 35)
    assert result.over_time["compute:array:int8"] == (0, 20_000, 20_000)
    assert dict(result.time_parts) == {"computing": (30,), "memory": (5,), "launch": (0,), "idle": (0,)}


def test_latency_is_idle_and_stated_work_counts():
    main = Stage("main", "array", (Segment(1, 100),), work={"compute:array": 40, "memory:spad": 25})
    assert dict(played((main,)).time_parts) == {"computing": (40,), "memory": (25,), "launch": (0,), "idle": (35,)}


def test_folded_rounds_are_one_piece_with_the_rest():
    operators = [mapped_operator("mlp", {"x": 100, "w": 5_000}, {"t": 300}, macs=10**6), mapped_operator("add", {"t": 300}, {"y": 100})]
    mapped = layered([tensor("t", 300), tensor("w", 5_000, Role.WEIGHT)], operators, 80, 100)
    result = simulate(mapped, trivial_schedule(mapped))
    columns = result.over_time
    mlp, add = result.operators
    round_cycles = round(add.end_s * result.clock_hz)
    assert columns["cycles"][-2:] == (round_cycles, result.cycles)
    assert columns["compute:array:int8"][-1] == 79 * 10**6
    # the weights of the first round, and its input, are loaded in it
    assert sum(columns["memory:dram:read"][:-1]) == 5_100
    assert columns["memory:dram:read"][-1] == 79 * 5_000
    assert [sum(parts) for parts in zip(*result.time_parts.values(), strict=True)] == [
        round(operator.time_s * result.clock_hz) for operator in (mlp, add)
    ]


def conserved(result):
    """The laws of the columns of any result."""
    columns = dict(result.over_time)
    marks = columns.pop("cycles", (0,))
    assert marks[0] == 0
    assert marks[-1] == result.cycles
    assert all(start < end for start, end in pairwise(marks))
    assert all(len(column) == len(marks) - 1 and min(column) >= 0 for column in columns.values())
    macs = sum(sum(column) for key, column in columns.items() if key.startswith(("compute:", "vector:")))
    assert macs == result.executed_flops // 2
    seconds = [(end - start) / result.clock_hz for start, end in pairwise(marks)]
    rates = bandwidths(result)
    moved = sum(rate * length for both in rates.values() for way in both for rate, length in zip(way, seconds, strict=True))
    assert moved == pytest.approx(result.dram_bytes, rel=1e-9)
    for name, both in rates.items():
        # exact in whole bytes
        assert tuple(sum(columns.get(f"memory:{name}:{way}", ())) for way in ("read", "written")) == result.bytes_by_memory[name]
        for way in both:
            peak = result.roofs[f"memory:{name}"]
            assert all(rate <= peak * (1 + 1e-9) + 2 / length for rate, length in zip(way, seconds, strict=True))
    performed = 0.0
    for unit, shares in uses(result).items():
        assert max(shares) <= 1.0 + 1e-9 + 2.0 / min(seconds) / min(rate for key, rate in result.roofs.items() if f":{unit}:" in key)
        roof = {key: rate for key, rate in result.roofs.items() if key in columns and key.split(":")[1] == unit}
        if len(roof) == 1:
            (rate,) = roof.values()
            performed += sum(share * length for share, length in zip(shares, seconds, strict=True)) * rate / 2
        else:
            performed += sum(sum(columns[key]) for key in roof)
    assert performed == pytest.approx(result.executed_flops / 2, rel=1e-9)
    spent = [sum(parts) for parts in zip(*result.time_parts.values(), strict=True)]
    assert all(min(part, default=0) >= 0 for part in result.time_parts.values())
    assert sum(spent) == result.cycles
    assert [cycles / result.clock_hz for cycles in spent] == pytest.approx([operator.time_s for operator in result.operators])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_amounts_are_conserved_on_random_graphs(seed):
    mapped = random_graph(random.Random(seed))
    conserved(simulate(mapped, trivial_schedule(mapped)))


@pytest.mark.parametrize(
    ("model", "device", "options"),
    [
        ("resnet50", "edge-npu", {}),
        ("mobilenet-v2", "edge-npu", {"fidelity": "cycle"}),
        ("resnet50", "nvidia-h100-sxm", {}),
        ("llama-3-8b", "nvidia-h100-sxm", {"phase": "decode", "batch": 8, "context": 4096}),
        ("llama-3-8b", "edge-npu", {"phase": "prefill", "tokens": 256}),
        ("mobilenet-v1", "snapdragon-835", {}),
        ("resnet50", "quad-core-npu", {}),
        ("mobilenet-v2", "edge-npu", {"search": "play"}),
    ],
)
def test_amounts_are_conserved_on_real_runs(model, device, options):
    result = cw.run(model, device, **options)
    conserved(result)
    for name, levels in held(result).items():
        assert max(levels) <= result.capacities[name][0]
    assert len(result.over_time["cycles"]) <= 4_000 + 9 * len(result.operators)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_plays_too_long_to_record_are_spread_but_conserved(seed):
    mapped = random_graph(random.Random(seed))
    limit, recorded.MOST_FIRINGS = recorded.MOST_FIRINGS, 3
    try:
        conserved(simulate(mapped, trivial_schedule(mapped)))
    finally:
        recorded.MOST_FIRINGS = limit


def test_columns_are_made_on_the_first_look_and_travel_as_plain_mappings():
    result = played((LOAD, WORK), [Edge("load", "work", capacity=2)], macs=50_000, read=4_000)
    text = to_json(result)
    assert from_json(text) == result
    assert type(pickle.loads(pickle.dumps(result)).over_time) is dict
    assert copy.deepcopy(result) == result
    assert repr(result.over_time) == repr(dict(result.over_time))


def test_without_a_timeline_or_at_the_roofline_there_are_none():
    mapped = random_graph(random.Random(1))
    schedule = trivial_schedule(mapped)
    for result in (simulate(mapped, schedule, timeline=False), simulate(mapped, schedule, fidelity="roofline")):
        assert not result.over_time
        assert not result.time_parts
        assert from_json(to_json(result)) == replace(result, over_time={}, time_parts={})
