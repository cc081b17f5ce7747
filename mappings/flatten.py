"""Repeats within repeats: a block runs a plain list of operators, so an inner repeat is unrolled or multiplied into the outer one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from workloads.graph import Operator, Repeat, Tensor
from workloads.passes.unroll import unrolled


def flat_repeat(repeat: Repeat) -> Repeat:
    """The same work with a body of operators only.

    An inner repeat that is the body's only node and carries what the outer one carries becomes one repeat of the product of
    the counts; any other inner repeat is unrolled, its tensors and operators renamed ``<repeat>.<round>.<name>``.

    Raises:
        UnsupportedError: unrolling would make more operators than ``workloads.passes.unroll`` allows.
    """
    while any(isinstance(node, Repeat) for node in repeat.body.nodes):
        merged = _merged(repeat)
        repeat = merged if merged is not None else replace(repeat, body=unrolled(repeat.body))
    return repeat


def _merged(repeat: Repeat) -> Repeat | None:
    """One repeat in place of two, where the inner one is all of the outer body and hands on the same tensors."""
    (inner, *rest) = repeat.body.nodes
    if rest or not isinstance(inner, Repeat) or inner.stacked or repeat.stacked:
        return None
    outward = {inner.outputs[output]: output for output in inner.outputs}
    inward = {tensor: name for name, tensor in inner.inputs.items()}
    carried = {(outward.get(output), inward.get(name)) for output, name in repeat.carried}
    shared_all = set(inner.shared) <= {inward.get(name) for name in repeat.shared}
    if carried != set(inner.carried) or not shared_all:
        return None
    inputs = {name: repeat.inputs[tensor] for name, tensor in inner.inputs.items() if tensor in repeat.inputs}
    outputs = {name: repeat.outputs[tensor] for name, tensor in inner.outputs.items() if tensor in repeat.outputs}
    return Repeat(repeat.name, inner.body, repeat.count * inner.count, inner.carried, inner.shared, inputs, outputs)


def tensors_of(operators: tuple[Operator, ...], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that cross the borders of ``operators``, in order of first use."""
    return {name: tensors[name] for operator in operators for name in (*operator.inputs, *operator.outputs)}
