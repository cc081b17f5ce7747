"""The kernel classes as fitting and scoring see them: rows to shapes, shapes to seconds, by the mapper's own functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.gpu.measured import Rows, attention_bytes, attention_rows, gemm_bytes, gemm_rows, stream_rows
from hwspecs.hardware import Hardware
from mappings.gpu.attention import DECODE_QUERIES, AttentionShape, causal_pairs, decode_times, prefill_times
from mappings.gpu.constants import (
    ACTIVATION,
    DECODE,
    ELEMENTWISE,
    GEMM,
    PREFILL,
    ROWWISE,
    DecodeConstants,
    Device,
    GemmConstants,
    PrefillConstants,
    StreamConstants,
    constants_of,
    device_of,
)  # fmt: skip
from mappings.gpu.gemm import GemmShape, gpu_gemm_time

CHUNK = 4000


def bf16_device(hardware: Hardware) -> Device:
    """Device numbers for bf16."""
    unit = hardware.primary
    return device_of(unit, hardware, unit.rates["bf16", "dense"])


def gemm_seconds(columns: dict[str, np.ndarray], device: Device, constants: GemmConstants, width: float = 2.0) -> np.ndarray:
    """Estimated seconds of each row, in chunks that bound memory; ``width``: bytes per element of A and B."""
    times = []
    for start in range(0, len(columns["m"]), CHUNK):
        m, n, k = (columns[name][start : start + CHUNK, None] for name in ("m", "n", "k"))
        shape = GemmShape(1.0, m, n, k, width, width, gemm_bytes({"m": m, "n": n, "k": k}, width))
        times.append(gpu_gemm_time(shape, device, constants))
    return np.concatenate(times)


def attention_shape(columns: dict[str, np.ndarray], causal: bool = True) -> AttentionShape:
    """Shapes of (rows, 1)."""
    c = {name: values[:, None] for name, values in columns.items()}
    return AttentionShape(
        c["batch"], c["heads"], c["kv_heads"], c["queries"], c["keys"], c["head_dim"], c["head_dim"], causal, 2.0, 2.0, attention_bytes(c)
    )


KINDS: dict[str, type[Any]] = {
    GEMM: GemmConstants, PREFILL: PrefillConstants, DECODE: DecodeConstants, ELEMENTWISE: StreamConstants, ACTIVATION: StreamConstants,
    ROWWISE: StreamConstants,
}  # fmt: skip


def constants_in(name: str, hardware: Hardware) -> Any:
    """The constants of one class as a spec states them."""
    return constants_of(KINDS[name], name, hardware.primary, hardware)


def prefill_seconds(columns: dict[str, np.ndarray], device: Device, constants: PrefillConstants) -> np.ndarray:
    """Estimated seconds of each row of causal attention."""
    return prefill_times(attention_shape(columns), device, constants).total.min(axis=-1)


def decode_seconds(columns: dict[str, np.ndarray], device: Device, constants: DecodeConstants) -> np.ndarray:
    """Estimated seconds of each row of decode attention."""
    return decode_times(attention_shape(columns), device, constants).total.min(axis=-1)


def gemm_roofline(columns: dict[str, np.ndarray], device: Device, width: float = 2.0) -> np.ndarray:
    """Data-sheet roofline: the larger of arithmetic at peak and operands once at peak bandwidth."""
    flops = 2.0 * columns["m"] * columns["n"] * columns["k"]
    return np.maximum(flops / device.rate, gemm_bytes(columns, width) / device.dram_peak)


def attention_roofline(columns: dict[str, np.ndarray], device: Device) -> np.ndarray:
    """The same for causal attention: only the pairs below the diagonal are work."""
    pairs = causal_pairs(columns["queries"], columns["keys"])
    flops = 4.0 * columns["batch"] * columns["heads"] * columns["head_dim"] * pairs
    return np.maximum(flops / device.rate, attention_bytes(columns) / device.dram_peak)


def stream_seconds(columns: dict[str, np.ndarray], device: Device, constants: StreamConstants) -> np.ndarray:
    """Estimated seconds of streaming kernels; their arithmetic (a few operations per element) never binds on these devices."""
    pull, off_chip = columns["bytes"] / (constants.pull_share * device.dram_peak), columns["bytes"] / device.dram
    p = constants.overlap
    return constants.launch + (pull**p + off_chip**p) ** (1 / p)


def stream_roofline(columns: dict[str, np.ndarray], device: Device) -> np.ndarray:
    """Bytes at peak bandwidth."""
    return columns["bytes"] / device.dram_peak


@dataclass(frozen=True)
class KernelClass:
    """One class of measured rows.

    Attributes:
        kind: dataclass of its constants; ``start``: where fits begin; ``caps``: upper bounds.
        seconds, roofline: estimates of rows.
        fixed: constants that the spec takes from a data sheet: not fitted.
    """

    name: str
    kind: Any
    start: dict[str, float]
    caps: dict[str, float]
    seconds: Callable[[dict[str, np.ndarray], Device, Any], np.ndarray]
    roofline: Callable[[dict[str, np.ndarray], Device], np.ndarray]
    fixed: tuple[str, ...] = ()

    def rows(self, system: str, hardware: Hardware) -> Rows:
        """Measured rows of one system."""
        if self.name == GEMM:
            return gemm_rows(system)
        if self.kind is StreamConstants:
            return stream_rows(system, self.name)
        phase = "context" if self.name == PREFILL else "generation"
        on_chip = hardware.on_chip
        assert on_chip is not None, "every GPU spec of the library has an L2"
        return attention_rows(system, phase, hardware.dram.bandwidth_bytes_per_s, on_chip.size_bytes)


def tool_seconds(kernel: KernelClass, columns: dict[str, np.ndarray], device: Device, source: Hardware) -> np.ndarray:
    """What the tool gives for rows of a class with the constants of ``source``: attention with few queries runs the decode kernels."""
    seconds = kernel.seconds(columns, device, constants_in(kernel.name, source))
    if kernel.name == PREFILL:
        few = columns["queries"] < DECODE_QUERIES
        short = {name: values[few] for name, values in columns.items()}
        seconds[few] = decode_seconds(short, device, constants_in(DECODE, source))
    return seconds


_GEMM = KernelClass(
    GEMM, GemmConstants,
    {
        "compute_efficiency": 0.95, "fill_k": 180, "operand_bytes_per_flop": 0.016, "pull_share": 1.0, "launch": 2.7e-6,
        "split_launch": 2e-6, "overlap": 4,
    },
    {"compute_efficiency": 1.0, "overlap": 8.0}, gemm_seconds, gemm_roofline,
)  # fmt: skip
_PREFILL = KernelClass(
    PREFILL, PrefillConstants,
    {"compute_efficiency": 0.7, "fill_keys": 100, "operand_bytes_per_flop": 0.009, "pre_passes": 1.5, "launch": 1e-5, "overlap": 4},
    {"compute_efficiency": 1.0, "overlap": 8.0}, prefill_seconds, attention_roofline, ("exp_per_clock",),
)  # fmt: skip
_DECODE = KernelClass(
    DECODE, DecodeConstants,
    {"block_share": 3, "cta_time": 1.5e-6, "row_time": 5e-8, "launch": 1e-5, "merge_launch": 2e-6, "overlap": 2},
    {"overlap": 8.0}, decode_seconds, attention_roofline,
)  # fmt: skip
_STREAMS = tuple(
    KernelClass(name, StreamConstants, {"launch": 2e-6, "pull_share": 0.8, "overlap": 3}, {"overlap": 8.0}, stream_seconds, stream_roofline)
    for name in (ELEMENTWISE, ACTIVATION, ROWWISE)
)
CLASSES = {item.name: item for item in (_GEMM, _PREFILL, _DECODE, *_STREAMS)}
