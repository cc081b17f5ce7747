"""Attention as three operators: the inverse of recognizing it."""

from __future__ import annotations

from dataclasses import replace

from workloads.graph import Operator, OperatorGraph, Repeat, Tensor
from workloads.passes.common import in_bodies

_KINDS = {"mac": "gemm", "softmax": "softmax"}


def split_attention(graph: OperatorGraph) -> OperatorGraph:
    """Write each fused ``attention`` as product, softmax and product, whose scores and probabilities are tensors of the graph.

    Exports of frameworks without a fused kernel look like this. Work and parameters stay.
    """
    graph = in_bodies(graph, lambda body, _keep: split_attention(body))
    tensors = dict(graph.tensors)
    nodes: list[Operator | Repeat] = []
    for node in graph.nodes:
        if isinstance(node, Operator) and node.kind == "attention":
            nodes.extend(_parts(node, tensors))
        else:
            nodes.append(node)
    return graph if len(nodes) == len(graph.nodes) else replace(graph, tensors=tensors, nodes=tuple(nodes))


def _parts(node: Operator, tensors: dict[str, Tensor]) -> list[Operator]:
    """One operator per nest; the tensors between them become tensors of the graph."""
    parts = []
    tensors.update(node.internal)
    for nest in node.nests:
        inputs = tuple(dict.fromkeys(read.tensor for read in nest.reads))
        outputs = tuple(write.tensor for write in nest.writes)
        last = nest is node.nests[-1]
        name = node.name if last else outputs[0]
        kind = _KINDS.get(nest.function, "elementwise")
        attributes = {"axis": len(tensors[outputs[0]].shape) - 1} if kind == "softmax" else {}
        reads = {item: count for item, count in node.read_bytes.items() if item in inputs}
        parts.append(Operator(name, kind, inputs, outputs, (nest,), attributes=attributes, read_bytes=reads, origin=node.origin))
    return parts
