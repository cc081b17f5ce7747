"""What passes keep and what they change."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import ArgumentError
from workloads import counts, load_model
from workloads.builder import GraphBuilder
from workloads.graph import Operator, Repeat, Role, Tensor
from workloads.passes import decompose, fold_batchnorm, fuse, fuse_attention, parse_policy, quantize, sparsify

UNFUSED = ("resnet50", "vgg19", "mobilenet-v2", "bert-base", "gpt2-small", "llama-3-8b", "mixtral-8x7b")
POLICIES = ("bf16", "int8", "w8a8", "w4a16", "w4g128a16", "w3g64a16", "w2g64a16kv8", "w4a16kv4", "wfp8afp8", "fp8")
PATTERNS = ("dense", "2:4", "1:4", "unstructured:0.3", "block:4x1:0.25")


def work(graph):
    found = counts(graph)
    return found.macs, found.vector_ops, found.parameters


@pytest.mark.parametrize("name", UNFUSED)
def test_fuse_keeps_work_and_weights(name):
    graph = load_model(name, fuse=False)
    fused = fuse(graph)
    fused.check()
    assert work(fused) == work(graph)
    assert counts(fused).operators < counts(graph).operators
    assert counts(fused).peak_activation_bytes <= counts(graph).peak_activation_bytes
    assert fused.outputs == graph.outputs
    assert work(fuse(fused)) == work(graph)


@pytest.mark.parametrize("name", UNFUSED)
@pytest.mark.parametrize("policy", POLICIES)
def test_quantize_keeps_work(name, policy):
    graph = load_model(name, fuse=False)
    quantized = quantize(graph, policy)
    quantized.check()
    assert work(quantized) == work(graph)
    assert counts(quantized).executed_macs == counts(graph).macs


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(UNFUSED), st.sampled_from(POLICIES), st.sampled_from(PATTERNS), st.permutations([0, 1, 2]))
def test_order_of_passes_does_not_matter(name, policy, pattern, order):
    graph = load_model(name, fuse=False)
    passes = (fuse, lambda g: quantize(g, policy), lambda g: sparsify(g, pattern))
    mixed = graph
    for index in order:
        mixed = passes[index](mixed)
    straight = passes[2](passes[1](passes[0](graph)))
    mixed.check()
    assert counts(mixed) == counts(straight)


@pytest.mark.parametrize("name", ["resnet50", "llama-3-8b", "mixtral-8x7b"])
def test_half_the_weights_halve_the_work(name):
    """2:4 leaves half of the MACs of linear layers; attention, the head and what does not divide stay dense."""
    graph = load_model(name)
    sparse = sparsify(graph, "2:4")
    dense_part = sum(
        nest.macs * times
        for operator, holder, times in sparse.walk()
        for nest in operator.nests
        if nest.function == "mac" and all(_tensor(operator, holder, read.tensor).sparsity.kind == "dense" for read in nest.reads)
    )
    total = counts(graph).macs
    assert counts(sparse).executed_macs == (total - dense_part) // 2 + dense_part
    assert counts(sparse).macs == total
    assert 0 < dense_part < total


def _tensor(operator, holder, name):
    return operator.internal.get(name) or holder.tensors[name]


def test_a_weight_that_m_does_not_divide_stays_dense_with_a_note():
    builder = GraphBuilder("t")
    builder.input("x", (4, 6))
    builder.weight("w", (6, 8))
    builder.output(builder.gemm("x", "w", "y"))
    sparse = sparsify(builder.build(), "2:4")
    assert sparse.tensors["w"].sparsity.kind == "dense"
    assert "does not divide" in sparse.notes[-1]
    assert "w" in sparse.notes[-1]
    assert sparsify(builder.build(), "1:3").tensors["w"].sparsity.axis == 0


def test_policy_by_role():
    """w4g128a16kv8: linear weights in int4 groups, cache in int8; embedding, norms and head stay bf16."""
    graph = load_model("llama-3-8b", phase="decode", context=128, format="w4g128a16kv8")
    repeat = next(node for node in graph.nodes if isinstance(node, Repeat))
    formats = {name: tensor.format.name for name, tensor in (*graph.tensors.items(), *repeat.body.tensors.items())}
    assert formats["mlp_up.weight"] == formats["qkv.weight"] == "int4g128"
    assert formats["embedding.weight"] == formats["lm_head.weight"] == formats["attention_norm.weight"] == "bf16"
    assert formats["k_cache"] == formats["v_cache_new"] == "int8"
    assert formats["qkv"] == "bf16"
    assert formats["token_ids"] == "int32"


def test_quantized_cache_and_embedding_reads_shrink_with_the_format():
    half = load_model("llama-3-8b", phase="decode", context=128)
    quarter = load_model("llama-3-8b", phase="decode", context=128, format="int8")
    for name, table in (("embedding", "embedding.weight"),):
        wide = next(node for node, _, _ in half.walk() if node.name == name)
        narrow = next(node for node, _, _ in quarter.walk() if node.name == name)
        assert narrow.read_bytes[table] * 2 == wide.read_bytes[table]
    append = [next(r for r in g.nodes if isinstance(r, Repeat)).body.tensors["k_cache_new"].region_bytes for g in (half, quarter)]
    assert append[1] * 2 == append[0]


@pytest.mark.parametrize("text", ["w4", "a16", "w7a16", "w4a16kv", "w4g0a16", "wbf16g32a16", "int4g128", "bfloat", "", "w4a16kv7", "8"])
def test_unreadable_policies(text):
    with pytest.raises(ArgumentError) as caught:
        parse_policy(text)
    assert caught.value.hint


def test_batchnorm_with_four_vectors_becomes_scale_and_shift():
    builder = GraphBuilder("t")
    builder.input("x", (1, 8, 4, 4))
    for name in ("s", "b", "m", "v"):
        builder.weight(name, (8,))
    nest = builder.batchnorm("x", "y", "s", "b")
    made = builder.nodes.pop()
    assert isinstance(made, Operator)
    builder.operator("norm", ("x", "s", "b", "m", "v"), ("y",), made.nests, attributes={"norm": "batchnorm"})
    builder.output(nest)
    graph = decompose(builder.build())
    graph.check()
    assert set(graph.tensors) == {"x", "s", "b", "y"}
    assert counts(graph).parameters == 16
    assert counts(graph).vector_ops == 2 * 128


def test_folding_batchnorm_leaves_a_bias():
    graph = load_model("resnet50", fuse=False)
    folded = fuse(fold_batchnorm(graph))
    folded.check()
    channels = sum(tensor.values for name, tensor in graph.tensors.items() if ".weight" in name and len(tensor.shape) == 1)
    assert counts(graph).parameters - counts(folded).parameters == channels == 26560
    assert counts(folded).macs == counts(graph).macs


def test_residual_add_joins_the_later_producer_and_keeps_the_order():
    graph = load_model("resnet50")
    block = next(node for node in graph.nodes if node.name == "layer1.0.downsample.0")
    assert isinstance(block, Operator)
    assert [nest.function for nest in block.nests] == ["mac", "affine", "add", "relu"]
    assert block.outputs == ("layer1.0.relu",)
    assert set(block.internal) == {"layer1.0.downsample.0", "layer1.0.downsample.1", "layer1.0.add"}


def test_a_tensor_with_two_readers_or_that_leaves_stays_visible():
    builder = GraphBuilder("t")
    builder.input("x", (4, 8))
    builder.weight("w", (8, 8))
    builder.gemm("x", "w", "y")
    builder.elementwise("relu", ("y",), "r")
    builder.output("y", "r")
    assert len(fuse(builder.build()).nodes) == 2
    builder.outputs = ["r"]
    assert len(fuse(builder.build()).nodes) == 1
    assert len(fuse(builder.build(), keep=("y",)).nodes) == 2


def test_attention_of_single_operators_becomes_one():
    builder = GraphBuilder("t")
    for name, shape in (("q", (2, 4, 8, 16)), ("k", (2, 4, 16, 12)), ("v", (2, 4, 12, 16)), ("mask", (2, 1, 1, 12)), ("scale", (1,))):
        builder.input(name, shape)
    builder.matmul("q", "k", "s")
    builder.elementwise("mul", ("s", "scale"), "scaled")
    builder.elementwise("add", ("scaled", "mask"), "masked")
    builder.softmax("masked", "p")
    builder.output(builder.matmul("p", "v", "o"))
    graph = builder.build()
    fused = fuse_attention(graph)
    fused.check()
    (operator,) = fused.nodes
    assert isinstance(operator, Operator)
    assert operator.kind == "attention"
    assert [nest.function for nest in operator.nests] == ["mac", "softmax", "mac"]
    assert work(fused) == work(graph)
    wanted = {"batch": 2, "heads": 4, "queries": 8, "keys": 12, "head_dim": 16, "value_dim": 16}
    assert {key: operator.attributes[key] for key in wanted} == wanted
    assert set(operator.inputs) == {"q", "k", "v", "mask", "scale"}


def test_shared_weights_of_a_repeat_count_once():
    body = GraphBuilder("step")
    body.input("h", (1, 4))
    body.tensor("w", (4, 4), role=Role.WEIGHT)
    body.weight("own", (4, 4))
    body.gemm("h", "w", "mid")
    body.output(body.gemm("mid", "own", "next"))
    builder = GraphBuilder("t")
    builder.input("h0", (1, 4))
    builder.weight("shared", (4, 4))
    builder.repeat(
        "steps", body.build(), 10, carried=(("next", "h"),), shared=("w",), inputs={"h": "h0", "w": "shared"}, outputs={"next": "last"}
    )
    builder.output("last")
    graph = builder.build(check=True)
    assert counts(graph).parameters == 16 + 10 * 16
    assert counts(graph).macs == 10 * 2 * 16
    small = quantize(graph, "w4a16")
    assert small.tensors["shared"].format.name == "int4"
    assert small.nodes[0].body.tensors["w"].format.name == "int4"


def test_peak_activation_memory_of_a_chain_and_a_branch():
    """x (40 bytes) -> y (80) -> z (40): y with x, then y with z; a skip over y keeps x alive."""
    for skip, expected in ((False, 120), (True, 160)):
        builder = GraphBuilder("t", "fp32")
        builder.input("x", (10,))
        builder.tensor("y", (20,))
        builder.tensor("z", (10,))
        builder.operator("unknown", ("x",), ("y",))
        builder.operator("unknown", ("y", "x") if skip else ("y",), ("z",))
        builder.output("z")
        assert counts(builder.build()).peak_activation_bytes == expected


def test_stored_bytes_of_three_bit_weights():
    """Ten 3-bit values fill a 32-bit word; a 16-bit scale and a 3-bit zero point for each 128."""
    values = 4096 * 4096
    builder = GraphBuilder("t")
    builder.input("x", (1, 4096))
    builder.weight("w", (4096, 4096))
    builder.output(builder.gemm("x", "w", "y"))
    expected = -(-values // 10) * 4 + -(-(values // 128 * 19) // 8)
    assert counts(quantize(builder.build(), "w3g128a16")).weight_bytes == expected
    assert isinstance(builder["w"], Tensor)
