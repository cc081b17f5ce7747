"""Playing bounded dataflow graphs with dynamic arbitration.

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

Steady states are jumped over, exactly. Call *state* what the loop below knows after serving an instant: tokens, places, the stage that
runs on each resource and when each busy resource becomes free, each stage's segment and the firings left in it. The rest of the play is a
function of it. Let X at time t and Y at t + P be two states, n(s) the firings that stage s started between them, and let

* each stage be in the same segment in both, and n(s) >= 1 for some stage;
* the same stage (or none) run on each resource, and what runs either end P later in Y (it *moves*) or at one time in both (it *stands*:
  it is one long firing that did not end in between);
* each edge hold the same tokens in both, or never have kept its target from starting (tokens(X) >= (n(target) + 1) x consumed: even with
  nothing arriving it holds enough after the last start), or have kept it all the time (n(target) = 0 and tokens(Y) < consumed). Places
  likewise, with source and produced.

What decides the loop's next step is then alike in X and Y: times relative to now, who runs, who lacks something, durations of the
segments. So the steps from X to Y repeat from Y on, P later and with the same changes of tokens, as long as the rest stays alike: k times,
where k is the largest number such that no stage starts the last firing of its segment (so no segment, queue, window or barrier changes), no
standing firing ends, and every edge of unequal tokens stays on its side of the condition. The jump adds k x P to now, to the moving ends
and to the last ends of the stages that fired, and k times the changes to tokens, places and counts. Stages that fired have started
before and have not ended their last firing, so first starts and barriers need nothing.

X is looked for among states kept from earlier *looks*. Look number c is kept in place of the last one that ended in as many binary zeros,
so the ages of what is kept grow like powers of two, whatever the length of the period: a short one inside a long one (a long firing stands,
a buffer fills) and then the long one are both found. A look waits until an *anchor* stage starts, the one that fired most rarely between
the last two looks, so that looks fall on one phase of the period. Looks are paid from a purse that firings fill, so they cost a few per
cent of the time where nothing ever repeats.

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
TOO_LONG = 3
UNBOUNDED = 1 << 62
NEVER = UNBOUNDED
"""As ``least``: play every firing one by one."""
KEPT = 16
"""States kept to compare with: periods of up to 2^16 looks are found."""
LOOK_FIRINGS = 160
"""Firings that pay for one look at the state, beside one per number in it: 2 to 4 % of the time."""
PURSE = 24
"""Looks that may follow each other without a pause."""


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
def _bound(before: int, after: int, need: int, started: int, periods: int) -> int:
    """How many of ``periods`` an edge's tokens (or places) leave, given their count at both ends of one period.

    ``need``: what one start takes; ``started``: starts in the period.
    """
    drift = after - before
    if drift == 0:
        return periods
    if before >= (started + 1) * need:
        if drift > 0:
            return periods
        room = after - (started + 1) * need
        return min(periods, room // -drift + 1) if room >= 0 else 0
    if started == 0 and after < need:
        return min(periods, (need - 1 - after) // drift)
    return 0


@njit(cache=True)
def _periods(
    now: int, state: Integers, then: int, old: Integers, stages: int, source: Integers, target: Integers, produced: Integers,
    consumed: Integers,
) -> int:  # fmt: skip
    """How often the steps from state ``old`` at ``then`` to ``state`` at ``now`` repeat from here (0: not at all).

    A state is tokens and free places of each edge, firings left and segment of each stage, stage and end of each resource (-1: none).
    """
    edges = len(source)
    left = 2 * edges
    run = left + 2 * stages
    resources = (len(state) - run) // 2
    end = run + resources
    periods = UNBOUNDED
    for r in range(resources):
        if state[run + r] != old[run + r]:
            return 0
        a, b = old[end + r], state[end + r]
        if a < 0 or b < 0:
            if a != b:
                return 0
        elif b - now != a - then:
            if a != b:
                return 0
            periods = min(periods, (b - now - 1) // (now - then))
    for s in range(stages):
        if state[left + stages + s] != old[left + stages + s]:
            return 0
        started = old[left + s] - state[left + s]
        if started > 0:
            periods = min(periods, (state[left + s] - 1) // started)
    for e in range(edges):
        if periods <= 0:
            return 0
        t, s = left + target[e], left + source[e]
        periods = _bound(old[e], state[e], consumed[e], old[t] - state[t], periods)
        periods = _bound(old[edges + e], state[edges + e], produced[e], old[s] - state[s], periods)
    return periods if periods < UNBOUNDED else 0


@njit(cache=True)
def _jump(
    periods: int, now: int, state: Integers, then: int, old: Integers, heap: Integers, events: int, bits: int, to_start: Integers,
    fired: Integers, last_end: Integers,
) -> None:  # fmt: skip
    """Move everything ``periods`` times as far on as it came from state ``old`` at ``then`` to ``state`` at ``now``."""
    stages = len(to_start)
    resources = len(heap) - 1
    end = len(state) - resources
    left = end - resources - 2 * stages
    shift = periods * (now - then)
    for i in range(left):
        state[i] += periods * (state[i] - old[i])
    for s in range(stages):
        more = periods * (old[left + s] - state[left + s])
        if more > 0:
            state[left + s] -= more
            to_start[s] -= more
            fired[s] += more
            last_end[s] += shift
    for i in range(events):
        key = heap[i]
        r = end + (key & ((1 << bits) - 1))
        if state[r] - now == old[r] - then:
            state[r] += shift
            key += shift << bits
        _push(heap, i, key)


@njit(cache=True)
def _look(
    now: int, look: int, least: int, state: Integers, kept: Integers, kept_now: Integers, kept_sign: Integers, heap: Integers, events: int,
    bits: int, source: Integers, target: Integers, produced: Integers, consumed: Integers, to_start: Integers, fired: Integers,
    last_end: Integers, marks: Integers, anchor: int,
) -> tuple[int, int, int]:  # fmt: skip
    """Find a kept state from which the steps repeat, jump if that saves ``least`` firings, and keep the state as look number ``look``.

    Returns the cycles and firings jumped over, and the next anchor: the stage that fired, but least often, since the last look.
    """
    stages = len(to_start)
    resources = len(heap) - 1
    end = len(state) - resources
    run = end - resources
    left = run - 2 * stages
    fewest = UNBOUNDED
    for s in range(stages):
        if 0 < marks[s] - to_start[s] < fewest:
            fewest, anchor = marks[s] - to_start[s], s
    sign = 0
    for r in range(resources):
        state[end + r] = -1
        sign = (sign * 31 + state[run + r] + 1) & 0xFFFFFFFFFFFF
    for i in range(events):
        state[end + (heap[i] & ((1 << bits) - 1))] = heap[i] >> bits
    shift, firings, best, times = 0, least - 1, -1, 0
    for slot in range(KEPT):
        if kept_sign[slot] != sign:
            continue
        then = kept_now[slot]
        alike = True
        for r in range(resources):
            if state[end + r] != kept[slot, end + r] and state[end + r] - now != kept[slot, end + r] - then:
                alike = False
                break
        if not alike:
            continue
        periods = _periods(now, state, then, kept[slot], stages, source, target, produced, consumed)
        saved = 0
        for s in range(stages):
            saved += periods * (kept[slot, left + s] - state[left + s])
        if saved > firings:
            firings, best, times = saved, slot, periods
    slot = 0
    while look & 1 == 0 and slot < KEPT - 1:
        look >>= 1
        slot += 1
    if slot != best:
        # The state before the jump: in the next round of a longer period, the look that jumps again finds it.
        for i in range(len(state)):
            kept[slot, i] = state[i]
        kept_now[slot] = now
        kept_sign[slot] = sign
    if best < 0:
        firings = 0
    else:
        shift = times * (now - kept_now[best])
        _jump(int(times), now, state, kept_now[best], kept[best], heap, events, bits, to_start, fired, last_end)
    for s in range(stages):
        marks[s] = to_start[s]
    return shift, firings, anchor


@njit(cache=True)
def _play_one(
    resources: int, home: Integers, stage_seg: Integers, seg_repeat: Integers, seg_duration: Integers, seg_hold: Integers,
    hold_resource: Integers, hold_cycles: Integers, source: Integers, target: Integers, produced: Integers, consumed: Integers,
    initial: Integers, capacity: Integers, window: int, least: int, most: int, order: Service, first_start: Integers, last_end: Integers,
    fired: Integers,
) -> tuple[int, int, int]:  # fmt: skip
    """Play one graph; writes ``order`` (if it has room), ``first_start``, ``last_end``, ``fired``; returns (status, makespan, stepped).

    One long loop on purpose: with its parts as functions of a dozen arrays each, called or inlined, it ran at half the speed.
    """
    stages = len(home)
    in_start, in_edges = _adjacency(stages, target, produced, consumed, False)
    out_start, out_edges = _adjacency(stages, source, produced, consumed, False)
    bar_start, bar_edges = _adjacency(stages, source, produced, consumed, True)
    # One array, so that the state can be kept and compared in one go: see ``_periods``.
    edges = len(source)
    state = np.empty(2 * (edges + stages + resources), np.int64)
    tokens, space = state[:edges], state[edges : 2 * edges]
    left, seg = state[2 * edges : 2 * edges + stages], state[2 * edges + stages : 2 * (edges + stages)]
    running = state[2 * (edges + stages) : 2 * (edges + stages) + resources]
    total, first_seg, first_left = _programs(stage_seg, seg_repeat)
    for s in range(stages):
        seg[s], left[s] = first_seg[s], first_left[s]
    places, missing = _conditions(source, target, produced, consumed, initial, capacity, total)
    for e in range(edges):
        tokens[e], space[e] = initial[e], places[e]
    running[:] = -1
    head, after, before = _queues(resources, home, total)
    waits, shared = _waiters(resources, home, stage_seg, seg_hold, hold_resource)
    to_start = total.copy()
    unserved = total.sum()
    first_start[:] = -1
    last_end[:] = 0
    fired[:] = 0
    busy = np.zeros(resources, np.bool_)
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
    # When to look at the state next, what looks have cost so far (in firings), and what they keep: see the top of the file.
    price = LOOK_FIRINGS + len(state)
    purse, patience = PURSE * price, LOOK_FIRINGS + 2 * stages
    rows, next_look = (KEPT, 0) if len(order) == 0 and least <= unserved >> 1 else (0, UNBOUNDED)
    kept, kept_now, kept_sign = np.empty((rows, len(state)), np.int64), np.empty(rows, np.int64), np.full(rows, -1, np.int64)
    marks = to_start.copy()
    waiting, anchor, awaited, given_up, spent, looks, jumped = False, 0, 0, 0, -purse, 0, 0
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
                return DEADLOCK, now, served - jumped
            reach = stages + 1
            for r in range(resources):
                dirty[r] = r
                flag[r] = True
            marked = resources
            continue
        reach = window
        if served >= next_look:
            if not waiting:
                waiting, awaited, given_up = True, to_start[anchor], served + patience
            elif to_start[anchor] < awaited or served > given_up:
                if served - jumped > most:
                    return TOO_LONG, now, served - jumped
                looks += 1
                # The casts spare a second compilation, for the literal zeros that these variables begin with.
                cycles, firings, anchor = _look(
                    int(now), looks, least, state, kept, kept_now, kept_sign, heap, int(events), bits, source, target, produced,
                    consumed, to_start, fired, last_end, marks, int(anchor),
                )  # fmt: skip
                now += cycles
                served += firings
                jumped += firings
                spent = max(spent + price, served - purse)
                next_look, waiting = max(served, spent), spent <= served
                awaited, given_up = to_start[anchor], served + patience
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
    return OK, now, served - jumped


@njit(cache=True)
def play_batch(
    graph_resources: Integers, graph_stage: Integers, graph_edge: Integers, home: Integers, stage_seg: Integers, seg_repeat: Integers,
    seg_duration: Integers, seg_hold: Integers, hold_resource: Integers, hold_cycles: Integers, source: Integers, target: Integers,
    produced: Integers, consumed: Integers, initial: Integers, capacity: Integers, window: int, least: int, most: int,
    graph_order: Integers, order: Service,
) -> tuple[Integers, Integers, Integers, Integers, Integers, Integers]:  # fmt: skip
    """Play many graphs, one after the other and independent of each other.

    Args:
        graph_resources: resources of each graph (G).
        graph_stage, graph_edge: first stage and first edge of each graph (G + 1).
        home: resource of each stage within its graph (S); stage_seg: first segment of each stage (S + 1).
        seg_repeat, seg_duration: firings and cycles (N); seg_hold: first further hold of each segment (N + 1).
        hold_resource, hold_cycles: further resources, distinct from the home, and their positive cycles (H).
        source, target: stages of each edge within its graph (E); produced, consumed, initial, capacity: tokens (E).
        window: stages that a free resource looks at.
        least: firings worth a jump (``NEVER``: none is); most: firings to step one by one, in graphs that may jump, before giving up.
        graph_order: where each graph's service order starts in ``order`` (G + 1); order: filled with stage numbers; may be empty.
            A graph whose order is recorded is never jumped.

    Returns:
        status (G): ``OK``, ``DEADLOCK`` or ``TOO_LONG``; makespan (G) in cycles; stepped (G): firings not jumped over; first_start,
        last_end, fired of each stage (S).
    """
    graphs = len(graph_resources)
    status = np.empty(graphs, np.int64)
    makespan = np.empty(graphs, np.int64)
    stepped = np.empty(graphs, np.int64)
    first_start = np.empty(len(home), np.int64)
    last_end = np.empty(len(home), np.int64)
    fired = np.empty(len(home), np.int64)
    for g in range(graphs):
        a, b = graph_stage[g], graph_stage[g + 1]
        c, d = graph_edge[g], graph_edge[g + 1]
        status[g], makespan[g], stepped[g] = _play_one(
            graph_resources[g], home[a:b], stage_seg[a : b + 1], seg_repeat, seg_duration, seg_hold, hold_resource, hold_cycles,
            source[c:d], target[c:d], produced[c:d], consumed[c:d], initial[c:d], capacity[c:d], window, least,
            most, order[graph_order[g] : graph_order[g + 1]], first_start[a:b], last_end[a:b], fired[a:b],
        )  # fmt: skip
    return status, makespan, stepped, first_start, last_end, fired
