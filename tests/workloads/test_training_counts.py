"""Training steps counted by hand: MACs under adapters and recomputation, saved activations, bytes of updates, a language model's state."""

from __future__ import annotations

import pytest

from mappings.compulsory import compulsory_reads, compulsory_writes
from workloads import Role, counts, load_model
from workloads.training_counts import macs_by_pass, saved_activations, training_memory

HIDDEN, LAYERS, VOCAB = 768, 12, 50257
"""GPT-2 small: qkv 3 h, output h, feed-forward 4 h."""


def macs(**asked):
    return {name: found.dense for name, found in macs_by_pass(load_model("gpt2-small", phase="train", **asked)).items()}


@pytest.mark.parametrize("tokens", [32, 128])
def test_adapters_by_hand(tokens):
    """Rank r beside qkv, output, up and down projection of each layer: r (4 + 2 + 5 + 5) h a token and layer, forward as well as for its
    weights. The frozen layers send input gradients all the same, but the first norm is frozen and nothing in front of it is trained: of
    the first layer's products with its input none has one in truth; rounds of a repeat are equal, so it is counted."""
    rank = 8
    found = macs(tokens=tokens, training={"lora": rank})
    layer = tokens * 12 * HIDDEN**2
    adapters = LAYERS * tokens * rank * (4 + 2 + 5 + 5) * HIDDEN
    attention = LAYERS * 2 * tokens**2 * HIDDEN
    head = tokens * VOCAB * HIDDEN
    assert found["FF"] == LAYERS * layer + head + adapters + attention
    assert found["BP"] == LAYERS * layer + head + adapters + 2 * attention
    assert found["WU"] == adapters
    assert found["update"] == 0


@pytest.mark.parametrize("attention", ["flash", "split"])
def test_recomputed_layers_by_hand(attention):
    """Of each layer all products run again but the last: what the down projection makes is added to the residual, which the next layer has
    kept. Flash attention makes its scores once more within the backward operator."""
    tokens = 64
    found = macs(tokens=tokens, training={"recompute": "blocks", "attention": attention})
    product = tokens**2 * HIDDEN
    again = LAYERS * (tokens * (3 + 1 + 4) * HIDDEN**2 + 2 * product)
    assert found["recompute"] == again + (LAYERS * product if attention == "flash" else 0)
    plain = macs(tokens=tokens, training={"attention": attention})
    assert {name: found[name] for name in ("FF", "BP", "WU")} == {name: plain[name] for name in ("FF", "BP", "WU")}
    assert sum(plain[name] for name in ("FF", "BP", "WU")) == 3 * LAYERS * tokens * 12 * HIDDEN**2 + 3 * tokens * VOCAB * HIDDEN + (
        LAYERS * (2 + 4) * product
    )


def test_a_plain_network_made_again_in_segments():
    """VGG-19 has a cut behind each of its layers. What is made again is less than the forward pass by what follows the last cut; each
    product at most once."""
    step = load_model("vgg19", phase="train", training={"recompute": "blocks"}, fuse=False)
    again = [node for node in step.nodes if node.attributes.get("pass") == "recompute"]
    names = [node.name.removeprefix("again.") for node in again]
    assert len(names) == len(set(names))
    forward = {node.name: node.macs for node in step.nodes if node.attributes.get("pass") == "FF"}
    assert macs_by_pass(step)["recompute"].dense == sum(forward[name] for name in names)
    kept = set(forward) - set(names)
    assert macs_by_pass(step)["recompute"].dense == counts(load_model("vgg19")).macs - sum(forward[name] for name in kept)


def test_saved_activations_of_resnet_18():
    """Batch b in FP16, per image: the image; each convolution's result (its normalization reads it); each ReLU's result; the pool's result;
    512 means and 1000 logits. Mean and reciprocal deviation of 4,800 channels in FP32, labels as int32."""
    batch = 3
    step = load_model("resnet18", phase="train", batch=batch, fuse=False)
    planes = {side: width * side * side for width, side in ((64, 56), (128, 28), (256, 14), (512, 7))}
    stem = 64 * 112 * 112
    convolutions = stem + sum(planes.values()) * 4 + sum(planes[side] for side in (28, 14, 7))  # 16 of the blocks, 3 of shortcuts
    relus = stem + sum(planes.values()) * 4
    values = 3 * 224 * 224 + convolutions + relus + planes[56] + 512 + 1000
    channels = 64 + 4 * (64 + 128 + 256 + 512) + 128 + 256 + 512
    assert sum(saved_activations(step).values()) == batch * (2 * values + 4) + 2 * 4 * channels


def test_logits_are_the_largest_saved_activation():
    """Llama-3-8B, T tokens: 128,256 logits a token in FP16, beside labels and 32 layers."""
    tokens = 2048
    step = load_model("llama-3-8b", phase="train", tokens=tokens, training={"optimizer": "adam"})
    saved = saved_activations(step)
    assert saved["logits"] == 2 * 128_256 * tokens
    assert saved["logits.labels"] == 4 * tokens
    memory = training_memory(step)
    assert memory.saved_activations == sum(saved.values())
    assert memory.state == 16 * 8_030_261_248
    assert memory.as_dict()["state"] + memory.saved_activations > 128e9


@pytest.mark.parametrize("rank", [8, 64])
def test_a_language_model_with_adapters_to_the_byte(rank):
    """2 bytes for each frozen parameter; 16 for each of the adapters: FP16 weight and gradient, FP32 master, mean and variance."""
    memory = training_memory(load_model("llama-3-8b", phase="train", tokens=128, training={"optimizer": "adam", "lora": rank}))
    thin = 32 * rank * ((4096 + 6144) + (4096 + 4096) + (4096 + 2 * 14336) + (14336 + 4096))
    assert memory.trained == thin
    assert memory.state == 2 * 8_030_261_248 + 16 * thin


@pytest.mark.parametrize(
    ("asked", "read", "written"),
    [
        ({"optimizer": "adam"}, 4 + 4 + 4 + 2, 4 + 4 + 4 + 2),
        ({"optimizer": "adam", "gradients": "fp32"}, 4 + 4 + 4 + 4, 4 + 4 + 4 + 2),
        ({"optimizer": "sgd-momentum"}, 4 + 4 + 2, 4 + 4 + 2),
        ({"optimizer": "sgd-momentum", "precision": "bf16-mixed"}, 4 + 4 + 2, 4 + 4 + 2),
        ({"optimizer": "sgd", "precision": "fp32"}, 4 + 4, 4),
        ({"optimizer": "adam", "precision": "fp32"}, 4 + 4 + 4 + 4, 4 + 4 + 4),
    ],
)
def test_bytes_of_an_update(asked, read, written):
    """Mixed precision: master, states and the gradient come in, master, states and the FP16 weight go out; the old one is not read."""
    step = load_model("resnet18", phase="train", training=asked)
    updates = [node for node in step.nodes if node.kind == "update"]
    values = sum(step.tensors[f"{node.name.removesuffix('.update')}"].values for node in updates)
    assert values == 11_689_512
    assert sum(sum(compulsory_reads(node, step.tensors).values()) for node in updates) == read * values
    assert sum(sum(compulsory_writes(node, step.tensors).values()) for node in updates) == written * values


@pytest.mark.parametrize("precision", ["fp16-mixed", "bf16-mixed", "fp32"])
def test_formats_of_mixed_precision(precision):
    """All that is multiplied is in the compute format, gradients too; masters and states are FP32; statistics and the loss stay FP32."""
    step = load_model("resnet18", phase="train", training={"precision": precision, "optimizer": "adam"})
    compute = precision.removesuffix("-mixed")
    for node in step.nodes:
        if node.macs:
            assert {step.tensors[name].format.name for name in node.inputs} <= {compute, "fp32", "int32"}
            assert all(
                step.tensors[name].format.name == compute for nest in node.nests if nest.function == "mac" for name in _outside(nest, step)
            )
    for name, tensor in step.tensors.items():
        if tensor.role is Role.OPTIMIZER_STATE:
            assert tensor.format.name == "fp32"
        if name.endswith((".mean", ".rstd", ".loss")) and tensor.role is Role.ACTIVATION:
            assert tensor.format.name == "fp32"


def _outside(nest, step):
    return [read.tensor for read in nest.reads if read.tensor in step.tensors]
