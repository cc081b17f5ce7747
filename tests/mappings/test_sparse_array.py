"""Sparse arrays: agreement with systolic arrays, hand-derived cycles, laws of N:M modes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilp import trivial_schedule
from mappings import map_graph
from mappings.compulsory import compulsory_reads
from mappings.promises import check_promises
from mappings.sparse_array.machine import shapes
from simulator import simulate
from simulator.roofline import compute_seconds
from tests.mappings.builders import conv, gemm, graph, mac, operand, systolic, tensor
from tests.mappings.training_parts import product, prune, sparse, update
from tests.naive import mac_pipeline
from workloads.graph import Operator, Role

FLOWS = ("output_stationary", "weight_stationary", "input_stationary", "auto")
WIDE = {"scratchpad": 1 << 40, "bandwidth": 1e15}
"""So much memory and bandwidth that nothing is cut into tiles."""


def array(rows=8, columns=8, dataflow="auto", *, modes="", latency=1, interleave=False, lanes=8, use="auto", feed=1e12, **rest):
    """The device of ``systolic`` with a sparse array of that size."""
    device = systolic(rows, columns, dataflow, formats=("fp16",), **rest)
    found = device.units["array"]
    parameters = {
        **found.parameters, "modes": modes, "mac_latency": latency, "interleave": interleave, "sparse_mode": use,
        "reduction.lanes": lanes, "reduction.cycles_per_value": 1,
    }  # fmt: skip
    dense = found.rates["fp16", "dense"]
    rates = {("fp16", "dense"): dense}
    for mode in modes.split():
        n, _, m = mode.partition(":")
        rates["fp16", mode] = dense * int(m) / int(n)
    units = {**device.units, "array": replace(found, kind="sparse_array", parameters=parameters, rates=rates)}
    memories = {**device.memories, "scratchpad": replace(device.memories["scratchpad"], bandwidth_bytes_per_s=feed)}
    return replace(device, units=units, memories=memories)


def mapped(pair, device):
    return map_graph(graph(pair), device).blocks[0].operators[0]


def played(net, device, fidelity="tile"):
    graph_of = map_graph(net, device)
    return simulate(graph_of, trivial_schedule(graph_of), fidelity=fidelity)


def busy(operator, unit="array"):
    return sum(stage.cycles for stage in operator.alternatives[0].stages if stage.unit == unit)


# -- the same array without sparsity is a systolic one ------------------------------------------------------------------------

sizes = st.integers(1, 90)
flows = st.sampled_from(FLOWS)


@given(sizes, sizes, sizes, st.integers(2, 16), st.integers(2, 16), st.sampled_from(FLOWS), st.sampled_from((2048, 16384, 1 << 20)))
@settings(max_examples=60, deadline=None)
def test_products_agree_with_a_systolic_array(m, n, k, rows, columns, dataflow, scratchpad):
    pair = gemm("fc", m, n, k, format="fp16")
    one = mapped(pair, array(rows, columns, dataflow, scratchpad=scratchpad))
    other = mapped(pair, systolic(rows, columns, dataflow, formats=("fp16",), scratchpad=scratchpad))
    assert [item.name for item in one.alternatives] == [item.name for item in other.alternatives]
    for here, there in zip(one.alternatives, other.alternatives, strict=True):
        assert (here.stages, here.edges, here.actions) == (there.stages, there.edges, there.actions)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(3, 20), st.sampled_from((1, 3)), st.sampled_from((1, 2)), st.sampled_from(FLOWS))
@settings(max_examples=30, deadline=None)
def test_convolutions_agree_with_a_systolic_array_cycle_for_cycle(c, o, h, f, stride, dataflow):
    net = graph(conv("conv", c=c, o=o, h=h, f=f, stride=stride, pad=f // 2, format="fp16"))
    assert played(net, array(dataflow=dataflow)).cycles == played(net, systolic(8, 8, dataflow, formats=("fp16",))).cycles


# -- the latency of a multiply-accumulate --------------------------------------------------------------------------------------


def test_sums_that_wait_and_sums_that_take_turns():
    pair = product(8, 32, 64)
    alone = mapped(pair, array(dataflow="output_stationary", latency=4, **WIDE))
    turns = mapped(pair, array(dataflow="output_stationary", latency=4, interleave=True, **WIDE))
    assert busy(alone) == 4 * (64 * 4 + 14)  # four folds, four cycles per step each, fill and drain of an 8 x 8 array
    assert busy(turns) == 64 * 4 + 14 + 3  # all four at once, and the last of them starts three cycles after the first


def test_rows_that_pass_sums_down_take_the_latency_each():
    stays = mapped(product(100, 8, 8), array(dataflow="weight_stationary", latency=4, **WIDE))
    assert busy(stays) == 100 + 8 + 8 * 4 + 8 - 2


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_a_step_lasts_as_the_pipeline_does(steps, sums, latency):
    """``steps`` L cycles and one more for each further sum, where as many sums as L or fewer take turns."""
    if sums <= latency:
        assert mac_pipeline.cycles(steps, sums, latency) == steps * latency + sums - 1


@given(sizes, sizes, sizes, st.integers(1, 6), st.sampled_from(("output_stationary", "weight_stationary", "auto")))
@settings(max_examples=40, deadline=None)
def test_taking_turns_never_makes_an_array_slower(m, n, k, latency, dataflow):
    pair = product(m, n, k)
    slow = mapped(pair, array(dataflow=dataflow, latency=latency))
    fast = mapped(pair, array(dataflow=dataflow, latency=latency, interleave=True))
    assert fast.alternatives[0].cycles_estimate <= slow.alternatives[0].cycles_estimate


def test_sums_lie_along_rows_or_columns():
    assert shapes(4, True) == ((1, 1), (1, 4), (2, 2), (4, 1))
    assert shapes(4, False) == shapes(1, True)[:1] == ((1, 1),)


# -- N:M modes -----------------------------------------------------------------------------------------------------------------


def test_a_reduction_takes_its_kept_values():
    one = mapped(product(8, 8, 64, "2:8"), array(dataflow="output_stationary", modes="2:8", **WIDE))
    assert (busy(one), one.pattern, one.executed_macs) == (16 + 14, "2:8", 8 * 8 * 16)


def test_rows_hold_the_kept_weights():
    one = mapped(product(100, 8, 64, "2:8"), array(dataflow="weight_stationary", modes="2:8", **WIDE))
    assert busy(one) == 2 * (100 + 22)  # 8 rows hold 32 points of k
    dense = mapped(product(100, 8, 64), array(dataflow="weight_stationary", modes="2:8", **WIDE))
    assert busy(dense) == 8 * (100 + 22)


def test_values_of_a_group_are_delivered_whole():
    """At 2:8 the eight rows ask for 8 x 4 values of 2 bytes per step, the columns for 8 kept values of 2 bytes and 3 bits."""
    pair = product(8, 8, 640, "2:8")
    fed = mapped(pair, array(dataflow="output_stationary", modes="2:8", **WIDE, feed=83e9, use="always"))
    starved = mapped(pair, array(dataflow="output_stationary", modes="2:8", **WIDE, feed=41.5e9, use="always"))
    assert busy(fed) == 160 + 14
    assert busy(starved) == 2 * 160 + 14
    dense = mapped(product(8, 8, 640), array(dataflow="output_stationary", modes="2:8", **WIDE, feed=1e9))
    assert busy(dense) == 640 + 14  # the edges are built for dense operands


def test_the_last_group_is_padded_and_said_so():
    one = mapped(product(8, 8, 60, "2:8"), array(dataflow="output_stationary", modes="2:8", **WIDE, use="always"))
    assert busy(one) == 8 * 2 + 14
    assert "padded" in one.alternatives[0].notes[0]


def test_groups_may_go_on_over_the_taps():
    """6 channels of 3 x 4 taps: 8 divides the 72 reduced values, not the channels; nothing is padded."""
    nest = mac(
        {"p": 8, "o": 8, "c": 6, "r": 12}, operand("x", "p", "c", "r"), operand("w", "o", "c", "r"), operand("y", "p", "o")
    )  # fmt: skip
    tensors = {
        "x": tensor("x", 8, 6, 12, format="fp16"),
        "w": tensor("w", 8, 6, 12, format="fp16", role=Role.WEIGHT, sparsity=sparse("2:8", 1)),
        "y": tensor("y", 8, 8, format="fp16"),
    }
    one = mapped((Operator("taps", "conv", ("x", "w"), ("y",), (nest,)), tensors), array(dataflow="output_stationary", modes="2:8", **WIDE))
    assert busy(one) == 72 // 4 + 14
    assert one.alternatives[0].notes == ()


@pytest.mark.parametrize(
    ("pair", "modes", "reason"),
    [
        (product(64, 64, 64, "2:8", along=1), "2:8", "do not lie along the reduction"),
        (product(64, 64, 64, "3:8"), "2:8", "no mode of the array holds them (it has 2:8)"),
        (product(64, 64, 64, "unstructured:0.5"), "2:8", "N:M patterns only"),
    ],
)
def test_what_cannot_run_sparse_runs_dense_with_a_note(pair, modes, reason):
    one = mapped(pair, array(modes=modes))
    assert one.pattern == "dense"
    assert one.executed_macs == one.macs
    assert reason in one.alternatives[0].notes[0]


def test_a_pattern_runs_in_the_narrowest_mode_that_holds_it():
    assert mapped(product(64, 64, 64, "1:4"), array(modes="2:4 2:8 4:8")).pattern == "2:8"
    assert mapped(product(64, 64, 64, "1:8"), array(modes="2:4 2:8")).pattern == "2:8"


def test_gradients_may_be_the_sparse_operand():
    """dX = dY W^T with dY kept 2:8 along the reduction: the first operand is sparse."""
    operator, tensors = product(64, 64, 64)
    tensors["x"] = replace(tensors["x"], sparsity=sparse("2:8", 1))
    one = mapped((operator, tensors), array(modes="2:8"))
    assert (one.pattern, one.executed_macs) == ("2:8", one.macs // 4)


eighths = st.integers(1, 12).map(lambda groups: 8 * groups)


@given(sizes, sizes, eighths, st.integers(1, 8), st.sampled_from(("output_stationary", "weight_stationary", "auto")), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_fewer_kept_values_are_never_slower_and_auto_includes_dense(m, n, k, kept, dataflow, latency):
    modes = " ".join(f"{number}:8" for number in range(1, 9))
    device = array(dataflow=dataflow, modes=modes, latency=latency, interleave=True, feed=30e9)
    fewer, more = (mapped(product(m, n, k, f"{number}:8"), device).alternatives[0] for number in (kept, min(8, kept + 1)))
    dense = mapped(product(m, n, k), device).alternatives[0]
    slack = 1.05 * dense.cycles_estimate + 2  # candidates are ranked by cycles and a little of their traffic
    assert fewer.cycles_estimate <= 1.05 * more.cycles_estimate + 2
    assert kept == 8 or fewer.cycles_estimate <= slack


@given(
    sizes,
    sizes,
    st.integers(1, 20).map(lambda groups: 4 * groups),
    st.sampled_from(("output_stationary", "weight_stationary")),
    st.integers(1, 4),
)
@settings(max_examples=40, deadline=None)
def test_all_values_kept_is_dense_plus_its_index(m, n, k, dataflow, latency):
    device = array(dataflow=dataflow, modes="4:4", use="always", latency=latency, interleave=True, **WIDE)
    full, dense = mapped(product(m, n, k, "4:4"), device), mapped(product(m, n, k), device)
    assert busy(full) == busy(dense)
    assert full.reads["w"] - dense.reads["w"] == -(-k * n * 2 // 8)  # two bits say which of four


@given(
    sizes, sizes, sizes, st.sampled_from(("dense", "1:8", "2:8", "8:8", "2:4")), st.integers(1, 5), st.booleans(), st.sampled_from(FLOWS)
)
@settings(max_examples=60, deadline=None)
def test_promises_hold_and_no_rung_beats_the_roofline(m, n, k, pattern, latency, interleave, dataflow):
    device = array(dataflow=dataflow, modes="1:8 2:8 8:8 2:4", latency=latency, interleave=interleave, feed=50e9)
    operator, tensors = product(m, n, k, pattern)
    one = mapped((operator, tensors), device)
    check_promises(one, operator, tensors, "sparse_array", device)
    assert one.reads == compulsory_reads(operator, tensors)
    net = graph((operator, tensors))
    assert played(net, device, "roofline").latency_s <= played(net, device).latency_s
    assert max(compute_seconds(one, device).values()) <= busy(one) / device.clock_hz * (1 + 1e-9)


@given(sizes, sizes, st.integers(1, 200), st.sampled_from(("dense", "2:8", "2:4")), st.sampled_from((2048, 8192, 1 << 20)))
@settings(max_examples=40, deadline=None)
def test_tiles_cover_the_nest_once(m, n, k, pattern, scratchpad):
    """Stored bytes of every operand move as often as tiles reload them, and all results leave once."""
    operator, tensors = product(m, n, k, pattern)
    one = mapped((operator, tensors), array(modes="2:8 2:4", scratchpad=scratchpad))
    for alternative in one.alternatives:
        stored = sum(
            segment.repeat * move.bytes
            for stage in alternative.stages
            for segment in stage.segments
            for move in segment.transfers
            if move.tensor == "y"
        )
        assert stored == tensors["y"].stored_bytes
        assert alternative.actions["array.mac.fp16"] == pytest.approx(one.macs * one.executed_macs / one.macs, abs=1)


# -- making copies --------------------------------------------------------------------------------------------------------------


def test_sorting_takes_a_cycle_per_value_and_lane():
    one = mapped(prune(64, 48, "2:8"), array(lanes=8))
    assert busy(one, "array.reduction") == 64 * 48 // 8
    padded = mapped(prune(60, 48, "2:8"), array(lanes=8))
    assert busy(padded, "array.reduction") == 64 * 48 // 8  # the last group of each column is as long as a full one


def step(batch, *, ahead=None, n=256, k=256):
    """Cycles of a forward product, dense (None), or on a copy made on line (False) or while the weights are updated (True)."""
    device = array(16, 16, modes="2:8", lanes=4, scratchpad=1 << 20, bandwidth=64e9, interleave=True)
    if ahead is None:
        net = graph(product(batch, n, k), update(k, n))
    elif ahead:
        net = graph(product(batch, n, k, "2:8", w="w.ff"), update(k, n), prune(k, n, "2:8", source="w.new", out="w.next", ahead=True))
    else:
        net = graph(prune(k, n, "2:8"), product(batch, n, k, "2:8", w="w.ff"), update(k, n))
    net = replace(net, outputs=(*net.outputs, "w.new", *(["w.next"] if ahead else [])))
    return played(net, device)


def test_copies_made_on_line_can_cost_more_than_they_save():
    assert step(16, ahead=False).cycles > step(16).cycles  # a small batch: sorting takes longer than the product saves
    assert step(2048, ahead=False).cycles < step(2048).cycles


def test_copies_made_ahead_hide_behind_the_update():
    assert step(16, ahead=True).cycles < step(16, ahead=False).cycles
    joined = next(row for row in step(16, ahead=True).operators if row.members)
    assert joined.members == ("w.update", "w.next.prune")
    assert joined.training_pass == "update"
    assert joined.breakdown["reduction"] == 256 * 256 // 4


def test_copies_far_from_their_update_join_it_too():
    parts = (
        update(64, 64),
        product(64, 64, 64, name="other", x="p", w="q", y="r"),
        prune(64, 64, "2:8", source="w.new", out="w.bp", ahead=True),
    )
    net = graph(*parts, outputs=("r", "w.bp"))
    operators = map_graph(net, array(modes="2:8")).blocks[0].operators
    assert [len(item.members) for item in operators] == [2, 0]


def test_training_passes_reach_the_result():
    result = step(16, ahead=False)
    assert {row.name: row.training_pass for row in result.operators} == {"w.ff.prune": "FF", "fc": "", "w.update": "update"}
