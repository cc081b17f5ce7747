"""Time of fused attention on a GPU: prefill (query tiles) and decode (splits of the cache).

Prefill, for query tiles of tq rows, least over ``QUERY_TILES``:

    t = launch + pre_passes bytes(Q, K, V) / dram + (max(longest tile, total / SMs + mean tile / 2)^p + To^p + Td^p)^(1/p)

where a tile meets whole blocks of 64 keys, on and below the diagonal if causal, plus ``fill_keys`` keys' worth of time; one key costs a
tile its products (head dimensions padded to a multiple of 32) and, after them, one exponential per row on the special-function units;
To is the K and V traffic from L2 as for a matrix product.

Decode, least over splits s of the cache, c = batch x KV heads x s CTAs:

    t = launch + [s > 1] (merge_launch + partial bytes / dram) + (Ts^p + Td^p)^(1/p)
    Ts = max(1, c / SMs) blocks max(block bytes SMs / (block_share dram_peak), block FLOPs at peak)
         + c / SMs (cta_time + row_time rows)

rows = query rows of one KV head padded to 16 (a single row takes no tensor-core padding). The form and the padding follow the
FlashAttention-2 and split-KV kernels (Dao 2023); constants are fitted by ``benchmarks/gpu/fit.py``. Arrays of shape (rows, 1) or scalars.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mappings.gpu.constants import DecodeConstants, Device, PrefillConstants

Floats = NDArray[np.float64]

KEY_BLOCK = 64
QUERY_TILES = np.array([16.0, 32.0, 64.0, 128.0])
KV_SPLITS = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0])
DECODE_QUERIES = 16
"""Fewer queries than this go to the decode kernels, which pack the query heads of one KV head into rows."""
_ROWS = 16.0
_DIM_STEP = 32
"""Kernels exist for head dimensions that are multiples of this; others are padded."""


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """Attention of ``heads`` query heads over ``kv_heads``; scalars, or arrays of shape (rows, 1).

    Attributes:
        queries, keys: per sequence; with ``causal`` the last query meets all keys.
        head_dim, value_dim: widths of K and V.
        causal: 1 or 0.
        q_bytes, kv_bytes: stored bytes per element of Q (and the output), and of K and V.
        off_chip_bytes: all bytes that must cross the memory, each operand once.
    """

    batch: Any
    heads: Any
    kv_heads: Any
    queries: Any
    keys: Any
    head_dim: Any
    value_dim: Any
    causal: Any
    q_bytes: Any
    kv_bytes: Any
    off_chip_bytes: Any


@dataclass(frozen=True, slots=True)
class AttentionTimes:
    """Seconds per candidate (last axis).

    Attributes:
        total: the whole operator; ``before``, ``after``: stages before and after the main one; ``sm``: SM side of the main stage;
        compute, operands, pull: its parts (``Kernel``); ``off_chip``: DRAM time.
        ctas: CTAs; ``padded_pairs``: (query row, key) pairs computed, padding included; ``operand_bytes``: K and V bytes that cross L2.
    """

    total: Floats
    before: Any
    after: Any
    sm: Floats
    compute: Floats
    operands: Any
    pull: Any
    off_chip: Any
    ctas: Floats
    padded_pairs: Floats
    operand_bytes: Floats


def causal_pairs(queries: Any, keys: Any) -> Any:
    """(query, key) pairs that causal attention really needs, the last query meeting all keys.

    Queries that stand before the first key (more queries than keys) meet none.
    """
    first = np.maximum(keys - queries, 0)
    rows = np.minimum(queries, keys)
    return rows * first + rows * (rows + 1) / 2


def _blocks_up_to(tiles: Floats) -> Floats:
    """Sum over the first ``tiles`` query tiles of the key blocks on and below the diagonal."""
    per_block = np.maximum(KEY_BLOCK / QUERY_TILES, 1.0)
    per_tile = np.maximum(QUERY_TILES / KEY_BLOCK, 1.0)
    whole, rest = np.divmod(tiles, per_block)
    sums: Floats = per_tile * (per_block * whole * (whole + 1.0) / 2.0 + rest * (whole + 1.0))
    return sums


def prefill_times(shape: AttentionShape, device: Device, constants: PrefillConstants) -> AttentionTimes:
    """Seconds for every query tile."""
    p = constants.overlap
    tiles = np.ceil(shape.queries / QUERY_TILES)
    key_blocks = np.ceil(shape.keys / KEY_BLOCK)
    before = np.ceil(np.maximum(shape.keys - shape.queries, 0) / QUERY_TILES)
    uncapped = np.ceil((before + tiles) * QUERY_TILES / KEY_BLOCK)
    causal = _blocks_up_to(before + tiles) - _blocks_up_to(before) - np.maximum(uncapped - key_blocks, 0.0)
    blocks = np.where(shape.causal, np.minimum(causal, tiles * key_blocks), tiles * key_blocks)
    sequences = shape.batch * shape.heads
    ctas = sequences * tiles
    pairs = sequences * blocks * (QUERY_TILES * KEY_BLOCK)
    widths = shape.head_dim + shape.value_dim
    padded = (np.ceil(shape.head_dim / _DIM_STEP) + np.ceil(shape.value_dim / _DIM_STEP)) * _DIM_STEP
    products = 2.0 * padded * device.sms / (constants.compute_efficiency * device.rate)
    per_key = QUERY_TILES * (products + 1.0 / (constants.exp_per_clock * device.clock_hz))
    total_keys = sequences * blocks * KEY_BLOCK + ctas * constants.fill_keys
    longest = (key_blocks * KEY_BLOCK + constants.fill_keys) * per_key
    compute = np.maximum(longest, per_key * (total_keys / device.sms + 0.5 * total_keys / ctas))
    operand_bytes = sequences * blocks * KEY_BLOCK * widths * shape.kv_bytes + ctas * QUERY_TILES * widths * shape.q_bytes
    operands = operand_bytes / (constants.operand_bytes_per_flop * device.base_rate * np.minimum(1.0, ctas / device.sms))
    off_chip = shape.off_chip_bytes / device.dram
    first = constants.pre_passes * shape.batch * (
        shape.heads * shape.queries * shape.head_dim * shape.q_bytes + shape.kv_heads * shape.queries * widths * shape.kv_bytes
    ) / device.dram  # fmt: skip
    sm, main = _norms(compute, operands, off_chip, p)
    return AttentionTimes(constants.launch + first + main, first, 0.0, sm, compute, operands, 0.0, off_chip, ctas, pairs, operand_bytes)


def decode_times(shape: AttentionShape, device: Device, constants: DecodeConstants) -> AttentionTimes:
    """Seconds for every split of the cache."""
    rows = shape.heads / shape.kv_heads * shape.queries
    rows = np.where(rows == 1.0, 1.0, np.ceil(rows / _ROWS) * _ROWS)
    key_blocks = np.ceil(shape.keys / KEY_BLOCK)
    blocks = np.ceil(key_blocks / KV_SPLITS)
    ctas = shape.batch * shape.kv_heads * KV_SPLITS
    widths = shape.head_dim + shape.value_dim
    stream = KEY_BLOCK * widths * shape.kv_bytes * device.sms / (constants.block_share * device.dram_peak)
    arithmetic = 2.0 * rows * KEY_BLOCK * widths * device.sms / device.rate
    waves = ctas / device.sms
    fixed = waves * (constants.cta_time + constants.row_time * rows)
    steps = np.maximum(1.0, waves) * blocks
    main_loop = steps * np.maximum(stream, arithmetic) + fixed
    off_chip = shape.off_chip_bytes / device.dram
    partial = 8.0 * KV_SPLITS * shape.batch * shape.heads * shape.queries * shape.value_dim
    after = np.where(KV_SPLITS > 1.0, constants.merge_launch + partial / device.dram, 0.0)
    sm, main = _norms(main_loop, 0.0, off_chip, constants.overlap)
    total = np.where(key_blocks < KV_SPLITS, np.inf, constants.launch + after + main)
    pairs = shape.batch * shape.kv_heads * rows * key_blocks * KEY_BLOCK * np.ones_like(KV_SPLITS)
    operand_bytes = shape.batch * shape.kv_heads * key_blocks * KEY_BLOCK * widths * shape.kv_bytes * np.ones_like(KV_SPLITS)
    compute = steps * arithmetic + fixed
    return AttentionTimes(total, 0.0, after, sm, compute, 0.0, steps * stream, off_chip, ctas, pairs, operand_bytes)


def _norms(compute: Any, operands: Any, off_chip: Any, p: float) -> tuple[Floats, Floats]:
    """p-norm of the SM-side times, and of all three."""
    longest = np.maximum(np.maximum(compute, operands), off_chip)
    powers = (compute / longest) ** p + (operands / longest) ** p
    return longest * powers ** (1.0 / p), longest * (powers + (off_chip / longest) ** p) ** (1.0 / p)
