"""The vector unit: lanes, function costs, streamed tiles, rows that do not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.registry import Unmappable
from mappings.vector import VectorMapper
from tests.mappings.builders import elementwise, gemm, softmax, systolic
from tests.mappings.test_systolic import check_graph, moved
from workloads.graph import Operator


def on_vector(pair, **rest):
    hardware = systolic(**rest)
    return VectorMapper().map(*pair, hardware.units["vector"], hardware)


def test_one_operation_per_lane_and_cycle():
    answer = on_vector(elementwise("relu", "x", "y", 64, 100, format="fp16"))
    (alternative,) = answer.alternatives
    assert alternative.breakdown["vector"] == 6400 // 16
    assert moved(alternative) == {("x", "in"): 12800, ("y", "out"): 12800}
    assert alternative.actions["vector.vector.fp16"] == 6400
    assert answer.vector_ops == 6400


def test_the_specs_price_of_a_function_counts():
    pair = elementwise("exp", "x", "y", 64, 100, function="exp", ops=4, format="fp16")
    hardware = systolic()
    dear = replace(hardware.units["vector"], parameters={"lanes": 16, "functions.exp": 10})
    cheap = replace(hardware.units["vector"], parameters={"lanes": 16, "functions.exp": 1})
    assert VectorMapper().map(*pair, dear, hardware).alternatives[0].breakdown["vector"] == 6400 * 10 // 16
    assert VectorMapper().map(*pair, cheap, hardware).alternatives[0].breakdown["vector"] == 6400 // 16


def test_narrow_format_runs_at_the_next_wider_rate_of_its_family():
    answer = on_vector(elementwise("relu", "x", "y", 64, format="bf16"))
    assert answer.compute_format == "fp16"
    assert on_vector(elementwise("relu", "x", "y", 64, format="int4")).compute_format == "int8"
    assert on_vector(elementwise("relu", "x", "y", 64, format="int32")).compute_format == "fp32"


def test_a_row_that_does_not_fit_is_read_twice():
    pair = softmax("s", "x", "y", 4, 5000)
    pair = (replace(pair[0], attributes={"axis": 1}), pair[1])
    roomy, tight = on_vector(pair, scratchpad=1 << 20), on_vector(pair, scratchpad=16 * 1024)
    assert moved(roomy.alternatives[0])["x", "in"] == 40_000
    assert moved(tight.alternatives[0])["x", "in"] == 80_000
    assert "does not fit half of 'scratchpad' (8192 bytes)" in tight.rejected[0].reason


def test_clock_of_the_unit_and_of_the_device_may_differ():
    hardware = replace(systolic(), clock_hz=2e9)
    pair = elementwise("relu", "x", "y", 64, 100, format="fp16")
    assert VectorMapper().map(*pair, hardware.units["vector"], hardware).alternatives[0].breakdown["vector"] == 800


def test_what_it_cannot_run():
    assert isinstance(on_vector((Operator("o", "topk", ("x",), ("y",)), elementwise("e", "x", "y", 4)[1])), Unmappable)
    hardware = systolic()
    bare = replace(hardware.units["vector"], vector_rates={})
    answer = VectorMapper().map(*elementwise("e", "x", "y", 4), bare, hardware)
    assert isinstance(answer, Unmappable)
    assert "no vector rates" in answer.reason


@settings(max_examples=50)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(64, 100_000), st.sampled_from(["int8", "fp16", "fp32"]))
def test_totals_are_exact_and_the_roof_holds(rows, width, scratchpad, form):
    answer = on_vector(elementwise("relu", "x", "y", rows, width, format=form), scratchpad=scratchpad)
    (alternative,) = answer.alternatives
    check_graph(alternative)
    assert moved(alternative)["x", "in"] == answer.reads["x"]
    assert moved(alternative)["y", "out"] == answer.writes["y"]
    work = next(stage for stage in alternative.stages if stage.name == "work")
    assert work.cycles * 16 >= answer.vector_ops
    assert alternative.working_set_bytes <= scratchpad


def test_multiply_accumulates_are_two_operations():
    assert on_vector(gemm("g", 8, 8, 8, format="fp32")).alternatives[0].breakdown["vector"] == pytest.approx(2 * 512 / 16)
