"""The Transformer of "Attention Is All You Need" (Vaswani et al. 2017): a stack of encoder layers and one of decoder layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from workloads.builder import GraphBuilder
from workloads.graph import OperatorGraph
from workloads.zoo.network import NATIVE_FORMAT

LAYERS, WIDTH, HEADS, INNER = 6, 512, 8, 2048
"""The base model: table 3."""
TOKENS = 128


def transformer_base(batch: int = 1, format: str = NATIVE_FORMAT, tokens: int | None = None) -> OperatorGraph:
    """Both stacks over embedded source and target of ``tokens`` positions each (default 128), as ``torch.nn.Transformer``.

    Post-norm layers, a norm behind each stack, all positions of the target at once (causal). 44,140,544 parameters; no embeddings, no head.
    """
    length = TOKENS if tokens is None else tokens
    meta: dict[str, str | int | float] = {
        "phase": "inference", "batch": batch, "tokens": length, "format": format, "source": "zoo:transformer-base",
    }  # fmt: skip
    builder = GraphBuilder("transformer-base", format, meta)
    shape = (batch, length, WIDTH)
    memory = _stack(builder, "encoder", _encoder_layer(format, shape), builder.input("source", shape))
    target = builder.input("target", shape)
    builder.output(_stack(builder, "decoder", _decoder_layer(format, shape), target, {"memory": memory}))
    return builder.build()


def _stack(builder: GraphBuilder, name: str, layer: OperatorGraph, x: str, shared: Mapping[str, str] = MappingProxyType({})) -> str:
    builder.repeat(
        f"{name}.layers", layer, LAYERS, carried=(("y", "x"),), shared=tuple(shared), inputs={"x": x, **shared},
        outputs={"y": f"{name}.hidden"},
    )  # fmt: skip
    return _norm(builder, f"{name}.hidden", f"{name}.norm")


def _encoder_layer(format: str, shape: tuple[int, int, int]) -> OperatorGraph:
    body = GraphBuilder("encoder.layer", format)
    x = body.input("x", shape)
    x = _norm(body, body.elementwise("add", (x, _self_attention(body, x, causal=False)), "residual1"), "norm1")
    _norm(body, body.elementwise("add", (x, _mlp(body, x)), "residual2"), "y")
    body.output("y")
    return body.build()


def _decoder_layer(format: str, shape: tuple[int, int, int]) -> OperatorGraph:
    body = GraphBuilder("decoder.layer", format)
    x, memory = body.input("x", shape), body.input("memory", shape)
    x = _norm(body, body.elementwise("add", (x, _self_attention(body, x, causal=True)), "residual1"), "norm1")
    q = _linear(body, x, "cross.q", WIDTH)
    k, v = body.split(_linear(body, memory, "cross.kv", 2 * WIDTH), ("cross.k", "cross.v"), -1, (WIDTH, WIDTH), name="cross.split")
    x = _norm(body, body.elementwise("add", (x, _attention(body, q, k, v, "cross", causal=False)), "residual2"), "norm2")
    _norm(body, body.elementwise("add", (x, _mlp(body, x)), "residual3"), "y")
    body.output("y")
    return body.build()


def _linear(body: GraphBuilder, x: str, out: str, features: int) -> str:
    weight = body.weight(f"{out}.weight", (features, body[x].shape[-1]))
    return body.gemm(x, weight, out, bias=body.weight(f"{out}.bias", (features,)), transpose_b=True)


def _norm(body: GraphBuilder, x: str, out: str) -> str:
    return body.norm("layernorm", x, out, weight=body.weight(f"{out}.weight", (WIDTH,)), bias=body.weight(f"{out}.bias", (WIDTH,)))


def _mlp(body: GraphBuilder, x: str) -> str:
    return _linear(body, body.elementwise("relu", (_linear(body, x, "linear1", INNER),), "relu"), "linear2", WIDTH)


def _self_attention(body: GraphBuilder, x: str, *, causal: bool) -> str:
    q, k, v = body.split(_linear(body, x, "self.qkv", 3 * WIDTH), ("self.q", "self.k", "self.v"), -1, (WIDTH,) * 3, name="self.split")
    return _attention(body, q, k, v, "self", causal=causal)


def _attention(body: GraphBuilder, q: str, k: str, v: str, at: str, *, causal: bool) -> str:
    batch, queries, _ = body[q].shape
    body.attention(
        q, k, v, f"{at}.attention", batch=batch, heads=HEADS, kv_heads=HEADS, queries=queries, keys=body[k].shape[1],
        head_dim=WIDTH // HEADS, causal=causal,
    )  # fmt: skip
    return _linear(body, f"{at}.attention", f"{at}.out", WIDTH)


SEQUENCES: Mapping[str, tuple[Callable[..., OperatorGraph], str]] = MappingProxyType(
    {"transformer-base": (transformer_base, f"Transformer base, 6 + 6 layers (tokens of source and target, default {TOKENS})")}
)
"""Name to (builder of (batch, format, tokens), description)."""
