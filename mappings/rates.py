"""Which of a unit's rates a format computes at, and what elementwise work costs; shared by the mappers of arrays and vector units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.formats import NumberFormat, number_format
from hwspecs.vocabulary.functions import OPERATIONS, ROW_STEPS, STEPS, priced, sum_of
from mappings.dataflow import MappedOperator
from workloads.graph import Nest, Tensor


def wider(first: NumberFormat, second: NumberFormat) -> NumberFormat:
    """The format of more bits; a float before an integer of the same width."""
    return second if (second.bits, second.family == "float") > (first.bits, first.family == "float") else first


def served_format(wanted: NumberFormat, offered: Iterable[str]) -> str | None:
    """The name of the narrowest offered format of the same family that is at least as wide as ``wanted``; None if there is none."""
    names = tuple(offered)
    if wanted.rate_name in names:
        return wanted.rate_name
    formats = [number_format(name) for name in names]
    wide = [item for item in formats if item.family == wanted.family and item.bits >= wanted.bits]
    return min(wide, key=lambda item: (item.bits, item.name)).name if wide else None


def vector_format(wanted: NumberFormat, unit: ComputeUnit) -> str | None:
    """The format in which ``unit`` does elementwise work on ``wanted`` values; None without a vector path.

    As ``served_format``; where that finds none fp32, else the widest that there is.
    """
    rates = unit.vector_rates
    if not rates:
        return None
    served = served_format(wanted, rates)
    if served is None:
        served = "fp32" if "fp32" in rates else max(rates, key=lambda name: (number_format(name).bits, name))
    return served


def vector_unit(unit: ComputeUnit, hardware: Hardware) -> ComputeUnit | None:
    """The first unit along the fallback chain of ``unit`` that has a vector path (``unit`` itself not counted); None if there is none."""
    seen = {unit.name}
    while unit.fallback is not None and unit.fallback not in seen:
        unit = hardware.units[unit.fallback]
        seen.add(unit.name)
        if unit.vector_rates:
            return unit
    return None


def point_cost(nest: Nest, unit: ComputeUnit) -> float:
    """Cycles that one point of ``nest`` takes on one lane: the spec's ``functions.<name>``, else of its steps, else the graph's operations.

    Operations that the graph counts beyond the function's usual ones (gamma and beta of a norm, a mask before a softmax) take one cycle
    each; an elementary function of several inputs counts once per operation. Data that only pass through (``copy``) take one cycle.
    """
    operations, name = float(nest.vector_ops), nest.function
    cost = priced(name, unit.parameters)
    if cost is None or name not in OPERATIONS:
        return max(operations, 1.0) if cost is None else cost
    usual = OPERATIONS[name]
    if not usual:
        return cost or max(operations, 1.0)
    if name in STEPS and operations >= usual:
        return cost + operations - usual
    return cost * operations / usual


def row_length(nest: Nest, axis: int = -1) -> int:
    """Points of one row that ``nest`` reduces: of the dimensions that no result has, or of ``axis`` where a function needs whole rows.

    1 where every point is for itself.
    """
    written = {dim for operand in nest.writes for part in operand.axes for dim, _ in part.terms}
    reduced = 1
    for dim, extent in nest.dims:
        if dim not in written:
            reduced *= extent
    if reduced > 1 or nest.function not in ROW_STEPS:
        return reduced
    if nest.function in ("groupnorm", "instancenorm"):
        return nest.points // max(1, nest.dims[0][1])
    return nest.dims[axis if -len(nest.dims) <= axis < len(nest.dims) else -1][1] if nest.dims else 1


def lane_slots(points: int, length: int, lanes: int) -> tuple[int, int]:
    """(vectors that ``points`` fill, rows that lie along the lanes) where rows of ``length`` points belong together.

    Rows along the lanes begin a vector each; rows side by side fill a vector with the same point of several rows. The better one counts,
    and the second number is 0 where it is the latter. Points for themselves (``length`` 1) fill vectors without a gap.
    """
    rows = points // max(1, length)
    along, beside = rows * -(-length // lanes), length * -(-rows // lanes)
    return (along, rows) if along < beside else (beside, 0)


def row_cost(nest: Nest, unit: ComputeUnit) -> float:
    """Cycles on one lane of the work that a function does once per row: the root and means of a norm, the reciprocal of a softmax."""
    return sum_of(ROW_STEPS[nest.function], unit.parameters) if nest.function in ROW_STEPS else 0.0


def vector_operations(nest: Nest, unit: ComputeUnit, axis: int = -1) -> float:
    """Operations of all points and rows of ``nest`` as the unit prices them (one per lane and cycle)."""
    once = row_cost(nest, unit)
    return nest.points * point_cost(nest, unit) + (once * (nest.points // max(1, row_length(nest, axis))) if once else 0.0)


def vector_cycles(nest: Nest, format_name: str, unit: ComputeUnit, hardware: Hardware, axis: int = -1, cost: float | None = None) -> float:
    """Cycles of the device's clock that all points of ``nest`` take at the unit's rate for ``format_name``.

    A unit with ``lanes`` works on whole vectors: ``ceil(vectors / count) cost + ceil(ceil(rows / lanes) / count) row cost``, and
    ``row_overhead`` for each row along the lanes (see ``lane_slots``), at ``lanes count clock / rate`` cycles per vector. Any other unit:
    operations over rate.

    Args:
        axis: dimension of ``nest`` along which the rows of a softmax or norm lie.
        cost: cycles of a point, where it is not ``point_cost``.
    """
    cost = point_cost(nest, unit) if cost is None else cost
    lanes = int(unit.parameters.get("lanes", 0)) if unit.kind == "vector" else 0
    clocks = hardware.clock_hz / unit.vector_rates[format_name]
    if not lanes or not nest.points:
        return nest.points * cost * clocks
    length = row_length(nest, axis)
    vectors, along = lane_slots(nest.points, length, lanes)
    cycles = ceil(vectors / unit.count) * cost
    if once := row_cost(nest, unit):
        cycles += ceil(nest.points // length / (lanes * unit.count)) * once
        cycles += ceil(along / unit.count) * float(unit.parameters.get("row_overhead", 0.0))
    return cycles * lanes * unit.count * clocks


def nest_format(nest: Nest, tensors: Mapping[str, Tensor], internal: Mapping[str, Tensor]) -> NumberFormat:
    """The widest number format among what ``nest`` reads and writes, integer indices aside where there is anything else."""
    formats = []
    for operand in (*nest.reads, *nest.writes):
        tensor = internal.get(operand.tensor) or tensors[operand.tensor]
        formats.append((tensor.role == "index", tensor.format))
    chosen = [form for index, form in formats if not index] or [form for _, form in formats]
    result = chosen[0]
    for item in chosen[1:]:
        result = wider(result, item)
    return result


def operations(item: MappedOperator) -> float:
    """Operations (two per MAC) of the MACs really issued, in the terms of the data-sheet rate: an N:M rate counts the zeros too."""
    kept, _, of = item.pattern.partition(":")
    if of:
        return 2.0 * item.executed_macs * int(of) / int(kept)
    return 2.0 * item.executed_macs


def mac_rate(item: MappedOperator, unit: ComputeUnit) -> float | None:
    """Operations per second of the unit at the operator's format and pattern (the dense rate where it has none for the pattern)."""
    return unit.rates.get((item.compute_format, item.pattern)) or unit.rates.get((item.compute_format, "dense"))
