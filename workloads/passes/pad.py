"""Padding as operators of its own, the form in which TensorFlow exports hold it."""

from __future__ import annotations

from dataclasses import replace

from workloads.builder import GraphBuilder
from workloads.graph import Axis, Nest, Operator, OperatorGraph, Repeat, Tensor
from workloads.passes.common import in_bodies


def explicit_padding(graph: OperatorGraph, *, strided_only: bool = True) -> OperatorGraph:
    """Let windows (convolution, pooling) that read beyond the edge of their input read a padded copy of it, made by an own operator.

    TensorFlow knows padding that keeps the size of the output ("same"), but no other: a converter from PyTorch or ONNX pads in front of
    every window with a stride, which is what schedulers of such files see. Work and parameters stay; one copy comes in for each window.
    It is padded by as much at the end as at the beginning, as PyTorch states it, even where a stride leaves the last rows unread.

    Args:
        strided_only: leave windows of stride 1 alone.
    """
    graph = in_bodies(graph, lambda body, _keep: explicit_padding(body, strided_only=strided_only))
    builder = GraphBuilder(graph.name)
    builder.tensors = dict(graph.tensors)
    for node in graph.nodes:
        if isinstance(node, Repeat) or node.kind not in ("conv", "pool") or not node.nests or not node.inputs:
            builder.add(node)
            continue
        pads = _pads(node.nests[0], builder.tensors.get(node.inputs[0]), strided_only)
        if pads is None:
            builder.add(node)
            continue
        padded = builder.pad(node.inputs[0], f"{node.name}.pad", pads, origin="explicit_padding")
        builder.add(_reading(node, padded, pads))
    if len(builder.nodes) == len(graph.nodes):
        return graph
    return replace(graph, tensors=builder.tensors, nodes=tuple(builder.nodes))


def _pads(nest: Nest, x: Tensor | None, strided_only: bool) -> tuple[tuple[int, int], ...] | None:
    """(begin, end) per axis that ``nest`` reads beyond ``x``, its first operand; None if it reads nothing there or has no stride."""
    read = nest.reads[0]
    if x is None or read.tensor != x.name:
        return None
    extents, moved = dict(nest.dims), nest.writes[0].dims
    windows = [axis for axis in read.axes if any(dim not in moved for dim, _ in axis.terms) and len(axis.terms) > 1]
    if strided_only and not any(step > 1 for axis in windows for dim, step in axis.terms if dim in moved):
        return None
    pads = []
    for axis, size in zip(read.axes, x.shape, strict=True):
        last = axis.offset + sum(step * (extents[dim] - 1) for dim, step in axis.terms)
        begin = max(0, -axis.offset)
        pads.append((begin, max(begin, last - (size - 1))))
    return tuple(pads) if any(any(pair) for pair in pads) else None


def _reading(node: Operator, padded: str, pads: tuple[tuple[int, int], ...]) -> Operator:
    """``node`` with ``padded`` for its first operand."""
    first, read = node.nests[0], node.nests[0].reads[0]
    axes = tuple(Axis(axis.terms, axis.offset + begin) for axis, (begin, _) in zip(read.axes, pads, strict=True))
    nest = replace(first, reads=(replace(read, tensor=padded, axes=axes), *first.reads[1:]))
    reads = {name: count for name, count in node.read_bytes.items() if name != node.inputs[0]}
    return replace(node, inputs=(padded, *node.inputs[1:]), nests=(nest, *node.nests[1:]), read_bytes=reads)
