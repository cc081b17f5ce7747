"""Choosing how a tile is laid out on a row-stationary array (``mappings.systolic.row_stationary`` states what and why).

The plain-Python twin is in ``tests/naive/row_stationary.py``. No divisor is ever zero (``error_model="numpy"``).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

(ROWS, COLUMNS, COPIES, TAP_ROWS, TAPS, STRIDE, DILATION, IN_HEIGHT, SIDE_STRIDE, WINDOW, IN_WIDTH, FILTER_WORDS, IFMAP_WORDS,
 PSUM_WORDS) = range(14)  # fmt: skip
"""Places of the whole parameters: array rows and columns and copies of it; rows and columns of a filter; vertical stride and dilation and
rows of the input; horizontal stride, input words that a row of taps spans, columns of the input; words of a cell's registers."""

FILTER_RATE, IFMAP_RATE, PSUM_RATE = 0, 1, 2
"""Places of the rates: words per cycle from the buffer to all cells (and of partial sums each way)."""

STRIP, CHANNEL_SETS, FILTER_SETS, CELL_FILTERS, CELL_CHANNELS = range(5)
"""Columns of a layout: output rows of a set of cells (e), sets on other channels (r), on other filters (t), filters and channels that
a cell works on in turn (p, q)."""


@njit(cache=True, error_model="numpy")
def _up(a: int, b: int) -> int:
    return -(-a // b)


@njit(cache=True, error_model="numpy")
def cycles_of(pixels: Integers, filters: int, channels: int, layout: Integers, p: Integers, rates: Floats) -> float:
    """Array cycles of a tile in a layout: passes over filters and channels, in each of which images and strips follow each other.

    Args:
        pixels: images, output rows and output columns of the tile.
    """
    images, rows, width = pixels[0], pixels[1], pixels[2]
    e, r, t = layout[STRIP], layout[CHANNEL_SETS], layout[FILTER_SETS]
    some, deep = layout[CELL_FILTERS], layout[CELL_CHANNELS]
    folds = _up(p[TAP_ROWS], p[ROWS])
    set_rows = _up(p[TAP_ROWS], folds)
    turns = _up(channels, deep * r) * folds
    passes = _up(filters, some * t) * turns
    strips = _up(rows, e)
    work = float(some * deep * p[TAPS] * width)
    high = min((min(e, rows) - 1) * p[STRIDE] + (set_rows - 1) * p[DILATION] + 1, p[IN_HEIGHT])
    wide = min((width - 1) * p[SIDE_STRIDE] + p[WINDOW], p[IN_WIDTH])
    ifmap = deep * r * high * wide / rates[IFMAP_RATE]
    sums = some * t * min(e, rows) * width / rates[PSUM_RATE]
    body = max(work, max(ifmap, sums)) + set_rows * r - 1
    fill = some * t * deep * r * set_rows * p[TAPS] / rates[FILTER_RATE]
    return float(_up(passes, p[COPIES]) * (fill + images * strips * body))


@njit(cache=True, error_model="numpy")
def _layout(pixels: Integers, filters: int, channels: int, p: Integers, rates: Floats, best: Integers, trial: Integers) -> float:
    """Fill ``best`` with the layout of the fewest cycles (ties: fewer passes, then the first) and return its cycles."""
    rows = pixels[1]
    set_rows = _up(p[TAP_ROWS], _up(p[TAP_ROWS], p[ROWS]))
    slots = p[ROWS] // set_rows
    most_channels = min(p[IFMAP_WORDS] // p[WINDOW], p[FILTER_WORDS] // p[TAPS], channels)
    fewest, fewest_passes = -1.0, 0
    last = 0
    for strips in range(1, rows + 1):
        e = _up(rows, strips)
        if e == last:
            continue
        last = e
        sets = slots * (p[COLUMNS] // e) if e <= p[COLUMNS] else slots // _up(e, p[COLUMNS])
        if sets < 1:
            continue
        for r in range(1, min(sets, channels) + 1):
            if r < min(sets, channels) and sets // r == sets // (r + 1):
                continue  # as many filter sets go with more channel sets
            t_most = min(sets // r, filters)
            for q in range(1, most_channels + 1):
                p_most = min(p[PSUM_WORDS], p[FILTER_WORDS] // (q * p[TAPS]), _up(filters, t_most))
                rounds = _up(filters, t_most * p_most)
                cell_filters = _up(filters, t_most * rounds)
                t = _up(filters, cell_filters * rounds)
                turns = _up(channels, q * r)
                if q > 1 and _up(channels, (q - 1) * r) == turns:
                    continue
                trial[STRIP], trial[CHANNEL_SETS], trial[FILTER_SETS] = e, r, t
                trial[CELL_FILTERS], trial[CELL_CHANNELS] = cell_filters, q
                cycles = cycles_of(pixels, filters, channels, trial, p, rates)
                passes = rounds * turns * strips
                if fewest < 0.0 or cycles < fewest or (cycles == fewest and passes < fewest_passes):
                    fewest, fewest_passes = cycles, passes
                    for place in range(5):
                        best[place] = trial[place]
    return fewest


@njit(cache=True, error_model="numpy")
def layouts(m: Integers, n: Integers, k: Integers, p: Integers, rates: Floats) -> tuple[Integers, Floats]:
    """The best layout of every tile, and the cycles of all tiles of every split in the layout of its full tile.

    Args:
        m: per split of the output pixels: how many full tiles, images, rows and columns of one, and the same of the last tiles.
        n: per split of the filters: how many full tiles, filters, how many last tiles, filters; ``k`` the same of the channels.
        p, rates: parameters.

    Returns:
        (layout, cycles): layout[i, j, h] has the columns above. The registers must hold a window, a row of taps and a partial sum.
    """
    chosen = np.zeros((m.shape[0], n.shape[0], k.shape[0], 5), dtype=np.int64)
    cycles = np.empty((m.shape[0], n.shape[0], k.shape[0]))
    best, trial = np.zeros(5, dtype=np.int64), np.zeros(5, dtype=np.int64)
    for i in range(m.shape[0]):
        for j in range(n.shape[0]):
            for h in range(k.shape[0]):
                _layout(m[i, 1:4], n[j, 1], k[h, 1], p, rates, best, trial)
                total = 0.0
                for a in range(0, 8, 4):
                    for b in range(0, 4, 2):
                        for c in range(0, 4, 2):
                            count = m[i, a] * n[j, b] * k[h, c]
                            if count > 0:
                                one = cycles_of(m[i, a + 1 : a + 4], n[j, b + 1], k[h, c + 1], best, p, rates)
                                total += count * one
                cycles[i, j, h] = total
                for place in range(5):
                    chosen[i, j, h, place] = best[place]
    return chosen, cycles
