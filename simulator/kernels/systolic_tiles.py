"""Scoring all tiles and loop orders of a matrix product on a systolic array (``mappings.systolic.tiles`` states what and why).

The plain-Python twin is in ``tests/naive/systolic_tiles.py``. Figures are whole numbers in float64 (exact below 2^53) and ratios.
No divisor is ever zero, so divisions go unchecked (``error_model="numpy"``): a third of the time.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

(COUNT, SIZE, ROW_FOLDS, COLUMN_FOLDS, FULL, LAST, FULL_ROW, LAST_ROW, FULL_COLUMN, LAST_COLUMN, TILE_1, ALL_1, TILE_2, ALL_2,
 STREAM) = range(15)  # fmt: skip
"""Columns of a group's table, one row per split: tiles, points of a full tile, folds along rows and columns over all tiles, full and
last tiles and the folds of one of each along rows and along columns, for the group's two operands (m: A, out; n: B, out; k: A, B)
elements of a full tile and of all tiles, and the steps that all tiles take where the group streams (its points, or fewer where the
array skips zeros)."""

(BATCH, M, N, K, ROWS, COLUMNS, COPIES, SLOWDOWN, BYTES_PER_CYCLE, A_BYTES, B_BYTES, OUT_BYTES, A_LEAST, B_LEAST, OUT_LEAST, EXTRA, STORES,
 SUM_BYTES, DOUBLE, UNIFIED, IFMAP, FILTER, OFMAP, EPILOGUE, NEAR, LIMIT, PRICE, PACKS, OVERLAPS, FILL,
 LOADED_FILL) = range(31)  # fmt: skip
"""Places of the parameters; ``STORES`` < 0: the product's own output leaves; ``UNIFIED`` < 0: a split scratchpad; ``PACKS``: firings
that the products of a batch share out between them (as many as the batch, or fewer where several products are packed into one);
``OVERLAPS`` > 0: tiles add to the same results at their edges (transposed convolutions), which leave as partial sums and come back;
``FILL``, ``LOADED_FILL``: cycles of a fold beyond its streaming, where outputs stay and where an operand is loaded first."""

(ESTIMATE, MOVED, HELD, EXCESS, FIRINGS, A_MOVED, B_MOVED, OUT_MOVED, SPILLED, CYCLES, NEED_A, NEED_B, NEED_OUT, AGAIN_A,
 AGAIN_B, RANK) = range(16)  # fmt: skip
"""Columns of a score; ``RANK`` is the estimate plus ``PRICE`` times the cycles of all transfers and of the array."""

OUTPUT_STATIONARY, WEIGHT_STATIONARY, INPUT_STATIONARY, ROW_STATIONARY = 0, 1, 2, 3


@njit(cache=True, error_model="numpy")
def _folds(rows: Floats, columns: Floats, copies: float) -> float:
    """Turns of folds over all tiles of two groups, the copies of the array taking one fold each per turn."""
    if copies == 1.0:
        return float(rows[ROW_FOLDS] * columns[COLUMN_FOLDS])
    total = 0.0
    for row_count, row in ((rows[FULL], rows[FULL_ROW]), (rows[LAST], rows[LAST_ROW])):
        for column_count, column in ((columns[FULL], columns[FULL_COLUMN]), (columns[LAST], columns[LAST_COLUMN])):
            total += row_count * column_count * np.ceil(row * column / copies)
    return total


@njit(cache=True, error_model="numpy")
def _transfers(firings: float, moved: float, rate: float) -> float:
    """Cycles of ``moved`` bytes in as many equal transfers; a port serves each of them in whole cycles."""
    return float(firings * np.ceil(moved / (firings * rate)))


@njit(cache=True, error_model="numpy")
def _cycles(flow: int, order: int, m: Floats, n: Floats, k: Floats, p: Floats) -> float:
    """Array cycles of all folds."""
    scale, batch, packs = p[SLOWDOWN], p[BATCH], p[PACKS]
    if flow == OUTPUT_STATIONARY:
        ramp = p[FILL]
        turns = k[COUNT]
        if order == 0 and m[SIZE] <= p[ROWS] and n[SIZE] <= p[COLUMNS]:
            turns = 1.0
        return float(_folds(m, n, p[COPIES]) * (batch * k[STREAM] + packs * turns * ramp) * scale)
    ramp = p[LOADED_FILL]
    if flow == WEIGHT_STATIONARY:
        return float(_folds(k, n, p[COPIES]) * packs * (m[STREAM] + m[COUNT] * ramp) * scale)
    return float(_folds(k, m, p[COPIES]) * (batch * n[STREAM] + packs * n[COUNT] * ramp) * scale)


@njit(cache=True, error_model="numpy")
def _score(flow: int, order: int, m: Floats, n: Floats, k: Floats, p: Floats, given: float, out: Floats) -> None:
    """Fill one row of scores; ``given``: array cycles of all tiles where the dataflow is row-stationary."""
    batch, packs, mt, nt, kt = p[BATCH], p[PACKS], m[COUNT], n[COUNT], k[COUNT]
    a_tile = np.ceil(m[TILE_1] * k[TILE_1] * p[A_BYTES])
    b_tile = np.ceil(n[TILE_1] * k[TILE_2] * p[B_BYTES])
    out_tile = np.ceil(m[TILE_2] * n[TILE_2] * p[OUT_BYTES])
    a_pass = max(np.ceil(batch * m[ALL_1] * k[ALL_1] * p[A_BYTES]), p[A_LEAST])
    b_pass = max(np.ceil(batch * n[ALL_1] * k[ALL_2] * p[B_BYTES]), p[B_LEAST])
    out_elements = batch * m[ALL_2] * n[ALL_2]
    out_pass = max(np.ceil(out_elements * p[OUT_BYTES]), p[OUT_LEAST])
    a_again, b_again, spill = 1.0, 1.0, False
    if order == 0:  # m n k
        if kt > 1.0:
            a_again = nt
        if nt > 1.0 or kt > 1.0:
            b_again = mt
    elif order == 1:  # m k n
        if kt > 1.0 or nt > 1.0:
            b_again = mt
        spill = kt > 1.0 and nt > 1.0
    else:  # n k m
        if kt > 1.0 or mt > 1.0:
            a_again = nt
        spill = kt > 1.0 and mt > 1.0
    spilled = np.ceil(out_elements * p[SUM_BYTES]) * (kt - 1.0) if spill else 0.0
    tiles_out = packs * mt * nt
    stored = p[STORES] if p[STORES] >= 0.0 else out_pass
    # what a load brings and a store takes: the compulsory bytes where a tile touches fewer (strides), and all of several results
    mq, nq, kq = m[SIZE], min(p[N], n[SIZE]), min(p[K], k[SIZE])
    a_tile = max(a_tile, np.ceil(a_pass * (mq * kq) / (p[M] * p[K] * packs)))
    b_tile = max(b_tile, np.ceil(b_pass * (nq * kq) / (p[N] * p[K] * packs)))
    out_tile = max(out_tile, np.ceil(stored * (mq * nq) / (p[M] * p[N] * packs)))
    if flow == OUTPUT_STATIONARY:  # sums of a tile that the array holds stay in its cells while k streams past
        wide = kt > 1.0 and not (order == 0 and m[SIZE] <= p[ROWS] and n[SIZE] <= p[COLUMNS])
    else:
        wide = kt > 1.0 or k[SIZE] > p[ROWS]
    held = np.ceil(m[TILE_2] * n[TILE_2] * p[SUM_BYTES]) if wide else out_tile
    held = max(held, out_tile) + np.ceil(p[EXTRA] * (mq * nq) / (p[M] * p[N] * packs))
    deep = 2.0 if p[DOUBLE] > 0.0 else 1.0
    need_a = a_tile * (deep if packs * mt * kt * a_again > 1.0 else 1.0)
    need_b = b_tile * (deep if packs * nt * kt * b_again > 1.0 else 1.0)
    need_out = held * (deep if tiles_out > 1.0 else 1.0)
    if p[UNIFIED] >= 0.0:
        excess = max(0.0, need_a + need_b + need_out - p[UNIFIED])
    else:
        excess = max(0.0, need_a - p[IFMAP]) + max(0.0, need_b - p[FILTER]) + max(0.0, need_out - p[OFMAP])
    if spill and p[EPILOGUE] > 0.0:
        excess = np.inf
    out_moved = stored + p[EXTRA]
    if p[OVERLAPS] > 0.0:
        shared = max(0.0, out_elements - np.floor(p[OUT_LEAST] / p[OUT_BYTES]))
        out_moved = (p[STORES] if p[STORES] >= 0.0 else p[OUT_LEAST]) + p[EXTRA] + 2.0 * np.ceil(shared * p[SUM_BYTES])
    moved = a_pass * a_again + b_pass * b_again + out_moved + 2.0 * spilled
    work = given if flow == ROW_STATIONARY else _cycles(flow, order, m, n, k, p)
    rate = p[BYTES_PER_CYCLE]
    busy = (
        _transfers(packs * mt * kt * a_again, a_pass * a_again, rate) + _transfers(packs * nt * kt * b_again, b_pass * b_again, rate)
        + _transfers(tiles_out, out_moved - p[EXTRA], rate) + _transfers(tiles_out, p[EXTRA], rate)
        + 2.0 * _transfers(tiles_out * max(1.0, kt - 1.0), spilled, rate)
    )  # fmt: skip
    if flow == OUTPUT_STATIONARY and kt > 1.0 and not wide:  # while a tile drains, no more k tiles are fetched than the buffers hold
        ramp = p[FILL] * p[SLOWDOWN]
        busy += tiles_out * max(0.0, ramp - deep * busy / (tiles_out * kt))
    out[ESTIMATE] = max(work, busy) + (a_tile + b_tile + out_tile) / rate
    out[RANK] = out[ESTIMATE] + p[PRICE] * (moved / rate + work)
    out[MOVED], out[HELD], out[EXCESS], out[FIRINGS] = moved, need_a + need_b + need_out, excess, packs * mt * nt * kt
    out[A_MOVED], out[B_MOVED], out[OUT_MOVED], out[SPILLED] = a_pass * a_again, b_pass * b_again, out_moved, spilled
    out[CYCLES], out[NEED_A], out[NEED_B], out[NEED_OUT], out[AGAIN_A], out[AGAIN_B] = work, need_a, need_b, need_out, a_again, b_again


@njit(cache=True, error_model="numpy")
def _better(one: Floats, other: Floats, first: int, second: int, third: int) -> bool:
    """One score before another: by three columns in turn."""
    for column in (first, second, third):
        if one[column] != other[column]:
            return bool(one[column] < other[column])
    return False


@njit(cache=True, error_model="numpy")
def search(flow: int, m: Floats, n: Floats, k: Floats, p: Floats, given: Floats) -> tuple[Integers, Floats]:
    """Score every candidate and pick four.

    Args:
        flow: 0 output-, 1 weight-, 2 input-, 3 row-stationary.
        m, n, k: tables of the groups' splits, one row per split (columns as above).
        p: parameters.
        given: for row-stationary the array cycles of all tiles per split of m, n and k; read for no other dataflow.

    Returns:
        (picked, scores): ``picked[i]`` is the candidate's number ((order x |m| + im) x |n| + in) x |k| + ik, or -1, and ``scores[i]`` its
        score; i = 0 the one of least rank that fits, 1 the one that moves least, 2 the smallest working set within ``NEAR`` of the fastest,
        3 the fastest that does not fit (where none fits: the nearest to fitting). Ties go to fewer bytes, then to the first.
    """
    count = 3 * m.shape[0] * n.shape[0] * k.shape[0]
    table = np.empty((count, 16))
    index = 0
    for order in range(3):
        for i in range(m.shape[0]):
            for j in range(n.shape[0]):
                for h in range(k.shape[0]):
                    work = given[i, j, h] if flow == ROW_STATIONARY else 0.0
                    _score(flow, order, m[i], n[j], k[h], p, work, table[index])
                    index += 1
    picked = np.full(4, -1, dtype=np.int64)
    bounded = False
    for index in range(count):
        if table[index, EXCESS] <= 0.0 and table[index, FIRINGS] <= p[LIMIT]:
            bounded = True
            break
    for index in range(count):
        row = table[index]
        if row[EXCESS] <= 0.0 and (not bounded or row[FIRINGS] <= p[LIMIT]):
            if picked[0] < 0 or _better(row, table[picked[0]], RANK, MOVED, HELD):
                picked[0] = index
            if picked[1] < 0 or _better(row, table[picked[1]], MOVED, ESTIMATE, HELD):
                picked[1] = index
    for index in range(count):
        row = table[index]
        if row[EXCESS] <= 0.0 and (not bounded or row[FIRINGS] <= p[LIMIT]):
            near = row[ESTIMATE] <= p[NEAR] * table[picked[0], ESTIMATE]
            if near and (picked[2] < 0 or _better(row, table[picked[2]], HELD, ESTIMATE, MOVED)):
                picked[2] = index
        elif np.isfinite(row[EXCESS]) and row[EXCESS] > 0.0:
            first, second = (ESTIMATE, EXCESS) if picked[0] >= 0 else (EXCESS, ESTIMATE)
            if picked[3] < 0 or _better(row, table[picked[3]], first, second, MOVED):
                picked[3] = index
    scores = np.zeros((4, 16))
    for place in range(4):
        if picked[place] >= 0:
            for column in range(16):  # element by element: assigning slices compiles for seconds
                scores[place, column] = table[picked[place], column]
    return picked, scores


@njit(cache=True, error_model="numpy")
def search_flows(where: Integers, tables: Floats, p: Floats) -> tuple[Integers, Floats]:
    """``search`` for several dataflows in one call.

    Args:
        where: per dataflow its number, and the first row and the row after the last one of the tables of m, n and k.
        tables: rows of all tables.
        p: parameters.

    Returns:
        (picked, scores) of each dataflow.
    """
    picked = np.empty((where.shape[0], 4), dtype=np.int64)
    scores = np.empty((where.shape[0], 4, 16))
    none = np.empty((0, 0, 0))
    for index in range(where.shape[0]):
        row = where[index]
        one, score = search(row[0], tables[row[1] : row[2]], tables[row[3] : row[4]], tables[row[5] : row[6]], p, none)
        for place in range(4):
            picked[index, place] = one[place]
            for column in range(16):
                scores[index, place, column] = score[place, column]
    return picked, scores
