"""The roofline rung: work over data-sheet rates, no overlap lost, no byte moved twice. A lower bound of every other rung.

``latency = max over resources of their seconds`` (Williams, Waterman, Patterson: Roofline, CACM 2009, with one roof per resource):
multiply-accumulates at the rate of their format and pattern, vector operations at the unit's best vector rate, off-chip bytes at
peak bandwidth.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.errors import ContractError
from mappings.dataflow import MappedGraph, MappedOperator
from mappings.rates import mac_rate, operations


def _rate(item: MappedOperator, unit: ComputeUnit) -> float:
    """``mac_rate``; the unit's vector rate where it has no MAC path.

    Raises:
        ContractError: the unit has no rate for the operator's format.
    """
    rate = mac_rate(item, unit)
    if rate is not None:
        return rate
    if unit.vector_rates:
        return max(unit.vector_rates.values())
    raise ContractError(f"unit {unit.name!r} has no rate for {item.compute_format!r}, {item.pattern!r}", where=item.operator)


def compute_seconds(item: MappedOperator, hardware: Hardware) -> dict[str, float]:
    """Seconds of one round at data-sheet rates: ``compute:<unit>`` for MACs, ``vector:<unit>`` for vector operations.

    Raises:
        ContractError: the operator's unit is not in the hardware or has no rate for its format.
    """
    if item.members:
        together: dict[str, float] = {}
        for member in item.members:
            for resource, spent in compute_seconds(member, hardware).items():
                together[resource] = together.get(resource, 0.0) + spent
        return together
    unit = hardware.units.get(item.unit)
    if unit is None:
        raise ContractError(f"runs on unit {item.unit!r}, which {hardware.name!r} does not have", where=item.operator)
    seconds = {}
    if item.executed_macs:
        seconds[f"compute:{unit.name}"] = operations(item) / _rate(item, unit)
    if item.vector_ops and unit.vector_rates:
        seconds[f"vector:{unit.name}"] = item.vector_ops / max(unit.vector_rates.values())
    return seconds


def memory_seconds(hardware: Hardware, nbytes: Mapping[str, int]) -> dict[str, float]:
    """``memory:<name>`` to seconds at peak bandwidth, for bytes by off-chip memory."""
    return {f"memory:{name}": count / hardware.memories[name].bandwidth_bytes_per_s for name, count in nbytes.items() if count}


def compulsory_seconds(hardware: Hardware, nbytes: int) -> dict[str, float]:
    """Seconds of compulsory bytes. With several off-chip memories: as if they all served at once, whichever holds what (still a bound)."""
    off_chip = [memory for memory in hardware.memories.values() if memory.off_chip]
    if not nbytes or not off_chip:
        return {}
    return {f"memory:{off_chip[0].name}": nbytes / fsum(memory.bandwidth_bytes_per_s for memory in off_chip)}


def graph_seconds(mapped: MappedGraph, compulsory_bytes: int) -> dict[str, float]:
    """Resource to seconds of the graph's compulsory work: all operators' arithmetic and ``compulsory_bytes`` off-chip bytes."""
    parts: dict[str, list[float]] = {}
    for block in mapped.blocks:
        for item in block.operators:
            for resource, seconds in compute_seconds(item, mapped.hardware).items():
                parts.setdefault(resource, []).append(block.count * seconds)
    total = {resource: fsum(values) for resource, values in parts.items()}
    total.update(compulsory_seconds(mapped.hardware, compulsory_bytes))
    return total


def roofs(hardware: Hardware) -> dict[str, float]:
    """Roofs for plots: ``compute:<unit>:<format>`` (``@<pattern>`` where not dense) and ``vector:<unit>:<format>`` in operations/s,
    ``memory:<name>`` in bytes/s.
    """  # fmt: skip
    lines: dict[str, float] = {}
    for unit in hardware.units.values():
        for (form, pattern), rate in unit.rates.items():
            lines[f"compute:{unit.name}:{form}" + ("" if pattern == "dense" else f"@{pattern}")] = rate
        for form, rate in unit.vector_rates.items():
            lines[f"vector:{unit.name}:{form}"] = rate
    for memory in hardware.memories.values():
        if memory.bandwidth_bytes_per_s > 0:
            lines[f"memory:{memory.name}"] = memory.bandwidth_bytes_per_s
    return lines
