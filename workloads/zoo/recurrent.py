"""LSTM layers (Hochreiter and Schmidhuber 1997), every step written out, so that a scheduler sees each product and each state."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from workloads.builder import GraphBuilder
from workloads.graph import OperatorGraph
from workloads.recurrent_cell import LSTM_FIRST_OPS, cell
from workloads.zoo.network import NATIVE_FORMAT

WIDTH = 1024
"""Inputs and units of a layer: those of an encoder layer of GNMT (Wu et al. 2016, section 3)."""
_MOST_LAYERS, _MOST_STEPS = 64, 4096


def lstm(layers: int, steps: int, batch: int = 1, format: str = NATIVE_FORMAT, *, width: int = WIDTH) -> OperatorGraph:
    """``layers`` of LSTM over ``steps`` inputs (batch, width) from zero states; the last layer's hidden states leave.

    A step of a layer is three operators: the product with the input (and the bias), the product with the last hidden state, and the cell;
    the first step has no recurrent product. 4 (2 width^2 + width) parameters a layer, shared by its steps.
    """
    name = f"lstm-{layers}x{steps}"
    builder = GraphBuilder(name, format, {"phase": "inference", "batch": batch, "format": format, "source": f"zoo:{name}"})
    sequence = [builder.input(f"x{step}", (batch, width)) for step in range(steps)]
    weights = [
        (
            builder.weight(f"layer{layer}.W", (4 * width, width)),
            builder.weight(f"layer{layer}.R", (4 * width, width)),
            builder.weight(f"layer{layer}.B", (4 * width,)),
        )
        for layer in range(layers)
    ]
    hidden: list[str | None] = [None] * layers
    state: list[str | None] = [None] * layers
    for step, x in enumerate(sequence):
        for layer, (w, r, b) in enumerate(weights):
            at, before = f"layer{layer}.step{step}", hidden[layer]
            gates = builder.gemm(x, w, f"{at}.input", bias=b, transpose_b=True)
            recurrent = None if before is None else builder.gemm(before, r, f"{at}.recurrent", transpose_b=True)
            made = (f"{at}.h", f"{at}.c")
            ops = LSTM_FIRST_OPS if before is None else None
            cell(builder, "LSTM", gates, recurrent, state[layer], made, width, name=f"{at}.cell", ops=ops)
            x = made[0]
            hidden[layer], state[layer] = made
        builder.output(x)
    return builder.build()


def sized(name: str) -> Callable[[int, str], OperatorGraph] | None:
    """The builder of ``lstm-LAYERSxSTEPS``; None for any other name or sizes out of range."""
    found = re.fullmatch(r"lstm-([1-9][0-9]{0,3})x([1-9][0-9]{0,3})", name)
    if found is None:
        return None
    layers, steps = int(found[1]), int(found[2])
    return partial(lstm, layers, steps) if layers <= _MOST_LAYERS and steps <= _MOST_STEPS else None


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {"lstm-1x16": (partial(lstm, 1, 16), "LSTM of 1 layer and 16 steps, 1024 wide; other sizes: lstm-2x32")}
)
"""Name to (builder of (batch, format), description)."""
