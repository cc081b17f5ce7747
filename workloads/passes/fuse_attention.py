"""Recognizing attention: softmax(scale Q K^T + mask) V spread over several operators becomes one fused operator."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from workloads.graph import Nest, Operand, Operator, OperatorGraph, Repeat, Tensor, as_matmul
from workloads.passes.common import in_bodies


def fuse_attention(graph: OperatorGraph, keep: Iterable[str] = ()) -> OperatorGraph:
    """Join matrix product, pointwise operators, softmax and matrix product into one ``attention`` operator.

    The pattern needs single consumers all along and the softmax over the axis that the second product reduces. The pointwise
    operators and the softmax become one ``softmax`` nest with the sum of their vector operations. Run it before ``fuse``.

    Args:
        keep: names of tensors that must stay visible beside the graph's outputs.
    """
    graph = in_bodies(graph, lambda body, held: fuse_attention(body, held))
    if not any(isinstance(node, Operator) and node.kind == "softmax" for node in graph.nodes):
        return graph
    consumers: dict[str, list[Operator | Repeat]] = {}
    makers: dict[str, Operator] = {}
    for node in graph.nodes:
        for name in node.read if isinstance(node, Repeat) else node.inputs:
            consumers.setdefault(name, []).append(node)
        if isinstance(node, Operator) and len(node.outputs) == 1:
            makers[node.outputs[0]] = node
    fixed = {*graph.outputs, *keep}
    tensors = dict(graph.tensors)
    replaced: dict[str, Operator | None] = {}
    for node in graph.nodes:
        if isinstance(node, Operator) and node.kind == "softmax" and node.attributes.get("axis") == len(tensors[node.outputs[0]].shape) - 1:
            chain = _chain(node, makers, consumers, fixed, tensors)
            if chain is not None:
                joined = _joined(chain, tensors)
                replaced.update((part.name, None) for part in chain)
                replaced[chain[-1].name] = joined
                for part in chain[:-1]:
                    tensors.pop(part.outputs[0], None)
    if not replaced:
        return graph
    nodes = [replaced.get(node.name, node) if isinstance(node, Operator) else node for node in graph.nodes]
    return replace(graph, tensors=tensors, nodes=tuple(node for node in nodes if node is not None))


def _is_product(node: Operator | Repeat | None) -> bool:
    return isinstance(node, Operator) and node.kind == "gemm" and len(node.nests) == 1 and len(node.nests[0].reads) == 2


def _chain(
    softmax: Operator,
    makers: dict[str, Operator],
    consumers: dict[str, list[Operator | Repeat]],
    fixed: set[str],
    tensors: dict[str, Tensor],
) -> list[Operator] | None:
    """The operators of one attention in order (product, pointwise ..., softmax, product), or None."""

    def alone(name: str) -> bool:
        return len(consumers.get(name, ())) == 1 and name not in fixed

    probs = softmax.outputs[0]
    last = consumers.get(probs, [None])[0]
    if not alone(probs) or not isinstance(last, Operator) or not _is_product(last) or last.nests[0].reads[0].tensor != probs:
        return None
    chain = [softmax, last]
    name = softmax.inputs[0]
    while alone(name) and (maker := makers.get(name)) is not None:
        if _is_product(maker):
            return [maker, *chain] if _activations_only(maker, last, tensors) else None
        same = [item for item in maker.inputs if tensors[item].shape == tensors[name].shape and item in makers]
        if maker.kind != "elementwise" or len(maker.nests) != 1 or not same:
            return None
        chain.insert(0, maker)
        name = same[0]
    return None


def _activations_only(first: Operator, last: Operator, tensors: dict[str, Tensor]) -> bool:
    """Neither product may have a weight as its second operand: that would be a linear layer."""
    return all(tensors[node.nests[0].reads[1].tensor].role.value != "weight" for node in (first, last))


def _joined(chain: list[Operator], tensors: dict[str, Tensor]) -> Operator:
    first, *middle, last = chain
    links = [node.outputs[0] for node in chain[:-1]]
    score, prob = tensors[links[0]], tensors[links[-1]]
    read = Operand(score.name, middle[-1].nests[0].reads[0].axes)
    extra: list[Operand] = []
    ops = 0
    for node in middle:
        ops += node.nests[0].vector_ops
        extra.extend(operand for operand in node.nests[0].reads if operand.tensor not in links)
    weights = middle[-1].nests[0]
    softmax = Nest(weights.dims, "softmax", (read, *extra), weights.writes, ops)
    qk, pv = as_matmul(first.nests[0]), as_matmul(last.nests[0])
    shape = score.shape
    heads = shape[-3] if len(shape) > 2 else 1
    batch = score.values // (heads * shape[-1] * shape[-2]) if score.values else 0
    attributes: dict[str, int | float | str | bool] = {
        "batch": batch, "heads": heads, "kv_heads": heads, "queries": shape[-2], "keys": shape[-1], "head_dim": qk.k, "value_dim": pv.n,
        "causal": False,
    }  # fmt: skip
    inputs = dict.fromkeys(name for node in chain for name in node.inputs if name not in links)
    reads = {name: count for node in chain for name, count in node.read_bytes.items()}
    return Operator(
        last.name, "attention", tuple(inputs), last.outputs, (first.nests[0], softmax, last.nests[0]),
        {score.name: score, prob.name: prob}, attributes, reads, last.origin, tuple(node.name for node in (first, *middle)),
    )  # fmt: skip
