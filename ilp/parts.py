"""Loads of which a part is on chip already, left there by an update in place of that part (the newest keys and values of a cache)."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from mappings.dataflow import Alternative, Segment, Stage, Transfer


def without_parts(alternative: Alternative, parts: Iterable[tuple[str, int]], off_chip: AbstractSet[str]) -> Alternative:
    """``alternative`` less the last ``bytes`` of its off-chip loads of each ``(tensor, bytes)``; firings stay, so that tokens add up.

    The newest positions come last. Tiles that load them more than once save them once.
    """
    stages = list(alternative.stages)
    for tensor, nbytes in sorted(parts):
        left = nbytes
        for place in range(len(stages) - 1, -1, -1):
            if left:
                stages[place], left = _shorter(stages[place], tensor, left, off_chip)
    return Alternative(
        alternative.name, tuple(stages), alternative.edges, alternative.working_set_bytes, alternative.cycles_estimate, alternative.actions,
        alternative.breakdown, alternative.notes, alternative.queues,
    )  # fmt: skip


def _shorter(stage: Stage, tensor: str, nbytes: int, off_chip: AbstractSet[str]) -> tuple[Stage, int]:
    """``stage`` with up to ``nbytes`` fewer of its last loads of ``tensor``, and the bytes still to be saved."""
    segments: list[Segment] = []
    for segment in reversed(stage.segments):
        size = sum(move.bytes for move in segment.transfers if move.tensor == tensor and move.source in off_chip)
        if not size or not nbytes:
            segments.append(segment)
            continue
        whole = min(segment.repeat, nbytes // size)
        rest = nbytes - whole * size if whole < segment.repeat else 0
        if whole:
            segments.append(Segment(whole, segment.cycles, _less(segment.transfers, tensor, size, off_chip)))
        if rest:
            segments.append(Segment(1, segment.cycles, _less(segment.transfers, tensor, rest, off_chip)))
        if segment.repeat > whole + bool(rest):
            segments.append(Segment(segment.repeat - whole - bool(rest), segment.cycles, segment.transfers))
        nbytes -= whole * size + rest
    return Stage(stage.name, stage.unit, tuple(reversed(segments)), stage.overlap, stage.work), nbytes


def _less(moves: tuple[Transfer, ...], tensor: str, nbytes: int, off_chip: AbstractSet[str]) -> tuple[Transfer, ...]:
    found = []
    for move in moves:
        saved = min(nbytes, move.bytes) if move.tensor == tensor and move.source in off_chip else 0
        nbytes -= saved
        if move.bytes > saved or not saved:
            found.append(Transfer(move.tensor, move.bytes - saved, move.source, move.target, move.access_bytes))
    return tuple(found)
