"""The cell of LSTM, GRU and RNN as one operator: what happens to the gates between two recurrent products."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from workloads.builder import GraphBuilder
from workloads.graph import Nest, Operand
from workloads.nests import CONSTANT, VECTOR_OPS, axis, plain_axes

GATES: Mapping[str, int] = MappingProxyType({"LSTM": 4, "GRU": 3, "RNN": 1})

CELL_OPS: Mapping[str, int] = MappingProxyType(
    {
        "LSTM": 4 + 3 * VECTOR_OPS["sigmoid"] + VECTOR_OPS["tanh"] + 3 + VECTOR_OPS["tanh"] + 1,
        "GRU": 3 + 2 * VECTOR_OPS["sigmoid"] + VECTOR_OPS["tanh"] + 1 + 4,
        "RNN": 1 + VECTOR_OPS["tanh"],
    }
)
"""Vector operations per hidden value and step: the input part added to each gate, the gates' functions, the new state
(LSTM: f c + i g is 3, o tanh(c) one tanh and 1; GRU: r (R h) is 1, (1 - z) n + z h is 4)."""

LSTM_FIRST_OPS = 2 * VECTOR_OPS["sigmoid"] + VECTOR_OPS["tanh"] + 1 + VECTOR_OPS["tanh"] + 1
"""An LSTM's first step from zero states: nothing is added to the gates, the forget gate has nothing to scale."""


def cell(
    builder: GraphBuilder, op: str, gates: str, recurrent: str | None, state: str | None, outputs: tuple[str, ...], hidden: int, *,
    name: str, ops: int | None = None,
) -> None:  # fmt: skip
    """Append the cell: new states ``outputs`` (batch, hidden) from the gates' two parts (batch, gates x hidden) and the old state.

    ``gates`` may have all time steps in front; then this step's rows alone are read. ``recurrent`` and ``state`` are None in a first step.
    """
    tg = builder[gates]
    sequence = len(tg.shape) == 3
    row, n = plain_axes(("b", "n"))
    reads = []
    for gate in range(GATES[op]):
        along = axis(("n", 1), offset=gate * hidden)
        if recurrent is not None:
            reads.append(Operand(recurrent, (row, along)))
        reads.append(Operand(gates, (CONSTANT, row, along) if sequence else (row, along)))
    if state is not None:
        reads.append(Operand(state, (row, n)))
    batch = tg.shape[-2]
    for out in outputs:
        if out not in builder.tensors:
            builder.tensor(out, (batch, hidden), format=tg.format)
    work = CELL_OPS[op] if ops is None else ops
    step = Nest((("b", batch), ("n", hidden)), "cell", tuple(reads), tuple(Operand(out, (row, n)) for out in outputs), work)
    inputs = tuple(item for item in (recurrent, gates, state) if item is not None)
    read = {gates: -(-tg.stored_bytes // tg.shape[0])} if sequence else {}
    builder.operator("elementwise", inputs, outputs, (step,), name=name, attributes={"function": "cell", "cell": op}, read_bytes=read)
