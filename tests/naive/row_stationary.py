"""A row-stationary array stated again in plain Python: one cell, one word and one pass at a time where that is affordable."""

from __future__ import annotations

from math import ceil


def cycles_twin(images, rows, width, filters, channels, layout, whole, rates):
    """Cycles of a tile: an explicit loop over passes, images and strips."""
    e, r, t, p, q = layout
    array_rows, _, copies, tap_rows, taps, stride, dilation, high, side, window, wide, *_ = whole
    folds = ceil(tap_rows / array_rows)
    set_rows = ceil(tap_rows / folds)
    passes = [(a, b, c) for a in range(0, filters, p * t) for b in range(0, channels, q * r) for c in range(folds)]
    total = 0.0
    for _ in range(0, len(passes), copies):
        total += p * t * q * r * set_rows * taps / rates[0]
        for _ in range(images):
            for _ in range(0, rows, e):
                words = q * r * min((min(e, rows) - 1) * stride + (set_rows - 1) * dilation + 1, high)
                words *= min((width - 1) * side + window, wide)
                total += max(p * q * taps * width, words / rates[1], p * t * min(e, rows) * width / rates[2]) + set_rows * r - 1
    return total


def placements(rows, filters, channels, whole):
    """Every layout that the mapper tries, in its order: strips of even height, most channel sets per number of filter sets, even rounds."""
    array_rows, array_columns, _, tap_rows, taps, _, _, _, _, window, _, filter_words, ifmap_words, psum_words = whole
    slots = array_rows // ceil(tap_rows / ceil(tap_rows / array_rows))
    for e in dict.fromkeys(ceil(rows / strips) for strips in range(1, rows + 1)):
        sets = slots * (array_columns // e) if e <= array_columns else slots // ceil(e / array_columns)
        most = min(sets, channels)
        for r in (r for r in range(1, most + 1) if r == most or sets // r > sets // (r + 1)):
            t = min(sets // r, filters)
            turns = None
            for q in range(1, min(ifmap_words // window, filter_words // taps, channels) + 1):
                p = min(psum_words, filter_words // (q * taps), ceil(filters / t))
                rounds = ceil(filters / (t * p))
                p = ceil(filters / (t * rounds))
                if ceil(channels / (q * r)) != turns:
                    turns = ceil(channels / (q * r))
                    yield (e, r, ceil(filters / (p * rounds)), p, q), rounds * turns * ceil(rows / e)


def best_twin(images, rows, width, filters, channels, whole, rates):
    """(cycles, layout) of the best placement."""
    found = [
        (cycles_twin(images, rows, width, filters, channels, layout, whole, rates), passes, place, layout)
        for place, (layout, passes) in enumerate(placements(rows, filters, channels, whole))
    ]
    cycles, _, _, layout = min(found)
    return cycles, layout


def walk_cells(images, rows, width, filters, channels, layout, tap_rows, taps):
    """Multiplications of every cell of the array, pass by pass: {cell: count}, and how often each output's tap is worked on."""
    e, r, t, p, q = layout
    cells: dict = {}
    seen: dict = {}
    for image in range(images):
        for first_row in range(0, rows, e):
            for first_filter in range(0, filters, p * t):
                for first_channel in range(0, channels, q * r):
                    for filter_ in range(first_filter, min(filters, first_filter + p * t)):
                        for channel in range(first_channel, min(channels, first_channel + q * r)):
                            for row in range(first_row, min(rows, first_row + e)):
                                for tap_row in range(tap_rows):
                                    cell = ((channel - first_channel) // q, (filter_ - first_filter) // p, tap_row, row - first_row)
                                    cells[cell] = cells.get(cell, 0) + width * taps
                                    key = (image, filter_, row, channel, tap_row)
                                    seen[key] = seen.get(key, 0) + 1
    return cells, seen
