"""Transformer graphs against closed forms derived by hand, and against published parameter counts."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import ArgumentError, ModelError, UnsupportedError
from workloads.counting import counts
from workloads.graph import Operator, OperatorGraph, Repeat, Role
from workloads.transformer import MoE, TransformerConfig, decoder_graph, encoder_graph
from workloads.transformer_counts import kv_bytes_per_token
from workloads.zoo.llm import CONFIGS

# The number of parameters that the checkpoint's index, or `sum(p.numel())` of the released model, states.
RELEASED = {
    "bert-base": 109_482_240, "gpt2-small": 124_439_808, "gpt2-medium": 354_823_168, "gpt2-large": 774_030_080, "gpt2-xl": 1_557_611_200,
    "llama-2-7b": 6_738_415_616, "llama-2-13b": 13_015_864_320, "llama-2-70b": 68_976_648_192, "llama-3-8b": 8_030_261_248,
    "llama-3-70b": 70_553_706_496, "mistral-7b": 7_241_732_096, "mixtral-8x7b": 46_702_792_704, "mistral-large-123b": 122_610_069_504,
    "opt-6.7b": 6_658_473_984, "opt-13b": 12_853_473_280,
    "qwen2-7b": 7_615_616_512, "qwen2-0.5b": 494_032_768, "qwen2.5-32b": 32_763_876_352, "qwen3-0.6b": 596_049_920,
    "qwen3-8b": 8_190_735_360, "qwen1.5-moe-a2.7b": 14_315_784_192, "qwen3-30b-a3b": 30_532_122_624,
}  # fmt: skip
# Published to the digits shown: arXiv 2407.14679 (Minitron), 2505.21411 (Pangu Pro MoE).
ROUNDED = {"minitron-8b": (8.27e9, 1e7), "minitron-4b": (4.19e9, 1e7), "nemotron-4-15b": (15.6e9, 1e8), "pangu-pro-moe": (71.99e9, 1e7)}


def graph_of(name: str, phase: str = "decode", **sizes: int) -> OperatorGraph:
    config = CONFIGS[name]
    return encoder_graph(config, **sizes) if config.encoder else decoder_graph(config, phase=phase, **sizes)


def linear_weights_of_layer(c: TransformerConfig) -> int:
    """Weights of the matrix products of one layer that every token meets, experts as if one token."""
    attention = c.hidden * c.heads * c.head_dim * 2 + c.hidden * c.kv_heads * c.head_dim * 2
    if c.moe is None:
        return attention + (3 if c.gated else 2) * c.hidden * c.intermediate
    one = 3 * c.hidden * c.moe.width
    gate = c.hidden if c.moe.shared_gate else 0
    return attention + c.hidden * c.moe.experts + c.moe.per_token * one + c.moe.shared * 3 * c.hidden * c.moe.shared_width + gate


def closed_form_parameters(c: TransformerConfig) -> int:
    """All parameters of a decoder, from the architecture: written apart from the builder."""
    h = c.hidden
    norm = h if c.norm == "rmsnorm" else 2 * h
    layer = linear_weights_of_layer(c) + 2 * norm
    if c.moe:
        layer += (c.moe.experts - c.moe.per_token) * 3 * h * c.moe.width
    if c.qkv_bias:
        layer += (c.heads + 2 * c.kv_heads) * c.head_dim
    if c.output_bias:
        layer += h
    if c.mlp_bias:
        layer += c.intermediate * (2 if c.gated else 1) + h
    if c.qk_norm:
        layer += 2 * c.head_dim
    tables = c.vocab * h * (1 if c.tied else 2) + (c.max_positions * h if c.positions == "learned" else 0)
    return c.layers * layer + norm + tables


@pytest.mark.parametrize("name", RELEASED)
def test_parameters_of_released_models(name: str) -> None:
    assert counts(graph_of(name)).parameters == RELEASED[name]


@pytest.mark.parametrize("name", ROUNDED)
def test_parameters_published_rounded(name: str) -> None:
    published, last_digit = ROUNDED[name]
    assert counts(graph_of(name)).parameters == pytest.approx(published, abs=last_digit / 2 * 1.001)


@pytest.mark.parametrize("name", [name for name, config in CONFIGS.items() if not config.encoder])
def test_parameters_by_closed_form_in_both_phases(name: str) -> None:
    expected = closed_form_parameters(CONFIGS[name])
    assert counts(graph_of(name, "decode", context=64)).parameters == expected
    assert counts(graph_of(name, "prefill", tokens=64)).parameters == expected


def test_active_parameters() -> None:
    """Mixtral 12.88 B (arXiv 2401.04088: 13 B), Pangu Pro MoE 16.50 B (arXiv 2505.21411), dense models: all."""
    mixtral = 46_702_792_704 - 32 * 6 * 3 * 4096 * 14336
    assert counts(graph_of("mixtral-8x7b")).active_parameters == mixtral == 12_879_925_248
    assert counts(graph_of("pangu-pro-moe")).active_parameters == pytest.approx(16.50e9, abs=5e6)
    assert counts(graph_of("llama-3-8b")).active_parameters == RELEASED["llama-3-8b"]
    assert counts(graph_of("qwen3-30b-a3b")).active_parameters == 30_532_122_624 - 48 * 120 * 3 * 2048 * 768


@pytest.mark.parametrize(
    ("name", "per_token"),
    [("llama-2-7b", 524_288), ("opt-13b", 819_200), ("llama-3-8b", 131_072), ("llama-3-70b", 327_680), ("pangu-pro-moe", 196_608)],
)
def test_kv_bytes(name: str, per_token: int) -> None:
    """2 (K and V) x layers x kv heads x head dimension x 2 bytes."""
    assert kv_bytes_per_token(CONFIGS[name]) == per_token
    assert counts(graph_of(name, "decode", batch=3, context=777)).kv_cache_bytes == 3 * 777 * per_token
    assert counts(graph_of(name, "prefill", batch=2, tokens=100)).kv_cache_bytes == 2 * 100 * per_token


@pytest.mark.parametrize("name", ["llama-2-7b", "llama-3-70b", "gpt2-xl", "mixtral-8x7b", "pangu-pro-moe", "qwen1.5-moe-a2.7b"])
def test_macs_of_a_decode_step(name: str) -> None:
    """One multiply-accumulate per weight of the layers and head for each token, and 2 x heads x head_dim x context for attention."""
    c, batch, context = CONFIGS[name], 5, 300
    attention = 2 * c.heads * c.head_dim * context
    expected = batch * (c.layers * (linear_weights_of_layer(c) + attention) + c.vocab * c.hidden)
    assert counts(graph_of(name, "decode", batch=batch, context=context)).macs == expected


@pytest.mark.parametrize("name", ["llama-3-8b", "gpt2-medium", "mixtral-8x7b"])
def test_macs_of_a_prefill(name: str) -> None:
    """The full rectangle tokens x tokens of scores; logits of one position per sequence."""
    c, batch, tokens = CONFIGS[name], 2, 128
    layers = c.layers * (batch * tokens * linear_weights_of_layer(c) + 2 * batch * c.heads * c.head_dim * tokens * tokens)
    assert counts(graph_of(name, "prefill", batch=batch, tokens=tokens)).macs == layers + batch * c.vocab * c.hidden


def test_two_n_rule() -> None:
    """FLOPs of a decode step are about twice the parameters (embedding rows are not multiplied) for a short context."""
    made = counts(graph_of("llama-2-70b", "decode", context=1))
    assert made.flops == pytest.approx(2 * made.parameters, rel=0.005)


def test_bert_macs() -> None:
    """12 layers of 4 h^2 + 8 h^2 per token and 2 n^2 h scores, and the pooler's h^2."""
    h, n = 768, 384
    expected = 12 * (n * 12 * h * h + 2 * n * n * h) + h * h
    made = counts(encoder_graph(CONFIGS["bert-base"], tokens=n))
    assert made.macs == expected
    assert made.kv_cache_bytes == 0


def operators(graph: OperatorGraph) -> dict[str, tuple[Operator, OperatorGraph]]:
    return {operator.name: (operator, holder) for operator, holder, _ in graph.walk()}


def test_cached_prompt_reads_the_cache() -> None:
    """The second half of a prompt attends to all of it and appends its own half."""
    config = CONFIGS["llama-3-8b"]
    graph = decoder_graph(config, phase="prefill", batch=2, tokens=512, context=1024)
    graph.check()
    attention, holder = operators(graph)["attention"]
    assert [nest.points for nest in attention.nests if nest.function == "mac"] == [2 * 32 * 512 * 1024 * 128] * 2
    assert holder.tensors["k_cache_new"].region_bytes == 2 * 8 * 512 * 128 * 2
    assert counts(graph).kv_cache_bytes == 2 * 1024 * 131_072


def test_append_writes_only_the_new_token() -> None:
    append, holder = operators(graph_of("llama-3-8b", "decode", batch=4, context=1000))["kv_append"]
    for name in append.outputs:
        cache = holder.tensors[name]
        assert cache.role is Role.KV_CACHE
        assert cache.alias_of in append.inputs
        assert cache.region_bytes == 4 * 8 * 128 * 2
    assert sum(nest.points for nest in append.nests) == 2 * 4 * 8 * 128
    assert {operand.tensor for nest in append.nests for operand in nest.reads}.isdisjoint({"k_cache", "v_cache"})


def test_sliding_window_bounds_cache_and_attention() -> None:
    config = CONFIGS["mistral-7b"]
    made = decoder_graph(config, phase="decode", context=10_000)
    assert counts(made).kv_cache_bytes == 4096 * 131_072
    assert operators(made)["attention"][0].attributes["keys"] == 4096
    assert any("sliding window" in note for note in made.notes)
    prompt = decoder_graph(config, phase="prefill", tokens=5000)
    prompt.check()
    assert counts(prompt).kv_cache_bytes == 4096 * 131_072
    with pytest.raises(UnsupportedError, match="full sliding window"):
        decoder_graph(config, phase="prefill", tokens=100, context=5000)


def test_tied_head_is_stored_once() -> None:
    tied = CONFIGS["gpt2-small"]
    assert operators(decoder_graph(tied, phase="decode"))["lm_head"][0].inputs[1] == "embedding.weight"
    apart = counts(decoder_graph(replace(tied, tied=False), phase="decode"))
    assert apart.parameters - counts(decoder_graph(tied, phase="decode")).parameters == 50257 * 768


def test_head_of_a_prefill_sees_one_row_per_sequence() -> None:
    graph = graph_of("llama-3-8b", "prefill", batch=3, tokens=100)
    head, holder = operators(graph)["lm_head"]
    assert holder.tensors[head.inputs[0]].shape == (3, 4096)
    assert any("last position" in note for note in graph.notes)
    assert operators(graph)["last_token"][0].read_bytes == {"final_norm": 3 * 4096 * 2}


# -- laws --------------------------------------------------------------------------------------------------------------


def unrolled(graph: OperatorGraph) -> OperatorGraph:
    """The same graph with the repeat written out, by an own renaming."""
    nodes: list[Operator | Repeat] = []
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        if isinstance(node, Operator):
            nodes.append(node)
            continue
        carried = {inner: output for output, inner in node.carried}
        for turn in range(node.count):
            names = {name: f"{turn}/{name}" for name in node.body.tensors}
            for inner, outer in node.inputs.items():
                names[inner] = outer if turn == 0 or inner not in carried else f"{turn - 1}/{carried[inner]}"
            if turn == node.count - 1:
                names.update(node.outputs)
            for name, tensor in node.body.tensors.items():
                if names[name] not in tensors:
                    tensors[names[name]] = replace(tensor, name=names[name], alias_of=names.get(tensor.alias_of or "", tensor.alias_of))
            for inner_node in node.body.nodes:
                assert isinstance(inner_node, Operator)
                nodes.append(
                    replace(
                        inner_node, name=f"{turn}/{inner_node.name}", inputs=tuple(names[name] for name in inner_node.inputs),
                        outputs=tuple(names[name] for name in inner_node.outputs), nests=tuple(
                            replace(nest, reads=tuple(replace(r, tensor=names.get(r.tensor, r.tensor)) for r in nest.reads),
                                    writes=tuple(replace(w, tensor=names.get(w.tensor, w.tensor)) for w in nest.writes))
                            for nest in inner_node.nests
                        ), read_bytes={names[name]: size for name, size in inner_node.read_bytes.items()},
                    )
                )  # fmt: skip
    return replace(graph, nodes=tuple(nodes), tensors=tensors)


UNFOLDED = [("gpt2-small", "decode"), ("llama-3-8b", "prefill"), ("mixtral-8x7b", "decode"), ("bert-base", "")]


@pytest.mark.parametrize(("name", "phase"), UNFOLDED)
def test_folded_equals_unrolled(name: str, phase: str) -> None:
    graph = graph_of(name, phase, batch=2)
    flat = unrolled(graph)
    flat.check()
    folded, spread = counts(graph).as_dict(), counts(flat).as_dict()
    assert spread.pop("distinct_operators") == spread["operators"]
    folded.pop("distinct_operators")
    assert spread == folded


@given(batch=st.integers(1, 9), tokens=st.integers(1, 70), parts=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_every_operand_stays_inside_its_tensor(batch: int, tokens: int, parts: int) -> None:
    """The largest index of every operand is below the axis, the smallest at least 0: no nest reads another tensor's bytes."""
    config = TransformerConfig(
        "toy", "x", 2, 24, 4, 2, 6, 20, 50, qkv_bias=True, output_bias=True, mlp_bias=True, qk_norm=True, sliding_window=33,
        moe=MoE(5, 2, 12, shared=1, shared_width=7) if parts == 4 else None,
    )  # fmt: skip
    graphs = [
        decoder_graph(config, phase="prefill", batch=batch, tokens=tokens),
        decoder_graph(config, phase="decode", batch=batch, context=tokens),
        decoder_graph(replace(config, sliding_window=0), phase="prefill", batch=batch, tokens=tokens, context=tokens + parts),
        encoder_graph(replace(config, encoder=True, moe=None, pooler=True), batch=batch, tokens=tokens),
    ]  # fmt: skip
    for graph in graphs:
        graph.check()
        for operator, holder, _ in graph.walk():
            for nest in operator.nests:
                extents = dict(nest.dims)
                for operand in (*nest.reads, *nest.writes):
                    tensor = operator.internal.get(operand.tensor) or holder.tensors[operand.tensor]
                    for axis, size in zip(operand.axes, tensor.shape, strict=True):
                        assert axis.offset >= 0
                        assert axis.offset + sum(c * (extents[dim] - 1) for dim, c in axis.terms) < size, (operator.name, operand)


def test_activations_between_operators_are_written_before_they_are_read() -> None:
    """Program order of every zoo model, with all writes of an operator covering its outputs once where it is not a choice."""
    for name in CONFIGS:
        graph = graph_of(name, "prefill", tokens=8, batch=2)
        graph.check()
        for operator, holder, _ in graph.walk():
            for out in operator.outputs:
                points = {prod(n for d, n in nest.dims if d in w.dims) for nest in operator.nests for w in nest.writes if w.tensor == out}
                if operator.kind in ("gemm", "norm", "elementwise", "embedding") and len(operator.nests) == 1:
                    assert points == {holder.tensors[out].values}, (name, operator.name)


def test_parallel_block_has_one_norm_and_equal_macs() -> None:
    config = TransformerConfig("gptj", "x", 4, 64, 4, 4, 16, 256, 100, gated=False, activation="gelu")
    sequential = counts(decoder_graph(config, phase="decode"))
    parallel = counts(decoder_graph(replace(config, parallel=True), phase="decode"))
    assert parallel.macs == sequential.macs
    assert sequential.parameters - parallel.parameters == 4 * 64


# -- bad arguments -----------------------------------------------------------------------------------------------------

BAD_CALLS: list[tuple[str, dict[str, object], str]] = [
    ("llama-3-8b", {"phase": "encode"}, "unknown phase 'encode'"),
    ("llama-3-8b", {"phase": "decode", "batch": 0}, "batch is 0"),
    ("llama-3-8b", {"phase": "decode", "context": -5}, "context is -5"),
    ("llama-3-8b", {"phase": "prefill", "tokens": 1 << 40}, "tokens is"),
    ("llama-3-8b", {"phase": "prefill", "tokens": 2.5}, "tokens is 2.5"),
    ("llama-3-8b", {"phase": "decode", "batch": True}, "batch is True"),
    ("llama-3-8b", {"phase": "prefill", "tokens": 100, "context": 50}, "context 50 is shorter"),
    ("gpt2-small", {"phase": "decode", "context": 1025}, "1025 positions, but gpt2-small has learned 1024"),
    ("bert-base", {"phase": "decode"}, "bert-base is an encoder"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), BAD_CALLS)
def test_bad_arguments(name: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        decoder_graph(CONFIGS[name], **arguments)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert caught.value.where


def test_bad_encoder_calls() -> None:
    with pytest.raises(ArgumentError, match="llama-3-8b is a decoder"):
        encoder_graph(CONFIGS["llama-3-8b"])
    with pytest.raises(ArgumentError, match="513 positions"):
        encoder_graph(CONFIGS["bert-base"], tokens=513)


@pytest.mark.parametrize(
    "change",
    [
        {"layers": 0},
        {"kv_heads": 3},
        {"activation": "swiglu"},
        {"norm": "batch"},
        {"intermediate": 0},
        {"moe": MoE(4, 5, 8)},
        {"positions": "x"},
    ],
)
def test_bad_config(change: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="llama-3-8b"):
        replace(CONFIGS["llama-3-8b"], **change)


def test_context_beyond_the_model_is_noted() -> None:
    assert any("longer than the 8192" in note for note in graph_of("llama-3-8b", "decode", context=10_000).notes)
    assert not any("longer" in note for note in graph_of("llama-3-8b", "decode", context=8192).notes)


def test_public_names_are_no_modules() -> None:
    """A submodule of the same name would shadow the function as soon as somebody imports it."""
    import importlib
    import pkgutil

    import workloads

    modules = {module.name for module in pkgutil.iter_modules(workloads.__path__)}
    assert modules.isdisjoint(workloads.__all__)
    for module in modules - {"onnx_import"}:
        importlib.import_module(f"workloads.{module}")
    assert callable(workloads.counts)
