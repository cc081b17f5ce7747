"""Reservoirs: laws of the simulation, densities of generated events, graphs of liquid state machines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import ArgumentError, UnknownNameError
from workloads import counts, load_model
from workloads.events import ENCODINGS, events_of
from workloads.graph import Repeat
from workloads.reservoir import Reservoir, densities, spikes_of, weights
from workloads.zoo.lsm import MACHINES, lsm

SMALL = Reservoir(16, 12, 20, 1.0, 0.9, 0.5)
ALL = [(name, sensor) for name, machine in MACHINES.items() for sensor in machine.reservoirs]


def test_one_neuron_by_hand():
    """Input weight w, own weight r: v = 0.5 v + w until the threshold, then from zero again with r on top."""
    one = Reservoir(1, 1, 6, 1.2, 0.5, 1.0)
    (w,), (r,) = (part[0] for part in weights(one, 3))
    events = np.ones((1, 6, 1), dtype=bool)
    v, s, expected = 0.0, 0.0, []
    for _ in range(6):
        v = 0.5 * v * (1 - s) + w + r * s
        s = float(v >= 1.2)
        expected.append(s)
    assert spikes_of(one, events, seed=3).ravel().tolist() == expected


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), decay=st.floats(0, 1), density=st.floats(0, 1))
def test_no_event_no_spike_and_every_sample_for_itself(seed, decay, density):
    item = replace(SMALL, decay=decay)
    events = np.random.default_rng(seed).random((3, 20, 16)) < density
    events[1] = False
    together = spikes_of(item, events, seed=seed)
    assert not together[1].any()
    assert np.array_equal(together[2:], spikes_of(item, events[2:], seed=seed))
    assert np.array_equal(together, spikes_of(item, events, seed=seed))


def test_scaling_weights_and_threshold_together_changes_nothing():
    """The neuron is linear between spikes, so only the ratio counts; powers of two keep it exact."""
    events = events_of("formants", 4, 20, 16, seed=1)
    doubled = replace(SMALL, threshold=2 * SMALL.threshold, weight_scale=2 * SMALL.weight_scale)
    assert np.array_equal(spikes_of(SMALL, events, seed=5), spikes_of(doubled, events, seed=5))


def test_a_higher_threshold_spikes_less_on_average():
    """No law for one neuron (a spike may inhibit others), so the mean over eight reservoirs."""
    shares = []
    for threshold in (0.5, 1.0, 2.0, 4.0):
        item = replace(SMALL, threshold=threshold)
        shares.append(np.mean([densities(replace(item, encoding="formants"), samples=8, seed=seed).spike_density for seed in range(8)]))
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 2 * shares[-1] > 0


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_events_are_binary_and_seeded(encoding):
    one = events_of(encoding, 3, 30, 64, seed=7)
    assert one.dtype == bool
    assert one.shape == (3, 30, 64)
    assert np.array_equal(one, events_of(encoding, 3, 30, 64, seed=7))
    assert not np.array_equal(one, events_of(encoding, 3, 30, 64, seed=8))
    assert 0.0 < one.mean() < 0.5


@pytest.mark.parametrize(("name", "sensor"), [item for item in ALL if "eeg" not in item[0] and "128" not in item[0]])
def test_stated_densities_are_those_of_the_simulation(name, sensor):
    """On other samples and other weights than they were taken from. Spikes are few and depend on the weights: within a factor of two."""
    item = MACHINES[name].reservoirs[sensor]
    found = [densities(item, samples=8, seed=seed) for seed in (11, 12)]
    assert np.mean([each.input_density for each in found]) == pytest.approx(item.input_density, rel=0.15)
    assert 0.4 < np.mean([each.spike_density for each in found]) / item.spike_density < 2.5


@pytest.mark.parametrize(("encoding", "density"), [("electrodes", 0.24), ("rates", 0.16)])
def test_stated_input_densities_of_the_wide_reservoirs(encoding, density):
    item = next(item for machine in MACHINES.values() for item in machine.reservoirs.values() if item.encoding == encoding)
    assert item.input_density == density
    assert events_of(encoding, 32, item.steps, item.inputs, seed=9).mean() == pytest.approx(density, rel=0.15)


def test_counts_by_hand():
    expected = {  # MACs: steps (inputs + neurons) neurons and the dense layers; parameters: the same without steps, biases besides
        "lsm-nmnist": (50 * 456 * 200 + 2000, 456 * 200 + 2010),
        "lsm-ntidigits": (129 * 264 * 200 + 2200, 264 * 200 + 2211),
        "lsm-zero-shot": (50 * 456 * 200 + 129 * 264 * 200 + 2 * 200 * 64 + 64, (456 + 264) * 200 + 2 * 201 * 64),
        "lsm-eeg-emnist": (201 * 2240 * 2048 + 50 * 2832 * 2048 + 2 * 2048 * 64 + 64, (2240 + 2832) * 2048 + 2 * 2049 * 64),
    }
    for name, (macs, parameters) in expected.items():
        graph = load_model(name)
        graph.check()
        assert (counts(graph).macs, counts(graph).parameters) == (macs, parameters)


def test_both_ways_to_write_the_products_do_the_same_work():
    machine = MACHINES["lsm-nmnist"]
    joined, apart = lsm("lsm", machine), lsm("lsm", machine, joined=False)
    apart.check()
    assert counts(joined).macs == counts(apart).macs
    assert counts(joined).parameters == counts(apart).parameters
    assert counts(apart).vector_ops == counts(joined).vector_ops + 50 * 200  # the second current is added


def test_events_stay_binary_and_state_their_density():
    graph = load_model("lsm-nmnist", format="w8a8")
    (repeat,) = (node for node in graph.nodes if isinstance(node, Repeat))
    for name, density in (("x", 0.076), ("s", 0.00042), ("row", (256 * 0.076 + 200 * 0.00042) / 456)):
        tensor = repeat.body.tensors[name]
        assert tensor.format.name == "int1"
        assert tensor.sparsity.density == pytest.approx(density)
    assert repeat.body.tensors["W"].format.name == "int8"


@pytest.mark.parametrize(
    ("change", "word"),
    [({"inputs": 0}, "inputs"), ({"threshold": 0.0}, "threshold"), ({"decay": 1.5}, "decay"), ({"spike_density": 0.0}, "spike_density")],
)
def test_reservoirs_that_cannot_be(change, word):
    with pytest.raises(ArgumentError, match=word):
        replace(SMALL, **change)


def test_events_that_cannot_be_made():
    with pytest.raises(UnknownNameError, match="formants"):
        events_of("formant", 1, 1, 1)
    with pytest.raises(ArgumentError, match="square"):
        events_of("strokes", 1, 1, 200)
    with pytest.raises(ArgumentError, match="samples"):
        spikes_of(SMALL, np.zeros((1, 2, 3), dtype=bool))
