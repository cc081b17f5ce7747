"""On-chip actions of a tiled product, for energy: multiplications, vector operations, bytes in and out of the scratchpad."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hwspecs.hardware import ComputeUnit
from mappings.rates import nest_format, point_cost, vector_format
from mappings.systolic.folds import OUTPUT, WEIGHT
from mappings.systolic.problem import Product
from mappings.systolic.tiles import ACCUMULATOR_BYTES, Array, Choice
from workloads.graph import Nest, Operator, Tensor


def array_actions(product: Product, choice: Choice, array: Array, unit: str, chip: str, format_name: str) -> dict[str, float]:
    """Multiply-accumulates, and bytes that the array reads from and writes to the scratchpad and that DRAM fills and drains.

    ======== ======================= ======================= ================ =======================
    dataflow ifmap reads             filter reads            results written  partial sums read back
    ======== ======================= ======================= ================ =======================
    OS       M K folds(N)            K N folds(M)            M N tiles(K)     M N (tiles(K) - 1)
    WS       M K folds(N)            K N tiles(M)            M N folds(K)     M N (folds(K) - 1)
    IS       M K tiles(N)            K N folds(M)            M N folds(K)     M N (folds(K) - 1)
    ======== ======================= ======================= ================ =======================

    With one tile these are the counts of ``folds.sram_counts``.
    """
    m, n, k = (product.size(group) for group in "mnk")
    split, flow = choice.split, choice.flow
    m_edge = array.rows if flow.rows == "m" else array.columns
    if flow.name == OUTPUT:
        a_times, b_times = split["n"].folded(array.columns), split["m"].folded(m_edge)
        turns = 1 if choice.streamed else split["k"].count
    elif flow.name == WEIGHT:
        a_times, b_times, turns = split["n"].folded(array.columns), split["m"].count, split["k"].folded(array.rows)
    else:
        a_times, b_times, turns = split["n"].count, split["m"].folded(m_edge), split["k"].folded(array.rows)
    batch = product.batch
    moved = choice.moved
    read = batch * (m * k * a_times * product.a.bytes_per_value + k * n * b_times * product.b.bytes_per_value)
    sums = batch * m * n * (turns - 1) * ACCUMULATOR_BYTES
    result = batch * m * n * product.out.bytes_per_value
    return {
        f"{unit}.mac.{format_name}": float(product.nest.macs),
        f"{chip}.read.byte": read + sums + moved["out"] + moved["spill"],
        f"{chip}.write.byte": result + sums + moved["a"] + moved["b"] + moved["spill"],
    }


def vector_actions(
    nests: Iterable[tuple[Nest, float]], operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit, name: str
) -> dict[str, float]:
    """Elementary operations of ``nests`` (nest, share) by number format, as actions of unit ``name``."""
    actions: dict[str, float] = {}
    for nest, share in nests:
        wanted = nest_format(nest, tensors, operator.internal)
        key = f"{name}.vector.{vector_format(wanted, unit) or wanted.rate_name}"
        actions[key] = actions.get(key, 0.0) + nest.points * point_cost(nest, unit) * share
    return actions


def added(*parts: Mapping[str, float]) -> dict[str, float]:
    """Sums by key."""
    total: dict[str, float] = {}
    for part in parts:
        for key, value in part.items():
            total[key] = total.get(key, 0.0) + value
    return total
