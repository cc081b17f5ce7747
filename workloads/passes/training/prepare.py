"""The forward graph as a training step takes it: one nest an operator, batch statistics, formats, repeats to reverse."""

from __future__ import annotations

from dataclasses import replace

from workloads.graph import Operator, OperatorGraph, Repeat, Role
from workloads.passes.common import in_bodies
from workloads.passes.quantize import QuantizationPolicy, quantize
from workloads.passes.split_attention import split_attention
from workloads.passes.training.blocks import with_statistics
from workloads.passes.training.options import Settings
from workloads.passes.training.recurrent import with_reserve, with_slices
from workloads.passes.training.wants import body_wanted, wanted
from workloads.passes.unroll import unrolled

_WHOLE = frozenset(("scan", "reduce"))
"""Kinds whose backward operator makes several gradients at once, which are not made over all rounds instead."""
_KINDS = {"softmax": "softmax", "copy": "copy"}


def prepared(graph: OperatorGraph, settings: Settings) -> OperatorGraph:
    """``graph`` in the formats of compute, every operator tagged ``pass: FF``."""
    graph = unfused(graph)
    if settings.attention == "split":
        graph = split_attention(graph)
    compute = settings.precision.compute
    graph = quantize(graph, QuantizationPolicy(compute, compute, compute, compute, everything=True))
    graph = _reserved(_foldable(with_slices(with_statistics(graph)), settings), settings)
    return tagged(graph, "FF")


def _reserved(graph: OperatorGraph, settings: Settings) -> OperatorGraph:
    """``graph`` with the gates of recurrent cells kept, in repeats too."""
    found = wanted(graph, settings.trains)
    nodes = [
        replace(node, body=with_reserve(node.body, body_wanted(node, settings.trains, found))) if isinstance(node, Repeat) else node
        for node in graph.nodes
    ]
    return with_reserve(replace(graph, nodes=tuple(nodes)), found)


def tagged(graph: OperatorGraph, phase: str) -> OperatorGraph:
    """``graph`` with ``attributes["pass"]`` set on every operator."""
    nodes = [
        replace(node, body=tagged(node.body, phase)) if isinstance(node, Repeat)
        else replace(node, attributes={**node.attributes, "pass": phase})
        for node in graph.nodes
    ]  # fmt: skip
    return replace(graph, nodes=tuple(nodes))


def unfused(graph: OperatorGraph) -> OperatorGraph:
    """Undo ``passes.fuse``: each nest an operator again, its internal tensors tensors of the graph."""
    graph = in_bodies(graph, lambda body, _keep: unfused(body))
    if not any(isinstance(node, Operator) and node.fused and node.kind != "attention" for node in graph.nodes):
        return graph
    tensors = dict(graph.tensors)
    nodes: list[Operator | Repeat] = []
    for node in graph.nodes:
        if isinstance(node, Operator) and node.fused and node.kind != "attention" and node.nests:
            tensors.update(node.internal)
            nodes.extend(_parts(node))
        else:
            nodes.append(node)
    return replace(graph, tensors=tensors, nodes=tuple(nodes))


def _parts(node: Operator) -> list[Operator]:
    parts = []
    for place, nest in enumerate(node.nests):
        outputs = tuple(write.tensor for write in nest.writes)
        inputs = tuple(dict.fromkeys(read.tensor for read in nest.reads))
        reads = {name: size for name, size in node.read_bytes.items() if name in inputs}
        if place == 0:
            parts.append(replace(node, inputs=inputs, outputs=outputs, nests=(nest,), internal={}, read_bytes=reads, fused=()))
            continue
        kind = _KINDS.get(nest.function, "elementwise")
        facts: dict[str, int | float | str | bool] = {"function": nest.function}
        if nest.function == "affine":
            facts["norm"] = "batchnorm"
        parts.append(Operator(f"{node.name}.{place}", kind, inputs, outputs, (nest,), {}, facts, reads, node.origin))
    return parts


def _foldable(graph: OperatorGraph, settings: Settings) -> OperatorGraph:
    """Repeats whose rounds share something that needs a gradient (other than weights), or hand on more than they carry, are written out."""
    while True:
        found = wanted(graph, settings.trains)
        open_ = [node for node in graph.nodes if isinstance(node, Repeat) and not _reverses(node, graph, settings, found)]
        if not open_:
            return graph
        keep = {node.name for node in graph.nodes if isinstance(node, Repeat)} - {node.name for node in open_}
        graph = unrolled(graph, keep)


def _reverses(repeat: Repeat, graph: OperatorGraph, settings: Settings, outer: set[str]) -> bool:
    body, inner = repeat.body, body_wanted(repeat, settings.trains, outer)
    if any(isinstance(node, Repeat) for node in body.nodes) or repeat.reverse or repeat.shifted:
        return False
    carried_in, carried_out = {name for _, name in repeat.carried}, {name for name, _ in repeat.carried}
    if len(carried_in) != len(repeat.carried) or len(carried_out) != len(repeat.carried):
        return False
    weights = {name for name in repeat.shared if body.tensors[name].role is Role.WEIGHT}
    trained = {name for name in weights if name in inner}
    if any(isinstance(node, Operator) and node.kind in _WHOLE and trained.intersection(node.inputs) for node in body.nodes):
        return False
    if any(name in inner for name in repeat.inputs if name not in carried_in and name not in weights):
        return False
    return all(name in carried_out for name in repeat.outputs if name in inner)
