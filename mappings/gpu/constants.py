"""Constants of GPU kernel classes and the device numbers that their formulas need.

A spec lists them below the unit, ``unit.<name>.kernels.<class>.<constant>``; each was fitted on measured rows by
``benchmarks/gpu/fit.py`` (``source: measured``) or carried over from another device (``source: assumed`` with bounds).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.errors import SpecError

MAX_OVERLAP = 8.0
"""p-norms above this are the maximum within a few per cent."""


@dataclass(frozen=True, slots=True)
class Device:
    """What the formulas need of a device; rates are those of one number format and sparsity pattern.

    Attributes:
        rate: peak operations per second of all SMs (2 per MAC), in the compute format.
        base_rate: dense peak in the 16-bit float format; the on-chip operand bandwidth scales with it.
        sms: number of SMs.
        dram_peak, dram: off-chip bytes per second: data sheet, and what long streams reach.
        vector_rate: elementwise operations per second of all SMs.
        clock_hz: clock of the unit.
    """

    rate: float
    base_rate: float
    sms: int
    dram_peak: float
    dram: float
    vector_rate: float
    clock_hz: float


@dataclass(frozen=True, slots=True)
class GemmConstants:
    """Matrix products (also implicit-GEMM convolutions).

    Attributes:
        compute_efficiency: share of the tensor-core peak in the steady state (clocks under load, issue gaps), in (0, 1].
        fill_k: K columns' worth of time that a tile spends filling its pipeline and writing its result.
        operand_bytes_per_flop: bytes that all SMs together take from L2 per second, over the dense 16-bit peak.
        pull_share: off-chip bytes per second that all SMs together can pull, over the data sheet's bandwidth.
        launch: seconds of a kernel that does nothing; ``split_launch``: seconds that the reduction of a split K adds.
        overlap: p of the p-norm that combines compute, operand and off-chip time (1: one after the other).
    """

    compute_efficiency: float
    fill_k: float
    operand_bytes_per_flop: float
    pull_share: float
    launch: float
    split_launch: float
    overlap: float


@dataclass(frozen=True, slots=True)
class PrefillConstants:
    """Attention with many queries (FlashAttention-like kernels).

    Attributes:
        compute_efficiency, operand_bytes_per_flop, launch, overlap: as for ``GemmConstants``.
        fill_keys: keys' worth of time that a query tile spends before and after its loop over keys.
        exp_per_clock: exponentials per clock of the special-function units of one SM (softmax).
        pre_passes: times that Q, K and V cross the memory before the kernel (position embedding, cache append).
    """

    compute_efficiency: float
    fill_keys: float
    exp_per_clock: float
    operand_bytes_per_flop: float
    pre_passes: float
    launch: float
    overlap: float


@dataclass(frozen=True, slots=True)
class DecodeConstants:
    """Attention with few queries over a cache (split-KV kernels).

    Attributes:
        block_share: bytes of K and V per second that all SMs together stream, over the off-chip peak.
        cta_time: seconds that one (sequence, KV head, split) costs an SM beside its blocks; ``row_time``: more per padded query row.
        launch: seconds of a kernel that does nothing; ``merge_launch``: seconds that merging the splits adds.
        overlap: p of the p-norm of SM time and off-chip time.
    """

    block_share: float
    cta_time: float
    row_time: float
    launch: float
    merge_launch: float
    overlap: float


@dataclass(frozen=True, slots=True)
class StreamConstants:
    """Kernels bound by moving bytes, in three classes: ``elementwise``, ``activation``, ``rowwise`` (see ``mappings.gpu.stream``).

    Attributes:
        launch: seconds of a kernel that does nothing.
        pull_share: as for ``GemmConstants``.
        overlap: p of the p-norm of SM time and off-chip time.
    """

    launch: float
    pull_share: float
    overlap: float


_C = TypeVar("_C", GemmConstants, PrefillConstants, DecodeConstants, StreamConstants)
GEMM, PREFILL, DECODE = "gemm", "attention_prefill", "attention_decode"
ELEMENTWISE, ACTIVATION, ROWWISE = "elementwise", "activation", "rowwise"
_SHARES = ("compute_efficiency",)


def constants_of(kind: type[_C], name: str, unit: ComputeUnit, hardware: Hardware) -> _C:
    """The constants of kernel class ``name`` as the spec states them.

    Raises:
        SpecError: a constant is missing, not a number, or out of range; names its dotted path.
    """
    prefix = f"kernels.{name}"
    found = unit.group(prefix)
    values: dict[str, float] = {}
    for field in fields(kind):
        where = f"{hardware.name}: unit.{unit.name}.{prefix}.{field.name}"
        value = found.get(field.name)
        if value is None:
            hint = "inherit it with `extends: nvidia-h100-sxm`, or fit your own"
            raise SpecError("a GPU spec must state this kernel constant", where=where, hint=hint)
        if isinstance(value, str) or not 0.0 <= value < float("inf"):
            raise SpecError(f"{value!r} is not a number >= 0", where=where, hint="see another GPU spec of the library")
        values[field.name] = float(value)
        if field.name in _SHARES and not 0.0 < value <= 1.0:
            raise SpecError(f"{value!r} is outside (0, 1]", where=where, hint="an efficiency is a share of the data sheet's peak")
        if field.name == "overlap" and not 1.0 <= value <= MAX_OVERLAP:
            hint = "1 adds the times up, 8 is nearly their maximum"
            raise SpecError(f"{value!r} is outside [1, {MAX_OVERLAP:g}]", where=where, hint=hint)
        if field.name in ("operand_bytes_per_flop", "pull_share", "block_share", "exp_per_clock") and value <= 0.0:
            raise SpecError(f"{value!r} is not positive", where=where, hint="it is a rate")
    return kind(**values)


def device_of(unit: ComputeUnit, hardware: Hardware, rate: float) -> Device:
    """The device numbers for arithmetic at ``rate`` operations per second.

    Raises:
        SpecError: the unit states no dense tensor rate, no vector rate or no SM count.
    """
    where = f"{hardware.name}: unit.{unit.name}"
    dense = {name: value for (name, pattern), value in unit.rates.items() if pattern == "dense"}
    base = dense.get("bf16") or dense.get("fp16") or max(dense.values(), default=0.0)
    vector = max(unit.vector_rates.values(), default=0.0)
    if base <= 0.0 or vector <= 0.0 or unit.count < 1:
        what = "a unit of kind 'gpu' needs a dense tensor rate, a vector rate and a count of SMs"
        raise SpecError(what, where=where, hint="see nvidia-a100-sxm-80gb")
    dram = hardware.dram
    achieved = min(dram.achieved_bandwidth(float("inf")), dram.bandwidth_bytes_per_s)
    return Device(rate, base, unit.count, dram.bandwidth_bytes_per_s, achieved, vector, unit.clock_hz)
