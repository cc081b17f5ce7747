"""Operators made of matrix products: which products they are, their tiles and splits, their stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mappings.dataflow import Alternative, Rejected, Stage
from mappings.gpu.constants import Device, GemmConstants
from mappings.gpu.formats import Arithmetic, element_bytes
from mappings.gpu.gemm import CANDIDATES, SPLIT, TILE_M, TILE_N, GemmShape, GemmTimes, gemm_times
from mappings.gpu.stages import Kernel, Place, alternative, barriers, kernel_stages
from mappings.gpu.stream import OPS_PER_SLOT
from workloads.graph import Operand, Operator, Tensor, as_matmul

_NARROW = 16
"""Columns or K below which a batch of products wastes most of a tile."""
_STEPS_IN_FLIGHT = 3
_STEP_K = 64
EXAMINED = 5
"""Fastest candidates that become alternatives (where each needs less of the L2 than the ones before) or are named as rejected."""


@dataclass(frozen=True, slots=True)
class Product:
    """``batch`` products C[m, n] = A[m, k] B[k, n] of tensors ``a`` and ``b``; ``names``: of A, B, C; ``*_bytes``: stored per element;
    ``along``: N:M groups, if there are any, lie along k."""

    batch: int
    m: int
    n: int
    k: int
    a: Tensor
    b: Tensor
    names: tuple[str, str, str]
    macs: int
    a_bytes: float
    b_bytes: float
    along: bool = True

    @property
    def wasteful(self) -> bool:
        """Whether tiles are mostly padding (depthwise and narrow grouped convolutions, products with a single column)."""
        return min(self.n, self.k) < _NARROW


def products_of(operator: Operator, tensors: Mapping[str, Tensor]) -> list[Product]:
    """The products of an operator's mac nests; nests that differ only in rows and batch become one grouped product (experts).

    A mac nest that is no product of two operands (none is known) makes no product and is left to the vector path by its points.
    """
    found: list[Product] = []
    for nest in operator.nests:
        if nest.function != "mac" or not nest.points:
            continue
        shape = as_matmul(nest)
        a, b = (operator.internal.get(name) or tensors[name] for name in (shape.a, shape.b))
        names, sizes = (shape.a, shape.b, shape.out), (element_bytes(a), element_bytes(b))
        along = all(
            tensor.sparsity.kind != "nm" or _along(read, tensor.sparsity.axis, shape.k_dims)
            for tensor, read in zip((a, b), nest.reads, strict=True)
        )  # fmt: skip
        product = Product(shape.batch, shape.m, shape.n, shape.k, a, b, names, nest.macs, *sizes, along)
        last = found[-1] if found else None
        if last and (last.n, last.k, last.names) == (product.n, product.k, product.names):
            rows = max(last.m, product.m)
            found[-1] = replace(last, batch=last.batch + product.batch, m=rows, macs=last.macs + product.macs)
        else:
            found.append(product)
    return found


def _along(operand: Operand, axis: int, reduced: Sequence[str]) -> bool:
    """Whether axis ``axis`` of an operand is moved by one reduced dimension and nothing else."""
    terms = operand.axes[axis].terms if -len(operand.axes) <= axis < len(operand.axes) else ()
    return len(terms) == 1 and terms[0][1] == 1 and terms[0][0] in reduced


class ProductMapper:
    """Searches tiles and splits for the products of one operator.

    Args:
        device: rate to device numbers.
        rate, vector: rate and format of elementwise work.
    """

    def __init__(
        self, device: Callable[[float], Device], constants: GemmConstants, unit: str, place: Place, rate: float, vector: str
    ) -> None:
        self.device, self.constants, self.unit, self.place, self.rate, self.vector = device, constants, unit, place, rate, vector

    def map(
        self, products: list[tuple[Product, Arithmetic]], vector_ops: int, reads: dict[str, int], writes: dict[str, int], kept: int
    ) -> tuple[list[Alternative], list[Rejected]]:
        """Alternatives, fastest first, and candidates that were dropped; several products give one alternative, kernel after kernel."""
        if len(products) > 1:
            return [self._sequence(products, vector_ops, reads, writes)], []
        product, arithmetic = products[0]
        times, device = self._times(product, arithmetic, vector_ops, sum(reads.values()) + sum(writes.values()))
        order = times.total.argsort(kind="stable")[:EXAMINED].tolist()
        off_chip_bytes = sum(reads.values()) + sum(writes.values())
        chosen: list[tuple[int, float]] = []
        for index in order:
            in_flight = self._in_flight(product, index, device, off_chip_bytes)
            if len(chosen) < kept and times.total[index] < float("inf") and all(in_flight < other for _, other in chosen):
                chosen.append((index, in_flight))
        alternatives = []
        for index, in_flight in chosen:
            kernel = self._kernel(times, index, device)
            breakdown = {"compute": kernel.arithmetic, "l2": kernel.operands, "pull": kernel.pull, "reduce": kernel.after}
            actions = self._actions(product, arithmetic, vector_ops, float(times.operand_bytes[index]))
            alternatives.append(
                alternative(
                    CANDIDATES[index], kernel, self.place, reads, writes, working_set=in_flight, actions=actions, breakdown=breakdown,
                    notes=arithmetic.notes,
                )
            )  # fmt: skip
        return alternatives, self._rejected(times, [index for index in order if index not in {at for at, _ in chosen}], order[0], device)

    def _times(self, product: Product, arithmetic: Arithmetic, vector_ops: int, off_chip_bytes: int) -> tuple[GemmTimes, Device]:
        device = self.device(arithmetic.rate)
        shape = GemmShape(
            product.batch, product.m, product.n, product.k, product.a_bytes, product.b_bytes, off_chip_bytes,
            OPS_PER_SLOT * vector_ops * (device.vector_rate / self.rate),
        )  # fmt: skip
        return gemm_times(shape, device, self.constants), device

    def _kernel(self, times: GemmTimes, index: int, device: Device, label: str = "") -> Kernel:
        constants = self.constants
        after = constants.split_launch if SPLIT[index] > 1.0 else 0.0
        waves = float(times.ctas[index]) / device.sms
        sm = float(times.sm_power[index]) ** (1.0 / constants.overlap)
        parts = (float(times.compute[index]), float(times.operands[index]), float(times.pull[index]))
        return Kernel(constants.launch, 0.0, sm, after, waves, constants.overlap, *parts, label=label)

    def _actions(self, product: Product, arithmetic: Arithmetic, vector_ops: int, operand_bytes: float) -> dict[str, float]:
        actions = {f"{self.unit}.mac.{arithmetic.format}": product.macs * arithmetic.share, f"{self.place.chip}.read.byte": operand_bytes}
        if vector_ops:
            actions[f"{self.unit}.vector.{self.vector}"] = float(vector_ops)
        return actions

    def _in_flight(self, product: Product, index: int, device: Device, off_chip_bytes: int) -> float:
        """Bytes of L2 that stream through while it runs: some K steps of every SM's operands."""
        step = _STEP_K * (float(TILE_M[index]) * product.a_bytes + float(TILE_N[index]) * product.b_bytes)
        return min(device.sms * _STEPS_IN_FLIGHT * step, self.place.streaming_bytes, float(off_chip_bytes))

    def _rejected(self, times: GemmTimes, dropped: list[int], fastest: int, device: Device) -> list[Rejected]:
        best = float(times.total[fastest])
        rejected = []
        for index in dropped:
            total = float(times.total[index])
            if total == float("inf"):
                continue
            waves = float(times.ctas[index]) / device.sms
            parts = {"arithmetic": times.compute[index], "operands from L2": times.operands[index], "pulling from DRAM": times.pull[index]}
            limit = max(parts, key=lambda name: float(parts[name]))
            reason = f"{100 * (total / best - 1):.1f} % slower than {CANDIDATES[fastest]}: bound by {limit}, {waves:.2f} waves"
            rejected.append(Rejected(CANDIDATES[index], reason, int(total * self.place.clock_hz)))
        return rejected

    def _sequence(
        self, products: list[tuple[Product, Arithmetic]], vector_ops: int, reads: dict[str, int], writes: dict[str, int]
    ) -> Alternative:
        """Kernel after kernel; a tensor moves in the first kernel that reads it and the last one that writes it, others in the last."""
        stages: list[Stage] = []
        actions: dict[str, float] = {}
        total, working_set = 0, 0.0
        notes: tuple[str, ...] = ()
        left_reads, left_writes = dict(reads), dict(writes)
        for place, (product, arithmetic) in enumerate(products):
            last = place == len(products) - 1
            mine = {name: left_reads.pop(name) for name in [*left_reads] if last or name in product.names}
            made = {name: left_writes.pop(name) for name in [*left_writes] if last or name == product.names[2]}
            times, device = self._times(product, arithmetic, vector_ops if last else 0, sum(mine.values()) + sum(made.values()))
            index = int(np.argmin(times.total))
            kernel = self._kernel(times, index, device, f" {place + 1}" if place else "")
            more, cycles = kernel_stages(kernel, self.place, mine, made)
            stages += more
            total += cycles
            working_set = max(working_set, self._in_flight(product, index, device, sum(mine.values()) + sum(made.values())))
            for action, count in self._actions(product, arithmetic, vector_ops if last else 0, float(times.operand_bytes[index])).items():
                actions[action] = actions.get(action, 0.0) + count
            notes = tuple(dict.fromkeys((*notes, *arithmetic.notes)))
        breakdown = {"kernels": total}
        in_flight = int(min(working_set, self.place.streaming_bytes))
        return Alternative(f"{len(products)} kernels", tuple(stages), barriers(stages), in_flight, total, actions, breakdown, notes)
