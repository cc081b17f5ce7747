"""Counts derived by hand, and laws that hold for every layer."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.systolic.folds import FLOWS, fold_cycles
from mappings.systolic.folds import sram_counts as honest_counts
from simulator.accounting import Array, Layer, count_layer
from simulator.accounting.scalesim import ifmap_words, sram_counts, utilisation
from tests.naive import scalesim as naive

LONG = {"os": "output_stationary", "ws": "weight_stationary", "is": "input_stationary"}
BIG = (1 << 20, 1 << 20, 1 << 20)


def test_the_smallest_layer():
    """One multiply on one cell: os takes one line, ws and is one to load, one to multiply, one for the output to leave: 1 + 2 + 1 - 2."""
    for dataflow, lines, writes in (("os", 1, 1 + 2), ("ws", 2, 1), ("is", 2, 1)):
        counts = count_layer(Layer.gemm(1, 1, 1), Array(1, 1, dataflow, BIG))
        assert (counts.demand_lines, counts.total_cycles, counts.sram_ofmap_writes) == (lines, lines - 1, writes)
        assert (counts.dram_ifmap_reads, counts.dram_filter_reads, counts.dram_ofmap_writes) == (1, 1, 1)


def test_a_4x4_product_on_a_4x4_array():
    """SCALE-Sim issue 125: K + R + C - 2 = 4 + 4 + 4 - 2 = 10 lines, reported as 9."""
    counts = count_layer(Layer.gemm(4, 4, 4), Array(4, 4, "os", BIG))
    assert (counts.demand_lines, counts.total_cycles) == (10, 9)


def test_output_size_counts_windows_over_the_edge():
    layer = Layer(8, 5, 3, 2, 1, 1, (2, 2))
    assert layer.output == (ceil((8 - 3 + 2) / 2), ceil((5 - 2 + 2) / 2)) == (4, 3)
    assert ifmap_words(layer) == 8 * 5


def test_input_words_between_windows_are_not_counted():
    """Windows of 2 every 5 columns of 12 (one row): 0-1, 5-6, 10-11; the third output sees 10 and 11 too. Six columns, two channels."""
    layer = Layer(1, 12, 1, 2, 2, 1, (1, 5))
    assert layer.output == (1, 3)
    assert ifmap_words(layer) == 6 * 2


def test_the_read_buffer_is_thrown_away_when_full():
    """1 KiB: 50 sets of 10 words hold 500. 600 inputs under two column folds: each pass misses all 600 words."""
    counts = count_layer(Layer.gemm(6, 8, 100), Array(8, 4, "os", (1024, 1024, 1024)))
    assert counts.dram_ifmap_reads == 2 * 600


def test_one_word_less_is_kept():
    """499 words never fill the buffer and are fetched once; 500 fill it with the last word, so that the second pass starts empty."""
    array = Array(512, 1, "os", (1024, 1 << 20, 1 << 20))
    assert count_layer(Layer.gemm(499, 2, 1), array).dram_ifmap_reads == 499
    assert count_layer(Layer.gemm(500, 2, 1), array).dram_ifmap_reads == 1000


def test_given_bandwidth_counts_a_stall_twice():
    """8 x 100 inputs on 8 x 1 cells, 1 KiB filled at one word per cycle.

    Sets of 11 words: the first half holds 47 of them, 517 words. Line l asks for anti-diagonal l: 1, 2, ... 7 words, then 8 each, so that
    the 518th word is the second one of line 7 + floor((517 - 28) / 8) = 68. The next 512 words have arrived at -1 + 512 + 1 = 512, 443
    cycles after line 68 and its cycle of hit latency. SCALE-Sim adds 443 twice. All 73 sets are at hand then.
    """
    layer, array = Layer.gemm(8, 1, 100), Array(8, 1, "os", (1024, 1 << 20, 1 << 20), (1, 10, 10))
    counts = count_layer(layer, array)
    assert counts.demand_lines == 100 + 8 + 1 - 2 == 107
    assert counts.stall_cycles == 2 * (512 - (68 + 1)) == 886
    assert counts.total_cycles == 107 - 1 + 886
    assert counts.dram_ifmap_reads == 512 + 512


@settings(max_examples=60)
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(1, 12), st.sampled_from(("os", "ws", "is"))
)
def test_lines_and_scratchpad_words_are_those_of_the_demand_matrices(m, n, k, rows, columns, dataflow):
    layer, array = Layer.gemm(m, n, k), Array(rows, columns, dataflow, BIG)
    lines = ifmap = filters = outputs = 0
    number = 0
    for demands in naive.folds(layer, array):
        number += 1
        lines += len(demands[0])
        words = [sum(item is not None for line in demand for item in line) for demand in demands]
        ifmap, filters, outputs = ifmap + words[0], filters + words[1], outputs + words[2]
    surplus = number * (rows + columns) if dataflow == "os" else 0
    assert count_layer(layer, array).demand_lines == lines
    assert sram_counts(layer, array) == (ifmap, filters, outputs + surplus)


@settings(max_examples=60)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(("os", "ws", "is")),
)
def test_agrees_with_the_honest_counts_but_for_the_known_faults(m, n, k, rows, columns, dataflow):
    layer, array, flow = Layer.gemm(m, n, k), Array(rows, columns, dataflow, BIG), FLOWS[LONG[dataflow]]
    counts, honest = count_layer(layer, array), honest_counts(flow, m, n, k, rows, columns)
    assert counts.demand_lines == fold_cycles(flow, m, n, k, rows, columns)
    assert counts.total_cycles == counts.demand_lines - 1
    surplus = counts.folds * (rows + columns) if dataflow == "os" else 0
    assert (counts.sram_ifmap_reads, counts.sram_filter_reads) == (honest.ifmap_reads, honest.filter_reads)
    assert counts.sram_ofmap_writes == honest.ofmap_writes + surplus
    assert counts.stall_cycles == 0


@settings(max_examples=60)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.sampled_from(("os", "ws", "is")))
def test_dram_words_are_at_least_those_that_exist(m, n, k, dataflow):
    """Estimated: every word at least once, and never more often than the scratchpad is read; utilisations are shares."""
    layer, array = Layer.gemm(m, n, k), Array(7, 5, dataflow, (1024, 2048, 1024))
    counts = count_layer(layer, array)
    assert m * k <= counts.dram_ifmap_reads <= counts.sram_ifmap_reads
    assert n * k <= counts.dram_filter_reads <= counts.sram_filter_reads
    assert counts.dram_ofmap_writes >= m * n
    shares = utilisation(layer, array, counts)
    assert 0 < shares["mapping_efficiency"] <= 1
    assert 0 < shares["compute_utilisation"] <= 1


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_counts_do_not_depend_on_the_order_of_runs(dataflow):
    layer, array = Layer(9, 9, 3, 3, 4, 6), Array(5, 3, dataflow, (1024, 1024, 1024), (3, 2, 1))
    first = count_layer(layer, array)
    count_layer(Layer.gemm(3, 4, 5), array)
    assert count_layer(layer, array) == first
