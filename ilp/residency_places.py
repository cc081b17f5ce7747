"""Addresses for what stays on chip, beside the working set of each step in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

REPAIRS = 300
"""Placements tried where first fit in the usual orders leaves something without a place."""


@dataclass(frozen=True, slots=True)
class Lot:
    """Bytes that need one address over all ``spans`` of steps (first, last), both included; ``firm``: never left out."""

    bytes: int
    spans: tuple[tuple[int, int], ...]
    firm: bool = False

    @property
    def steps(self) -> int:
        """Steps over which it is there."""
        return sum(last - first + 1 for first, last in self.spans)


def addresses(lots: Sequence[Lot], rooms: Sequence[int], capacity: int) -> tuple[int | None, ...] | None:
    """An address per lot such that none overlap and each step has ``rooms[step]`` bytes in one piece.

    Working sets take the top of the memory, lots the lowest place that is free. Where that fails in every order, working sets take
    part as lots of one step, and what found no place goes earlier in the next attempt, for a number of attempts: every packing is the
    first fit of some order. Of the best attempt, lots that found no place have None; where a firm one found none, there is no answer.
    """
    if not lots:
        return ()
    numbers = range(len(lots))
    for order in (
        sorted(numbers, key=lambda n: (lots[n].spans[0][0], -lots[n].steps, n)),
        sorted(numbers, key=lambda n: (-lots[n].bytes, n)),
        sorted(numbers, key=lambda n: (-lots[n].steps, -lots[n].bytes, n)),
    ):
        found = _first_fit(lots, rooms, capacity, order)
        if None not in found:
            return tuple(found)
    sets = (Lot(room, ((step, step),), True) for step, room in enumerate(rooms) if room)
    return _repaired((*lots, *sets), len(lots), len(rooms), capacity)


def _repaired(lots: Sequence[Lot], count: int, steps: int, capacity: int) -> tuple[int | None, ...] | None:
    """First fit again and again, failures first; addresses of the first ``count`` lots."""
    meets = [[other for other in range(len(lots)) if _meet(lots[number], lots[other])] for number in range(len(lots))]
    order = sorted(range(len(lots)), key=lambda n: (-lots[n].steps * lots[n].bytes, n))
    best: tuple[int, list[int | None]] | None = None
    for _ in range(REPAIRS):
        found = _first_fit(lots, [0] * steps, capacity, order, meets)
        failed = [number for number in order if found[number] is None]
        if not any(lots[number].firm for number in failed):
            lost = sum(lots[number].bytes * lots[number].steps for number in failed)
            if best is None or lost < best[0]:
                best = lost, found
            if not failed:
                break
        first = failed[0]
        order.remove(first)
        order.insert(min((order.index(other) for other in meets[first] if other != first), default=0), first)
    return tuple(best[1][:count]) if best is not None else None


def _first_fit(
    lots: Sequence[Lot], rooms: Sequence[int], capacity: int, order: Sequence[int], meets: Sequence[Sequence[int]] | None = None
) -> list[int | None]:
    """The lowest free address below the working sets for each lot in turn; None where there is none."""
    at: list[int | None] = [None] * len(lots)
    for number in order:
        lot = lots[number]
        limit = capacity - max(rooms[step] for first, last in lot.spans for step in range(first, last + 1))
        others = meets[number] if meets is not None else [n for n in order if at[n] is not None and _meet(lot, lots[n])]
        taken = sorted((low, low + lots[other].bytes) for other in others if (low := at[other]) is not None)
        address = 0
        for low, high in taken:
            if address + lot.bytes <= low:
                break
            address = max(address, high)
        if address + lot.bytes <= limit:
            at[number] = address
    return at


def _meet(one: Lot, other: Lot) -> bool:
    return any(a <= d and c <= b for a, b in one.spans for c, d in other.spans)
