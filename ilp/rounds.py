"""Rounds of a block: which loads and stores the plan saves in the first, the middle and the last of its ``count`` rounds.

A residency that wraps (``first`` = -1) holds a tensor since the round before, so in the first round its readers load it (from the graph's
input, or from where the block before left it) up to the first that reads the most of it; the later ones find it on chip, as do those of
a residency that begins later. A carried output
that stays for the next round (``last`` = number of operators) has no next round in the last one: where it is used after the block its store
then happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ilp.schedule import BlockSchedule
from mappings.dataflow import Alternative, MappedBlock, PlannedLater
from mappings.memo import renamed_sizes


@dataclass(frozen=True, slots=True)
class Round:
    """Equal rounds of a block: how many, and by operator index the tensors whose off-chip loads and stores do not happen."""

    count: int
    kept_reads: Mapping[int, frozenset[str]]
    kept_writes: Mapping[int, frozenset[str]]


def rounds(block: MappedBlock, plan: BlockSchedule) -> tuple[Round, ...]:
    """The distinct rounds of ``block`` in the order in which they run; their counts add up to ``block.count``."""
    if block.count <= 0:
        return ()
    wrapped_in = {stay.tensor: stay.last for stay in plan.residencies if stay.first < 0}
    stays = {stay.tensor for stay in plan.residencies if stay.last >= len(block.operators)} & set(block.leaving)
    loads: set[tuple[int, str]] = set()
    for tensor, last in wrapped_in.items():
        most = max((block.operators[index].reads.get(tensor, 0) for index, name in plan.kept_reads if name == tensor), default=0)
        for index in plan.order[: last + 1]:
            if (index, tensor) in plan.kept_reads:
                loads.add((index, tensor))
                if block.operators[index].reads.get(tensor, 0) == most:
                    break
    stores = {(index, tensor) for index, tensor in plan.kept_writes if tensor in stays}
    kinds: list[tuple[int, bool, bool]] = [(1, True, block.count == 1)]
    if block.count > 1:
        kinds += [(block.count - 2, False, False), (1, False, True)]
    merged: list[list[object]] = []
    found: list[Round] = []
    for count, first_round, last_round in kinds:
        if not count:
            continue
        reads = plan.kept_reads - loads if first_round else plan.kept_reads
        writes = plan.kept_writes - stores if last_round else plan.kept_writes
        if merged and merged[-1] == [reads, writes]:
            found[-1] = Round(found[-1].count + count, found[-1].kept_reads, found[-1].kept_writes)
            continue
        merged.append([reads, writes])
        found.append(Round(count, _by_operator(reads), _by_operator(writes)))
    return tuple(found)


def _by_operator(kept: frozenset[tuple[int, str]]) -> dict[int, frozenset[str]]:
    grouped: dict[int, set[str]] = {}
    for index, tensor in kept:
        grouped.setdefault(index, set()).add(tensor)
    return {index: frozenset(names) for index, names in grouped.items()}


def off_chip_bytes(alternative: Alternative, off_chip: frozenset[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Tensor to bytes loaded from and stored to off-chip memories by all firings of ``alternative``."""
    if isinstance(alternative, PlannedLater) and alternative.pattern is not None:
        same, names = alternative.pattern
        own_loads, own_stores = off_chip_bytes(same, off_chip)
        return renamed_sizes(own_loads, names), renamed_sizes(own_stores, names)
    loads: dict[str, int] = {}
    stores: dict[str, int] = {}
    for stage in alternative.stages:
        for segment in stage.segments:
            for transfer in segment.transfers:
                if transfer.source in off_chip:
                    loads[transfer.tensor] = loads.get(transfer.tensor, 0) + segment.repeat * transfer.bytes
                if transfer.target in off_chip:
                    stores[transfer.tensor] = stores.get(transfer.tensor, 0) + segment.repeat * transfer.bytes
    return loads, stores
