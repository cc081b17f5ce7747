"""Matrix products on a GPU: hand-derived times, lower bounds, coverage, conservation of bytes."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.compulsory import compulsory_reads, compulsory_writes
from mappings.gpu import GpuMapper
from mappings.gpu.constants import GEMM, GemmConstants, constants_of, device_of
from mappings.gpu.gemm import CANDIDATES, K_STEP, SPLIT, SPLITS, TILE_M, TILE_N, TILES, GemmShape, gemm_times, gpu_gemm_time
from simulator.lowering import Lowering
from simulator.play import play
from tests.mappings.builders import conv, gemm
from tests.mappings.gpu_device import CONSTANTS, TYPICAL, gpu

SIZES = st.integers(1, 5000)


def times(m, n, k, hardware):
    unit = hardware.primary
    device = device_of(unit, hardware, unit.rates["bf16", "dense"])
    shape = GemmShape(1, m, n, k, 2.0, 2.0, 2.0 * (m * k + k * n + m * n))
    return gemm_times(shape, device, constants_of(GemmConstants, GEMM, unit, hardware))


def mapped(m, n, k, hardware, **rest):
    operator, tensors = gemm("g", m, n, k, format="bf16", **rest)
    return operator, tensors, GpuMapper().map(operator, tensors, hardware.primary, hardware)


def played(alternative, hardware):
    lowered = Lowering(hardware).lower("g", alternative)
    return play([lowered.flow], ["g"])[0].cycles, lowered


def test_one_full_wave_takes_exactly_the_peak_rate():
    # 10 x 10 tiles of 128 x 128 on 100 SMs of 1 TFLOP/s: 2 * 128 * 128 * 4096 FLOPs on one SM
    found = times(1280, 1280, 4096, gpu())
    index = CANDIDATES.index("128x128 tiles")
    assert found.compute[index] == pytest.approx(2 * 128 * 128 * 4096 / 1e12)
    assert found.ctas[index] == 100


def test_one_tile_more_than_a_wave_takes_twice_as_long():
    index = CANDIDATES.index("128x128 tiles")
    one, two = times(1280, 1280, 4096, gpu()), times(1280, 1281, 4096, gpu())
    assert two.ctas[index] == 110
    assert two.compute[index] == pytest.approx(2 * one.compute[index])


def test_a_small_product_is_split_along_k_to_fill_the_gpu():
    _, _, answer = mapped(64, 64, 65536, gpu(TYPICAL))
    assert "split-k" in answer.alternatives[0].name
    assert [stage.name for stage in answer.alternatives[0].stages] == ["launch", "main", "reduce"]


def test_a_split_never_leaves_a_cta_without_k():
    found = times(64, 64, 64, gpu(TYPICAL))
    assert np.isinf(found.total[SPLIT > 2]).all()
    assert np.isfinite(found.total[SPLIT == 1]).all()


@settings(max_examples=40, deadline=None)
@given(SIZES, SIZES, SIZES)
def test_tiles_cover_the_product(m, n, k):
    found = times(m, n, k, gpu(TYPICAL))
    split_k = np.ceil(k / SPLIT / K_STEP) * K_STEP
    assert (found.ctas * TILE_M * TILE_N * split_k >= m * n * k).all()
    for index in np.flatnonzero(np.isfinite(found.total)):
        tm, tn, split = TILES[index // len(SPLITS)][0], TILES[index // len(SPLITS)][1], SPLITS[index % len(SPLITS)]
        assert found.ctas[index] == ceil(m / tm) * ceil(n / tn) * split
        assert (split - 1) * split_k[index] < k


@settings(max_examples=40, deadline=None)
@given(SIZES, SIZES, SIZES, st.sampled_from([CONSTANTS, TYPICAL]))
def test_never_below_the_roofline_and_every_byte_moves_once(m, n, k, constants):
    hardware = gpu(constants, achieved=0.9)
    operator, tensors, answer = mapped(m, n, k, hardware)
    reads, writes = compulsory_reads(operator, tensors), compulsory_writes(operator, tensors)
    roof = max(2 * m * n * k / 100e12, (sum(reads.values()) + sum(writes.values())) / 1e12)
    for alternative in answer.alternatives:
        cycles, lowered = played(alternative, hardware)
        assert cycles / hardware.clock_hz >= roof * (1 - 1e-12)
        assert cycles == alternative.cycles_estimate
        assert sum(lowered.read_bytes.values()) == sum(reads.values())
        assert sum(lowered.written_bytes.values()) == sum(writes.values())
        moved: dict[str, int] = {}
        for stage in alternative.stages:
            for segment in stage.segments:
                for transfer in segment.transfers:
                    moved[transfer.tensor] = moved.get(transfer.tensor, 0) + segment.repeat * transfer.bytes
        assert moved == {**reads, **writes}


@settings(max_examples=30, deadline=None)
@given(SIZES, SIZES, SIZES)
def test_what_is_played_is_the_formula_up_to_rounding(m, n, k):
    hardware = gpu(TYPICAL)
    _, _, answer = mapped(m, n, k, hardware)
    best = answer.alternatives[0]
    if best.name == "vector path":  # a column or a row so thin that tiles would be padding
        assert min(n, k) < 16
        return
    estimate = times(m, n, k, hardware).total.min() * hardware.clock_hz
    firings = sum(stage.firings for stage in best.stages)
    assert best.cycles_estimate == pytest.approx(estimate, abs=3 * firings + 5, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(SIZES, SIZES, SIZES, st.floats(1.0, 4.0))
def test_a_higher_peak_rate_is_never_slower(m, n, k, factor):
    slow, fast = times(m, n, k, gpu(TYPICAL)), times(m, n, k, gpu(TYPICAL, peak=100e12 * factor))
    assert (fast.total <= slow.total * (1 + 1e-12)).all()


def test_arrays_of_shapes_give_what_single_shapes_give():
    hardware = gpu(TYPICAL)
    unit = hardware.primary
    device = device_of(unit, hardware, 100e12)
    m, n, k = (np.array(values, float)[:, None] for values in ((1, 300, 4096), (4096, 77, 4096), (4096, 12345, 4096)))
    together = gpu_gemm_time(
        GemmShape(1, m, n, k, 2.0, 2.0, 2 * (m * k + k * n + m * n)), device, constants_of(GemmConstants, GEMM, unit, hardware)
    )
    alone = [times(int(a), int(b), int(c), hardware).total.min() for a, b, c in zip(m[:, 0], n[:, 0], k[:, 0], strict=True)]
    assert together == pytest.approx(alone)


def test_alternatives_are_a_pareto_list_and_the_rest_says_why():
    _, _, answer = mapped(4096, 4096, 4096, gpu(TYPICAL))
    cycles = [item.cycles_estimate for item in answer.alternatives]
    sizes = [item.working_set_bytes for item in answer.alternatives]
    assert cycles == sorted(cycles)
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) <= 10 << 20
    assert all("slower than" in item.reason for item in answer.rejected)


def test_a_convolution_is_its_implicit_product():
    operator, tensors = conv("c", c=64, o=128, h=28, f=3, pad=1, batch=8, format="bf16")
    hardware = gpu(TYPICAL)
    answer = GpuMapper().map(operator, tensors, hardware.primary, hardware)
    assert answer.executed_macs == answer.macs == 8 * 28 * 28 * 128 * 64 * 9
    unit = hardware.primary
    device = device_of(unit, hardware, 100e12)
    moved = sum(tensor.stored_bytes for tensor in tensors.values())
    shape = GemmShape(1, 8 * 28 * 28, 128, 64 * 9, 2.0, 2.0, moved)
    expected = float(gpu_gemm_time(shape, device, constants_of(GemmConstants, GEMM, unit, hardware)))
    assert answer.alternatives[0].cycles_estimate == pytest.approx(expected * 1e9, rel=1e-2)


def test_a_decode_product_is_bound_by_the_memory_and_a_large_one_by_arithmetic():
    """8 rows: 8 operations per byte against a ridge of about 150; 8192 rows: thousands. Operands on their way are not arithmetic."""
    import cyclewright as cw

    thin = cw.run("gemm:8x28672x4096", "nvidia-a100-sxm-80gb")
    thick = cw.run("gemm:8192x8192x8192", "nvidia-a100-sxm-80gb")
    assert thin.bound_by == "memory:hbm"
    assert thick.bound_by == "compute:sm"
    assert thin.busy["compute:sm"] < 0.3 * thin.latency_s


def test_a_single_channel_costs_no_more_than_two():
    """A depthwise convolution of one channel is the same work as half of one of two: the vector path serves both."""
    import cyclewright as cw

    one = cw.run("conv:N1xC1xH56xW56,K1,R3,P1,G1", "nvidia-h100-sxm")
    two = cw.run("conv:N1xC2xH56xW56,K2,R3,P1,G2", "nvidia-h100-sxm")
    assert one.latency_s <= two.latency_s
