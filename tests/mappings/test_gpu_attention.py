"""Attention on a GPU: blocks counted against brute force, hand-derived decode and prefill times, lower bounds, bytes."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.compulsory import compulsory_reads, compulsory_writes
from mappings.gpu import GpuMapper
from mappings.gpu.attention import KEY_BLOCK, KV_SPLITS, QUERY_TILES, AttentionShape, causal_pairs, decode_times, prefill_times
from mappings.gpu.constants import DECODE, PREFILL, DecodeConstants, PrefillConstants, constants_of, device_of
from simulator.lowering import Lowering
from simulator.play import play
from tests.mappings.gpu_device import TYPICAL, gpu
from workloads.builder import GraphBuilder


def attention(batch, heads, kv_heads, queries, keys, dim=128, *, causal=True, format="bf16"):
    builder = GraphBuilder("a", format)
    builder.input("q", (batch, heads, queries, dim))
    for name in "kv":
        builder.input(name, (batch, kv_heads, keys, dim))
    builder.attention(
        "q", "k", "v", "out", batch=batch, heads=heads, kv_heads=kv_heads, queries=queries, keys=keys, head_dim=dim, causal=causal
    )
    graph = builder.build()
    return graph.nodes[0], graph.tensors


def shape(batch, heads, kv_heads, queries, keys, dim=128, causal=True):
    moved = 4.0 * batch * dim * (heads * queries + kv_heads * keys)
    return AttentionShape(batch, heads, kv_heads, queries, keys, dim, dim, causal, 2.0, 2.0, moved)


def device(hardware):
    return device_of(hardware.primary, hardware, hardware.primary.rates["bf16", "dense"])


def prefill(*sizes, hardware, **rest):
    return prefill_times(shape(*sizes, **rest), device(hardware), constants_of(PrefillConstants, PREFILL, hardware.primary, hardware))


def decode(*sizes, hardware, **rest):
    return decode_times(shape(*sizes, **rest), device(hardware), constants_of(DecodeConstants, DECODE, hardware.primary, hardware))


@given(st.integers(1, 60), st.integers(1, 60))
def test_causal_pairs_are_the_triangle(queries, keys):
    first = keys - queries
    assert causal_pairs(queries, keys) == sum(1 for q in range(queries) for k in range(keys) if k <= q + first)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.integers(0, 700), st.booleans())
def test_blocks_cover_what_is_needed_and_no_more_than_the_rectangle(queries, extra, causal):
    keys = queries + extra
    found = prefill(1, 1, 1, queries, keys, hardware=gpu(), causal=causal)
    for place, tile in enumerate(QUERY_TILES):
        tile = int(tile)
        needed = causal_pairs(queries, keys) if causal else queries * keys
        rectangle = ceil(queries / tile) * tile * ceil(keys / KEY_BLOCK) * KEY_BLOCK
        assert needed <= found.padded_pairs[place] <= rectangle
        if causal and extra == 0:
            blocks = sum(min(ceil(keys / KEY_BLOCK), ceil((index + 1) * tile / KEY_BLOCK)) for index in range(ceil(queries / tile)))
            assert found.padded_pairs[place] == blocks * tile * KEY_BLOCK


def test_prefill_by_hand():
    # 128 queries, one head, 64-query tiles: 2 CTAs that meet 1 and 2 blocks of 64 keys, 64 keys more for filling; half of 1 TFLOP/s
    # each, then the exponentials at 16 per ns
    found = prefill(1, 1, 1, 128, 128, hardware=gpu())
    per_key = 64 * (2 * 256 / 0.5e12 + 1 / 16e9)
    longest, total, tiles = (128 + 64) * per_key, (64 + 128 + 2 * 64) * per_key, 2
    assert found.compute[2] == pytest.approx(max(longest, total / 100 + 0.5 * total / tiles))
    assert float(found.before) == pytest.approx(2 * 128 * (128 + 128 + 128) / 1e12)


def test_decode_by_hand():
    # batch 25 x 8 KV heads = 200 CTAs on 100 SMs, 4096 keys = 64 blocks, split 1: SMs stream 4 TB/s, the memory 1 TB/s, added up
    found = decode(25, 32, 8, 1, 4096, hardware=gpu())
    block = KEY_BLOCK * 256 * 2 * 100 / 4e12
    assert found.pull[0] == pytest.approx(2 * 64 * block)
    arithmetic = 2 * 16 * KEY_BLOCK * 256 * 100 / 100e12  # 4 query heads of a group are padded to 16 rows; 100 TFLOP/s
    assert found.compute[0] == pytest.approx(2 * 64 * arithmetic + 2 * 1e-6)
    moved = 4 * 25 * 128 * (32 + 8 * 4096)
    assert found.total[0] == pytest.approx(5e-6 + 2 * 64 * block + 2e-6 + moved / 1e12)


def test_a_long_cache_of_one_sequence_is_split():
    hardware = gpu()
    operator, tensors = attention(1, 8, 1, 1, 65536, causal=False)
    answer = GpuMapper().map(operator, tensors, hardware.primary, hardware)
    assert answer.alternatives[0].name in {f"split-KV {split:.0f}" for split in KV_SPLITS[3:]}
    assert answer.alternatives[0].stages[-1].name == "merge"


def test_a_split_needs_a_block():
    found = decode(1, 8, 8, 1, 100, hardware=gpu())
    assert np.isfinite(found.total).tolist() == [True, True] + [False] * 6


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 32), st.sampled_from([1, 2, 8]), st.sampled_from([1, 4, 8]), st.sampled_from([1, 15, 16, 100, 1000]),
       st.integers(0, 3000), st.booleans())  # fmt: skip
def test_never_below_the_roofline_and_bytes_are_compulsory(batch, kv_heads, group, queries, extra, causal):
    hardware = gpu(TYPICAL, achieved=0.9)
    operator, tensors = attention(batch, kv_heads * group, kv_heads, queries, queries + extra, causal=causal)
    answer = GpuMapper().map(operator, tensors, hardware.primary, hardware)
    reads, writes = compulsory_reads(operator, tensors), compulsory_writes(operator, tensors)
    pairs = causal_pairs(queries, queries + extra) if causal else queries * (queries + extra)
    assert answer.executed_macs == batch * kv_heads * group * 2 * 128 * pairs
    assert answer.macs == operator.macs >= answer.executed_macs
    roof = max(2 * answer.executed_macs / 100e12, answer.vector_ops / 12.5e12, (sum(reads.values()) + sum(writes.values())) / 1e12)
    for alternative in answer.alternatives:
        lowered = Lowering(hardware).lower("a", alternative)
        cycles = play([lowered.flow], ["a"])[0].cycles
        assert cycles == alternative.cycles_estimate
        assert cycles / 1e9 >= roof * (1 - 1e-12)
        assert sum(lowered.read_bytes.values()) == sum(reads.values())
        assert sum(lowered.written_bytes.values()) == sum(writes.values())


def test_grouped_heads_share_the_cache():
    hardware = gpu()
    alone, shared = decode(8, 32, 32, 1, 8192, hardware=hardware), decode(8, 32, 4, 1, 8192, hardware=hardware)
    assert shared.off_chip < alone.off_chip / 7
    assert shared.total.min() < alone.total.min() / 4


def test_attention_in_a_format_without_a_rate_falls_back():
    hardware = gpu()
    operator, tensors = attention(1, 8, 8, 64, 64, format="fp64")
    answer = GpuMapper().map(operator, tensors, hardware.primary, hardware)
    assert answer.compute_format == "fp32"
    assert answer.alternatives[0].notes
