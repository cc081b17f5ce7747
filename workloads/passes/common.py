"""What several passes need: walking into repeats, finding the weights of linear layers, exchanging tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from workloads.graph import Operator, OperatorGraph, Repeat, Role, Tensor


def in_bodies(graph: OperatorGraph, change: Callable[[OperatorGraph, frozenset[str]], OperatorGraph]) -> OperatorGraph:
    """``graph`` with ``change(body, names that must stay)`` applied to the body of every repeat."""
    if not any(isinstance(node, Repeat) for node in graph.nodes):
        return graph
    nodes = []
    for node in graph.nodes:
        if isinstance(node, Repeat):
            keep = frozenset((*node.outputs, *node.inputs, *node.stacked, *node.shared, *(name for pair in node.carried for name in pair)))
            body = change(node.body, keep)
            node = node if body is node.body else replace(node, body=body)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def is_spared(operator: Operator) -> bool:
    """True where mixed policies leave the weight alone: ``attributes["quantize"]`` is False (output projection, router)."""
    return operator.attributes.get("quantize") is False


def linear_weights(graph: OperatorGraph, *, spared: bool = False) -> dict[str, tuple[int, ...]]:
    """Weights that a ``mac`` nest of ``graph`` multiplies by, each with the axes of the tensor that the nest reduces.

    Args:
        spared: whether the operators that mixed policies leave alone count too.
    """
    found: dict[str, tuple[int, ...]] = {}
    left_alone: set[str] = set()
    for node in graph.nodes:
        if isinstance(node, Repeat):
            for name, axes in linear_weights(node.body, spared=spared).items():
                if name in node.inputs:
                    found[node.inputs[name]] = axes
            continue
        for nest in node.nests:
            if nest.function != "mac" or len(nest.reads) != 2:
                continue
            for read in nest.reads:
                tensor = graph.tensors.get(read.tensor)
                if tensor is None or tensor.role is not Role.WEIGHT:
                    continue
                if not spared and is_spared(node):
                    left_alone.add(tensor.name)
                kept = nest.writes[0].dims
                found[tensor.name] = tuple(
                    i for i, axis in enumerate(read.axes) if axis.terms and all(dim not in kept for dim, _ in axis.terms)
                )  # fmt: skip
    for name in left_alone:
        found.pop(name, None)
    return found


def exchange(
    graph: OperatorGraph, tensors: Mapping[str, Tensor], change_internal: Callable[[Tensor], Tensor] | None = None
) -> OperatorGraph:
    """``graph`` with other versions of its tensors; ``read_bytes`` of operators and alias regions scale with the stored bytes."""
    renewed = dict(tensors)
    for name, tensor in tensors.items():
        if tensor.region_bytes and tensor is not graph.tensors[name]:
            renewed[name] = replace(tensor, region_bytes=_scaled(tensor.region_bytes, tensor, graph.tensors[name]))
    nodes: list[Operator | Repeat] = []
    for node in graph.nodes:
        if isinstance(node, Operator):
            internal = {name: change_internal(tensor) for name, tensor in node.internal.items()} if change_internal else node.internal
            reads = node.read_bytes
            if reads:
                reads = {name: _scaled(count, tensors[name], graph.tensors[name]) for name, count in reads.items()}
            if reads is not node.read_bytes or internal is not node.internal:
                node = replace(node, internal=internal, read_bytes=reads)
        nodes.append(node)
    return replace(graph, tensors=renewed, nodes=tuple(nodes))


def _scaled(count: int, tensor: Tensor, old: Tensor) -> int:
    """``count`` bytes of ``old`` in the storage of ``tensor``."""
    if tensor is old or not old.stored_bytes:
        return count
    return -(-count * tensor.stored_bytes // old.stored_bytes)
