"""What-if: elasticities, ranks, changes."""

from __future__ import annotations

import math

import pytest

import cyclewright as cw
from cyclewright.sensitivity import FACTORS, WhatIf
from cyclewright.variation import numeric_leaves, varied_value
from hwspecs.dram import is_dram_leaf
from hwspecs.hardware import Leaf

STREAM = "gemm:1x8192x8192"
"""A product with one row: its time is that of reading the weights."""


@pytest.fixture(scope="module")
def answer() -> WhatIf:
    return cw.whatif(STREAM, "edge-npu")


def test_every_number_of_the_spec_is_varied(answer: WhatIf) -> None:
    leaves = [
        leaf for leaf in numeric_leaves(cw.load_hardware("edge-npu")) if not is_dram_leaf(leaf.path)
    ]  # those only the cycle rung reads
    assert {effect.leaf.path for effect in answer.leaves} == {leaf.path for leaf in leaves}
    for effect in answer.leaves:
        assert tuple(point.factor for point in effect.points) == FACTORS
        assert all((point.error is None) == (point.latency_s is not None) for point in effect.points)


def test_bandwidth_limits_a_product_with_one_row(answer: WhatIf) -> None:
    top = {effect.leaf.path for effect in answer.leaves[:2]}
    assert "memory.dram.bandwidth" in top
    effect = next(effect for effect in answer.leaves if effect.leaf.path == "memory.dram.bandwidth")
    assert effect.elasticity_latency == pytest.approx(-1.0, abs=0.1)
    assert effect.best_factor == 2.0
    assert effect.gain == pytest.approx(2.0, rel=0.15)


def test_points_are_runs_of_the_changed_spec(answer: WhatIf) -> None:
    effect = next(effect for effect in answer.leaves if effect.leaf.path == "memory.dram.bandwidth")
    for point in effect.points:
        run = cw.run(STREAM, "edge-npu", overrides={"memory.dram.bandwidth": point.value})
        assert (run.latency_s, run.energy_j) == (point.latency_s, point.energy_j)
        assert point.ratio == pytest.approx(run.latency_s / answer.base.latency_s)


def test_elasticity_is_the_slope_in_logarithms(answer: WhatIf) -> None:
    for effect in answer.leaves:
        small = next(point for point in effect.points if point.factor == 1.1)
        if small.energy_j is None or effect.elasticity_energy is None:
            continue
        slope = math.log(small.energy_j / answer.base.energy_j) / math.log(small.value / float(effect.leaf.value))
        assert effect.elasticity_energy == pytest.approx(slope, abs=1e-8)


def test_energy_numbers_move_energy_alone_and_by_their_share(answer: WhatIf) -> None:
    effect = next(effect for effect in answer.leaves if effect.leaf.path == "memory.dram.read_energy")
    assert effect.elasticity_latency == 0.0
    share = answer.base.energy_by_component["dram"] / answer.base.energy_j
    assert effect.elasticity_energy is not None
    assert 0 < effect.elasticity_energy <= share * 1.05


def test_leaves_are_ranked_by_the_gain_in_the_metric_asked_for(answer: WhatIf) -> None:
    gains = [effect.gain for effect in answer.leaves]
    assert gains == sorted(gains, reverse=True)
    assert gains[-1] == 1.0
    by_energy = cw.whatif("gemm:64x64x64", "edge-npu", metric="energy")
    assert by_energy.metric == "energy_j"
    best = by_energy.leaves[0]
    energies = [point.energy_j for point in best.points if point.energy_j is not None]
    assert best.gain == pytest.approx(by_energy.base.energy_j / min(energies))


def test_a_share_of_the_peak_stops_at_one(answer: WhatIf) -> None:
    effect = next(effect for effect in answer.leaves if effect.leaf.path == "memory.dram.achieved")
    doubled = effect.points[-1]
    assert (doubled.value, doubled.capped, doubled.error) == (1.0, True, None)
    full = cw.run(STREAM, "edge-npu", overrides={"memory.dram.achieved": 1.0})
    assert doubled.latency_s == full.latency_s
    assert effect.note == "x2: stops at 1, its largest value"
    assert not effect.points[0].capped


def test_a_share_that_is_one_already_says_so() -> None:
    base = cw.whatif("gemm:16x64x64", "edge-npu", overrides={"memory.dram.achieved": 1.0})
    effect = next(effect for effect in base.leaves if effect.leaf.path == "memory.dram.achieved")
    assert [point.error for point in effect.points] == [None, *["it has its largest value already"] * 2]


def test_a_value_that_makes_an_invalid_spec_is_reported() -> None:
    # twice the idle power would be above the board limit
    base = cw.whatif("gemm:16x64x64", "edge-npu", overrides={"power.static": "4 W", "power.max": "5 W"})
    effect = next(effect for effect in base.leaves if effect.leaf.path == "power.static")
    assert effect.points[-1].latency_s is None
    assert "static power above the board limit" in (effect.points[-1].error or "")
    assert "x2" in effect.note


def test_whole_numbers_stay_whole_and_at_least_one() -> None:
    def leaf(value: float) -> Leaf:
        return Leaf("unit.array.rows", value, str(value), "", "assumed", "")

    assert varied_value(leaf(7), 1.1) == 8
    assert varied_value(leaf(1), 0.5) == 1
    assert isinstance(varied_value(leaf(7), 0.5), int)
    assert varied_value(leaf(7.0), 0.5) == 3.5


def test_a_concrete_change_stands_beside_the_base() -> None:
    answer = cw.whatif(STREAM, "edge-npu", set=["dram.bandwidth=102.4 GB/s"], leaves=False)
    assert answer.leaves == ()
    assert answer.overrides == ("memory.dram.bandwidth=102.4 GB/s",)
    document = answer.as_dict()
    latency = document["change"]["metrics"]["latency_s"]
    changed = cw.run(STREAM, "edge-npu", overrides=["dram.bandwidth=102.4 GB/s"])
    assert latency["changed"] == changed.latency_s
    assert latency["delta"] == latency["changed"] - latency["base"]
    assert latency["ratio"] == latency["changed"] / latency["base"]


def test_a_change_is_made_on_top_of_the_base() -> None:
    base = ["memory.dram.bandwidth=10 GB/s"]
    answer = cw.whatif(STREAM, "edge-npu", overrides=base, set=["dram.bandwidth=20 GB/s"], leaves=False)
    assert answer.changed is not None
    assert answer.changed.latency_s == cw.run(STREAM, "edge-npu", overrides=["memory.dram.bandwidth=20 GB/s"]).latency_s
    assert answer.base.latency_s == cw.run(STREAM, "edge-npu", overrides=base).latency_s


def test_progress_counts_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    cw.whatif("gemm:16x16x16", "edge-npu", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_playing_a_plan_again_for_energies_equals_a_whole_run(answer: WhatIf) -> None:
    energies = [effect for effect in answer.leaves if effect.leaf.unit.startswith("J/") or effect.leaf.unit == "W"]
    assert energies
    for effect in energies:
        point = effect.points[0]
        if point.error is None:
            run = cw.run(STREAM, "edge-npu", overrides={effect.leaf.path: point.value})
            assert (run.latency_s, run.energy_j) == (point.latency_s, point.energy_j)


def test_a_change_may_state_what_the_spec_leaves_out() -> None:
    skips = ["array.skipping.operand=weights", "array.skipping.lanes=8", "dataflow=output_stationary"]
    answer = cw.whatif("gemm:512x512x512", "systolic-array", sparsity="2:4", set=skips, leaves=False)
    assert answer.overrides[0] == "unit.array.skipping.operand=weights"
    assert answer.changed is not None
    assert answer.changed.executed_flops == answer.base.executed_flops / 2
    assert answer.changed.cycles < answer.base.cycles


def test_a_converter_of_stated_power_does_not_follow_its_resolution() -> None:
    """ISAAC states power and area of its converters: the change says so; one that states them anew, or changes no resolution, does not."""
    told = {"unit.array.adc.resolution": 6}
    anew = told | {"unit.array.adc.power": "1 mW", "unit.array.adc.area": "0.0006 mm2"}
    for change, lines in ((told, 1), (anew, 0), ({"unit.array.adc.rate": "600 MHz"}, 0)):
        change_of = cw.whatif("gemm:4x64x64", "isaac", set=change, leaves=False).as_dict()["change"]
        assert sum("power and area of unit.array.adc are stated in the spec" in line for line in change_of["warnings"]) == lines
