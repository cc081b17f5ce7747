"""On-chip actions of a tiled product, for energy: multiplications, vector operations, bytes in and out of the scratchpad."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product as product_of
from typing import TYPE_CHECKING

from hwspecs.hardware import ComputeUnit
from mappings.rates import nest_format, vector_format, vector_operations
from mappings.systolic.folds import OUTPUT, WEIGHT
from mappings.systolic.problem import Product
from mappings.systolic.row_stationary import TilePasses, word_bytes
from mappings.systolic.tiles import ACCUMULATOR_BYTES, Choice
from workloads.graph import Nest, Operator, Tensor

if TYPE_CHECKING:
    from mappings.systolic.setting import Setting


def array_actions(product: Product, choice: Choice, setting: Setting) -> dict[str, float]:
    """Multiply-accumulates, and bytes that the array reads from and writes to the scratchpad and that DRAM fills and drains.

    ======== ======================= ======================= ================ =======================
    dataflow ifmap reads             filter reads            results written  partial sums read back
    ======== ======================= ======================= ================ =======================
    OS       M K folds(N)            K N folds(M)            M N tiles(K)     M N (tiles(K) - 1)
    WS       M K folds(N)            K N tiles(M)            M N folds(K)     M N (folds(K) - 1)
    IS       M K tiles(N)            K N folds(M)            M N folds(K)     M N (folds(K) - 1)
    ======== ======================= ======================= ================ =======================

    With one tile these are the counts of ``folds.sram_counts``. Row-stationary arrays: ``row_stationary.Counts``. Where the array skips
    zeros, the multiplications that it executes.
    """
    array, unit, chip = choice.array or setting.array, setting.unit.name, setting.site.chip
    if choice.passes is not None:
        return _row_actions(product, choice, choice.passes, setting)
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
        f"{unit}.mac.{setting.format_name}": product.nest.macs * choice.executed,
        f"{chip}.read.byte": read + sums + moved["out"] + moved["spill"],
        f"{chip}.write.byte": result + sums + moved["a"] + moved["b"] + moved["spill"],
    }


def _row_actions(product: Product, choice: Choice, passes: TilePasses, setting: Setting) -> dict[str, float]:
    """Actions of a row-stationary array: besides the scratchpad's, bytes of the cells' registers and of the networks between them."""
    assert setting.registers is not None
    unit, chip, moved = setting.unit.name, setting.site.chip, choice.moved
    word = word_bytes(setting.format_name)
    sum_word = setting.registers.sum_bytes
    read = network = register = sums = 0.0
    variants = [[(choice.split[group].outer * repeat, size) for repeat, size in choice.split[group].variants()] for group in "mnk"]
    for (m_count, m), (n_count, n), (k_count, k) in product_of(*variants):
        count = product.batch * m_count * n_count * k_count
        words = passes.counts({"m": m, "n": n, "k": k})
        read += count * (words.filter_reads + words.ifmap_reads) * word
        sums += count * words.sums_written
        register += count * ((words.filter_registers + words.ifmap_registers) * word + words.sum_registers * sum_word)
        network += count * ((words.filter_delivered + words.ifmap_delivered) * word + words.sum_hops * sum_word)
    outputs = product.batch * product.size("m") * product.size("n")
    return {
        f"{unit}.mac.{setting.format_name}": float(product.nest.macs),
        f"{unit}.register.byte": register,
        f"{unit}.network.byte": network,
        f"{chip}.read.byte": read + (sums - outputs) * sum_word + moved["out"] + moved["spill"],
        f"{chip}.write.byte": sums * sum_word + moved["a"] + moved["b"] + moved["spill"],
    }


def vector_actions(
    nests: Iterable[tuple[Nest, float]], operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit, name: str
) -> dict[str, float]:
    """Elementary operations of ``nests`` (nest, share) by number format, as actions of unit ``name``."""
    actions: dict[str, float] = {}
    for nest, share in nests:
        wanted = nest_format(nest, tensors, operator.internal)
        key = f"{name}.vector.{vector_format(wanted, unit) or wanted.rate_name}"
        actions[key] = actions.get(key, 0.0) + vector_operations(nest, unit) * share
    return actions


def added(*parts: Mapping[str, float]) -> dict[str, float]:
    """Sums by key."""
    total: dict[str, float] = {}
    for part in parts:
        for key, value in part.items():
            total[key] = total.get(key, 0.0) + value
    return total
