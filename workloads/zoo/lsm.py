"""Liquid state machines: fixed random spiking reservoirs behind event sensors, and small dense layers that read their spike counts.

Sizes and neuron constants: Lin et al., Resistive memory-based zero-shot liquid state machine, Nat. Comput. Sci. 5 (2025), arXiv 2307.00771,
and the scripts of github MrLinNing/MemristorLSM. The authors publish no spike densities; these are assumed: means over generated samples
(``workloads.events``; benchmarks/reservoir_densities.py, 64 samples, seed 0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from hwspecs.vocabulary.functions import OPERATIONS
from hwspecs.vocabulary.sparsity import DENSE, Sparsity
from workloads.builder import GraphBuilder
from workloads.graph import Nest, Operand, OperatorGraph, Repeat, Role
from workloads.nests import axis, plain_axes
from workloads.reservoir import Reservoir

_LEAK_OPS = 2
EVENT_FORMAT = "int1"
"""An event is there or not: one bit, whatever the format of weights and membranes."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A liquid state machine.

    Attributes:
        reservoirs: name of a sensor to its reservoir.
        outputs: classes of the dense layer that reads one reservoir; of several, width of the projections that are compared.
    """

    reservoirs: Mapping[str, Reservoir]
    outputs: int


def lsm(name: str, machine: Machine, batch: int = 1, format: str = "fp32", *, joined: bool = True) -> OperatorGraph:
    """``machine`` on one sample of each of its sensors.

    A reservoir is a ``Repeat`` over its steps. Events and spikes are binary tensors whose sparsity states the share of ones. The counts of
    one reservoir go into a dense layer of classes; those of two through a projection with GELU each, whose product says how alike they are.

    Args:
        joined: events and the neurons' last spikes are one vector for one matrix of (inputs + neurons) rows; else two products a step.
    """
    meta: dict[str, str | int | float] = {"phase": "inference", "batch": batch, "format": format, "source": f"zoo:{name}"}
    builder = GraphBuilder(name, format, meta)
    counts = {sensor: _reservoir(builder, sensor, reservoir, batch, joined) for sensor, reservoir in machine.reservoirs.items()}
    if len(counts) == 1:
        (count,) = counts.values()
        builder.output(_dense(builder, "readout", count, machine.outputs))
        return builder.build()
    embedded = []
    for sensor, count in counts.items():
        projected = _dense(builder, f"{sensor}.projection", count, machine.outputs)
        embedded.append(builder.elementwise("gelu", (projected,), f"{sensor}.embedding"))
    builder.output(builder.gemm(embedded[0], embedded[1], "similarity", transpose_b=True))
    return builder.build()


def _dense(builder: GraphBuilder, name: str, x: str, features: int) -> str:
    weight, bias = builder.weight(f"{name}.weight", (features, builder[x].shape[-1])), builder.weight(f"{name}.bias", (features,))
    return builder.gemm(x, weight, name, bias=bias, transpose_b=True)


def _sparsity(density: float) -> Sparsity:
    return DENSE if density == 1.0 else Sparsity("unstructured", density)


def _reservoir(builder: GraphBuilder, name: str, reservoir: Reservoir, batch: int, joined: bool) -> str:
    """Append a reservoir; returns its neurons' spike counts (batch, neurons)."""
    size, wide = reservoir.neurons, reservoir.inputs
    entering, own = _sparsity(reservoir.input_density), _sparsity(reservoir.spike_density)
    events = f"{name}.events"
    builder.tensor(events, (reservoir.steps, batch, wide), format=EVENT_FORMAT, sparsity=entering)
    builder.inputs.append(events)
    body = GraphBuilder(f"{name}.step", builder.format)
    body.tensor("x", (batch, wide), format=EVENT_FORMAT, sparsity=entering)
    body.tensor("s", (batch, size), format=EVENT_FORMAT, sparsity=own)
    body.tensor("state", (batch, size, 2), role=Role.STATE)
    outer = {
        "state": builder.tensor(f"{name}.state_first", (batch, size, 2), role=Role.STATE),
        "s": builder.tensor(f"{name}.s_first", (batch, size), format=EVENT_FORMAT, role=Role.STATE),
    }
    body.inputs += ["x", "s", "state"]
    weights = {"W": (size, wide + size)} if joined else {"W": (size, wide), "R": (size, size)}
    for weight, shape in weights.items():
        body.tensor(weight, shape, role=Role.WEIGHT)
        outer[weight] = builder.weight(f"{name}.{weight}", shape)
    if joined:
        density = (reservoir.input_density * wide + reservoir.spike_density * size) / (wide + size)
        body.tensor("row", (batch, wide + size), format=EVENT_FORMAT, sparsity=_sparsity(density))
        body.concat(("x", "s"), "row", 1)
        body.tensor("current", (batch, size))
        currents = [body.gemm("row", "W", "current", transpose_b=True)]
    else:
        for product in ("current", "recurrent"):
            body.tensor(product, (batch, size))
        currents = [body.gemm("x", "W", "current", transpose_b=True), body.gemm("s", "R", "recurrent", transpose_b=True)]
    _neurons(body, currents, own)
    last = builder.tensor(f"{name}.state", (batch, size, 2), role=Role.STATE)
    carried = (("state_next", "state"), ("s_next", "s"))
    body.output("state_next", "s_next")
    stacked = {"x": events}
    builder.add(Repeat(f"{name}.steps", body.build(), reservoir.steps, carried, tuple(weights), outer, {"state_next": last}, stacked))
    counts = builder.tensor(f"{name}.counts", (batch, size))
    axes = (*plain_axes(("d0", "d1")), axis(offset=1))
    return builder.copy(last, counts, (batch, size), axes, read_bytes=builder[counts].stored_bytes, attributes={"function": "slice"})


def _neurons(body: GraphBuilder, currents: list[str], own: Sparsity) -> None:
    """Leaky integrate-and-fire on records of a membrane and a counter: all membranes leak or are reset, while the products run; then they
    take the currents and spike where they reach the threshold, and the counters grow. Five operations a neuron (``lif``, of which leak and
    reset are two), one more for a second current."""
    batch, size, _ = body["state"].shape
    for made in ("leaked", "state_next"):
        body.tensor(made, (batch, size, 2), role=Role.STATE)
    body.tensor("s_next", (batch, size), format=EVENT_FORMAT, sparsity=own)
    each = plain_axes(("b", "n"))
    dims = (("b", batch), ("n", size))

    def records(name: str) -> tuple[Operand, Operand]:
        return Operand(name, (*each, axis(offset=0))), Operand(name, (*each, axis(offset=1)))

    leak = Nest(dims, "lif", (*records("state"), Operand("s", each)), records("leaked"), _LEAK_OPS)
    body.operator("elementwise", ("state", "s"), ("leaked",), (leak,), name="leak", attributes={"function": "lif"})
    reads = (*(Operand(item, each) for item in currents), *records("leaked"))
    fire = Nest(dims, "lif", reads, (*records("state_next"), Operand("s_next", each)), OPERATIONS["lif"] - _LEAK_OPS + len(currents) - 1)
    inputs = (*currents, "leaked")
    body.operator("elementwise", inputs, ("state_next", "s_next"), (fire,), name="fire", attributes={"function": "lif"})


_DIGITS = Reservoir(256, 200, 50, 5.0, 0.9, 0.07, 0.076, 0.00042)
_SPOKEN = Reservoir(64, 200, 129, 5.3, 0.97, 0.08, 0.068, 0.0012, "formants")
_DIGITS_ZERO = Reservoir(256, 200, 50, 5.0, 0.9, 0.3, 0.076, 0.05)
_SPOKEN_ZERO = Reservoir(64, 200, 129, 5.3, 0.97, 0.1, 0.068, 0.0022, "formants")
_BRAIN = Reservoir(192, 2048, 201, 0.1, 0.95, 5e-4, 0.24, 0.00021, "electrodes")
_LETTERS = Reservoir(784, 2048, 50, 0.1, 0.95, 5e-4, 0.16, 0.0064, "rates")

MACHINES: Mapping[str, Machine] = MappingProxyType(
    {
        "lsm-nmnist": Machine({"image": _DIGITS}, 10),
        "lsm-ntidigits": Machine({"audio": _SPOKEN}, 11),
        "lsm-zero-shot": Machine({"image": _DIGITS_ZERO, "audio": _SPOKEN_ZERO}, 64),
        "lsm-zero-shot-128": Machine({"image": _DIGITS_ZERO, "audio": _SPOKEN_ZERO}, 128),
        "lsm-eeg-emnist": Machine({"eeg": _BRAIN, "image": _LETTERS}, 64),
    }
)
"""Name to machine."""

_WORDS = {
    "lsm-nmnist": "liquid state machine on N-MNIST, 256 inputs, 200 neurons, 50 steps",
    "lsm-ntidigits": "liquid state machine on N-TIDIGITS, 64 inputs, 200 neurons, 129 steps",
    "lsm-zero-shot": "two liquid state machines, images and spoken digits, compared by projections of 64",
    "lsm-zero-shot-128": "two liquid state machines, images and spoken digits, compared by projections of 128",
    "lsm-eeg-emnist": "two liquid state machines of 2048 neurons, electrodes and letters, compared by projections of 64",
}

NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {name: (partial(lsm, name, machine), _WORDS[name]) for name, machine in MACHINES.items()}
)
"""Name to (builder of (batch, format), description)."""
