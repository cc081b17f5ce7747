"""Placement of tiny buffers by trying every address, and what an allocation must hold, moment by moment."""

from __future__ import annotations

from collections.abc import Sequence

Rectangle = tuple[int, int, int]
"""(first moment, moment after the last, size)."""


def placeable(buffers: Sequence[Rectangle], capacity: int) -> bool:
    """Whether the buffers fit: every whole address for each, one after the other."""
    taken: set[tuple[int, int]] = set()

    def put(number: int) -> bool:
        if number == len(buffers):
            return True
        lower, upper, size = buffers[number]
        for address in range(capacity - size + 1):
            cells = {(moment, byte) for moment in range(lower, upper) for byte in range(address, address + size)}
            if taken & cells:
                continue
            taken.update(cells)
            if put(number + 1):
                return True
            taken.difference_update(cells)
        return False

    return put(0)


def overlapping(buffers: Sequence[Rectangle], offsets: Sequence[int]) -> bool:
    """Whether two buffers hold one byte at one moment."""
    places = [(*row, offset) for row, offset in zip(buffers, offsets, strict=True)]
    return any(
        max(one[0], two[0]) < min(one[1], two[1]) and max(one[3], two[3]) < min(one[3] + one[2], two[3] + two[2])
        for number, one in enumerate(places)
        for two in places[:number]
    )


def largest_load(buffers: Sequence[Rectangle]) -> int:
    """The most bytes alive at one moment."""
    return max((sum(size for low, high, size in buffers if low <= moment < high) for moment, _, _ in buffers), default=0)
