"""Which of a unit's rates a format computes at, and what elementwise work costs; shared by the mappers of arrays and vector units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.formats import NumberFormat, number_format
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
    """Elementary operations that one point of ``nest`` costs on one lane.

    The graph's own count, or the spec's ``functions.<name>`` where that is more; data that only pass through (``copy``) take one.
    """
    table = float(unit.parameters.get(f"functions.{nest.function}", 0.0))
    return max(float(nest.vector_ops), table, 1.0)


def vector_cycles(nest: Nest, format_name: str, unit: ComputeUnit, hardware: Hardware) -> float:
    """Cycles of the device's clock that all points of ``nest`` take at the unit's rate for ``format_name``."""
    return nest.points * point_cost(nest, unit) * hardware.clock_hz / unit.vector_rates[format_name]


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
