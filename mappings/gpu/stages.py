"""From seconds to the dataflow graph of one kernel: launch, main loop in waves, reduction, all in whole cycles.

The stages follow one another (barriers). Cycles are rounded up and bytes split exactly, so a played kernel never beats its formula by
more than the rounding, and its transfers add up to the operator's bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from hwspecs.hardware import ComputeUnit, Hardware
from mappings.dataflow import Alternative, Edge, Segment, Stage, Transfer, firing_cycles

MAX_WAVES = 4096
"""Firings of one stage; longer kernels take more than one wave per firing, which changes nothing but the rounding."""

STREAMING_SHARE = 0.25
"""Share of the L2 that a kernel's streaming data may take from what stays resident; it runs with less, too."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a kernel runs: names and rates that every stage needs.

    Attributes:
        unit: the compute unit; ``dram``: the off-chip memory; ``chip``: the on-chip side of transfers.
        clock_hz: base clock; ``dram_bytes_per_s``: what long streams reach.
        streaming_bytes: on-chip bytes that a kernel may claim for data that streams through.
    """

    unit: str
    dram: str
    chip: str
    clock_hz: float
    dram_bytes_per_s: float
    streaming_bytes: float


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel in seconds.

    Attributes:
        label: suffix of its stage names where an operator runs several kernels.
        launch: before the first wave; ``before``: work ahead of the main loop; ``after``: reduction or merge.
        sm: SM side of the main loop; ``waves``: firings; ``overlap``: p of the norm with the off-chip time.
        arithmetic, operands, pull: what ``sm`` is made of: instructions, operands from the on-chip memory, off-chip bytes as
            fast as the SMs that run can ask for them.
    """

    launch: float
    before: float
    sm: float
    after: float
    waves: float
    overlap: float
    arithmetic: float
    operands: float = 0.0
    pull: float = 0.0
    after_name: str = "reduce"
    label: str = ""


def place_of(unit: ComputeUnit, hardware: Hardware) -> Place:
    """The names and rates of ``unit`` on ``hardware``."""
    dram = hardware.dram
    chip = hardware.on_chip.name if hardware.on_chip is not None else unit.name
    achieved = min(dram.achieved_bandwidth(float("inf")), dram.bandwidth_bytes_per_s)
    streaming = hardware.on_chip.size_bytes * STREAMING_SHARE if hardware.on_chip is not None else float("inf")
    return Place(unit.name, dram.name, chip, hardware.clock_hz, achieved, streaming)


def kernel_stages(kernel: Kernel, place: Place, reads: Mapping[str, int], writes: Mapping[str, int]) -> tuple[list[Stage], int]:
    """The stages of one kernel and its cycles with all operands off chip."""
    clock, label = place.clock_hz, kernel.label
    launch, before, after = (_whole(seconds * clock) for seconds in (kernel.launch, kernel.before, kernel.after))
    stages = [Stage(f"launch{label}", place.unit, (Segment(1, launch),))]
    if before:
        stages.append(Stage(f"prepare{label}", place.unit, (Segment(1, before),), work={f"memory:{place.dram}": before}))
    main, total = _waves(kernel, place, reads, writes)
    stages.append(Stage(f"main{label}", place.unit, main, kernel.overlap, _work(kernel, place, reads, writes)))
    if after:
        stages.append(Stage(f"{kernel.after_name}{label}", place.unit, (Segment(1, after),)))
    return stages, launch + before + total + after


def _work(kernel: Kernel, place: Place, reads: Mapping[str, int], writes: Mapping[str, int]) -> dict[str, int]:
    """Cycles of the main loop by resource. Where few SMs ask, the off-chip memory holds the kernel for longer than its bytes last."""
    off_chip = (sum(reads.values()) + sum(writes.values())) / place.dram_bytes_per_s
    parts = {
        f"compute:{place.unit}": kernel.arithmetic,
        f"memory:{place.chip}": kernel.operands,
        f"memory:{place.dram}": kernel.pull - off_chip,
    }
    return {resource: _whole(seconds * place.clock_hz) for resource, seconds in parts.items() if seconds > 0.0}


def barriers(stages: Sequence[Stage]) -> tuple[Edge, ...]:
    """Edges that run the stages one after the other."""
    return tuple(Edge(first.name, second.name, 0, 0) for first, second in pairwise(stages))


def alternative(
    name: str, kernel: Kernel, place: Place, reads: Mapping[str, int], writes: Mapping[str, int], *, working_set: float,
    actions: Mapping[str, float], breakdown: Mapping[str, float], notes: tuple[str, ...] = (),
) -> Alternative:  # fmt: skip
    """An operator that is one kernel; ``breakdown`` in seconds, off-chip time and launch are added."""
    stages, cycles = kernel_stages(kernel, place, reads, writes)
    moved = sum(reads.values()) + sum(writes.values())
    parts = {"launch": kernel.launch, **breakdown, "off_chip": moved / place.dram_bytes_per_s}
    whole = {part: _whole(seconds * place.clock_hz) for part, seconds in parts.items() if seconds > 0.0}
    return Alternative(name, tuple(stages), barriers(stages), int(min(working_set, place.streaming_bytes)), cycles, actions, whole, notes)


def _waves(kernel: Kernel, place: Place, reads: Mapping[str, int], writes: Mapping[str, int]) -> tuple[tuple[Segment, ...], int]:
    """Equal firings and one last one that takes what does not divide; with their cycles."""
    waves = max(1, min(MAX_WAVES, ceil(kernel.waves)))
    cycles = _whole(kernel.sm * place.clock_hz)
    moves = [(name, size, place.dram, place.chip) for name, size in reads.items()]
    moves += [(name, size, place.chip, place.dram) for name, size in writes.items()]
    rate = place.clock_hz / place.dram_bytes_per_s
    segments: list[Segment] = []
    total = 0
    for repeat in (waves - 1, 1):
        if not repeat:
            continue
        last = repeat == 1 and (waves == 1 or bool(segments))
        share = cycles - (waves - 1) * (cycles // waves) if last else cycles // waves
        moved, transfers = 0, []
        for name, size, source, target in moves:
            part = size - (waves - 1) * (size // waves) if last else size // waves
            if part:
                moved += part
                transfers.append(Transfer(name, part, source, target))
        segments.append(Segment(repeat, share, tuple(transfers)))
        total += repeat * firing_cycles(share, ceil(moved * rate), kernel.overlap)
    return tuple(segments), total


def _whole(cycles: float) -> int:
    """Rounded up, forgiving what floating point adds to a whole number."""
    return ceil(cycles - 1e-9 * abs(cycles))
