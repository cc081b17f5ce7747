"""Figures and report of real runs: what they show is what the run says, from the stored document alone."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import cyclewright as cw
from cyclewright import plots
from cyclewright.plots.breakdown import bars_of
from cyclewright.plots.course import course_scene, panels_of
from cyclewright.plots.roofline import roofline_scene
from cyclewright.plots.stalls import rows_of, stalls_scene
from cyclewright.plots.wording import off_chip_memories, work
from cyclewright.report import render
from cyclewright.report.sources import command
from simulator.reading import read_document
from simulator.stored import to_json
from tests.cyclewright.test_plots import _boxes, _texts
from tests.cyclewright.test_report import Page

RUNS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "resnet50-gpu": ("resnet50", "nvidia-h100-sxm", {}),
    "resnet50-npu": ("resnet50", "edge-npu", {}),
    "llama-decode": ("llama-3-8b", "nvidia-h100-sxm", {"phase": "decode", "batch": 8, "context": 4096}),
    "llama-prefill": ("llama-3-8b", "nvidia-a100-sxm-80gb", {"phase": "prefill", "tokens": 2048}),
    "roofline-rung": ("resnet50", "nvidia-a100-sxm-80gb", {"fidelity": "roofline"}),
}


@pytest.fixture(scope="module", params=RUNS, ids=list(RUNS))
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    model, hardware, options = RUNS[request.param]
    stored: dict[str, Any] = json.loads(to_json(cw.run(model, hardware, **options)))
    return stored


def test_the_document_reads_back_whole(document: dict[str, Any]) -> None:
    result = read_document(document)
    assert len(result.operators) == len(document["operators"])
    assert result.latency_s == document["latency_s"]
    assert off_chip_memories(result) == tuple(name for name, (_, outside) in document["capacities"].items() if outside)


def test_no_operator_stands_above_its_roofs(document: dict[str, Any]) -> None:
    result = read_document(document)
    memory = off_chip_memories(result)[0]
    fastest = max(value for name, value in result.roofs.items() if not name.startswith("memory:"))
    for operator in result.operators:
        if operator.time_s > 0 and work(operator) > 0:
            speed = work(operator) / operator.time_s
            assert speed <= fastest * (1 + 1e-9) or (operator.macs and operator.vector_ops), operator.name
            if result.fidelity == "tile" and operator.dram_bytes:
                assert speed <= operator.intensity * result.roofs[f"memory:{memory}"] * (1 + 1e-3), operator.name


def test_labels_do_not_overlap(document: dict[str, Any]) -> None:
    for width in (1080, 360):
        result = read_document(document)
        for scene in (roofline_scene(result, width=width), stalls_scene(result, width=width), course_scene(result, width=width)):
            boxes = _boxes([text for text in _texts(scene) if not text.rotate])
            for (one, first), (other, second) in combinations(boxes, 2):
                assert not first.overlaps(second), f"{one!r} covers {other!r}"


def test_the_parts_of_every_row_are_its_time(document: dict[str, Any]) -> None:
    result = read_document(document)
    rows = rows_of(result)
    if result.fidelity == "roofline":
        assert not rows
        assert not panels_of(result)
        return
    times = [operator.time_s for operator in result.operators if operator.time_s > 0]
    assert [row.cycles / result.clock_hz for row in rows] == pytest.approx(times)
    assert len(panels_of(result)) >= 3


def test_the_bars_add_up(document: dict[str, Any]) -> None:
    time, cause, energy, traffic = bars_of(read_document(document))
    assert sum(time.parts.values()) == pytest.approx(document["latency_s"], rel=1e-6)
    assert sum(cause.parts.values()) == pytest.approx(document["latency_s"], rel=1e-6)
    assert sum(energy.parts.values()) == pytest.approx(document["energy_j"], rel=1e-9)
    assert sum(traffic.parts.values()) == document["dram_bytes"]


def test_every_figure_and_the_page_are_made_from_the_document(document: dict[str, Any], tmp_path: Path) -> None:
    writers = ("roofline", "breakdown", "memory", "timeline", "stalls", "course")
    for name, writer in ((name, getattr(plots, f"write_{name}")) for name in writers):
        writer(document, tmp_path / f"{name}.svg")
        ElementTree.parse(tmp_path / f"{name}.svg")
    text = render(document)
    page = Page(text)
    assert page.faults == []
    assert len(re.findall(r'<tr id="op\d+">', text)) == len(document["operators"])
    for operator in document["operators"]:
        assert operator["name"] in re.sub(r"<[^>]+>", "", text)


@pytest.mark.parametrize("name", list(RUNS))
def test_the_command_in_the_report_gives_the_same_numbers(name: str) -> None:
    model, hardware, options = RUNS[name]
    words = command(cw.run(model, hardware, interval=True, **options)).split()
    given = dict(zip(words[3::2], words[4::2], strict=True))
    again: dict[str, Any] = {
        flag[2:]: int(value) if flag in ("--batch", "--context", "--tokens") else value
        for flag, value in given.items()
        if flag not in ("--hw", "-o")
    }
    result = cw.run(words[2], given["--hw"], **again)
    assert result.latency_s == cw.run(model, hardware, **options).latency_s
