"""``run`` with a schedule of the fewest bytes, and of the fewest cycles."""

from __future__ import annotations

from itertools import pairwise

import pytest

import cyclewright as cw
from cyclewright.report import render
from cyclewright.report.sources import command
from hwspecs.vocabulary.errors import ArgumentError
from simulator.reading import read_document
from simulator.stored import to_document

TIGHT = {"memory.scratchpad.size": "1 MiB"}


def test_fewest_bytes_and_fewest_cycles():
    trivial, optimal, fastest = (cw.run("resnet50", "edge-npu", overrides=TIGHT, schedule=how) for how in ("trivial", "optimal", "fastest"))
    assert optimal.extra_bytes < trivial.extra_bytes
    assert optimal.extra_bytes <= fastest.extra_bytes
    assert fastest.cycles <= min(trivial.cycles, optimal.cycles)
    assert optimal.energy_by_component["dram"] < trivial.energy_by_component["dram"]
    told = optimal.provenance["schedule"]
    assert told["proven"]
    assert told["extra_bytes"] == told["lower_bound_bytes"] == optimal.extra_bytes
    assert "--schedule optimal" in command(optimal)
    assert "--schedule" not in command(trivial)


def test_an_unknown_schedule_is_refused_with_the_nearest_name():
    with pytest.raises(ArgumentError, match=r"unknown schedule 'optimum'.*optimal"):
        cw.run("gemm:8x8x8", "edge-npu", schedule="optimum")


def test_the_report_has_the_memory_map_and_the_traffic_of_a_schedule_that_was_searched_for():
    trivial, optimal = (cw.run("resnet50", "edge-npu", overrides=TIGHT, schedule=how) for how in ("trivial", "optimal"))
    assert trivial.memory_plan is None
    told = optimal.memory_plan
    assert told is not None
    assert (told["extra_bytes"], told["lower_bound_bytes"], told["scratchpad_bytes"]) == (optimal.extra_bytes, optimal.extra_bytes, 1 << 20)
    nothing, greedy = told["baselines"]
    assert nothing["extra_bytes"] > greedy["extra_bytes"] == trivial.extra_bytes > told["extra_bytes"]
    stays = told["plan"]["stays"]
    assert stays
    for step in range(len(told["plan"]["operators"])):
        live = sorted((stay["address"], stay["bytes"]) for stay in stays if stay["first"] <= step <= stay["last"])
        assert all(low + size <= high for (low, size), (high, _) in pairwise(live))
        assert sum(size for _, size in live) + told["plan"]["operators"][step]["bytes"] <= 1 << 20
    page = render(to_document(optimal))
    assert page.count("Memory map of resnet50") >= 2  # in both layouts
    assert page.count("Off-chip traffic by scheme of resnet50") >= 2
    assert "no plan of these mappings moves less" in page
    assert "Memory map" not in render(to_document(trivial))
    assert read_document(to_document(optimal)).memory_plan == told


def test_what_rounds_hand_on_is_told_in_the_plan():
    told = cw.run("lstm-1x16", "tpu-v1-like", schedule="optimal").memory_plan
    ends = {stay["leaves"] for stay in told["plan"]["stays"]} | {stay["enters"] for stay in told["plan"]["stays"]}
    assert ends <= {"made", "loaded", "fetched", "handed on", "dead", "spilled"}
    assert told["extra_bytes"] == 0
