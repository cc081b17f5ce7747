"""Systolic mapping: hand-derived traffic, laws, and agreement with an oracle that walks every tile."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import UnsupportedError
from hwspecs.vocabulary.sparsity import parse_sparsity
from mappings import map_graph
from mappings.registry import Unmappable
from mappings.systolic import SystolicMapper
from mappings.systolic.folds import FLOWS, OUTPUT, WEIGHT, fold_cycles
from mappings.systolic.problem import products
from mappings.systolic.tiles import ORDERS, Array, TileSearch, _edge, choice_of, parameters_of
from simulator.kernels import systolic_tiles as kernel
from tests.mappings.builders import axis, conv, elementwise, gemm, graph, operand, softmax, systolic, tensor
from tests.naive.systolic_tiles import score_twin, walk
from workloads.graph import Nest, Operator, Role

BIG = 1 << 40


def array(rows=4, columns=4, buffers=None, *, double=True, rate=16.0, count=1):
    return Array(rows, columns, count, 1.0, buffers or {"all": BIG}, double, rate)


def best(pair, flow=OUTPUT, **rest):
    (product,) = products(*pair)
    fitting, _ = TileSearch().search(product, [FLOWS[flow]], array(**rest))
    return product, fitting


def mapped(pair, hardware):
    return map_graph(graph(pair), hardware).blocks[0].operators[0]


def least(operator):
    """The alternative that moves least."""
    return min(operator.alternatives, key=lambda alternative: sum(moved(alternative).values()))


def moved(alternative):
    """Bytes by (tensor, direction) over all firings."""
    total = {}
    for stage in alternative.stages:
        for segment in stage.segments:
            for move in segment.transfers:
                key = (move.tensor, "in" if move.source == "dram" else "out")
                total[key] = total.get(key, 0) + segment.repeat * move.bytes
    return total


# -- traffic and cycles by hand ------------------------------------------------------------------------------------------------


def test_gemm_that_fits_moves_each_operand_once():
    operator = mapped(gemm("g", 8, 8, 16), systolic(8, 8, scratchpad=64 * 1024))
    assert moved(operator.alternatives[0]) == {("x", "in"): 8 * 16, ("w", "in"): 16 * 8, ("y", "out"): 64}
    assert operator.alternatives[0].breakdown["array"] == 16 + 8 + 8 - 2


def test_gemm_with_room_for_one_column_of_weights_loads_the_input_once_per_column_tile():
    # m = 64 fits no buffer whole with k = 64; only 8-row tiles of x and 8-column tiles of w do: 2 x 8 x 64 = 1024 bytes each
    pair = gemm("g", 64, 32, 64)
    _, fitting = best(pair, rows=8, columns=8, buffers={"ifmap": 1024, "filter": 1024, "ofmap": 1024}, rate=1e9)
    fewest = min(fitting, key=lambda choice: choice.bytes)
    # either x once (4096) and w once per row tile (8 x 2048), or w once (2048) and x once per column tile (4 x 4096)
    assert fewest.moved == {"a": 4 * 4096, "b": 2048, "out": 2048, "spill": 0}
    assert fewest.order == ("n", "k", "m")


def test_gemm_whose_weights_must_leave_spills_nothing_when_k_runs_innermost():
    # 16 x 16 x 4096 on 4 x 4 with tiny buffers: whole k never fits, so k is cut and streams; x is read once per column tile
    pair = gemm("g", 16, 16, 4096)
    _, fitting = best(pair, buffers={"ifmap": 512, "filter": 512, "ofmap": 512}, rate=1.0)
    fewest = min(fitting, key=lambda choice: choice.bytes)
    m_tiles, n_tiles = (fewest.split[group].count for group in "mn")
    assert fewest.split["k"].count > 1
    assert fewest.moved["a"] == 16 * 4096 * (n_tiles if fewest.order[2] != "n" else 1)
    assert fewest.moved["b"] == 4096 * 16 * (m_tiles if fewest.order[2] != "m" else 1)


def test_padded_convolution_loads_the_overlap_of_row_tiles_and_no_padding():
    # 8x8 image, 3x3 window, pad 1: tiles of 2 output rows span 4 input rows, the first and the last one row less: 3+4+4+3 = 14
    pair = conv("c", c=4, o=4, h=8, f=3, pad=1)
    (product,) = products(*pair)
    search = TileSearch()
    part = product.a.parts["m"]
    rows = next(split for split in search.candidates(product, "m", (16, 16)) if split.tiles["p"] == 2)
    assert part.touched([rows]) == [(4 * 8, 14 * 8)]
    assert rows.size == 16
    # one row at a time: 2 + 6 x 3 + 2 rows
    single = next(split for split in search.candidates(product, "m", (8, 8)) if split.tiles["p"] == 1)
    assert part.touched([single])[0][1] == (2 + 6 * 3 + 2) * 8


def test_strided_convolution_as_matrix_product():
    # 7x7/2 over 32x32 with pad 3: 16x16 outputs; 4x4 array, output-stationary: 64 x 4 folds of 7*7*3 + 6 cycles
    operator = mapped(conv("c", c=3, o=16, h=32, f=7, stride=2, pad=3), systolic(4, 4, scratchpad=1 << 20))
    assert min(a.breakdown["array"] for a in operator.alternatives) == 64 * 4 * (147 + 4 + 4 - 2)
    assert operator.macs == 16 * 16 * 16 * 147


def test_depthwise_convolution_takes_one_channel_per_fold():
    # 6 channels of 5x5, 3x3 window, no padding: 9 outputs per channel on 4 rows: 3 folds, one column used
    operator = mapped(conv("d", c=6, o=6, h=5, f=3, groups=6), systolic(4, 4, scratchpad=1 << 16))
    best_one = least(operator)
    assert best_one.breakdown["array"] == 6 * 3 * (9 + 4 + 4 - 2)
    assert moved(best_one) == {("x", "in"): 150, ("w", "in"): 54, ("y", "out"): 54}
    assert sum(stage.firings for stage in best_one.stages if stage.unit == "array") == 6


def test_weight_stationary_holds_partial_sums_in_four_bytes():
    (product,) = products(*gemm("g", 64, 4, 64))
    options = list(every_choice(product, FLOWS[WEIGHT], array()))
    whole = next(choice for choice in options if all(split.count == 1 for split in choice.split.values()))
    assert whole.needs["ofmap"] == 64 * 4 * 4


def test_copies_share_the_folds_of_a_tile():
    (product,) = products(*gemm("g", 16, 16, 32))
    one, _ = TileSearch().search(product, [FLOWS[OUTPUT]], array(rate=1e9))
    four, _ = TileSearch().search(product, [FLOWS[OUTPUT]], array(rate=1e9, count=4))
    assert min(c.cycles for c in one) == 16 * (32 + 6)
    assert min(c.cycles for c in four) == 4 * (32 + 6)


def test_spilled_partial_sums_are_written_and_read_back():
    # few rows and columns but a long k, and a vast result: keep looking until a spilling candidate exists, then play it by hand
    pair = gemm("g", 40, 40, 64)
    (product,) = products(*pair)
    machine = array(rows=8, columns=8)
    choice = next(item for item in every_choice(product, FLOWS[WEIGHT], machine) if item.moved["spill"])
    nest = product.nest
    counted = walk(nest, [(40, 64), (64, 40), (40, 40)], {g: product.dims[g] for g in "mnk"}, [], choice, 8, 8)
    assert (counted["spill"], counted["back"]) == (choice.moved["spill"], choice.moved["spill"])


# -- what is handed on, and refused --------------------------------------------------------------------------------------------


def test_smallest_tile_that_does_not_fit_names_the_excess():
    answer = SystolicMapper().map(*gemm("g", 64, 64, 64), systolic(8, 8, scratchpad=4).primary, systolic(8, 8, scratchpad=4))
    assert isinstance(answer, Unmappable)
    # one product: its two operands, double-buffered, take these four bytes, and the result is to come
    assert "bytes more than the scratchpad of 4 bytes" in answer.reason


@pytest.mark.parametrize("dataflow", ["output_stationary", "weight_stationary", "input_stationary", "auto"])
def test_a_scratchpad_too_small_for_a_full_fold_leaves_a_part_of_the_array_idle(dataflow):
    # a fold of 8 x 8 sums takes 256 bytes, that many weights or inputs 64: 100 bytes hold less of them, double-buffered, with what streams
    operator = mapped(gemm("g", 64, 64, 64), systolic(8, 8, dataflow, scratchpad=100))
    assert (operator.unit, operator.fell_back_from) == ("array", None)
    for alternative in operator.alternatives:
        check_graph(alternative)
        assert alternative.working_set_bytes <= 100
        assert alternative.breakdown["array"] > 64 * 64 * 64 / 64
    # where a full fold fits, these tiles are not looked at
    roomy = mapped(gemm("g", 64, 64, 64), systolic(8, 8, dataflow, scratchpad=1 << 12))
    assert min(item.breakdown["array"] for item in roomy.alternatives) < min(item.breakdown["array"] for item in operator.alternatives)


def test_without_fallback_the_error_names_the_operator_and_the_excess():
    with pytest.raises(UnsupportedError, match=r"g: no unit .*smallest tile .* needs \d+ bytes more than"):
        map_graph(graph(gemm("g", 64, 64, 64)), systolic(8, 8, scratchpad=4, vector=False))


def test_format_without_rate_goes_to_the_vector_unit():
    operator = mapped(gemm("g", 16, 16, 16, format="fp32"), systolic(8, 8))
    assert (operator.unit, operator.fell_back_from) == ("vector", "array")
    assert "no rate for fp32" in operator.rejected[0].reason
    # a multiply-accumulate is two operations on 16 lanes
    assert operator.alternatives[0].breakdown["vector"] == 2 * 16**3 / 16


def test_narrow_weights_compute_in_the_format_of_the_activations_but_move_less():
    operator = mapped(gemm("g", 16, 16, 32, format="fp16", weights="int4"), systolic(8, 8))
    assert operator.compute_format == "fp16"
    assert moved(least(operator))["w", "in"] == 16 * 32 // 2
    assert mapped(gemm("g", 8, 8, 8, format="int4"), systolic(8, 8)).compute_format == "int8"


def test_sparse_weights_move_fewer_bytes_and_skip_nothing():
    operator, tensors = gemm("g", 16, 16, 32)
    dense = mapped((operator, tensors), systolic(8, 8))
    tensors = {**tensors, "w": replace(tensors["w"], sparsity=parse_sparsity("2:4"))}
    sparse = mapped((operator, tensors), systolic(8, 8))
    assert sparse.alternatives[0].breakdown["array"] == dense.alternatives[0].breakdown["array"]
    assert moved(least(sparse))["w", "in"] == tensors["w"].stored_bytes < 512
    assert "2:4" in sparse.alternatives[0].notes[0]


def test_operators_without_a_product_fall_back():
    for pair in (elementwise("e", "x", "y", 8, 8, format="fp16"), softmax("s", "x", "y", 8, 8)):
        operator = mapped(pair, systolic(8, 8))
        assert (operator.unit, operator.fell_back_from) == ("vector", "array")


def test_slow_format_stretches_every_fold():
    hardware = systolic(8, 8)
    rates = {("int8", "dense"): 128e9, ("fp16", "dense"): 32e9}
    slow = replace(hardware, units={**hardware.units, "array": replace(hardware.units["array"], rates=rates)})
    cycles = mapped(gemm("g", 8, 8, 16, format="fp16"), slow).alternatives[0].breakdown["array"]
    assert cycles == 4 * (16 + 8 + 8 - 2)


# -- epilogues, prologues, several products ------------------------------------------------------------------------------------


def fused(m=16, n=16, k=16, functions=("add", "relu")):
    """A gemm with a residual added and an activation, as one operator."""
    operator, tensors = gemm("g", m, n, k, y="t0")
    internal = {"t0": tensors.pop("t0")}
    nests = list(operator.nests)
    inputs = list(operator.inputs)
    for place, function in enumerate(functions):
        last = place == len(functions) - 1
        out = "y" if last else f"t{place + 1}"
        reads = [operand(f"t{place}", "m", "n")]
        if function == "add":
            reads.append(operand("r", "m", "n"))
            inputs.append("r")
            tensors["r"] = tensor("r", m, n)
        nests.append(Nest((("m", m), ("n", n)), function, tuple(reads), (operand(out, "m", "n"),), 1))
        (tensors if last else internal)[out] = tensor(out, m, n)
    return replace(operator, inputs=tuple(inputs), outputs=("y",), nests=tuple(nests), internal=internal), tensors


def test_fused_epilogue_runs_on_the_vector_unit_as_a_stage():
    operator = mapped(fused(), systolic(8, 8))
    for alternative in operator.alternatives:
        stages = {stage.name: stage for stage in alternative.stages}
        assert stages["epilogue"].unit == "vector"
        assert stages["epilogue"].cycles == 2 * 256 // 16
        assert moved(alternative)["r", "in"] == 256
        assert moved(alternative)["y", "out"] == 256
        assert not any(name.startswith("t") for name, _ in moved(alternative))


def test_epilogue_without_vector_unit_runs_at_the_foot_of_the_columns():
    operator = mapped(fused(), systolic(8, 8, vector=False))
    stage = next(stage for stage in operator.alternatives[0].stages if stage.name == "epilogue")
    assert (stage.unit, stage.cycles) == ("array", 2 * 256 // 8)


def test_prologue_charges_each_load():
    operator, tensors = gemm("g", 16, 16, 16, w="wide")
    internal = {"wide": replace(tensors.pop("wide"), role=Role.ACTIVATION)}
    tensors["w"] = tensor("w", 16, 16, format="int4", role=Role.WEIGHT)
    widen = Nest((("k", 16), ("n", 16)), "dequantize", (operand("w", "k", "n"),), (operand("wide", "k", "n"),), 2)
    operator = replace(operator, inputs=("x", "w"), nests=(widen, *operator.nests), internal=internal)
    result = mapped((operator, tensors), systolic(8, 8))
    for alternative in result.alternatives:
        stages = {stage.name: stage for stage in alternative.stages}
        loaded = moved(alternative)["w", "in"]
        assert stages["make filter"].cycles >= 2 * 256 // 16 * loaded // 128
        assert not any(name == "wide" for name, _ in moved(alternative))


def test_two_products_of_experts_run_one_after_the_other():
    def part(first, rows, start):
        dims = {"e": 2, "m": rows, "n": 8, "k": 8}
        row = axis(("e", rows), "m", offset=start)
        reads = (operand("x", row, "k"), operand("w", axis("e", offset=first), "n", "k"))
        return Nest(tuple(dims.items()), "mac", reads, (operand("y", row, "n"),))

    tensors = {"x": tensor("x", 10, 8), "w": tensor("w", 8, 8, 8, role=Role.WEIGHT), "y": tensor("y", 10, 8)}
    operator = Operator("experts", "gemm", ("x", "w"), ("y",), (part(0, 3, 0), part(2, 2, 6)), read_bytes={"w": 4 * 64})
    (alternative,) = mapped((operator, tensors), systolic(8, 8)).alternatives
    assert moved(alternative) == {("x", "in"): 80, ("w", "in"): 256, ("y", "out"): 80}
    assert any(edge.produced == edge.consumed == 0 for edge in alternative.edges)


# -- laws ----------------------------------------------------------------------------------------------------------------------


def every_choice(product, flow, machine):
    """All candidates of one dataflow, fitting or not."""
    search = TileSearch()
    cuts = [search.candidates(product, group, _edge(group, flow, machine)) for group in "mnk"]
    tables = [np.array(search.table(product, g, cut, machine)) for g, cut in zip("mnk", cuts, strict=True)]
    parameters = np.array(parameters_of(product, machine))
    row = np.zeros(16)
    for number in range(3 * len(cuts[0]) * len(cuts[1]) * len(cuts[2])):
        order, rest = divmod(number, len(cuts[0]) * len(cuts[1]) * len(cuts[2]))
        i, rest = divmod(rest, len(cuts[1]) * len(cuts[2]))
        j, h = divmod(rest, len(cuts[2]))
        kernel._score(list(FLOWS).index(flow.name), order, tables[0][i], tables[1][j], tables[2][h], parameters, 0.0, row)
        if np.isfinite(row[kernel.EXCESS]):
            yield choice_of(flow, tuple(cuts), number, row.tolist(), machine)


SMALL = st.integers(1, 40)
shapes = st.tuples(SMALL, SMALL, SMALL)
arrays = st.tuples(st.integers(1, 9), st.integers(1, 9))
convolutions = st.fixed_dictionaries(
    {
        "c": st.integers(1, 5), "o": st.integers(1, 6), "h": st.integers(3, 12), "f": st.integers(1, 3),
        "stride": st.integers(1, 3), "pad": st.integers(0, 2), "batch": st.integers(1, 2),
    }
)  # fmt: skip


@settings(max_examples=25)
@given(shapes, arrays, st.sampled_from(list(FLOWS)), st.data())
def test_every_gemm_tiling_counts_what_the_walk_counts(shape, size, flow, data):
    m, n, k = shape
    pair = gemm("g", m, n, k)
    (product,) = products(*pair)
    machine = array(*size)
    options = list(every_choice(product, FLOWS[flow], machine))
    choice = data.draw(st.sampled_from(options))
    counted = walk(product.nest, [(m, k), (k, n), (m, n)], product.dims, [], choice, *size)
    assert counted["macs"] == m * n * k
    assert {key: counted[key] for key in ("a", "b", "out", "spill")} == dict(choice.moved)
    assert counted["back"] == counted["spill"]
    if choice.streamed:
        ramps = choice.split["k"].count - 1
        assert choice.cycles == counted["cycles"] - ramps * (size[0] + size[1] - 2) * choice.split["m"].count * choice.split["n"].count
    else:
        assert choice.cycles == counted["cycles"]


@settings(max_examples=25)
@given(convolutions, arrays, st.sampled_from(list(FLOWS)), st.data())
def test_every_convolution_tiling_counts_what_the_walk_counts(sizes, size, flow, data):
    pair = conv("c", **sizes)
    (product,) = products(*pair)
    choice = data.draw(st.sampled_from(list(every_choice(product, FLOWS[flow], array(*size)))))
    tensors = pair[1]
    batch = [(name, extent) for name, extent in product.nest.dims if name == "g"]
    counted = walk(product.nest, [tensors[name].shape for name in "xwy"], product.dims, batch, choice, *size)
    assert counted["macs"] == pair[0].macs
    again = choice.split["n"].count if choice.moved["a"] > max(product.a.least_bytes, 0) and counted["a"] else 1
    assert choice.moved["a"] == max(counted["a"], product.a.least_bytes) or choice.moved["a"] == product.a.least_bytes * again
    assert (choice.moved["b"], choice.moved["spill"]) == (counted["b"], counted["spill"])
    assert choice.moved["out"] == counted["out"]


@settings(max_examples=40)
@given(shapes, arrays, st.sampled_from(["output_stationary", "weight_stationary", "input_stationary", "auto"]), st.integers(200, 6000))
def test_mapped_operators_keep_the_laws(shape, size, dataflow, scratchpad):
    hardware = systolic(*size, dataflow, scratchpad=scratchpad)
    operator, tensors = gemm("g", *shape)
    answer = SystolicMapper().map(operator, tensors, hardware.primary, hardware)
    if isinstance(answer, Unmappable):
        return
    rows, columns = size
    for alternative in answer.alternatives:
        check_graph(alternative)
        total = moved(alternative)
        for name, bytes_ in answer.reads.items():
            assert total[name, "in"] >= bytes_
        assert total["y", "out"] >= answer.writes["y"]
        assert total.get(("partial sums", "in"), 0) == total.get(("partial sums", "out"), 0)
        cycles = sum(stage.cycles for stage in alternative.stages if stage.unit == "array")
        assert cycles == alternative.breakdown["array"]
        assert cycles * rows * columns >= operator.macs
        assert alternative.working_set_bytes <= scratchpad
        least = min(fold_cycles(flow, *shape, rows, columns) for flow in FLOWS.values())
        assert cycles >= least or dataflow == "auto"
        assert alternative.cycles_estimate >= cycles


def check_graph(alternative):
    """Tokens add up along every edge, and no firing needs more places than its edge has."""
    firings = {stage.name: stage.firings for stage in alternative.stages}
    assert len(firings) == len(alternative.stages)
    for edge in alternative.edges:
        if edge.produced == edge.consumed == 0:
            continue
        assert firings[edge.source] * edge.produced == firings[edge.target] * edge.consumed
        if edge.capacity:
            assert edge.capacity >= max(edge.produced, edge.consumed)


@settings(max_examples=25)
@given(shapes, arrays, st.sampled_from(list(FLOWS)), st.integers(150, 4000), st.integers(0, 4000))
def test_a_larger_scratchpad_never_makes_the_best_worse(shape, size, flow, room, more):
    pair = gemm("g", *shape)
    _, small = best(pair, flow, rows=size[0], columns=size[1], buffers={"all": room})
    _, large = best(pair, flow, rows=size[0], columns=size[1], buffers={"all": room + more})
    if small:
        assert large
        assert large[0].rank <= small[0].rank
        assert min(c.bytes for c in large) <= min(c.bytes for c in small)


@settings(max_examples=25)
@given(shapes, arrays, st.integers(150, 4000), st.booleans(), st.sampled_from([1, 3]))
def test_the_kernel_picks_what_the_twin_scores_best(shape, size, room, double, count):
    (product,) = products(*gemm("g", *shape))
    machine = array(*size, {"all": room}, double=double, count=count)
    search = TileSearch()
    for number, flow in enumerate(FLOWS.values()):
        cuts = [search.candidates(product, g, _edge(g, flow, machine)) for g in "mnk"]
        tables = [search.table(product, g, cut, machine) for g, cut in zip("mnk", cuts, strict=True)]
        parameters = parameters_of(product, machine)
        scores = [
            score_twin(number, order, m, n, k, parameters)
            for order in range(len(ORDERS)) for m in tables[0] for n in tables[1] for k in tables[2]
        ]  # fmt: skip
        picked, rows = kernel.search(number, *(np.array(table) for table in tables), np.array(parameters), np.empty((0, 0, 0)))
        fitting = [index for index, score in enumerate(scores) if score[3] <= 0]
        if not fitting:
            assert picked[0] == -1
            assert scores[picked[3]][3] == min(score[3] for score in scores)
            continue
        assert picked[0] == min(fitting, key=lambda index: (scores[index][5], scores[index][1], scores[index][2]))
        assert picked[1] == min(fitting, key=lambda index: (scores[index][1], scores[index][0], scores[index][2]))
        for place in (0, 1, 2):
            assert tuple(rows[place][:5]) == tuple(float(item) for item in scores[picked[place]][:5])


def test_firings_stay_bounded_for_a_large_product():
    operator = mapped(gemm("g", 4096, 4096, 4096), systolic(16, 16, scratchpad=32 * 1024))
    assert max(stage.firings for alternative in operator.alternatives for stage in alternative.stages) <= 200_000
    assert max(len(stage.segments) for alternative in operator.alternatives for stage in alternative.stages) <= 64


def test_energy_actions_add_up():
    hardware = systolic(8, 8)
    operator = mapped(gemm("g", 16, 16, 16), hardware)
    actions = operator.alternatives[0].actions
    assert actions["array.mac.int8"] == 16**3
    folded = ceil(16 / 8)
    assert actions["scratchpad.read.byte"] >= 2 * 16 * 16 * folded
    assert set(actions) == {"array.mac.int8", "scratchpad.read.byte", "scratchpad.write.byte"}


def test_a_weight_stationary_tile_streams_a_short_run_where_the_scratchpad_has_no_room_for_more():
    """128x128 sums of 32 bits double-buffered are 128 KiB: in 64 KiB of ofmap a run of 16 to 64 rows fits, and the array is used."""
    import cyclewright as cw

    sizes = ["scratchpad.ifmap.size=64 KiB", "scratchpad.filter.size=64 KiB", "scratchpad.ofmap.size=64 KiB"]
    for dataflow in ("ws", "is", "os"):
        found = cw.run(
            "gemm:196x192x384", "systolic-array", overrides=["array.rows=128", "array.columns=128", f"array.dataflow={dataflow}", *sizes]
        )
        assert found.operators[0].unit == "array", dataflow


def test_sums_of_a_tile_that_the_array_holds_stay_in_its_cells():
    """Output-stationary, one 4x4 tile on a 4x4 array, k = 64: the int8 result needs 16 bytes of ofmap, whatever k is cut into."""
    (product,) = products(*gemm("g", 4, 4, 64))
    machine = array(4, 4, {"ifmap": 64, "filter": 64, "ofmap": 16}, double=True)
    fitting, _ = TileSearch().search(product, (FLOWS["output_stationary"],), machine)
    assert fitting
    assert fitting[0].split["k"].count > 1
    assert fitting[0].cycles == 64 + 4 + 4 - 2
