"""The mapper of vector (SIMD) units: elementwise work, norms, softmax, pooling, copies; multiply-accumulates where nothing better is."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, prod

from hwspecs.hardware import ComputeUnit, Hardware, Memory
from mappings.compulsory import compulsory_reads, compulsory_writes
from mappings.dataflow import PORT, Alternative, Edge, MappedOperator, Rejected, Segment, Stage, Transfer
from mappings.rates import nest_format, vector_cycles, vector_format, vector_operations
from mappings.registry import Unmappable
from workloads.graph import Operator, Tensor

TILES = 16
"""Tiles that an operator is cut into at least, so that loads, work and stores overlap; fewer where a tile would fall below
``SMALL_TILE_BYTES``, more where tiles would not fit the on-chip memory."""
SMALL_TILE_BYTES = 4096
_ROW_KINDS = frozenset(("softmax", "norm"))
_MAC = 2.0
"""Operations of a multiply-accumulate."""
_ROW_PASSES = 2
"""Passes over a row that does not fit on chip: statistics (online maximum and sum, or sum and squares), then scaling."""


class VectorMapper:
    """Serves kind ``vector``: ``lanes`` results per cycle, tiles streamed through the on-chip memory.

    Rates come from ``ComputeUnit.vector_rates`` (operations per second of all copies). A point of a nest costs what the spec's
    ``functions`` say of it or of its steps, else the elementary operations that the graph counts; vectors at the edges of rows are
    partly empty (``mappings.rates``). A copy passes through the lanes at one element each. A multiply-accumulate is two operations:
    what an array cannot run for want of a format can run here.
    """

    def map(self, operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit, hardware: Hardware) -> MappedOperator | Unmappable:
        """See ``mappings.registry.Mapper``. Alternatives: streamed in tiles; nothing else is worth choosing between."""
        if not unit.vector_rates:
            return Unmappable("its spec states no vector rates")
        if not operator.nests:
            return Unmappable(f"{operator.kind} states no loop nest, so its work is not known")
        reads, writes = compulsory_reads(operator, tensors), compulsory_writes(operator, tensors)
        chip = hardware.on_chip
        passes, rejected = _passes(operator, tensors, reads, chip)
        loads = {name: size * passes for name, size in reads.items()}
        spilled = _spilled(operator, chip)
        loads.update(spilled)
        stores = {**writes, **spilled}
        cycles, actions = _work(operator, tensors, unit, hardware)
        priced_operations = int(sum(actions.values()))
        tiles = _tiles(sum(loads.values()) + sum(stores.values()), operator, chip)
        chip_name = chip.name if chip is not None else unit.name
        stages, edges = stream(unit.name, hardware.dram.name, chip_name, loads, stores, ceil(cycles), tiles, _depth(chip))
        rate = hardware.dram.achieved_bandwidth(sum(loads.values()) + sum(stores.values()) or 1) / hardware.clock_hz
        moved = sum(loads.values()) + sum(stores.values())
        transfer = ceil(moved / rate)
        if chip is not None:
            actions[f"{chip_name}.write.byte"] = float(sum(loads.values()) + sum(writes.values()))
            actions[f"{chip_name}.read.byte"] = float(sum(loads.values()) + sum(stores.values()))
        working_set = min(chip.size_bytes if chip is not None else 0, _depth(chip) * -(-moved // tiles))
        alternative = Alternative(
            f"{tiles} tiles" + (f", {passes} passes" if passes > 1 else ""),
            stages,
            edges,
            working_set,
            ceil(max(cycles, transfer) + transfer / tiles),
            actions,
            {"vector": ceil(cycles), f"memory {hardware.dram.name}": transfer},
        )
        return MappedOperator(
            operator.name,
            operator.kind,
            unit.name,
            (alternative,),
            rejected,
            macs=operator.macs,
            executed_macs=operator.macs,
            vector_ops=min(operator.vector_ops, priced_operations),
            compute_format=_format(operator, tensors, unit),
            reads=reads,
            writes=writes,
        )


def _depth(chip: Memory | None) -> int:
    return 2 if chip is None or chip.double_buffered else 1


def _format(operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit) -> str:
    return vector_format(nest_format(operator.nests[0], tensors, operator.internal), unit) or ""


def _work(operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit, hardware: Hardware) -> tuple[float, dict[str, float]]:
    """(cycles of the device's clock, actions) of all nests."""
    cycles = 0.0
    actions: dict[str, float] = {}
    axis = int(operator.attributes.get("axis", -1))
    for nest in operator.nests:
        name = vector_format(nest_format(nest, tensors, operator.internal), unit)
        assert name is not None
        mac = nest.function == "mac"
        operations = _MAC * nest.points if mac else vector_operations(nest, unit, axis)
        cycles += vector_cycles(nest, name, unit, hardware, axis, _MAC if mac else None)
        key = f"{unit.name}.vector.{name}"
        actions[key] = actions.get(key, 0.0) + operations
    return cycles, actions


def _passes(
    operator: Operator, tensors: Mapping[str, Tensor], reads: Mapping[str, int], chip: Memory | None
) -> tuple[int, tuple[Rejected, ...]]:
    """How often the inputs are read: twice where an operator needs whole rows and a row does not fit on chip."""
    if operator.kind not in _ROW_KINDS or chip is None or not operator.inputs:
        return 1, ()
    tensor = tensors[operator.inputs[0]]
    axis = operator.attributes.get("axis", -1)
    whole = str(operator.attributes.get("norm", "")) in ("groupnorm", "instancenorm")
    row = prod(tensor.shape[1:]) if whole else tensor.shape[int(axis)] if tensor.shape else 1
    need = ceil(row * tensor.stored_bytes / max(1, tensor.values))
    room = chip.size_bytes // 2
    if need <= room:
        return 1, ()
    reason = f"a row of {need} bytes does not fit half of {chip.name!r} ({room} bytes), so the input is read {_ROW_PASSES} times"
    return _ROW_PASSES, (Rejected("one pass", reason),)


def _spilled(operator: Operator, chip: Memory | None) -> dict[str, int]:
    """Internal tensors that go off chip and come back, with their bytes: what a multiply-accumulate nest makes or takes and what does
    not fit.

    Elementwise chains pass their internal values on tile by tile and spill nothing.
    """
    room = chip.size_bytes // 2 if chip is not None else 0
    around = {operand.tensor for nest in operator.nests if nest.function == "mac" for operand in (*nest.reads, *nest.writes)}
    return {name: tensor.stored_bytes for name, tensor in operator.internal.items() if name in around and tensor.stored_bytes > room}


def _tiles(moved: int, operator: Operator, chip: Memory | None) -> int:
    room = max(1, chip.size_bytes // 4) if chip is not None else SMALL_TILE_BYTES
    fitting = -(-moved // room)
    overlapping = min(TILES, moved // SMALL_TILE_BYTES)
    points = max(nest.points for nest in operator.nests)
    return max(1, min(max(fitting, overlapping), points))


def stream(
    unit: str, dram: str, chip: str, loads: Mapping[str, int], stores: Mapping[str, int], cycles: int, tiles: int, depth: int
) -> tuple[tuple[Stage, ...], tuple[Edge, ...]]:
    """Store, work and load stages of ``tiles`` firings each, totals exact; the store first, so that the port drains before it fills."""
    work = Stage("work", unit, even({"": cycles}, tiles))
    stages = []
    edges = []
    if any(loads.values()):
        stages.append(Stage("load", PORT + dram, even(loads, tiles, dram, chip)))
        edges.append(Edge("load", "work", 1, 1, 0, depth))
    stages.append(work)
    if any(stores.values()):
        stages.append(Stage("store", PORT + dram, even(stores, tiles, chip, dram)))
        edges.append(Edge("work", "store", 1, 1, 0, depth))
    return tuple(reversed(stages)), tuple(edges)


def even(totals: Mapping[str, int], tiles: int, source: str = "", target: str = "") -> tuple[Segment, ...]:
    """``tiles`` firings that share every total as evenly as whole numbers allow: bytes by tensor, or cycles under the name ``""``."""
    cuts = sorted({total % tiles for total in totals.values()} | {tiles})
    segments = []
    start = 0
    for end in cuts:
        if end == start:
            continue
        sizes = {name: total // tiles + (start < total % tiles) for name, total in totals.items()}
        if "" in sizes:
            segments.append(Segment(end - start, sizes[""]))
        else:
            segments.append(Segment(end - start, 0, tuple(Transfer(name, size, source, target) for name, size in sizes.items() if size)))
        start = end
    return tuple(segments)
