"""Parallel branches: what counts as one, makespans by hand, and plans that are never slower nor deadlocked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings import map_graph
from mappings.branches import branches, dealt, sections
from mappings.cores import cores_of
from mappings.dataflow import PORT, Alternative, Edge, MappedBlock, MappedGraph, MappedOperator, Segment, Stage, Transfer
from mappings.groups import stretches
from simulator import search, simulate
from simulator.lowering import Lowering
from simulator.play import play
from tests.mappings.builders import elementwise, gemm, graph, systolic, tensor
from tests.mappings.test_cores import many
from workloads.graph import Operator, OperatorGraph


def hand(name, reads, writes, cycles, load=0, store=0, unit="array", room=0):
    """A mapped operator of one tile: a load, ``cycles`` of a unit, a store (bytes; the port moves 16 a cycle)."""
    stages, edges = [Stage("work", unit, (Segment(1, cycles),))], []
    if store:
        stages.append(Stage("store", PORT + "dram", (Segment(1, 0, (Transfer(writes, store, "scratchpad", "dram"),)),)))
        edges.append(Edge("work", "store"))
    if load:
        stages.append(Stage("load", PORT + "dram", (Segment(1, 0, (Transfer(reads, load, "dram", "scratchpad"),)),)))
        edges.append(Edge("load", "work"))
    way = Alternative("one tile", tuple(stages), tuple(edges), room, cycles)
    return MappedOperator(name, "gemm", "array", (way,), reads={reads: load or 1}, writes={writes: store or 1})


def block_of(hardware, *items):
    """A mapped graph of hand-made operators; the graph behind it names their tensors only."""
    names = dict.fromkeys(name for item in items for name in (*item.reads, *item.writes))
    sizes = {name: max(size for item in items for size in (item.reads.get(name, 0), item.writes.get(name, 0))) for name in names}
    tensors = {name: tensor(name, sizes[name]) for name in names}
    nodes = tuple(Operator(item.operator, "gemm", tuple(item.reads), tuple(item.writes)) for item in items)
    read = {name for item in items for name in item.reads}
    net = OperatorGraph("net", tensors, nodes, (), tuple(name for name in names if name not in read))
    return MappedGraph(net, hardware, (MappedBlock("part 0", tuple(items), 1, tensors),))


def only(mapped):
    return stretches(mapped)[0]


def cycles_of(alternative, hardware):
    return play([Lowering(hardware).lower("g", alternative).flow], ["g"])[0].cycles


def test_sections_are_what_lies_between_split_and_join():
    items = [
        hand("stem", "x", "s", 1), hand("a1", "s", "a", 1), hand("a2", "a", "b", 1), hand("c1", "s", "c", 1),
        replace(hand("join", "b", "y", 1), reads={"b": 1, "c": 1}), hand("tail", "y", "z", 1),
    ]  # fmt: skip
    found = sections(only(block_of(systolic(), *items)))
    assert [(one.first, one.last, one.components) for one in found] == [(1, 3, ((1, 2), (3,)))]


def test_an_update_in_place_ties_its_reader():
    first, second = hand("append", "k", "cache2", 1), hand("attend", "cache", "y", 1)
    mapped = block_of(systolic(), first, second)
    block = mapped.blocks[0]
    tied = {**block.tensors, "cache2": replace(block.tensors["cache2"], alias_of="cache")}
    mapped = replace(mapped, blocks=(replace(block, tensors=tied),))
    assert sections(only(mapped)) == ()


def test_one_array_overlaps_one_branch_s_loads_with_the_other_s_work():
    # Each branch loads 160 B (10 cycles), works 30 and 50, stores 80 B (5 cycles).
    # One after the other: 45 + 65 = 110. Together the array works from cycle 10 to 90 without a gap, and the last store takes 5.
    hardware = systolic()
    mapped = block_of(hardware, hand("a", "x", "p", 30, 160, 80), hand("b", "x", "q", 50, 160, 80))
    (group,) = branches(only(mapped))
    assert min(cycles_of(way, hardware) for way in group.mapped.alternatives) == 10 + 30 + 50 + 5
    found = search(mapped)
    assert (found.cycles, found.layer_by_layer_cycles) == (95, 110)


def test_vector_work_runs_beside_the_array():
    hardware = systolic()
    mapped = block_of(hardware, hand("a", "x", "p", 70, 160, 80), hand("b", "x", "q", 60, 160, 80, unit="vector"))
    # the loads follow each other on the port (0 to 10, 10 to 20); the array ends at 80, the vector unit at 80, the stores at 90
    (group,) = branches(only(mapped))
    assert min(cycles_of(way, hardware) for way in group.mapped.alternatives) == 90


def test_on_two_cores_the_longer_branch_decides():
    # core 0 reaches the port directly, core 1 over a link as fast as the port
    hardware = many(2, noc=16e9)
    branch = [hand("a", "x", "p", 300, 160, 80, "array.0"), hand("b", "x", "q", 200, 160, 80, "array.0")]
    (group,) = branches(only(block_of(hardware, *branch)))
    own = [way for way in group.mapped.alternatives if "own cores" in way.name]
    assert own
    for way in own:
        assert cores_of(way) == {0, 1}
        # loads 0 to 10 and 10 to 20; core 0 works until 310 and stores until 315, core 1 is done long before
        assert cycles_of(way, hardware) == 315
    together = [way for way in group.mapped.alternatives if "own cores" not in way.name]
    assert min(cycles_of(way, hardware) for way in together) == 10 + 300 + 200 + 5


def test_what_a_branch_hands_on_stays_on_chip_where_it_fits():
    # a1 -> a2 beside b. "p" is 320 B: stored and loaded again it takes 40 cycles of the port.
    hardware = systolic()
    items = [hand("a1", "x", "p", 30, 160, 320), hand("a2", "p", "r", 40, 320, 80), hand("b", "x", "q", 20, 160, 80)]
    (group,) = branches(only(block_of(hardware, *items)))
    kept = [way for way in group.mapped.alternatives if "handing on" in way.name]
    gone = [way for way in group.mapped.alternatives if "handing on" not in way.name]

    def moved(way):
        return sum(s.repeat * m.bytes for stage in way.stages for s in stage.segments for m in s.transfers)

    assert {moved(way) for way in kept} == {160 + 160 + 80 + 80}
    assert {moved(way) for way in gone} == {160 + 160 + 80 + 80 + 640}
    assert {way.working_set_bytes for way in kept} == {320}
    assert {way.actions["scratchpad.read.byte"] for way in kept} == {320.0}
    assert {way.actions["scratchpad.write.byte"] for way in kept} == {320.0}
    assert set(group.mapped.reads) == {"x"}
    assert set(group.mapped.writes) == {"r", "q"}


def test_members_of_a_branch_keep_their_barrier():
    hardware = systolic()
    items = [hand("a1", "x", "p", 30, 160, 320), hand("a2", "p", "r", 40, 320, 80), hand("b", "x", "q", 20, 160, 80)]
    (group,) = branches(only(block_of(hardware, *items)))
    for way in group.mapped.alternatives:
        lowered = Lowering(hardware).lower("g", way)
        played = play([lowered.flow], ["g"])[0]
        at = {name: place for place, name in enumerate(lowered.flow.names)}
        assert played.first_start[at["a2/load"]] >= played.last_end[at["a1/store"]]
        assert played.first_start[at["a2/work"]] >= played.last_end[at["a1/work"]]


def test_cores_go_to_the_branches_with_most_work():
    assert dealt([100, 300], 4) == ([0, 1], [1, 3])
    assert dealt([100, 100], 4) == ([0, 2], [2, 2])
    assert dealt([5, 9, 3, 4], 2) == ([1, 0, 0, 1], [1, 1, 1, 1])


def test_a_gpu_runs_its_kernels_in_a_row():
    mapped = block_of(replace(systolic(), family="gpu"), hand("a", "x", "p", 30), hand("b", "x", "q", 50))
    assert branches(only(mapped)) == ()


def inception(size, widths, scratchpad):
    """x to four branches (a product; product and product; a vector branch; product) and back together by additions."""
    a, b, c, d = widths
    parts = [
        gemm("stem", size, 16, 24, y="s", w="w0"),
        gemm("a", size, a, 16, x="s", w="wa", y="pa"),
        gemm("b1", size, b, 16, x="s", w="wb1", y="pb1"),
        gemm("b2", size, c, b, x="pb1", w="wb2", y="pb"),
        elementwise("v", "s", "pv", size, 16),
        gemm("d", size, d, 16, x="s", w="wd", y="pd"),
        gemm("join", size, 8, a, x="pa", w="wj", y="y"),
        gemm("join2", size, 8, c, x="pb", w="wk", y="y2"),
    ]
    return graph(*parts, outputs=("y", "y2", "pv", "pd"))


@settings(max_examples=10)
@given(
    st.integers(1, 60), st.tuples(*[st.integers(1, 40)] * 4), st.sampled_from([1, 2, 4]), st.sampled_from([2048, 65536]),
    st.sampled_from([2e9, 64e9]),
)  # fmt: skip
def test_together_is_never_slower_and_never_stuck(size, widths, cores, scratchpad, bandwidth):
    hardware = many(cores, scratchpad=scratchpad, bandwidth=bandwidth, latency=3e-9)
    mapped = map_graph(inception(size, widths, scratchpad), hardware)
    for group in branches(only(mapped)):
        for way in group.mapped.alternatives:
            assert cycles_of(way, hardware) > 0
            compulsory = sum(group.mapped.reads.values()) + sum(group.mapped.writes.values())
            moved = sum(s.repeat * m.bytes for stage in way.stages for s in stage.segments for m in s.transfers)
            assert moved >= compulsory
    found = search(mapped)
    assert found.cycles <= found.layer_by_layer_cycles
    result = simulate(found.mapped, found.schedule)
    assert result.cycles == found.cycles
    assert result.roofline_s <= result.latency_s * (1 + 1e-9)
    assert result.macs == sum(operator.macs for operator, _, _ in mapped.graph.walk())
    assert result.dram_bytes >= result.compulsory_bytes


def test_branches_of_a_real_size_gain():
    hardware = systolic(16, 16, "auto", scratchpad=256 * 1024, bandwidth=4e9)
    found = search(map_graph(inception(784, (64, 32, 64, 32), 0), hardware))
    assert found.cycles < found.layer_by_layer_cycles
    assert any(item.kind == "branches" for block in found.mapped.blocks for item in block.operators)


def test_a_plan_of_one_core_plays_alike_on_a_device_of_several():
    net = inception(784, (64, 32, 64, 32), 0)
    rest = {"rows": 16, "columns": 16, "dataflow": "auto", "scratchpad": 256 * 1024, "bandwidth": 4e9}
    alone, found = (search(map_graph(net, many(cores, noc=1e6, **rest))) for cores in (1, 4))
    assert found.cycles == alone.cycles < alone.layer_by_layer_cycles
    assert simulate(found.mapped, found.schedule).cycles == found.cycles


@pytest.mark.parametrize("cores", [2, 4])
def test_more_cores_are_never_slower_with_branches(cores):
    net = inception(784, (64, 96, 128, 32), 0)
    slow, fast = (search(map_graph(net, many(count, scratchpad=65536, bandwidth=64e9))).cycles for count in (1, cores))
    assert fast < slow
