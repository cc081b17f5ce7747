"""Gradients on numbers: whole training steps are played with numpy and compared with differences of their own forward pass."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import ModelError
from hwspecs.vocabulary.functions import OPERATIONS
from tests.workloads.onnx_files import node, write, zeros
from tests.workloads.training_oracle import check_gradients
from workloads import GraphBuilder, load_model
from workloads.huggingface import read_config
from workloads.passes import training
from workloads.passes.training.vector import SLOPES
from workloads.passes.training.wants import wanted
from workloads.training_counts import macs_by_pass
from workloads.transformer import decoder_graph, encoder_graph
from workloads.zoo import mamba
from workloads.zoo.lstmp import Layer, steps_of
from workloads.zoo.recurrent import lstm


def convolutions(builder, x):
    """Strided, dilated, grouped, depthwise and transposed, each behind the one before; batch normalization between them."""
    for place, (shape, facts) in enumerate(
        [
            ((4, 2, 3, 3), {"pads": 1, "strides": 2}),
            ((4, 4, 3, 3), {"pads": 2, "dilations": 2}),
            ((6, 2, 2, 2), {"pads": ((0, 1), (1, 0)), "groups": 2}),
            ((6, 1, 3, 3), {"pads": 1, "groups": 6}),
            ((6, 3, 2, 2), {"strides": 2, "transposed": True}),
        ]
    ):
        x = builder.conv(x, builder.weight(f"w{place}", shape), f"conv{place}", **facts)
        if place in (1, 3):
            channels = builder[x].shape[1]
            x = builder.batchnorm(
                x, f"bn{place}", builder.weight(f"gamma{place}", (channels,)), builder.weight(f"beta{place}", (channels,))
            )
            x = builder.elementwise("sigmoid", (x,), f"act{place}")
    return x


def small_cnn():
    builder = GraphBuilder("small", "fp32")
    builder.output(convolutions(builder, builder.input("image", (2, 2, 6, 6))))
    return builder.build()


@pytest.mark.parametrize("recompute", ["none", "blocks"])
def test_convolutions_of_all_kinds(recompute):
    assert check_gradients(small_cnn(), recompute=recompute) == 5 + 4


def block(norm, attention_facts, activation="gelu", **facts):
    """Norm, attention, residual, norm, feed-forward: a transformer layer of 2 sequences of 3 tokens, 8 wide."""
    heads, kv_heads = attention_facts
    builder = GraphBuilder("layer", "fp32")
    x = builder.gemm(builder.input("tokens", (2, 3, 4)), builder.weight("embed", (8, 4)), "x", transpose_b=True)
    gamma = builder.weight("gamma", (8,))
    y = builder.norm(norm, x, "norm", weight=gamma, **({"bias": builder.weight("beta", (8,))} if norm == "layernorm" else {}))
    wide = (heads + 2 * kv_heads) * 4
    qkv = builder.gemm(y, builder.weight("qkv.weight", (wide, 8)), "qkv", bias=builder.weight("qkv.bias", (wide,)), transpose_b=True)
    q, k, v = builder.split(qkv, ("q", "k", "v"), -1, (heads * 4, kv_heads * 4, kv_heads * 4))
    builder.attention(q, k, v, "attention", batch=2, heads=heads, kv_heads=kv_heads, queries=3, keys=3, head_dim=4, causal=False)
    y = builder.gemm("attention", builder.weight("out.weight", (8, heads * 4)), "out", transpose_b=True)
    x = builder.elementwise("add", (x, y), "residual")
    y = builder.elementwise(activation, (builder.gemm(x, builder.weight("up", (12, 8)), "wide", transpose_b=True),), "act")
    builder.output(builder.elementwise("add", (x, builder.gemm(y, builder.weight("down", (8, 12)), "narrow", transpose_b=True)), "y"))
    return builder.build()


@pytest.mark.parametrize("attention", ["flash", "split"])
@pytest.mark.parametrize(
    ("norm", "heads", "activation"), [("layernorm", (2, 2), "gelu"), ("rmsnorm", (4, 2), "silu"), ("rmsnorm", (4, 1), "tanh")]
)
def test_a_transformer_layer(norm, heads, activation, attention):
    """Layer and RMS norm; attention of all heads, grouped and with one head of keys and values."""
    graph = block(norm, heads, activation)
    assert check_gradients(graph, attention=attention) == 7 + (norm == "layernorm")


def test_a_classifier_with_its_loss():
    builder = GraphBuilder("small", "fp32")
    x = builder.elementwise("relu", (builder.gemm(builder.input("x", (6, 5)), builder.weight("w", (5, 4)), "h"),), "r")
    builder.output(builder.gemm(x, builder.weight("head", (3, 4)), "logits", transpose_b=True, bias=builder.weight("b", (3,))))
    assert check_gradients(builder.build()) == 3


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize(("directions", "results"), [(1, "y"), (1, "yh"), (1, "oh"), (2, "yh")])
def test_recurrent_layers_of_onnx(tmp_path, op, directions, results):
    """Back-propagation through four steps, folded and then written out; the sequence, the last state, both, both directions."""
    pytest.importorskip("onnx")
    gates, hidden, width = {"LSTM": 4, "GRU": 3, "RNN": 1}[op], 3, 2
    held = {
        "w": zeros(directions, gates * hidden, width),
        "r": zeros(directions, gates * hidden, hidden),
        "b": zeros(directions, 2 * gates * hidden),
    }
    way = "forward" if directions == 1 else "bidirectional"
    names = ["" if results[0] == "o" else "y", "h"][: len(results)]
    path = write(
        tmp_path, [node(op, "xwrb", names, hidden_size=hidden, direction=way)], {"x": [4, 2, width]}, [n for n in names if n], held
    )
    assert check_gradients(load_model(path, fuse=False)) == 3 * directions


def test_two_layers_of_recurrence(tmp_path):
    """The sequence of one layer is the input of the next: its rows carry gradients back."""
    pytest.importorskip("onnx")
    nodes = [
        node("LSTM", "xwr", ["a"], hidden_size=3), node("Squeeze", ["a", "ax"], ["b"]), node("GRU", "bvs", ["y"], hidden_size=2),
    ]  # fmt: skip
    held = {"w": zeros(1, 12, 2), "r": zeros(1, 12, 3), "v": zeros(1, 6, 3), "s": zeros(1, 6, 2), "ax": np.array([1])}
    path = write(tmp_path, nodes, {"x": [4, 2, 2]}, ["y"], held)
    assert check_gradients(load_model(path, fuse=False)) == 4


def test_an_lstm_written_out():
    """Two layers, three steps: the first step has no recurrent product, weights collect the gradients of all steps."""
    assert check_gradients(lstm(2, 3, 2, "fp32", width=3)) == 6


@pytest.mark.parametrize("recompute", ["none", "blocks"])
@pytest.mark.parametrize("results", ["every", "last"])
@pytest.mark.parametrize(
    ("layers", "weights"),
    [
        ((Layer(3, 2, bias="none"),), 1),
        ((Layer(3, 4, 2, bias="row"),), 2),
        ((Layer(3, 4, 2), Layer(2, 3)), 5),
    ],
)
def test_one_matrix_per_step(layers, weights, results, recompute):
    """Input and state side by side, projections, biases behind the product or as a row of it; layers step by step within one loop.
    Weights of the loop get their gradients from the stacks of all steps."""
    builder = GraphBuilder("steps", "fp32")
    x = builder.gemm(builder.input("frames", (4, 2, 3)), builder.weight("w", (3, 3)), "x")
    name = steps_of(builder, "lstm", layers, x, every=results == "every")
    builder.output(builder.elementwise("tanh", (name,), "out"))
    assert check_gradients(builder.build(), recompute=recompute) == weights + 1


GPT = {
    "model_type": "gpt2", "n_embd": 8, "n_layer": 3, "n_head": 2, "n_positions": 4, "vocab_size": 7, "n_inner": 12,
    "activation_function": "gelu", "layer_norm_epsilon": 1e-5,
}  # fmt: skip

BERT = {
    "model_type": "bert", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 4, "vocab_size": 7,
    "intermediate_size": 12, "hidden_act": "gelu", "type_vocab_size": 3,
}  # fmt: skip


@pytest.mark.parametrize("recompute", ["none", "blocks"])
@pytest.mark.parametrize("attention", ["flash", "split"])
def test_a_decoder_of_hugging_face_with_its_layers_folded(tmp_path, recompute, attention):
    """Embeddings, three folded layers, tied logits, cross-entropy: the reversed repeat reads the right slices, kept or made again."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(GPT))
    graph = decoder_graph(read_config(path), phase="train", batch=2, tokens=3)
    assert check_gradients(graph, recompute=recompute, attention=attention, probes=2) == 2 + 3 * 12 + 2


def test_an_encoder_of_hugging_face(tmp_path):
    """Post-norm layers under a pooler, and the hidden states that leave as they are."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(BERT))
    assert check_gradients(encoder_graph(read_config(path), batch=2, tokens=3), probes=2) == 3 + 2 + 2 * 12 + 2


@pytest.mark.parametrize("recompute", ["none", "blocks"])
def test_a_selective_state_space_model(monkeypatch, recompute):
    """Mamba with two folded layers of 8 channels and 2 states: the scan runs backwards in time, its states made again."""
    for name, value in {"LAYERS": 2, "WIDTH": 4, "INNER": 8, "STATE": 2, "RANK": 1, "VOCABULARY": 5}.items():
        monkeypatch.setattr(mamba, name, value)
    graph = mamba.mamba_130m(2, "fp32", 3, every=True)
    assert check_gradients(graph, recompute=recompute, probes=2) == 2 + 2 * 10


@pytest.mark.parametrize("function", ["tan", "atan", "sinh", "cosh", "softsign", "asinh", "square", "erf", "gelu", "silu", "softplus"])
def test_slopes_are_made_from_what_is_kept(function):
    """The result or the argument, as the table says: the backward pass reads nothing else."""
    builder = GraphBuilder("small", "fp32")
    x = builder.gemm(builder.input("x", (3, 4)), builder.weight("w", (4, 4)), "a")
    builder.output(builder.elementwise("tanh", (builder.elementwise(function, (x,), "y"),), "z"))
    assert check_gradients(builder.build()) == 1


def test_slopes_that_are_counted():
    """Operations of g f'(x) as the formulas spend them, by the convention of vector functions."""
    one, div, exp = 1, OPERATIONS["div"], OPERATIONS["exp"]
    by_hand = {
        "tan": one + one + one, "atan": one + one + div, "atanh": one + one + div, "asin": one + one + OPERATIONS["rsqrt"] + one,
        "softsign": one + one + one + div, "sinh": OPERATIONS["cosh"] + one, "cosh": OPERATIONS["sinh"] + one, "pow": OPERATIONS["pow"] + 2,
        "erf": one + one + exp + one, "softplus": OPERATIONS["sigmoid"] + one, "exp": one, "sin": OPERATIONS["cos"] + one,
        "silu": OPERATIONS["sigmoid"] + 5, "sqrt": div + one,
    }  # fmt: skip
    assert {name: SLOPES[name][1] for name in by_hand} == by_hand


@pytest.mark.parametrize(
    ("op", "more"),
    [("PRelu", "s"), ("Selu", ""), ("Celu", ""), ("Shrink", ""), ("Softsign", ""), ("Tan", ""), ("Pow", "s"), ("LogSoftmax", ""),
     ("Where", "")],
)  # fmt: skip
def test_operators_of_onnx_files_that_train(tmp_path, op, more):
    """What a file may hold between two trained products."""
    pytest.importorskip("onnx")
    inputs = ["c", "a", "s"] if op == "Where" else ["a", *more]
    nodes = [node("MatMul", "xw", "a"), node(op, inputs, ["b"], name="op"), node("MatMul", "bv", "y")]
    held = {"w": zeros(8, 8), "v": zeros(8, 4), "s": zeros(8), "c": np.zeros((2, 8), bool)}
    graph = load_model(write(tmp_path, nodes, {"x": [2, 8]}, "y", held), fuse=False)
    step = training(graph)
    step.check()
    assert macs_by_pass(step)["BP"].dense == 2 * 8 * 4


def test_local_response_normalization_trains(tmp_path):
    """AlexNet's: per element 2 size + 21 operations back, of its argument alone."""
    pytest.importorskip("onnx")
    nodes = [node("Conv", "xw", "a"), node("LRN", ["a"], ["y"], size=5)]
    step = training(load_model(write(tmp_path, nodes, {"x": [2, 8, 6, 6]}, "y", {"w": zeros(8, 8, 1, 1)}), fuse=False))
    back = next(found for found in step.nodes if found.attributes.get("norm") == "lrn" and found.attributes["pass"] == "BP")
    assert back.vector_ops == 2 * 8 * 36 * (2 * 5 + 21)


@given(st.data(), st.integers(3, 9), st.sampled_from(("none", "blocks")))
@settings(max_examples=40, deadline=None)
def test_random_graphs(data, size, recompute):
    """Products, norms, activations and sums over whatever came before, some weights shared or frozen: every gradient that is left."""
    builder = GraphBuilder("random", "fp32")
    made = [builder.gemm(builder.input("x", (3, 4)), builder.weight("w", (4, 4)), "first")]
    weights = ["w"]
    for place in range(size):
        kind = data.draw(st.sampled_from(("product", "shared", "norm", "add", "mul", "tanh", "softmax")))
        x, y = (data.draw(st.sampled_from(made[-4:])) for _ in range(2))
        name = f"{kind}{place}"
        if kind in ("product", "shared"):
            weight = builder.weight(f"w{place}", (4, 4)) if kind == "product" else data.draw(st.sampled_from(weights))
            weights.append(weight)
            made.append(builder.gemm(x, weight, name))
        elif kind == "norm":
            made.append(builder.norm("rmsnorm", x, name, weight=builder.weight(f"g{place}", (4,))))
        elif kind in ("add", "mul"):
            made.append(builder.elementwise(kind, (x, y), name))
        else:
            made.append(builder.softmax(x, name) if kind == "softmax" else builder.elementwise(kind, (x,), name))
    builder.output(builder.elementwise("tanh", (made[-1],), "out"))
    frozen = data.draw(st.sets(st.sampled_from(weights[1:]))) if len(weights) > 1 else set()
    graph = builder.build()
    if "out" in wanted(graph, lambda name: name not in frozen):  # what is drawn last may lean on frozen weights alone
        assert check_gradients(graph, recompute=recompute, frozen=tuple(frozen), probes=2) > 0
    else:
        with pytest.raises(ModelError, match="no output depends"):
            training(graph, recompute=recompute, frozen=tuple(frozen))
