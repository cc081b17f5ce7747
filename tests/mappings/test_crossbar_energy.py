"""Crossbars: joules of products by hand, converters that compute functions, events."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwspecs import load_hardware
from mappings.crossbar.costs import product_energy
from tests.mappings.builders import gemm, graph
from tests.mappings.crossbar_device import PLAIN, RAMP, SERIAL, crossbar, laid, machine, played
from workloads import load_model
from workloads.builder import GraphBuilder
from workloads.graph import Repeat, Role
from workloads.recurrent_cell import CELL_OPS, cell


def lstm(steps=3, projection=0):
    """An LSTM of 32 cells on 40 features, one product per step."""
    body = GraphBuilder("step", "int5")
    state = projection or 32
    body.input("row", (1, 40 + state))
    body.input("c", (1, 32), role=Role.STATE)
    body.weight("w", (40 + state, 128))
    body.gemm("row", "w", "gates")
    cell(body, "LSTM", "gates", None, "c", ("h", "c2"), 32, name="cell", ops=CELL_OPS["LSTM"] - 4)
    if projection:
        body.weight("p", (32, projection))
        body.gemm("h", "p", "r")
    body.output("c2")
    outer = GraphBuilder("lstm", "int5")
    for name, shape in (("row0", (1, 40 + state)), ("c0", (1, 32)), ("w0", (40 + state, 128))):
        (outer.weight if name == "w0" else outer.input)(name, shape)
    inputs = {"row": "row0", "c": "c0", "w": "w0"}
    if projection:
        inputs["p"] = outer.weight("p0", (32, projection))
    outer.tensor("last", (1, 32))
    outer.add(Repeat("steps", body.build(), steps, (("c2", "c"),), ("row", "w", *(("p",) if projection else ())), inputs, {"c2": "last"}))
    outer.output("last")
    return outer.build()


@pytest.mark.parametrize(("projection", "conversions"), [(0, 2), (16, 3)])
def test_a_nonlinear_converter_absorbs_the_functions_of_a_cell(projection, conversions):
    """Gates, tanh(c) and the projection convert: an input of 32 steps and a ramp of 32 each; 4 operations per cell are left (3 and 1)."""
    _mapped, result = played(lstm(projection=projection), crossbar(RAMP))
    assert result.busy["compute:array"] == pytest.approx(3 * conversions * 64e-9)
    assert result.energy_by_component["vector.vector"] == pytest.approx(3 * 4 * 32 * 1e-13)
    converted = 3 * (128 + 32 + projection)
    assert result.energy_by_component["array.adc"] == pytest.approx(converted * 1e-12)
    linear = {**RAMP, "adc.type": "ramp"}
    del linear["adc.functions"]
    _, other = played(lstm(projection=projection), crossbar(linear))
    assert other.busy["compute:array"] == pytest.approx(3 * (conversions - 1) * 64e-9)
    assert other.energy_by_component["vector.vector"] == pytest.approx(3 * (CELL_OPS["LSTM"] - 4) * 32 * 1e-13)


def test_states_take_the_converters_of_the_gates():
    """By hand: in each of 3 steps the gates' arrays convert twice, 64 cycles each; with a linear ramp once, and tanh(c) is digital."""
    _, result = played(lstm(), crossbar(RAMP))
    assert result.in_memory["interval_bound_by"] == "arrays of gates"
    assert result.in_memory["interval_s"] == pytest.approx(3 * 2 * 64e-9)
    (row,) = result.in_memory["layers"]
    assert (row["rounds"], row["cycles"], row["cycles_all_rounds"]) == (3, 64, 3 * 64)
    linear = {name: value for name, value in RAMP.items() if name != "adc.functions"} | {"adc.type": "ramp"}
    _, other = played(lstm(), crossbar(linear))
    assert other.in_memory["interval_s"] == pytest.approx(3 * 64e-9)


def test_functions_of_parts_of_a_sum_stay_digital():
    """72 rows in arrays of 36: each conversion sees half a sum, so neither gates nor tanh(c) are left to the converters."""
    _, whole = played(lstm(), crossbar(RAMP))
    _, halves = played(lstm(), crossbar({**RAMP, "rows": 36}))
    assert whole.energy_by_component["vector.vector"] == pytest.approx(3 * 4 * 32 * 1e-13)
    assert halves.energy_by_component["vector.vector"] == pytest.approx(3 * (CELL_OPS["LSTM"] - 4) * 32 * 1e-13)


def test_events_drive_rows_and_empty_vectors_may_take_no_time():
    operator, tensors = gemm("fc", 40, 16, 16)
    sparse = replace(operator, attributes={"event_density": 0.1, "active_share": 0.5})
    values = {**PLAIN, "read_voltage": 0.2, "conductance.off": 0.0, "conductance.on": 1e-4}
    _, full = played(graph((operator, tensors)), crossbar(values, replicate="none"))
    _, few = played(graph((sparse, tensors)), crossbar(values, replicate="none"))
    assert few.energy_by_component["array.cells"] == pytest.approx(0.1 * full.energy_by_component["array.cells"])
    assert few.latency_s == full.latency_s
    _, skipped = played(graph((sparse, tensors)), crossbar(values, replicate="none", skip_empty=True))
    assert skipped.busy["compute:array"] == pytest.approx(0.5 * few.busy["compute:array"])
    assert skipped.energy_by_component["array.cells"] == pytest.approx(few.energy_by_component["array.cells"])


def test_special_parts_draw_power_with_the_arrays_or_as_long_as_the_run_lasts():
    """A bus of 6.4 W for 64 arrays is 0.1 W for one; a link that always draws 2 W is static."""
    hardware = crossbar(replicate="none")
    specials = {"bus": {"drawn": "arrays", "power": 6.4}, "link": {"drawn": "device", "power": 1.0, "count": 2}, "idle": {"power": 9.0}}
    _, result = played(graph(gemm("fc", 5, 16, 16)), replace(hardware, specials=specials))
    assert result.energy_by_component["array.bus"] == pytest.approx(0.1 * 5 * 10e-9)
    assert result.energy_by_component["static"] == pytest.approx(2.0 * result.latency_s)
    assert result.in_memory["peak"]["power_by_component"]["bus"] == pytest.approx(6.4)


def test_drivers_with_a_power_draw_it_for_the_length_of_a_phase():
    values = {name: value for name, value in RAMP.items() if name != "adc.energy"} | {"dac.power": 1e-3}
    matrix, layout = laid(gemm("fc", 1, 128, 72, format="int5"), values)
    assert product_energy(machine(values), layout, matrix)["dac"] == pytest.approx(72 * 32 * 1e-12)
    narrow, layout = laid(gemm("fc", 1, 128, 72, format="int3"), values)
    assert product_energy(machine(values), layout, narrow)["dac"] == pytest.approx(72 * 8 * 1e-12)


def test_conversions_of_a_network_counted_from_its_shapes():
    """ResNet-50 on ISAAC: ceil(K / 128) x N x 8 columns x 16 phases x pixels, counted anew over its layers, at 2 mW / 1.2 GHz each."""
    net = load_model("resnet50", format="int16")
    conversions = 0
    for operator, graph_of, times in net.walk():
        for nest in operator.nests:
            if nest.function == "mac":
                weight = next(graph_of.tensors[read.tensor] for read in nest.reads if graph_of.tensors[read.tensor].role == Role.WEIGHT)
                n, k = weight.shape[0], weight.values // weight.shape[0]
                pixels = nest.points // (n * k)
                conversions += times * -(-k // 128) * n * 8 * 16 * pixels
    _, result = played(net, load_hardware("isaac"))
    assert result.energy_by_component["array.adc"] == pytest.approx(conversions * 2e-3 / 1.2e9)


def test_energy_of_a_product_from_its_parts():
    """147 x 20 weights on 2 x 1 arrays: 80 columns, converted once for each part of the rows and each of 8 phases."""
    matrix, layout = laid(gemm("fc", 5, 20, 147), SERIAL)
    energy = product_energy(machine(SERIAL), layout, matrix)
    assert energy["adc"] == pytest.approx(2 * 80 * 8 * 2e-12)
    assert energy["dac"] == pytest.approx(147 * 8 * 1e-15)
    assert energy["cells"] == pytest.approx(147 * 80 * 8 * 0.2**2 * 0.5e-4 * 100e-9 * 0.5)
    assert energy["shift_add"] == pytest.approx(2 * 80 * 8 * 1e-13)
    assert set(energy) == {"adc", "dac", "cells", "shift_add"}
    events = product_energy(machine(SERIAL), layout, matrix, 0.25)
    assert events["cells"] == pytest.approx(0.25 * energy["cells"])
    assert events["dac"] == pytest.approx(0.25 * energy["dac"])
    assert events["adc"] == energy["adc"]


def test_power_of_parts_is_drawn_while_the_array_works():
    values = {**SERIAL, "parts.array.power": 1e-3, "parts.input_register.power": 1e-4}
    del values["parts.shift_add.energy"]
    chip = machine(values)
    matrix, layout = laid(gemm("fc", 5, 16, 64), values)  # a quarter of the cells, half of the columns
    energy = product_energy(chip, layout, matrix)
    interval = 8 * 100e-9
    assert energy["cells"] == pytest.approx(1e-3 * interval / 4)
    assert energy["input_register"] == pytest.approx(1e-4 * interval)
