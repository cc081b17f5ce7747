"""From an alternative and the traffic that the schedule leaves to whole cycles per firing: the form that the kernels play.

Resources are the names of units (``sm``, ``array``), one port per off-chip memory (``port:hbm``), and whatever other names mappers give
their stages. A firing of a stage

* on ``port:X`` lasts the time of its off-chip bytes at the achieved bandwidth, plus ``cycles`` (latency). If the schedule
  keeps all its tensors on chip, the firing lasts no time at all: neither bytes nor latency are paid;
* on a unit without off-chip transfers lasts ``cycles``;
* on a unit with off-chip transfers holds the unit for ``(cycles^p + transfer^p)^(1/p)`` and each port it uses for that port's own
  transfer cycles; ``transfer`` is that of the slowest port, because ports work side by side.

Transfer cycles are ``ceil(bytes x clock / achieved bandwidth)`` per firing, so a firing never beats the data sheet. Transfers between
on-chip memories take no time here: they are in the mapper's cycles.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from math import ceil, inf

from hwspecs.hardware import Hardware, Memory
from hwspecs.vocabulary.errors import ContractError, InfeasibleError
from mappings.dataflow import PORT, Alternative, Edge, Segment, Stage

LAUNCH = "launch"
"""Stages of this name count as the resource ``launch``, whatever unit they run on."""
LONGEST = 1 << 62
"""Bound on (sum of durations + 1) x 2 x resources: above it, the kernels' event keys would leave int64."""

_SAVED_LOADS, _SAVED_STORES = "saved loads", "saved stores"

Hold = tuple[int, int]
"""A further resource that a firing holds, and for how many cycles."""
FlowSegment = tuple[int, int, tuple[Hold, ...]]
"""Firings, cycles of one, further holds."""
FlowStage = tuple[int, tuple[FlowSegment, ...]]
"""Home resource and segments."""
FlowEdge = tuple[int, int, int, int, int, int]
"""Source, target, produced, consumed, initial, capacity."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A dataflow graph in whole cycles.

    Attributes:
        stages: (home resource, ((repeat, cycles, ((resource, cycles), ...)), ...)) in program order.
        edges: (source, target, produced, consumed, initial, capacity) by stage number.
        resources: names of the resources; ``names``: names of the stages.
    """

    stages: tuple[FlowStage, ...]
    edges: tuple[FlowEdge, ...]
    resources: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def key(self) -> tuple[tuple[FlowStage, ...], tuple[FlowEdge, ...]]:
        """Flows of equal key play alike."""
        return self.stages, self.edges

    @property
    def firings(self) -> int:
        """Firings of all stages."""
        return sum(segment[0] for _, segments in self.stages for segment in segments)


@dataclass(frozen=True, slots=True)
class Lowered:
    """A lowered alternative.

    Attributes:
        read_bytes, written_bytes: off-chip memory to bytes that move, all firings.
        kept_read_bytes, kept_written_bytes: bytes whose off-chip transfer the schedule saved.
        work: resource label (``compute:<unit>``, ``memory:<name>``, ``launch``) to cycles of its own work, waiting left out.
    """

    flow: Flow
    read_bytes: dict[str, int] = field(default_factory=dict)
    written_bytes: dict[str, int] = field(default_factory=dict)
    kept_read_bytes: int = 0
    kept_written_bytes: int = 0
    work: dict[str, int] = field(default_factory=dict)


def transfer_cycles(memory: Memory, clock_hz: float, nbytes: int, access_bytes: int = 0) -> float:
    """Cycles (not rounded) that ``nbytes`` take at the achieved bandwidth of accesses of ``access_bytes`` (0: a long stream)."""
    bandwidth = min(memory.achieved_bandwidth(access_bytes or inf), memory.bandwidth_bytes_per_s)
    return nbytes * clock_hz / bandwidth


def combine(cycles: int, transfer: int, overlap: float | None) -> int:
    """Cycles of a firing that computes for ``cycles`` and transfers for ``transfer``: their p-norm, p = ``overlap`` (None: the maximum)."""
    longest = max(cycles, transfer)
    if overlap is None or not cycles or not transfer:
        return longest
    if overlap == 1.0:
        return cycles + transfer
    scaled = (cycles / longest) ** overlap + (transfer / longest) ** overlap
    return max(longest, ceil(longest * float(scaled ** (1.0 / overlap))))


class Lowering:
    """Lowers the alternatives of one operator list on one hardware; remembers resource numbers only."""

    def __init__(self, hardware: Hardware) -> None:
        self.hardware = hardware
        self.off_chip = {name: memory for name, memory in hardware.memories.items() if memory.off_chip}

    def lower(
        self,
        operator: str,
        alternative: Alternative,
        kept_reads: AbstractSet[str] = frozenset(),
        kept_writes: AbstractSet[str] = frozenset(),
    ) -> Lowered:
        """Lower one alternative.

        Args:
            operator: name, for messages.
            kept_reads, kept_writes: tensors whose off-chip loads and stores do not happen.

        Raises:
            ContractError: a stage on an unknown port, an edge to an unknown stage or with senseless tokens, negative cycles or bytes.
            InfeasibleError: so long that cycles leave int64.
        """
        resources: dict[str, int] = {}
        lowered = Lowered(Flow((), (), (), ()))
        stages = tuple(self._stage(operator, stage, resources, kept_reads, kept_writes, lowered) for stage in alternative.stages)
        numbers = {stage.name: number for number, stage in enumerate(alternative.stages)}
        if len(numbers) < len(stages):
            raise ContractError(f"alternative {alternative.name!r} has two stages of one name", where=operator)
        edges = tuple(_edge(operator, edge, numbers) for edge in alternative.edges)
        flow = _checked_length(Flow(stages, edges, tuple(resources), tuple(numbers)), operator)
        work = lowered.work
        saved = work.pop(_SAVED_LOADS, 0), work.pop(_SAVED_STORES, 0)
        return Lowered(flow, lowered.read_bytes, lowered.written_bytes, *saved, work)

    def _stage(
        self,
        operator: str,
        stage: Stage,
        resources: dict[str, int],
        kept_reads: AbstractSet[str],
        kept_writes: AbstractSet[str],
        into: Lowered,
    ) -> FlowStage:
        home = resources.setdefault(stage.unit, len(resources))
        port = stage.unit[len(PORT) :] if stage.unit.startswith(PORT) else None
        if port is not None and port not in self.off_chip:
            raise ContractError(f"stage {stage.name!r} runs on the port of {port!r}, which is no off-chip memory", where=operator)
        if stage.overlap is not None and stage.overlap < 1.0:
            raise ContractError(f"stage {stage.name!r} has overlap {stage.overlap}, below 1", where=operator)
        segments: list[FlowSegment] = []
        for segment in stage.segments:
            if segment.repeat < 0 or segment.cycles < 0:
                raise ContractError(f"stage {stage.name!r} has a negative count of firings or cycles", where=operator)
            if not segment.transfers:
                label = f"memory:{port}" if port is not None else LAUNCH if stage.name == LAUNCH else f"compute:{stage.unit}"
                into.work[label] = into.work.get(label, 0) + segment.repeat * segment.cycles
                segments.append((segment.repeat, segment.cycles, ()))
                continue
            cycles_by_port, saved_all = self._transfers(operator, segment, kept_reads, kept_writes, into)
            for name, cycles in cycles_by_port.items():
                into.work[f"memory:{name}"] = into.work.get(f"memory:{name}", 0) + segment.repeat * cycles
            if port is not None:
                own = cycles_by_port.pop(port, 0)
                longest = max((own, *cycles_by_port.values()))
                duration = 0 if saved_all else longest + segment.cycles
                latency = duration - longest if not saved_all else 0
                into.work[f"memory:{port}"] = into.work.get(f"memory:{port}", 0) + segment.repeat * latency
            else:
                duration = combine(segment.cycles, max(cycles_by_port.values(), default=0), stage.overlap)
                label = LAUNCH if stage.name == LAUNCH else f"compute:{stage.unit}"
                into.work[label] = into.work.get(label, 0) + segment.repeat * segment.cycles
            holds = tuple((resources.setdefault(PORT + name, len(resources)), cycles) for name, cycles in cycles_by_port.items() if cycles)
            segments.append((segment.repeat, duration, holds))
        return home, tuple(segments)

    def _transfers(
        self, operator: str, segment: Segment, kept_reads: AbstractSet[str], kept_writes: AbstractSet[str], into: Lowered
    ) -> tuple[dict[str, int], bool]:
        """Cycles per port of one firing, and whether the schedule saved every off-chip byte of it; books bytes into ``into``."""
        exact: dict[str, float] = {}
        saved = False
        repeat, clock = segment.repeat, self.hardware.clock_hz
        for transfer in segment.transfers:
            if transfer.bytes < 0:
                raise ContractError(f"moves {transfer.bytes} bytes of {transfer.tensor!r}", where=operator)
            source = self.off_chip.get(transfer.source)
            if source is not None:
                if transfer.tensor in kept_reads:
                    into.work[_SAVED_LOADS] = into.work.get(_SAVED_LOADS, 0) + repeat * transfer.bytes
                    saved = True
                    continue
                into.read_bytes[source.name] = into.read_bytes.get(source.name, 0) + repeat * transfer.bytes
                exact[source.name] = exact.get(source.name, 0.0) + transfer_cycles(source, clock, transfer.bytes, transfer.access_bytes)
            target = self.off_chip.get(transfer.target)
            if target is not None:
                if source is None and transfer.tensor in kept_writes:
                    into.work[_SAVED_STORES] = into.work.get(_SAVED_STORES, 0) + repeat * transfer.bytes
                    saved = True
                    continue
                into.written_bytes[target.name] = into.written_bytes.get(target.name, 0) + repeat * transfer.bytes
                exact[target.name] = exact.get(target.name, 0.0) + transfer_cycles(target, clock, transfer.bytes, transfer.access_bytes)
        return {name: ceil(cycles) for name, cycles in exact.items()}, saved and not exact


def _edge(operator: str, edge: Edge, numbers: dict[str, int]) -> FlowEdge:
    """An edge by stage numbers, checked."""
    try:
        source, target = numbers[edge.source], numbers[edge.target]
    except KeyError as error:
        raise ContractError(f"an edge joins stage {error.args[0]!r}, which is not there", where=operator) from None
    if min(edge.produced, edge.consumed, edge.initial, edge.capacity) < 0 or (edge.produced == 0) != (edge.consumed == 0):
        raise ContractError(f"edge {edge.source!r} -> {edge.target!r} has senseless token counts", where=operator)
    if edge.capacity and edge.initial > edge.capacity:
        raise ContractError(f"edge {edge.source!r} -> {edge.target!r} starts with more tokens than it holds", where=operator)
    return source, target, edge.produced, edge.consumed, edge.initial, edge.capacity


def _checked_length(flow: Flow, operator: str) -> Flow:
    total = sum(repeat * cycles for _, segments in flow.stages for repeat, cycles, _ in segments)
    if (total + 1) * 2 * max(1, len(flow.resources)) >= LONGEST:
        raise InfeasibleError(f"would run for {total} cycles, more than the tool can count", where=operator, hint="check sizes and rates")
    return flow


def chain(flows: list[Flow]) -> Flow:
    """One flow that plays ``flows`` one after the other: a barrier from every stage of one to every stage of the next that fires.

    Flows without firings take no time and are left out. Resources of equal name are one resource.

    Raises:
        InfeasibleError: all of them together are so long that cycles leave int64.
    """
    resources: dict[str, int] = {}
    stages: list[FlowStage] = []
    names: list[str] = []
    edges: list[FlowEdge] = []
    previous: range = range(0)
    for flow in flows:
        if not flow.firings:
            continue
        number = [resources.setdefault(name, len(resources)) for name in flow.resources]
        first = len(stages)
        for home, segments in flow.stages:
            moved = tuple((repeat, cycles, tuple((number[r], hold) for r, hold in holds)) for repeat, cycles, holds in segments)
            stages.append((number[home], moved))
        names.extend(flow.names)
        edges.extend((e[0] + first, e[1] + first, e[2], e[3], e[4], e[5]) for e in flow.edges)
        current = range(first, len(stages))
        edges.extend((source, target, 0, 0, 0, 0) for source in previous for target in current)
        previous = current
    return _checked_length(Flow(tuple(stages), tuple(edges), tuple(resources), tuple(names)), "the unfolded program")
