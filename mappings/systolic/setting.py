"""What a spec's array, scratchpad, DRAM and vector unit mean to the mapper of one operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwspecs.hardware import ComputeUnit, Hardware
from mappings.rates import nest_format, vector_cycles, vector_format, vector_unit
from mappings.systolic.folds import Flow, folds
from mappings.systolic.row_stationary import Registers, registers_of
from mappings.systolic.skipping import Skipping, skipping_of
from mappings.systolic.stages import Site, site_of
from mappings.systolic.tiles import Array, flows_for
from workloads.graph import Nest, Operator, Tensor


@dataclass(frozen=True, slots=True)
class Way:
    """A dataflow on an array that takes ``pace`` cycles per step of what streams."""

    flow: Flow
    array: Array
    pace: int = 1

    def cycles(self, m: int, n: int, k: int) -> int:
        """Cycles of a product on one copy of the array, fold by fold."""
        return folds(self.flow, m, n, k, self.array.rows, self.array.columns) * self.fold(m, n, k)

    def fold(self, m: int, n: int, k: int) -> int:
        """Cycles of one fold of it."""
        return {"m": m, "n": n, "k": k}[self.flow.time] * self.pace + self.array.ramp(self.flow)


@dataclass(frozen=True, slots=True)
class Setting:
    """What one operator meets: the array, where its stages run, the unit that does its vector work, the format it multiplies in.

    ``registers`` are those of a row-stationary array, None where the spec's dataflow uses none; ``depthwise`` is the spec's word for
    grouped convolutions; ``ways`` are those to run a dense product, where there is more than the dataflow to choose.
    """

    array: Array
    site: Site
    unit: ComputeUnit
    vector: ComputeUnit | None
    hardware: Hardware
    format_name: str
    dataflow: str
    registers: Registers | None = None
    skipping: Skipping | None = None
    depthwise: str = "per_channel"
    ways: tuple[Way, ...] = ()

    def dense_ways(self) -> tuple[Way, ...]:
        """Ways to run a dense product."""
        return self.ways or tuple([Way(flow, self.array) for flow in flows_for(self.dataflow)])

    def cycles(self, nest: Nest, operator: Operator, tensors: Mapping[str, Tensor]) -> float:
        """Cycles of a vector nest: on the vector unit, or at one operation per column and cycle at the foot of the array."""
        if self.vector is None:
            rate = self.array.columns * self.array.count * self.unit.clock_hz
            return nest.points * max(1, nest.vector_ops) * self.hardware.clock_hz / rate
        format_name = vector_format(nest_format(nest, tensors, operator.internal), self.vector)
        assert format_name is not None
        return vector_cycles(nest, format_name, self.vector, self.hardware)


def setting_of(unit: ComputeUnit, hardware: Hardware, format_name: str) -> Setting:
    """The setting of ``unit`` computing in ``format_name``; cycles and bandwidth in terms of the device's clock.

    The array slows down where the spec's rate for the format is below two operations per PE and cycle.
    """
    memory = hardware.on_chip
    assert memory is not None
    rows, columns = int(unit.parameters["rows"]), int(unit.parameters["columns"])
    peak = 2.0 * rows * columns * unit.count * unit.clock_hz
    slowdown = max(1.0, peak / unit.rates[format_name, "dense"]) * hardware.clock_hz / unit.clock_hz
    buffers = dict(memory.partitions) if {"ifmap", "filter", "ofmap"} <= set(memory.partitions) else {"all": memory.size_bytes}
    dram = hardware.dram
    rate = dram.achieved_bandwidth(memory.size_bytes) / hardware.clock_hz
    array = Array(rows, columns, unit.count, slowdown, buffers, memory.double_buffered, rate)
    vector = vector_unit(unit, hardware)
    dataflow = str(unit.parameters.get("dataflow", "auto"))
    registers = registers_of(unit, hardware.clock_hz) if dataflow in ("auto", "row_stationary") else None
    depthwise = str(unit.parameters.get("depthwise", "per_channel"))
    site = site_of(array, unit, vector, hardware)
    return Setting(array, site, unit, vector, hardware, format_name, dataflow, registers, skipping_of(unit), depthwise)
