"""Zeros in the weights of linear layers."""

from __future__ import annotations

from dataclasses import replace

from hwspecs.vocabulary.sparsity import Sparsity, parse_sparsity
from workloads.graph import OperatorGraph, Repeat, Tensor
from workloads.passes.common import exchange, linear_weights


def sparsify(graph: OperatorGraph, sparsity: str | Sparsity) -> OperatorGraph:
    """Give the weights of linear layers (output projections of language models excepted) the pattern ``sparsity``.

    N:M groups lie along the axis that the product reduces (input features or channels), because that is where hardware skips
    them. A weight whose axis M does not divide stays dense, and a note says so.

    Raises:
        ArgumentError: the pattern's text cannot be read.
    """
    pattern = parse_sparsity(sparsity) if isinstance(sparsity, str) else sparsity
    left: list[str] = []
    changed = _sparse(graph, pattern, left, {})
    notes = graph.notes
    if left:
        shown = ", ".join(left[:3]) + (f" and {len(left) - 3} more" if len(left) > 3 else "")
        note = f"sparsity {pattern.pattern}: {len(left)} weights stay dense because {pattern.m} does not divide the reduced axis ({shown})"
        notes = (*notes, note)
    return replace(changed, notes=notes, meta={**graph.meta, "sparsity": sparsity if isinstance(sparsity, str) else pattern.pattern})


def _sparse(graph: OperatorGraph, pattern: Sparsity, left: list[str], outer: dict[str, Sparsity]) -> OperatorGraph:
    tensors = dict(graph.tensors)
    for name, axes in linear_weights(graph).items():
        if name in outer:
            tensors[name] = replace(tensors[name], sparsity=outer[name])
            continue
        chosen = _for_tensor(tensors[name], axes, pattern)
        if chosen is None:
            left.append(name)
        else:
            tensors[name] = replace(tensors[name], sparsity=chosen)
    nodes = []
    for node in graph.nodes:
        if isinstance(node, Repeat):
            held = {inner: tensors[name].sparsity for inner, name in node.inputs.items() if name in tensors}
            node = replace(node, body=_sparse(node.body, pattern, left, held))
        nodes.append(node)
    return exchange(replace(graph, nodes=tuple(nodes)), tensors)


def _for_tensor(tensor: Tensor, axes: tuple[int, ...], pattern: Sparsity) -> Sparsity | None:
    if pattern.kind != "nm":
        return pattern
    if not axes or tensor.shape[axes[0]] % pattern.m:
        return None
    return replace(pattern, axis=axes[0])
