"""Making N:M copies: the reduction engine, ``lanes`` sorters that take the values of one group each, one after the other.

A group of M values takes M ``cycles_per_value`` cycles in a lane, so that G groups take ``ceil(G / lanes) M cycles_per_value``. The engine
is a resource of its own beside the array and the memory port.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, prod

from hwspecs.hardware import ComputeUnit, Hardware
from mappings.compulsory import compulsory_reads, compulsory_writes
from mappings.dataflow import Alternative, MappedOperator
from mappings.registry import Unmappable
from mappings.vector import SMALL_TILE_BYTES, TILES, stream
from workloads.graph import Operator, Tensor

ENGINE = "reduction"
"""Name of the engine within its unit: ``stce.reduction``."""


def sorted_values(operator: Operator, tensors: Mapping[str, Tensor], lanes: int) -> tuple[int, int]:
    """(values that a lane takes one after the other, values in all) of the N:M tensors that a ``prune`` operator makes."""
    turns = total = 0
    for name in operator.outputs:
        tensor = tensors[name]
        pattern = tensor.sparsity
        if pattern.kind != "nm" or not tensor.shape:
            continue
        along = tensor.shape[pattern.axis]
        if along % pattern.m and int(operator.attributes.get("length", along)) % pattern.m == 0:  # groups go on over the taps
            groups = tensor.values // pattern.m
        else:
            groups = prod(tensor.shape) // max(1, along) * -(-along // pattern.m)
        turns += -(-groups // lanes) * pattern.m
        total += tensor.values
    return turns, total


def engine_cycles(operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit, hardware: Hardware) -> int:
    """Cycles of the device's clock that the engine sorts for."""
    turns, _ = sorted_values(operator, tensors, int(unit.parameters["reduction.lanes"]))
    return ceil(turns * int(unit.parameters.get("reduction.cycles_per_value", 1)) * hardware.clock_hz / unit.clock_hz)


def engine_actions(operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit) -> dict[str, float]:
    """Values that the engine sorts."""
    return {f"{unit.name}.{ENGINE}.value": float(sorted_values(operator, tensors, 1)[1])}


def pruned(operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit, hardware: Hardware) -> MappedOperator | Unmappable:
    """A ``prune`` operator by itself: the dense tensor streams in, N:M copies stream out."""
    if "reduction.lanes" not in unit.parameters:
        return Unmappable("its spec states no reduction engine")
    reads, writes = compulsory_reads(operator, tensors), compulsory_writes(operator, tensors)
    cycles = engine_cycles(operator, tensors, unit, hardware)
    chip, dram = hardware.on_chip, hardware.dram
    moved = sum(reads.values()) + sum(writes.values())
    room = max(1, chip.size_bytes // 4) if chip is not None else SMALL_TILE_BYTES
    tiles = max(1, -(-moved // room), min(TILES, moved // SMALL_TILE_BYTES))
    name = chip.name if chip is not None else unit.name
    depth = 2 if chip is None or chip.double_buffered else 1
    stages, edges = stream(f"{unit.name}.{ENGINE}", dram.name, name, reads, writes, cycles, tiles, depth)
    transfer = ceil(moved * hardware.clock_hz / dram.achieved_bandwidth(moved or 1))
    actions = engine_actions(operator, tensors, unit)
    if chip is not None:
        actions[f"{name}.write.byte"] = actions[f"{name}.read.byte"] = float(moved)
    alternative = Alternative(
        f"{tiles} tiles through the reduction engine",
        stages,
        edges,
        min(chip.size_bytes if chip is not None else 0, depth * -(-moved // tiles)),
        ceil(max(cycles, transfer) + transfer / tiles),
        actions,
        {ENGINE: cycles, f"memory {dram.name}": transfer},
    )
    return MappedOperator(
        operator.name, operator.kind, unit.name, (alternative,), vector_ops=operator.vector_ops, reads=reads, writes=writes
    )
