"""Training steps: adjoint identities on numbers, laws of MACs over the zoo, memory by hand, folded against unrolled."""

from __future__ import annotations

import numpy as np
import pytest

from hwspecs.vocabulary.errors import ArgumentError, ModelError, UnknownNameError, UnsupportedError
from tests.workloads.nest_interpreter import play
from tests.workloads.onnx_files import node, write, zeros
from workloads import GraphBuilder, Role, counts, load_model
from workloads.graph import Repeat
from workloads.passes import lora, training
from workloads.passes.training.wants import wanted
from workloads.passes.unroll import unrolled
from workloads.training_counts import macs_by_pass, saved_activations, training_memory


def product(kind):
    """An image under one trained product, so that the product behind it wants gradients of both operands."""
    builder = GraphBuilder("small", "fp32")
    if kind == "gemm":
        x = builder.gemm(builder.input("image", (3, 4)), builder.weight("v", (4, 5)), "x")
        y = builder.gemm(x, builder.weight("w", (4, 5)), "y", transpose_b=True, bias=builder.weight("b", (4,)))
    else:
        x = builder.conv(builder.input("image", (2, 3, 7, 6)), builder.weight("v", (4, 3, 1, 1)), "x")
        shape, facts = {
            "same": ((3, 4, 3, 3), {"pads": 1}),
            "dilated": ((3, 4, 3, 3), {"pads": 2, "dilations": 2}),
            "even": ((3, 4, 2, 2), {"pads": ((0, 1), (1, 0))}),
            "valid": ((3, 4, 3, 3), {}),
            "strided": ((3, 4, 3, 3), {"pads": 1, "strides": 2}),
            "grouped": ((6, 2, 3, 3), {"pads": 1, "groups": 2}),
            "depthwise": ((4, 1, 3, 3), {"pads": 1, "groups": 4, "strides": (1, 2)}),
            "transposed": ((4, 3, 2, 2), {"strides": 2, "transposed": True}),
        }[kind]
        y = builder.conv(x, builder.weight("w", shape), "y", **facts)
    builder.output(builder.elementwise("relu", (y,), "z"))
    return builder.build()


KINDS = ["gemm", "same", "dilated", "even", "valid", "strided", "grouped", "depthwise", "transposed"]


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_products_are_adjoint(kind):
    """<g, y(x, w)> = <dx, x> = <dw, w>: y is linear in each operand. The nests are played on numbers."""
    graph = training(product(kind), precision="fp32")
    graph.check()
    random = np.random.default_rng(0)
    nodes = {node.name: node for node in graph.nodes}
    back, weight = nodes["y.gradient.x"], nodes["y.gradient.w"]
    (g,) = (name for name in back.inputs if name != "w")
    arrays = {name: random.normal(size=graph.tensors[name].shape) for name in ("x", "w", g)}
    inner = np.sum(arrays[g] * play(nodes["y"].nests[0], arrays, graph.tensors["y"].shape))
    assert np.sum(play(back.nests[0], arrays, graph.tensors["x"].shape) * arrays["x"]) == pytest.approx(inner, rel=1e-9)
    assert np.sum(play(weight.nests[0], arrays, graph.tensors["w"].shape) * arrays["w"]) == pytest.approx(inner, rel=1e-9)
    assert (back.attributes["pass"], weight.attributes["pass"]) == ("BP", "WU")
    if kind != "valid":
        assert back.macs == weight.macs == nodes["y"].macs


def test_gradients_of_movement_are_adjoint():
    """Slice, concatenation and transpose: <g, y(x)> = <dx, x>, played on numbers."""
    builder = GraphBuilder("small", "fp32")
    x = builder.gemm(builder.input("image", (4, 3)), builder.weight("v", (3, 6)), "x")
    part = builder.slice(x, "part", (1, 0), (2, 6), steps=(2, 1))
    turned = builder.transpose(builder.concat((part, part), "both", 0), "turned", (1, 0))
    builder.output(builder.elementwise("relu", (turned,), "z"))
    graph = training(builder.build(), precision="fp32")
    nodes = {node.name: node for node in graph.nodes}
    random = np.random.default_rng(1)
    for made, source in (("part", "x"), ("turned", "both")):
        forward, back = nodes[made], nodes[f"{made}.gradient.{source}"]
        arrays = {source: random.normal(size=graph.tensors[source].shape)}
        arrays[back.inputs[0]] = random.normal(size=graph.tensors[made].shape)
        inner = np.sum(arrays[back.inputs[0]] * play(forward.nests[0], arrays, graph.tensors[made].shape))
        gradient = play(back.nests[0], arrays, graph.tensors[source].shape)
        assert np.sum(gradient * arrays[source]) == pytest.approx(inner, rel=1e-9)


TWELVE = (
    "resnet18", "resnet50", "vgg19", "densenet121", "mobilenet-v2", "efficientnet-b0", "squeezenet-1.1", "inception-v3", "unet",
    "shufflenet-v2", "r2plus1d-18", "fcn-resnet50",
)  # fmt: skip


@pytest.mark.parametrize("name", TWELVE)
def test_macs_are_three_times_the_forward_pass_less_the_image_gradients(name):
    """Every product has a weight here: FF + BP + WU = 3 FF - the products that read the image alone."""
    forward = load_model(name, fuse=False)
    step = load_model(name, phase="train")
    step.check()
    macs = macs_by_pass(step)
    inner = wanted(forward, lambda _: True)
    first = sum(node.macs for node, _, _ in forward.walk() if node.macs and node.inputs[0] not in inner)
    assert macs["FF"].dense == macs["WU"].dense == counts(forward).macs
    assert macs["BP"].dense == counts(forward).macs - first
    assert macs["recompute"].dense == 0 < first
    assert counts(step).parameters == counts(forward).parameters


@pytest.mark.parametrize("name", ["bert-base", "gpt2-small", "llama-3-8b", "mixtral-8x7b", "qwen3-0.6b"])
def test_attention_counts_three_times_without_a_weight_gradient(name):
    """Products of activations: 1 forward, 2 backward; linear layers: 1, 1, 1. Nothing reads the tokens but the embedding."""
    step = load_model(name, phase="train", tokens=128)
    forward = [(node, times) for node, _, times in step.walk() if node.attributes["pass"] == "FF"]
    attention = sum(node.macs * times for node, times in forward if node.kind == "attention")
    linear = sum(node.macs * times for node, times in forward) - attention
    macs = macs_by_pass(step)
    assert macs["FF"].dense == linear + attention
    assert macs["BP"].dense == linear + 2 * attention
    assert macs["WU"].dense == linear
    assert macs["recompute"].dense == attention // 2  # flash attention makes the scores again
    split = macs_by_pass(load_model(name, phase="train", tokens=128, training={"attention": "split"}))
    assert split["recompute"].dense == 0
    assert split["BP"].dense == macs["BP"].dense


@pytest.mark.parametrize("recompute", ["none", "blocks"])
def test_folded_equals_unrolled(recompute):
    """Three repeats over stacked tensors are the same work, weights and saved tensors as the layers written out."""
    step = load_model("gpt2-small", phase="train", tokens=64, training={"recompute": recompute}, fuse=False)
    flat = unrolled(step)
    flat.check()
    assert sum(isinstance(node, Repeat) for node in step.nodes) == 3
    assert not any(isinstance(node, Repeat) for node in flat.nodes)
    assert macs_by_pass(flat) == macs_by_pass(step)
    a, b = counts(step), counts(flat)
    assert (a.parameters, a.weight_bytes, a.state_bytes, a.vector_ops) == (b.parameters, b.weight_bytes, b.state_bytes, b.vector_ops)
    folded, out = training_memory(step), training_memory(flat)
    assert (folded.gradients, folded.optimizer, folded.weights) == (out.gradients, out.optimizer, out.weights)
    assert folded.saved_activations == out.saved_activations


@pytest.mark.parametrize(
    ("optimizer", "gradients", "expected"),
    [("adam", None, 16), ("adam", "fp32", 18), ("sgd-momentum", None, 12), ("sgd-momentum", "fp32", 14), ("sgd", None, 8)],
)
def test_state_per_parameter(optimizer, gradients, expected):
    """FP16 weight 2, gradient 2 or 4, FP32 master 4, and 4 for each state: to the byte."""
    asked = {"optimizer": optimizer} | ({"gradients": gradients} if gradients else {})
    memory = training_memory(load_model("resnet50", phase="train", training=asked))
    assert memory.trained == counts(load_model("resnet50")).parameters == 25_557_032
    assert memory.state == expected * memory.trained


def test_state_in_one_format():
    """FP32 alone: weight, gradient, two moments, no master copy."""
    memory = training_memory(load_model("resnet18", phase="train", training={"optimizer": "adam", "precision": "fp32"}))
    assert (memory.weights, memory.optimizer, memory.gradients) == tuple(factor * memory.trained for factor in (4, 8, 4))


def test_llama_full_and_with_adapters():
    """8 030 261 248 parameters x 16 bytes; adapters of rank 16 on qkv, output, gate-up and down projection of 32 layers."""
    full = training_memory(load_model("llama-3-8b", phase="train", tokens=2048, training={"optimizer": "adam"}))
    assert full.state == 16 * 8_030_261_248
    thin = training_memory(load_model("llama-3-8b", phase="train", tokens=2048, training={"optimizer": "adam", "lora": 16}))
    per_layer = 16 * ((4096 + 6144) + (4096 + 4096) + (4096 + 2 * 14336) + (14336 + 4096))
    assert thin.trained == 32 * per_layer
    assert thin.weights == 2 * (8_030_261_248 + thin.trained)
    assert (thin.optimizer, thin.gradients) == (12 * thin.trained, 2 * thin.trained)


def test_saved_activations_of_a_plain_network():
    """VGG-19 at batch 2, FP16, by hand: the image; every ReLU's result (mask, and input of the next layer's weight gradient); every
    pool's result; logits and labels. Results of convolutions are not needed behind their ReLU."""
    step = load_model("vgg19", phase="train", batch=2)
    sides = ((2, 64, 224), (2, 128, 112), (4, 256, 56), (4, 512, 28), (4, 512, 14))
    relus = sum(layers * width * side * side for layers, width, side in sides)
    pools = sum(width * (side // 2) ** 2 for _, width, side in sides)
    values = 3 * 224 * 224 + relus + pools + 4096 + 4096 + 1000
    assert training_memory(step).saved_activations == 2 * (2 * values + 4)


def test_saved_activations_of_a_normalized_layer():
    """One convolution, batch normalization and ReLU before a classifier: image, convolution's result (normalization), ReLU's result,
    means of channels, logits, labels; mean and 1/deviation of each channel in FP32."""
    builder = GraphBuilder("small", "fp32")
    x = builder.conv(builder.input("image", (4, 3, 8, 8)), builder.weight("w", (16, 3, 3, 3)), "conv", pads=1)
    x = builder.batchnorm(x, "bn", builder.weight("gamma", (16,)), builder.weight("beta", (16,)))
    x = builder.elementwise("relu", (x,), "relu")
    x = builder.view(builder.reduce("add", x, "mean", (2, 3), keep_dims=True, kind="pool"), "flat", (4, 16))
    builder.output(builder.gemm(x, builder.weight("head", (16, 10)), "logits"))
    step = training(builder.build())
    image, plane = 4 * 3 * 64, 4 * 16 * 64
    assert training_memory(step).saved_activations == 2 * (image + 2 * plane + 4 * 16 + 4 * 10) + 4 * 2 * 16 + 4 * 4


def test_saved_activations_of_a_decoder():
    """GPT-2 small, T tokens, FP16, by hand. Per layer: input of the norm h, its result h, qkv 3h, attention's result h, residual h, norm h,
    up-projection 4h, its activation 4h: 16 h a token. Outside: last hidden state and its norm, logits, token and position ids, labels."""
    tokens, hidden, vocab = 256, 768, 50257
    step = load_model("gpt2-small", phase="train", tokens=tokens, fuse=False)
    layers = 12 * 16 * hidden * tokens * 2
    outside = tokens * (2 * hidden + 2 * hidden + 2 * vocab) + 3 * 4 * tokens
    assert sum(saved_activations(step).values()) == layers + outside


def test_recomputation_keeps_one_input_per_layer():
    """A decoder's layers keep h a token each; a plain network keeps less, and executes more."""
    step = load_model("gpt2-small", phase="train", tokens=256, training={"recompute": "blocks"}, fuse=False)
    stacks = {name: size for name, size in saved_activations(step).items() if name.startswith("layers.")}
    assert sum(stacks.values()) == 12 * 768 * 256 * 2
    for name in ("gpt2-small", "resnet50"):
        plain, again = (load_model(name, phase="train", batch=8, training={"recompute": what}) for what in ("none", "blocks"))
        again.check()
        assert counts(again).peak_activation_bytes < counts(plain).peak_activation_bytes
        forward = macs_by_pass(plain)["FF"].dense
        assert macs_by_pass(plain)["recompute"].dense < macs_by_pass(again)["recompute"].dense <= forward
        assert all(macs_by_pass(again)[what] == macs_by_pass(plain)[what] for what in ("FF", "BP", "WU"))


def test_frozen_weights_have_no_gradient_and_need_no_state():
    """Frozen up to the last stage: nothing behind it is differentiated."""
    step = load_model("resnet18", phase="train", training={"frozen": "conv1.*,bn1.*,layer1.*,layer2.*,layer3.*"})
    forward = load_model("resnet18", fuse=False)
    last = sum(node.macs for node, _, _ in forward.walk() if node.name.startswith(("layer4", "fc")))
    entry = sum(node.macs for node, _, _ in forward.walk() if node.name in ("layer4.0.conv1", "layer4.0.downsample.0"))
    macs = macs_by_pass(step)
    assert macs["WU"].dense == last
    assert macs["BP"].dense == last - entry
    updated = {node.name.removesuffix(".update") for node, _, _ in step.walk() if node.kind == "update"}
    assert updated == {name for name, t in forward.tensors.items() if t.role is Role.WEIGHT and name.startswith(("layer4", "fc"))}


def test_adapters_add_two_thin_products():
    builder = GraphBuilder("small", "fp16")
    builder.output(builder.gemm(builder.input("x", (5, 12)), builder.weight("w", (8, 12)), "y", transpose_b=True))
    graph = lora(builder.build(), 2)
    graph.check()
    assert counts(graph).macs == 5 * 12 * 8 + 5 * 12 * 2 + 5 * 2 * 8
    assert counts(graph).parameters == 8 * 12 + 2 * (8 + 12)


def test_a_fused_graph_trains_like_its_parts():
    """Fusing before the pass changes no work."""
    fused, plain = (training(load_model("mobilenet-v2", fuse=fuse)) for fuse in (True, False))
    fused.check()
    assert macs_by_pass(fused) == macs_by_pass(plain)
    assert training_memory(fused).state == training_memory(plain).state


@pytest.mark.parametrize(
    ("model", "asked", "error", "words"),
    [
        ("training-resnet18", {}, ModelError, "training step already"),
        ("attention:b2,h4,k64,d16", {}, ModelError, "no output depends"),
        ("resnet18", {"optimizer": "adamm"}, UnknownNameError, "did you mean adam"),
        ("resnet18", {"precision": "fp12"}, UnknownNameError, "unknown precision"),
        ("resnet18", {"recompute": "some"}, ArgumentError, "none or blocks"),
        ("resnet18", {"frozen": "*"}, ModelError, "no output depends"),
        ("resnet18", {"lora": 0}, ArgumentError, "rank"),
        ("resnet18", {"reduction": "online"}, ArgumentError, "give a sparsity"),
        ("resnet18", {"momentum": 1}, ArgumentError, "unknown option"),
    ],
)
def test_bad_input_is_located(model, asked, error, words):
    with pytest.raises(error, match=words) as caught:
        load_model(model, phase="train", training=asked)
    assert caught.value.where


def test_options_of_training_need_the_phase():
    with pytest.raises(ArgumentError, match="phase train"):
        load_model("resnet18", training={"optimizer": "adam"})
    with pytest.raises(ArgumentError, match="does not apply"):
        load_model("resnet18", phase="train", format="int8")


def test_onnx_files_train(tmp_path):
    """Convolution, batch normalization with stored statistics, ReLU, pooling and a classifier; an operator without a gradient by name."""
    pytest.importorskip("onnx")
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1], name="conv"),
        node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], name="bn"),
        node("Relu", ["n"], ["r"], name="relu"),
        node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        node("Flatten", ["p"], ["f"], name="flatten"),
        node("Gemm", ["f", "h", "hb"], ["y"], transB=1, name="head"),
    ]
    held = {"w": zeros(16, 3, 3, 3), "s": zeros(16), "b": zeros(16), "m": zeros(16), "v": zeros(16), "h": zeros(10, 16), "hb": zeros(10)}
    path = write(tmp_path, nodes, {"x": ["n", 3, 8, 8]}, ["y"], held)
    step = load_model(path, phase="train", batch=4, sparsity="bdwp-2:8")
    step.check()
    conv, head = 4 * 16 * 64 * 27, 4 * 16 * 10
    macs = macs_by_pass(step)
    assert (macs["FF"].dense, macs["BP"].dense, macs["WU"].dense) == (conv + head, head, conv + head)
    assert training_memory(step).trained == 16 * 27 + 32 + 160 + 10
    sums = [
        *nodes[:-1],
        node("CumSum", ["f", "axis"], ["t"], name="sums"),
        node("Special", ["t"], ["y"], domain="com.example", name="last"),
    ]
    held["axis"] = np.array(1, np.int64)
    path = write(tmp_path, sums, {"x": [4, 3, 8, 8]}, ["y"], held, domains=["com.example"], stated={"y": [4, 16]})
    with pytest.raises(UnsupportedError, match="no known gradient") as caught:
        load_model(path, phase="train", unknown_op="bytes-only")
    assert caught.value.where == "last"


def test_the_backward_pass_reads_the_experts_that_tokens_visit():
    """64 tokens x 8 of 128 experts visit 126 of them: forward and input gradient read these, the update all 128."""
    step = load_model("qwen3-30b-a3b", phase="train", tokens=64, fuse=False)
    read = {}
    for operator, holder, _ in step.walk():
        for name in operator.inputs:
            tensor = holder.tensors[name]
            if (
                tensor.role is Role.WEIGHT
                and tensor.shape[:1] == (128,)
                and operator.kind != "update"
                and operator.attributes.get("experts")
            ):
                read.setdefault(name, []).append(operator.read_bytes.get(name, tensor.stored_bytes) * 128 / tensor.stored_bytes)
    assert len(read) == 2
    assert all(found == [126, 126] for found in read.values())


def test_topologies_of_scale_sim_do_not_train(tmp_path):
    """Their layers stand for themselves: no gradient could flow from one to the one before."""
    path = tmp_path / "net.csv"
    path.write_text(
        "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\nc,16,16,3,3,8,16,1,\n"
    )
    with pytest.raises(ArgumentError, match="what flows between its layers") as caught:
        load_model(str(path), phase="train")
    assert caught.value.where == "phase"
