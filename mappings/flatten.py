"""Repeats within repeats: a block runs a plain list of operators, so an inner repeat is unrolled or multiplied into the outer one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hwspecs.vocabulary.errors import UnsupportedError
from workloads.graph import Nest, Operand, Operator, OperatorGraph, Repeat, Tensor

UNROLL_LIMIT = 20_000
"""Operators that an unrolled body may hold; beyond it mapping would no longer be interactive."""


def flat_repeat(repeat: Repeat) -> Repeat:
    """The same work with a body of operators only.

    An inner repeat that is the body's only node and carries what the outer one carries becomes one repeat of the product of
    the counts; any other inner repeat is unrolled, its tensors and operators renamed ``<repeat>.<round>.<name>``.

    Raises:
        UnsupportedError: unrolling would make more than ``UNROLL_LIMIT`` operators.
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


def unrolled(graph: OperatorGraph) -> OperatorGraph:
    """``graph`` with each outermost repeat written out, round after round.

    Raises:
        UnsupportedError: that makes more than ``UNROLL_LIMIT`` operators.
    """
    nodes: list[Operator | Repeat] = []
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        if isinstance(node, Repeat):
            for turn in range(node.count):
                names = _round_names(node, turn)
                for name, tensor in node.body.tensors.items():
                    if names[name] not in tensors:
                        alias = names.get(tensor.alias_of, tensor.alias_of) if tensor.alias_of else None
                        tensors[names[name]] = replace(tensor, name=names[name], alias_of=alias)
                prefix = f"{node.name}.{turn}."
                nodes.extend(_renamed(inner, names, prefix) for inner in node.body.nodes)
        else:
            nodes.append(node)
        if len(nodes) > UNROLL_LIMIT:
            raise UnsupportedError(
                f"unrolling the repeats inside it makes more than {UNROLL_LIMIT} operators",
                where=node.name,
                hint="give the inner repeat fewer rounds, or let it be the only node of the outer one",
            )
    return replace(graph, nodes=tuple(nodes), tensors=tensors)


def _round_names(repeat: Repeat, turn: int) -> dict[str, str]:
    """Tensor of the body to its name in the enclosing graph, in round ``turn``."""
    prefix = f"{repeat.name}.{turn}."
    names = {name: prefix + name for name in repeat.body.tensors}
    if turn == repeat.count - 1:
        names.update(repeat.outputs)
    carried = {name for _, name in repeat.carried}
    names.update({name: tensor for name, tensor in repeat.inputs.items() if name not in carried or turn == 0})
    if turn > 0:
        names.update({name: f"{repeat.name}.{turn - 1}.{output}" for output, name in repeat.carried})
    names.update({name: f"{repeat.name}.{name}" for name in repeat.shared if name not in repeat.inputs})
    piece = repeat.count - 1 - turn if repeat.reverse else turn
    names.update({name: f"{outer}.{piece}" for name, outer in repeat.stacked.items()})
    return names


def _renamed(node: Operator | Repeat, names: Mapping[str, str], prefix: str) -> Operator | Repeat:
    if isinstance(node, Repeat):
        inputs, outputs, stacked = (
            {name: names[tensor] for name, tensor in side.items()} for side in (node.inputs, node.outputs, node.stacked)
        )
        return replace(node, name=prefix + node.name, inputs=inputs, outputs=outputs, stacked=stacked)

    def operands(side: tuple[Operand, ...]) -> tuple[Operand, ...]:
        return tuple(
            Operand(operand.tensor if operand.tensor in node.internal else names[operand.tensor], operand.axes) for operand in side
        )

    nests = tuple(Nest(nest.dims, nest.function, operands(nest.reads), operands(nest.writes), nest.vector_ops) for nest in node.nests)
    return replace(
        node,
        name=prefix + node.name,
        inputs=tuple(names[name] for name in node.inputs),
        outputs=tuple(names[name] for name in node.outputs),
        nests=nests,
        read_bytes={names[name]: size for name, size in node.read_bytes.items()},
    )


def tensors_of(operators: tuple[Operator, ...], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that cross the borders of ``operators``, in order of first use."""
    return {name: tensors[name] for operator in operators for name in (*operator.inputs, *operator.outputs)}
