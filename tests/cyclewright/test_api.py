"""The Python functions on real runs."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import cyclewright as cw
from cyclewright.api import document_of
from hwspecs.vocabulary.errors import ArgumentError, CyclewrightError, InfeasibleError, UnitError, UnknownNameError
from simulator.result import Result

GEMM = "gemm:256x256x256"


def without_meta(result: Result) -> str:
    document = document_of(result)
    assert document.pop("meta")
    return json.dumps(document)


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = (cw.run("mobilenet-v2", "edge-npu", interval=True) for _ in range(2))
    assert without_meta(first) == without_meta(second)


def test_the_result_says_what_it_was_made_from() -> None:
    result = cw.run(GEMM, "edge-npu", overrides=["memory.dram.bandwidth=10 GB/s"])
    assert result.provenance["overrides"] == {"memory.dram.bandwidth": "10 GB/s"}
    assert result.provenance["model_source"]
    assert result.provenance["hardware_digest"] == cw.load_hardware("edge-npu", ["memory.dram.bandwidth=10 GB/s"]).digest
    timings = result.meta["timings_s"]
    assert isinstance(timings, dict)
    assert {"load", "map", "schedule", "simulate"} <= set(timings)


def test_loaded_models_and_devices_give_the_same_numbers() -> None:
    device = cw.load_hardware("edge-npu")
    graph = cw.load_model(GEMM, format=device.default_format)
    assert cw.run(graph, device).latency_s == cw.run(GEMM, "edge-npu").latency_s
    with pytest.raises(ArgumentError, match="takes no overrides"):
        cw.run(graph, device, overrides=["clock=1 GHz"])
    with pytest.raises(ArgumentError, match="cannot be varied"):
        cw.whatif(graph, device, set=["clock=2 GHz"], leaves=False)


@pytest.mark.parametrize(
    "form", [["memory.dram.bandwidth=1 GB/s"], {"memory.dram.bandwidth": "1 GB/s"}, {"dram.bandwidth": 1e9}, ["dram.bandwidth='1 GB/s'"]]
)
def test_overrides_as_texts_or_mapping(form: Any) -> None:
    assert cw.load_hardware("edge-npu").dram.bandwidth_bytes_per_s > 1e9
    result = cw.run(GEMM, "edge-npu", overrides=form)
    assert result.roofs["memory:dram"] == 1e9


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"fidelity": "fast"}, ArgumentError),
        ({"batch": 0}, ArgumentError),
        ({"batch": True}, ArgumentError),
        ({"context": 1.5}, ArgumentError),
        ({"overrides": "clock=1 GHz"}, ArgumentError),
        ({"overrides": ["clock"]}, ArgumentError),
        ({"overrides": {"clock": "1 GB"}}, UnitError),
        ({"overrides": {"clok": "1 GHz"}}, UnknownNameError),
        ({"format": "int9"}, CyclewrightError),
        ({"format": ""}, ArgumentError),
        ({"phase": ""}, ArgumentError),
    ],
)
def test_bad_arguments(settings: dict[str, Any], kind: type[CyclewrightError]) -> None:
    with pytest.raises(kind):
        cw.run(GEMM, "edge-npu", **settings)


def test_what_the_cycle_rung_lacks_is_named() -> None:
    with pytest.raises(CyclewrightError, match=r"memory\.dram.*neither a part nor geometry and timing") as caught:
        cw.run(GEMM, "snapdragon-855", fidelity="cycle")
    assert caught.value.exit_code == 1


def test_a_kind_without_a_mapper_is_named(tmp_path: Path) -> None:
    spec = tmp_path / "strange.yaml"
    spec.write_text("schema: 1\nname: strange\nextends: systolic-array\nunit:\n  array: {kind: photonic}\n", encoding="utf-8")
    with pytest.raises(CyclewrightError, match="photonic") as caught:
        cw.run(GEMM, str(spec))
    assert caught.value.exit_code == 1


def test_the_interval_holds_the_value_and_the_runs_at_its_ends() -> None:
    base = cw.run(GEMM, "edge-npu", interval=True)
    low, high = base.interval["energy_j"]
    assert low < base.energy_j < high
    device = cw.load_hardware("edge-npu")
    leaf = device.leaves["memory.dram.read_energy"]
    assert leaf.source == "assumed"
    for bound in (leaf.low, leaf.high):
        alone = cw.run(GEMM, "edge-npu", overrides={"memory.dram.read_energy": bound})
        assert low <= alone.energy_j <= high


def test_no_interval_where_nothing_is_assumed(tmp_path: Path) -> None:
    device = cw.load_hardware("edge-npu")
    fixed = {leaf.path: leaf.text for leaf in device.leaves.values() if leaf.source == "assumed"}
    assert fixed
    assert cw.run(GEMM, "edge-npu", overrides=fixed, interval=True).interval == {}
    assert cw.run(GEMM, "edge-npu").interval == {}


def test_the_interval_of_the_corners_bounds_random_points_of_the_box() -> None:
    draw = random.Random(7)
    base = cw.run(GEMM, "edge-npu", interval=True)
    leaves = [leaf for leaf in cw.load_hardware("edge-npu").leaves.values() if leaf.source == "assumed" and leaf.low is not None]
    for _ in range(10):
        inside: dict[str, float] = {}
        for leaf in leaves:
            assert leaf.low is not None
            assert leaf.high is not None
            # whole numbers may have values between that are no valid spec: they stand at either end
            whole = isinstance(leaf.value, int)
            inside[leaf.path] = draw.choice((leaf.low, leaf.high)) if whole else draw.uniform(leaf.low, leaf.high)
        result = cw.run(GEMM, "edge-npu", overrides=inside)
        for metric in ("latency_s", "energy_j"):
            low, high = base.interval.get(metric, (base.latency_s, base.latency_s))
            # start-up of whole cycles may round by one
            slack = 2 / base.clock_hz if metric == "latency_s" else 0.0
            assert low * (1 - 1e-9) - slack <= getattr(result, metric) <= high * (1 + 1e-9) + slack


def test_an_end_that_cannot_run_is_told_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from cyclewright import interval

    whole = interval.run_varied

    def partly(prepared: Any, planned: Any, changes: Any) -> Result:
        if any(leaf.path == "memory.dram.read_energy" and value == leaf.high for leaf, value in changes):
            raise InfeasibleError("does not run there")
        return whole(prepared, planned, changes)

    monkeypatch.setattr(interval, "run_varied", partly)
    result = cw.run(GEMM, "edge-npu", interval=True)
    assert "the interval leaves out memory.dram.read_energy: does not run there" in result.warnings
    assert result.interval["energy_j"][0] < result.energy_j


def test_roofline_table_and_figure(tmp_path: Path) -> None:
    table = cw.roofline(GEMM, "edge-npu", path=tmp_path / "roof.svg")
    assert (tmp_path / "roof.svg").read_text("utf-8").startswith("<svg")
    (row,) = [row for row in table["operators"] if row["kind"] == "gemm"]
    assert row["operations"] >= 2 * 256**3
    assert row["operations_per_s"] == pytest.approx(row["operations"] / row["time_s"])
    assert 0 < row["roof_share"] <= 1
    memories = [roof for roof in table["roofs"] if roof["kind"] == "memory"]
    assert all(roof["ridge"] > 0 for roof in memories)


def test_the_roofs_in_use_are_those_of_the_run() -> None:
    used = {(roof["kind"], roof["name"]) for roof in cw.roofline("resnet50", "edge-npu")["roofs"] if roof["used"]}
    assert used == {("compute", "array:int8"), ("vector", "vector:int8"), ("memory", "dram"), ("memory", "scratchpad")}
    sparse = cw.roofline(GEMM, "nvidia-h100-sxm", sparsity="2:4")["roofs"]
    assert {roof["name"] for roof in sparse if roof["used"] and roof["kind"] == "compute"} == {"sm:bf16@2:4"}


def test_comparison_of_results() -> None:
    results = [cw.run(GEMM, name) for name in ("edge-npu", "nvidia-h100-sxm")]
    found = cw.compare(*results)
    assert found.labels[0].startswith("edge-npu")
    assert found.metrics["latency_s"] == (results[0].latency_s, results[1].latency_s)
    assert found.ratios("latency_s") == (1.0, results[1].latency_s / results[0].latency_s)
    assert set(found.operators) == {row.name for result in results for row in result.operators}
    same = cw.compare(results[0], results[0])
    assert len(set(same.labels)) == 2
    assert all(ratio in (1.0, None) for name in same.metrics for ratio in same.ratios(name))
    assert cw.compare(*results, labels=["a", "b"]).labels == ("a", "b")
    with pytest.raises(ArgumentError, match="nothing to compare"):
        cw.compare(results[0])
    with pytest.raises(ArgumentError, match="1 labels for 2"):
        cw.compare(*results, labels=["a"])


def test_a_result_tells_itself_in_one_line_and_its_errors_can_be_caught() -> None:
    step = cw.run("llama-3-8b", "nvidia-h100-sxm", phase="decode", batch=4, context=1024)
    assert "\n" not in repr(step)
    assert "llama-3-8b" in repr(step)
    assert step.throughput_per_s == 4 / step.latency_s
    verify = cw.run("llama-3-8b", "nvidia-h100-sxm", phase="decode", batch=4, context=1024, tokens=5)
    assert verify.throughput_per_s == 20 / verify.latency_s
    with pytest.raises(cw.CyclewrightError, match="did you mean"):
        cw.run("llama-3-8c", "nvidia-h100-sxm")
