"""Number formats by policy: which tensors are stored in what."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from hwspecs.vocabulary.errors import ArgumentError
from hwspecs.vocabulary.formats import NumberFormat, format_names, number_format
from hwspecs.vocabulary.suggest import did_you_mean
from workloads.graph import OperatorGraph, Repeat, Role, Tensor
from workloads.passes.common import exchange, linear_weights

_WORD = r"(?:fp8|fp4|fp16|bf16|int\d+|\d+)"
_POLICY = re.compile(rf"w(?P<w>{_WORD})(?:g(?P<g>\d+))?a(?P<a>{_WORD})(?:kv(?P<kv>{_WORD}))?")
_HINT = "write a format (bf16, int8), or wWaA, wWgGaA, wWaAkvK such as w4a16, w4g128a16, w8a8, w4a16kv8"


@dataclass(frozen=True, slots=True)
class QuantizationPolicy:
    """Formats by what a tensor is.

    Attributes:
        weight: weights of linear layers (matrix products and convolutions), output projections of language models excepted.
        activation: activations, internal tensors, gradients.
        kv: key-value cache.
        other: embeddings, output projections, norms, biases and states: 16 bits in a mixed policy.
        everything: the policy is one plain format for all tensors.
    """

    weight: NumberFormat
    activation: NumberFormat
    kv: NumberFormat
    other: NumberFormat
    everything: bool = False


def parse_policy(text: str, wide: str = "bf16") -> QuantizationPolicy:
    """Read a policy text.

    ``bf16``, ``int8``, ...: everything in that format. ``w4a16``: 4-bit integer weights of linear layers, the rest in the 16-bit
    format ``wide``; ``w4g128a16``: with a scale and a zero point per 128 weights; ``w8a8``: 8-bit weights and activations,
    while embeddings, output projection, norms and biases stay in ``wide``; ``...kv8``: the KV cache in 8 bits, else in the format of the
    activations. A number is an integer format (16: ``wide``); ``fp8``, ``fp4``, ``bf16``, ``int8`` name one.

    Raises:
        ArgumentError: the text is none of these.
    """
    key = text.strip().lower()
    match = _POLICY.fullmatch(key)
    if match is None:
        if re.fullmatch(r"[a-z]+\d+g\d+", key):
            raise ArgumentError(
                f"format {text!r} has group scales, which only weights can have", hint="write w4g128a16 for int4 weights in groups"
            )
        try:
            plain = number_format(key)
        except Exception as error:
            near = did_you_mean(key, (*format_names(), "w4a16", "w8a8", "w4g128a16"))
            hint = f"{near} {_HINT}" if near.startswith("did") else _HINT
            raise ArgumentError(f"cannot read the format {text!r}", where="format", hint=hint) from error
        return QuantizationPolicy(plain, plain, plain, plain, everything=True)
    weight = _named(text, match["w"], wide)
    if match["g"]:
        if weight.family != "int" or int(match["g"]) < 1:
            raise ArgumentError(f"format {text!r}: groups need an integer weight format and a size of at least 1", hint=_HINT)
        weight = number_format(f"{weight.name}g{match['g']}")
    activation = _named(text, match["a"], wide)
    kv = _named(text, match["kv"], wide) if match["kv"] else activation
    return QuantizationPolicy(weight, activation, kv, number_format(wide))


def _named(text: str, word: str, wide: str) -> NumberFormat:
    name = word if not word.isdigit() else wide if word == "16" else "fp32" if word == "32" else f"int{word}"
    try:
        return number_format(name)
    except Exception as error:
        raise ArgumentError(
            f"format {text!r} asks for {word} bits, for which there is no format",
            where="format",
            hint=f"known: {', '.join(format_names())}",
        ) from error


def quantize(graph: OperatorGraph, policy: str | QuantizationPolicy) -> OperatorGraph:
    """``graph`` stored in the formats of ``policy``; integer indices and binary events keep theirs. MACs and shapes stay.

    Raises:
        ArgumentError: the policy's text cannot be read.
    """
    text = policy if isinstance(policy, str) else policy.weight.name
    if isinstance(policy, str):
        policy = parse_policy(policy, _wide_format(graph))
    changed = _quantized(graph, policy, frozenset())
    return replace(changed, meta={**graph.meta, "format": text})


def _wide_format(graph: OperatorGraph) -> str:
    """The graph's own 16-bit float format, bf16 where it has none."""
    for tensor in graph.tensors.values():
        if tensor.format.name in ("fp16", "bf16"):
            return tensor.format.name
    return "bf16"


def _quantized(graph: OperatorGraph, policy: QuantizationPolicy, outer_linear: frozenset[str]) -> OperatorGraph:
    linear: frozenset[str] = frozenset() if policy.everything else frozenset(linear_weights(graph)) | outer_linear

    def stored(tensor: Tensor) -> Tensor:
        if tensor.role is Role.INDEX or (tensor.format.name == "int1" and tensor.role is not Role.WEIGHT):
            return tensor
        if tensor.role is Role.WEIGHT:
            wanted = policy.weight if policy.everything or tensor.name in linear else policy.other
        elif tensor.role is Role.KV_CACHE:
            wanted = policy.kv
        elif tensor.role in (Role.STATE, Role.OPTIMIZER_STATE):
            wanted = policy.other
        else:
            wanted = policy.activation
        if tensor.format is wanted:
            return tensor
        return Tensor(tensor.name, tensor.shape, wanted, tensor.role, tensor.sparsity, tensor.alias_of, tensor.region_bytes, tensor.view_of)

    nodes = []
    for node in graph.nodes:
        if isinstance(node, Repeat):
            held = frozenset(inner for inner, outer in node.inputs.items() if outer in linear)
            node = replace(node, body=_quantized(node.body, policy, held))
        nodes.append(node)
    return exchange(replace(graph, nodes=tuple(nodes)), {name: stored(tensor) for name, tensor in graph.tensors.items()}, stored)
