"""The cycle rung as a whole: bounds between the rungs, commands, energy that adds up, what is missing by name."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest

import cyclewright as cw
from hwspecs.hardware import Dram
from hwspecs.vocabulary.errors import UnsupportedError
from ilp import trivial_schedule
from simulator import from_json, simulate, to_json, trace_json
from tests.simulator.build import hardware, mapped_operator, random_graph, straight, tensor
from tests.simulator.test_dram import DDR4

# 100 GB/s as in tests.simulator.build: four channels of 64 lines at 3.125 Gb/s
ENERGY = {"activate": 3e-9, "read": 2e-9, "write": 4e-9, "refresh": 700e-9}
DRAM = replace(DDR4, channels=4, clock_hz=1.5625e9, rated_bits_per_s=3.2e9, interleave_bytes=256, energy_j=ENERGY)


def device(dram: Dram | None = DRAM, **settings: object):
    """The hardware of ``build`` with a banked DRAM."""
    base = hardware(**settings)
    return replace(base, memories={**base.memories, "dram": replace(base.memories["dram"], dram=dram)})


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 40))])
def test_no_rung_beats_the_roofline_and_energy_adds_up(seed):
    rng = random.Random(seed)
    mapped = random_graph(rng, device(on_chip=rng.choice((40_000, 150_000, 1_000_000))))
    schedule = trivial_schedule(mapped)
    bound, result = (simulate(mapped, schedule, fidelity=rung) for rung in ("roofline", "cycle"))
    assert result.latency_s >= bound.latency_s * (1 - 1e-12)
    assert result.energy_j == math.fsum(result.energy_by_component.values())
    for component, joules in result.energy_by_component.items():
        if component != "static":
            assert joules == pytest.approx(math.fsum(row.energy_j.get(component, 0.0) for row in result.operators), rel=1e-12)
    tile = simulate(mapped, schedule)
    assert (result.dram_bytes, result.bytes_by_memory) == (tile.dram_bytes, tile.bytes_by_memory)
    assert simulate(mapped, schedule, fidelity="cycle", unfolded=True).cycles == result.cycles


def test_commands_of_a_plain_operator():
    # 1 MB read, 500 kB written, in four firings each: 64 bytes a burst (firings round up), one refresh per tREFI = 5.99 us and channel.
    mapped = straight([tensor("x", 10**6), tensor("y", 500_000)], [mapped_operator("op", {"x": 10**6}, {"y": 500_000})], ["y"], device())
    result = simulate(mapped, trivial_schedule(mapped), fidelity="cycle")
    told = result.dram["dram"]
    assert (told["reads"], told["writes"]) == (4 * math.ceil(250_000 / 64), 4 * math.ceil(125_000 / 64))
    assert told["turnarounds"] == 2 * 4 * 4  # to and fro, four firings of writes, four channels
    assert told["refreshes"] == pytest.approx(4 * result.latency_s * 1.5625e9 / 9360)
    assert 0.9 < told["efficiency"] < 1 - 0.04
    assert told["row_hit_rate"] > 0.95
    energy = result.energy_by_component
    assert energy["dram.read"] == pytest.approx(told["reads"] * 2e-9)
    assert energy["dram.write"] == pytest.approx(told["writes"] * 4e-9)
    assert energy["dram.activate"] == pytest.approx(told["activates"] * 3e-9)
    assert energy["dram.refresh"] == pytest.approx(told["refreshes"] * 700e-9)
    assert "dram" not in energy


def test_a_bandwidth_above_the_rating_is_said():
    calm = cw.run("gemm:64x64x64", "edge-npu", fidelity="cycle")
    fast = cw.run("gemm:64x64x64", "edge-npu", fidelity="cycle", overrides=["dram.bandwidth=60 GB/s"])
    assert not any("rated" in note for note in calm.warnings)
    assert any("7.5 Gb/s per data line, above the 6.4 Gb/s that lpddr5-6400 is rated for" in note for note in fast.warnings)


def test_a_part_without_energies_is_priced_by_the_byte():
    mapped = straight(
        [tensor("x", 10**6), tensor("y", 1)], [mapped_operator("op", {"x": 10**6}, {"y": 1})], ["y"], device(replace(DRAM, energy_j={}))
    )
    rows = [simulate(mapped, trivial_schedule(mapped), fidelity=rung).energy_by_component["dram"] for rung in ("tile", "cycle")]
    assert rows[0] == rows[1]


def test_a_device_without_dram_is_named():
    mapped = straight([tensor("x", 10), tensor("y", 10)], [mapped_operator("op", {"x": 10}, {"y": 10})], ["y"], device(None))
    with pytest.raises(UnsupportedError, match=r"memory\.dram.*neither a part nor geometry and timing"):
        simulate(mapped, trivial_schedule(mapped), fidelity="cycle")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "name", "settings"),
    [
        ("resnet50", "edge-npu", {}),
        ("resnet50", "systolic-array", {}),
        ("llama-3-8b", "nvidia-h100-sxm", {"phase": "decode", "context": 2048}),
        ("gemm:1024x1024x1024", "nvidia-v100-sxm2-32gb", {}),
    ],
)
def test_real_models_on_real_parts(model, name, settings):
    bound, tile, result = (cw.run(model, name, fidelity=rung, **settings) for rung in ("roofline", "tile", "cycle"))
    assert bound.latency_s <= result.latency_s
    assert 0.5 < result.latency_s / tile.latency_s < 2  # two estimates of one thing
    (told,) = result.dram.values()
    assert 0.7 < told["efficiency"] <= 1.0
    assert result.energy_j == math.fsum(result.energy_by_component.values())
    assert from_json(to_json(result)) == result
    assert result == replace(cw.run(model, name, fidelity="cycle", **settings), meta=result.meta)


def test_the_trace_counts_bytes_per_second_on_average_where_no_course_is_stored():
    result = replace(cw.run("gemm:1024x1024x1024", "edge-npu", fidelity="cycle"), over_time={})
    counters = [event for event in json.loads(trace_json(result))["traceEvents"] if event["ph"] == "C"]
    assert {event["name"] for event in counters} == {"dram GB/s"}
    assert counters[-1]["args"] == {"read": 0.0, "written": 0.0}
    read, written = result.operators[0].bytes_by_memory["dram"]
    span = result.operators[0].end_s - result.operators[0].start_s
    assert counters[0]["args"] == pytest.approx({"read": read / span / 1e9, "written": written / span / 1e9})
