"""``GpuMapper``: operators onto the kernel classes of a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hwspecs.hardware import ComputeUnit, Hardware
from mappings.compulsory import compulsory_reads, compulsory_writes
from mappings.dataflow import Alternative, MappedOperator, Rejected
from mappings.gpu.attention import (
    DECODE_QUERIES,
    KEY_BLOCK,
    KV_SPLITS,
    QUERY_TILES,
    AttentionShape,
    AttentionTimes,
    causal_pairs,
    decode_times,
    prefill_times,
)  # fmt: skip
from mappings.gpu.constants import (
    DECODE,
    GEMM,
    PREFILL,
    DecodeConstants,
    Device,
    GemmConstants,
    PrefillConstants,
    StreamConstants,
    constants_of,
    device_of,
)  # fmt: skip
from mappings.gpu.formats import Arithmetic, arithmetic_of, element_bytes
from mappings.gpu.products import Product, ProductMapper, products_of
from mappings.gpu.stages import Kernel, Place, alternative, place_of
from mappings.gpu.stream import stream_alternative, stream_class, vector_rate
from mappings.registry import Unmappable
from workloads.graph import Operator, Tensor

KEPT = 2
"""Alternatives that are kept; the next ones are reported as rejected."""
_SIZES = ("batch", "heads", "kv_heads", "queries", "keys", "head_dim")


class Context:
    """What one unit of one device needs again and again during a run."""

    def __init__(self, unit: ComputeUnit, hardware: Hardware) -> None:
        self.unit, self.hardware = unit, hardware
        self.place: Place = place_of(unit, hardware)
        self.chip_reads = f"{self.place.chip}.read.byte"
        self._devices: dict[float, Device] = {}
        self._constants: dict[str, Any] = {}

    def device(self, rate: float) -> Device:
        """Device numbers at one arithmetic rate."""
        if rate not in self._devices:
            self._devices[rate] = device_of(self.unit, self.hardware, rate)
        return self._devices[rate]

    def gemm(self) -> GemmConstants:
        """Constants of matrix products."""
        if GEMM not in self._constants:
            self._constants[GEMM] = constants_of(GemmConstants, GEMM, self.unit, self.hardware)
        found: GemmConstants = self._constants[GEMM]
        return found

    def attention(self, decode: bool) -> PrefillConstants | DecodeConstants:
        """Constants of attention."""
        name = DECODE if decode else PREFILL
        if name not in self._constants:
            if decode:
                self._constants[name] = constants_of(DecodeConstants, name, self.unit, self.hardware)
            else:
                self._constants[name] = constants_of(PrefillConstants, name, self.unit, self.hardware)
        found: PrefillConstants | DecodeConstants = self._constants[name]
        return found

    def stream(self, name: str) -> StreamConstants:
        """Constants of a class of streaming kernels."""
        if name not in self._constants:
            self._constants[name] = constants_of(StreamConstants, name, self.unit, self.hardware)
        found: StreamConstants = self._constants[name]
        return found


class GpuMapper:
    """Maps operators onto units of kind ``gpu``; one instance per run (it remembers the constants of each unit)."""

    def __init__(self) -> None:
        self._contexts: dict[str, Context] = {}

    def map(self, operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit, hardware: Hardware) -> MappedOperator | Unmappable:
        """See ``mappings.registry.Mapper``.

        Attention with fewer than 16 queries per sequence runs the decode kernels, other attention the prefill kernels; operators with
        multiply-accumulates run one matrix-product kernel per distinct nest (grouped where nests differ only in rows); everything else
        is a streaming kernel. A product that wastes its tiles (depthwise convolutions) may run on the vector path instead.
        """
        context = self._contexts.get(unit.name)
        if context is None or context.hardware is not hardware:
            context = self._contexts[unit.name] = Context(unit, hardware)
        reads, writes = compulsory_reads(operator, tensors), compulsory_writes(operator, tensors)
        if operator.kind == "attention" and all(size in operator.attributes for size in _SIZES):
            mapped = _attention(operator, tensors, context, reads, writes)
            if mapped is not None:
                return mapped
        products = products_of(operator, tensors)
        if products:
            return _products(operator, tensors, context, products, reads, writes)
        return _stream(operator, tensors, context, reads, writes)


def _stream(
    operator: Operator, tensors: Mapping[str, Tensor], context: Context, reads: Mapping[str, int], writes: Mapping[str, int]
) -> MappedOperator:
    rate, name = vector_rate(operator, tensors, context.unit)
    device, constants = context.device(rate), context.stream(stream_class(operator))
    best = stream_alternative(operator.vector_ops, 0, rate, name, device, constants, context.place, reads, writes)
    return MappedOperator(
        operator.name, operator.kind, context.unit.name, (best,), vector_ops=operator.vector_ops, compute_format=name, reads=reads,
        writes=writes,
    )  # fmt: skip


def _products(
    operator: Operator, tensors: Mapping[str, Tensor], context: Context, products: list[Product], reads: dict[str, int],
    writes: dict[str, int],
) -> MappedOperator | Unmappable:  # fmt: skip
    macs, vector_ops = operator.macs, operator.vector_ops
    if (visible := _visible(operator)) is not None:  # kernels leave out the blocks that the mask hides
        pairs, of = visible
        products = [replace(product, m=-(-product.m * pairs // of), macs=-(-product.macs * pairs // of)) for product in products]
        macs, vector_ops = sum(product.macs for product in products), -(-vector_ops * pairs // of)
    chosen: list[tuple[Product, Arithmetic]] = []
    lacking = ""
    for product in products:
        arithmetic = arithmetic_of(product.a, product.b, context.unit, along=product.along)
        if arithmetic is None:
            lacking = f"no rate for {product.a.format.name} x {product.b.format.name} products"
            break
        chosen.append((product, arithmetic))
    rate, name = vector_rate(operator, tensors, context.unit)
    alternatives: list[Alternative] = []
    rejected: list[Rejected] = []
    if not lacking:
        found = ProductMapper(context.device, context.gemm(), context.unit.name, context.place, rate, name)
        alternatives, rejected = found.map(chosen, vector_ops, reads, writes, KEPT)
    if lacking or any(product.wasteful for product in products):
        if lacking and products[0].a.format.family != "float":
            return Unmappable(lacking)
        constants = context.stream(stream_class(operator))
        notes = (f"{lacking}: on the vector path",) if lacking else ()
        vector = stream_alternative(vector_ops, macs, rate, name, context.device(rate), constants, context.place, reads, writes, notes)
        alternatives = sorted((*alternatives, vector), key=lambda item: item.cycles_estimate)
        if len(alternatives) > KEPT:
            slower = alternatives[KEPT]
            rejected.append(Rejected(slower.name, "slower than the alternatives above", slower.cycles_estimate))
            alternatives = alternatives[:KEPT]
    on_vector = lacking or alternatives[0].name.startswith("vector")
    executed = macs if on_vector else sum(-int(-product.macs * how.share // 1) for product, how in chosen)
    return MappedOperator(
        operator.name, operator.kind, context.unit.name, tuple(alternatives), tuple(rejected), macs=operator.macs, executed_macs=executed,
        vector_ops=vector_ops, compute_format=name if on_vector else chosen[0][1].format,
        pattern="dense" if on_vector else chosen[0][1].pattern, reads=reads, writes=writes,
    )  # fmt: skip


def _visible(operator: Operator) -> tuple[int, int] | None:
    """(pairs, of so many pairs of query and key) that the backward pass of causal attention works on; None for all else."""
    queries, keys = (int(operator.attributes.get(name, 0)) for name in ("queries", "keys"))
    if operator.kind != "attention" or not operator.attributes.get("causal", False) or not queries * keys:
        return None
    return int(causal_pairs(queries, keys)), queries * keys


def _attention(
    operator: Operator, tensors: Mapping[str, Tensor], context: Context, reads: dict[str, int], writes: dict[str, int]
) -> MappedOperator | None:
    """Fused attention; None where its operands are not in formats that the tensor cores take."""
    fact = {name: int(operator.attributes[name]) for name in _SIZES}
    q, k = tensors[operator.inputs[0]], tensors[operator.inputs[1]]
    arithmetic = arithmetic_of(q, k, context.unit)
    if arithmetic is None:
        return None
    causal = bool(operator.attributes.get("causal", False))
    value_dim = int(operator.attributes.get("value_dim", fact["head_dim"]))
    shape = AttentionShape(
        fact["batch"], fact["heads"], fact["kv_heads"], fact["queries"], fact["keys"], fact["head_dim"], value_dim, causal,
        element_bytes(q), element_bytes(k), sum(reads.values()) + sum(writes.values()),
    )  # fmt: skip
    dense = fact["queries"] * fact["keys"]
    pairs = int(causal_pairs(fact["queries"], fact["keys"])) if causal else dense
    executed = operator.macs * pairs // dense
    vector_ops = -(-operator.vector_ops * pairs // dense)
    device = context.device(arithmetic.rate)
    decode = fact["queries"] < DECODE_QUERIES
    constants = context.attention(decode)
    times = decode_times(shape, device, constants) if isinstance(constants, DecodeConstants) else prefill_times(shape, device, constants)
    rate, name = vector_rate(operator, tensors, context.unit)
    floor = vector_ops / rate
    actions = {f"{context.unit.name}.mac.{arithmetic.format}": float(executed), f"{context.unit.name}.vector.{name}": float(vector_ops)}
    found, rejected = _attention_choices(times, constants, decode, floor, shape, context, actions, reads, writes, arithmetic.notes)
    return MappedOperator(
        operator.name, operator.kind, context.unit.name, found, rejected, macs=operator.macs, executed_macs=executed, vector_ops=vector_ops,
        compute_format=arithmetic.format, pattern=arithmetic.pattern, reads=reads, writes=writes,
    )  # fmt: skip


def _attention_choices(
    times: AttentionTimes, constants: PrefillConstants | DecodeConstants, decode: bool, floor: float, shape: AttentionShape,
    context: Context, actions: dict[str, float], reads: Mapping[str, int], writes: Mapping[str, int], notes: tuple[str, ...],
) -> tuple[tuple[Alternative, ...], tuple[Rejected, ...]]:  # fmt: skip
    """The fastest query tiles or splits as alternatives, the others as rejected; ``floor``: seconds that the softmax takes at least."""
    names = [f"split-KV {split:.0f}" for split in KV_SPLITS] if decode else [f"{tile:.0f}-query tiles" for tile in QUERY_TILES]
    order = [int(index) for index in np.argsort(times.total, kind="stable") if np.isfinite(times.total[index])]
    kept: list[Alternative] = []
    for index in order[:KEPT]:
        kernel = Kernel(
            constants.launch, float(times.before), max(float(times.sm[index]), floor), _item(times.after, index),
            float(times.ctas[index]) / context.unit.count, constants.overlap,
            float(times.compute[index]), _item(times.operands, index), _item(times.pull, index), after_name="merge",
        )  # fmt: skip
        breakdown = {
            "prepare": kernel.before, "compute": kernel.arithmetic, "l2": kernel.operands, "pull": kernel.pull, "merge": kernel.after,
        }  # fmt: skip
        in_flight = context.unit.count * KEY_BLOCK * (shape.head_dim + shape.value_dim) * shape.kv_bytes * 2
        kept.append(
            alternative(
                names[index], kernel, context.place, reads, writes, working_set=min(in_flight, shape.off_chip_bytes),
                actions={**actions, context.chip_reads: float(times.operand_bytes[index])}, breakdown=breakdown, notes=notes,
            )
        )  # fmt: skip
    fastest = float(times.total[order[0]])
    clock = context.place.clock_hz
    rejected = []
    for index in order[KEPT:]:
        total = float(times.total[index])
        rejected.append(Rejected(names[index], f"{100 * (total / fastest - 1):.0f} % slower than {names[order[0]]}", int(total * clock)))
    return tuple(kept), tuple(rejected)


def _item(values: Any, index: int) -> float:
    """One candidate's value of an array, or the scalar that holds for all."""
    return float(values[index]) if np.ndim(values) else float(values)


__all__ = ["GpuMapper"]
