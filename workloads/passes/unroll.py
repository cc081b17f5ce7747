"""Repeats written out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from hwspecs.vocabulary.errors import UnsupportedError
from workloads.graph import Nest, Operand, Operator, OperatorGraph, Repeat

UNROLL_LIMIT = 20_000
"""Operators that an unrolled body may hold; beyond it mapping would no longer be interactive."""


def unrolled(graph: OperatorGraph, keep: Collection[str] = ()) -> OperatorGraph:
    """``graph`` with each outermost repeat written out, round after round; slices of a stacked tensor become tensors ``<stack>.<slice>``.

    Args:
        keep: names of repeats that stay as they are.

    Raises:
        UnsupportedError: that makes more than ``UNROLL_LIMIT`` operators.
    """
    nodes: list[Operator | Repeat] = []
    tensors = dict(graph.tensors)
    slices: dict[str, str] = {}
    for node in graph.nodes:
        if isinstance(node, Repeat) and node.name not in keep:
            for turn in range(node.count):
                names = _round_names(node, turn, slices)
                for name, tensor in node.body.tensors.items():
                    if names[name] not in tensors:
                        alias = names.get(tensor.alias_of, tensor.alias_of) if tensor.alias_of else None
                        view = names.get(tensor.view_of, tensor.view_of) if tensor.view_of else None
                        tensors[names[name]] = replace(tensor, name=names[name], alias_of=alias, view_of=view)
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
    if not slices:
        return replace(graph, nodes=tuple(nodes), tensors=tensors)
    stacks = {stack.rpartition(".")[0] for stack in slices}
    count = {stack: sum(piece.rpartition(".")[0] == stack for piece in slices) for stack in stacks}
    leaving = [
        name for output in graph.outputs
        for name in ([slices[f"{output}.{i}"] for i in range(count[output])] if output in stacks else [output])
    ]  # fmt: skip
    nodes = _with_views(nodes, {stack: [slices.get(f"{stack}.{i}") for i in range(count[stack])] for stack in sorted(stacks)})
    used = {name for node in nodes for name in ((*node.read, *node.written) if isinstance(node, Repeat) else (*node.inputs, *node.outputs))}
    kept = {name: tensor for name, tensor in tensors.items() if name not in stacks or name in used}
    return replace(graph, nodes=tuple(nodes), tensors=kept, outputs=tuple(leaving))


def _with_views(nodes: list[Operator | Repeat], stacks: Mapping[str, list[str | None]]) -> list[Operator | Repeat]:
    """``nodes`` with a view where an operator has made a stack whose slices are read, and one where it reads the whole of made slices."""
    done: list[Operator | Repeat] = []
    joined: set[str] = set()
    for node in nodes:
        plain = isinstance(node, Operator)
        for name in dict.fromkeys(node.inputs) if plain else ():
            parts = tuple(part for part in stacks.get(name, ()) if part is not None)
            if parts and name not in joined:
                joined.add(name)
                done.append(Operator(f"{name}.joined", "view", parts, (name,)))
        done.append(node)
        for name in node.outputs if plain else ():
            if name in stacks:
                joined.add(name)
                done.append(Operator(f"{name}.split", "view", (name,), tuple(part for part in stacks[name] if part is not None)))
    return done


def _round_names(repeat: Repeat, turn: int, slices: dict[str, str]) -> dict[str, str]:
    """Tensor of the body to its name in the enclosing graph, in round ``turn``; ``slices``: slice of a stack to its name, learnt here."""

    def piece(turn: int) -> int:
        return repeat.count - 1 - turn if repeat.reverse else turn

    def output(name: str, turn: int) -> str:
        if turn == repeat.count - 1 and name in repeat.outputs:
            return repeat.outputs[name]
        return f"{repeat.stacked[name]}.{piece(turn)}" if name in repeat.stacked else f"{repeat.name}.{turn}.{name}"

    names = {name: output(name, turn) for name in repeat.body.tensors}
    carried = {name for _, name in repeat.carried}
    names.update({name: tensor for name, tensor in repeat.inputs.items() if name not in carried or turn == 0})
    if turn > 0:
        names.update({name: output(made, turn - 1) for made, name in repeat.carried})
    names.update({name: f"{repeat.name}.{name}" for name in repeat.shared if name not in repeat.inputs})
    for name, outer in repeat.stacked.items():
        place = piece(turn) - (name in repeat.shifted)
        names[name] = repeat.inputs[name] if place < 0 else slices.setdefault(f"{outer}.{place}", names[name])
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
