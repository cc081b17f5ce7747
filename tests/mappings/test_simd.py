"""SIMD cores: cycles counted by hand from the kernels' instructions, and laws of bytes, sparsity and threads."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs import load_hardware
from hwspecs.vocabulary.sparsity import DENSE, Sparsity
from ilp.trivial import trivial_schedule
from mappings import map_graph
from mappings.mapping import MappedGraph
from mappings.promises import check_promises
from mappings.registry import Unmappable
from mappings.simd import SimdMapper
from mappings.simd.core import Core, Stream, Work, read_core
from mappings.simd.kernels import Product, dense, depthwise, sparse, sparse_pixels, sweep
from simulator import simulate
from tests.mappings.builders import conv, elementwise, gemm
from tests.mappings.test_systolic import moved
from workloads import load_model

PLAIN = {"unit.cpu.count": "1", "unit.cpu.efficiency": "1", "unit.cpu.overlap": "1", "unit.cpu.operator_overhead": "0 us"}


@cache
def device(**rest):
    """One Kryo 280 Gold core at its full rates: 1 vector operation, 2 instructions and 16 bytes per cycle, latency 4."""
    return load_hardware("snapdragon-835", {**PLAIN, **{key.replace("__", "."): value for key, value in rest.items()}})


@cache
def core(**rest) -> Core:
    hardware = device(**rest)
    return read_core(hardware.primary, hardware)


def on_cpu(pair, hardware=None):
    hardware = hardware or device()
    return SimdMapper().map(*pair, hardware.primary, hardware)


def product(m: int, n: int, k: int, **rest) -> Product:
    return Product(1, m, n, k, k, 4 * m * k, 4 * k * n, 4 * m * n, **rest)


def test_the_slowest_bound_counts():
    assert core().cycles(Work(8, 10, 16)) == 8  # arithmetic
    assert core().cycles(Work(2, 10, 16)) == 5  # two instructions per cycle
    assert core().cycles(Work(2, 4, 64)) == 4  # 16 bytes per cycle
    assert core().cycles(Work(2, 4, 16, chain=2)) == 8  # two sums of latency 4
    assert core(unit__cpu__efficiency="0.5").cycles(Work(8, 10, 16)) == 16


def test_dense_tile_by_hand():
    """6 x 8 results, 4 terms. A step: 12 multiply-accumulates (12 cycles), 12 + 2 + 1.5 loads + 0.5 of a loop of 2 = 16 instructions
    (8). The end: 48 results' instructions, 2 of bias, 10 of the call = 60 (30 cycles; arithmetic 24)."""
    assert dense(product(6, 8, 4), core(), 4, False).cycles == 4 * 12 + 30
    assert dense(product(7, 8, 4), core(), 4, False).cycles == 2 * (4 * 12 + 30)  # a partial tile costs as a full one
    assert dense(product(6, 9, 4), core(), 4, False).cycles == 2 * (4 * 12 + 30)


def test_a_single_row_waits_for_its_sums():
    """2 multiply-accumulates per term, but the next term adds to the same registers: 4 cycles. The end: (4 x 2 + 2 + 10) / 2 = 10."""
    assert dense(product(1, 8, 100), core(), 4, False).cycles == 100 * 4 + 10


def test_three_channels_load_one_by_one():
    """k = 27 in 9 taps of 3 channels: no load of four values; 12 + 2 + 6 + 0.5 instructions are still under the 12 cycles of arithmetic."""
    cost = dense(Product(1, 6, 8, 27, 3, 6 * 27 * 4, 27 * 32, 192), core(), 4, False)
    assert cost.cycles == 27 * 12 + (60 + 6 * 9) / 2


def test_sparse_by_hand():
    """16 pixels, 2 outputs, 3 kept weights. Each: 4 loads, 1 weight, 4 multiply-accumulates, 1 prefetch, 2 of index, 2 of loop:
    14 instructions, 7 cycles. Each output: 16 of clamp, start and store, 1 bias, 1 count, 2 of loop: 20, so 10 cycles."""
    assert sparse(product(16, 2, 4, kept=3, block=(1, 1)), core(), 4).cycles == 3 * 7 + 2 * 10
    # blocks of two: 4 + 1 + 8 + 1 + 4 = 18 instructions for twice the products; both outputs together 32 + 2 + 1 + 2 = 37
    assert sparse(product(16, 2, 4, kept=4, block=(2, 1)), core(), 4).cycles == 2 * 9 + 18.5


def test_maps_of_many_pages_are_looked_up_again():
    """Maps of 1024 pixels are one page each. 96 + 96 maps, a table of 48: three of four visits miss, 7 cycles each.

    Per piece of 16 pixels: 96 x 96 / 8 kept weights and 96 rows of results are one visit each; there are 64 pieces.
    """
    kept = 96 * 96 // 8
    cost = sparse(product(1024, 96, 96, kept=kept, block=(1, 1)), core(), 4)
    assert cost.translation == pytest.approx(64 * (kept + 96) * 0.75 * 7)
    blocked = sparse(product(1024, 96, 96, kept=kept, block=(4, 1)), core(), 4)  # four rows a visit, stores as before
    assert blocked.translation == pytest.approx(64 * (kept / 4 + 96) * 0.75 * 7)


def test_few_pages_are_never_looked_up_again():
    """24 + 24 maps of a page fill the table of 48; 1 + 1 more do not fit. Maps of 49 pixels share pages: 96 of them are 4.6 pages."""
    assert sparse(product(1024, 24, 24, kept=72, block=(1, 1)), core(), 4).translation == 0
    assert sparse(product(1024, 25, 25, kept=75, block=(1, 1)), core(), 4).translation > 0
    assert sparse(product(49, 96, 96, kept=1152, block=(1, 1)), core(), 4).translation == 0


def test_small_maps_meet_each_page_once_per_row():
    """Maps of 256 pixels: four to a page, so 512 + 512 maps are 256 pages. A dense row of terms meets all 128 of its pages."""
    cost = sparse(product(256, 512, 512, kept=512 * 512, block=(1, 1)), core(), 4)
    visits = 512 * 128 * (1 - (1 - 1 / 128) ** 512) + 512
    assert cost.translation == pytest.approx(16 * visits * (1 - 48 / 256) * 7)


def test_without_a_table_nothing_waits():
    plain = replace(core(), translation_entries=0)
    assert sparse(product(4096, 256, 256, kept=6000, block=(1, 1)), plain, 4).translation == 0


def test_pieces_of_pixels():
    assert sparse_pixels(49, core(), 4) == {16: 3, 1: 1}
    assert sparse_pixels(31, core(), 4) == {16: 1, 8: 1, 4: 1, 2: 1, 1: 1}
    assert sum(size * count for size, count in sparse_pixels(12345, core(), 4).items()) == 12345


def test_depthwise_by_hand():
    """3 x 3, 8 channels: per vector 20 vectors of inputs, weights, bias and result and 9 pointers over 2 vectors: 320 + 36 bytes,
    22.25 cycles; 11 arithmetic and 35.25 instructions are less. 4 pixels x 2 vectors."""
    assert depthwise(4, 8, 9, (288, 288, 128), core(), 4).cycles == 8 * 22.25


def test_sweep_by_hand():
    """100 values are 25 vectors: an add of two tensors is 1 + 2 loads + 1 store + 0.5 = 4.5 instructions; 48 bytes take 3 cycles."""
    assert sweep(100, 1, 2, 1, core(), 4).cycles == 25 * 3
    assert sweep(100, 7, 1, 1, core(), 4).cycles == 25 * 7


def test_caches_hand_on_what_does_not_fit_inside():
    """Half of 64 KiB of L1 counts: 40,000 bytes twice cross L2 twice, 30,000 once."""
    assert core().through(1, [Stream(40_000, 2), Stream(30_000, 2)]) == 110_000
    assert core().norm([3.0, 4.0, 0.0]) == 7
    assert core(unit__cpu__overlap="2").norm([3.0, 4.0]) == pytest.approx(5)


def test_weights_beyond_the_outer_cache_come_again_for_each_tile_of_rows():
    """1024 x 1024 fp32 weights are 4 MiB, the L2 2 MiB: 49 pixels in tiles of 6 read them 9 times; 512 x 512 stay."""
    big = on_cpu(gemm("g", 49, 1024, 1024, format="fp32"))
    assert moved(big.alternatives[0])["w", "in"] == 9 * 4 * 1024 * 1024
    assert big.reads["w"] == 4 * 1024 * 1024
    small = on_cpu(gemm("g", 49, 512, 512, format="fp32"))
    assert moved(small.alternatives[0]) == {("x", "in"): 49 * 512 * 4, ("w", "in"): 512 * 512 * 4, ("y", "out"): 49 * 512 * 4}
    best = on_cpu(gemm("g", 49, 1024, 1024, format="fp32"), device(unit__cpu__loop_order="best"))
    assert best.alternatives[0].name == "columns outer"
    assert moved(best.alternatives[0])["w", "in"] == 4 * 1024 * 1024


def test_pointwise_is_the_product_and_grouped_is_not_depthwise():
    pointwise = on_cpu(conv("c", c=32, o=64, h=14, f=1, format="fp32")).alternatives[0]
    same = on_cpu(gemm("g", 196, 64, 32, format="fp32")).alternatives[0]
    assert pointwise.breakdown["instructions"] == same.breakdown["instructions"]
    cost = on_cpu(conv("c", c=32, o=32, h=14, f=3, pad=1, groups=32, format="fp32"))
    assert cost.executed_macs == 14 * 14 * 32 * 9
    assert cost.alternatives[0].breakdown["instructions"] == pytest.approx(196 * 8 * (320 + 9 * 8 / 8) / 16, abs=1)
    grouped = on_cpu(conv("c", c=32, o=32, h=14, f=3, pad=1, groups=4, format="fp32")).alternatives[0]
    assert grouped.breakdown["instructions"] > cost.alternatives[0].breakdown["instructions"]


def sparse_conv(pattern: Sparsity, *, c=64, o=64, h=14, f=1):
    operator, tensors = conv("c", c=c, o=o, h=h, f=f, pad=f // 2, format="fp32")
    return operator, {**tensors, "w": replace(tensors["w"], sparsity=pattern)}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 4]), st.sampled_from([1, 3]), st.integers(3, 20))
def test_fewer_kept_weights_are_never_slower(first, second, rows, window, size):
    low, high = sorted((first / 40, second / 40))
    block = (rows, window * window)
    few, many = (
        on_cpu(sparse_conv(Sparsity("block", density, block=block), c=16, o=32, h=size, f=window)).alternatives[0]
        for density in (low, high)
    )
    assert few.breakdown["instructions"] <= many.breakdown["instructions"]
    assert few.cycles_estimate <= many.cycles_estimate


@pytest.mark.parametrize("window", [1, 3])
def test_larger_blocks_are_cheaper_and_execute_the_same(window):
    patterns = [Sparsity("unstructured", 0.25), Sparsity("block", 0.25, block=(2, 1)), Sparsity("block", 0.25, block=(4, 1))]
    found = [on_cpu(sparse_conv(pattern, f=window)) for pattern in patterns]
    estimates = [item.alternatives[0].breakdown["instructions"] for item in found]
    assert estimates == sorted(estimates, reverse=True)
    assert estimates[0] > 1.3 * estimates[2]
    assert {item.executed_macs for item in found} == {196 * 64 * 64 * window * window // 4}
    assert [item.pattern for item in found] == ["unstructured", "block", "block"]


def test_whole_kernels_of_a_group_of_outputs():
    """Kernel-group sparsity: blocks of 4 outputs x the 9 taps of a channel decode one index for 36 weights."""
    group = on_cpu(sparse_conv(Sparsity("block", 0.5, block=(4, 9)), f=3)).alternatives[0]
    single = on_cpu(sparse_conv(Sparsity("unstructured", 0.5), f=3)).alternatives[0]
    assert group.breakdown["instructions"] < 0.7 * single.breakdown["instructions"]


def test_unstructured_at_full_density_loses_to_dense():
    full = on_cpu(sparse_conv(Sparsity("unstructured", 1.0))).alternatives[0]
    plain = on_cpu(sparse_conv(DENSE)).alternatives[0]
    assert full.breakdown["instructions"] > plain.breakdown["instructions"]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300), st.integers(1, 3))
def test_more_cores_are_never_slower_and_never_beat_their_number(m, n, k, more):
    one, several = core(), replace(core(), threads=1 + more)
    alone, together = dense(product(m, n, k), one, 4, False), dense(product(m, n, k), several, 4, False)
    assert alone.cycles / (1 + more) - 1e-6 <= together.cycles <= alone.cycles
    assert together.loaded == alone.loaded


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 200), st.sampled_from(["1", "4"]))
def test_a_product_moves_its_operands_and_keeps_its_promises(m, n, k, cores):
    hardware = device(unit__cpu__count=cores)
    operator, tensors = gemm("g", m, n, k, format="fp32")
    found = on_cpu((operator, tensors), hardware)
    check_promises(found, operator, tensors, "simd", hardware)
    for (name, _), size in moved(found.alternatives[0]).items():
        assert size >= tensors[name].stored_bytes


RULES = "pointwise=unstructured:0.15, pointwise&features.1[2-7].*=block:2x1:0.15"


def mapped(model: str, hardware: str, sparsity: str | None = None) -> MappedGraph:
    return map_graph(load_model(model, format="fp32", sparsity=sparsity), load_hardware(hardware))


@pytest.mark.parametrize("hardware", ["snapdragon-835", "snapdragon-855", "raspberry-pi-3", "raspberry-pi-4"])
@pytest.mark.parametrize(("model", "sparsity"), [("mobilenet-v2", RULES), ("efficientnet-b0", None), ("resnet50", None)])
def test_whole_networks_keep_the_laws(model, sparsity, hardware):
    graph = mapped(model, hardware, sparsity)
    tile = simulate(graph, trivial_schedule(graph), timeline=False)
    roof = simulate(graph, trivial_schedule(graph), fidelity="roofline", timeline=False)
    assert roof.latency_s <= tile.latency_s
    assert roof.dram_bytes <= tile.dram_bytes
    assert tile.energy_j > 0
    assert not [item for block in graph.blocks for item in block.operators if item.fell_back_from]
    executed = sum(item.executed_macs for block in graph.blocks for item in block.operators)
    dense_macs = sum(item.macs for block in graph.blocks for item in block.operators)
    assert (executed < 0.4 * dense_macs) if sparsity else (executed == dense_macs)


def test_transformers_run_too():
    graph = map_graph(load_model("bert-base", tokens=16, format="fp32"), load_hardware("snapdragon-855"))
    assert simulate(graph, trivial_schedule(graph), timeline=False).latency_s > 0


def test_half_precision_doubles_the_lanes():
    hardware = load_hardware("snapdragon-855")
    assert hardware.primary.rates["fp16", "dense"] == 2 * hardware.primary.rates["fp32", "dense"] == 2 * 2 * 2 * 4 * 2.84e9
    assert hardware.primary.vector_rates["fp32"] == 2 * 4 * 2.84e9
    assert read_core(hardware.primary, hardware).lanes("fp16") == 8


def test_what_it_declines():
    answer = on_cpu(gemm("g", 8, 8, 8, format="int8"))
    assert isinstance(answer, Unmappable)
    assert "no rate for int8" in answer.reason
    bare = replace(device(), memories={"dram": device().dram})
    assert isinstance(on_cpu(elementwise("relu", "x", "y", 64, format="fp32"), bare), Unmappable)
