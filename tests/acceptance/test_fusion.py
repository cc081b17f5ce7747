"""Layer fusion on real networks: never slower than layer by layer, what it moves, and that results say what was fused."""

from __future__ import annotations

import json

import pytest

import cyclewright as cw
from cyclewright.api import plan, prepare
from cyclewright.explain import explain
from cyclewright.report.operators import operator_table
from ilp.rounds import off_chip_bytes
from mappings.chains import chains
from mappings.groups import stretches
from simulator.stored import to_json

JOBS = [(model, array) for model in ("mobilenet-v2", "resnet50", "vgg19") for array in ("edge-npu", "systolic-array")]


@pytest.fixture(scope="module", params=JOBS, ids="-".join)
def pair(request: pytest.FixtureRequest) -> tuple[cw.Result, cw.Result]:
    model, hardware = request.param
    return cw.run(model, hardware), cw.run(model, hardware, search="play")


def test_the_searched_plan_is_never_slower_and_does_the_same_work(pair: tuple[cw.Result, cw.Result]) -> None:
    plain, searched = pair
    assert searched.latency_s <= plain.latency_s
    assert searched.latency_s >= searched.roofline_s
    assert (searched.macs, searched.vector_ops, searched.parameters) == (plain.macs, plain.vector_ops, plain.parameters)
    assert searched.executed_flops >= searched.flops
    assert searched.compulsory_bytes == plain.compulsory_bytes
    assert searched.dram_bytes >= searched.compulsory_bytes
    for row in searched.operators:
        assert row.time_s >= row.roof_s * (1 - 1e-12), row.name
        assert row.dram_bytes >= row.compulsory_bytes, row.name


def test_every_operator_runs_once_alone_or_in_a_group(pair: tuple[cw.Result, cw.Result]) -> None:
    plain, searched = pair
    names = [name for row in searched.operators for name in (row.members or (row.name,))]
    assert names == [row.name for row in plain.operators]
    for row in searched.operators:
        if "recomputed" not in row.alternative:
            assert row.executed_macs == row.macs


@pytest.mark.parametrize("hardware", ["edge-npu", "systolic-array", "tpu-v1-like"])
@pytest.mark.parametrize("model", ["resnet50", "mobilenet-v3-small"])
def test_every_chain_offered_keeps_what_a_mapper_promises(model: str, hardware: str) -> None:
    """Compulsory bytes at least, results stored once, only tensors of the border, the array busy for its MACs at the data sheet's rate."""
    mapped = plan(prepare(model, hardware)).mapped
    device = mapped.hardware
    array, chip = device.units["array"], device.on_chip
    assert chip is not None
    groups = [group for stretch in stretches(mapped) for group in chains(stretch)]
    assert groups
    for group in groups:
        item, (alternative,) = group.mapped, group.mapped.alternatives
        loads, stores = off_chip_bytes(alternative, frozenset((device.dram.name,)))
        assert loads.keys() == item.reads.keys()
        assert all(loads[name] >= size for name, size in item.reads.items())
        assert stores == item.writes
        assert alternative.working_set_bytes <= chip.size_bytes
        busy = sum(stage.cycles for stage in alternative.stages if stage.unit == "array")
        assert busy >= 2 * item.executed_macs * device.clock_hz / array.rates[item.compute_format, "dense"] * (1 - 1e-9)


def test_vgg_moves_nothing_twice_once_its_first_layers_are_fused() -> None:
    """conv1_1 and conv1_2 make 224 x 224 x 64 = 3,211,264 bytes each, which do not fit 4 MiB beside their readers' tiles.

    Layer by layer they leave the scratchpad and come back; fused, each byte moves once.
    """
    plain, searched = cw.run("vgg19", "edge-npu"), cw.run("vgg19", "edge-npu", search="play")
    assert plain.extra_bytes >= 4 * 224 * 224 * 64
    assert searched.extra_bytes == 0
    (row,) = [row for row in searched.operators if row.members]
    assert {"conv1_1", "conv1_2"} <= set(row.members)
    assert row.dram_bytes == row.compulsory_bytes


def test_results_say_what_was_fused_and_how() -> None:
    result = cw.run("vgg19", "edge-npu", search="play")
    row = next(row for row in result.operators if row.members)
    assert (row.kind, row.name) == ("fused chain", f"{row.members[0]} .. {row.members[-1]}")
    assert row.alternative.endswith("rows, halo cached")
    facts = dict(explain(json.loads(to_json(result)), row.name)[0][1])
    assert facts["runs together"] == ", ".join(row.members)
    assert "together:" in operator_table(result)
