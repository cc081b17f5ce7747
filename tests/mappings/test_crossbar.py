"""Crossbars: layouts, times and energies by hand, weights that are no traffic, what does not fit, operands that are computed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwspecs import list_hardware, load_hardware
from hwspecs.vocabulary.errors import InfeasibleError, UnsupportedError
from ilp import trivial_schedule
from mappings import map_graph
from mappings.crossbar.costs import array_area, full_array
from mappings.crossbar.slicing import bits_needed
from mappings.crossbar.timing import pace_of
from mappings.promises import check_promises
from simulator import simulate
from simulator.stored import from_json, to_json
from tests.mappings.builders import conv, gemm, graph
from tests.mappings.crossbar_device import PLAIN, RAMP, SERIAL, crossbar, laid, machine, played
from workloads import load_model
from workloads.builder import GraphBuilder
from workloads.graph import Repeat


@pytest.mark.parametrize(("k", "n", "rows", "columns"), [(128, 32, 1, 1), (129, 32, 2, 1), (128, 33, 1, 2), (147, 64, 2, 2), (1, 1, 1, 1)])
def test_rows_and_columns_are_cut_at_the_edges_of_arrays(k, n, rows, columns):
    """128 columns of 2-bit cells hold 32 weights of 8 bits."""
    _, layout = laid(gemm("fc", 5, n, k), SERIAL)
    assert (layout.row_parts, layout.column_parts, layout.arrays) == (rows, columns, rows * columns)
    assert layout.cells == 4 * k * n
    assert layout.driven_rows == k * columns
    assert layout.columns == 4 * n * rows


def test_a_matrix_that_fits_exactly_has_use_1():
    _, layout = laid(gemm("fc", 5, 32, 128), SERIAL)
    assert layout.cells == 128 * 128 * layout.arrays
    (_mapped, result) = played(graph(gemm("fc", 5, 32, 128)), crossbar(SERIAL, arrays=1))
    assert result.in_memory["use"] == 1.0
    assert result.in_memory["used"] == 1


def test_differential_columns_take_twice_the_cells():
    assert machine(SERIAL, columns_scheme="differential").reading.cells_per_weight == 8
    assert machine(SERIAL, columns_scheme="signed").reading.cells_per_weight == 4


def test_a_weight_wider_than_an_array_takes_several():
    _, layout = laid(gemm("fc", 5, 3, 8), {**SERIAL, "columns": 3, "bits_per_cell": 1})
    assert (layout.column_parts, layout.cells) == (3 * 3, 8 * 3 * 8)  # 8 cells of a weight lie in 3 arrays of 3 columns


def test_depthwise_groups_share_arrays_as_a_block_diagonal():
    """9 rows and one weight of 4 columns each: 14 groups on 126 of 128 rows."""
    part = conv("dw", c=32, o=32, h=8, f=3, pad=1, groups=32)
    matrix, layout = laid(part, SERIAL)
    assert (matrix.k, matrix.n, matrix.groups, matrix.products) == (9, 1, 32, 64)
    assert (layout.packed, layout.arrays, layout.deepest, layout.widest) == (14, 3, 126, 56)
    _, alone = laid(part, SERIAL, depthwise="per_channel")
    assert (alone.packed, alone.arrays, alone.deepest) == (1, 32, 9)
    assert layout.cells == alone.cells == 32 * 9 * 4
    _mapped, result = played(graph(part), crossbar(SERIAL))
    assert any("poor use" in warning for warning in result.warnings)
    assert result.in_memory["layers"][0]["use"] == pytest.approx(32 * 9 * 4 / (3 * 128 * 128))


def test_times_of_bit_serial_reads_and_one_converter():
    """8 phases; 128 conversions of 1 ns outlast the 100 ns pulse unless fewer columns are in use; both add up without sample and hold."""
    matrix, layout = laid(gemm("fc", 5, 32, 128), SERIAL)
    assert pace_of(matrix, layout, machine(SERIAL)).interval == 8 * 128
    assert pace_of(matrix, layout, machine(SERIAL)).latency == 8 * 128 + 100
    narrow, part = laid(gemm("fc", 5, 8, 128), SERIAL)
    assert pace_of(narrow, part, machine(SERIAL)).interval == 8 * 100
    assert pace_of(matrix, layout, machine(SERIAL, pipelined=False)).interval == 8 * (128 + 100)
    assert pace_of(matrix, layout, machine(SERIAL, rows_per_read=64)).interval == 2 * 8 * 128


def test_times_of_pulse_widths_and_ramps():
    matrix, layout = laid(gemm("fc", 1, 128, 72, format="int5"), RAMP)
    assert pace_of(matrix, layout, machine(RAMP)).interval == 32 + 32
    assert pace_of(matrix, layout, machine(RAMP, adc__sharing=4)).interval == 32 + 4 * 32


def test_binary_inputs_take_one_phase():
    part = gemm("fc", 5, 32, 128)
    part[1]["x"] = replace(part[1]["x"], format=gemm("f", 1, 1, 1, format="int1")[1]["x"].format)
    matrix, layout = laid(part, SERIAL)
    assert pace_of(matrix, layout, machine(SERIAL)).interval == 128


def test_area_of_an_array():
    area = array_area(machine({**SERIAL, "cell_area": 1e-7, "adc.sharing": 8}))
    assert area["adc"] == pytest.approx(16 * 1e-3)
    assert area["cells"] == pytest.approx(128 * 128 * 1e-7)


def test_a_full_array_is_what_a_matrix_of_its_size_takes():
    chip = machine(SERIAL)
    layout, matrix = full_array(chip)
    _, same = laid(gemm("fc", 1, 32, 128), SERIAL)
    assert layout == same
    assert matrix.macs == 128 * 32


def test_bits_that_a_converter_needs():
    """128 rows of 2-bit cells and 1-bit phases sum to 384: 9 bits; ISAAC's encoding saves one."""
    assert bits_needed(machine(SERIAL), 128, 8) == 9
    assert bits_needed(machine(SERIAL, adc__saved_bits=1), 128, 8) == 8
    _, result = played(graph(gemm("fc", 5, 32, 128)), crossbar(SERIAL))
    assert any("need a converter of 9 bits, it has 8" in warning for warning in result.warnings)


def test_narrow_converters_are_told_once_with_the_widest_sum():
    """By hand: 128 rows sum to 384 (9 bits), 64 rows to 192 (8, enough), 100 rows to 300 (9): two operators of three in one line."""
    builder = GraphBuilder("net", "int8")
    builder.input("x", (4, 128))
    for name, k, n in (("a", 128, 64), ("b", 64, 100), ("c", 100, 32)):
        builder.weight(f"w{name}", (k, n))
        builder.gemm("x" if name == "a" else {"b": "a", "c": "b"}[name], f"w{name}", name, name=name)
    builder.output("c")
    _, result = played(builder.build(), crossbar(SERIAL))
    (line,) = [warning for warning in result.warnings if "converter" in warning]
    assert line.startswith("2 operators (a, c) on unit 'array'")
    assert line.endswith("the widest is a: sums of 128 rows need a converter of 9 bits, it has 8")


def test_a_ramp_that_gives_the_bits_of_the_result_is_not_too_narrow():
    linear = {name: value for name, value in RAMP.items() if name != "adc.functions"} | {"adc.type": "ramp"}
    _, same = played(graph(gemm("fc", 5, 16, 64, format="int5")), crossbar(linear))
    _, fewer = played(graph(gemm("fc", 5, 16, 64, format="int5")), crossbar(linear | {"adc.resolution": 4}))
    assert not any("converter" in warning for warning in same.warnings)
    assert any("fc: sums of 64 rows need a converter of" in warning for warning in fewer.warnings)


def test_weights_are_no_traffic_of_an_inference():
    mapped, result = played(graph(gemm("fc", 5, 16, 16)), crossbar())
    (operator,) = mapped.blocks[0].operators
    assert set(operator.reads) == {"x"}
    assert result.dram_bytes == result.compulsory_bytes == 5 * 16 + 5 * 16
    assert operator.macs == operator.executed_macs == 5 * 16 * 16


def test_copies_split_the_vectors():
    """16 x 16 weights in one array, 64 arrays: all 40 vectors at once."""
    _, result = played(graph(gemm("fc", 40, 16, 16)), crossbar())
    (row,) = result.in_memory["layers"]
    assert (row["copies"], row["cycles"]) == (40, 10)
    _mapped, result = played(graph(gemm("fc", 40, 16, 16)), crossbar(replicate="none"))
    (row,) = result.in_memory["layers"]
    assert (row["copies"], row["cycles"]) == (1, 400)
    assert result.in_memory["interval_s"] == pytest.approx(400e-9)


def repeated(count, shared):
    """``count`` rounds of a product of 16 x 16 weights, all with the same weights or each with its own."""
    body = GraphBuilder("body", "int8")
    body.input("h", (4, 16))
    body.weight("w", (16, 16))
    body.gemm("h", "w", "y")
    body.output("y")
    outer = GraphBuilder("net", "int8")
    outer.input("x", (4, 16))
    outer.tensor("z", (4, 16))
    inputs = {"h": "x"}
    if shared:
        outer.weight("w", (16, 16))
        inputs["w"] = "w"
    outer.add(Repeat("layers", body.build(), count, (("y", "h"),), ("w",) if shared else (), inputs, {"y": "z"}))
    outer.output("z")
    return outer.build()


def test_rounds_with_weights_of_their_own_take_arrays_of_their_own():
    _, own = played(repeated(5, shared=False), crossbar(replicate="none"))
    _, one = played(repeated(5, shared=True), crossbar(replicate="none"))
    assert (own.in_memory["used"], one.in_memory["used"]) == (5, 1)
    assert own.latency_s == one.latency_s
    assert own.in_memory["busiest_cycles"] * 5 == one.in_memory["busiest_cycles"] == 5 * 4 * 10


def test_weights_larger_than_the_chip_say_what_they_need():
    with pytest.raises(InfeasibleError, match=r"the weights take 16 arrays \(2 chips\), unit 'array' has 8") as caught:
        map_graph(graph(gemm("fc", 5, 64, 64)), crossbar(arrays=8))
    assert "chips=2" in (caught.value.hint or "")
    with pytest.raises(InfeasibleError, match=r"isaac\.yaml:[0-9]+:[0-9]+: the weights take"):
        map_graph(load_model("llama-2-7b", phase="decode", context=16, format="int16"), load_hardware("isaac"))


def test_weights_go_over_several_chips():
    """16 arrays on two chips of 8: the device is both of them, and half of the vectors' way crosses the board once."""
    mapped, result = played(graph(gemm("fc", 5, 64, 64)), crossbar(arrays=8, chips=4, chip_link="board"))
    found = result.in_memory
    assert (found["chips"], found["arrays"], found["used"], found["use"]) == (2, 16, 16, 1.0)
    assert mapped.hardware.primary.count == 16
    assert result.energy_by_component["board"] == pytest.approx(5 * 64 * 1e-11)
    assert result.busy["link:board"] == pytest.approx(5 * 64 / 1e9)


def test_weights_that_do_not_fit_are_written_in_passes():
    """16 arrays of weights on 4: four passes, each writes 16 rows and streams all vectors; weights come from off chip."""
    hardware = crossbar(arrays=4, reprogram=True, write__latency=1e-7, write__energy=1e-12)
    _mapped, result = played(graph(gemm("fc", 5, 64, 64)), hardware)
    assert result.dram_bytes == 5 * 64 + 64 * 64 + 5 * 64
    assert result.in_memory["written_bytes"] == 64 * 64
    assert result.energy_by_component["array.write"] == pytest.approx(64 * 64 * 1e-12)
    assert result.busy["compute:array"] == pytest.approx(4 * (16 * 100 + 5 * 10) * 1e-9)
    assert any("written to arrays during the run" in warning for warning in result.warnings)


def attention():
    builder = GraphBuilder("attention", "int8")
    for name in "qkv":
        builder.input(name, (1, 4, 16, 16))
    return builder


def test_computed_operands_run_digitally_or_are_written():
    builder = attention()
    builder.matmul("q", "k", "scores")
    builder.output("scores")
    net = builder.build()
    digital = map_graph(net, crossbar())
    assert digital.blocks[0].operators[0].unit == "vector"
    hardware = crossbar(dynamic="write", write__latency=1e-7, write__energy=1e-12)
    mapped, result = played(net, hardware)
    (operator,) = mapped.blocks[0].operators
    assert operator.unit == "array"
    assert result.energy_by_component["array.write"] == pytest.approx(4 * 16 * 16 * 1e-12)  # four heads of 16 x 16
    assert result.busy["compute:array"] == pytest.approx((16 * 100 + 16 * 10) * 1e-9)
    assert result.dram_bytes == 3 * 4 * 16 * 16  # both operands are loaded, the scores are stored


@pytest.mark.parametrize("latency", [0.0, 1e-7])
def test_an_operand_written_in_passes_comes_in_once(latency):
    """Four heads of 16 x 256 keys take 64 arrays of 16; q, 4 x 256 x 16 bytes, is no half of 16 KiB and streams in each of 4 passes."""
    builder = GraphBuilder("attention", "int8")
    builder.input("q", (1, 4, 256, 16))
    builder.input("k", (1, 4, 16, 256))
    builder.matmul("q", "k", "scores")
    builder.output("scores")
    hardware = crossbar(arrays=16, buffer=1 << 14, dynamic="write", write__latency=latency)
    mapped, result = played(builder.build(), hardware)
    (operator,) = mapped.blocks[0].operators
    (node,) = mapped.graph.nodes
    check_promises(operator, node, mapped.graph.tensors, "crossbar", mapped.hardware)
    assert result.dram_bytes == 4 * (4 * 256 * 16) + 4 * 16 * 256 + 4 * 256 * 256
    assert result.busy["compute:array"] == pytest.approx(4 * (16 * latency + 256 * 10e-9))


def test_formats_wider_than_cells_and_drivers_go_to_the_digital_unit():
    mapped = map_graph(graph(gemm("fc", 4, 4, 4, format="int16")), crossbar())
    assert mapped.blocks[0].operators[0].unit == "vector"
    with pytest.raises(UnsupportedError, match="arrays take integers of at most 8 bits times weights of 8; it has int16 times 16 bits"):
        map_graph(graph(gemm("fc", 4, 4, 4, format="int16")), crossbar(vector=False))


def test_a_single_vector_that_is_often_empty_costs_no_more_than_its_events():
    """One product per run takes its time whole; its joules go by how often there is anything to multiply."""
    operator, tensors = gemm("fc", 1, 16, 16)
    sparse = replace(operator, attributes={"event_density": 0.1, "active_share": 0.25})
    values = {**PLAIN, "read_voltage": 0.2, "conductance.off": 0.0, "conductance.on": 1e-4}
    _, full = played(graph((operator, tensors)), crossbar(values, replicate="none"))
    _, skipped = played(graph((sparse, tensors)), crossbar(values, replicate="none", skip_empty=True))
    assert skipped.energy_by_component["array.cells"] == pytest.approx(0.1 * full.energy_by_component["array.cells"])


def test_in_memory_comes_back_from_its_stored_form():
    _, result = played(graph(gemm("fc", 5, 16, 16)), crossbar())
    again = from_json(to_json(result))
    assert to_json(again) == to_json(result)
    assert again.in_memory["layers"][0]["name"] == "fc"


FAMILY = [name for name in list_hardware() if load_hardware(name).family == "crossbar"]
MODELS = [("resnet50", None), ("mobilenet-v2", None), ("bert-base", None), ("gpt2-small", "prefill"), ("lstm-ptb-medium", None)]


@pytest.mark.parametrize("name", FAMILY)
def test_the_mapper_keeps_its_promises_and_the_roofline_on_every_chip(name, monkeypatch):
    """Promises of every mapper, the bound of the roofline, energies that add up and use, over models and library."""
    monkeypatch.setattr("mappings.mapping.is_built_in", lambda kind: False)
    monkeypatch.setattr("mappings.mapping.check_promises", lambda *given: check_promises(*given))
    hardware = load_hardware(name)
    ran = 0
    for model, phase in (*MODELS, ("lstm-kws", None)):
        net = load_model(model, phase=phase, format=hardware.default_format, tokens=32 if phase else None)
        try:
            mapped = map_graph(net, hardware)
        except InfeasibleError:  # macros refuse what is larger than they are
            continue
        result = simulate(mapped, trivial_schedule(mapped), timeline=False)
        ran += 1
        assert result.roofline_s <= result.latency_s * (1 + 1e-9)
        assert sum(result.energy_by_component.values()) == pytest.approx(result.energy_j)
        assert sum(sum(row.energy_j.values()) for row in result.operators) == pytest.approx(
            result.energy_j - result.energy_by_component["static"]
        )
        found = result.in_memory
        assert 0.0 <= found["use"] <= 1.0
        assert found["used"] <= found["arrays"]
        assert all(0.0 < row["use"] <= 1.0 for row in found["layers"])
        assert found["interval_s"] <= result.latency_s * (1 + 1e-9)
    assert ran


def test_training_steps_do_not_hold_changing_weights():
    operator, tensors = gemm("fc", 5, 16, 16)
    mapped = map_graph(graph((replace(operator, attributes={"pass": "FF"}), tensors)), crossbar())
    assert mapped.blocks[0].operators[0].unit == "vector"
    assert any("its weights change during the run" in note for note in mapped.notes)


def test_endurance_says_how_many_runs_arrays_last():
    hardware = crossbar(arrays=4, reprogram=True, write__latency=1e-7, write__endurance=1e6)
    _, result = played(graph(gemm("fc", 5, 64, 64)), hardware)
    assert (result.in_memory["writes_per_run"], result.in_memory["runs_until_worn"]) == (4, 250_000)


def test_several_cores_are_refused():
    with pytest.raises(UnsupportedError, match="holds the weights of a whole graph, but the device has 2 cores"):
        map_graph(graph(gemm("fc", 4, 4, 4)), replace(crossbar(), cores=2, links={**crossbar().links, "noc": crossbar().links["board"]}))


def test_vectors_that_do_not_fit_the_buffer_come_again_for_each_pass():
    """16 arrays on 4 and a buffer of 1 KiB: 500 vectors of 64 bytes are streamed in each of four passes."""
    hardware = crossbar(arrays=4, reprogram=True, write__latency=1e-7, buffer=1024)
    mapped, result = played(graph(gemm("fc", 500, 64, 64)), hardware)
    (operator,) = mapped.blocks[0].operators
    check_promises(operator, *gemm("fc", 500, 64, 64), "crossbar", mapped.hardware)
    assert result.dram_bytes == 4 * 500 * 64 + 64 * 64 + 500 * 64
    assert result.busy["compute:array"] == pytest.approx(4 * (16 * 100 + 500 * 10) * 1e-9)


@pytest.mark.parametrize("arrays", [3, 5, 16, 40])
def test_passes_cover_the_weights_however_they_divide(arrays):
    """Written weights come in once each, whatever is left over; what fits is not written."""
    hardware = crossbar(arrays=arrays, reprogram=True, write__latency=1e-7)
    _, result = played(graph(gemm("fc", 5, 64, 64)), hardware)
    fits = arrays >= 16
    assert result.dram_bytes == 2 * 5 * 64 + (0 if fits else 64 * 64)
    passes = 1 if fits else -(-16 // arrays)
    assert result.latency_s >= passes * 5 * 10e-9 / (5 if fits else 1)
    assert result.in_memory["writes_per_run"] == (0 if fits else passes)


@pytest.mark.parametrize("name", ["isaac", "neurosim-rram", "dcim-22nm"])
@pytest.mark.parametrize("model", ["resnet50", "mobilenet-v2", "lstm-ptb-medium", "lstm-2x32"])
def test_layers_account_for_every_multiplication(name, model):
    """Rows x columns x groups x vectors x rounds of the matrices in arrays, copies or not, are the network's MACs."""
    hardware = load_hardware(name)
    _, result = played(load_model(model, format=hardware.default_format), hardware)
    rows = result.in_memory["layers"]
    assert sum(row["rows"] * row["columns"] * row["groups"] * row["products"] * row["rounds"] for row in rows) == result.macs
