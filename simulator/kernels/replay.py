"""Replay of a bounded dataflow graph in a fixed service order. Semantics as in ``simulator.kernels.dataflow``, without its arbitration.

``_adjacency`` is stated there too: a compiled kernel is only renewed when its own file changes, so kernels do not share helpers.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Service = NDArray[np.signedinteger[Any]]

OK = 0
BAD_ORDER = 2


@njit(cache=True)
def _adjacency(stages: int, ends: Integers, produced: Integers, consumed: Integers, barrier: bool) -> tuple[Integers, Integers]:
    """CSR lists of edge numbers by the stage in ``ends``: the barrier edges or the others."""
    start = np.zeros(stages + 1, np.int64)
    for e in range(len(ends)):
        if (produced[e] == 0 and consumed[e] == 0) == barrier:
            start[ends[e] + 1] += 1
    for s in range(stages):
        start[s + 1] += start[s]
    place = start[:-1].copy()
    edges = np.empty(start[stages], np.int64)
    for e in range(len(ends)):
        if (produced[e] == 0 and consumed[e] == 0) == barrier:
            edges[place[ends[e]]] = e
            place[ends[e]] += 1
    return start, edges


@njit(cache=True)
def play_fixed(
    resources: int, home: Integers, stage_seg: Integers, seg_repeat: Integers, seg_duration: Integers, seg_hold: Integers,
    hold_resource: Integers, hold_cycles: Integers, source: Integers, target: Integers, produced: Integers, consumed: Integers,
    initial: Integers, capacity: Integers, order: Service,
) -> tuple[int, int, Integers]:  # fmt: skip
    """Replay one graph in a given service order: a max-plus recurrence, monotone in every duration.

    Each firing, in ``order``, starts at the maximum of: home free, further resources free, the end of the source firing that
    brings its last token, the end of the target firing that frees its last place, the ends of barrier sources.

    Returns:
        (status, makespan, start of each entry of ``order``); ``BAD_ORDER`` if a firing needs one that comes later in the order.
    """
    stages = len(home)
    in_start, in_edges = _adjacency(stages, target, produced, consumed, False)
    out_start, out_edges = _adjacency(stages, source, produced, consumed, False)
    bar_start, bar_edges = _adjacency(stages, target, produced, consumed, True)
    offset = np.zeros(stages + 1, np.int64)
    seg = np.empty(stages, np.int64)
    left = np.zeros(stages, np.int64)
    for s in range(stages):
        firings = 0
        for g in range(stage_seg[s], stage_seg[s + 1]):
            firings += seg_repeat[g]
        offset[s + 1] = offset[s] + firings
        seg[s] = stage_seg[s] - 1
    starts = np.empty(len(order), np.int64)
    ends = np.empty(offset[stages], np.int64)
    fired = np.zeros(stages, np.int64)
    free = np.zeros(resources, np.int64)
    makespan = 0
    for k in range(len(order)):
        s = order[k]
        f = fired[s]
        if f >= offset[s + 1] - offset[s]:
            return BAD_ORDER, makespan, starts
        while left[s] == 0:
            seg[s] += 1
            left[s] = seg_repeat[seg[s]]
        g = seg[s]
        start = free[home[s]]
        for h in range(seg_hold[g], seg_hold[g + 1]):
            start = max(start, free[hold_resource[h]])
        for i in range(in_start[s], in_start[s + 1]):
            e = in_edges[i]
            need = consumed[e] * (f + 1) - initial[e]
            if need > 0:
                j = (need + produced[e] - 1) // produced[e] - 1
                if j >= fired[source[e]]:
                    return BAD_ORDER, makespan, starts
                start = max(start, ends[offset[source[e]] + j])
        for i in range(out_start[s], out_start[s + 1]):
            e = out_edges[i]
            need = produced[e] * (f + 1) + initial[e] - capacity[e]
            if capacity[e] > 0 and need > 0:
                j = (need + consumed[e] - 1) // consumed[e] - 1
                if j >= fired[target[e]]:
                    return BAD_ORDER, makespan, starts
                start = max(start, ends[offset[target[e]] + j])
        if f == 0:
            for i in range(bar_start[s], bar_start[s + 1]):
                other = source[bar_edges[i]]
                firings = offset[other + 1] - offset[other]
                if fired[other] < firings:
                    return BAD_ORDER, makespan, starts
                if firings > 0:
                    start = max(start, ends[offset[other + 1] - 1])
        end = start + seg_duration[g]
        starts[k] = start
        ends[offset[s] + f] = end
        free[home[s]] = end
        for h in range(seg_hold[g], seg_hold[g + 1]):
            free[hold_resource[h]] = start + hold_cycles[h]
        fired[s] = f + 1
        left[s] -= 1
        makespan = max(makespan, end)
    return OK, makespan, starts
