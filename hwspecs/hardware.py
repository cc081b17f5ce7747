"""What travels inside the tool for a piece of hardware: frozen dataclasses in SI units, made by ``hwspecs.loading``.

Quantities: seconds, hertz, bytes, joules, watts, mm2, operations per second (one multiply-accumulate is two operations).
The dotted path of a leaf is its place in the YAML (``memory.hbm.bandwidth``, ``unit.array.rows``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SOURCES = ("datasheet", "paper", "measured", "derived", "assumed")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One number (or word) of a spec with where it comes from.

    Attributes:
        path: dotted path from the top of the spec.
        value: SI value (float, int) or word (str).
        text: as the spec or override wrote it (``"3.35 TB/s"``).
        unit: SI unit of ``value`` (``byte/s``); empty for words and pure numbers.
        source: one of ``SOURCES``.
        cite: citation, data set and fitting script.
        low, high: SI bounds; an ``assumed`` number states them, others may.
        where: ``file:line:col`` of the value, or ``--set``.
    """

    path: str
    value: float | int | str
    text: str
    unit: str
    source: str
    cite: str
    low: float | None = None
    high: float | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Dram:
    """How a banked DRAM works inside, for the cycle rung. All channels are alike and work side by side.

    Attributes:
        part: name of the library's part, or empty.
        channels: independent channels of the whole memory; ``ranks``: per channel; ``bank_groups``: per rank.
        row_bytes: one row (page) of one bank over the whole width of a channel.
        bus_bits: data lines of one channel; ``burst_length``: transfers of one column command.
        clock_hz: command clock, from the memory's bandwidth; ``bits_per_clock``: transfers per line and clock.
        rated_bits_per_s: highest rate per data line that the part is rated for; 0 if unknown.
        timing: parameter (``trcd``, ``trefi``, ...) to whole cycles of the command clock.
        mapping: fields of an address from high to low; ``interleave_bytes`` contiguous bytes stay on one channel.
        window: requests that the controller of a channel chooses from.
        refresh: ``all_bank``, ``per_bank`` or ``none``.
        energy_j: joules of one ``activate`` (with its precharge), ``read``, ``write`` (one burst) and ``refresh`` (of one rank);
            empty where the part gives none.
    """

    part: str
    channels: int
    ranks: int
    bank_groups: int
    banks_per_group: int
    row_bytes: int
    bus_bits: int
    burst_length: int
    bits_per_clock: int
    clock_hz: float
    rated_bits_per_s: float
    timing: Mapping[str, int]
    mapping: tuple[str, ...]
    interleave_bytes: int
    window: int
    refresh: str
    energy_j: Mapping[str, float] = field(default_factory=dict)

    @property
    def burst_bytes(self) -> int:
        """Bytes of one column command."""
        return self.bus_bits * self.burst_length // 8

    @property
    def burst_cycles(self) -> int:
        """Command clocks that the data of one column command take."""
        return self.burst_length // self.bits_per_clock

    @property
    def banks(self) -> int:
        """Banks of one channel, over all ranks."""
        return self.ranks * self.bank_groups * self.banks_per_group


@dataclass(frozen=True, slots=True)
class Memory:
    """A memory level.

    Attributes:
        name: key in the spec's ``memory`` mapping.
        off_chip: True for DRAM and beyond: traffic to it is what schedules try to save.
        size_bytes: capacity; for a partitioned scratchpad the sum of the partitions.
        bandwidth_bytes_per_s: peak, as the data sheet says (the roofline uses this).
        achieved: share of the peak that long streams reach (the tile rung uses this); in (0, 1].
        bandwidth_curve: pairs (access bytes, share of peak), ascending; overrides ``achieved`` where given.
        latency_s: time from request to first byte.
        read_energy_j_per_byte, write_energy_j_per_byte: dynamic energy.
        banks: banks of the memory (1 where it does not matter).
        partitions: name (``ifmap``, ``filter``, ``ofmap``) to bytes, for a split scratchpad; empty for a unified one.
        partition_bandwidths: name to bytes per second at which a partition is filled, where the spec states it (SCALE-Sim accounting).
        double_buffered: half of each buffer is filled while the other half is read.
        dram: what the cycle rung needs to know of a banked DRAM; None where the spec does not say.
        unpriced: ``read``, ``write``, where the spec states no energy for it: it counts as zero and results say so.
    """

    name: str
    off_chip: bool
    size_bytes: int
    bandwidth_bytes_per_s: float
    achieved: float = 1.0
    bandwidth_curve: tuple[tuple[float, float], ...] = ()
    latency_s: float = 0.0
    read_energy_j_per_byte: float = 0.0
    write_energy_j_per_byte: float = 0.0
    banks: int = 1
    partitions: Mapping[str, int] = field(default_factory=dict)
    double_buffered: bool = True
    partition_bandwidths: Mapping[str, float] = field(default_factory=dict)
    dram: Dram | None = None
    unpriced: tuple[str, ...] = ()

    def achieved_bandwidth(self, access_bytes: float) -> float:
        """Bytes per second that accesses of ``access_bytes`` reach (log-linear between the points of the curve)."""
        from itertools import pairwise
        from math import log

        curve = self.bandwidth_curve
        if not curve:
            return self.bandwidth_bytes_per_s * self.achieved
        if access_bytes <= curve[0][0]:
            return self.bandwidth_bytes_per_s * curve[0][1]
        for (x0, y0), (x1, y1) in pairwise(curve):
            if access_bytes <= x1:
                part = (log(access_bytes) - log(x0)) / (log(x1) - log(x0))
                return self.bandwidth_bytes_per_s * (y0 + part * (y1 - y0))
        return self.bandwidth_bytes_per_s * curve[-1][1]


@dataclass(frozen=True, slots=True)
class ComputeUnit:
    """A compute unit; ``kind`` names the mapper that serves it.

    Attributes:
        name: key in the spec's ``unit`` mapping.
        kind: ``gpu``, ``systolic``, ``vector``, ``crossbar``, ``sparse_array`` or a kind of a plug-in.
        count: identical copies (SMs, cores); ``rates`` are of all copies together.
        clock_hz: clock that the rates are stated at.
        rates: (number format, sparsity pattern) to operations per second of the whole unit; one MAC is two operations.
            Patterns: ``dense``, ``2:4``, ``block``, ``unstructured``.
        vector_rates: number format to elementwise operations per second; empty where the unit has no vector path.
        energy_j: action to joules, such as ``mac.bf16``, ``vector.fp32`` (one operation), ``register.byte``.
        fallback: name of the unit that takes what this one cannot run; None where there is none.
        parameters: every other leaf of the unit, flat: dotted path below the unit to SI value or word
            (``rows``, ``columns``, ``dataflow``, ``kernels.gemm.launch``).
    """

    name: str
    kind: str
    count: int
    clock_hz: float
    rates: Mapping[tuple[str, str], float] = field(default_factory=dict)
    vector_rates: Mapping[str, float] = field(default_factory=dict)
    energy_j: Mapping[str, float] = field(default_factory=dict)
    fallback: str | None = None
    parameters: Mapping[str, float | int | str] = field(default_factory=dict)

    def group(self, prefix: str) -> dict[str, float | int | str]:
        """The parameters below ``prefix``, with the prefix removed (``group("kernels.gemm")``)."""
        start = prefix + "."
        return {name[len(start) :]: value for name, value in self.parameters.items() if name.startswith(start)}


@dataclass(frozen=True, slots=True)
class Link:
    """A link to other devices, or (by the name ``noc``) between the cores of this one: one-way bandwidth, latency, energy.

    Attributes:
        bandwidth_bytes_per_s: one direction; of a NoC what it carries in all (a bus, or the cut of a mesh).
        energy_j_per_byte: of one byte that arrives.
        multicast: one transfer reaches several cores.
    """

    name: str
    bandwidth_bytes_per_s: float
    latency_s: float = 0.0
    energy_j_per_byte: float = 0.0
    topology: str = ""
    multicast: bool = False


@dataclass(frozen=True, slots=True)
class Hardware:
    """One device.

    Attributes:
        clock_hz: the base clock: cycles of schedules and results count this clock.
        default_format: number format that models run in where the user names none.
        units: name to compute unit; the first one is the primary unit that operators go to first.
        memories: name to memory, off-chip levels first, then towards the units.
        links, specials: other parts (``specials``: flat leaves of ADCs, top-k engines and the like).
        kernel_launch_s: fixed cost of one kernel or operator; layer_host_s: host time per layer.
        static_power_w: power that flows whether or not anything runs; max_power_w: board limit or None.
        leaves: dotted path to ``Leaf``, every number of the spec after overrides.
        digest: sha256 over the leaves, for provenance.
        cores: identical cores, each with its own copy of every unit and on-chip memory; they share the off-chip memory and are joined
            by the link ``noc``. Rates of units, sizes and bandwidths of on-chip memories are those of all cores together.
    """

    name: str
    description: str
    family: str
    clock_hz: float
    default_format: str
    units: Mapping[str, ComputeUnit]
    memories: Mapping[str, Memory]
    links: Mapping[str, Link]
    specials: Mapping[str, Mapping[str, float | int | str]]
    kernel_launch_s: float
    layer_host_s: float
    static_power_w: float
    max_power_w: float | None
    area_mm2: float | None
    leaves: Mapping[str, Leaf]
    digest: str
    cores: int = 1

    @property
    def primary(self) -> ComputeUnit:
        """The unit that operators are offered to first."""
        return next(iter(self.units.values()))

    @property
    def dram(self) -> Memory:
        """The off-chip memory that graph inputs, weights and outputs live in."""
        return next(memory for memory in self.memories.values() if memory.off_chip)

    @property
    def on_chip(self) -> Memory | None:
        """The on-chip memory in which tensors can stay between operators: the outermost one; None if there is none."""
        return next((memory for memory in self.memories.values() if not memory.off_chip), None)
