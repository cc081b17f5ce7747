"""LSTMs of keyword spotting and language models, one matrix per step: [x, h] times the weights of all gates, as in-memory arrays hold them.

Steps are rounds of a ``Repeat`` that share their weights. A projection (Sak, Senior and Beaufays, Interspeech 2014, arXiv 1402.1128,
equations 7 to 12 without peepholes) makes the state that goes back narrower than the cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from workloads.builder import GraphBuilder
from workloads.graph import OperatorGraph, Repeat, Role
from workloads.recurrent_cell import CELL_OPS, cell

_CELL = CELL_OPS["LSTM"] - 4
"""The product has added the parts of input and state, so the cell does not."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One LSTM layer.

    Attributes:
        inputs, cells: width of x and of the memory.
        projection: width of the state that goes back and on; 0: none, it is as wide as the memory.
        bias: ``none``, ``vector`` (added behind the product), or ``row``: one more row of the matrix, which a constant one drives.
    """

    inputs: int
    cells: int
    projection: int = 0
    bias: str = "vector"

    @property
    def state(self) -> int:
        """Width of what goes back."""
        return self.projection or self.cells

    @property
    def rows(self) -> int:
        """Rows of the matrix of all gates."""
        return self.inputs + self.state + (self.bias == "row")


def steps_of(builder: GraphBuilder, name: str, layers: tuple[Layer, ...], frames: str, *, every: bool = True) -> str:
    """Append the layers over all steps of ``frames`` (steps, batch, inputs), from zero states.

    Returns:
        the last layer's states after every step (steps, batch, state), or the one after the last step (batch, state).
    """
    steps, batch, _ = builder[frames].shape
    body = GraphBuilder(f"{name}.step", builder.format)
    x = body.input("x", builder[frames].shape[1:])
    carried: list[tuple[str, str]] = []
    entering: dict[str, str] = {}
    for place, layer in enumerate(layers):
        at = f"layer{place}"
        weights: dict[str, tuple[int, ...]] = {f"{at}.W": (4 * layer.cells, layer.rows)}
        if layer.bias == "vector":
            weights[f"{at}.B"] = (4 * layer.cells,)
        if layer.projection:
            weights[f"{at}.P"] = (layer.projection, layer.cells)
        for weight, shape in weights.items():
            body.tensor(weight, shape, role=Role.WEIGHT)
            entering[weight] = builder.weight(f"{name}.{weight}", shape)
        x = _step(body, at, layer, x)
        if layer.bias == "row":
            entering[f"{at}.one"] = builder.tensor(f"{name}.{at}.one", (batch, 1), role=Role.STATE)
        for inner, width in (("h", layer.state), ("c", layer.cells)):
            carried.append((f"{at}.{inner}_next", f"{at}.{inner}"))
            entering[f"{at}.{inner}"] = builder.tensor(f"{name}.{at}.{inner}_first", (batch, width), role=Role.STATE)
    body.output(*(made for made, _ in carried))
    states = f"{name}.states" if every else f"{name}.last"
    builder.tensor(states, ((steps, batch, layers[-1].state) if every else (batch, layers[-1].state)))
    kept = {state for _, state in carried}
    shared = tuple(item for item in entering if item not in kept)
    leaving = {} if every else {x: states}
    stacked = {"x": frames, x: states} if every else {"x": frames}
    builder.add(Repeat(f"{name}.steps", body.build(), steps, tuple(carried), shared, entering, leaving, stacked))
    return states


def _step(body: GraphBuilder, at: str, layer: Layer, x: str) -> str:
    """One step of one layer; returns its new state."""
    batch = body[x].shape[0]
    parts = [x, body.input(f"{at}.h", (batch, layer.state), role=Role.STATE)]
    body.input(f"{at}.c", (batch, layer.cells), role=Role.STATE)
    if layer.bias == "row":
        parts.append(body.tensor(f"{at}.one", (batch, 1), role=Role.STATE))
    row = body.concat(parts, f"{at}.row", 1)
    gates = body.gemm(row, f"{at}.W", f"{at}.gates", bias=f"{at}.B" if layer.bias == "vector" else None, transpose_b=True)
    made = f"{at}.m" if layer.projection else f"{at}.h_next"
    cell(body, "LSTM", gates, None, f"{at}.c", (made, f"{at}.c_next"), layer.cells, name=f"{at}.cell", ops=_CELL)
    if layer.projection:
        body.gemm(made, f"{at}.P", f"{at}.h_next", transpose_b=True, name=f"{at}.projection")
    return f"{at}.h_next"


def keyword_lstm(batch: int = 1, format: str = "fp32", tokens: int | None = None) -> OperatorGraph:
    """LSTM of 32 cells on 40 features per step, and a dense layer of 12 classes behind the last step.

    The keyword network of Yang et al., Nat. Commun. 16 (2025), arXiv 2411.18271: sizes that give the memory of its table 1 (1.125 KiB is
    72 x 128 bit, so no biases); its supplement was not at hand. Steps: one second in windows of
    40 ms every 20 ms is 49 (Zhang et al., Hello Edge, arXiv 1711.07128, section 3). 9,612 parameters; 9,216 MACs a step and 384 more.
    """
    steps = 49 if tokens is None else tokens
    builder = _builder("lstm-kws", batch, format, steps)
    last = steps_of(builder, "lstm", (Layer(40, 32, bias="none"),), builder.input("frames", (steps, batch, 40)), every=False)
    weight, bias = builder.weight("fc.weight", (12, 32)), builder.weight("fc.bias", (12,))
    builder.output(builder.gemm(last, weight, "fc", bias=bias, transpose_b=True))
    return builder.build()


def character_lstm(batch: int = 1, format: str = "fp32", tokens: int | None = None) -> OperatorGraph:
    """Character model of the Penn Treebank: 50 symbols embedded in 128, 2016 cells, projection of 504, 50 scores per step.

    Yang et al., Nat. Commun. 16 (2025), arXiv 2411.18271: sizes that give the memory of its table 1 (623 kB is 633 x 8064 bit: 128 inputs,
    504 states and a row of biases); its supplement was not at hand. 128 steps unless asked otherwise.
    6,152,226 parameters; 6,145,776 MACs a step, 25,200 of them for the scores.
    """
    steps = 128 if tokens is None else tokens
    builder = _builder("lstm-ptb-char", batch, format, steps)
    return _language_model(builder, (Layer(128, 2016, 504, bias="row"),), steps, 50)


def word_lstm(name: str, width: int, batch: int = 1, format: str = "fp32", tokens: int | None = None) -> OperatorGraph:
    """Word model of the Penn Treebank: 10,000 words embedded in ``width``, two LSTM layers as wide, 10,000 scores per step.

    Zaremba, Sutskever and Vinyals, arXiv 1409.2329, section 4.1: 650 wide (medium, 19,775,200 parameters) or 1500 (large, 66,022,000),
    35 steps. 16 width^2 + 10,000 width MACs a step.
    """
    steps = 35 if tokens is None else tokens
    return _language_model(_builder(name, batch, format, steps), (Layer(width, width), Layer(width, width)), steps, 10_000)


def _builder(name: str, batch: int, format: str, steps: int) -> GraphBuilder:
    meta: dict[str, str | int | float] = {"phase": "inference", "batch": batch, "tokens": steps, "format": format, "source": f"zoo:{name}"}
    return GraphBuilder(name, format, meta)


def _language_model(builder: GraphBuilder, layers: tuple[Layer, ...], steps: int, vocabulary: int) -> OperatorGraph:
    """Embedding, layers, and a dense layer that scores the vocabulary after every step."""
    batch = int(builder.meta["batch"])
    ids = builder.input("ids", (steps, batch), role=Role.INDEX)
    embedded = builder.embedding(ids, builder.weight("embedding.weight", (vocabulary, layers[0].inputs)), "embedded", name="embedding")
    every = steps_of(builder, "lstm", layers, embedded)
    weight, bias = builder.weight("decoder.weight", (vocabulary, layers[-1].state)), builder.weight("decoder.bias", (vocabulary,))
    builder.output(builder.gemm(every, weight, "decoder", bias=bias, transpose_b=True))
    return builder.build()


SEQUENCES: Mapping[str, tuple[Callable[..., OperatorGraph], str]] = MappingProxyType(
    {
        "lstm-kws": (keyword_lstm, "keyword spotting LSTM, 40 features, 32 cells, 12 classes (tokens: steps, default 49)"),
        "lstm-ptb-char": (character_lstm, "character LSTM of 2016 cells with a projection of 504, PTB (tokens: steps, default 128)"),
        "lstm-ptb-medium": (partial(word_lstm, "lstm-ptb-medium", 650), "word LSTM, 2 layers of 650, PTB (tokens: steps, default 35)"),
        "lstm-ptb-large": (partial(word_lstm, "lstm-ptb-large", 1500), "word LSTM, 2 layers of 1500, PTB (tokens: steps, default 35)"),
    }
)
"""Name to (builder of (batch, format, tokens), description)."""
