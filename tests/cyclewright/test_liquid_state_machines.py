"""Liquid state machines on devices: what events cost, what stays on the chip, hand counts of the macro's work."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cyclewright as cw
from workloads.zoo.lsm import MACHINES, Machine, lsm

MACRO, GPU = "lsm-40nm", "nvidia-rtx-3090-ti"


def with_densities(entering: float, own: float, *, format: str = "int8", joined: bool = True):
    machine = MACHINES["lsm-nmnist"]
    changed = {name: replace(item, input_density=entering, spike_density=own) for name, item in machine.reservoirs.items()}
    return lsm("lsm-nmnist", Machine(changed, machine.outputs), format=format, joined=joined)


SHARE = st.floats(0.001, 1.0)


@settings(max_examples=8, deadline=None)
@given(one=st.tuples(SHARE, SHARE), more=st.tuples(SHARE, SHARE))
def test_more_events_never_cost_less_and_take_as_long(one, more):
    entering, own = (max(pair) for pair in zip(one, more, strict=True))
    few, many = (cw.run(with_densities(*densities), MACRO) for densities in (one, (entering, own)))
    assert many.energy_by_component["array.cells"] >= few.energy_by_component["array.cells"] * (1 - 1e-12)
    assert many.energy_j >= few.energy_j * (1 - 1e-12)
    assert many.energy_by_component["array.adc"] == pytest.approx(few.energy_by_component["array.adc"])
    assert many.busy["compute:array"] == few.busy["compute:array"]


def test_the_arrays_of_the_macro_by_hand():
    """50 steps: a tenth of 456 rows driven (0.1 pJ each), 400 columns (pairs) converted (1 pJ each); cells: 30.5 uS at 0.2 V for 10 ns."""
    result = cw.run(with_densities(0.1, 0.1), MACRO)
    assert result.energy_by_component["array.adc"] == pytest.approx(50 * 400 * 1e-12)
    assert result.energy_by_component["array.dac"] == pytest.approx(50 * 45.6 * 0.1e-12)
    assert result.energy_by_component["array.cells"] == pytest.approx(50 * 45.6 * 400 * 0.2**2 * 30.5e-6 * 10e-9)
    assert sum(result.energy_by_component.values()) == pytest.approx(result.energy_j)


def test_two_products_convert_twice_and_drive_the_same_rows():
    joined, apart = (cw.run(with_densities(0.1, 0.1, joined=way), MACRO) for way in (True, False))
    assert apart.energy_by_component["array.adc"] == pytest.approx(2 * joined.energy_by_component["array.adc"])
    assert apart.energy_by_component["array.cells"] == pytest.approx(joined.energy_by_component["array.cells"])


def test_states_of_neurons_stay_on_the_chip():
    """Beyond what must move: the last states, 200 records of two bytes, are stored once, and the counters among them are read again."""
    assert cw.run("lsm-nmnist", MACRO).extra_bytes == 2 * 200 + 200


def test_a_gpu_gains_nothing_from_empty_events():
    few, many = (cw.run(with_densities(density, density, format="fp32"), GPU) for density in (0.01, 1.0))
    assert few.latency_s == pytest.approx(many.latency_s, rel=0.02)
    assert few.energy_by_component["sm.mac"] == many.energy_by_component["sm.mac"]
