"""Placing buffers of fixed lifetimes: first fit, and a depth-first search over placements in which every buffer rests on another.

From Moffitt, "MiniMalloc" (ASPLOS 2023): if there is a placement, there is one in which no buffer can be lowered, so only resting places
are tried; what is still to be placed over a moment needs room above the lowest place that any of it can take; and lifetimes that have
fallen apart are placed apart.

Other than there, each node has two branches and the moments need not be filled evenly. A node takes a buffer below which nothing that is
still to be placed fits. Either it lies at its resting place, beneath all that is still to be placed over its life; or it *waits*: something
goes beneath it first. A buffer that waits lies no lower than the lowest top of what can go beneath it, and if nothing can, the branch is
dead. Moments at which the search failed often gather weight, and buffers over heavy moments are taken earlier: it is to fail soon.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FOUND = 1
NONE = 0
OUT_OF_EFFORT = -1
HIGHEST = 1 << 62
FIRST, END, SIZE, REST, WAIT, LEAST, ADDRESS = range(7)
"""Rows of the table of buffers: sections alive, bytes, lowest place on what lies there, the place it waits at (-1: none), lower bound of
its address in this branch, address (-1: not placed)."""
AT, COUNT, LOW, HIGH, KIND, CHOSEN, MARK, HERE = range(8)
"""Columns of a frame: where its list of buffers begins, its length, the sections that they live in, what it does, the buffer placed last,
height of the trail when it began, and when it placed that buffer."""
NEW, PARTS, CHOOSING = range(3)


@njit(cache=True)
def first_fit(first, end, size, address):  # type: ignore[no-untyped-def]
    """Put each buffer in turn as low as it goes beside those before it; fills ``address`` and returns the height of all."""
    height = np.int64(0)
    met = np.zeros(len(size), np.int64)
    for buffer in range(len(size)):
        count = 0
        for other in range(buffer):
            if first[other] < end[buffer] and first[buffer] < end[other]:
                at = count
                while at > 0 and address[met[at - 1]] > address[other]:
                    met[at] = met[at - 1]
                    at -= 1
                met[at] = other
                count += 1
        place = np.int64(0)
        for at in range(count):
            if address[met[at]] - place >= size[buffer]:
                break
            place = max(place, address[met[at]] + size[met[at]])
        address[buffer] = place
        height = max(height, place + size[buffer])
    return height


@njit(cache=True)
def _overlaps(table):  # type: ignore[no-untyped-def]
    """For each buffer those alive at a moment of its life: ``over[begin[i]:begin[i + 1]]``."""
    count = table.shape[1]
    begin = np.zeros(count + 1, np.int64)
    for one in range(count):
        begin[one + 1] = begin[one]
        for other in range(count):
            if one != other and table[FIRST, one] < table[END, other] and table[FIRST, other] < table[END, one]:
                begin[one + 1] += 1
    over = np.zeros(begin[count], np.int32)
    at = 0
    for one in range(count):
        for other in range(count):
            if one != other and table[FIRST, one] < table[END, other] and table[FIRST, other] < table[END, one]:
                over[at] = other
                at += 1
    return begin, over


@njit(cache=True)
def _part(items, low, high, table, weight, crossing, begins, part):  # type: ignore[no-untyped-def]
    """Copy to ``part`` the unplaced buffers of the heaviest stretch of sections that no unplaced buffer leaves; (how many, low, high)."""
    for section in range(low, high + 1):
        crossing[section] = begins[section] = 0
    for buffer in items:
        if table[ADDRESS, buffer] < 0:
            crossing[table[FIRST, buffer] + 1] += 1
            crossing[table[END, buffer]] -= 1
            begins[table[FIRST, buffer]] += 1
    best, best_weight, best_low, best_high = 0, np.int64(-1), low, low
    start, alive, inside, heaviest = low, 0, 0, np.int64(0)
    for section in range(low, high + 1):
        alive += crossing[section]
        if alive == 0:
            if inside and (heaviest > best_weight or (heaviest == best_weight and inside < best)):
                best, best_weight, best_low, best_high = inside, heaviest, start, section
            start, inside, heaviest = section, 0, np.int64(0)
        if section < high:
            inside += begins[section]
            heaviest = max(heaviest, weight[section])
    count = 0
    for buffer in items:
        if table[ADDRESS, buffer] < 0 and best_low <= table[FIRST, buffer] < best_high:
            part[count] = buffer
            count += 1
    return count, best_low, best_high


@njit(cache=True)
def _bound(items, table, begin, over):  # type: ignore[no-untyped-def]
    """Set the lower bounds of the addresses of ``items``; False if one that waits has nothing that could go beneath it."""
    waiting = 0
    for buffer in items:
        if table[WAIT, buffer] >= table[REST, buffer]:
            table[LEAST, buffer] = HIGHEST
            waiting += 1
        else:
            table[LEAST, buffer] = table[REST, buffer]
    changed = waiting > 0
    while changed:
        changed = False
        for buffer in items:
            if table[WAIT, buffer] < table[REST, buffer]:
                continue
            # What keeps it from sinking to its resting place begins below its top there; it lies above one such buffer.
            bar = table[REST, buffer] + table[SIZE, buffer]
            least = table[LEAST, buffer]
            for at in range(begin[buffer], begin[buffer + 1]):
                other = over[at]
                if table[ADDRESS, other] < 0 and table[LEAST, other] < bar:
                    least = min(least, table[LEAST, other] + table[SIZE, other])
            if least < table[LEAST, buffer]:
                table[LEAST, buffer] = least
                changed = True
    if waiting:
        for buffer in items:
            if table[LEAST, buffer] == HIGHEST:
                return False
    return True


@njit(cache=True)
def _fits(items, low, high, table, capacity, weight, load):  # type: ignore[no-untyped-def]
    """Whether, over each section and above each height, there is room for what begins there; sorts ``items``, highest bound first."""
    for at in range(1, len(items)):
        buffer = items[at]
        while at > 0 and table[LEAST, items[at - 1]] < table[LEAST, buffer]:
            items[at] = items[at - 1]
            at -= 1
        items[at] = buffer
    for section in range(low, high):
        load[section] = 0
    for buffer in items:
        room = capacity - table[LEAST, buffer]
        for section in range(table[FIRST, buffer], table[END, buffer]):
            load[section] += table[SIZE, buffer]
            if load[section] > room:
                weight[section] += 1
                return False
    return True


@njit(cache=True)
def _next(items, low, high, table, begin, over, weight, pull):  # type: ignore[no-untyped-def]
    """The buffer to place next: of the lowest bound, less up to ``pull`` bytes for heavy sections, or what could go below that one."""
    most = np.int64(1)
    for section in range(low, high):
        most = max(most, weight[section])
    best = -1
    best_key = np.int64(0)
    for buffer in items:
        heaviest = np.int64(0)
        if pull > 0:
            for section in range(table[FIRST, buffer], table[END, buffer]):
                heaviest = max(heaviest, weight[section])
        key = table[LEAST, buffer] - pull * heaviest // most
        if best < 0 or key < best_key or (key == best_key and buffer < best):
            best, best_key = buffer, key
    while True:
        below, top = -1, table[LEAST, best] + 1
        for at in range(begin[best], begin[best + 1]):
            other = over[at]
            if table[ADDRESS, other] < 0 and table[LEAST, other] + table[SIZE, other] < top:
                below, top = other, table[LEAST, other] + table[SIZE, other]
        if below < 0:
            return best
        best = below


@njit(cache=True)
def _set(table, row, buffer, value, trail, height):  # type: ignore[no-untyped-def]
    """Change the table so that it can be taken back; the height of the trail after it."""
    trail[height, 0], trail[height, 1], trail[height, 2] = row, buffer, table[row, buffer]
    table[row, buffer] = value
    return height + 1


@njit(cache=True)
def _undo(table, trail, height, mark):  # type: ignore[no-untyped-def]
    """Take back all changes above ``mark``."""
    while height > mark:
        height -= 1
        table[trail[height, 0], trail[height, 1]] = trail[height, 2]
    return mark


@njit(cache=True)
def _put(buffer, items, child, table, begin, over, trail, height):  # type: ignore[no-untyped-def]
    """Place a buffer where it rests, lift what overlaps it, and copy the others of ``items`` to ``child``; the height of the trail."""
    height = _set(table, ADDRESS, buffer, table[REST, buffer], trail, height)
    top = table[REST, buffer] + table[SIZE, buffer]
    for at in range(begin[buffer], begin[buffer + 1]):
        other = over[at]
        if table[ADDRESS, other] < 0 and table[REST, other] < top:
            height = _set(table, REST, other, top, trail, height)
    count = 0
    for other in items:
        if other != buffer:
            child[count] = other
            count += 1
    return height


@njit(cache=True)
def place(first, end, size, sections, capacity, limit, pull):  # type: ignore[no-untyped-def]
    """Addresses of buffers that live over sections ``first`` to ``end`` (excluded), at most ``limit`` placements tried.

    Args:
        size: bytes, at least 1. Ties between buffers are tried in the order in which they are given.
        pull: bytes by which a buffer over the heaviest section is taken earlier than its height says; 0: the lowest first.

    Returns:
        (``FOUND``, ``NONE`` (there is no placement) or ``OUT_OF_EFFORT``, addresses, placements tried).
    """
    count = len(size)
    table = np.zeros((7, count), np.int64)
    table[FIRST], table[END], table[SIZE] = first, end, size
    table[WAIT], table[ADDRESS] = -1, -1
    begin, over = _overlaps(table)
    weight = np.zeros(sections, np.int64)
    scratch = np.zeros((2, sections + 1), np.int64)
    # Every list is shorter than the one below it; a buffer waits once, and once more each time that it was lifted.
    lists = np.zeros(count * (count + 1) // 2 + count + 1, np.int32)
    trail = np.zeros((2 * len(over) + 2 * count + 1, 3), np.int64)
    frames = np.zeros((count + 2, 8), np.int64)
    lists[:count] = np.arange(count)
    frames[0, COUNT], frames[0, HIGH] = count, sections
    depth, height, tried, answer = 0, 0, 0, FOUND
    while depth >= 0:
        frame = frames[depth]
        items, child = lists[frame[AT] : frame[AT] + frame[COUNT]], lists[frame[AT] + frame[COUNT] :]
        low, high, length = frame[LOW], frame[HIGH], frame[COUNT] - 1
        if frame[KIND] == NEW:
            frame[MARK] = frame[HERE] = height
            frame[CHOSEN] = -1
        if frame[KIND] == NEW or (frame[KIND] == PARTS and answer == FOUND):
            length, low, high = _part(items, low, high, table, weight, scratch[0], scratch[1], child)
            frame[KIND] = PARTS if frame[KIND] == PARTS or length < frame[COUNT] else CHOOSING
            answer = FOUND if length == 0 or frame[KIND] == PARTS else NONE
            if length == 0:
                depth -= 1
                continue
        elif answer == FOUND or frame[KIND] == PARTS:
            if answer != FOUND:
                height = _undo(table, trail, height, frame[MARK])
            depth -= 1
            continue
        if frame[KIND] == CHOOSING:
            length = frame[COUNT] - 1
            height = _undo(table, trail, height, frame[HERE])
            if frame[CHOSEN] >= 0:
                height = _set(table, WAIT, frame[CHOSEN], table[REST, frame[CHOSEN]], trail, height)
                frame[HERE] = height
            if not (_bound(items, table, begin, over) and _fits(items, low, high, table, capacity, weight, scratch[0])):
                height = _undo(table, trail, height, frame[MARK])
                depth -= 1
                continue
            if tried == limit:
                return OUT_OF_EFFORT, table[ADDRESS].copy(), tried
            tried += 1
            frame[CHOSEN] = _next(items, low, high, table, begin, over, weight, pull)
            height = _put(frame[CHOSEN], items, child, table, begin, over, trail, height)
        depth += 1
        above = frames[depth]
        above[AT], above[COUNT], above[LOW], above[HIGH], above[KIND] = frame[AT] + frame[COUNT], length, low, high, NEW
    return answer, table[ADDRESS].copy(), tried
