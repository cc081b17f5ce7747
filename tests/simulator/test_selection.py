"""The search that plays: alternatives and groups by hand, its law on random groups."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import ArgumentError, ContractError
from ilp import trivial_schedule
from mappings.dataflow import Alternative, Edge, MappedOperator, Segment, Stage, Transfer
from mappings.groups import Group, standing_for, stretches, with_groups
from simulator import search, simulate
from simulator import selection as module
from tests.simulator.build import hardware, mapped_operator, straight, tensor


def chain_of_two(**options):
    """in (1,000 B) -> a -> mid (2,000 B) -> b -> out (1,000 B), 100 B/cycle, nothing kept between operators."""
    sizes = {"in": 1_000, "mid": 2_000, "out": 1_000}
    first = mapped_operator("a", {"in": 1_000}, {"mid": 2_000}, macs=5_000, tiles=1)
    second = mapped_operator("b", {"mid": 2_000}, {"out": 1_000}, macs=5_000, tiles=1)
    device = hardware(partitions={"ifmap": 500_000, "filter": 250_000, "ofmap": 250_000}, **options)
    return straight([tensor(name, size) for name, size in sizes.items()], [first, second], ["out"], device)


def fused(stretch, cycles, room=0):
    """One firing that loads what enters, works ``cycles``, and stores what leaves."""
    reads, writes, _ = stretch.border(0, 1)
    load = Stage("load", "port:dram", (Segment(1, 0, tuple(Transfer(n, s, "dram", "spad") for n, s in reads.items())),))
    store = Stage("store", "port:dram", (Segment(1, 0, tuple(Transfer(n, s, "spad", "dram") for n, s in writes.items())),))
    work = Stage("array", "array", (Segment(1, cycles),))
    edges = (Edge("load", "array"), Edge("array", "store"))
    return standing_for(stretch, 0, 1, "fused chain", [Alternative("whole", (load, work, store), edges, room, cycles)])


def offer(monkeypatch, make):
    monkeypatch.setattr(module, "chains", make)
    monkeypatch.setattr(module, "branches", lambda stretch: ())


def test_border_of_a_group_is_what_enters_and_what_somebody_still_needs():
    mapped = chain_of_two()
    (stretch,) = stretches(mapped)
    assert stretch.border(0, 1) == ({"in": 1_000}, {"out": 1_000}, ("mid",))
    assert stretch.border(0, 0) == ({"in": 1_000}, {"mid": 2_000}, ())
    assert stretch.border(1, 1) == ({"mid": 2_000}, {"out": 1_000}, ())


def test_a_faster_group_is_taken_and_saves_the_tensor_in_between(monkeypatch):
    mapped = chain_of_two()
    offer(monkeypatch, lambda stretch: (Group(0, 1, fused(stretch, 10)),))
    found = search(mapped)
    # alone: each 1,000 + 2,000 bytes at 100 B/cycle and 5 cycles of work, one tile, nothing overlaps: 2 x 35; together: 10 + 10 + 10
    assert (found.layer_by_layer_cycles, found.cycles) == (70, 30)
    result = simulate(found.mapped, found.schedule)
    assert result.cycles == 30
    assert result.dram_bytes == 2_000 == result.compulsory_bytes
    assert result.macs == 10_000
    assert [operator.kind for operator in result.operators] == ["fused chain"]
    assert any("30 cycles in place of 70" in note for note in result.warnings)
    layerwise = simulate(mapped, trivial_schedule(mapped))
    assert layerwise.dram_bytes - result.dram_bytes == 2 * 2_000
    assert result.roofline_s == layerwise.roofline_s


def test_a_slower_group_is_left_alone(monkeypatch):
    mapped = chain_of_two()
    offer(monkeypatch, lambda stretch: (Group(0, 1, fused(stretch, 51)),))
    found = search(mapped)
    assert found.cycles == found.layer_by_layer_cycles == 70
    assert len(found.mapped.blocks[0].operators) == 2


def test_a_group_that_does_not_fit_is_left_alone(monkeypatch):
    mapped = chain_of_two()
    offer(monkeypatch, lambda stretch: (Group(0, 1, fused(stretch, 10, room=2_000_000)),))
    assert search(mapped).cycles == 70


def test_a_group_that_drives_a_kept_tensor_out_is_weighed_in_the_whole_plan(monkeypatch):
    # the scratchpad keeps "far" (900,000 bytes) over the pair; a group that needs half of it for itself would send it out and back
    sizes = {"in": 1_000, "far": 900_000, "mid": 2_000, "out": 1_000, "end": 1_000}
    operators = [
        mapped_operator("make", {}, {"far": 900_000, "in": 1_000}, tiles=1),
        mapped_operator("a", {"in": 1_000}, {"mid": 2_000}, macs=60_000, tiles=1),
        mapped_operator("b", {"mid": 2_000}, {"out": 1_000}, macs=60_000, tiles=1),
        mapped_operator("use", {"far": 900_000, "out": 1_000}, {"end": 1_000}, tiles=1),
    ]
    mapped = straight([tensor(name, size) for name, size in sizes.items()], operators, ["end"], hardware())

    def offered(stretch):
        work = Stage("array", "array", (Segment(1, 100),))
        whole = Alternative("whole", (work,), (), 500_000, 100)
        return (Group(1, 2, standing_for(stretch, 1, 2, "fused chain", [whole])),)

    offer(monkeypatch, offered)
    alone = search(mapped)
    assert alone.cycles == alone.layer_by_layer_cycles
    assert len(alone.mapped.blocks[0].operators) == 4


def test_the_alternative_that_is_played_faster_wins_over_the_estimate():
    honest = mapped_operator("op", {"in": 1_000}, {"out": 1_000}, macs=5_000, slow=500)
    flattered = replace(honest, alternatives=tuple(reversed(honest.alternatives)))
    mapped = straight([tensor("in", 1_000), tensor("out", 1_000)], [flattered], ["out"], hardware(partitions={"a": 1, "b": 2, "c": 3}))
    by_estimate = simulate(mapped, trivial_schedule(mapped))
    found = search(mapped)
    assert found.mapped.blocks[0].operators[0].alternatives[0].name == "fast"
    assert found.cycles < by_estimate.cycles
    assert simulate(found.mapped, found.schedule).cycles == found.cycles


def test_overlapping_groups_break_the_contract():
    mapped = chain_of_two()
    (stretch,) = stretches(mapped)
    group = Group(0, 1, fused(stretch, 1))
    with pytest.raises(ContractError, match="overlap"):
        with_groups(mapped, {0: [group, group]})


def test_unknown_fidelity_is_refused():
    with pytest.raises(ArgumentError, match="unknown fidelity"):
        search(chain_of_two(), fidelity="exact")


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 4), st.integers(1, 20)), min_size=1, max_size=7))
@settings(max_examples=200, deadline=None)
def test_the_chosen_groups_have_the_most_gain_of_all_disjoint_sets(rows):
    nobody = MappedOperator("op", "gemm", "array", ())
    offered = [(gain, Group(first, first + length - 1, nobody)) for first, length, gain in rows]

    def disjoint(picked):
        ordered = sorted((group.first, group.last) for _, group in picked)
        return all(a[1] < b[0] for a, b in pairwise(ordered))

    best = max(
        sum(gain for gain, _ in picked) for size in range(len(offered) + 1) for picked in combinations(offered, size) if disjoint(picked)
    )
    taken = module._most_gain(offered)
    gains = {id(group): gain for gain, group in offered}
    assert disjoint([(0, group) for group in taken])
    assert sum(gains[id(group)] for group in taken) == best
