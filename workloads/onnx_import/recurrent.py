"""Handlers of LSTM, GRU and RNN: one product over all time steps, then a ``Repeat`` over the steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hwspecs.vocabulary.errors import UnsupportedError
from workloads.builder import GraphBuilder
from workloads.graph import OperatorGraph, Role, Tensor
from workloads.nests import axis, plain_axes
from workloads.onnx_import.node import Context, Node
from workloads.recurrent_cell import GATES, cell


def _recurrent(context: Context, node: Node) -> None:
    """Y, Y_h and Y_c. Y is the sequence of hidden states that the steps write, so that it costs nothing beyond them.

    The biases of input and recurrence are one vector, added in the product over all time steps. A GRU is costed as if its
    reset gate applied after the recurrent product.

    Raises:
        UnsupportedError: the batch-first layout, or weights that are computed.
    """
    if node.attribute("layout", 0):
        raise UnsupportedError(f"{node.op} in batch-first layout is not covered", where=node.where, hint="export with layout=0")
    if any(name not in context.constants for name in node.inputs[1:4] if name):
        raise UnsupportedError(
            f"{node.op} with computed weights is not covered", where=node.where, hint="export the weights as initializers"
        )
    directions = context.shape(node.input(1))[0]
    name = context.operator_name(node)
    places = [name] if directions == 1 else [f"{name}.forward", f"{name}.backward"][:directions]
    for index, place in enumerate(places):
        _direction(context, node, place, index)
    for index, out in enumerate(node.outputs):
        if out:
            sources = [f"{place}.{'c' if index == 2 else 'h'}_last" for place in places]
            context.output(out)
            context.builder.operator("view", sources, (out,), name=f"{name}.{('Y', 'Y_h', 'Y_c')[index]}", origin=node.origin)


def _direction(context: Context, node: Node, place: str, index: int) -> None:
    """The operators of one direction; its last states are ``<place>.h_last`` (and ``c_last``)."""
    builder = context.builder
    steps, batch, width = context.shape(node.input(0))
    hidden = context.shape(node.input(2))[-1]
    rows = GATES[node.op] * hidden
    x = builder[context.tensor(node.input(0))]
    stored = context.format(node.input(1))
    w = builder.weight(f"{place}.W", (rows, width), format=stored)
    r = builder.weight(f"{place}.R", (rows, hidden), format=stored)
    bias = builder.weight(f"{place}.B", (rows,), format=stored) if node.input(3) else None
    gates = builder.gemm(x.name, w, f"{place}.gates", bias=bias, transpose_b=True, name=f"{place}.input", origin=node.origin)
    states = ("h", "c") if node.op == "LSTM" else ("h",)
    entering = {"R": r, "gates": gates}
    for offset, state in enumerate(states):
        entering[state] = _initial(context, node.input(5 + offset), f"{place}.{state}_first", (batch, hidden), x, index)
    body = _step(node.op, place, x, builder[r], builder[gates], hidden, states)
    builder.repeat(
        f"{place}.steps", body, steps, carried=[(f"{state}_next", state) for state in states], shared=("R", "gates"), inputs=entering,
        outputs={f"{state}_next": f"{place}.{state}_last" for state in states},
    )  # fmt: skip


def _initial(context: Context, given: str, name: str, shape: tuple[int, int], x: Tensor, index: int) -> str:
    """The first state of a direction: the one given (its part of (directions, batch, hidden)) or zeros."""
    builder = context.builder
    if not given or given in context.constants:
        return builder.tensor(name, shape, format=x.format, role=Role.STATE)
    if context.shape(given)[0] == 1:
        return builder.view(context.tensor(given), name, shape)
    builder.tensor(name, shape, format=x.format)
    read = (axis(offset=index), *plain_axes(("d0", "d1")))
    return builder.copy(context.tensor(given), name, shape, read, read_bytes=builder[name].stored_bytes, attributes={"function": "slice"})


def _step(op: str, place: str, x: Tensor, r: Tensor, gates: Tensor, hidden: int, states: tuple[str, ...]) -> OperatorGraph:
    """One time step: the recurrent product, then the cell, which reads this step's rows of the input gates."""
    body = GraphBuilder(f"{place}.step", x.format)
    batch = gates.shape[1]
    for state in states:
        body.input(state, (batch, hidden))
    body.tensor("R", r.shape, format=r.format, role=Role.WEIGHT)
    body.tensor("gates", gates.shape, format=gates.format)
    body.inputs.append("gates")
    body.gemm("h", "R", "recurrent", transpose_b=True)
    outputs = tuple(f"{state}_next" for state in states)
    cell(body, op, "gates", "recurrent", states[-1], outputs, hidden, name="cell")
    body.output(*outputs)
    return body.build()


HANDLERS: Mapping[str, Callable[[Context, Node], None]] = dict.fromkeys(GATES, _recurrent)
