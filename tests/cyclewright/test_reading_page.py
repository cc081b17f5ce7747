"""What docs/reading-the-report.md says about two runs holds, by the numbers it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import cyclewright as cw
from cyclewright.report import render
from simulator.result import Result
from simulator.stored import to_document
from tests.cyclewright.sample_documents import sample_document

PAGE = Path(__file__).parents[2] / "docs" / "reading-the-report.md"
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the documents are not here (installed package)")


@pytest.fixture(scope="module")
def decode() -> Result:
    return cw.run("llama-3-8b", "nvidia-h200-sxm", phase="decode")


@pytest.fixture(scope="module")
def network() -> Result:
    return cw.run("resnet50", "edge-npu")


def _extra(result: Result) -> dict[str, int]:
    return {row.name: row.dram_bytes - row.compulsory_bytes for row in result.operators if row.dram_bytes > row.compulsory_bytes}


def test_extra_bytes_of_a_decode_step_are_the_hidden_vector_and_the_entries_just_appended(decode: Result) -> None:
    hidden = 4096 * 2  # one token of 4096 channels in bf16: stored and loaded before the first layer and after the last
    appended = 32 * 2 * 8 * 128 * 2  # keys and values of 8 heads of 128, in 32 layers
    edges = dict.fromkeys(("embedding", "attention_norm", "mlp_out", "final_norm"), hidden)
    assert _extra(decode) == {**edges, "attention": appended}
    assert decode.peak_memory_bytes > decode.dram_bytes


def test_extra_bytes_of_the_first_convolution_are_weights_loaded_again_and_halo_rows(network: Result) -> None:
    weights = 64 * 3 * 7 * 7
    again = 6 * weights
    halo = _extra(network)["conv1"] - again
    row = 3 * 224  # one row of the input in all channels
    assert halo > 0
    assert halo % row == 0
    assert halo // row == 6 * 5  # a 7 x 7 window of stride 2 shares five rows with the one above, at six seams
    assert list(_extra(network)) == ["conv1"]


def test_an_array_can_be_occupied_far_below_its_roof(network: Result) -> None:
    row = next(row for row in network.operators if row.name == "layer1.0.conv1")
    assert row.bound_by == "compute:array"
    assert row.roof_s / row.time_s < 0.1
    assert network.bound_by == "compute:array"
    assert network.busy["compute:array"] / network.latency_s > 2.5 * network.mfu


def test_dynamic_energy_adds_up_to_less_than_the_headline(decode: Result) -> None:
    dynamic = sum(sum(row.energy_j.values()) for row in decode.operators)
    assert dynamic + decode.energy_by_component["static"] == pytest.approx(decode.energy_j)
    assert dynamic < decode.energy_j


def test_the_timeline_has_a_row_for_the_memory_port_of_a_gpu(decode: Result) -> None:
    assert {span.resource for span in decode.timeline} == {"launch", "compute:sm", "memory:hbm"}
    assert ">hbm</text>" in render(to_document(decode))


def test_the_page_explains_every_column_that_needs_a_word_and_every_stage(decode: Result, network: Result) -> None:
    text = PAGE.read_text("utf-8")
    for name in re.findall(r'aria-sort="none"><button[^>]*>([^<]+)</button>', render(sample_document(3)))[5:]:
        assert f"**{name}**" in text or name in ("Off-chip", "Unit", "Rounds"), name
    stages = {span.stage for result in (decode, network) for span in result.timeline}
    for stage in stages:
        word = "load ..." if stage.startswith("load") else stage
        assert f"`{word}`" in text, stage
