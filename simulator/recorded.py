"""Plays once more with every firing on record: when each firing of each stage ran, for pictures over time.

A play for its cycles alone jumps over what repeats and keeps no firings; this one is made only for someone who looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from mappings.dataflow import LINK, PORT, Alternative
from simulator.lowering import LAUNCH, Flow
from simulator.play import play, replay_order
from simulator.program import Timing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

MOST_FIRINGS = 1 << 17
"""A flow of more firings is not recorded: each segment of a stage is spread evenly between the stage's first start and last end."""
Kept = tuple[frozenset[str], frozenset[str]]
"""Tensors whose off-chip loads, and whose off-chip stores, do not happen."""


@dataclass(frozen=True, slots=True)
class Firings:
    """The firings of one stage in order: starts and lengths in cycles, the segment of each, and how many firings each stands for."""

    start: Ints
    length: Ints
    segment: Ints
    times: Ints


@dataclass(frozen=True, slots=True)
class Recorded:
    """One play: firings by stage, cycles, and whether each firing was really recorded."""

    stages: tuple[Firings, ...]
    cycles: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Occupation:
    """What one firing of each segment of a stage does, beside its length (``Firings.length``).

    Attributes:
        computes: cycles of its unit's own arithmetic (0 on ports and links and for launches).
        moves: (memory, ``read`` or ``written``) to (bytes, cycles that it holds the memory's port), per segment.
        waits: cycles that it spends on memories, off chip and on chip, and links, however they overlap with the arithmetic.
    """

    computes: tuple[int, ...]
    moves: dict[tuple[str, str], tuple[tuple[int, int], ...]]
    waits: tuple[int, ...]


def record(flows: Sequence[tuple[Flow, Timing]], names: Sequence[str]) -> list[Recorded]:
    """Play each flow with its firings on record; ``Timing`` gives the extent of stages that are too long for it."""
    short = [number for number, (flow, _) in enumerate(flows) if 0 < flow.firings <= MOST_FIRINGS]
    played = play([flows[n][0] for n in short], [names[n] for n in short], record=True) if short else []
    orders = {number: outcome.order for number, outcome in zip(short, played, strict=True)}
    return [_recorded(flow, orders[n]) if n in orders else _spread(flow, timing) for n, (flow, timing) in enumerate(flows)]


def _recorded(flow: Flow, order: Any) -> Recorded:
    import numpy as np

    cycles, starts = replay_order(flow, order)
    by_stage = starts[np.argsort(order, kind="stable")]
    stages, at = [], 0
    for _, segments in flow.stages:
        segment = np.repeat(np.arange(len(segments)), [repeat for repeat, _, _ in segments])
        length = np.array([duration for _, duration, _ in segments], np.int64)[segment]
        stages.append(Firings(by_stage[at : at + len(segment)], length, segment, np.ones(len(segment), np.int64)))
        at += len(segment)
    return Recorded(tuple(stages), cycles, True)


def _spread(flow: Flow, timing: Timing) -> Recorded:
    """One entry per segment, as long as its share of the stage's extent; a play without firings has none."""
    import numpy as np

    stages = []
    for (_, segments), first, last in zip(flow.stages, timing.first_start, timing.last_end, strict=True):
        chosen = [number for number, (repeat, _, _) in enumerate(segments) if repeat and first >= 0]
        busy = np.array([segments[n][0] * segments[n][1] for n in chosen], np.float64)
        share = np.concatenate([[0.0], np.cumsum(busy)]) / max(1.0, float(busy.sum()))
        marks = np.rint(first + share * (last - first)).astype(np.int64)
        times = np.array([segments[n][0] for n in chosen], np.int64)
        stages.append(Firings(marks[:-1], np.diff(marks), np.array(chosen, np.int64), times))
    return Recorded(tuple(stages), timing.by_turn[0] if timing.by_turn else 0, not flow.firings)


def occupations(flow: Flow, alternative: Alternative, kept: Kept, off_chip: frozenset[str]) -> list[Occupation]:
    """What a firing of each stage of a lowered alternative computes, moves and waits for."""
    found = []
    for stage, (_, segments) in zip(alternative.stages, flow.stages, strict=True):
        port = stage.unit[len(PORT) :] if stage.unit.startswith(PORT) else None
        spent = max(1, stage.cycles)
        stated = stage.work if stage.work is not None else {f"compute:{stage.unit}": spent}
        arithmetic = sum(cycles for resource, cycles in stated.items() if resource.startswith("compute:"))
        carries = max((cycles for resource, cycles in stated.items() if resource.startswith(("memory:", LINK))), default=0)
        idle = stage.unit.startswith((PORT, LINK)) or stage.name == LAUNCH
        computes, waits = [], []
        moves: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for number, (segment, (_, length, holds)) in enumerate(zip(stage.segments, segments, strict=True)):
            held = {flow.resources[resource][len(PORT) :]: cycles for resource, cycles in holds}
            if port is not None:
                held[port] = length
            for move in segment.transfers:
                for memory, other, way, saved in (
                    (move.source, move.target, "read", kept[0]),
                    (move.target, move.source, "written", kept[1]),
                ):
                    # As ``simulator.lowering`` counts: a load that is saved saves its store to another off-chip memory too.
                    loads_saved = way == "written" and other in off_chip and move.tensor in kept[0]
                    stays = move.tensor in saved and (way == "read" or other not in off_chip)
                    if memory in off_chip and not loads_saved and not stays:
                        row = moves.setdefault((memory, way), [(0, 0)] * len(segments))
                        row[number] = (row[number][0] + move.bytes, held.get(memory, 0))
            computes.append(0 if idle else min(length, ceil(segment.cycles * min(1.0, arithmetic / spent))))
            waits.append(max(max(held.values(), default=0), 0 if idle else ceil(segment.cycles * min(1.0, carries / spent))))
        found.append(Occupation(tuple(computes), {key: tuple(row) for key, row in moves.items()}, tuple(waits)))
    return found
