"""Composite operators in terms of simpler ones."""

from __future__ import annotations

from dataclasses import replace

from workloads.builder import GraphBuilder
from workloads.graph import Operator, OperatorGraph, Repeat, Role, Tensor
from workloads.passes.common import in_bodies


def decompose(graph: OperatorGraph) -> OperatorGraph:
    """Turn batch normalization with its four stored vectors into one scale and one shift per channel (inference).

    scale' = scale / sqrt(variance + epsilon), shift' = shift - mean scale'; both are made before anything runs, so mean and
    variance leave the graph and the operator is the pointwise ``affine``.
    """
    graph = in_bodies(graph, lambda body, _keep: decompose(body))
    if not any(isinstance(node, Operator) and node.kind == "norm" and node.attributes.get("norm") == "batchnorm" for node in graph.nodes):
        return graph
    tensors = dict(graph.tensors)
    nodes: list[Operator | Repeat] = []
    gone: set[str] = set()
    for node in graph.nodes:
        if isinstance(node, Operator) and node.kind == "norm" and node.attributes.get("norm") == "batchnorm" and len(node.inputs) == 5:
            x, scale, shift, mean, variance = node.inputs
            if all(tensors[name].role is Role.WEIGHT for name in (scale, shift, mean, variance)):
                builder = GraphBuilder(graph.name)
                builder.tensors = tensors
                builder.batchnorm(x, node.outputs[0], scale, shift, name=node.name, origin=node.origin)
                node = builder.nodes[0]
                gone.update((mean, variance))
        nodes.append(node)
    used = {name for node in nodes for name in (node.read if isinstance(node, Repeat) else node.inputs)}
    kept = {name: tensor for name, tensor in tensors.items() if name not in gone or name in used}
    return replace(graph, tensors=kept, nodes=tuple(nodes))


def fold_batchnorm(graph: OperatorGraph) -> OperatorGraph:
    """Fold an ``affine`` after a convolution or matrix product into its weight: the scale disappears, the shift becomes a bias.

    Applies where the product's output has no other consumer and the scale runs along its output channels. Fewer parameters (one
    vector per channel) and one vector operation per element instead of two; deployed CNNs run this way.
    """
    graph = in_bodies(graph, lambda body, _keep: fold_batchnorm(body))
    uses: dict[str, int] = {}
    maker: dict[str, Operator] = {}
    for node in graph.nodes:
        for name in node.read if isinstance(node, Repeat) else node.inputs:
            uses[name] = uses.get(name, 0) + 1
        if isinstance(node, Operator):
            maker.update((name, node) for name in node.outputs)
    tensors = dict(graph.tensors)
    nodes = [_as_shift(node, tensors, maker, uses) if isinstance(node, Operator) and _is_affine(node) else node for node in graph.nodes]
    used = {name for node in nodes for name in (node.read if isinstance(node, Repeat) else node.inputs)}
    kept: dict[str, Tensor] = {
        name: tensor for name, tensor in tensors.items() if tensor.role is not Role.WEIGHT or name in used or name not in uses
    }
    return replace(graph, tensors=kept, nodes=tuple(nodes))


def _is_affine(node: Operator) -> bool:
    return node.kind == "elementwise" and len(node.nests) == 1 and node.nests[0].function == "affine" and len(node.inputs) == 3


def _as_shift(node: Operator, tensors: dict[str, Tensor], maker: dict[str, Operator], uses: dict[str, int]) -> Operator:
    x, _scale, shift = node.inputs
    source = maker.get(x)
    if source is None or source.kind not in ("conv", "gemm") or uses.get(x) != 1 or source.outputs != (x,):
        return node
    nest = node.nests[0]
    added = replace(nest, function="add", reads=(nest.reads[0], nest.reads[2]), vector_ops=1)
    return replace(node, inputs=(x, shift), nests=(added,), attributes={"function": "add"})
