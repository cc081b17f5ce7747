"""``run`` with a schedule of the fewest bytes, and of the fewest cycles."""

from __future__ import annotations

import pytest

import cyclewright as cw
from cyclewright.report.sources import command
from hwspecs.vocabulary.errors import ArgumentError

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
