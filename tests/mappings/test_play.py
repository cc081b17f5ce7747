"""What the mappers make, played: no deadlock, never faster than its busiest resource, never slower than one thing after the other."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ilp import trivial_schedule
from mappings import map_graph
from simulator import simulate
from tests.mappings.builders import conv, gemm, graph, systolic
from tests.mappings.test_attention import attention

SIZES = st.integers(1, 60)


def played(pair, hardware):
    mapped = map_graph(graph(pair, inputs=pair[0].inputs), hardware)
    schedule = trivial_schedule(mapped)
    chosen = mapped.blocks[0].operators[0].alternatives[schedule.blocks[0].alternatives[0]]
    return chosen, simulate(mapped, schedule).cycles


def bounded(chosen, cycles, hardware):
    per_unit: dict[str, int] = {}
    moved = 0
    for stage in chosen.stages:
        per_unit[stage.unit] = per_unit.get(stage.unit, 0) + stage.cycles
        moved += sum(segment.repeat * move.bytes for segment in stage.segments for move in segment.transfers)
    firings = sum(stage.firings for stage in chosen.stages)
    transfer = moved * hardware.clock_hz / hardware.dram.bandwidth_bytes_per_s
    assert cycles >= max(*per_unit.values(), int(transfer))
    assert cycles <= sum(per_unit.values()) + transfer + firings


@settings(max_examples=30)
@given(SIZES, SIZES, SIZES, st.sampled_from(["output_stationary", "weight_stationary", "auto"]), st.integers(1500, 20_000), st.booleans())
def test_gemm(m, n, k, dataflow, scratchpad, double):
    hardware = systolic(6, 5, dataflow, scratchpad=scratchpad, double_buffered=double)
    bounded(*played(gemm("g", m, n, k), hardware), hardware)


@settings(max_examples=15)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(4, 16), st.integers(1, 3), st.integers(0, 1), st.integers(3000, 20_000))
def test_convolution(c, o, h, f, pad, scratchpad):
    hardware = systolic(4, 4, "auto", scratchpad=scratchpad)
    bounded(*played(conv("c", c=c, o=o, h=h, f=f, pad=pad), hardware), hardware)


@settings(max_examples=15)
@given(st.integers(1, 2), st.sampled_from([(2, 1), (4, 2), (2, 2)]), st.integers(1, 20), st.integers(1, 40), st.integers(4000, 40_000))
def test_attention(batch, heads, queries, keys, scratchpad):
    pair = attention(batch, *heads, queries, keys, 8)
    hardware = systolic(8, 8, "auto", scratchpad=scratchpad)
    bounded(*played(pair, hardware), hardware)


def test_large_weights_and_small_results_keep_the_port_busy():
    # one row times a matrix, memory-bound: stores must not wait behind loads that then wait for the stores
    hardware = systolic(8, 8, "output_stationary", scratchpad=64 * 1024, bandwidth=1e9)
    chosen, cycles = played(gemm("g", 4, 4096, 256), hardware)
    moved = sum(seg.repeat * move.bytes for stage in chosen.stages for seg in stage.segments for move in seg.transfers)
    assert moved <= cycles <= 1.05 * moved


def test_more_firings_than_the_limit_are_merged_and_still_exact():
    hardware = systolic(16, 16, scratchpad=32 * 1024)
    pair = gemm("g", 2048, 2048, 4096)
    chosen, cycles = played(pair, hardware)
    assert max(stage.firings for stage in chosen.stages) <= 200_000
    assert cycles >= pair[0].macs / 256
