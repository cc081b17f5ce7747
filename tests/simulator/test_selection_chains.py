"""The search with fused chains: never slower than layer by layer, never below the roofline, whatever the chain and the device."""

from __future__ import annotations

from math import isclose

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hwspecs.hardware import Hardware
from hwspecs.vocabulary.errors import CyclewrightError
from ilp import trivial_schedule
from mappings import map_graph
from mappings.dataflow import MappedGraph
from simulator import Result, search, simulate
from simulator.stored import from_json, to_json
from tests.mappings.builders import systolic
from workloads.builder import GraphBuilder
from workloads.graph import OperatorGraph

DATAFLOWS = ("auto", "output_stationary", "weight_stationary", "input_stationary")


@st.composite
def devices(draw: st.DrawFn) -> Hardware:
    """Arrays of 4 to 16 cells a side, scratchpads that hold a few rows or everything, slow to fast memory."""
    size = draw(st.sampled_from((2048, 6000, 20_000, 1 << 16, 1 << 20)))
    split = draw(st.booleans())
    scratchpad = {"ifmap": size // 2, "filter": size // 4, "ofmap": size // 4} if split else size
    side = draw(st.sampled_from((4, 8, 16)))
    return systolic(
        side, draw(st.sampled_from((4, 8, 16))), draw(st.sampled_from(DATAFLOWS)), scratchpad=scratchpad,
        double_buffered=draw(st.booleans()), bandwidth=draw(st.sampled_from((0.05e9, 0.5e9, 4e9, 64e9))),
        lanes=draw(st.sampled_from((2, 16))),
    )  # fmt: skip


@st.composite
def networks(draw: st.DrawFn) -> OperatorGraph:
    """Two to five convolutions, poolings, activations and shortcuts on one or two images."""
    build = GraphBuilder("random", "int8")
    rows, columns, channels = draw(st.integers(5, 24)), draw(st.integers(4, 20)), draw(st.sampled_from((1, 3, 8, 20)))
    last = build.input("x", (draw(st.sampled_from((1, 1, 2))), channels, rows, columns))
    seen = [last]
    for place in range(draw(st.integers(2, 5))):
        kind = draw(st.sampled_from(("conv", "conv", "pointwise", "depthwise", "pool", "relu", "add")))
        name, channels, rows = f"t{place}", build[last].shape[1], build[last].shape[2]
        stride = draw(st.integers(1, 2))
        equal = [other for other in seen[:-1] if build[other].shape == build[last].shape]
        if kind == "pool" and min(build[last].shape[2:]) >= 2:
            last = build.pool(last, name, "max", window=2, strides=stride)
        elif kind == "add" and equal:
            last = build.elementwise("add", (last, draw(st.sampled_from(equal))), name)
        elif kind in ("relu", "add", "pool"):
            last = build.elementwise("relu", (last,), name)
        else:
            kernel = 1 if kind == "pointwise" else 3
            out = channels if kind == "depthwise" else draw(st.sampled_from((2, 8, 24)))
            build.weight(f"w{place}", (out, 1 if kind == "depthwise" else channels, kernel, kernel))
            bias = build.weight(f"b{place}", (out,)) if draw(st.booleans()) else None
            groups = channels if kind == "depthwise" else 1
            last = build.conv(last, f"w{place}", name, bias=bias, strides=stride, pads=kernel // 2, groups=groups)
        seen.append(last)
    build.output(last)
    return build.build(check=True)


def mapped_or_skip(graph: OperatorGraph, hardware: Hardware) -> MappedGraph:
    try:
        return map_graph(graph, hardware)
    except CyclewrightError:
        assume(False)
        raise


def check(result: Result) -> None:
    assert result.latency_s >= result.roofline_s * (1 - 1e-9)
    assert result.dram_bytes >= result.compulsory_bytes
    for row in result.operators:
        assert row.time_s >= row.roof_s * (1 - 1e-9), row.name
        assert row.dram_bytes >= row.compulsory_bytes


@given(networks(), devices())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_searched_plans_are_never_slower_and_never_beat_the_roofline(graph: OperatorGraph, hardware: Hardware) -> None:
    mapped = mapped_or_skip(graph, hardware)
    plain = simulate(mapped, trivial_schedule(mapped))
    found = search(mapped)
    result = simulate(found.mapped, found.schedule)
    assert result.cycles == found.cycles <= plain.cycles
    assert found.cycles <= found.layer_by_layer_cycles
    assert result.macs == plain.macs
    assert result.vector_ops == plain.vector_ops
    assert result.executed_flops >= plain.executed_flops
    assert isclose(result.roofline_s, plain.roofline_s, rel_tol=1e-12)
    check(result)
    rows = {row.name: row for row in result.operators}
    for block in found.mapped.blocks:
        for item in block.operators:
            assert rows[item.operator].members == tuple(member.operator for member in item.members)
    assert from_json(to_json(result)) == result


def test_fusion_is_taken_where_memory_is_slow_and_left_where_it_gains_nothing() -> None:
    """Three convolutions of 16 channels: fused where 0.05 bytes move per cycle; on one whole row of one pixel there is nothing to cut."""
    build = GraphBuilder("three", "int8")
    build.input("x", (1, 16, 32, 32))
    last = "x"
    for place in range(3):
        build.weight(f"w{place}", (16, 16, 3, 3))
        last = build.conv(last, f"w{place}", f"y{place}", pads=1)
    build.output(last)
    graph = build.build(check=True)
    slow = search(map_graph(graph, systolic(scratchpad=20_000, bandwidth=0.05e9)))
    assert [item.kind for item in slow.mapped.blocks[0].operators] == ["fused chain"]
    assert simulate(slow.mapped, slow.schedule).dram_bytes == 2 * 16 * 32 * 32 + 3 * 16 * 16 * 9
    build = GraphBuilder("points", "int8")
    build.input("x", (1, 16, 1, 1))
    for place in range(2):
        build.weight(f"w{place}", (16, 16, 1, 1))
    build.output(build.conv(build.conv("x", "w0", "y"), "w1", "z"))
    points = search(map_graph(build.build(check=True), systolic(scratchpad=14_000, bandwidth=0.05e9)))
    assert [item.kind for item in points.mapped.blocks[0].operators] == ["conv", "conv"]
