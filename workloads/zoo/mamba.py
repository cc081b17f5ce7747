"""Mamba (Gu and Dao 2023, arXiv 2312.00752): a language model of selective state space layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from workloads.builder import GraphBuilder
from workloads.graph import Nest, Operand, OperatorGraph, Role, Tensor
from workloads.nests import VECTOR_OPS, axis, plain_axes
from workloads.zoo.network import NATIVE_FORMAT

LAYERS, WIDTH, VOCABULARY = 24, 768, 50280
INNER, STATE, RANK, TAPS = 2 * WIDTH, 16, WIDTH // 16, 4
"""config.json of state-spaces/mamba-130m; the defaults of its code: expansion 2, 16 states, a 4-wide convolution, rank width / 16.
The vocabulary of 50277 is padded to a multiple of 8."""
TOKENS = 512

SCAN_OPS = 1 + VECTOR_OPS["exp"] + 2 + 2 + 2
"""Per channel, state and token: delta A and its exponential; (delta B) x; the state scaled and added to; C h summed."""


def mamba_130m(batch: int = 1, format: str = NATIVE_FORMAT, tokens: int | None = None, *, every: bool = False) -> OperatorGraph:
    """Mamba-130M reading a prompt of ``tokens`` (default 512), logits of the last one (``every``: of all, as a training step needs
    them): 129,135,360 parameters.

    The layers are one folded repeat. The scan is one operator that keeps its states to itself; they start at zero.
    """
    length = TOKENS if tokens is None else tokens
    meta: dict[str, str | int | float] = {
        "phase": "inference", "batch": batch, "tokens": length, "format": format, "source": "zoo:mamba-130m",
    }  # fmt: skip
    builder = GraphBuilder("mamba-130m", format, meta)
    ids = builder.input("token_ids", (batch, length), role=Role.INDEX)
    x = builder.embedding(ids, builder.weight("embedding.weight", (VOCABULARY, WIDTH)), "embedding")
    body = GraphBuilder("mamba-130m.layer", format)
    inner = body.input("x", (batch, length, WIDTH))
    normed = body.norm("rmsnorm", inner, "norm", weight=body.weight("norm.weight", (WIDTH,)))
    result = body.elementwise("add", (_mixer(body, normed), inner), "y")
    body.output(result)
    builder.repeat("layers", body.build(), LAYERS, carried=((result, inner),), inputs={inner: x}, outputs={result: "hidden"})
    last = "hidden" if every else builder.slice("hidden", "last_token", (0, length - 1, 0), (batch, 1, WIDTH))
    last = builder.norm("rmsnorm", last, "norm_f", weight=builder.weight("norm_f.weight", (WIDTH,)))
    facts = {"lm_head": True, "quantize": False}
    builder.output(builder.gemm(last, "embedding.weight", "logits", transpose_b=True, name="lm_head", attributes=facts))
    builder.notes.append("the order in which a scan runs over the tokens is not played: it counts as so much vector work")
    return builder.build()


def _mixer(builder: GraphBuilder, x: str) -> str:
    """Projection in, causal convolution, selective scan, gate, projection out; x (batch, tokens, width)."""

    def linear(x: str, out: str, features: int, bias: bool = False) -> str:
        weight = builder.weight(f"{out}.weight", (features, builder[x].shape[-1]))
        return builder.gemm(x, weight, out, bias=builder.weight(f"{out}.bias", (features,)) if bias else None, transpose_b=True)

    u, z = builder.split(linear(x, "in_proj", 2 * INNER), ("u", "z"), -1, (INNER, INNER), name="split_gate")
    u = builder.elementwise("silu", (_causal(builder, u),), "conv1d.silu")
    step, b, c = builder.split(linear(u, "x_proj", RANK + 2 * STATE), ("dt", "B", "C"), -1, (RANK, STATE, STATE), name="split_scan")
    delta = builder.elementwise("softplus", (linear(step, "dt_proj", INNER, bias=True),), "delta")
    y = _scan(builder, u, delta, b, c)
    skip = builder.elementwise("mul", (u, builder.weight("D", (INNER,))), "skip")
    y = builder.elementwise("add", (y, skip), "scan_out")
    y = builder.elementwise("mul", (y, builder.elementwise("silu", (z,), "gate")), "gated")
    return linear(y, "out_proj", WIDTH)


def _causal(builder: GraphBuilder, x: str) -> str:
    """Depthwise convolution along the tokens that sees a token and the three before it; channels are the last axis."""
    batch, tokens, channels = builder[x].shape
    weight, bias = builder.weight("conv1d.weight", (channels, 1, TAPS)), builder.weight("conv1d.bias", (channels,))
    out = builder.tensor("conv1d", (batch, tokens, channels))
    n, g, c, p, r = plain_axes(("n", "g", "c", "p0", "r0"))
    seen = axis(("p0", 1), ("r0", 1), offset=1 - TAPS)
    dims = (("n", batch), ("g", channels), ("k", 1), ("p0", tokens), ("c", 1), ("r0", TAPS))
    channel = axis(("g", 1), ("k", 1))
    reads = (Operand(x, (n, seen, axis(("g", 1), ("c", 1)))), Operand(weight, (channel, c, r)))
    mac = Nest(dims, "mac", reads, (Operand("sum", (n, p, channel)),))
    points = (("n", batch), ("p0", tokens), ("g", channels))
    add = Nest(points, "add", (Operand("sum", (n, p, g)), Operand(bias, (g,))), (Operand(out, (n, p, g)),), VECTOR_OPS["add"])
    internal = {"sum": Tensor("sum", builder[out].shape, builder[out].format)}
    builder.operator("conv", (x, weight, bias), (out,), (mac, add), internal=internal)
    return out


def _scan(builder: GraphBuilder, u: str, delta: str, b: str, c: str) -> str:
    """h = exp(delta A) h + (delta B) u, y = C h, for every channel and token."""
    batch, tokens, channels = builder[u].shape
    a = builder.weight("A_log", (channels, STATE))
    out = builder.tensor("scan", (batch, tokens, channels))
    n, t, d, s = plain_axes(("n", "t", "d", "s"))
    dims = (("n", batch), ("d", channels), ("t", tokens), ("s", STATE))
    reads = (Operand(u, (n, t, d)), Operand(delta, (n, t, d)), Operand(a, (d, s)), Operand(b, (n, t, s)), Operand(c, (n, t, s)))
    step = Nest(dims, "scan", reads, (Operand(out, (n, t, d)),), SCAN_OPS)
    builder.operator("scan", (u, delta, a, b, c), (out,), (step,), attributes={"function": "scan", "states": STATE})
    return out


SEQUENCES: Mapping[str, tuple[Callable[..., OperatorGraph], str]] = MappingProxyType(
    {"mamba-130m": (mamba_130m, f"Mamba-130M reading a prompt (tokens, default {TOKENS})")}
)
"""Name to (builder of (batch, format, tokens), description)."""

TRAINED: Mapping[str, Callable[..., OperatorGraph]] = MappingProxyType({"mamba-130m": partial(mamba_130m, every=True)})
"""Name to the builder of the graph that is trained, where that is another one."""
