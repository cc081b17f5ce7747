"""Laws of crossbars, over random matrices and chips."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilp import trivial_schedule
from mappings import map_graph
from mappings.crossbar.costs import array_area, product_energy
from mappings.crossbar.machine import machine_of
from mappings.crossbar.slicing import layout_of, matrices_of
from mappings.crossbar.timing import pace_of
from simulator import simulate
from tests.mappings.builders import conv, gemm, graph
from tests.mappings.crossbar_device import SERIAL, crossbar
from tests.naive import crossbar_layout as naive

SIZES = st.integers(1, 300)


@st.composite
def chips(draw, **fixed):
    """A unit's parameters: any geometry, slicing, driver and converter."""
    bits = draw(st.sampled_from([1, 2, 4, 8]))
    values = {
        **SERIAL,
        "rows": draw(st.sampled_from([16, 50, 128])),
        "columns": draw(st.sampled_from([5, 16, 64, 128])),
        "bits_per_cell": bits,
        "columns_scheme": draw(st.sampled_from(["differential", "offset", "signed"])),
        "adc.sharing": draw(st.sampled_from([1, 2, 8, 16])),
        "adc.type": draw(st.sampled_from(["sar", "flash", "ramp"])),
        "dac.type": draw(st.sampled_from(["bit_serial", "multi_bit", "pulse_width"])),
        "dac.resolution": draw(st.sampled_from([1, 2, 3])),
        "dac.rate": 1e9,
        "pipelined": draw(st.booleans()),
    }
    if draw(st.booleans()):
        values["rows_per_read"] = draw(st.integers(1, values["rows"]))
    if draw(st.booleans()):
        values = {name: value for name, value in values.items() if not name.startswith("adc.")}
    return {**values, **fixed}


def made(values, part):
    hardware = crossbar(values)
    machine = machine_of(hardware.primary, hardware)
    (matrix,) = matrices_of(*part)
    return machine, matrix, layout_of(matrix, machine)


@settings(max_examples=150, deadline=None)
@given(chips(), SIZES, SIZES, st.integers(1, 4))
def test_use_is_at_most_1_and_arrays_are_enough(values, k, n, groups):
    part = conv("c", c=groups * (1 + k // 9), o=groups * (1 + n // 9), h=4, f=3, pad=1, groups=groups)
    machine, matrix, layout = made(values, part)
    assert layout.cells == matrix.groups * matrix.k * matrix.n * machine.reading.cells_per_weight
    assert 0 < layout.cells <= layout.arrays * machine.cells
    assert layout.deepest <= machine.rows
    assert layout.widest <= machine.columns


@settings(max_examples=150, deadline=None)
@given(chips(), st.integers(1, 70), st.integers(1, 24), st.integers(1, 9), st.sampled_from(["diagonal", "per_channel"]))
def test_layouts_are_what_placing_every_cell_gives(values, k, n, groups, depthwise):
    values = {**values, "rows": min(values["rows"], 50), "depthwise": depthwise}
    values["rows_per_read"] = min(values.get("rows_per_read", 50), values["rows"])
    part = conv("c", c=groups * k, o=groups * n, h=1, f=1, groups=groups)
    machine, matrix, layout = made(values, part)
    assert (matrix.k, matrix.n, matrix.groups) == (k, n, groups)
    all_cells = naive.placed(k, n, groups, machine.rows, machine.columns, cells(values), depthwise == "diagonal")
    assert len(set(all_cells)) == len(all_cells)
    found = naive.counts(all_cells, values["rows_per_read"])
    assert {name: getattr(layout, name) for name in found} == found


@settings(max_examples=100, deadline=None)
@given(chips(), st.integers(1, 4), st.integers(1, 4))
def test_a_matrix_that_fits_exactly_has_use_1(values, down, across):
    values["columns"] = values["columns"] * 16  # whole weights: cells per weight are 1 to 16
    machine, _, layout = made(values, gemm("fc", 1, across * values["columns"] // cells(values), down * values["rows"]))
    assert layout.cells == layout.arrays * machine.cells


def cells(values):
    return 8 // values["bits_per_cell"] * (2 if values["columns_scheme"] == "differential" else 1)


@settings(max_examples=150, deadline=None)
@given(chips(), SIZES, SIZES, st.integers(1, 50))
def test_no_product_beats_the_peak(values, k, n, m):
    """At its data-sheet rate the unit is never slower than what the mapping takes, whatever the size."""
    hardware = crossbar(values, arrays=20_000)
    mapped = map_graph(graph(gemm("fc", m, n, k)), hardware)
    result = simulate(mapped, trivial_schedule(mapped), timeline=False)
    assert result.roofline_s <= result.latency_s * (1 + 1e-9)
    (row,) = result.in_memory["layers"]
    assert row["copies"] * -(-row["products"] // row["copies"]) >= row["products"]
    assert sum(result.energy_by_component.values()) == pytest.approx(result.energy_j)
    assert result.macs == m * n * k


@settings(max_examples=100, deadline=None)
@given(chips(), SIZES, SIZES)
def test_sharing_converters_saves_area_and_takes_time(values, k, n):
    """At a fixed mapping: twice the sharing never takes more area nor less time."""
    values = {**values, "adc.type": values.get("adc.type", "sar"), "adc.area": 1e-3, "adc.resolution": 6, "adc.rate": 1e9}
    values["adc.sharing"] = values.get("adc.sharing", 4)
    one, matrix, layout = made(values, gemm("fc", 3, n, k))
    other, same, also = made({**values, "adc.sharing": 2 * values["adc.sharing"]}, gemm("fc", 3, n, k))
    assert (layout, matrix) == (also, same)
    assert sum(array_area(other).values()) <= sum(array_area(one).values())
    assert pace_of(same, also, other).interval >= pace_of(matrix, layout, one).interval
    assert pace_of(same, also, other).latency >= pace_of(matrix, layout, one).latency


@settings(max_examples=100, deadline=None)
@given(chips(), SIZES, SIZES, st.floats(0, 1), st.floats(0, 1))
def test_more_spikes_never_cost_less(values, k, n, one, other):
    machine, matrix, layout = made(values, gemm("fc", 3, n, k))
    few, many = (product_energy(machine, layout, matrix, density) for density in sorted((one, other)))
    assert sum(few.values()) <= sum(many.values()) * (1 + 1e-12)
    assert all(joules <= many[part] * (1 + 1e-12) for part, joules in few.items())


@settings(max_examples=40, deadline=None)
@given(chips(), st.integers(2, 40), st.integers(1, 60), st.integers(1, 400))
def test_copies_conserve_multiplications_and_energy(values, m, n, arrays):
    """Copies of a layer share its vectors: the work and the joules of the arrays stay, the time does not grow."""
    hardware = crossbar(values, arrays=arrays + 200)
    results = []
    for way in ("none", "balance"):
        unit = replace(hardware.primary, parameters={**hardware.primary.parameters, "replicate": way})
        mapped = map_graph(graph(gemm("fc", m, n, 40)), replace(hardware, units={**hardware.units, "array": unit}))
        results.append(simulate(mapped, trivial_schedule(mapped), timeline=False))
    alone, copied = results
    assert alone.macs == copied.macs == m * n * 40
    assert copied.latency_s <= alone.latency_s
    for part in ("array.adc", "array.dac", "array.cells"):
        assert copied.energy_by_component.get(part, 0.0) == pytest.approx(alone.energy_by_component.get(part, 0.0))
    assert copied.in_memory["used"] <= arrays + 200
