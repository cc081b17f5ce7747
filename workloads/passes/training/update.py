"""The optimizer's step: one ``update`` operator per trained weight, on states of the optimizer's format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from workloads.graph import Nest, Operand, Operator, OperatorGraph, Repeat, Role, Tensor
from workloads.nests import plain_axes, point_dims
from workloads.passes.training.options import Settings
from workloads.passes.training.reverse import stack_of


def update(tensors: dict[str, Tensor], weight: str, gradient: str, settings: Settings) -> Operator:
    """The update of ``weight`` by ``gradient``; adds its states (and the master copy) to ``tensors``.

    In mixed precision the gradient is widened and the new weight is rounded: one conversion each.
    """
    optimizer, precision = settings.optimizer, settings.precision
    tensor = tensors[weight]
    dims = point_dims(len(tensor.shape))
    whole = plain_axes(dims)
    names = [*(["master"] if precision.mixed else []), *optimizer.states]
    reads, writes, outputs = [], [], []
    for word in names:
        name = f"{weight}.{word}"
        tensors[name] = Tensor(name, tensor.shape, precision.master, Role.OPTIMIZER_STATE)
        tensors[f"{name}.new"] = replace(tensors[name], name=f"{name}.new", alias_of=name)
        reads.append(name)
        outputs.append(f"{name}.new")
    tensors[f"{weight}.new"] = replace(tensor, name=f"{weight}.new", alias_of=weight)
    outputs.append(f"{weight}.new")
    if not precision.mixed:
        reads.insert(0, weight)
    reads.append(gradient)
    writes = [Operand(name, whole) for name in outputs]
    operations = optimizer.vector_ops + 2 * precision.mixed
    function = optimizer.name.replace("-", "_")
    nest = Nest(
        tuple(zip(dims, tensor.shape, strict=True)), function, tuple(Operand(name, whole) for name in reads), tuple(writes), operations
    )
    inputs = tuple(dict.fromkeys((*reads, weight)))
    facts = {"pass": "update", "optimizer": optimizer.name}
    return Operator(f"{weight}.update", "update", inputs, tuple(outputs), (nest,), attributes=facts, origin="training")


def updates(
    tensors: dict[str, Tensor],
    weights: Sequence[tuple[str, str]],
    repeat: Repeat | None,
    gradients: OperatorGraph | None,
    settings: Settings,
) -> list[Operator | Repeat]:
    """The updates of the graph's own weights, or those of a repeat's as one repeat over the same stacked tensors.

    Args:
        tensors: of the graph; states are added.
        repeat, gradients: the forward repeat and the body of its reverse, or None for the graph's own weights.
    """
    if repeat is None or gradients is None:
        return [update(tensors, weight, gradient, settings) for weight, gradient in weights]
    if not weights:
        return []
    inner: dict[str, Tensor] = {}
    nodes = []
    for weight, gradient in weights:
        inner[weight], inner[gradient] = repeat.body.tensors[weight], gradients.tensors[gradient]
        nodes.append(update(inner, weight, gradient, settings))
    stacked = {}
    for name, tensor in inner.items():
        if tensor.alias_of is None:
            outer = f"{repeat.name}.{name}"
            tensors.setdefault(outer, stack_of(tensor, outer, repeat.count))
            stacked[name] = outer
    body = OperatorGraph(f"{repeat.name}.update", inner, tuple(nodes), (), ())
    return [Repeat(f"{repeat.name}.update", body, repeat.count, stacked=stacked)]
