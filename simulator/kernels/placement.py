"""Placing buffers of fixed lifetimes in a memory: depth-first search over placements in which each buffer rests on another or the floor.

Buffers are placed in the order of their addresses, so what is placed later never lies lower. The facts that keep the search small are
those of Moffitt, "MiniMalloc" (ASPLOS 2023): only resting places are tried; a buffer that fits wholly below the one about to be placed goes
first; what is still to be placed over a moment needs room above the lowest place that any of it can take; and lifetimes that fall apart
are placed apart.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FOUND = 1
NONE = 0
OUT_OF_EFFORT = -1
HIGHEST = 1 << 62
LOW, HIGH, BASE, LAST, MARK, SPLIT, HEIGHT, AFTER, TOP, SECOND, OWNER, STATE = range(12)
"""Columns of a frame: sections, least height and the buffer placed last at it, placements before it, where it splits (-1: not), the
candidate tried last, the lowest and second lowest top of what is to be placed and whose the lowest is, and what it waits for."""
NEW, FIRST_HALF, SECOND_HALF, CHOOSING = range(4)


@njit(cache=True)
def _split(low, high, first, end, address, reach):  # type: ignore[no-untyped-def]
    """(buffers to be placed within sections ``low`` to ``high``, a section at which none of them is alive on both sides, or -1)."""
    for section in range(low, high):
        reach[section] = 0
    left = 0
    for buffer in range(len(first)):
        if address[buffer] < 0 and first[buffer] >= low and end[buffer] <= high:
            left += 1
            reach[first[buffer]] = max(reach[first[buffer]], end[buffer])
    until = -1
    for section in range(low, high):
        if reach[section] == 0:
            continue
        if until >= 0 and section >= until:
            return left, section
        until = max(until, reach[section])
    return left, -1


@njit(cache=True)
def _look(frame, first, end, size, capacity, address, floor, load, lowest, heights):  # type: ignore[no-untyped-def]
    """Resting heights of what a frame has to place, and its lowest tops; False if some moment has no room for all of it."""
    low, high, base = frame[LOW], frame[HIGH], frame[BASE]
    for section in range(low, high):
        lowest[section] = HIGHEST
    frame[TOP] = frame[SECOND] = HIGHEST
    frame[OWNER] = -1
    for buffer in range(len(size)):
        if address[buffer] >= 0 or first[buffer] < low or end[buffer] > high:
            continue
        height = np.int64(0)
        for section in range(first[buffer], end[buffer]):
            height = max(height, floor[section])
        heights[buffer] = height
        place = max(height, base)
        for section in range(first[buffer], end[buffer]):
            lowest[section] = min(lowest[section], place)
        top = height + size[buffer]
        if top < frame[TOP]:
            frame[SECOND], frame[TOP], frame[OWNER] = frame[TOP], top, buffer
        elif top < frame[SECOND]:
            frame[SECOND] = top
    worst = np.int64(0)
    for section in range(low, high):
        if lowest[section] < HIGHEST:
            worst = max(worst, lowest[section] + load[section])
    return worst <= capacity


@njit(cache=True)
def _next(frame, first, end, size, capacity, address, heights):  # type: ignore[no-untyped-def]
    """The next candidate of a frame by (height, index), or -1; none above a place where another buffer fits wholly below it."""
    low, high = frame[LOW], frame[HIGH]
    while True:
        best = -1
        for buffer in range(len(size)):
            if address[buffer] >= 0 or first[buffer] < low or end[buffer] > high:
                continue
            at = heights[buffer]
            if at < frame[HEIGHT] or (at == frame[HEIGHT] and buffer <= frame[AFTER]):
                continue
            if best < 0 or at < heights[best]:
                best = buffer
        if best < 0:
            return -1
        bar = frame[SECOND] if best == frame[OWNER] else frame[TOP]
        if heights[best] >= bar:
            return -1
        frame[HEIGHT], frame[AFTER] = heights[best], best
        if heights[best] + size[best] <= capacity:
            return best


@njit(cache=True)
def _undo(mark, placed, trail, saved, first, end, size, address, floor, load):  # type: ignore[no-untyped-def]
    """Take back placements until ``mark`` are left; ``saved[0]`` is the height of the stack of floors that they covered."""
    while placed > mark:
        placed -= 1
        buffer = trail[placed]
        for section in range(end[buffer] - 1, first[buffer] - 1, -1):
            floor[section] = saved[saved[0]]
            saved[0] -= 1
            load[section] += size[buffer]
        address[buffer] = -1
    return placed


@njit(cache=True)
def place(first, end, size, sections, capacity, limit):  # type: ignore[no-untyped-def]
    """Addresses of buffers that live over sections ``first`` to ``end`` (excluded), at most ``limit`` placements tried.

    Ties between buffers at one height are tried in the order in which they are given.

    Returns:
        (``FOUND``, ``NONE`` (there is no placement) or ``OUT_OF_EFFORT``, addresses, placements tried).
    """
    count = len(size)
    address = np.full(count, -1, np.int64)
    floor = np.zeros(sections, np.int64)
    load = np.zeros(sections, np.int64)
    covered = 1
    for buffer in range(count):
        covered += end[buffer] - first[buffer]
        for section in range(first[buffer], end[buffer]):
            load[section] += size[buffer]
    trail = np.zeros(count, np.int64)
    saved = np.zeros(covered, np.int64)
    scratch = np.zeros(sections, np.int64)
    heights = np.zeros((2 * count + 2, count), np.int64)
    frames = np.zeros((2 * count + 2, 12), np.int64)
    placed = 0
    tried = 0
    frames[0, HIGH] = sections
    frames[0, LAST] = -1
    depth = 0
    answer = -2  # what the frame above has just answered; -2: it was not asked yet
    while depth >= 0:
        frame = frames[depth]
        if frame[STATE] == NEW:
            frame[MARK] = placed
            left, at = _split(frame[LOW], frame[HIGH], first, end, address, scratch)
            frame[SPLIT] = at
            if left == 0:
                answer = FOUND
                depth -= 1
                continue
            if at >= 0:
                frame[STATE] = FIRST_HALF
                low, high, base, last = frame[LOW], at, frame[BASE], frame[LAST]
            elif not _look(frame, first, end, size, capacity, address, floor, load, scratch, heights[depth]):
                answer = NONE
                depth -= 1
                continue
            else:
                frame[STATE] = CHOOSING
                frame[HEIGHT], frame[AFTER] = frame[BASE], frame[LAST]
                answer = NONE
                low = high = base = last = -1
        elif frame[STATE] == FIRST_HALF and answer == FOUND:
            frame[STATE] = SECOND_HALF
            low, high, base, last = frame[SPLIT], frame[HIGH], frame[BASE], frame[LAST]
        elif frame[STATE] != CHOOSING or answer == FOUND:
            if answer != FOUND:
                placed = _undo(frame[MARK], placed, trail, saved, first, end, size, address, floor, load)
            depth -= 1
            continue
        if frame[STATE] == CHOOSING:
            placed = _undo(frame[MARK], placed, trail, saved, first, end, size, address, floor, load)
            best = _next(frame, first, end, size, capacity, address, heights[depth])
            if best < 0:
                answer = NONE
                depth -= 1
                continue
            tried += 1
            if tried > limit:
                return OUT_OF_EFFORT, address, tried
            height = heights[depth, best]
            address[best] = height
            trail[placed] = best
            placed += 1
            for section in range(first[best], end[best]):
                saved[0] += 1
                saved[saved[0]] = floor[section]
                floor[section] = height + size[best]
                load[section] -= size[best]
            low, high, base, last = frame[LOW], frame[HIGH], height, best
        depth += 1
        above = frames[depth]
        above[LOW], above[HIGH], above[BASE], above[LAST], above[STATE] = low, high, base, last, NEW
    return answer, address, tried
