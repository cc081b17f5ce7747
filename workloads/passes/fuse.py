"""Fusing pointwise operators (bias, batch normalization, activation, residual add) into the operator that makes their input."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from workloads.graph import Operator, OperatorGraph, Repeat, Tensor
from workloads.nests import VECTOR_OPS
from workloads.passes.common import in_bodies

_PRODUCERS = frozenset(("gemm", "conv", "attention", "elementwise", "norm", "softmax", "pool", "reduce", "embedding"))
_ARITHMETIC = frozenset(("add", "sub", "mul", "div", "affine", "cast", "identity"))


def fuse(graph: OperatorGraph, keep: Iterable[str] = ()) -> OperatorGraph:
    """Append each pointwise operator to its producer as further nests.

    Done where the producer's output has the consumer's shape, this one consumer and does not leave the graph; that output becomes
    internal. With several eligible inputs (a residual add) the one made last is taken. MACs, vector operations and weights stay.

    Args:
        keep: names of tensors that must stay visible beside the graph's outputs.
    """
    graph = in_bodies(graph, lambda body, held: fuse(body, held))
    uses: dict[str, int] = dict.fromkeys((*graph.outputs, *keep), 2)
    for node in graph.nodes:
        for name in node.read if isinstance(node, Repeat) else node.inputs:
            uses[name] = uses.get(name, 0) + 1
    tensors = dict(graph.tensors)
    nodes: list[Operator | Repeat | None] = []
    made: dict[str, int] = {}
    for node in graph.nodes:
        if isinstance(node, Operator) and node.kind == "elementwise" and len(node.outputs) == 1 and node.nests:
            place = _producer(node, nodes, made, uses, tensors)
            if place is not None:
                source = nodes[place]
                assert isinstance(source, Operator)
                link = source.outputs[0]
                late = any(made.get(name, -1) > place for name in node.inputs if name != link)
                merged = _merged(source, node, tensors.pop(link))
                if late:
                    nodes[place] = None
                    place = len(nodes)
                    nodes.append(merged)
                else:
                    nodes[place] = merged
                made[node.outputs[0]] = place
                continue
        for name in node.written if isinstance(node, Repeat) else node.outputs:
            made[name] = len(nodes)
        nodes.append(node)
    if len(tensors) == len(graph.tensors):
        return graph
    return replace(graph, tensors=tensors, nodes=tuple(node for node in nodes if node is not None))


def _producer(
    node: Operator, nodes: list[Operator | Repeat | None], made: dict[str, int], uses: dict[str, int], tensors: dict[str, Tensor]
) -> int | None:
    """Place of the operator that ``node`` can join: the last one made among its inputs' producers that qualify."""
    shape = tensors[node.outputs[0]].shape
    best = None
    for name in node.inputs:
        place = made.get(name)
        if place is None or uses[name] != 1 or (best is not None and place < best):
            continue
        source = nodes[place]
        if isinstance(source, Operator) and source.kind in _PRODUCERS and len(source.outputs) == 1 and tensors[name].shape == shape:
            if source.attributes.get("pass") != node.attributes.get("pass"):
                continue  # forward and backward pass run at different times
            best = place
    return best


def _merged(source: Operator, node: Operator, link: Tensor) -> Operator:
    """``source`` followed by ``node``; ``link`` is the tensor between them and becomes internal."""
    attributes = dict(source.attributes)
    function = node.nests[-1].function
    if function in VECTOR_OPS and function not in _ARITHMETIC and len(node.inputs) == 1:
        attributes["activation"] = function
    inputs = source.inputs + tuple(name for name in node.inputs if name != link.name and name not in source.inputs)
    return Operator(
        source.name, source.kind, inputs, node.outputs, source.nests + node.nests, {**source.internal, **node.internal, link.name: link},
        attributes, {**source.read_bytes, **node.read_bytes}, source.origin, (*source.fused, node.name),
    )  # fmt: skip
