"""Time of a matrix product on a GPU: tile and wave quantization, operand traffic, off-chip traffic.

    t = launch + [s > 1] split_launch + (Tc^p + To^p + Tp^p + Td^p)^(1/p),  the least over tiles (tm x tn) and splits s of K
    Tc = ceil(c / SMs) 2 tm tn (ks + fill_k) / (compute_efficiency rate / SMs)      c = batch ceil(M/tm) ceil(N/tn) s CTAs, ks = K/s
    To = (c ks (tm bytes_A + tn bytes_B) + [s > 1] 8 s M N batch) / (operand_bytes_per_flop base_rate act)      act = min(1, c / SMs)
    Tp = bytes / (pull_share dram_peak act)                                          what the busy SMs can pull from DRAM
    Td = bytes / dram                                                                what the DRAM gives

The form is our own simplification of tile-level models such as LLMCompass (Zhang et al., ISCA 2024); the constants are fitted by
``benchmarks/gpu/fit.py``. All functions work on scalars or arrays that broadcast: shapes along one axis, candidates along another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mappings.gpu.constants import Device, GemmConstants

Floats = NDArray[np.float64]

TILES = (
    (16, 64), (16, 128), (32, 64), (32, 128), (64, 32), (64, 64), (64, 128), (128, 64), (128, 128), (64, 256), (256, 64), (128, 256),
    (256, 128),
)  # fmt: skip
"""Output tiles (rows, columns) whose fp32 accumulators fit the register file of one SM."""
SPLITS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""CTAs that share the K dimension of one tile."""
K_STEP = 32
"""K columns of one step of the main loop: a split is padded to a multiple of it."""

_GRID = np.array([(tm, tn, split) for tm, tn in TILES for split in SPLITS], dtype=np.float64)
TILE_M, TILE_N, SPLIT = (np.ascontiguousarray(column) for column in _GRID.T)
_TILE_AREA = TILE_M * TILE_N
_IS_SPLIT = (SPLIT > 1.0).astype(np.float64)
_SPLITS_BEFORE_LAST = SPLIT - 1.0
_PARTIAL_BYTES = 8.0 * SPLIT * _IS_SPLIT


@dataclass(frozen=True, slots=True)
class GemmShape:
    """``batch`` products C[m, n] = A[m, k] B[k, n]; scalars, or arrays of shape (rows, 1).

    Attributes:
        a_bytes, b_bytes: stored bytes per element of A and B.
        off_chip_bytes: all bytes that must cross the memory, each operand once.
        vector_ops: elementwise operations of a fused epilogue.
    """

    batch: Any
    m: Any
    n: Any
    k: Any
    a_bytes: Any
    b_bytes: Any
    off_chip_bytes: Any
    vector_ops: Any = 0.0


@dataclass(frozen=True, slots=True)
class GemmTimes:
    """Seconds per candidate (last axis: ``TILES`` x ``SPLITS``); candidates that leave a split idle are infinite in ``total``.

    Attributes:
        total: the whole kernel; ``compute``, ``operands``, ``pull``: SM-side times; ``off_chip``: DRAM time.
        sm_power: the sum of the p-th powers of the SM-side times (their p-norm to the power of p).
        ctas: CTAs; ``operand_bytes``: bytes that cross L2.
    """

    total: Floats
    compute: Floats
    operands: Floats
    pull: Floats
    sm_power: Floats
    off_chip: Any
    ctas: Floats
    operand_bytes: Floats


def gemm_times(shape: GemmShape, device: Device, constants: GemmConstants) -> GemmTimes:
    """Seconds of every candidate for every shape."""
    p = constants.overlap
    split_k = np.ceil(shape.k / SPLIT / K_STEP) * K_STEP
    ctas = shape.batch * np.ceil(shape.m / TILE_M) * np.ceil(shape.n / TILE_N) * SPLIT
    fill = ctas / device.sms
    active = np.minimum(1.0, fill)
    one_tile = 2.0 * _TILE_AREA * (split_k + constants.fill_k) * device.sms
    compute = np.ceil(fill) * one_tile / (constants.compute_efficiency * device.rate) + shape.vector_ops / device.vector_rate
    partial = _PARTIAL_BYTES * (shape.batch * shape.m * shape.n)
    operand_bytes = ctas * split_k * (TILE_M * shape.a_bytes + TILE_N * shape.b_bytes) + partial
    operands = operand_bytes / (constants.operand_bytes_per_flop * device.base_rate * active)
    pull = shape.off_chip_bytes / (constants.pull_share * device.dram_peak * active)
    off_chip = shape.off_chip_bytes / device.dram
    sm_power = compute**p + operands**p + pull**p  # seconds to the power of at most 8 stay far inside a float's range
    total = constants.launch + _IS_SPLIT * constants.split_launch + (sm_power + off_chip**p) ** (1.0 / p)
    total = np.where(split_k * _SPLITS_BEFORE_LAST >= np.maximum(shape.k, 1), np.inf, total)
    return GemmTimes(total, compute, operands, pull, sm_power, off_chip, ctas, operand_bytes)


def gpu_gemm_time(shape: GemmShape, device: Device, constants: GemmConstants) -> Floats:
    """Seconds of the best candidate of each shape."""
    best: Floats = gemm_times(shape, device, constants).total.min(axis=-1)
    return best


CANDIDATES = tuple(f"{tm}x{tn} tiles" + (f", split-k {split}" if split > 1 else "") for tm, tn in TILES for split in SPLITS)
"""Names of the candidates, such as ``64x64 tiles, split-k 4``."""
