"""Skipping zeros: the expected maximum over lanes by hand, by chance and in its limits; what it does to a mapped product."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cyclewright as cw
from hwspecs.loading import load_hardware
from hwspecs.vocabulary.sparsity import parse_sparsity
from mappings import map_graph
from mappings.systolic.skipping import Steps, expected_maximum
from tests.mappings.builders import gemm, graph, systolic
from tests.mappings.test_systolic import moved


def test_expected_maximum_by_hand():
    # two lanes of one trial each: 1 - (1 - d)^2
    assert expected_maximum(1, 0.5, 2) == pytest.approx(0.75)
    # two lanes, two trials of 1/2: P(max >= 1) = 1 - 1/16, P(max = 2) = 1 - (3/4)^2
    assert expected_maximum(2, 0.5, 2) == pytest.approx(15 / 16 + 7 / 16)


@pytest.mark.parametrize(("trials", "density", "lanes"), [(4, 0.3, 16), (64, 0.5, 8), (300, 0.1, 32), (7, 0.9, 5)])
def test_expected_maximum_equals_the_sum_over_exact_binomials(trials, density, lanes):
    chance = [comb(trials, x) * density**x * (1 - density) ** (trials - x) for x in range(trials + 1)]
    exact = sum(1 - sum(chance[: x + 1]) ** lanes for x in range(trials))
    assert expected_maximum(trials, density, lanes) == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize(
    ("length", "density", "lanes", "window"), [(256, 0.25, 16, 0), (250, 0.25, 16, 16), (512, 0.4, 64, 4), (90, 0.8, 4, 7)]
)
def test_steps_equal_a_seeded_monte_carlo(length, density, lanes, window):
    generator = np.random.default_rng(7)
    totals = []
    for _ in range(250):
        kept = generator.random((lanes, length)) < density
        bounds = range(0, length, window or length)
        totals.append(sum(kept[:, start : start + (window or length)].sum(axis=1).max() for start in bounds))
    error = np.std(totals) / np.sqrt(len(totals))
    assert Steps(density, lanes, window).of(length) == pytest.approx(np.mean(totals), abs=4 * error)


def test_limits():
    assert Steps(0.3, 1, 0).of(1000) == pytest.approx(300)
    assert Steps(0.3, 1, 8).of(1000) == pytest.approx(300)
    assert Steps(1.0, 64, 4).of(1000) == 1000
    # so many lanes that one of them is full in nearly every window of two
    assert Steps(0.5, 4096, 2).of(1000) == pytest.approx(1000, rel=1e-6)


@settings(max_examples=80)
@given(st.integers(1, 3000), st.floats(0.01, 1.0), st.integers(1, 64), st.integers(0, 70))
def test_more_lanes_are_never_faster_and_no_lane_beats_the_mean(length, density, lanes, window):
    one, more = Steps(density, lanes, window).of(length), Steps(density, lanes * 2, window).of(length)
    assert length * density * (1 - 1e-9) <= one <= more * (1 + 1e-9)
    assert more <= length


@settings(max_examples=40)
@given(st.integers(1, 400), st.floats(0.05, 1.0), st.integers(1, 32), st.integers(1, 20))
def test_a_window_twice_as_long_never_waits_more(pairs, density, lanes, window):
    length = pairs * 2 * window
    assert Steps(density, lanes, 2 * window).of(length) <= Steps(density, lanes, window).of(length) * (1 + 1e-9)


def test_ties_between_zeros():
    # 2:4: every lane keeps two of four, nobody waits
    assert Steps(0.5, 64, 0, regular=(2, 4)).of(22) == 5 * 2 + 2
    # blocks of 4 rows: 64 lanes are 16 that differ; of 2 columns: 10 trials of 2 positions each
    assert Steps(0.5, 16, 0, grain=2).of(20) == pytest.approx(2 * expected_maximum(10, 0.5, 16))


# -- on an array ---------------------------------------------------------------------------------------------------------------


def skipper(operand, lanes=8, window=0, dataflow="output_stationary", **rest):
    hardware = systolic(8, 8, dataflow, bandwidth=1e15, **rest)  # loads take no time, so that whole runs rank first
    unit = hardware.units["array"]
    leaves = {"skipping.operand": operand, "skipping.lanes": lanes, "skipping.window": window}
    return replace(hardware, units={**hardware.units, "array": replace(unit, parameters={**unit.parameters, **leaves})})


def sparse(m, n, k, pattern="unstructured:0.25", which="w"):
    operator, tensors = gemm("g", m, n, k)
    for name in which:
        tensors[name] = replace(tensors[name], sparsity=parse_sparsity(pattern))
    return operator, tensors


def mapped(pair, hardware):
    return map_graph(graph(pair), hardware).blocks[0].operators[0]


def test_one_fold_takes_the_fullest_lane_and_its_ramp():
    operator = mapped(sparse(8, 8, 64), skipper("weights"))
    assert operator.alternatives[0].breakdown["array"] == ceil(expected_maximum(64, 0.25, 8)) + 14
    assert operator.executed_macs == 8 * 8 * 16
    assert operator.alternatives[0].actions["array.mac.int8"] == 8 * 8 * 16
    assert operator.macs == 8 * 8 * 64
    assert not operator.alternatives[0].notes


def test_windows_wait_more():
    operator = mapped(sparse(8, 8, 64), skipper("weights", window=4))
    assert operator.alternatives[0].breakdown["array"] == ceil(16 * expected_maximum(4, 0.25, 8)) + 14


def test_both_operands_multiply_their_densities():
    operator = mapped(sparse(8, 8, 64, "unstructured:0.5", "xw"), skipper("both"))
    assert operator.alternatives[0].breakdown["array"] == ceil(expected_maximum(64, 0.25, 8)) + 14
    assert operator.executed_macs == 8 * 8 * 16


def test_a_stationary_zero_keeps_its_cell():
    held = mapped(sparse(64, 8, 8), skipper("weights", dataflow="weight_stationary"))
    plain = mapped(sparse(64, 8, 8), systolic(8, 8, "weight_stationary", bandwidth=1e15))
    assert held.alternatives[0].breakdown["array"] == plain.alternatives[0].breakdown["array"]
    assert held.executed_macs == held.macs
    assert [note for item in held.alternatives for note in item.notes if "no multiplication is skipped" in note]
    streamed = mapped(sparse(64, 8, 8, which="x"), skipper("activations", dataflow="weight_stationary"))
    assert streamed.alternatives[0].breakdown["array"] == ceil(expected_maximum(64, 0.25, 8)) + 22


def test_dense_tensors_and_the_other_operand_gain_nothing():
    dense = mapped(gemm("g", 8, 8, 64), skipper("weights")).alternatives[0].breakdown["array"]
    other = mapped(sparse(8, 8, 64), skipper("activations")).alternatives[0]
    assert dense == other.breakdown["array"] == 64 + 14
    assert "`skipping.operand` is activations" in other.notes[0]
    assert not mapped(gemm("g", 8, 8, 64), skipper("weights")).alternatives[0].notes


def test_compressed_weights_move_what_their_format_stores():
    pair = sparse(64, 64, 64)
    operator = mapped(pair, skipper("weights"))
    assert min(moved(item)["w", "in"] for item in operator.alternatives) == pair[1]["w"].stored_bytes == 64 * 64 // 4 + 64 * 64 // 8


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 90), st.floats(0.05, 1.0), st.integers(1, 16), st.integers(0, 9), st.data())
def test_never_faster_than_the_mean_nor_slower_than_dense(m, n, k, density, lanes, window, data):
    dataflow = data.draw(st.sampled_from(["output_stationary", "weight_stationary", "input_stationary", "auto"]))
    pair = sparse(m, n, k, f"unstructured:{density:.3f}", "xw")
    operator = mapped(pair, skipper("both", lanes, window, dataflow, scratchpad=1 << 20))
    dense = mapped(pair, systolic(8, 8, dataflow, bandwidth=1e15, scratchpad=1 << 20))
    assert operator.alternatives[0].cycles_estimate <= dense.alternatives[0].cycles_estimate + dense.alternatives[0].stages[0].firings
    for alternative in operator.alternatives:
        assert alternative.breakdown["array"] * 64 >= operator.executed_macs
        assert sum(stage.cycles for stage in alternative.stages if stage.unit == "array") == alternative.breakdown["array"]


@pytest.mark.parametrize(
    ("text", "hardware", "leaves"),
    [
        ("gemm:96x128x512", "systolic-array", {"array.skipping.operand": "weights", "array.skipping.lanes": 32}),
        ("gemm:96x128x512", "systolic-array", {"array.skipping.operand": "both", "array.skipping.lanes": 1, "array.dataflow": "auto"}),
        ("conv:N1xC32xH14xW14,K32,R3,P1,G32", "systolic-array", {"array.depthwise": "diagonal", "array.dataflow": "auto"}),
        ("conv:N2xC16xH14xW14,K24,R3,P1", "eyeriss-v1", {}),
    ],
)
def test_the_roof_is_never_beaten(text, hardware, leaves):
    sparsity = "unstructured:0.2" if text.startswith("gemm") else None
    roof, tile = (cw.run(text, hardware, overrides=leaves, sparsity=sparsity, fidelity=rung) for rung in ("roofline", "tile"))
    assert roof.latency_s <= tile.latency_s


def test_leaves_of_the_spec():
    hardware = load_hardware(
        "systolic-array", {"array.skipping.operand": "weights", "array.skipping.lanes": 32, "array.skipping.window": 4}
    )
    assert hardware.units["array"].parameters["skipping.lanes"] == 32
