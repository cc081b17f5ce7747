"""The parts of one transformer layer, written into a ``GraphBuilder``: attention with its cache, dense MLP, expert MLP.

Linear weights have shape (outputs, inputs), as checkpoints store them; biases are part of the matrix product's operator.
T stands for the rows of the activations: batch x tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, expm1, log1p

from workloads.builder import GraphBuilder
from workloads.graph import Axis, Nest, Operand, Operator, Role, Tensor
from workloads.nests import VECTOR_OPS, axis, plain_axes
from workloads.transformer_config import MoE, TransformerConfig


@dataclass(frozen=True, slots=True)
class Step:
    """What one call of the model computes.

    Attributes:
        batch: sequences.
        tokens: new positions of each sequence.
        context: positions that each sequence has afterwards, the new ones included.
        cache: positions of the cache afterwards: the context, or the sliding window where that is shorter; 0 without a cache.
    """

    batch: int
    tokens: int
    context: int
    cache: int

    @property
    def rows(self) -> int:
        """Rows of the activations: batch x tokens."""
        return self.batch * self.tokens

    @property
    def stored(self) -> int:
        """New positions that enter the cache (a window shorter than the prompt keeps its end only)."""
        return min(self.tokens, self.cache)

    @property
    def reads_cache(self) -> bool:
        """Earlier positions exist, so that attention reads the cache; otherwise it reads the keys and values just made."""
        return self.context > self.tokens


def linear(builder: GraphBuilder, config: TransformerConfig, x: str, out: str, outputs: int, *, bias: bool = False) -> str:
    """out (T, outputs) = x (T, inputs) times the transpose of a weight ``<out>.weight`` (outputs, inputs), in the blocks' weight format."""
    inputs = builder[x].shape[-1]
    weight = builder.weight(f"{out}.weight", (outputs, inputs), format=weight_format(config, inputs))
    added = builder.weight(f"{out}.bias", (outputs,)) if bias else None
    return builder.gemm(x, weight, out, bias=added, transpose_b=True)


def weight_format(config: TransformerConfig, inputs: int) -> str:
    """Format of a block's linear weight with ``inputs`` columns; a group of -1 spans all of them."""
    chosen = config.weight_format or config.format
    return f"{chosen[:-2]}{inputs}" if chosen.endswith("g-1") else chosen


def norm(builder: GraphBuilder, config: TransformerConfig, x: str, out: str) -> str:
    """The config's norm over the last axis, with its weight (and bias for ``layernorm``)."""
    width = builder[x].shape[-1]
    weight = builder.weight(f"{out}.weight", (width,))
    bias = builder.weight(f"{out}.bias", (width,)) if config.norm == "layernorm" else None
    return builder.norm(config.norm, x, out, weight=weight, bias=bias)


def attention_block(builder: GraphBuilder, config: TransformerConfig, step: Step, x: str) -> str:
    """Fused query-key-value projection, head norms, rotary embedding, cache append, attention and output projection of x (T, hidden)."""
    qkv = linear(builder, config, x, "qkv", config.qkv_width, bias=config.qkv_bias)
    q, k, v = _split_heads(builder, config, step, qkv)
    if config.qk_norm:
        q, k = norm(builder, config, q, "q_norm"), norm(builder, config, k, "k_norm")
    if config.positions == "rope":
        q, k = _rope(builder, q, k)
    keys, layout = step.tokens, "(bs)hd"
    if step.cache:
        cached = _append_cache(builder, config, step, k, v)
        if step.reads_cache:
            (k, v), layout, keys = cached, "bhsd", step.cache
    attributes: dict[str, int | float | str | bool] = {"phase": "decode" if step.reads_cache else "prefill"}
    if config.sliding_window:
        attributes["window"] = config.sliding_window
    builder.attention(
        q, k, v, "attention", batch=step.batch, heads=config.heads, kv_heads=config.kv_heads, queries=step.tokens, keys=keys,
        head_dim=config.head_dim, causal=not config.encoder, layouts=("(bs)hd", layout, layout, "(bs)(hd)"), attributes=attributes,
    )  # fmt: skip
    return linear(builder, config, "attention", "attention_out", config.hidden, bias=config.output_bias)


def _split_heads(builder: GraphBuilder, config: TransformerConfig, step: Step, qkv: str) -> tuple[str, str, str]:
    """Views of the columns of ``qkv`` (T, all heads): q (T, heads, head_dim), k and v (T, kv_heads, head_dim)."""
    for name, heads in (("q", config.heads), ("k", config.kv_heads), ("v", config.kv_heads)):
        builder.tensor(name, (step.rows, heads, config.head_dim), alias_of=qkv)
    builder.operator("view", (qkv,), ("q", "k", "v"), name="split_heads")
    return "q", "k", "v"


def _rope(builder: GraphBuilder, q: str, k: str) -> tuple[str, str]:
    """Rotary embedding of q and k in one operator: two multiplies and an add per element; sines and cosines stay on chip."""
    dims = ("t", "h", "d")
    whole = plain_axes(dims)
    steps = []
    for name in (q, k):
        shape = builder[name].shape
        out = builder.tensor(f"{name}_rope", shape)
        steps.append(
            Nest(tuple(zip(dims, shape, strict=True)), "rope", (Operand(name, whole),), (Operand(out, whole),), VECTOR_OPS["rope"])
        )
    builder.operator("elementwise", (q, k), (f"{q}_rope", f"{k}_rope"), steps, name="rope", attributes={"function": "rope"})
    return f"{q}_rope", f"{k}_rope"


def _append_cache(builder: GraphBuilder, config: TransformerConfig, step: Step, k: str, v: str) -> tuple[str, str]:
    """Copy the new keys and values into the caches (batch, kv_heads, positions, head_dim); returns the caches that hold them.

    The new cache aliases the old one: only the new region is written, and nothing of the old one is read.
    """
    shape = (step.batch, config.kv_heads, step.cache, config.head_dim)
    dims = (("b", step.batch), ("h", config.kv_heads), ("s", step.stored), ("d", config.head_dim))
    skipped, before = step.tokens - step.stored, step.cache - step.stored
    row = Axis((("b", step.tokens), ("s", 1)), skipped)
    position = axis(("s", 1), offset=before)
    inputs, outputs, steps = [k, v], [], []
    for letter, source in (("k", k), ("v", v)):
        old = builder.tensor(f"{letter}_cache", shape, role=Role.KV_CACHE)
        region = builder[old].stored_bytes // step.cache * step.stored
        new = builder.tensor(f"{letter}_cache_new", shape, role=Role.KV_CACHE, alias_of=old, region_bytes=region)
        inputs.append(old)
        outputs.append(new)
        h, d = plain_axes(("h", "d"))
        b = axis(("b", 1))
        steps.append(Nest(dims, "copy", (Operand(source, (row, h, d)),), (Operand(new, (b, h, position, d)),)))
    builder.operator("copy", inputs, outputs, steps, name="kv_append", attributes={"function": "kv_append"})
    return outputs[0], outputs[1]


def mlp_block(builder: GraphBuilder, config: TransformerConfig, x: str, out: str, width: int, prefix: str = "mlp") -> str:
    """Dense MLP of x (T, hidden), ``width`` wide; gate and up projection are one matrix product."""
    hidden = builder[x].shape[-1]
    up = linear(builder, config, x, f"{prefix}_up", width * (2 if config.gated else 1), bias=config.mlp_bias)
    acted = _activate(builder, config, up, f"{prefix}_act", width)
    return linear(builder, config, acted, out, hidden, bias=config.mlp_bias)


def _activate(builder: GraphBuilder, config: TransformerConfig, up: str, out: str, width: int) -> str:
    """out[t, i] = f(up[t, i]), times up[t, width + i] in a gated MLP."""
    function = config.activation
    ops = VECTOR_OPS["relu"] + VECTOR_OPS["square"] if function == "relu2" else VECTOR_OPS[function]
    rows = builder[up].shape[0]
    whole = plain_axes(("t", "i"))
    reads: tuple[Operand, ...] = (Operand(up, whole),)
    if config.gated:
        reads = (*reads, Operand(up, (whole[0], axis(("i", 1), offset=width))))
        ops += VECTOR_OPS["mul"]
    builder.tensor(out, (rows, width))
    step = Nest((("t", rows), ("i", width)), function, reads, (Operand(out, whole),), ops)
    builder.operator("elementwise", (up,), (out,), (step,), attributes={"function": function, "gated": config.gated})
    return out


def distinct_experts(experts: int, per_token: int, tokens: int) -> int:
    """Expected number of different experts that ``tokens`` tokens visit under uniform routing, rounded up.

    Each token visits ``per_token`` of ``experts``; one expert is missed by all with probability (1 - per_token / experts) ** tokens,
    so the expectation is experts (1 - (1 - per_token / experts) ** tokens). It never exceeds ``experts`` or the visits.
    """
    if per_token >= experts:
        return experts
    expected = -experts * expm1(tokens * log1p(-per_token / experts))
    return min(experts, tokens * per_token, ceil(expected - 1e-9 * experts))


def moe_block(builder: GraphBuilder, config: TransformerConfig, moe: MoE, x: str, out: str) -> str:
    """Router, choice of experts, routed experts as one expert-batched product per projection, weighted sum, shared experts."""
    rows, hidden = builder[x].shape
    gates = _route(builder, config, moe, x)
    visits = rows * moe.per_token
    hit = distinct_experts(moe.experts, moe.per_token, rows)
    gathered = builder.tensor("expert_in", (visits, hidden))
    t_j, h = Axis((("t", moe.per_token), ("j", 1))), axis(("h", 1))
    t = axis(("t", 1))
    dims = (("t", rows), ("j", moe.per_token), ("h", hidden))
    spread = Nest(dims, "copy", (Operand(x, (t, h)),), (Operand(gathered, (t_j, h)),))
    builder.operator("copy", (x,), (gathered,), (spread,), name="dispatch", attributes={"function": "dispatch"})
    up = _expert_linear(builder, config, moe, hit, gathered, "expert_up", moe.width * (2 if config.gated else 1))
    acted = _activate(builder, config, up, "expert_act", moe.width)
    down = _expert_linear(builder, config, moe, hit, acted, "expert_down", hidden)
    routed = builder.tensor("combined" if moe.shared else out, (rows, hidden))
    weighted = Nest(dims, "add", (Operand(down, (t_j, h)), Operand(gates, (t, axis(("j", 1))))), (Operand(routed, (t, h)),), 2)
    builder.operator("elementwise", (down, gates), (routed,), (weighted,), name="combine", attributes={"function": "combine"})
    if not moe.shared:
        return routed
    shared = mlp_block(builder, config, x, "shared_down", moe.shared * moe.shared_width, prefix="shared")
    if moe.shared_gate:
        weight = builder.weight("shared_gate.weight", (1, hidden))
        gate = builder.gemm(x, weight, "shared_gate", transpose_b=True)
        shared = builder.elementwise("mul", (shared, gate), "shared_gated", vector_ops=VECTOR_OPS["sigmoid"] + 1)
    return builder.elementwise("add", (routed, shared), out)


def _route(builder: GraphBuilder, config: TransformerConfig, moe: MoE, x: str) -> str:
    """Router product, softmax over the experts and choice of the k best; returns the gates (T, k). The router is not quantized."""
    rows, hidden = builder[x].shape
    weight = builder.weight("router.weight", (moe.experts, hidden))
    logits = builder.gemm(x, weight, "router", transpose_b=True, attributes={"quantize": False})
    gates = builder.tensor("gates", (rows, moe.per_token))
    chosen = builder.tensor("chosen_experts", (rows, moe.per_token), format="int32", role=Role.INDEX)
    t, e, any_k = axis(("t", 1)), axis(("e", 1)), Axis(())
    # the choice is counted as one pass of comparisons over the experts for each expert chosen
    step = Nest(
        (("t", rows), ("e", moe.experts)), "max", (Operand(logits, (t, e)),), (Operand(gates, (t, any_k)), Operand(chosen, (t, any_k))),
        VECTOR_OPS["softmax"] + moe.per_token,
    )  # fmt: skip
    facts: dict[str, int | float | str | bool] = {"k": moe.per_token, "of": moe.experts, "router": moe.router}
    builder.operator("topk", (logits,), (gates, chosen), (step,), name="choose_experts", attributes=facts)
    return gates


def _expert_linear(builder: GraphBuilder, config: TransformerConfig, moe: MoE, hit: int, x: str, out: str, outputs: int) -> str:
    """out (visits, outputs): each row of x (visits, inputs) times the weight of its expert, of weights (experts, outputs, inputs).

    ``hit`` experts are visited; the visits spread over them as evenly as whole rows allow: ``more`` experts take one row more than the
    others, so there are one or two nests and their multiply-accumulates are exact. Rows of one expert lie together.
    """
    visits, inputs = builder[x].shape
    weight = builder[builder.weight(f"{out}.weight", (moe.experts, outputs, inputs), format=weight_format(config, inputs))]
    builder.tensor(out, (visits, outputs))
    each, more = divmod(visits, hit)
    n, k = plain_axes(("n", "k"))
    steps = []
    for experts, rows, first_expert, first_row in ((more, each + 1, 0, 0), (hit - more, each, more, more * (each + 1))):
        if not experts:
            continue
        row = Axis((("e", rows), ("m", 1)), first_row)
        dims = (("e", experts), ("m", rows), ("n", outputs), ("k", inputs))
        reads = (Operand(x, (row, k)), Operand(weight.name, (axis(("e", 1), offset=first_expert), n, k)))
        steps.append(Nest(dims, "mac", reads, (Operand(out, (row, n)),)))
    one_expert = Tensor("one", (outputs, inputs), weight.format).stored_bytes
    facts: dict[str, int | float | str | bool] = {
        "experts": moe.experts, "experts_per_token": moe.per_token, "experts_hit": hit, "rows_per_expert": -(-visits // hit),
    }  # fmt: skip
    builder.add(
        Operator(out, "gemm", (x, weight.name), (out,), tuple(steps), {}, facts, {weight.name: min(hit * one_expert, weight.stored_bytes)})
    )
    return out
