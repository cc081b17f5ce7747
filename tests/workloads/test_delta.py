"""Delta activations: values from frame to frame, densities by layer, and what the states add."""

from __future__ import annotations

import numpy as np
import pytest

from hwspecs.vocabulary.errors import ArgumentError, ErrorList, UnknownNameError
from tests.workloads.stream_player import run as play
from tests.workloads.stream_player import stream_through
from workloads import counts, load_model
from workloads.builder import GraphBuilder
from workloads.graph import OperatorGraph, Repeat, Role
from workloads.passes import delta, fuse


def network() -> OperatorGraph:
    """Two convolutions with biases and ReLUs over (1, 3, 6), and a shortcut."""
    builder = GraphBuilder("net", "int8")
    x = builder.input("x", (1, 3, 6))
    y = builder.conv(x, builder.weight("w1", (3, 3, 3)), "a", bias=builder.weight("w1b", (3,)), pads=1)
    y = builder.elementwise("relu", (y,), "a.relu")
    y = builder.conv(y, builder.weight("w2", (3, 3, 3)), "b", pads=1)
    builder.output(builder.elementwise("relu", (builder.elementwise("add", (y, x), "sum"),), "out"))
    return builder.build(check=True)


@pytest.mark.parametrize("fused", [False, True])
def test_sums_and_changes_are_the_frame(fused):
    """Changes added to the last sums give what the whole frame gives, frame after frame (nothing dropped as small)."""
    graph = fuse(network()) if fused else network()
    changed = delta(graph, 0.5)
    changed.check()
    random = np.random.default_rng(11)
    weights = {name: random.normal(size=graph.tensors[name].shape) for name in ("w1", "w1b", "w2")}
    frames = random.normal(size=(1, 3, 5 * 6))
    found = stream_through(changed, weights, frames, "x", 2)
    for number, values in enumerate(found):
        expected = play(graph, {**weights, "x": frames[:, :, 6 * number : 6 * number + 6]})
        np.testing.assert_allclose(values, expected[graph.outputs[0]], atol=1e-9)


def test_states_and_work_by_hand():
    """Per layer: the last input (18 int8 values) and the sums (18 int32 values): 2 x (18 + 72) bytes; work is density x MACs."""
    graph = network()
    changed = delta(graph, {"a": 0.5, "b": 0.25})
    assert counts(graph).macs == counts(changed).macs == 2 * 6 * 27
    assert counts(changed).executed_macs == 6 * 27 // 2 + round(6 * 27 * 5 / 18)  # 18 values at 0.25 keep 5
    assert counts(changed).state_bytes == 2 * (18 + 72)
    assert counts(changed).vector_ops == counts(graph).vector_ops + 2 * (3 * 18 + 18)
    last, sums = changed.tensors["x.delta.last_new"], changed.tensors["a.sums_new"]
    assert (last.role, last.alias_of, last.region_bytes) == (Role.STATE, "x.delta.last", 9)
    assert (sums.role, sums.alias_of, sums.region_bytes) == (Role.STATE, "a.sums", 72)
    assert changed.tensors["x.delta"].sparsity.density == 0.5


def test_a_later_rule_goes_before_and_density_one_leaves_a_layer_alone(tmp_path):
    file = tmp_path / "delta.yaml"
    file.write_text("'*': 0.5\n'layer1.*': 0.25\nfc: 1\n")
    graph = load_model("resnet50", format="int8")
    changed = delta(graph, str(file))
    changed.check()
    densities = {
        operator.name: changed.tensors[operator.nests[0].reads[0].tensor].sparsity.density
        for operator, _, _ in changed.walk()
        if operator.macs
    }
    assert densities["conv1"] == 0.5
    assert densities["layer1.0.conv2"] == 0.25
    assert densities["fc"] == 1.0
    assert delta(graph, 1.0).tensors == graph.tensors


def test_one_change_serves_all_layers_of_one_density():
    changed = delta(load_model("resnet50", format="int8"), 0.2)
    makers = [operator.name for operator, _, _ in changed.walk() if operator.attributes.get("function") == "delta"]
    assert len(makers) == len(set(makers)) == 54 - 4  # each of the four shortcut convolutions reads what a first convolution reads


def test_transformers_keep_their_repeat():
    graph = load_model("bert-base", tokens=16, format="int8")
    changed = delta(graph, 0.1)
    changed.check()
    assert [type(node) for node in changed.nodes if isinstance(node, Repeat)] == [Repeat]
    attention = 12 * 2 * 16 * 16 * 768
    linear = counts(graph).macs - attention
    assert counts(changed).executed_macs == pytest.approx(attention + linear / 10, rel=1e-3)


def test_unknown_layers_are_refused_with_the_nearest_name(tmp_path):
    file = tmp_path / "delta.yaml"
    file.write_text("convl: 0.3\nlayer9.*: 0.2\nfc: 0.1\n")
    graph = load_model("resnet50", format="int8")
    with pytest.raises(ErrorList) as caught:
        delta(graph, str(file))
    first, second = caught.value.errors
    assert f"{file}:1:" in str(first)
    assert "did you mean conv1" in str(first)
    assert f"{file}:2:" in str(second)
    with pytest.raises(UnknownNameError, match="did you mean fc"):
        delta(graph, {"fcc": 0.3})


@pytest.mark.parametrize("given", [0.0, 1.5, -1, "much", "", True, float("nan"), {"conv1": 0}])
def test_what_is_no_density_is_refused(given):
    with pytest.raises(ArgumentError) as caught:
        delta(network(), given)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["- 0.3\n", "a: x\nb: 2\n", "a: [1]\n", "{}\n"])
def test_faulty_files_are_refused_with_their_place(tmp_path, text):
    file = tmp_path / "delta.yaml"
    file.write_text(text)
    with pytest.raises((ArgumentError, ErrorList)) as caught:
        delta(network(), str(file))
    assert f"{file}:1:" in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises((ArgumentError, ErrorList)):
        delta(network(), str(tmp_path / "none.yaml"))
