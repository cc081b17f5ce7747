"""Low-rank adapters beside linear layers (Hu et al., arXiv 2106.09685)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from hwspecs.vocabulary.errors import ArgumentError
from workloads.graph import Nest, Operand, Operator, OperatorGraph, Repeat, Role, Tensor
from workloads.nests import VECTOR_OPS, plain_axes

ADAPTERS = ("*.lora_down", "*.lora_up")
"""Patterns of the adapters' weights; all others are frozen."""


def lora(graph: OperatorGraph, rank: int, targets: str = "*") -> OperatorGraph:
    """``graph`` with y = x W^T + (x A^T) B^T in place of each linear layer y = x W^T: A (rank, inputs), B (outputs, rank).

    Output projections of language models and convolutions have none; a note says how many convolutions. The scale alpha / rank lies in B.

    Args:
        rank: of the adapters.
        targets: patterns of the weights that get one, as in file names, joined by commas.

    Raises:
        ArgumentError: the rank is no whole number of at least 1, no linear layer is meant, or no layer has more inputs and outputs
            than the rank (its adapter would be larger than the layer).
    """
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ArgumentError(f"lora is {rank!r}", where="lora", hint="give the rank, a whole number of at least 1")
    patterns = tuple(part.strip() for part in targets.split(",") if part.strip())
    widths: list[int] = []
    changed = _adapted(graph, rank, patterns, widths)
    if not widths:
        raise ArgumentError(f"no linear layer of {graph.name} is meant by {targets!r}", where="lora", hint="name weights, such as qkv.*")
    if rank >= max(widths):
        hint = f"give a rank below {max(widths)}; 4 to 64 are usual"
        raise ArgumentError(f"rank {rank} is not below the width of any layer of {graph.name}", where="lora", hint=hint)
    notes = [f"lora: {narrow} of {len(widths)} adapted layers are no wider than the rank"] if (narrow := _narrow(widths, rank)) else []
    if convolutions := sum(times for node, _, times in graph.walk() if node.kind == "conv"):
        plural = "convolutions have no adapter and are" if convolutions > 1 else "convolution has no adapter and is"
        notes.append(f"lora: {convolutions} {plural} frozen; adapters are beside linear layers")
    return replace(changed, notes=(*changed.notes, *notes), meta={**graph.meta, "lora": rank})


def _narrow(widths: Sequence[int], rank: int) -> int:
    return sum(width <= rank for width in widths)


def _adapted(graph: OperatorGraph, rank: int, patterns: tuple[str, ...], widths: list[int]) -> OperatorGraph:
    """``graph`` with adapters; the smaller of inputs and outputs of each adapted layer is added to ``widths``."""
    tensors = dict(graph.tensors)
    nodes: list[Operator | Repeat] = []
    for node in graph.nodes:
        if isinstance(node, Repeat):
            inner: list[int] = []
            nodes.append(replace(node, body=_adapted(node.body, rank, patterns, inner)))
            widths.extend(inner * node.count)
        elif _linear(node, tensors, patterns):
            widths.append(min(tensors[node.nests[0].reads[1].tensor].shape))
            nodes.extend(_layer(node, tensors, rank))
        else:
            nodes.append(node)
    return replace(graph, tensors=tensors, nodes=tuple(nodes))


def _linear(node: Operator, tensors: Mapping[str, Tensor], patterns: tuple[str, ...]) -> bool:
    if node.kind != "gemm" or node.fused or node.attributes.get("lm_head") or node.attributes.get("quantize") is False:
        return False
    first = node.nests[0]
    weight = tensors.get(first.reads[1].tensor) if first.function == "mac" and len(first.reads) == 2 else None
    if weight is None or weight.role is not Role.WEIGHT or len(weight.shape) != 2 or first.reads[0].tensor not in tensors:
        return False
    return any(fnmatchcase(weight.name, pattern) for pattern in patterns)


def _layer(node: Operator, tensors: dict[str, Tensor], rank: int) -> list[Operator]:
    """The layer, its two thin products and the sum, which takes the layer's output name."""
    nest = node.nests[0]
    x, weight = nest.reads
    output = node.outputs[0]
    out_axes = nest.writes[0].axes if len(node.nests) == 1 else node.nests[-1].writes[0].axes
    (n,) = (dim for dim in dict(nest.dims) if dim in nest.writes[0].dims and dim not in x.dims)
    (k,) = (dim for dim in dict(nest.dims) if dim not in nest.writes[0].dims)
    extents = dict(nest.dims)
    made, base = tensors[output], f"{output}.base"
    names = {word: f"{weight.tensor.removesuffix('.weight')}.lora_{word}" for word in ("down", "up")}
    format = made.format
    tensors[names["down"]] = Tensor(names["down"], (rank, extents[k]), format, Role.WEIGHT)
    tensors[names["up"]] = Tensor(names["up"], (extents[n], rank), format, Role.WEIGHT)
    rows = [(dim, size) for dim, size in nest.dims if dim not in (n, k)]
    thin = Tensor(f"{output}.lora_thin", (*(size for _, size in rows), rank), format)
    wide = replace(made, name=f"{output}.lora")
    for tensor in (thin, wide, replace(made, name=base)):
        tensors[tensor.name] = tensor
    thin_at = Operand(thin.name, plain_axes((*(dim for dim, _ in rows), "rank")))
    down = Nest((*rows, ("rank", rank), (k, extents[k])), "mac", (x, Operand(names["down"], plain_axes(("rank", k)))), (thin_at,))
    up = Nest(
        (*rows, (n, extents[n]), ("rank", rank)), "mac", (thin_at, Operand(names["up"], plain_axes((n, "rank")))),
        (Operand(wide.name, nest.writes[0].axes),),
    )  # fmt: skip
    dims = node.nests[-1].dims if len(node.nests) > 1 else tuple(item for item in nest.dims if item[0] != k)
    add = Nest(dims, "add", (Operand(base, out_axes), Operand(wide.name, out_axes)), (Operand(output, out_axes),), VECTOR_OPS["add"])
    last = node.nests[-1]
    moved = replace(last, writes=(Operand(base, last.writes[0].axes),))
    facts = {"lora": True}
    return [
        replace(node, name=f"{node.name}.base", outputs=(base,), nests=(*node.nests[:-1], moved)),
        Operator(f"{node.name}.lora_down", "gemm", (x.tensor, names["down"]), (thin.name,), (down,), attributes=facts, origin="lora"),
        Operator(f"{node.name}.lora_up", "gemm", (thin.name, names["up"]), (wide.name,), (up,), attributes=facts, origin="lora"),
        Operator(
            node.name, "elementwise", (base, wide.name), (output,), (add,), attributes={"function": "add", "adapted": True}, origin="lora"
        ),
    ]
