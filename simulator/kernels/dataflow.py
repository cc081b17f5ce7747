"""Playing bounded dataflow graphs: dynamic arbitration (``play_batch``) and replay of a fixed service order (``play_fixed``).

Semantics, which the plain-Python twin in ``tests/naive/dataflow.py`` states a second time:

* A stage fires ``seg_repeat`` times per segment, segments in order. A firing holds its stage's *home* resource for
  ``seg_duration`` cycles and further resources (memory ports) for their own, not longer, ``hold_cycles``. Nothing is preempted.
* A firing may start when its home and the further resources are free, every incoming edge holds ``consumed`` tokens and every outgoing
  edge of finite capacity has ``produced`` free places. It claims those at its start; at its end its tokens appear and the places of the
  tokens that it consumed become free. A barrier edge (produced = consumed = 0) holds the target back until the source has ended
  its last firing.
* Arbitration: all ends at one instant are booked first; then each free resource, in index order, starts at most one firing: of the
  first of its first ``window`` stages (program order, stages with firings left to start) that may start. Starts take things
  away and give nothing, so one pass per instant is enough; a firing of zero cycles ends at the same instant and causes another pass.
* When nothing runs and no window holds a stage that may start, the windows open to all stages, once; if still none may start, the graph
  is deadlocked. (A chain of more than ``window`` stages on one unit may need that: its last stage is the one that makes room.)

Arrays are int64. Times are cycles; the caller checks that (sum of all durations + 1) x 2 x resources stays below 2^62, because the
event heap keeps time and resource in one number (the makespan never exceeds the sum of all durations).
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Service = NDArray[np.signedinteger[Any]]

OK = 0
DEADLOCK = 1
BAD_ORDER = 2
UNBOUNDED = 1 << 62


@njit(cache=True)
def _push(heap: Integers, size: int, key: int) -> None:
    """Put ``key`` into the binary min-heap of ``size`` entries."""
    child = size
    while child > 0:
        parent = (child - 1) >> 1
        if heap[parent] <= key:
            break
        heap[child] = heap[parent]
        child = parent
    heap[child] = key


@njit(cache=True)
def _pop(heap: Integers, size: int) -> None:
    """Remove the least key of ``size`` entries (the caller has read ``heap[0]``)."""
    last = heap[size - 1]
    size -= 1
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= last:
            break
        heap[parent] = heap[child]
        parent = child
    heap[parent] = last


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
def _mark(dirty: Integers, flag: NDArray[np.bool_], count: int, resource: int) -> int:
    """Insert ``resource`` into the ascending list ``dirty`` unless it is there; returns the new length."""
    if flag[resource]:
        return count
    flag[resource] = True
    k = count
    while k > 0 and dirty[k - 1] > resource:
        dirty[k] = dirty[k - 1]
        k -= 1
    dirty[k] = resource
    return count + 1


@njit(cache=True)
def _programs(stage_seg: Integers, seg_repeat: Integers) -> tuple[Integers, Integers, Integers]:
    """Firings of each stage in all, its first segment that fires, and the firings of that segment."""
    stages = len(stage_seg) - 1
    total, seg, left = np.zeros(stages, np.int64), np.zeros(stages, np.int64), np.zeros(stages, np.int64)
    for s in range(stages):
        for g in range(stage_seg[s + 1] - 1, stage_seg[s] - 1, -1):
            total[s] += seg_repeat[g]
            if seg_repeat[g] > 0:
                seg[s], left[s] = g, seg_repeat[g]
    return total, seg, left


@njit(cache=True)
def _conditions(
    source: Integers, target: Integers, produced: Integers, consumed: Integers, initial: Integers, capacity: Integers, total: Integers
) -> tuple[Integers, Integers]:
    """Free places of each edge, and of each stage how many of its edges keep it from starting at time 0."""
    space = np.empty(len(source), np.int64)
    missing = np.zeros(len(total), np.int64)
    for e in range(len(source)):
        space[e] = capacity[e] - initial[e] if capacity[e] > 0 else UNBOUNDED
        if produced[e] == 0 and consumed[e] == 0:
            if total[source[e]] > 0:
                missing[target[e]] += 1
            continue
        if initial[e] < consumed[e]:
            missing[target[e]] += 1
        if space[e] < produced[e]:
            missing[source[e]] += 1
    return space, missing


@njit(cache=True)
def _queues(resources: int, home: Integers, total: Integers) -> tuple[Integers, Integers, Integers]:
    """Doubly linked lists of the stages that have firings left to start, by home resource, in program order: heads, next, previous."""
    head, tail = np.full(resources, -1, np.int64), np.full(resources, -1, np.int64)
    after, before = np.full(len(home), -1, np.int64), np.full(len(home), -1, np.int64)
    for s in range(len(home)):
        if total[s] == 0:
            continue
        r = home[s]
        before[s] = tail[r]
        if tail[r] < 0:
            head[r] = s
        else:
            after[tail[r]] = s
        tail[r] = s
    return head, after, before


@njit(cache=True)
def _waiters(
    resources: int, home: Integers, stage_seg: Integers, seg_hold: Integers, hold_resource: Integers
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """[resource, home]: whether a stage of that home holds the resource beside it; and whether any does (resources are few)."""
    waits = np.zeros((resources, resources), np.bool_)
    shared = np.zeros(resources, np.bool_)
    for s in range(len(home)):
        for h in range(seg_hold[stage_seg[s]], seg_hold[stage_seg[s + 1]]):
            waits[hold_resource[h], home[s]] = True
            shared[hold_resource[h]] = True
    return waits, shared


@njit(cache=True)
def _play_one(
    resources: int, home: Integers, stage_seg: Integers, seg_repeat: Integers, seg_duration: Integers, seg_hold: Integers,
    hold_resource: Integers, hold_cycles: Integers, source: Integers, target: Integers, produced: Integers, consumed: Integers,
    initial: Integers, capacity: Integers, window: int, order: Service, first_start: Integers, last_end: Integers, fired: Integers,
) -> tuple[int, int]:  # fmt: skip
    """Play one graph; writes ``order`` (if it has room), ``first_start``, ``last_end``, ``fired``; returns (status, makespan).

    One long loop on purpose: with its parts as functions of a dozen arrays each, called or inlined, it ran at half the speed.
    """
    stages = len(home)
    in_start, in_edges = _adjacency(stages, target, produced, consumed, False)
    out_start, out_edges = _adjacency(stages, source, produced, consumed, False)
    bar_start, bar_edges = _adjacency(stages, source, produced, consumed, True)
    total, seg, left = _programs(stage_seg, seg_repeat)
    space, missing = _conditions(source, target, produced, consumed, initial, capacity, total)
    head, after, before = _queues(resources, home, total)
    waits, shared = _waiters(resources, home, stage_seg, seg_hold, hold_resource)
    tokens = initial.copy()
    to_start = total.copy()
    unserved = total.sum()
    first_start[:] = -1
    last_end[:] = 0
    fired[:] = 0
    busy = np.zeros(resources, np.bool_)
    running = np.full(resources, -1, np.int64)
    # One event per busy resource: when it becomes free, in the high bits, above its number.
    heap = np.empty(resources + 1, np.int64)
    bits = 0
    while (1 << bits) < resources:
        bits += 1
    events = 0
    dirty = np.arange(resources)
    flag = np.ones(resources, np.bool_)
    marked = resources
    served = 0
    now = 0
    reach = window
    while served < unserved or events > 0:
        for k in range(marked):
            r = dirty[k]
            flag[r] = False
            if busy[r]:
                continue
            s = head[r]
            seen = 0
            while s >= 0 and seen < reach:
                if missing[s] == 0:
                    free = True
                    for h in range(seg_hold[seg[s]], seg_hold[seg[s] + 1]):
                        if busy[hold_resource[h]]:
                            free = False
                            break
                    if free:
                        break
                s = after[s]
                seen += 1
            if s < 0 or seen >= reach:
                continue
            g = seg[s]
            busy[r] = True
            running[r] = s
            _push(heap, events, ((now + seg_duration[g]) << bits) | r)
            events += 1
            for h in range(seg_hold[g], seg_hold[g + 1]):
                busy[hold_resource[h]] = True
                _push(heap, events, ((now + hold_cycles[h]) << bits) | hold_resource[h])
                events += 1
            for i in range(in_start[s], in_start[s + 1]):
                e = in_edges[i]
                tokens[e] -= consumed[e]
                if tokens[e] < consumed[e]:
                    missing[s] += 1
            for i in range(out_start[s], out_start[s + 1]):
                e = out_edges[i]
                if capacity[e] > 0:
                    space[e] -= produced[e]
                    if space[e] < produced[e]:
                        missing[s] += 1
            if first_start[s] < 0:
                first_start[s] = now
            if served < len(order):
                order[served] = s
            served += 1
            to_start[s] -= 1
            left[s] -= 1
            if to_start[s] == 0:
                if before[s] < 0:
                    head[r] = after[s]
                else:
                    after[before[s]] = after[s]
                if after[s] >= 0:
                    before[after[s]] = before[s]
            elif left[s] == 0:
                seg[s] += 1
                while seg_repeat[seg[s]] == 0:
                    seg[s] += 1
                left[s] = seg_repeat[seg[s]]
        marked = 0
        if events == 0:
            if reach > stages:
                return DEADLOCK, now
            reach = stages + 1
            for r in range(resources):
                dirty[r] = r
                flag[r] = True
            marked = resources
            continue
        reach = window
        now = heap[0] >> bits
        limit = (now + 1) << bits
        while events > 0 and heap[0] < limit:
            r = heap[0] - (now << bits)
            _pop(heap, events)
            events -= 1
            busy[r] = False
            marked = _mark(dirty, flag, marked, r)
            if shared[r]:
                for other in range(resources):
                    if waits[r, other]:
                        marked = _mark(dirty, flag, marked, other)
            s = running[r]
            if s < 0:
                continue
            running[r] = -1
            fired[s] += 1
            last_end[s] = now
            for i in range(out_start[s], out_start[s + 1]):
                e = out_edges[i]
                old = tokens[e]
                tokens[e] = old + produced[e]
                if old < consumed[e] <= tokens[e]:
                    t = target[e]
                    missing[t] -= 1
                    if missing[t] == 0:
                        marked = _mark(dirty, flag, marked, home[t])
            for i in range(in_start[s], in_start[s + 1]):
                e = in_edges[i]
                if capacity[e] > 0:
                    old = space[e]
                    space[e] = old + consumed[e]
                    if old < produced[e] <= space[e]:
                        t = source[e]
                        missing[t] -= 1
                        if missing[t] == 0:
                            marked = _mark(dirty, flag, marked, home[t])
            if fired[s] == total[s]:
                for i in range(bar_start[s], bar_start[s + 1]):
                    t = target[bar_edges[i]]
                    missing[t] -= 1
                    if missing[t] == 0:
                        marked = _mark(dirty, flag, marked, home[t])
    return OK, now


@njit(cache=True)
def play_batch(
    graph_resources: Integers, graph_stage: Integers, graph_edge: Integers, home: Integers, stage_seg: Integers, seg_repeat: Integers,
    seg_duration: Integers, seg_hold: Integers, hold_resource: Integers, hold_cycles: Integers, source: Integers, target: Integers,
    produced: Integers, consumed: Integers, initial: Integers, capacity: Integers, window: int, graph_order: Integers, order: Service,
) -> tuple[Integers, Integers, Integers, Integers, Integers]:  # fmt: skip
    """Play many graphs, one after the other and independent of each other.

    Args:
        graph_resources: resources of each graph (G).
        graph_stage, graph_edge: first stage and first edge of each graph (G + 1).
        home: resource of each stage within its graph (S); stage_seg: first segment of each stage (S + 1).
        seg_repeat, seg_duration: firings and cycles (N); seg_hold: first further hold of each segment (N + 1).
        hold_resource, hold_cycles: further resources, distinct from the home, and their positive cycles (H).
        source, target: stages of each edge within its graph (E); produced, consumed, initial, capacity: tokens (E).
        window: stages that a free resource looks at.
        graph_order: where each graph's service order starts in ``order`` (G + 1); order: filled with stage numbers; may be empty.

    Returns:
        status (G): ``OK`` or ``DEADLOCK``; makespan (G) in cycles; first_start, last_end, fired of each stage (S).
    """
    graphs = len(graph_resources)
    status = np.empty(graphs, np.int64)
    makespan = np.empty(graphs, np.int64)
    first_start = np.empty(len(home), np.int64)
    last_end = np.empty(len(home), np.int64)
    fired = np.empty(len(home), np.int64)
    for g in range(graphs):
        a, b = graph_stage[g], graph_stage[g + 1]
        c, d = graph_edge[g], graph_edge[g + 1]
        status[g], makespan[g] = _play_one(
            graph_resources[g], home[a:b], stage_seg[a : b + 1], seg_repeat, seg_duration, seg_hold, hold_resource, hold_cycles,
            source[c:d], target[c:d], produced[c:d], consumed[c:d], initial[c:d], capacity[c:d], window,
            order[graph_order[g] : graph_order[g + 1]], first_start[a:b], last_end[a:b], fired[a:b],
        )  # fmt: skip
    return status, makespan, first_start, last_end, fired


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
