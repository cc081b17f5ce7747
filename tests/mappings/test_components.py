"""Component models against the figures that they come from, and laws that any such model keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import ArgumentError, ContractError, UnknownNameError
from mappings.crossbar.components import Cost, component_names, cost_of, register_component, registry
from mappings.crossbar.components.digital import tree_bits
from mappings.crossbar.components.nodes import area_scale, energy_scale

HOROWITZ = {"node_nm": 45, "supply": 0.9}


def test_published_points_of_digital_logic_come_out():
    assert cost_of("adder", {**HOROWITZ, "bits": 32}).energy_j == pytest.approx(0.1e-12)
    assert cost_of("adder", {**HOROWITZ, "bits": 8}).energy_j == pytest.approx(0.03e-12, rel=0.2)
    assert cost_of("multiplier", {**HOROWITZ, "bits": 32}).energy_j == pytest.approx(3.1e-12)
    assert cost_of("multiplier", {**HOROWITZ, "bits": 8}).energy_j == pytest.approx(0.2e-12, rel=0.1)


@pytest.mark.parametrize(("size", "joules"), [(8 << 10, 10e-12), (32 << 10, 20e-12), (1 << 20, 100e-12)])
def test_sram_reads_cost_what_horowitz_lists(size, joules):
    assert cost_of("sram", {**HOROWITZ, "size": size, "bits": 64}).energy_j == pytest.approx(joules, rel=0.15)


def test_a_survey_converter_costs_about_what_the_published_one_of_isaac_does():
    cost = cost_of("adc_survey", {"resolution": 8, "rate": 1.28e9, "node_nm": 32})
    assert cost.energy_j == pytest.approx(2e-3 / 1.28e9, rel=0.3)  # 2 mW at 1.28 GS/s, table I of the paper
    assert cost.latency_s == 1 / 1.28e9


def test_survey_energy_by_hand():
    """At 4 bits and 1 kHz the plateau holds: M = 128.307 + 4 x 3.2205 = 141.189 dB, SNDR = 25.842 dB."""
    bound = 0.5 / 10 ** ((141.18888 - 25.84158) / 10)
    correction = 2.718281828459045**24.5794194 * 32**1.880037 * 4**-2.829126
    assert cost_of("adc_survey", {"resolution": 4, "rate": 1e3, "node_nm": 32}).energy_j == pytest.approx(
        bound * correction * 1e-12, rel=1e-4
    )


def test_figures_of_merit_bound_from_both_sides():
    low = cost_of("adc_merit", {"resolution": 4, "rate": 1e9, "walden_j": 10e-15, "schreier_db": 170})
    assert low.energy_j == pytest.approx(160e-15)
    high = cost_of("adc_merit", {"resolution": 16, "rate": 1e6, "walden_j": 1e-18, "schreier_db": 180})
    assert high.energy_j == pytest.approx(0.5 / 10 ** ((180 - 98.09) / 10), rel=1e-3)


def test_a_ramp_takes_all_its_steps():
    five, eight = (cost_of("adc_ramp", {"resolution": bits, "rate": 1e9, "node_nm": 16}) for bits in (5, 8))
    assert five.latency_s == pytest.approx(32e-9)
    assert eight.latency_s == pytest.approx(256e-9)
    assert 7 < eight.energy_j / five.energy_j < 8  # 8 times the steps, 1.6 times the register


def test_adder_trees_count_their_adders():
    assert tree_bits(1, 8) == 0
    assert tree_bits(4, 8) == 2 * 8 + 9
    assert tree_bits(5, 1) == 2 * 1 + 2 + 3  # 5 operands: 2 adders, then 3: 1 adder, then 2: 1 adder


def test_nodes_scale_as_the_tables_say():
    assert area_scale(16, 45) == pytest.approx(0.19, rel=0.02)
    assert area_scale(7, 14) == pytest.approx(0.34, rel=0.02)
    assert energy_scale(45, 1.0, 45, 0.5) == pytest.approx((1.103 - 0.362 + 0.2767) / (1.103 / 4 - 0.362 / 2 + 0.2767))


@settings(max_examples=40, deadline=None)
@given(bits=st.integers(4, 12), rate=st.floats(1e4, 1e10), node=st.floats(7, 130), name=st.sampled_from(["adc_survey", "adc_ramp"]))
def test_another_bit_never_costs_less(bits, rate, node, name):
    one, two = (cost_of(name, {"resolution": each, "rate": rate, "node_nm": node}) for each in (bits, bits + 1))
    assert two.energy_j > one.energy_j > 0
    assert two.area_mm2 > one.area_mm2 > 0


@settings(max_examples=40, deadline=None)
@given(size=st.floats(64, 1e9), node=st.floats(7, 90))
def test_larger_buffers_cost_more_per_byte(size, node):
    small, large = (cost_of("sram", {"size": each, "node_nm": node}) for each in (size, 2 * size))
    assert large.energy_j == pytest.approx(small.energy_j * 2**0.5)
    assert large.area_mm2 == pytest.approx(small.area_mm2 * 2)


def test_faults_say_what_and_where():
    with pytest.raises(UnknownNameError, match=r"adc_survy.*adc_survey"):
        cost_of("adc_survy", {})
    with pytest.raises(ArgumentError, match="needs rate") as missing:
        cost_of("adc_survey", {"resolution": 8, "node_nm": 32}, where="unit.array.adc")
    assert missing.value.where == "unit.array.adc"
    with pytest.raises(ArgumentError, match="from 7 to 130, not 3"):
        cost_of("sram", {"size": 1024, "node_nm": 3})


def test_models_of_others_join(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})

    class Flat:
        def cost(self, values):
            return Cost(values["size"] * 1e-15, 1.0)

    class Broken:
        def cost(self, values):
            return Cost(float("nan"), 0.0)

    register_component("flat", Flat())
    register_component("broken", Broken())
    assert "flat" in component_names()
    assert cost_of("flat", {"size": 3, "word": "ignored"}).energy_j == pytest.approx(3e-15)
    with pytest.raises(ContractError, match="finite"):
        cost_of("broken", {})
    with pytest.raises(ContractError, match="raised KeyError"):
        cost_of("flat", {})
    with pytest.raises(ArgumentError, match="cannot be replaced"):
        register_component("sram", Flat())


PAGE = Path(__file__).parents[2] / "docs" / "crossbar-parts.md"


@pytest.mark.skipif(not PAGE.exists(), reason="the documents are not here (installed package)")
def test_the_page_lists_every_model_and_every_crossbar_of_the_library():
    from hwspecs import describe_hardware

    text = PAGE.read_text(encoding="utf-8")
    names = [
        *registry.BUILT_IN,
        *(each.name for each in describe_hardware() if each.family == "crossbar" and not each.name.endswith("8bit")),
    ]
    missing = [name for name in names if f"`{name}`" not in text and f"`-{name.rpartition('-')[2]}`" not in text]
    assert not missing
