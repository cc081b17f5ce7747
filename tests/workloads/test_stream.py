"""Streaming: values of a step against the whole window and the whole signal, work and ring bytes against formulas."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import ArgumentError, UnsupportedError
from tests.workloads.stream_player import run, stream_through
from workloads import counts, load_model
from workloads.builder import GraphBuilder
from workloads.graph import Operator, OperatorGraph
from workloads.nests import axis, plain_axes
from workloads.passes import delta, fuse, quantize, stream
from workloads.passes.stream import parse_streaming

CHANNELS = 2


def network(length: int, layers: list[tuple[int, int, int, bool]], padding: str) -> OperatorGraph:
    """Convolutions (window, stride, dilation, whether a shortcut goes around it) over (1, 2, length)."""
    builder = GraphBuilder("net", "int8")
    x = builder.input("x", (1, CHANNELS, length))
    for number, (window, stride, dilation, around) in enumerate(layers):
        reach = (window - 1) * dilation
        pads = {"valid": (0, 0), "causal": (reach, 0), "same": (reach // 2, reach - reach // 2)}[padding]
        weight = builder.weight(f"w{number}", (CHANNELS, CHANNELS, window))
        y = builder.conv(x, weight, f"conv{number}", strides=stride, pads=[pads], dilations=dilation)
        if around and stride == 1:
            size = builder[y].shape[2]
            offset = reach if padding == "valid" else 0
            axes = (*plain_axes(("d0", "d1")), axis(("d2", 1), offset=offset))
            cropped = builder.copy(x, f"crop{number}", (1, CHANNELS, size), axes) if offset else x
            y = builder.elementwise("add", (y, cropped), f"sum{number}")
        x = builder.elementwise("relu", (y,), f"relu{number}")
    builder.output(x)
    return builder.build(check=True)


def weights_of(graph: OperatorGraph) -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    return {name: random.normal(size=graph.tensors[name].shape) for name in graph.tensors if name.startswith("w")}


LAYERS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(1, 3), st.booleans()), min_size=1, max_size=3)


def sizes(layers, hops: int, windows: int) -> tuple[int, int, int]:
    """(stride of the network, a hop, a window that all layers fit)."""
    stride = prod(layer[1] for layer in layers)
    reach = sum((window - 1) * dilation for window, _, dilation, _ in layers) * stride
    hop = hops * stride
    return stride, hop, stride * -(-(reach + 1 + windows * stride + hop) // stride)


@settings(max_examples=40)
@given(LAYERS, st.integers(1, 3), st.integers(0, 4), st.integers(0, 1), st.booleans())
def test_a_step_makes_the_last_frames_of_the_window(layers, hops, windows, odd, fused):
    """Without padding, what a step gives are the newest outputs of the model on the window that ends there."""
    _, hop, window = sizes(layers, hops, windows)
    window += odd
    graph = network(window, layers, "valid")
    whole = fuse(graph) if fused else graph
    step = stream(whole, f"window={window},hop={hop}")
    step.check()
    weights = weights_of(graph)
    signal = np.random.default_rng(3).normal(size=(1, CHANNELS, window + 3 * hop))
    for number, found in enumerate(stream_through(step, weights, signal, "x", 2)):
        end = (number + 1) * hop
        if end >= window:
            expected = run(graph, {**weights, "x": signal[:, :, end - window : end]})[graph.outputs[0]]
            np.testing.assert_allclose(found, expected[:, :, -found.shape[2] :], atol=1e-9)


@settings(max_examples=25)
@given(LAYERS, st.integers(1, 2), st.sampled_from(["same", "causal"]))
def test_steps_continue_the_whole_signal_where_windows_were_padded(layers, hops, padding):
    """With padding, steps are the model on the whole signal, late by as many frames as its layers look ahead."""
    stride, hop, window = sizes(layers, hops, 2)
    graph = network(window, layers, padding)
    step = stream(graph, f"hop={hop}")
    weights = weights_of(graph)
    length = -(-6 * window // hop) * hop
    signal = np.random.default_rng(5).normal(size=(1, CHANNELS, length))
    expected = run(network(length, layers, padding), {**weights, "x": signal})[graph.outputs[0]]
    found = np.concatenate(stream_through(step, weights, signal, "x", 2), 2)
    note = next(text for text in step.notes if text.startswith("stream"))
    late = int(note.split("come ")[1].split()[0]) // stride if "late" in note else 0
    edge = 2 * window // stride
    assert (late == 0) or padding == "same"
    np.testing.assert_allclose(found[:, :, edge + late : -edge], expected[:, :, edge : found.shape[2] - edge - late], atol=1e-9)


@settings(max_examples=60)
@given(LAYERS, st.integers(1, 3), st.integers(0, 4), st.integers(1, 4))
def test_a_window_and_its_steps_are_the_work_of_the_whole_signal(layers, hops, windows, steps):
    """MACs of the first window plus those of the steps are the MACs of one run over the signal (no padding)."""
    _, hop, window = sizes(layers, hops, windows)
    first = counts(network(window, layers, "valid")).macs
    each = counts(stream(network(window, layers, "valid"), f"hop={hop}")).macs
    assert first + steps * each == counts(network(window + steps * hop, layers, "valid")).macs
    assert each <= first


@settings(max_examples=40)
@given(LAYERS, st.sampled_from(["valid", "causal", "same"]), st.integers(1, 12))
def test_no_hop_costs_more_than_the_window(layers, padding, hops):
    stride, _, window = sizes(layers, 1, 1)
    graph = network(window, layers, padding)
    try:
        step = stream(graph, f"hop={min(hops * stride, window)}")
    except UnsupportedError:  # valid layers shorten the window, so that a late stride may meet all of an odd number of frames or none
        return
    assert counts(step).macs <= counts(graph).macs
    assert counts(step).weight_bytes == counts(graph).weight_bytes


def test_causal_stack_by_hand():
    """Three causal convolutions of 3 taps, dilations 1, 2, 4, 64 channels in int8, 32 frames, hop 2.

    MACs: 3 layers x 2 frames x 64 x 64 x 3 = 73,728 instead of 16 times that. Rings: (taps - 1) dilation rows of 64 bytes:
    2 + 4 + 8 = 14 rows, 896 bytes.
    """
    builder = GraphBuilder("tcn", "int8")
    x = builder.input("x", (1, 64, 32))
    for number, dilation in enumerate((1, 2, 4)):
        weight = builder.weight(f"w{number}", (64, 64, 3))
        x = builder.conv(x, weight, f"c{number}", pads=[(2 * dilation, 0)], dilations=dilation)
    builder.output(x)
    graph = builder.build()
    step = stream(graph, "window=32,hop=2")
    assert counts(graph).macs == 16 * 73_728
    assert counts(step).macs == 73_728
    assert counts(step).state_bytes == 896
    assert [step.tensors[f"{name}.ring"].shape for name in ("x", "c0", "c1")] == [(1, 64, 2), (1, 64, 4), (1, 64, 8)]
    for name, rows in (("x", 2), ("c0", 2), ("c1", 2)):
        assert step.tensors[f"{name}.span"].alias_of == f"{name}.ring"
        assert step.tensors[f"{name}.span"].region_bytes == rows * 64
    assert step.tensors[step.outputs[0]].shape == (1, 64, 2)


def test_a_hop_longer_than_the_ring_keeps_the_ring_alone():
    """Hop 8, 3 taps: 2 rows are kept, not 8: the ring's new rows are the last 2 of the 8."""
    step = stream(network(16, [(3, 1, 1, False)], "causal"), "hop=8")
    assert step.tensors["x.ring"].shape == (1, CHANNELS, 2)
    assert step.tensors["x.ring_new"].region_bytes == 2 * CHANNELS
    assert counts(step).state_bytes == 2 * CHANNELS


def test_strides_take_rows_off_the_ring():
    """5 taps with stride 2: 5 - 2 = 3 rows (the phase of a window of 15 is the ring's own)."""
    step = stream(network(15, [(5, 2, 1, False)], "valid"), "hop=2")
    assert step.tensors["x.ring"].shape[2] == 3
    assert counts(step).macs == CHANNELS * CHANNELS * 5


def test_video_keeps_rows_of_whole_frames():
    """A 3-D convolution of 3 frames keeps two frames: 2 x 4 channels x 6 x 6 values."""
    builder = GraphBuilder("video", "int8")
    builder.input("x", (1, 4, 8, 6, 6))
    builder.conv("x", builder.weight("w", (8, 4, 3, 3, 3)), "y", pads=[(2, 0), (1, 1), (1, 1)])
    builder.pool("y", "z", "max", window=(1, 2, 2), strides=(1, 2, 2))
    builder.output("z")
    step = stream(builder.build(), "hop=1")
    step.check()
    assert counts(step).state_bytes == 2 * 4 * 36
    assert counts(step).macs * 8 == counts(builder.build()).macs
    assert step.tensors["z"].shape == (1, 8, 1, 3, 3)


def test_pooling_over_the_window_reads_a_ring_and_what_follows_runs_whole():
    graph = load_model("tc-resnet8", format="int8")
    step = stream(graph, "hop=8")
    step.check()
    ring = step.tensors["block3.relu.ring"]
    assert ring.shape == (1, 48, 13 - 1)  # 13 frames behind three strides of 2, one of them new
    work = {operator.name: operator.macs for operator, _, _ in step.walk()}
    assert work["fc"] == 48 * 12
    assert work["conv0"] == 8 * 16 * 40 * 3
    assert work["block3.conv2"] == 48 * 48 * 9


def test_repeats_stay_folded():
    body = GraphBuilder("layer", "int8")
    body.input("h", (1, 8, 16))
    y = body.conv("h", body.weight("w", (8, 8, 3)), "y", pads=[(2, 0)])
    body.output(body.elementwise("add", (y, "h"), "z"))
    builder = GraphBuilder("deep", "int8")
    builder.input("x", (1, 8, 16))
    builder.repeat("layers", body.build(), 5, carried=(("z", "h"),), inputs={"h": "x"}, outputs={"z": "out"})
    builder.output("out")
    graph = builder.build()
    step = stream(graph, "hop=4")
    step.check()
    assert len(step.nodes) == 1
    assert counts(step).macs * 4 == counts(graph).macs
    assert counts(step).state_bytes == 5 * 2 * 8


def test_streams_compose_with_the_other_passes():
    graph = load_model("tc-resnet8")
    step = delta(stream(quantize(graph, "int8"), "hop=8"), 0.25)
    step.check()
    assert counts(step).macs == counts(stream(graph, "hop=8")).macs
    assert counts(step).executed_macs < counts(step).macs


def mixing(kind: str) -> tuple[OperatorGraph, str]:
    builder = GraphBuilder("t", "int8")
    builder.input("x", (1, 8, 16))
    if kind == "softmax":
        builder.softmax("x", "mix", axis=2)
    elif kind == "flatten":
        builder.view("x", "mix", (1, 128))
    elif kind == "transposed":
        builder.conv("x", builder.weight("w", (8, 8, 4)), "mix", strides=2, transposed=True)
    elif kind == "concat":
        builder.concat(("x", "x"), "mix", 2)
    elif kind == "positions":
        builder.elementwise("add", ("x", builder.weight("w", (1, 8, 16))), "mix")
    elif kind == "groupnorm":
        builder.norm("groupnorm", "x", "mix")
    else:
        builder.attention("x", "x", "x", "mix", batch=1, heads=1, kv_heads=1, queries=8, keys=8, head_dim=16)
    builder.output("mix")
    return builder.build(), "mix"


@pytest.mark.parametrize("kind", ["softmax", "flatten", "transposed", "concat", "positions", "groupnorm", "attention"])
def test_what_mixes_times_is_refused_by_name(kind):
    graph, name = mixing(kind)
    with pytest.raises(UnsupportedError) as caught:
        stream(graph, "hop=4")
    assert caught.value.where == name
    assert caught.value.hint


def test_a_hop_that_a_stride_does_not_divide_is_refused():
    with pytest.raises(UnsupportedError, match="steps over 2 frames at a time, but 3 arrive") as caught:
        stream(network(16, [(3, 2, 1, False)], "same"), "hop=3")
    assert caught.value.where == "conv0"


@pytest.mark.parametrize(
    "text", ["", "4", "hop", "hop=0", "hop=17", "window=8,hop=4", "hop=4,hop=4", "hup=4", "window=16", "hop=4,axis=3", "hop=-1"]
)
def test_unreadable_streams(text):
    with pytest.raises(ArgumentError) as caught:
        stream(network(16, [(3, 1, 1, False)], "same"), text)
    assert caught.value.hint


def test_reading_a_stream():
    assert (parse_streaming("window=16, hop=4").window, parse_streaming("hop=4").axis) == (16, 2)
    assert all(isinstance(node, Operator) for node in stream(network(16, [(3, 1, 1, False)], "same"), "hop=4").nodes)
