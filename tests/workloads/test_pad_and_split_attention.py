"""Movement of the builder and the two passes that write out what graphs usually hide, played point by point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import ArgumentError
from tests.workloads.nest_interpreter import play
from workloads import counts, load_model
from workloads.builder import GraphBuilder
from workloads.passes import explicit_padding, fuse_attention, split_attention

LIGHT = settings(max_examples=40, deadline=None)


def last(builder):
    return builder.build(check=True).nodes[-1]


@LIGHT
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(1, 2), st.integers(0, 2)), min_size=1, max_size=3))
def test_slice_is_numpys(parts):
    """Per axis: start, size, step, what is left behind it."""
    shape = tuple(start + (size - 1) * step + 1 + rest for start, size, step, rest in parts)
    x = np.arange(np.prod(shape), dtype=float).reshape(shape)
    builder = GraphBuilder("t", "int8")
    builder.input("x", shape)
    starts, sizes, steps = ([part[i] for part in parts] for i in range(3))
    builder.slice("x", "y", starts, sizes, steps=steps)
    index = tuple(slice(start, start + (size - 1) * step + 1, step) for start, size, step, _ in parts)
    np.testing.assert_array_equal(play(last(builder).nests[0], {"x": x}, tuple(sizes)), x[index])
    assert last(builder).read_bytes == {"x": int(np.prod(sizes))}


@LIGHT
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=3))
def test_pad_is_numpys(parts):
    shape, pads = tuple(part[0] for part in parts), [part[1:] for part in parts]
    x = np.arange(1, np.prod(shape) + 1, dtype=float).reshape(shape)
    builder = GraphBuilder("t", "int8")
    builder.input("x", shape)
    builder.pad("x", "y", pads)
    expected = np.pad(x, pads)
    assert builder["y"].shape == expected.shape
    np.testing.assert_array_equal(play(last(builder).nests[0], {"x": x}, expected.shape), expected)


def test_parts_outside_are_refused():
    builder = GraphBuilder("t")
    builder.input("x", (4, 4))
    with pytest.raises(ArgumentError, match="outside"):
        builder.slice("x", "y", (0, 2), (4, 3))
    with pytest.raises(ArgumentError, match="add up"):
        builder.split("x", ("a", "b"), 1, (1, 2))


def test_interpolation_counts_its_taps():
    builder = GraphBuilder("t", "int8")
    builder.input("x", (1, 3, 4, 4))
    builder.resize("x", "linear", (1, 3, 8, 8))
    builder.resize("x", "rows", (1, 3, 8, 4))
    builder.resize("x", "nearest", (1, 3, 8, 8), mode="nearest")
    ops = {node.name: (node.kind, node.vector_ops) for node in builder.build(check=True).nodes}
    assert ops == {"linear": ("elementwise", 192 * 8), "rows": ("elementwise", 96 * 4), "nearest": ("copy", 0)}


@st.composite
def windows(draw):
    rank = draw(st.integers(1, 2))
    return {
        "sizes": [draw(st.integers(3, 6)) for _ in range(rank)], "window": [draw(st.integers(1, 3)) for _ in range(rank)],
        "strides": [draw(st.integers(1, 3)) for _ in range(rank)], "pad": draw(st.integers(0, 2)), "groups": draw(st.integers(1, 2)),
        "strided_only": draw(st.booleans()),
    }  # fmt: skip


@LIGHT
@given(windows(), st.integers(0, 99))
def test_padded_convolutions_compute_the_same(case, seed):
    rng = np.random.default_rng(seed)
    rank, groups = len(case["sizes"]), case["groups"]
    x = rng.integers(-3, 4, (1, 2, *case["sizes"])).astype(float)
    w = rng.integers(-3, 4, (2, 2 // groups, *case["window"])).astype(float)
    builder = GraphBuilder("t")
    builder.input("x", x.shape)
    builder.weight("w", w.shape)
    builder.output(builder.conv("x", "w", "y", strides=case["strides"], pads=((case["pad"],) * 2,) * rank, groups=groups))
    graph = builder.build()
    padded = explicit_padding(graph, strided_only=case["strided_only"])
    padded.check()
    shape = graph.tensors["y"].shape
    before = play(graph.nodes[0].nests[0], {"x": x, "w": w}, shape)
    arrays = {"x": x, "w": w}
    for node in padded.nodes:
        arrays[node.outputs[0]] = play(node.nests[0], arrays, padded.tensors[node.outputs[0]].shape)
    np.testing.assert_array_equal(arrays["y"], before)
    if len(padded.nodes) == 2:
        index = np.array(padded.tensors["y.pad"].shape) - np.array(x.shape)
        assert max(index) >= 1
    elif not case["strided_only"]:
        # nothing was padded because nothing beyond the edge is read
        assert explicit_padding(graph, strided_only=True) is graph


def test_only_windows_with_a_stride_are_padded():
    graph = load_model("resnet50", fuse=False)
    added = [node for node in explicit_padding(graph).nodes if node.origin == "explicit_padding"]
    assert [node.name for node in added] == ["conv1.pad", "maxpool.pad", "layer2.0.conv2.pad", "layer3.0.conv2.pad", "layer4.0.conv2.pad"]
    assert len(explicit_padding(graph, strided_only=False).nodes) == len(graph.nodes) + 5 + 13  # and the other 3x3 convolutions


@pytest.mark.parametrize(("name", "layers"), [("vit-b-16", 12), ("transformer-base", 18), ("gpt2-small", 12)])
def test_attention_in_three_operators(name, layers):
    graph = load_model(name, fuse=False)
    split = split_attention(graph)
    split.check()
    ours, theirs = counts(split), counts(graph)
    assert (ours.macs, ours.vector_ops, ours.parameters) == (theirs.macs, theirs.vector_ops, theirs.parameters)
    assert ours.operators == theirs.operators + 2 * layers
    assert not any(node.kind == "attention" for node, _, _ in split.walk())
    # recognizing attention brings it back
    again = fuse_attention(split)
    assert counts(again).operators == theirs.operators
