"""The result of a run, and its stored form: one JSON document from which every table, plot and report is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hwspecs.vocabulary import records

RESULT_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class OperatorResult:
    """One operator of the program (folded: ``count`` equal rounds are one row).

    Attributes:
        start_s, end_s: of the first round.
        time_s: all rounds together, end - start summed; ``share``: of the whole latency.
        bound_by: ``compute:<unit>``, ``memory:<name>``, ``launch`` or ``wait``: the resource that held it longest.
        roof_s: roofline time of this operator's bytes under the schedule and its work, all rounds.
        intensity: dense FLOPs (2 MACs) plus vector operations per off-chip byte; 0 where no byte moves off chip.
        bytes_by_memory: memory name to (read bytes, written bytes), all rounds.
        energy_j: component to joules, all rounds, dynamic only.
        breakdown: named parts of the time in cycles, of one round.
    """

    name: str
    kind: str
    unit: str
    alternative: str
    count: int
    start_s: float
    end_s: float
    time_s: float
    share: float
    bound_by: str
    roof_s: float
    macs: int
    executed_macs: int
    vector_ops: int
    compute_format: str
    pattern: str
    intensity: float
    dram_bytes: int
    compulsory_bytes: int
    bytes_by_memory: Mapping[str, tuple[int, int]]
    energy_j: Mapping[str, float]
    breakdown: Mapping[str, int] = field(default_factory=dict)
    fell_back_from: str | None = None
    alternatives: tuple[tuple[str, int, str], ...] = ()
    """(name, estimated cycles, why not chosen; empty for the chosen one)."""
    training_pass: str = ""
    """``FF``, ``BP``, ``WU``, ``update`` or ``recompute`` in a training step, else empty."""
    members: tuple[str, ...] = ()
    """Names of the operators that this row stands for where several run as one (``search="play"``); empty for an operator of its own."""


@records.dataclass(frozen=True, slots=True)
class Span:
    """A busy stretch of one unit or port, for the timeline: operator, stage, start and end in cycles."""

    resource: str
    operator: str
    stage: str
    start_cycles: int
    end_cycles: int


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """What ``cyclewright.run`` returns.

    Attributes (beside the obvious):
        flops: 2 x dense MACs; ``executed_flops``: 2 x MACs issued; ``vector_ops``: elementwise operations beside them.
        mfu: flops / (latency x dense peak of the format that carries most MACs), without operators that training recomputes
            (Chowdhery et al., arXiv 2204.02311, appendix B).
        roofline_s: lower bound of the graph's compulsory work at data-sheet rates.
        bound_by: the resource that is busy longest (``compute:sm``, ``memory:hbm``, ``launch``).
        dram_bytes: all off-chip bytes; ``compulsory_bytes`` and ``extra_bytes`` split them.
        energy_j: total; ``energy_by_component``: sums to it, ``static`` included.
        interval: metric to (low, high) over the box of assumed numbers; empty where none enters or it was not asked for.
        busy: resource to busy seconds.
        memory_over_time: (seconds, live on-chip bytes, live off-chip bytes) at each operator's start.
        provenance: hashes, versions, the leaves used with their source.
        meta: timings of the tool itself; outside the result's digest.
    """

    model: str
    hardware: str
    fidelity: str
    phase: str
    settings: Mapping[str, str | int | float | bool]
    latency_s: float
    cycles: int
    clock_hz: float
    energy_j: float
    macs: int
    flops: int
    executed_flops: int
    vector_ops: int
    parameters: int
    stored_weight_bytes: int
    kv_cache_bytes: int
    dram_bytes: int
    compulsory_bytes: int
    extra_bytes: int
    roofline_s: float
    bound_by: str
    mfu: float
    peak_memory_bytes: int
    fits: bool
    energy_by_component: Mapping[str, float]
    busy: Mapping[str, float]
    bytes_by_memory: Mapping[str, tuple[int, int]]
    operators: tuple[OperatorResult, ...]
    memory_over_time: tuple[tuple[float, int, int], ...]
    timeline: tuple[Span, ...]
    warnings: tuple[str, ...]
    roofs: Mapping[str, float]
    """Roofs for plots: ``compute:<unit>:<format>`` in operations/s, ``memory:<name>`` in bytes/s."""
    capacities: Mapping[str, tuple[int, bool]] = field(default_factory=dict)
    """Memory name to (capacity in bytes, whether it is off chip), in the order of the spec; reports compare peaks with it."""
    interval: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    scalesim: Mapping[str, object] | None = None
    """What SCALE-Sim would count (``simulator.accounting``): sums over layers and a list ``layers``; None unless it was asked for."""
    provenance: Mapping[str, object] = field(default_factory=dict)
    meta: Mapping[str, object] = field(default_factory=dict)
    dram: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Cycle rung: memory to commands (``activates``, ``reads``, ``writes``, ``turnarounds``, ``refreshes``), ``row_hit_rate``, ``busy_s``
    and ``efficiency``; empty below it."""
    over_time: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """What happens when, in pieces of the run (``simulator.over_time``). ``cycles``: the borders, one more than pieces. Then, per piece,
    executed MACs by the roof that they run under (a key of ``roofs``, such as ``compute:array:int8``), bytes as
    ``memory:<name>:read`` and ``memory:<name>:written``, mean bytes held as ``held:<on-chip memory>``. Empty without a timeline."""
    resources: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """FPGA part (``dsp``, ``lut``, ``ff``, ``bram``, ``uram``) to (used by the design, on the device), as of ``mappings.fpga``."""
    in_memory: Mapping[str, object] | None = None
    """Of a crossbar: arrays, their use, copies, steady interval and throughput, shares of the converters, energy, area and peak by
    component, and a row per layer (docs/crossbars.md lists the keys); None on other hardware."""
    time_parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Cycles of each operator's rounds, in the order of ``operators``, by what they go into (``simulator.time_parts``): ``computing``,
    ``memory``, ``launch``, ``idle``. Empty without a timeline."""
    memory_plan: Mapping[str, object] | None = None
    """Of a schedule that was searched for: what stays on chip where, from which operator to which (``plan``), its bytes and bound, and what
    simpler plans move (``baselines``); the keys are those of a plan file (docs/scheduling.md). None for the trivial schedule."""

    @property
    def throughput_per_s(self) -> float:
        """Tokens (images for networks without tokens) per second, runs one after the other."""
        each = float(self.settings.get("batch", 1)) * float(self.settings.get("tokens", 1))
        return each / self.latency_s if self.latency_s > 0.0 else 0.0

    @property
    def power_w(self) -> float:
        """Mean power, static power included."""
        return self.energy_j / self.latency_s if self.latency_s > 0.0 else 0.0

    def __repr__(self) -> str:
        phase = f" {self.phase}" if self.phase else ""
        fits = "" if self.fits else ", does not fit"
        return (
            f"<Result {self.model}{phase} on {self.hardware}, {self.fidelity}: {self.latency_s:.6g} s, bound by {self.bound_by},"
            f" {self.energy_j:.6g} J, {self.dram_bytes} off-chip bytes{fits}>"
        )
