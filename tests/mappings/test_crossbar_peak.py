"""Peak figures of crossbar chips from their parts: by hand, and laws."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs import load_hardware
from hwspecs.vocabulary.errors import ArgumentError, UnknownNameError
from mappings.crossbar.peak import peak_of, peaks_of


def peak(name: str, **overrides: str):
    device = load_hardware(name, {key.replace("__", "."): value for key, value in overrides.items()})
    return peak_of(device.primary, device)


def test_isaac_from_its_table_of_parts():
    """Table I: a tile of 330 mW and 0.372 mm2, 168 of them, links of 10.4 W and 22.88 mm2; converters take 128 / 1.2 GHz per phase."""
    found = peak("isaac")
    assert found.interval_s == pytest.approx(16 * 128 / 1.2e9)
    assert found.tops == pytest.approx(2 * 16128 * 128 * 16 / found.interval_s / 1e12)
    assert found.total_power_w == pytest.approx(168 * 0.330 + 10.4, rel=0.01)
    assert found.total_area_mm2 == pytest.approx(168 * 0.372 + 22.88, rel=0.01)
    assert found.area_mm2["adc"] == pytest.approx(16128 * 0.0012)


def test_a_macro_by_hand():
    """64 inputs x 16 outputs per cycle of 217.7 MHz; 125.06 pJ a cycle: 16 conversions, 64 drivers, 1024 cells, control."""
    found = peak("wang-vlsi-2022")
    assert found.tops == pytest.approx(2 * 64 * 16 * 217.7e6 / 1e12)
    joules = 16 * 2.6576e-12 + 64 * 0.4299e-12 + 1024 * 48.85e-15 + 5.0024e-12
    assert found.total_power_w == pytest.approx(joules * 217.7e6)
    assert found.total_area_mm2 == pytest.approx(0.124, rel=1e-3)
    assert found.tops_per_w == pytest.approx(found.tops / found.total_power_w)


def test_the_supply_scales_measured_parts_by_its_square():
    low = peak("wang-vlsi-2022", unit__array__supply="0.7 V")
    assert low.total_power_w == pytest.approx(0.49 * peak("wang-vlsi-2022").total_power_w)


def test_stated_numbers_win_over_a_model():
    stated = peak("neurosim-rram", unit__array__adc__energy="1 pJ", unit__array__adc__area="100 um2")
    modelled = peak("neurosim-rram")
    assert stated.area_mm2["adc"] == pytest.approx(8192 * 16 * 1e-4)
    assert stated.power_w["adc"] == pytest.approx(8192 * 128 * 8 * 1e-12 / stated.interval_s)
    assert stated.power_w["shift_add"] == modelled.power_w["shift_add"]
    assert peak("neurosim-rram", unit__array__adc__power="1 mW").power_w["adc"] == pytest.approx(8192 * 16 * 1e-3)


def test_faults_of_models_are_located():
    with pytest.raises(UnknownNameError, match=r"adc_survei.*adc_survey") as unknown:
        peak("neurosim-rram", unit__array__adc__model="adc_survei")
    assert "unit.array.adc" in str(unknown.value)
    with pytest.raises(ArgumentError, match=r"node_nm from 7 to 130, not 3") as node:
        peak("neurosim-rram", unit__array__node_nm="3")
    assert "unit.array" in str(node.value)


def test_only_crossbars_have_a_peak():
    assert peaks_of(load_hardware("systolic-array")) == ()
    assert [found.unit for found in peaks_of(load_hardware("isaac"))] == ["array"]


@settings(max_examples=15, deadline=None)
@given(count=st.integers(1, 1000))
def test_arrays_add_up(count):
    one, many = peak("colonnade"), peak("colonnade", unit__array__count=str(count))
    assert many.tops == pytest.approx(count * one.tops)
    assert many.total_power_w == pytest.approx(count * one.total_power_w)
    assert many.total_area_mm2 == pytest.approx(count * one.total_area_mm2)


@settings(max_examples=15, deadline=None)
@given(sharing=st.sampled_from([1, 2, 4, 8, 16, 32, 64]))
def test_fewer_converters_take_no_more_area_and_no_less_time(sharing):
    few, many = (peak("isaac", unit__array__adc__sharing=str(each)) for each in (2 * sharing, sharing))
    assert few.total_area_mm2 <= many.total_area_mm2
    assert few.interval_s >= many.interval_s


@pytest.mark.parametrize("name", ["isaac", "dcim-22nm", "neurosim-rram", "nl-adc-nlp", "lsm-40nm", "hermes-64core", "colonnade"])
def test_the_rate_is_that_of_the_roofline(name):
    """The peak of the parts never beats the rate that rooflines use."""
    device = load_hardware(name)
    found = peak_of(device.primary, device)
    bits = int(device.primary.parameters["input_bits"])
    assert found.tops * 1e12 <= device.primary.rates[f"int{bits}", "dense"] * (1 + 1e-9)
