"""The main job end to end on real models and specs: what must hold of every result, whatever its numbers are."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import cyclewright as cw
from simulator.stored import from_json, to_json

GPUS = ("nvidia-h100-sxm", "nvidia-a100-sxm-80gb", "nvidia-b200-sxm", "huawei-ascend-910b3")
ARRAYS = ("tpu-v1-like", "edge-npu", "systolic-array")
JOBS = [
    *[("llama-3-8b", gpu, {"phase": "prefill", "tokens": 2048}) for gpu in GPUS],
    *[("llama-3-8b", gpu, {"phase": "decode", "batch": 8, "context": 4096}) for gpu in GPUS],
    *[("mixtral-8x7b", gpu, {"phase": "decode", "batch": 4, "context": 1024}) for gpu in GPUS],
    *[("resnet50", array, {}) for array in ARRAYS],
]


@pytest.fixture(scope="module", params=JOBS, ids=lambda job: f"{job[0]}-{job[1]}-{job[2].get('phase', 'inference')}")
def result(request: pytest.FixtureRequest) -> cw.Result:
    model, hardware, settings = request.param
    return cw.run(model, hardware, **settings)


def numbers(value: object) -> list[float]:
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers(item)]
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [float(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


def test_every_number_is_finite_and_the_sizes_are_positive(result: cw.Result) -> None:
    document = json.loads(to_json(result))
    assert all(math.isfinite(number) for number in numbers(document))
    for key in ("latency_s", "cycles", "energy_j", "macs", "flops", "dram_bytes", "roofline_s", "peak_memory_bytes"):
        assert document[key] > 0, key
    assert document["bound_by"]


def test_the_roofline_is_not_beaten_by_the_run_nor_by_an_operator(result: cw.Result) -> None:
    assert result.latency_s >= result.roofline_s
    for row in result.operators:
        assert row.time_s >= row.roof_s * (1 - 1e-12), row.name


def test_energy_bytes_and_macs_add_up(result: cw.Result) -> None:
    assert math.isclose(math.fsum(result.energy_by_component.values()), result.energy_j, rel_tol=1e-12)
    dynamic = math.fsum(value for row in result.operators for value in row.energy_j.values())
    assert math.isclose(dynamic + result.energy_by_component.get("static", 0.0), result.energy_j, rel_tol=1e-9)
    assert sum(row.dram_bytes for row in result.operators) == result.dram_bytes
    assert result.dram_bytes == result.compulsory_bytes + result.extra_bytes
    assert sum(row.macs for row in result.operators) == result.macs
    assert result.flops == 2 * result.macs


def test_time_adds_up(result: cw.Result) -> None:
    assert math.isclose(result.latency_s * result.clock_hz, result.cycles, rel_tol=1e-12)
    assert math.isclose(math.fsum(row.time_s for row in result.operators), result.latency_s, rel_tol=1e-9)


def test_json_round_trip_into_every_plot(result: cw.Result, tmp_path: Path) -> None:
    from cyclewright import plots, report

    text = to_json(result)
    assert to_json(from_json(text)) == text
    document = json.loads(text)
    for suffix in ("svg", "png"):
        plots.write_roofline(document, tmp_path / f"roofline.{suffix}")
        plots.write_breakdown(document, tmp_path / f"breakdown.{suffix}")
        assert (tmp_path / f"roofline.{suffix}").stat().st_size > 1000
    html = report.render(document).replace("<wbr>", "")  # long names may break
    assert all(row.name.split("/")[-1] in html for row in result.operators if row.time_s > 0)


def test_dense_macs_match_the_closed_form() -> None:
    """A decode step multiplies each of Llama-3-8B's matrix weights once per sequence, and attends 4096 positions."""
    run = cw.run("llama-3-8b", "nvidia-h100-sxm", phase="decode", batch=8, context=4096)
    weights = 32 * (4096 * (4096 + 2 * 1024) + 4096 * 4096 + 3 * 4096 * 14336) + 4096 * 128256
    attention = 32 * 2 * 32 * 128 * 4096
    assert run.macs == 8 * (weights + attention)


def test_more_bandwidth_is_never_slower_on_a_bandwidth_bound_step() -> None:
    settings = {"phase": "decode", "batch": 1, "context": 2048}
    base = cw.run("llama-3-8b", "nvidia-h100-sxm", **settings)
    faster = cw.run("llama-3-8b", "nvidia-h100-sxm", **settings, overrides=["memory.hbm.bandwidth=4 TB/s"])
    assert base.bound_by == "memory:hbm"
    assert faster.latency_s < base.latency_s
