"""Row-stationary arrays: cycles, words and cells by hand, the twin, laws, and the chip's own numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import product as combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.loading import load_hardware
from mappings import map_graph
from mappings.systolic.problem import products
from mappings.systolic.row_stationary import TilePasses, search_rows, windows_of
from mappings.systolic.setting import setting_of
from mappings.systolic.tiles import TileSearch, parameters_of
from simulator.kernels import row_stationary as kernel
from simulator.kernels import systolic_tiles as tiles_kernel
from tests.mappings.builders import conv, gemm, graph, systolic
from tests.mappings.test_systolic import array, check_graph, moved
from tests.naive.row_stationary import best_twin, cycles_twin, walk_cells
from tests.naive.systolic_tiles import score_twin
from workloads.single import single_operator

SIZES = ("filter.size", 24), ("ifmap.size", 6), ("psum.size", 16)
RATES = ("filter.bandwidth", 9e9), ("ifmap.bandwidth", 25e9), ("psum.bandwidth", 8e9)


def eyeriss_like(rows=4, columns=4, dataflow="row_stationary", scratchpad=64 * 1024, **more):
    """A small array of int8 cells; at 1 GHz the networks bring 9 filter words, 25 input words and 8 bytes of sums a cycle."""
    hardware = systolic(rows, columns, dataflow, scratchpad=scratchpad)
    registers = {f"registers.{name}": value for name, value in (*SIZES, *RATES, ("psum.width", 1))} | more
    unit = hardware.units["array"]
    return replace(hardware, units={**hardware.units, "array": replace(unit, parameters={**unit.parameters, **registers})})


def mapped(pair, hardware):
    return map_graph(graph(pair), hardware).blocks[0].operators[0]


def passes(layout, shape, whole, rates=(1e9, 1e9, 1e9)):
    """One tile of (images, rows, columns, filters, channels)."""
    shapes = {"m": (shape[:3],) * 2, "n": (shape[3:4],) * 2, "k": (shape[4:],) * 2}
    return TilePasses(layout, whole, rates, shapes, {"m": 1, "n": 1, "k": 1}, 1.0)


ONE = {"m": 1, "n": 1, "k": 1}


# -- by hand -------------------------------------------------------------------------------------------------------------------


def test_one_set_by_hand():
    # 5x5 image, 3x3 filter: 3 rows of 3 outputs on 3x3 cells, each 3 taps x 3 outputs; 9 filter words come in one cycle first,
    # the sums need 2 cycles up the column
    operator = mapped(conv("c", c=1, o=1, h=5, f=3), eyeriss_like())
    (alternative,) = operator.alternatives
    assert "9 cells at work" in alternative.name
    assert alternative.breakdown["array"] == 1 + 9 + 2
    assert moved(alternative) == {("x", "in"): 25, ("w", "in"): 9, ("y", "out"): 9}
    actions = alternative.actions
    assert actions["array.mac.int8"] == 81
    # buffer: 9 filter and 25 input words read for the cells, 9 results read to leave; 9 sums, 25 inputs and 9 filters written
    assert actions["scratchpad.read.byte"] == 9 + 25 + 9
    assert actions["scratchpad.write.byte"] == 9 + 25 + 9
    # networks: a filter row to 3 cells, 5 input words to each of 9 cells, 9 sums up 2 cells
    assert actions["array.network.byte"] == 9 * 3 + 9 * 5 + 9 * 2
    # registers: 4 accesses per multiplication, and what is delivered is written
    assert actions["array.register.byte"] == 4 * 81 + 9 * 3 + 9 * 5


def test_folding_of_wide_sets_into_strips_of_columns():
    # AlexNet's second layer on 12 x 14: a set of 5 x 27 lies as two strips of 14 and 13 columns on 10 of 12 rows
    whole = (12, 14, 1, 5, 5, 1, 1, 27, 1, 5, 27, 224, 12, 24)
    assert passes((27, 1, 1, 16, 2), (1, 27, 27, 16, 2), whole).active_cells == 135


def test_a_filter_of_more_rows_than_the_array_is_folded():
    # 5 tap rows on 4 array rows: two folds of 3 rows; sums leave and come back between them: 2 passes of 5 x 4 + 2 cycles
    whole = (4, 4, 1, 5, 5, 1, 1, 8, 1, 5, 8, 24, 6, 16)
    tile = passes((4, 1, 1, 1, 1), (1, 4, 4, 1, 1), whole)
    assert tile.cycles(ONE) == pytest.approx(2 * (5 * 4 + 2))
    assert tile.counts(ONE).sums_written == 2 * 16
    assert tile.active_cells == 12


def test_a_network_that_is_too_slow_sets_the_pace():
    # VGG-16's second layer with one channel per pass on Eyeriss: 16 filters x 13 rows x 224 sums at 4 words a cycle take longer than
    # 4 filters x 3 taps x 224 multiplications of a cell; 4 x 64 passes of 18 strips of 3 images, 144 filter words loaded at 4 a cycle
    whole = (12, 14, 1, 3, 3, 1, 1, 224, 1, 3, 224, 224, 12, 24)
    tile = passes((13, 1, 4, 4, 1), (3, 224, 224, 64, 64), whole, (4.0, 1.0, 4.0))
    assert tile.active_cells == 156
    assert tile.cycles(ONE) == 4 * 64 * (16 * 9 / 4 + 3 * 18 * (16 * 13 * 224 / 4 + 2))
    # 805 ms; the multiplications alone would take 178 ms on as many cells


def test_channels_on_other_sets_add_up_in_the_same_column():
    # two channel sets of 2 x 2 on 4 rows: one pass, sums climb 3 cells
    whole = (4, 2, 1, 2, 2, 1, 1, 3, 1, 2, 3, 24, 6, 16)
    tile = passes((2, 2, 1, 1, 1), (1, 2, 2, 1, 2), whole)
    assert tile.cycles(ONE) == pytest.approx(2 * 2 + 3)
    counts = tile.counts(ONE)
    assert (counts.sum_hops, counts.sums_written) == (4 * 3, 4)
    assert (counts.filter_reads, counts.ifmap_reads) == (8, 18)


def test_a_matrix_product_is_a_convolution_of_one_tap():
    product = products(*gemm("g", 12, 8, 16))[0]
    windows = windows_of(product)
    assert (windows.taps, windows.row, windows.column) == (1, "", "m")
    operator = mapped(gemm("g", 12, 8, 16), eyeriss_like())
    assert operator.unit == "array"
    # 16 cells, 12 x 8 x 16 multiplications: at least 96 cycles
    assert all(alternative.breakdown["array"] >= 96 for alternative in operator.alternatives)


def test_registers_that_hold_no_window_are_named():
    operator = mapped(conv("c", c=1, o=1, h=12, f=7), eyeriss_like())
    assert (operator.unit, operator.fell_back_from) == ("vector", "array")
    assert "needs 7 bytes of the cells' ifmap registers, which have 6" in operator.rejected[0].reason


def test_auto_takes_row_stationary_only_where_the_spec_has_registers():
    pair = conv("c", c=4, o=8, h=10, f=3, pad=1)
    plain = mapped(pair, systolic(4, 4, "auto"))
    both = mapped(pair, eyeriss_like(dataflow="auto"))
    assert not any("row-stationary" in alternative.name for alternative in plain.alternatives)
    names = [item.name for item in (*both.alternatives, *both.rejected)]
    assert any("row-stationary" in name for name in names)
    assert both.alternatives[0].cycles_estimate <= plain.alternatives[0].cycles_estimate * 1.05


LAYERS = {
    "conv1": ("conv:N4xC3xH227xW227,K96,R11,S4", 154),
    "conv2": ("conv:N4xC96xH27xW27,K256,R5,P2,G2", 135),
    "conv3": ("conv:N4xC256xH13xW13,K384,R3,P1", 156),
    "conv4": ("conv:N4xC384xH13xW13,K384,R3,P1,G2", 156),
    "conv5": ("conv:N4xC384xH13xW13,K256,R3,P1,G2", 156),
}


@pytest.mark.parametrize("name", list(LAYERS))
def test_cells_at_work_are_those_of_the_chip(name):
    """Table V of the JSSC paper: active cells of AlexNet's layers."""
    text, cells = LAYERS[name]
    operator = map_graph(single_operator(text, "int16"), load_hardware("eyeriss-v1")).blocks[0].operators[0]
    assert f"{cells} cells at work" in operator.alternatives[0].name


@pytest.mark.parametrize(("name", "published", "tolerance"), [("conv1", 18.5e6, 0.02), ("conv2", 77.6e6, 0.05)])
def test_words_between_buffer_and_cells_are_about_those_of_the_chip(name, published, tolerance):
    """Table V: buffer accesses. Of the other layers the search keeps more channels in a pass than the chip does, and moves fewer sums."""
    operator = map_graph(single_operator(LAYERS[name][0], "int16"), load_hardware("eyeriss-v1")).blocks[0].operators[0]
    best = operator.alternatives[0]
    with_cells = best.actions["buffer.read.byte"] + best.actions["buffer.write.byte"] - sum(moved(best).values())
    assert with_cells == pytest.approx(published, rel=tolerance)


def test_attention_is_two_products_and_a_softmax():
    operator = map_graph(single_operator("attention:b1,h2,q12,k16,d8", "int8"), eyeriss_like()).blocks[0].operators[0]
    assert operator.unit == "array"
    (alternative,) = operator.alternatives
    check_graph(alternative)
    assert alternative.actions["array.mac.int8"] == operator.macs == 2 * 2 * 12 * 16 * 8
    assert alternative.breakdown["array"] * 16 >= operator.macs
    # the scores leave and come back
    scores = [size for (name, way), size in moved(alternative).items() if way == "out" and size == 2 * 12 * 16]
    assert scores


# -- laws and the twin ---------------------------------------------------------------------------------------------------------

shapes = st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9), st.integers(1, 20), st.integers(1, 12))
machines = st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 2))
filters = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 2), st.integers(1, 2))


def whole_of(machine, window, shape, registers):
    tap_rows, taps, stride, dilation = window
    high = (shape[1] - 1) * stride + (tap_rows - 1) * dilation + 1
    span = (taps - 1) * dilation + 1
    room = (max(registers[0], taps), max(registers[1], span), registers[2])
    return (*machine, tap_rows, taps, stride, dilation, high, stride, span, (shape[2] - 1) * stride + span, *room)


@settings(max_examples=60)
@given(shapes, machines, filters, st.tuples(st.integers(1, 30), st.integers(1, 12), st.integers(1, 6)), st.sampled_from([1, 2, 4, 8]))
def test_the_kernel_lays_out_as_the_twin(shape, machine, window, registers, rate):
    whole = whole_of(machine, window, shape, registers)
    rates = (rate / 2, rate / 4, float(rate))  # powers of two: sums are exact in any order
    images, rows, width, count, channels = shape
    m = np.array([[2, images, rows, width, 1, images, 1, width]])
    n, k = np.array([[1, count, 0, 1]]), np.array([[3, channels, 1, 1]])
    layouts, cycles = kernel.layouts(m, n, k, np.array(whole), np.array(rates))
    best, layout = best_twin(images, rows, width, count, channels, whole, rates)
    assert tuple(layouts[0, 0, 0]) == layout
    last = cycles_twin(images, 1, width, count, channels, layout, whole, rates)
    edge = [cycles_twin(images, r, width, count, 1, layout, whole, rates) for r in (rows, 1)]
    assert cycles[0, 0, 0] == pytest.approx(2 * 3 * best + 3 * last + 2 * edge[0] + edge[1], rel=1e-12)
    tile = passes(layout, shape, whole, rates)
    assert tile.cycles(ONE) == pytest.approx(best, rel=1e-12)


@settings(max_examples=40)
@given(shapes, machines, st.integers(1, 4), st.integers(1, 3))
def test_cells_cover_every_multiplication_once_and_none_works_longer_than_the_cycles(shape, machine, tap_rows, taps):
    whole = whole_of((max(machine[0], tap_rows), machine[1], 1), (tap_rows, taps, 1, 1), shape, (24, 8, 4))
    cycles, layout = best_twin(*shape, whole, (1e9, 1e9, 1e9))
    cells, seen = walk_cells(*shape, layout, tap_rows, taps)
    images, rows, width, count, channels = shape
    assert set(seen.values()) == {1}
    assert len(seen) == images * rows * count * channels * tap_rows
    tile = passes(layout, shape, whole)
    assert len(cells) <= tile.active_cells <= whole[0] * whole[1]
    assert max(cells.values()) <= cycles
    assert sum(cells.values()) == images * rows * width * count * channels * tap_rows * taps


@settings(max_examples=40)
@given(
    st.fixed_dictionaries(
        {
            "c": st.integers(1, 9), "o": st.integers(1, 20), "h": st.integers(4, 14), "f": st.integers(1, 3),
            "stride": st.integers(1, 2), "pad": st.integers(0, 1), "batch": st.integers(1, 3),
        }
    ),
    st.integers(300, 3000),
)  # fmt: skip
def test_tiles_of_all_sizes_multiply_every_point_once(sizes, room):
    """Full and last tiles together: the cells' multiplications are those of the nest, and the sums leave once per output and turn."""
    pair = conv("c", **sizes)
    (product,) = products(*pair)
    hardware = eyeriss_like(scratchpad=room)
    setting = setting_of(hardware.primary, hardware, "int8")
    fitting, failing = search_rows(product, setting.array, setting.registers, TileSearch(), 1.0)
    for choice in (*fitting, *failing):
        variants = [[(choice.split[g].outer * n, size) for n, size in choice.split[g].variants()] for g in "mnk"]
        total = outputs = cycles = 0
        for (m_count, m), (n_count, n), (k_count, k) in combinations(*variants):
            count = product.batch * m_count * n_count * k_count
            tile = choice.passes.counts({"m": m, "n": n, "k": k})
            total += count * tile.sum_registers / 2
            outputs += count * tile.sums_written
            cycles += count * choice.passes.cycles({"m": m, "n": n, "k": k})
        assert total == pair[0].macs
        assert outputs >= product.batch * product.size("m") * product.size("n")
        assert choice.cycles == pytest.approx(cycles)


def test_scores_of_given_cycles_equal_the_twin():
    (product,) = products(*conv("c", c=6, o=9, h=9, f=3))
    machine = array(1, 4, {"all": 900})
    search = TileSearch()
    tables = [search.table(product, g, search.candidates(product, g, (9, 3)), machine) for g in "mnk"]
    parameters = parameters_of(product, machine)
    row = np.zeros(16)
    for order, m, n, k in combinations(range(3), *tables):
        tiles_kernel._score(tiles_kernel.ROW_STATIONARY, order, np.array(m), np.array(n), np.array(k), np.array(parameters), 1234.5, row)
        twin = score_twin(3, order, m, n, k, parameters, 1234.5)
        assert tuple(row[:5]) == tuple(float(item) for item in twin[:5])
        assert row[tiles_kernel.RANK] == twin[5]


@settings(max_examples=25)
@given(
    st.fixed_dictionaries(
        {
            "c": st.integers(1, 6), "o": st.integers(1, 9), "h": st.integers(4, 12), "f": st.integers(1, 3),
            "stride": st.integers(1, 2), "pad": st.integers(0, 1), "batch": st.integers(1, 2),
        }
    ),
    st.integers(600, 8000),
)  # fmt: skip
def test_mapped_convolutions_keep_the_laws(sizes, scratchpad):
    operator = mapped(conv("c", **sizes), eyeriss_like(scratchpad=scratchpad))
    if operator.unit != "array":
        return
    for alternative in operator.alternatives:
        check_graph(alternative)
        total = moved(alternative)
        assert all(total[name, "in"] >= size for name, size in operator.reads.items())
        assert total["y", "out"] >= operator.writes["y"]
        cycles = sum(stage.cycles for stage in alternative.stages if stage.unit == "array")
        assert cycles == alternative.breakdown["array"]
        assert cycles * 16 >= operator.macs
        assert alternative.working_set_bytes <= scratchpad
        assert alternative.actions["array.mac.int8"] == operator.macs
        assert alternative.actions["scratchpad.read.byte"] >= sum(operator.reads.values()) - sizes["batch"] * sizes["c"] * sizes["h"] ** 2
