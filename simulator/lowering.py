"""From an alternative and the traffic that the schedule leaves to whole cycles per firing: the form that the kernels play.

Resources are the names of units (``sm``, ``array``; ``array.0``, ``array.1`` on several cores), one port per off-chip memory
(``port:hbm``), the link between cores (``link:noc``), and whatever other names mappers give their stages. A firing of a stage

* on ``port:X`` lasts the time of its off-chip bytes at the achieved bandwidth, plus ``cycles`` (latency). If the schedule
  keeps all its tensors on chip, the firing lasts no time at all: neither bytes nor latency are paid;
* on a unit without off-chip transfers lasts ``cycles``;
* on a unit with off-chip transfers holds the unit for ``(cycles^p + transfer^p)^(1/p)`` and each port it uses for that port's own
  transfer cycles; ``transfer`` is that of the slowest port, because ports work side by side.

Transfer cycles are ``ceil(bytes x clock / achieved bandwidth)`` per firing, so a firing never beats the data sheet. Transfers between
on-chip memories take no time here: they are in the mapper's cycles. At the cycle rung the banked DRAM of ``simulator.ports`` gives the
transfer cycles instead.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import field
from math import ceil, inf

from hwspecs.hardware import Hardware, Memory
from hwspecs.vocabulary.errors import ContractError, InfeasibleError
from hwspecs.vocabulary.records import dataclass
from mappings.dataflow import LINK, PORT, Alternative, Edge, Segment, Stage, firing_cycles
from simulator.dram import Commands, Move
from simulator.ports import Ports

LAUNCH = "launch"
"""Stages of this name count as the resource ``launch``, whatever unit they run on."""
LONGEST = 1 << 62
"""Bound on (sum of durations + 1) x 2 x resources: above it, the kernels' event keys would leave int64."""

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
        queues: see ``Alternative.queues``.
    """

    stages: tuple[FlowStage, ...]
    edges: tuple[FlowEdge, ...]
    resources: tuple[str, ...]
    names: tuple[str, ...]
    queues: int = 1

    @property
    def key(self) -> tuple[tuple[FlowStage, ...], tuple[FlowEdge, ...], int]:
        """Flows of equal key play alike."""
        return self.stages, self.edges, self.queues

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
        work: resource label (``compute:<unit>``, ``memory:<name>``, ``link:<name>``, ``launch``) to cycles of its work, waiting left out.
    """

    flow: Flow
    read_bytes: dict[str, int] = field(default_factory=dict)
    written_bytes: dict[str, int] = field(default_factory=dict)
    kept_read_bytes: int = 0
    kept_written_bytes: int = 0
    work: dict[str, int] = field(default_factory=dict)
    commands: dict[str, Commands] | None = None
    """Off-chip memory to DRAM commands, all firings; None below the cycle rung."""


def transfer_cycles(memory: Memory, clock_hz: float, nbytes: int, access_bytes: int = 0) -> float:
    """Cycles (not rounded) that ``nbytes`` take at the achieved bandwidth of accesses of ``access_bytes`` (0: a long stream)."""
    bandwidth = min(memory.achieved_bandwidth(access_bytes or inf), memory.bandwidth_bytes_per_s)
    return nbytes * clock_hz / bandwidth


def resource_label(unit: str) -> str:
    """How results call a stage's unit: ``memory:<name>`` for a port, ``link:<name>`` for a link, else ``compute:<unit>``."""
    if unit.startswith(PORT):
        return f"memory:{unit[len(PORT) :]}"
    return unit if unit.startswith(LINK) else f"compute:{unit}"


class Lowering:
    """Lowers alternatives onto one hardware; remembers what transfers of one size cost.

    With ``ports`` (the cycle rung) transfers last what the banked DRAM behind them takes, in place of the achieved bandwidth.
    """

    def __init__(self, hardware: Hardware, ports: Ports | None = None) -> None:
        self.hardware = hardware
        self.ports = ports
        self.off_chip = {name: memory for name, memory in hardware.memories.items() if memory.off_chip}
        self._cycles: dict[tuple[str, int, int], float] = {}

    def cycles(self, memory: str, nbytes: int, access_bytes: int) -> float:
        """``transfer_cycles`` of an off-chip memory, remembered."""
        key = (memory, nbytes, access_bytes)
        found = self._cycles.get(key)
        if found is None:
            found = self._cycles[key] = transfer_cycles(self.off_chip[memory], self.hardware.clock_hz, nbytes, access_bytes)
        return found

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
        one = _Pass(self, operator, kept_reads, kept_writes)
        if self.ports is not None:
            one.read_by = self.ports.read_by(alternative, kept_reads)
        stages = tuple([one.stage(stage) for stage in alternative.stages])
        numbers = {stage.name: number for number, stage in enumerate(alternative.stages)}
        if len(numbers) < len(stages):
            raise ContractError(f"alternative {alternative.name!r} has two stages of one name", where=operator)
        edges = tuple([_edge(operator, edge, numbers) for edge in alternative.edges])
        flow = _checked_length(Flow(stages, edges, tuple(one.resources), tuple(numbers), alternative.queues), operator)
        return Lowered(flow, one.read_bytes, one.written_bytes, one.kept_read_bytes, one.kept_written_bytes, one.work, one.commands)


class _Pass:
    """One alternative on its way down: numbers its resources and books its bytes and work (as in ``Lowered``)."""

    def __init__(self, lowering: Lowering, operator: str, kept_reads: AbstractSet[str], kept_writes: AbstractSet[str]) -> None:
        self.lowering, self.operator = lowering, operator
        self.kept_reads, self.kept_writes = kept_reads, kept_writes
        self.resources: dict[str, int] = {}
        self.read_bytes: dict[str, int] = {}
        self.written_bytes: dict[str, int] = {}
        self.kept_read_bytes = self.kept_written_bytes = 0
        self.work: dict[str, int] = {}
        self.commands: dict[str, Commands] | None = None if lowering.ports is None else {}
        self.read_by: frozenset[str] = frozenset()

    def stage(self, stage: Stage) -> FlowStage:
        """Home resource and segments of a stage."""
        port = stage.unit[len(PORT) :] if stage.unit.startswith(PORT) else None
        if port is not None and port not in self.lowering.off_chip:
            raise ContractError(f"stage {stage.name!r} runs on the port of {port!r}, which is no off-chip memory", where=self.operator)
        if stage.overlap is not None and stage.overlap < 1.0:
            raise ContractError(f"stage {stage.name!r} has overlap {stage.overlap}, below 1", where=self.operator)
        home = self.resources.setdefault(stage.unit, len(self.resources))
        segments: list[FlowSegment] = []
        own = 0
        for segment in stage.segments:
            if segment.repeat < 0 or segment.cycles < 0:
                raise ContractError(f"stage {stage.name!r} has a negative count of firings or cycles", where=self.operator)
            cycles = segment.cycles
            if not segment.transfers:
                segments.append((segment.repeat, cycles, ()))
                own += segment.repeat * cycles
                continue
            by_port, saved_all = self._transfers(segment)
            if port is not None:
                cycles = 0 if saved_all else cycles
                duration = max(by_port.values(), default=0) + cycles
                by_port.pop(port, 0)
            else:
                duration = firing_cycles(cycles, max(by_port.values(), default=0), stage.overlap)
            own += segment.repeat * cycles
            holds = tuple([(self.resources.setdefault(PORT + name, len(self.resources)), held) for name, held in by_port.items() if held])
            segments.append((segment.repeat, duration, holds))
        if stage.work is not None:
            for resource, cycles in stage.work.items():
                self._book(resource, cycles)
        elif own:
            self._book(LAUNCH if stage.name == LAUNCH else resource_label(stage.unit), own)
        return home, tuple(segments)

    def _book(self, resource: str, cycles: int) -> None:
        self.work[resource] = self.work.get(resource, 0) + cycles

    def _transfers(self, segment: Segment) -> tuple[dict[str, int], bool]:
        """Cycles per port of one firing, and whether the schedule saved every off-chip byte of it."""
        exact: dict[str, float] = {}
        moves: dict[str, list[Move]] = {}
        saved = False
        repeat, off_chip = segment.repeat, self.lowering.off_chip
        for move in segment.transfers:
            if move.bytes < 0:
                raise ContractError(f"moves {move.bytes} bytes of {move.tensor!r}", where=self.operator)
            source, target = move.source, move.target
            loads, stores = source in off_chip, target in off_chip
            if loads and move.tensor in self.kept_reads:
                self.kept_read_bytes += repeat * move.bytes
                saved = True
                continue
            if stores and not loads and move.tensor in self.kept_writes:
                self.kept_written_bytes += repeat * move.bytes
                saved = True
                continue
            if loads:
                self.read_bytes[source] = self.read_bytes.get(source, 0) + repeat * move.bytes
                exact[source] = exact.get(source, 0.0) + self.lowering.cycles(source, move.bytes, move.access_bytes)
                if self.commands is not None:
                    moves.setdefault(source, []).append(Move(move.bytes, False, move.access_bytes))
            if stores:
                self.written_bytes[target] = self.written_bytes.get(target, 0) + repeat * move.bytes
                exact[target] = exact.get(target, 0.0) + self.lowering.cycles(target, move.bytes, move.access_bytes)
                if self.commands is not None:
                    moves.setdefault(target, []).append(Move(move.bytes, True, move.access_bytes))
        if self.commands is not None:
            exact = {name: self._banked(name, found, repeat) for name, found in moves.items()}
        by_port = {name: ceil(cycles) for name, cycles in exact.items()}
        for name, held in by_port.items():
            self._book(f"memory:{name}", repeat * held)
        return by_port, saved and not exact

    def _banked(self, memory: str, moves: list[Move], repeat: int) -> float:
        """Cycles that the DRAM takes for one firing; books the commands of all of them."""
        assert self.lowering.ports is not None
        assert self.commands is not None
        cycles, commands = self.lowering.ports.cost(memory, moves, memory in self.read_by)
        self.commands[memory] = self.commands.get(memory, Commands()).plus(commands.scaled(repeat))
        return cycles


def _edge(operator: str, edge: Edge, numbers: dict[str, int]) -> FlowEdge:
    """An edge by stage numbers, checked."""
    try:
        source, target = numbers[edge.source], numbers[edge.target]
    except KeyError as error:
        raise ContractError(f"an edge joins stage {error.args[0]!r}, which is not there", where=operator) from None
    if min(edge.produced, edge.consumed, edge.capacity) < 0 or (edge.produced == 0) != (edge.consumed == 0):
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
    queues = max((flow.queues for flow in flows), default=1)
    return _checked_length(Flow(tuple(stages), tuple(edges), tuple(resources), tuple(names), queues), "the unfolded program")
