"""The mapped graph: a bounded dataflow graph per operator, with alternatives.

A *stage* runs on one unit: run-length encoded firings ``(repeat, cycles)`` with transfers per firing. An *edge* carries tokens
between stages: produced and consumed per firing, initial tokens, capacity; double buffering is an edge of capacity 2.
Mappers count work; they do not play overlap or contention, and they count no off-chip energy (the simulator does, from the
transfers that the schedule leaves).

Cycles are int64 counts of ``Hardware.clock_hz``; bytes are int64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from math import ceil

from hwspecs.hardware import Hardware
from hwspecs.vocabulary.records import dataclass
from workloads.graph import OperatorGraph, Tensor

PORT = "port:"
"""Prefix of the pseudo-unit of a memory port: a stage on ``port:hbm`` only moves bytes, its cycles come from the memory's bandwidth."""
LINK = "link:"
"""Prefix of the pseudo-unit of a link between cores: a stage on ``link:noc`` carries bytes in its own cycles; where they come from or go to
off-chip memory, its firing holds the link and the port together."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bytes of one tensor that one firing moves.

    Attributes:
        tensor: name in the operator's graph (or internal name: partial sums).
        bytes: bytes per firing.
        source, target: memory names; one of them is off chip for traffic that a schedule may save.
        access_bytes: length of one contiguous access, for the bandwidth curve; 0 means a long stream.
    """

    tensor: str
    bytes: int
    source: str
    target: str
    access_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """``repeat`` equal firings of ``cycles`` each; on a port stage ``cycles`` is extra time beside the transfer (latency), usually 0."""

    repeat: int
    cycles: int
    transfers: tuple[Transfer, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """Firings on one unit or memory port.

    A stage on a unit whose segments carry off-chip transfers holds unit and memory port together; its firing lasts
    ``(cycles^p + transfer_cycles^p)^(1/p)`` with p = ``overlap`` (1: one after the other; None: perfect overlap, the maximum).

    ``work`` splits the cycles of all firings by what they are spent on, where that is more than the unit's arithmetic: resource
    (``compute:<unit>``, ``memory:<name>``) to cycles of its own work, beside the transfers. It says what binds; it takes no time.
    """

    name: str
    unit: str
    segments: tuple[Segment, ...]
    overlap: float | None = None
    work: Mapping[str, int] | None = None

    @property
    def firings(self) -> int:
        """Number of firings."""
        return sum(segment.repeat for segment in self.segments)

    @property
    def cycles(self) -> int:
        """Busy cycles without transfers."""
        return sum(segment.repeat * segment.cycles for segment in self.segments)


def firing_cycles(cycles: int, transfer: int, overlap: float | None) -> int:
    """Cycles of a firing that computes for ``cycles`` and transfers for ``transfer``: their p-norm, p = ``overlap`` (None: the maximum)."""
    longest = max(cycles, transfer)
    if overlap is None or not cycles or not transfer:
        return longest
    if overlap == 1.0:
        return cycles + transfer
    scaled = (cycles / longest) ** overlap + (transfer / longest) ** overlap
    return max(longest, ceil(longest * float(scaled ** (1.0 / overlap))))


@dataclass(frozen=True, slots=True)
class Edge:
    """Tokens from stage ``source`` to stage ``target`` (names within one alternative).

    A firing of ``source`` needs ``produced`` free places at its start and leaves its tokens at its end; a firing of ``target``
    needs ``consumed`` tokens at its start and frees their places at its end. ``capacity`` 0 means unbounded.
    Fewer than no ``initial`` tokens hold the target's first firing back for that many more (the window of a convolution).
    A *barrier* (``produced == consumed == 0``) lets the first firing of ``target`` start after the last one of ``source`` ends.
    """

    source: str
    target: str
    produced: int = 1
    consumed: int = 1
    initial: int = 0
    capacity: int = 2


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to run an operator.

    Attributes:
        name: what it is (``128x256 tiles, split-k 2``, ``output-stationary, 64x64x512``).
        stages, edges: the dataflow graph; stages in program order.
        working_set_bytes: bytes of the residency memory (``Hardware.on_chip``) that it needs while it runs.
        cycles_estimate: the mapper's own estimate of its cycles with all operands off chip, to rank alternatives.
        actions: on-chip action to count, for energy: keys of ``ComputeUnit.energy_j`` prefixed by the unit's name
            (``sm.mac.bf16``) and ``<memory>.read.byte`` / ``<memory>.write.byte`` for on-chip memories.
        breakdown: named parts of the time in cycles (``compute``, ``l2``, ``launch``), for ``--explain``.
        notes: warnings that a report must show.
        queues: independent queues (one per core, one per branch) that its stages wait in: a port or link serves several requesters, and
            looks at a bounded number of stages of each.
    """

    name: str
    stages: tuple[Stage, ...]
    edges: tuple[Edge, ...]
    working_set_bytes: int
    cycles_estimate: int
    actions: Mapping[str, float] = field(default_factory=dict)
    breakdown: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    queues: int = 1


class PlannedLater(Alternative):
    """An alternative that is only weighed until someone asks for its dataflow graph, which is then built once.

    A schedule compares alternatives by working set and estimate and takes one of them; building the graphs of the others would be
    most of the work of mapping. It reads as an ``Alternative`` does; to derive another from it (``dataclasses.replace``), take ``built()``.

    Attributes:
        pattern: of an alternative that was handed from an equal operator: the alternative that it repeats, and that one's tensor names to
            its own; else None. Both play alike.
    """

    __slots__ = ("_build", "_graph", "pattern")

    def __init__(
        self, name: str, working_set_bytes: int, cycles_estimate: int, notes: tuple[str, ...], build: Callable[[], Alternative],
        pattern: tuple[Alternative, Mapping[str, str]] | None = None,
    ) -> None:  # fmt: skip
        """``build`` gives an alternative with the same name, working set, estimate and notes, and one queue."""
        put = object.__setattr__
        put(self, "name", name)
        put(self, "working_set_bytes", working_set_bytes)
        put(self, "cycles_estimate", cycles_estimate)
        put(self, "notes", notes)
        put(self, "queues", 1)
        put(self, "_build", build)
        put(self, "_graph", None)
        put(self, "pattern", pattern)

    def built(self) -> Alternative:
        """The alternative with its graph."""
        if self._graph is None:
            object.__setattr__(self, "_graph", self._build())
        assert self._graph is not None
        return self._graph

    _build: Callable[[], Alternative]
    _graph: Alternative | None
    pattern: tuple[Alternative, Mapping[str, str]] | None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """See ``Alternative``."""
        return self.built().stages

    @property
    def edges(self) -> tuple[Edge, ...]:
        """See ``Alternative``."""
        return self.built().edges

    @property
    def actions(self) -> Mapping[str, float]:
        """See ``Alternative``."""
        return self.pattern[0].actions if self.pattern is not None else self.built().actions

    @property
    def breakdown(self) -> Mapping[str, int]:
        """See ``Alternative``."""
        return self.pattern[0].breakdown if self.pattern is not None else self.built().breakdown


@dataclass(frozen=True, slots=True)
class Rejected:
    """A candidate that a mapper looked at and dropped, with the reason (for ``--explain``)."""

    name: str
    reason: str
    cycles_estimate: int = 0


@dataclass(frozen=True, slots=True)
class MappedOperator:
    """One operator with its Pareto list of alternatives, best first by the mapper's own ranking.

    Attributes:
        operator: name; ``kind``: the operator's kind.
        unit: the unit it runs on; ``fell_back_from``: the unit that could not run it, or None.
        macs: dense MACs; ``executed_macs``: MACs really issued (sparsity exploited, padding not counted).
        compute_format: rate name of the arithmetic (``bf16``); ``pattern``: sparsity pattern exploited (``dense``).
        reads, writes: tensor to compulsory bytes in this operator (each operand once).
        members: of an operator that stands for several ones run together (``mappings.groups``): those, as they are mapped alone.
        training_pass: ``FF``, ``BP``, ``WU``, ``update`` or ``recompute`` in a training step, else empty.
    """

    operator: str
    kind: str
    unit: str
    alternatives: tuple[Alternative, ...]
    rejected: tuple[Rejected, ...] = ()
    fell_back_from: str | None = None
    macs: int = 0
    executed_macs: int = 0
    vector_ops: int = 0
    compute_format: str = ""
    pattern: str = "dense"
    reads: Mapping[str, int] = field(default_factory=dict)
    writes: Mapping[str, int] = field(default_factory=dict)
    members: tuple[MappedOperator, ...] = ()
    training_pass: str = ""


@dataclass(frozen=True, slots=True)
class MappedBlock:
    """Operators in program order that run ``count`` times over (one repeat of the graph, or a straight stretch with count 1).

    Attributes:
        tensors: name to tensor of everything the block's operators touch.
        carried: (output, input) of a repeat; ``shared``: tensors that are the same in every round.
        entering: block tensors that exist before the block runs: name in the block to name in the enclosing graph.
        leaving: block tensors that are used after the block: name in the block to name in the enclosing graph.
        stacked: block tensors that are another slice of one tensor of the enclosing graph in each round (``Repeat.stacked``): name in the
            block to that tensor's name. Whatever the block makes of them goes off chip.
    """

    name: str
    operators: tuple[MappedOperator, ...]
    count: int
    tensors: Mapping[str, Tensor]
    carried: tuple[tuple[str, str], ...] = ()
    shared: tuple[str, ...] = ()
    entering: Mapping[str, str] = field(default_factory=dict)
    leaving: Mapping[str, str] = field(default_factory=dict)
    stacked: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MappedGraph:
    """A graph mapped onto hardware; blocks run in order.

    ``hardware`` is what it was mapped onto: of a crossbar with several chips, all that are in use. ``in_memory``: what a crossbar's arrays
    hold (``mappings.crossbar.report``), else None.
    """

    graph: OperatorGraph
    hardware: Hardware
    blocks: tuple[MappedBlock, ...]
    notes: tuple[str, ...] = ()
    in_memory: Mapping[str, object] | None = None
