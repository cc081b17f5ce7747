"""LSTMs with one matrix per step: counts by hand, weights shared by steps, the arithmetic of a step."""

from __future__ import annotations

import numpy as np
import pytest

from workloads import counts, list_models, load_model
from workloads.graph import Repeat
from workloads.zoo.lstmp import SEQUENCES, Layer, steps_of

HAND = {  # name: (steps, MACs of a step, MACs outside the steps, parameters), worked out from the papers' sizes
    "lstm-kws": (49, (40 + 32) * 128, 32 * 12, 72 * 128 + 32 * 12 + 12),
    "lstm-ptb-char": (128, 633 * 8064 + 2016 * 504 + 504 * 50, 0, 50 * 128 + 633 * 8064 + 2016 * 504 + 50 * 505),
    "lstm-ptb-medium": (35, 2 * 1300 * 2600 + 650 * 10_000, 0, 19_775_200),
    "lstm-ptb-large": (35, 2 * 3000 * 6000 + 1500 * 10_000, 0, 66_022_000),
}


@pytest.mark.parametrize("name", HAND)
def test_counts_by_hand(name):
    graph = load_model(name)
    graph.check()
    steps, each, once, parameters = HAND[name]
    found = counts(graph)
    assert found.macs == steps * each + once
    assert found.parameters == parameters


def test_sizes_of_the_arrays_of_the_paper():
    """72 x 128 and 633 x 8064 weights: one bit each is the memory size of table 1 (1.125 and 623 kB)."""
    for name, size_kib in (("lstm-kws", 1.125), ("lstm-ptb-char", 623.1)):
        repeat = next(node for node in load_model(name).nodes if isinstance(node, Repeat))
        assert repeat.body.tensors["layer0.W"].values / 8 / 1024 == pytest.approx(size_kib, rel=1e-3)


@pytest.mark.parametrize("name", SEQUENCES)
def test_steps_share_weights_and_stay_folded(name):
    short, long = load_model(name, tokens=3), load_model(name, tokens=300)
    assert counts(short).parameters == counts(long).parameters
    assert counts(short).distinct_operators == counts(long).distinct_operators
    assert counts(load_model(name, tokens=3, batch=2)).macs == 2 * counts(short).macs
    assert name in {model.name for model in list_models()}


@pytest.mark.parametrize("layer", [Layer(5, 3), Layer(5, 3, bias="none"), Layer(5, 4, 2, "row"), Layer(5, 4, 2)])
def test_a_step_is_an_lstm(layer):
    """The products and the cell of the body, evaluated by their operand lists, against the equations written out."""
    from workloads.builder import GraphBuilder

    builder = GraphBuilder("one", "fp32")
    steps_of(builder, "lstm", (layer,), builder.input("x", (4, 2, 5)))
    graph = builder.build(check=True)
    (repeat,) = graph.nodes
    draw = np.random.default_rng(0)
    values = {name: draw.normal(size=repeat.body.tensors[name].shape) for name in repeat.inputs}
    values["x"] = draw.normal(size=(2, 5))
    for operator in repeat.body.nodes:
        reads = [values[name] for name in operator.inputs]
        match operator.kind:
            case "copy":
                values[operator.outputs[0]] = np.concatenate(reads, axis=1)
            case "gemm":
                values[operator.outputs[0]] = reads[0] @ reads[1].T + (reads[2] if len(reads) == 3 else 0.0)
            case _:  # the cell reads a quarter of the gates four times, in the order i, f, g, o
                gates, state = reads
                parts = [operand.axes[1].offset for operand in operator.nests[0].reads[:4]]
                i, f, g, o = (gates[:, start : start + layer.cells] for start in parts)
                new = sigmoid(f) * state + sigmoid(i) * np.tanh(g)
                values.update(zip(operator.outputs, (sigmoid(o) * np.tanh(new), new), strict=True))
    row = [values["x"], values["layer0.h"]] + ([values["layer0.one"]] if layer.bias == "row" else [])
    sums = sum(part @ weights.T for part, weights in zip(row, split(values["layer0.W"], row), strict=True))
    sums = sums + values.get("layer0.B", 0.0)
    i, f, g, o = np.split(sums, 4, axis=1)
    memory = sigmoid(f) * values["layer0.c"] + sigmoid(i) * np.tanh(g)
    state = sigmoid(o) * np.tanh(memory)
    if layer.projection:
        state = state @ values["layer0.P"].T
    assert np.allclose(values["layer0.c_next"], memory)
    assert np.allclose(values["layer0.h_next"], state)
    assert dict(repeat.carried) == {"layer0.h_next": "layer0.h", "layer0.c_next": "layer0.c"}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def split(matrix, parts):
    """The columns of ``matrix`` that belong to each part of a row."""
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]
    return np.split(matrix, ends, axis=1)
