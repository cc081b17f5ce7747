"""``simulate`` on graphs reckoned by hand, and its laws on random ones."""

from __future__ import annotations

import random
from dataclasses import replace
from math import fsum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import ArgumentError, ContractError, InfeasibleError, UnsupportedError
from ilp import trivial_schedule
from mappings.dataflow import Alternative, Edge, MappedOperator, Segment, Stage, Transfer
from simulator import from_json, simulate, to_json
from tests.simulator.build import hardware, layered, mapped_operator, random_graph, straight, tensor
from workloads.graph import Role

SLACK = 1 + 1e-12
"""Rounding of floats between two ways of adding the same seconds."""


def run(mapped, **options):
    return simulate(mapped, trivial_schedule(mapped), **options)


def one(stages, edges=(), device=None, reads=None, writes=None):
    """A graph of one operator with the given stages."""
    reads, writes = reads or {}, writes or {"y": 0}
    operator = MappedOperator("op", "gemm", "array", (Alternative("only", tuple(stages), tuple(edges), 0, 0),), reads=reads, writes=writes)
    tensors = [tensor(name, max(1, size)) for name, size in {**reads, **writes}.items()]
    return straight(tensors, [operator], list(writes), device)


def load(nbytes, repeat=1, cycles=0, access=0):
    return Stage("load", "port:dram", (Segment(repeat, cycles, (Transfer("x", nbytes, "dram", "spad", access),)),))


def test_double_buffering_overlaps_all_but_the_first_load_and_the_last_tile():
    # four tiles: 1,000 bytes at 100 B/cycle = 10 cycles each, computed in 25 cycles: 10 + 4 x 25; loads at 0, 10, 35, 60
    stages = (load(1_000, 4), Stage("compute", "array", (Segment(4, 25),)))
    result = run(one(stages, [Edge("load", "compute", capacity=2)], reads={"x": 4_000}))
    assert result.cycles == 110
    assert result.latency_s == 110e-9
    assert result.bound_by == "compute:array"
    assert result.busy == {"memory:dram": 40e-9, "compute:array": 100e-9}
    assert [(span.resource, span.start_cycles, span.end_cycles) for span in result.timeline] == [
        ("memory:dram", 0, 70), ("compute:array", 10, 110),
    ]  # fmt: skip


def test_a_single_buffer_serializes_load_and_compute():
    stages = (load(1_000, 4), Stage("compute", "array", (Segment(4, 25),)))
    assert run(one(stages, [Edge("load", "compute", capacity=1)], reads={"x": 4_000})).cycles == 4 * 35


def test_port_time_is_bytes_over_achieved_bandwidth_rounded_up_plus_latency():
    assert run(one((load(1_001),), reads={"x": 1_001})).cycles == 11
    assert run(one((load(1_000, cycles=7),), reads={"x": 1_000})).cycles == 17
    assert run(one((load(1_000),), reads={"x": 1_000}, device=hardware(achieved=0.5))).cycles == 20
    curve = ((64.0, 0.25), (1024.0, 0.5))
    assert run(one((load(1_000, access=64),), reads={"x": 1_000}, device=hardware(curve=curve))).cycles == 40
    assert run(one((load(1_000),), reads={"x": 1_000}, device=hardware(curve=curve))).cycles == 20


@pytest.mark.parametrize(("overlap", "cycles"), [(1.0, 70), (2.0, 50), (None, 40)])
def test_a_unit_stage_that_moves_bytes_holds_unit_and_port_together(overlap, cycles):
    # 30 cycles of compute and 40 of transfer: sum 70, Euclidean norm 50, maximum 40
    stage = Stage("fused", "array", (Segment(1, 30, (Transfer("x", 4_000, "dram", "spad"),)),), overlap)
    result = run(one((stage,), reads={"x": 4_000}))
    assert result.cycles == cycles
    assert result.busy == {"memory:dram": 40e-9, "compute:array": 30e-9}
    assert result.bound_by == "memory:dram"


def test_the_port_is_free_again_when_the_transfer_of_a_fused_firing_is_over():
    # fused: unit until 70, port until 40; the load that waits for the port takes 40..50; the timeline shows both
    fused = Stage("fused", "array", (Segment(1, 30, (Transfer("x", 4_000, "dram", "spad"),)),), 1.0)
    result = run(one((fused, load(1_000)), reads={"x": 5_000}))
    assert [(span.resource, span.stage, span.start_cycles, span.end_cycles) for span in result.timeline] == [
        ("compute:array", "fused", 0, 70), ("memory:dram", "fused", 0, 40), ("memory:dram", "load", 40, 50),
    ]  # fmt: skip


def test_the_timeline_shows_a_held_port_from_its_first_firing_to_its_last():
    # 5 cycles alone, two firings of 20 that hold the port for 10 each, 7 cycles alone: the port is held from 5 to 35 of 52
    move = (Transfer("x", 1_000, "dram", "spad"),)
    stage = Stage("waves", "array", (Segment(1, 5), Segment(2, 20, move), Segment(1, 7)))
    result = run(one((stage,), reads={"x": 2_000}))
    assert result.cycles == 52
    assert [(span.resource, span.start_cycles, span.end_cycles) for span in result.timeline] == [
        ("compute:array", 0, 52), ("memory:dram", 5, 35),
    ]  # fmt: skip


def test_launch_is_a_resource_of_its_own():
    stages = (Stage("launch", "array", (Segment(1, 500),)), Stage("compute", "array", (Segment(1, 100),)))
    result = run(one(stages, [Edge("launch", "compute", 0, 0)]))
    assert (result.cycles, result.bound_by, result.operators[0].bound_by) == (600, "launch", "launch")


def test_an_operator_that_mostly_waits_says_so():
    # three units in a row, one firing each: every one of them stands still two thirds of the time
    stages = tuple(Stage(f"s{number}", f"unit{number}", (Segment(1, 10),)) for number in range(3))
    assert run(one(stages, [Edge("s0", "s1"), Edge("s1", "s2")])).operators[0].bound_by == "wait"


def test_kept_tensors_move_no_bytes_and_take_no_time():
    tensors = [tensor("x", 1_000), tensor("a", 10_000), tensor("y", 1_000)]
    operators = [
        mapped_operator("first", {"x": 1_000}, {"a": 10_000}, tiles=1),
        mapped_operator("second", {"a": 10_000}, {"y": 1_000}, tiles=1),
    ]
    kept = run(straight(tensors, operators, ["y"]))
    spilled = run(straight(tensors, operators, ["y"], hardware(on_chip=5_000)))
    assert (kept.cycles, spilled.cycles) == (20, 220)
    assert (kept.dram_bytes, kept.compulsory_bytes, kept.extra_bytes) == (2_000, 2_000, 0)
    assert (spilled.dram_bytes, spilled.compulsory_bytes, spilled.extra_bytes) == (22_000, 2_000, 20_000)
    # off chip: 1,000 read (10 pJ), 1,000 written (20 pJ); on chip: 11,000 fills, 10,000 kept writes (2 pJ), 10,000 kept reads (1 pJ)
    assert kept.energy_by_component["dram"] == pytest.approx(30e-9)
    assert kept.energy_by_component["spad"] == pytest.approx(22e-9 + 20e-9 + 10e-9)
    assert spilled.energy_by_component["dram"] == pytest.approx(11_000 * 10e-12 + 11_000 * 20e-12)
    assert kept.bytes_by_memory["dram"] == (1_000, 1_000)


def test_energy_adds_macs_vectors_memories_and_static_power():
    mapped = straight(
        [tensor("x", 100), tensor("y", 100)], [mapped_operator("op", {"x": 100}, {"y": 100}, macs=10_000, vector_ops=500)], ["y"]
    )
    result = run(mapped)
    assert result.energy_by_component["array.mac"] == pytest.approx(10_000 * 1e-12)
    assert result.energy_by_component["array.vector"] == pytest.approx(500 * 2e-12)
    assert result.energy_by_component["static"] == pytest.approx(2.0 * result.latency_s)
    assert result.energy_j == fsum(result.energy_by_component.values())


def test_warnings_power_energy_and_fit():
    tensors = [tensor("x", 100), tensor("y", 100), tensor("w", 10_000, Role.WEIGHT)]
    operators = [mapped_operator("op", {"x": 100, "w": 10_000}, {"y": 100}, macs=10_000)]
    result = run(straight(tensors, operators, ["y"], hardware(limit=1.0, dram=10_000, energy={"vector.int8": 1e-12})))
    assert not result.fits
    assert result.peak_memory_bytes == 10_200
    text = "\n".join(result.warnings)
    assert "does not fit: needs 10.2 KB of 10 KB off chip" in text
    assert "above the board limit of 1 W" in text
    assert "no energy for unit.array.energy.mac.int8" in text
    assert run(straight(tensors, operators, ["y"])).warnings == ()


def test_what_many_operators_say_alike_is_said_once():
    tensors = [tensor(name, 100) for name in ("x", "y", "z", "v")]
    operators = [mapped_operator(f"op{n}", {a: 100}, {b: 100}, macs=10) for n, (a, b) in enumerate(("xy", "yz", "zv"))]
    noted = [
        replace(operator, alternatives=tuple(replace(item, notes=notes) for item in operator.alternatives))
        for operator, notes in zip(operators, (("alike",), ("alike", "alone"), ("alike",)), strict=True)
    ]
    assert run(straight(tensors, noted, ["v"])).warnings == ("3 operators (op0, op1, op2): alike", "op1: alone")


def test_roofline_by_hand():
    # 10^6 MACs at 1,000 per cycle: 1 us; 5,000 + 100 + 200 bytes at 100 GB/s: 53 ns
    tensors = [tensor("x", 100), tensor("a", 1_000), tensor("y", 200), tensor("w", 5_000, Role.WEIGHT)]
    operators = [
        mapped_operator("first", {"x": 100, "w": 5_000}, {"a": 1_000}, macs=10**6),
        mapped_operator("second", {"a": 1_000}, {"y": 200}, vector_ops=1_000),
    ]
    mapped = straight(tensors, operators, ["y"])
    result = run(mapped, fidelity="roofline")
    assert result.latency_s == pytest.approx(1e-6)
    assert result.roofline_s == result.latency_s
    assert result.mfu == pytest.approx(1.0)
    assert (result.bound_by, result.dram_bytes, result.extra_bytes) == ("compute:array", 5_300, 0)
    assert result.busy["memory:dram"] == pytest.approx(53e-9)
    assert result.operators[1].roof_s == pytest.approx(10e-9)


def test_an_nm_rate_counts_the_zeros():
    operator = replace(mapped_operator("op", {"x": 1}, {"y": 1}, macs=10**6), pattern="2:4", executed_macs=500_000)
    mapped = straight([tensor("x", 1), tensor("y", 1)], [operator], ["y"])
    assert run(mapped, fidelity="roofline").latency_s == pytest.approx(2 * 10**6 / 4e12)


def test_fidelities():
    mapped = one((load(100),), reads={"x": 100})
    with pytest.raises(UnsupportedError, match="'cycle'"):
        run(mapped, fidelity="cycle")
    with pytest.raises(ArgumentError, match="unknown fidelity 'exact'"):
        run(mapped, fidelity="exact")


@pytest.mark.parametrize(
    ("stages", "edges", "message"),
    [
        ((Stage("s", "port:flash", (Segment(1, 1),)),), (), "op: stage 's' runs on the port of 'flash'"),
        ((Stage("s", "array", (Segment(1, 1),)),), (Edge("s", "t"),), "op: an edge joins stage 't'"),
        ((Stage("s", "array", (Segment(1, 1),)), Stage("s", "array", ())), (), "two stages of one name"),
        ((Stage("s", "array", (Segment(1, -1),)),), (), "negative count"),
        ((Stage("s", "array", (Segment(1, 1),), 0.5),), (), "overlap 0.5, below 1"),
        ((Stage("s", "array", (Segment(1, 1),)),), (Edge("s", "s", 1, 0),), "senseless token counts"),
        ((Stage("s", "array", (Segment(1, 1),)),), (Edge("s", "s", initial=3, capacity=2),), "more tokens than it holds"),
        ((Stage("s", "array", (Segment(1, 1, (Transfer("x", -5, "dram", "spad"),)),)),), (), "moves -5 bytes of 'x'"),
    ],
)
def test_faults_of_mappers_name_the_operator(stages, edges, message):
    with pytest.raises(ContractError, match=message):
        run(one(stages, edges))


def test_unknown_actions_and_units_are_refused():
    operator = mapped_operator("op", {"x": 1}, {"y": 1}, macs=1)
    tensors = [tensor("x", 1), tensor("y", 1)]
    strange = replace(operator, alternatives=(replace(operator.alternatives[0], actions={"tpu.mac": 1.0}),))
    with pytest.raises(ContractError, match=r"op: counts action 'tpu\.mac'"):
        run(straight(tensors, [strange], ["y"]))
    with pytest.raises(ContractError, match="op: runs on unit 'tpu'"):
        run(straight(tensors, [replace(operator, unit="tpu")], ["y"]))


def test_limits():
    with pytest.raises(InfeasibleError, match="op: would run for"):
        run(one((Stage("s", "array", (Segment(1 << 40, 1 << 40),)),)))
    with pytest.raises(InfeasibleError, match="op: would take 562949953421312 firings"):
        run(one((Stage("s", "array", (Segment(1 << 49, 1),)),)))
    with pytest.raises(InfeasibleError, match="op: deadlock: stage 's'"):
        run(one((Stage("s", "array", (Segment(2, 1),)),), (Edge("s", "s", 1, 1, 0, 1),)))


def test_a_repeat_costs_its_rounds_and_is_one_row():
    operators = [mapped_operator("mlp", {"x": 100, "w": 5_000}, {"t": 300}, macs=10**6), mapped_operator("add", {"t": 300}, {"y": 100})]
    mapped = layered([tensor("t", 300), tensor("w", 5_000, Role.WEIGHT)], operators, 80, 100)
    result = run(mapped)
    assert result.macs == 80 * 10**6
    assert [(row.name, row.count) for row in result.operators] == [("mlp", 80), ("add", 80)]
    assert fsum(row.time_s for row in result.operators) == pytest.approx(result.latency_s)
    assert fsum(row.share for row in result.operators) == pytest.approx(1.0)
    assert result.compulsory_bytes == 80 * 5_000 + 200
    assert result.extra_bytes == 0
    assert result.peak_memory_bytes >= 80 * 5_000


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_laws_on_random_graphs(seed):
    mapped = random_graph(random.Random(seed))
    schedule = trivial_schedule(mapped)
    tile = simulate(mapped, schedule)
    roof = simulate(mapped, schedule, fidelity="roofline")
    # roofline <= tile, for the graph and for each operator under the schedule
    assert roof.latency_s <= tile.latency_s * SLACK
    assert tile.roofline_s == roof.roofline_s == roof.latency_s
    for row in tile.operators:
        assert row.roof_s <= row.time_s * SLACK
    for result in (tile, roof):
        assert result.energy_j == fsum(result.energy_by_component.values())
        for component, joules in result.energy_by_component.items():
            if component != "static":
                assert joules == fsum(row.energy_j.get(component, 0.0) for row in result.operators)
        assert result.dram_bytes == result.compulsory_bytes + result.extra_bytes
        assert result.compulsory_bytes == sum(row.compulsory_bytes for row in result.operators)
        assert fsum(row.time_s for row in result.operators) == pytest.approx(result.latency_s)
        assert from_json(to_json(result)) == result
    assert tile.extra_bytes == schedule.extra_bytes >= 0
    assert max(tile.busy.values()) <= tile.latency_s * SLACK
    # folded rounds are exact
    assert simulate(mapped, schedule, unfolded=True) == tile
    # the same input gives the same text
    assert to_json(simulate(mapped, schedule)) == to_json(tile)


def test_a_memory_without_an_energy_is_warned_about_and_one_of_zero_is_not():
    tensors, operators = [tensor("x", 100), tensor("y", 100)], [mapped_operator("op", {"x": 100}, {"y": 100}, macs=10_000)]
    device = hardware()
    reading, writing = "memory.dram.read_energy", "memory.dram.write_energy"  # what to write into the spec
    silent = replace(device.memories["dram"], read_energy_j_per_byte=0.0, write_energy_j_per_byte=0.0)
    for unpriced, words in (((), []), (("read",), [reading]), (("read", "write"), [reading, writing])):
        memories = {**device.memories, "dram": replace(silent, unpriced=unpriced)}
        text = " ".join(run(straight(tensors, operators, ["y"], replace(device, memories=memories))).warnings)
        assert [word for word in (reading, writing) if word in text] == words
        assert ("counted as zero" in text) == bool(words)
