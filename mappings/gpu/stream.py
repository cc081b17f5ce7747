"""Kernels that only move bytes and do elementwise work: one pass over the operands.

    t = launch + (Tv^p + Tp^p + Td^p)^(1/p)
    Tv = 2 (vector_ops + MACs) / rate,   Tp = bytes / (pull_share dram_peak),   Td = bytes / dram

Vector rates of data sheets count a fused multiply-add as two operations; an operation that is not fused takes the same issue slot.
"""

from __future__ import annotations

from collections.abc import Mapping

from hwspecs.hardware import ComputeUnit
from mappings.dataflow import Alternative
from mappings.gpu.constants import ACTIVATION, ELEMENTWISE, ROWWISE, Device, StreamConstants
from mappings.gpu.stages import Kernel, Place, alternative
from workloads.graph import Operator, Tensor

CHEAP_OPS = 2
"""Vector operations per point up to which a kernel is plain elementwise work; activations (exp, sigmoid, gelu) take more."""
OPS_PER_SLOT = 2
"""Data-sheet operations of one issue slot."""
_BYTES_PER_CTA = 16384


def stream_class(operator: Operator) -> str:
    """``rowwise`` (norms, softmax: several passes over a row), ``activation`` (many operations per point) or ``elementwise``.

    An optimizer's step is elementwise whatever it computes: whole tensors of independent values in order, as the rows of that class, while
    those of activations pair two halves of a row. No measured rows of optimizers are at hand.
    """
    if operator.kind in ("norm", "softmax"):
        return ROWWISE
    if operator.kind == "update":
        return ELEMENTWISE
    return ACTIVATION if max((nest.vector_ops for nest in operator.nests), default=0) > CHEAP_OPS else ELEMENTWISE


def vector_rate(operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit) -> tuple[float, str]:
    """Operations per second and the format of the vector path: fp32, where kernels accumulate, or a wider format of the output."""
    rates = unit.vector_rates
    wanted = tensors[operator.outputs[0]].format.rate_name if operator.outputs else "fp32"
    if "fp32" not in rates:
        name = wanted if wanted in rates else next(iter(rates), "fp32")
        return rates.get(name, 0.0), name
    name = wanted if wanted in rates and rates[wanted] < rates["fp32"] else "fp32"
    return rates[name], name


def stream_seconds(vector_ops: float, macs: float, rate: float, off_chip_bytes: float, device: Device, constants: StreamConstants) -> float:
    """SM side of the main loop: arithmetic and pulling the bytes."""
    vector = (OPS_PER_SLOT * vector_ops + 2 * macs) / rate
    pull = off_chip_bytes / (constants.pull_share * device.dram_peak)
    longest = max(vector, pull)
    if longest <= 0.0:
        return 0.0
    norm: float = longest * ((vector / longest) ** constants.overlap + (pull / longest) ** constants.overlap) ** (1.0 / constants.overlap)
    return norm


def stream_alternative(
    vector_ops: int, macs: int, rate: float, name: str, device: Device, constants: StreamConstants, place: Place,
    reads: Mapping[str, int], writes: Mapping[str, int], notes: tuple[str, ...] = (),
) -> Alternative:  # fmt: skip
    """One streaming kernel."""
    moved = sum(reads.values()) + sum(writes.values())
    sm = stream_seconds(vector_ops, macs, rate, moved, device, constants)
    vector = (OPS_PER_SLOT * vector_ops + 2 * macs) / rate
    pull = moved / (constants.pull_share * device.dram_peak)
    kernel = Kernel(constants.launch, 0.0, sm, 0.0, moved / (device.sms * _BYTES_PER_CTA), constants.overlap, vector, 0.0, pull)
    actions = {f"{place.unit}.vector.{name}": float(vector_ops + macs), f"{place.chip}.read.byte": float(sum(reads.values()))}
    if not vector_ops and not macs:
        del actions[f"{place.unit}.vector.{name}"]
    label = "vector path" if macs else "one pass"
    breakdown = {"compute": vector, "pull": pull}
    in_flight = min(moved, device.sms * _BYTES_PER_CTA)
    return alternative(label, kernel, place, reads, writes, working_set=in_flight, actions=actions, breakdown=breakdown, notes=notes)
