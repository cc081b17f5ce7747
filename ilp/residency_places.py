"""Addresses for what stays on chip, beside the working set of each step in one piece."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lot:
    """Bytes that need one address over all ``spans`` of steps (first, last), both included."""

    bytes: int
    spans: tuple[tuple[int, int], ...]

    @property
    def steps(self) -> int:
        """Steps over which it is there."""
        return sum(last - first + 1 for first, last in self.spans)


def addresses(lots: Sequence[Lot], rooms: Sequence[int], capacity: int) -> tuple[int, ...] | None:
    """An address per lot such that none overlap and each step has ``rooms[step]`` bytes in one piece; None if none are found.

    Working sets take the top of the memory, lots the first place that is free from the bottom; where that fails, working sets
    take part as lots of one step. Several orders are tried, and then an exact search that is bounded in its steps.
    """
    if not lots:
        return ()
    numbers = range(len(lots))
    orders: list[Iterable[int]] = [
        sorted(numbers, key=lambda n: (lots[n].spans[0][0], -lots[n].steps, n)),
        sorted(numbers, key=lambda n: (-lots[n].bytes, n)),
        sorted(numbers, key=lambda n: (-lots[n].steps, -lots[n].bytes, n)),
        sorted(numbers, key=lambda n: (-lots[n].steps * lots[n].bytes, n)),
    ]
    for order in orders:
        found = _below(lots, rooms, capacity, order)
        if found is not None:
            return found
    everything = (*lots, *(Lot(room, ((step, step),)) for step, room in enumerate(rooms) if room))
    numbers = range(len(everything))
    for order in (
        sorted(numbers, key=lambda n: (-everything[n].bytes, n)),
        sorted(numbers, key=lambda n: (-everything[n].steps, -everything[n].bytes, n)),
        sorted(numbers, key=lambda n: (-everything[n].steps * everything[n].bytes, n)),
    ):
        found = _below(everything, [0] * len(rooms), capacity, order)
        if found is not None:
            return found[: len(lots)]
    return None


def _below(lots: Sequence[Lot], rooms: Sequence[int], capacity: int, order: Iterable[int]) -> tuple[int, ...] | None:
    """First fit from the bottom, in ``order``, below the working sets."""
    at = [-1] * len(lots)
    placed: list[int] = []
    for number in order:
        lot = lots[number]
        limit = capacity - max(rooms[step] for first, last in lot.spans for step in range(first, last + 1))
        taken = sorted((at[other], at[other] + lots[other].bytes) for other in placed if _meet(lot, lots[other]))
        address = 0
        for low, high in taken:
            if address + lot.bytes <= low:
                break
            address = max(address, high)
        if address + lot.bytes > limit:
            return None
        at[number] = address
        placed.append(number)
    return tuple(at)


def _meet(one: Lot, other: Lot) -> bool:
    return any(a <= d and c <= b for a, b in one.spans for c, d in other.spans)
