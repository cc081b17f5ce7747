"""A training step by pass: totals of a result's rows, on the command line, in the report and side by side."""

from __future__ import annotations

import json

import pytest

from cyclewright import run
from cyclewright.api import document_of
from cyclewright.comparison import compare
from cyclewright.passes import busy_of, passes_of
from cyclewright.report.page import render
from hwspecs import load_hardware
from tests.mappings.builders import graph
from tests.mappings.training_parts import product, prune, update
from workloads.graph import Operator

SAT = "xilinx-vcu1525-sat"


def step(pattern="2:8", batch=64):
    """Forward product on an N:M copy (or the weight), weight gradient and update of a 512 x 512 layer."""
    from dataclasses import replace

    def marked(pair, name):
        operator: Operator = pair[0]
        return replace(operator, attributes={**operator.attributes, "pass": name}), pair[1]

    copies = [] if pattern == "dense" else [prune(512, 512, pattern)]
    forward = product(batch, 512, 512, pattern, w="w.ff" if copies else "w")
    gradient = product(512, 512, batch, name="wu", x="xt", w="dy", y="w.grad")
    net = graph(*copies, marked(forward, "FF"), marked(gradient, "WU"), update(512, 512))
    return replace(net, outputs=("y", "w.new"))


@pytest.fixture(scope="module")
def document():
    return document_of(run(step(), load_hardware(SAT), interval=False))


def test_passes_add_up_to_the_step(document):
    found = {item.name: item for item in passes_of(document)}
    assert list(found) == ["FF", "WU", "update"]
    assert sum(item.time_s for item in found.values()) == pytest.approx(document["latency_s"], rel=1e-9)
    assert sum(item.share for item in found.values()) == pytest.approx(1.0)
    assert (found["FF"].macs, found["FF"].executed_macs) == (64 * 512 * 512, 64 * 512 * 128)
    assert found["update"].macs == 0 < found["update"].dram_bytes
    assert {"stce", "stce.reduction", "wuve", "ddr"} == {name for name, _, _ in busy_of(document)}


def test_a_stored_result_keeps_its_passes(document):
    assert passes_of(json.loads(json.dumps(document))) == passes_of(document)


def test_inference_has_no_passes():
    from dataclasses import replace

    net = graph(product(8, 8, 8))
    assert passes_of(document_of(run(replace(net, outputs=("y",)), load_hardware(SAT), interval=False))) == ()


def test_the_report_shows_the_passes(document):
    page = render(document)
    assert "Passes of the training step" in page
    assert "WU, weight gradients" in page


def test_comparisons_show_passes_side_by_side(document):
    dense = document_of(run(step("dense"), load_hardware(SAT), interval=False))
    found = compare(dense, document, labels=("dense", "2:8")).as_dict()["passes"]
    assert [item["name"] for item in found] == ["FF", "WU", "update"]
    forward = found[0]["time_s"]
    assert forward[0] != forward[1]
