"""Training steps: the adjoint laws of their products on numbers, and counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hwspecs.vocabulary.errors import ModelError
from ilp.atomic import atomic_problem, least_capacity
from tests.workloads.nest_interpreter import play
from workloads import GraphBuilder, Role, counts, load_model
from workloads.zoo.training import with_gradients


def product(kind):
    """A ReLU (so that its output wants a gradient) and one product behind it."""
    builder = GraphBuilder("small", "fp32")
    if kind == "gemm":
        x = builder.elementwise("relu", (builder.input("image", (3, 5)),), "x")
        y = builder.gemm(x, builder.weight("w", (4, 5)), "y", transpose_b=True)
    else:
        x = builder.elementwise("relu", (builder.input("image", (2, 4, 7, 6)),), "x")
        groups, shape = {"conv": (1, (3, 4, 3, 3)), "grouped": (2, (6, 2, 3, 2)), "depthwise": (4, (4, 1, 3, 3))}[kind]
        y = builder.conv(x, builder.weight("w", shape), "y", strides=2, pads=1, groups=groups)
    builder.output(y)
    return with_gradients(builder.build(), "small")


@pytest.mark.parametrize("kind", ["gemm", "conv", "grouped", "depthwise"])
def test_gradients_of_products_are_adjoint(kind):
    """<g, y(x, w)> = <gradient of x, x> = <gradient of w, w>, because y is linear in each of the two."""
    graph = product(kind)
    graph.check()
    random = np.random.default_rng(0)
    arrays = {name: random.normal(size=graph.tensors[name].shape) for name in ("x", "w", "y.gradient")}
    nests = {node.outputs[0]: node.nests[0] for node in graph.nodes}

    def value(name):
        return play(nests[name], arrays, graph.tensors[name].shape)

    inner = np.sum(arrays["y.gradient"] * value("y"))
    assert np.sum(value("y.gradient0") * arrays["x"]) == pytest.approx(inner, rel=1e-9)
    assert np.sum(value("y.gradient1") * arrays["w"]) == pytest.approx(inner, rel=1e-9)


def test_chain_by_hand():
    """Per layer: convolution, ReLU; back: ReLU, gradient of the activation (not of the image), gradient of the weight."""
    graph = load_model("training-chain-16", format="int8", fuse=False)
    problem = atomic_problem(graph)
    image, macs = 64 * 56 * 56, 64 * 64 * 9 * 56 * 56
    assert len(problem.tasks) == 16 * 5 - 1
    assert counts(graph).macs == (3 * 16 - 1) * macs
    assert least_capacity(problem) == 3 * image
    users = {item.name: len(item.users) for item in problem.items}
    # an inner activation is read by the next convolution, by its own ReLU's gradient and by the gradient of the next weight
    assert [users[f"relu{layer}"] for layer in (0, 7, 14, 15)] == [3, 3, 3, 1]
    assert set(graph.outputs) == {"relu15", *(f"conv{layer}.gradient1" for layer in range(16))}


def test_every_weight_of_resnet_has_a_gradient():
    graph, forward = load_model("training-resnet18", fuse=False), load_model("resnet18", fuse=False)
    graph.check()
    trained = [
        name for name, tensor in forward.tensors.items() if tensor.role is Role.WEIGHT and "bn" not in name and "downsample.1" not in name
    ]
    shapes = sorted(graph.tensors[name].shape for name in graph.outputs if name not in forward.outputs)
    assert shapes == sorted(forward.tensors[name].shape for name in trained)
    first = next(operator for operator, _, _ in forward.walk() if operator.kind == "conv")
    assert counts(graph).macs == 3 * counts(forward).macs - first.macs
    assert counts(graph).parameters == counts(forward).parameters


def test_gradients_that_meet_are_summed():
    """A block's input has two readers: their gradients are added before they go on."""
    graph = load_model("training-resnet18", fuse=False)
    sums = [node for node in graph.nodes if node.outputs[0].endswith(".gradient") and node.kind == "elementwise"]
    assert len(sums) == 8
    assert all(len(node.inputs) == 2 for node in sums)


def test_what_has_no_gradient_is_named():
    builder = GraphBuilder("small", "fp32")
    builder.output(builder.softmax(builder.elementwise("relu", (builder.input("x", (2, 3)),), "y"), "probabilities"))
    with pytest.raises(ModelError, match="no gradient here") as caught:
        with_gradients(builder.build(), "small")
    assert caught.value.where == "probabilities"
