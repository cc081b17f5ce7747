"""Reservoirs of spiking neurons (liquid state machines): what one is, and a small simulation that says how often it spikes.

The simulation needs NumPy and loads it where it is used; the graphs of the zoo are made without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwspecs.vocabulary.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Events = NDArray[np.bool_]
    Weights = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reservoir:
    """A fixed random network of leaky integrate-and-fire neurons, all of them joined with all.

    Attributes:
        inputs, neurons: event channels that enter, neurons; ``steps``: time steps of one sample.
        threshold: membrane value at which a neuron spikes and is set back to zero.
        decay: share of the membrane value that is left after one step, in [0, 1].
        weight_scale: standard deviation of the weights, which are drawn from a Gaussian around zero.
        input_density: share of (channel, step) pairs with an event, in (0, 1].
        spike_density: share of (neuron, step) pairs with a spike, in (0, 1].
        encoding: how the samples behind the densities are made, a key of ``workloads.events.ENCODINGS``.

    Raises:
        ArgumentError: a size is below 1, a share outside its range, or the threshold or scale is not above zero.
    """

    inputs: int
    neurons: int
    steps: int
    threshold: float
    decay: float
    weight_scale: float
    input_density: float = 1.0
    spike_density: float = 1.0
    encoding: str = "strokes"

    def __post_init__(self) -> None:
        for name in ("inputs", "neurons", "steps"):
            size = getattr(self, name)
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ArgumentError(f"{name} is {size!r}", where="reservoir", hint="it must be a whole number of at least 1")
        for name in ("threshold", "weight_scale"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ArgumentError(f"{name} is {getattr(self, name)!r}", where="reservoir", hint="it must be a number above 0")
        if not 0.0 <= self.decay <= 1.0:
            raise ArgumentError(f"decay is {self.decay!r}", where="reservoir", hint="it is the share that is left: from 0 to 1")
        for name in ("input_density", "spike_density"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ArgumentError(f"{name} is {getattr(self, name)!r}", where="reservoir", hint="it must be above 0 and at most 1")


def weights(reservoir: Reservoir, seed: int) -> tuple[Weights, Weights]:
    """(weights of the inputs (inputs, neurons), weights of the neurons' own spikes (neurons, neurons)), drawn with ``seed``."""
    import numpy as np

    draw = np.random.default_rng(seed)
    sizes = ((reservoir.inputs, reservoir.neurons), (reservoir.neurons, reservoir.neurons))
    entering, recurrent = (draw.normal(0.0, reservoir.weight_scale, size) for size in sizes)
    return entering, recurrent


def spikes_of(reservoir: Reservoir, events: Events, *, seed: int = 0) -> Events:
    """Spikes (samples, steps, neurons) that ``events`` (samples, steps, inputs) cause in the reservoir drawn with ``seed``.

    v[t] = decay v[t-1] (1 - s[t-1]) + x[t] W_in + s[t-1] W_rec; s[t] = v[t] >= threshold: the iterative leaky integrate-and-fire
    neuron of Wu et al., Spatio-temporal backpropagation for training high-performance SNNs, Frontiers in Neuroscience 12:331 (2018),
    equations 2 to 4. Each sample starts at rest.

    Raises:
        ArgumentError: the events have another number of channels.
    """
    import numpy as np

    if events.ndim != 3 or events.shape[2] != reservoir.inputs:
        what = f"events of shape {events.shape} for a reservoir of {reservoir.inputs} inputs"
        raise ArgumentError(what, where="events", hint="give (samples, steps, inputs)")
    entering, recurrent = weights(reservoir, seed)
    samples, steps, _ = events.shape
    membrane = np.zeros((samples, reservoir.neurons))
    spiked = np.zeros((samples, reservoir.neurons), dtype=bool)
    made = np.zeros((samples, steps, reservoir.neurons), dtype=bool)
    for step in range(steps):
        current = events[:, step].astype(np.float64) @ entering + spiked.astype(np.float64) @ recurrent
        membrane = reservoir.decay * np.where(spiked, 0.0, membrane) + current
        spiked = membrane >= reservoir.threshold
        made[:, step] = spiked
    return made


@dataclass(frozen=True, slots=True)
class Densities:
    """Measured shares of (channel, step) pairs with an event and of (neuron, step) pairs with a spike."""

    input_density: float
    spike_density: float


def densities(reservoir: Reservoir, *, samples: int = 32, seed: int = 0) -> Densities:
    """How often inputs and neurons of ``reservoir`` spike on generated samples of its encoding, weights and samples drawn with ``seed``."""
    from workloads.events import events_of

    events = events_of(reservoir.encoding, samples, reservoir.steps, reservoir.inputs, seed=seed)
    spikes = spikes_of(reservoir, events, seed=seed)
    return Densities(float(events.mean()), float(spikes.mean()))
