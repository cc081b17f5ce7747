"""Layer pipelines: a three-layer network with strides and padding against a timeline made by hand, branches, batches, bounds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cyclewright as cw
from ilp import trivial_schedule
from mappings import map_graph
from mappings.crossbar.pipeline import pipelines, row_cycles
from mappings.crossbar.rows import Window, windows_of
from mappings.groups import stretches
from simulator import search, simulate
from simulator.lowering import Lowering
from simulator.play import WINDOW, play
from tests.mappings.builders import conv, gemm
from tests.mappings.crossbar_device import crossbar
from tests.naive import dataflow as naive
from workloads.builder import GraphBuilder

INSTANT = 1e15
"""Bandwidth at which any row is loaded or stored in one cycle."""


def network(layers, size=6, batch=1, shortcut=None):
    """Convolutions (window, stride, padding) of one channel, one after the other; a shortcut adds the input of a layer to its result."""
    builder = GraphBuilder("net", "int8", {"batch": batch})
    x = builder.input("x", (batch, 1, size, size))
    for place, (window, stride, padding) in enumerate(layers):
        weight = builder.weight(f"w{place}", (1, 1, window, window))
        before = x
        x = builder.conv(x, weight, f"y{place}", strides=stride, pads=padding, name=f"conv{place}")
        if place == shortcut:
            x = builder.elementwise("add", (x, before), f"sum{place}", name=f"add{place}")
    builder.output(x)
    return builder.build()


def group_of(net, hardware):
    mapped = map_graph(net, hardware)
    (stretch,) = stretches(mapped)
    (group,) = pipelines(stretch, mapped.in_memory)
    return group.mapped.alternatives[0]


def cycles_of(alternative, hardware):
    (played,) = play([Lowering(hardware).lower("net", alternative).flow], ["net"])
    return played.cycles


def test_three_layers_by_hand():
    """Products take 10 cycles, a row of n results 10 n. Rows of the input arrive one per cycle.

    conv0 (3x3, padding 1) of 6 rows of 60: its first row needs input rows 0 and 1, so from 2 to 362.
    conv1 (3x3, stride 2, padding 1) of 3 rows of 30: row i needs rows up to 2 i + 1 of conv0, which are there at 122, 242 and 362.
    conv2 (2x2) of 2 rows of 20: row i needs rows up to i + 1 of conv1, at 272 and 392. Its last row ends at 412 and is stored by 413.
    """
    hardware = crossbar(bandwidth=INSTANT, replicate="none", lanes=1 << 20)
    net = network([(3, 1, 1), (3, 2, 1), (2, 1, 0)])
    alternative = group_of(net, hardware)
    assert cycles_of(alternative, hardware) == 413
    found = search(map_graph(net, hardware))
    assert found.cycles == 413
    assert found.layer_by_layer_cycles >= 360 + 90 + 40
    result = simulate(found.mapped, found.schedule)
    assert result.dram_bytes == result.compulsory_bytes == 36 + 4
    assert result.in_memory["interval_s"] == pytest.approx(360e-9)
    assert result.in_memory["interval_bound_by"] == "arrays of conv0"
    assert result.operators[0].bound_by == result.bound_by == "compute:array.conv0"


def test_padding_below_lets_the_last_row_go_at_once():
    """5x5 with padding 2: the last two rows need rows below the input, which do not hold them up.

    conv0 (1x1): rows end at 1 + 60 i. conv1 (5x5, padding 2) of 6 rows of 60: row 0 waits for rows 0 to 2 (181), and its own rows then
    follow each other: row 3 is the last that needs another one (row 5, at 361, when row 2 ends). 181 + 360 = 541, and one to store.
    """
    hardware = crossbar(bandwidth=INSTANT, replicate="none", rows=32)
    assert cycles_of(group_of(network([(1, 1, 0), (5, 1, 2)]), hardware), hardware) == 542


def test_a_shortcut_around_a_layer_waits_in_its_edge():
    """conv1 (3x3) and what goes around it meet in the sum, which takes a cycle of the digital unit per row."""
    hardware = crossbar(bandwidth=INSTANT, replicate="none")
    plain = cycles_of(group_of(network([(1, 1, 0), (3, 1, 1), (3, 1, 1)]), hardware), hardware)
    summed = cycles_of(group_of(network([(1, 1, 0), (3, 1, 1), (3, 1, 1)], shortcut=1), hardware), hardware)
    assert plain < summed <= plain + 3


def test_images_of_a_batch_follow_at_the_steady_interval():
    hardware = crossbar(bandwidth=INSTANT, replicate="none")
    layers = [(3, 1, 1), (3, 2, 1), (2, 1, 0)]
    one = cycles_of(group_of(network(layers), hardware), hardware)
    for batch in (2, 5):
        assert cycles_of(group_of(network(layers, batch=batch), hardware), hardware) == one + (batch - 1) * 360


def test_copies_take_the_vectors_in_turn():
    """14 vectors in rows of 7 over 3 copies: the third turn ends row 0, the fifth row 1."""
    layer = {"products": 14, "copies": 3, "cycles_per_product": 10, "cycles": 50 + 4}
    assert row_cycles(layer, 2, 1) == [34, 20]


def test_windows_are_read_off_the_loop_nests():
    operator, tensors = conv("c", c=4, o=2, h=9, f=3, stride=2, pad=1)
    assert windows_of(operator, tensors, 5)["x"] == Window(9, 3, 2, 1)
    operator, tensors = gemm("fc", 6, 4, 4)
    assert windows_of(operator, tensors, 6)["x"] == Window(6, 1, 1, 0)
    assert windows_of(operator, tensors, 3)["x"].whole  # the rows are not those of the result


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(0, 2)), min_size=2, max_size=5),
    st.integers(8, 20), st.sampled_from(["none", "balance"]), st.integers(1, 3),
)  # fmt: skip
def test_a_pipeline_lies_between_its_slowest_layer_and_all_of_them(layers, size, replicate, batch):
    hardware = crossbar(bandwidth=INSTANT, replicate=replicate)
    layers = [(window, stride, min(padding, window - 1)) for window, stride, padding in layers]
    rows = size
    for window, stride, padding in layers:
        rows = (rows + 2 * padding - window) // stride + 1
        if rows < 1:
            return
    net = network(layers, size, batch)
    mapped = map_graph(net, hardware)
    alone = simulate(mapped, trivial_schedule(mapped), timeline=False)
    alternative = group_of(net, hardware)
    found = cycles_of(alternative, hardware)
    flow = Lowering(hardware).lower("net", alternative).flow
    assert naive.play(flow, WINDOW * flow.queues).cycles == found  # edges with less than no tokens at the start, too
    busiest = max(cycles for name, cycles in alternative.breakdown.items())
    assert busiest <= found
    loads = size * batch + rows * batch + 2 * len(layers) * batch
    assert found <= alone.cycles + loads + 100 * len(layers) * batch  # copies may share a turn between images layer by layer
    assert alone.roofline_s * hardware.clock_hz <= found * (1 + 1e-9)


@settings(max_examples=6, deadline=None)
@given(st.lists(st.sampled_from([(3, 1, 1), (5, 1, 2), (3, 2, 1), (1, 1, 0)]), min_size=2, max_size=3), st.integers(150, 260))
def test_long_pipelines_are_jumped_over_exactly(layers, size):
    """Hundreds of rows whose steady state repeats, behind edges that begin with less than nothing: as if every firing were played."""
    hardware = crossbar(bandwidth=INSTANT, buffer=1 << 24)
    alternative = group_of(network(layers, size), hardware)
    flow = Lowering(hardware).lower("net", alternative).flow
    assert naive.play(flow, WINDOW * flow.queues).cycles == cycles_of(alternative, hardware)


@st.composite
def tangles(draw):
    """Up to 10 layers of equal size on any tensors before them: convolutions of any odd window, sums, sums over all rows (needed whole)."""
    builder = GraphBuilder("tangle", "int8")
    made = [builder.input("x", (1, 1, 12, 12))]
    for place in range(draw(st.integers(3, 10))):
        source = draw(st.sampled_from(made[-4:]))
        kind = draw(st.sampled_from(["conv", "conv", "conv", "add", "whole"]))
        name = f"t{place}"
        if kind == "conv":
            window = draw(st.sampled_from([1, 3, 7]))
            builder.conv(source, builder.weight(f"w{place}", (1, 1, window, window)), name, pads=window // 2, name=f"conv{place}")
        elif kind == "add":
            builder.elementwise("add", (source, draw(st.sampled_from(made))), name, name=f"add{place}")
        else:
            builder.transpose(source, f"{name}.turned", (0, 1, 3, 2), name=f"turn{place}")
            builder.elementwise("add", (f"{name}.turned", source), name, name=f"whole{place}")
        made.append(name)
    builder.output(made[-1])
    return builder.build()


@settings(max_examples=100, deadline=None)
@given(tangles(), st.integers(1, 1 << 16))
def test_no_tangle_of_layers_deadlocks(net, lanes):
    hardware = crossbar(bandwidth=INSTANT, buffer=1 << 24, lanes=lanes)
    mapped = map_graph(net, hardware)
    (stretch,) = stretches(mapped)
    for group in pipelines(stretch, mapped.in_memory):
        assert cycles_of(group.mapped.alternatives[0], hardware) > 0  # a deadlock is an error


@pytest.mark.parametrize("model", ["resnet50", "mobilenet-v2", "bert-base"])
def test_networks_on_isaac_run_faster_side_by_side(model):
    alone, beside = cw.run(model, "isaac", search="estimate"), cw.run(model, "isaac")
    assert beside.latency_s < alone.latency_s
    assert beside.roofline_s <= beside.latency_s
    assert beside.macs == alone.macs
    assert beside.in_memory["interval_s"] <= beside.latency_s * (1 + 1e-9)
    arrays = {part: joules for part, joules in alone.energy_by_component.items() if part.startswith("array.")}
    assert {part: beside.energy_by_component[part] for part in arrays} == pytest.approx(arrays)
