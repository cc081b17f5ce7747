"""One DRAM channel, served command by command in memory-clock cycles: row hits and misses, bank groups, activation window, turnarounds,
ranks, refresh.

First-ready, first-come first-served (Rixner et al., Memory Access Scheduling, ISCA 2000) over a window of requests: of the oldest
``window`` requests the one whose column command can issue earliest goes first, the older of equals; when the oldest request has been
passed over ``patience`` times it goes next whatever the others could do, so nothing starves.

Constraints are those common to the JEDEC standards of DDR4, LPDDR4/5, GDDR6 and HBM (JESD79-4, JESD209-4/5, JESD250, JESD235, JESD238):

* activate: tRP after the precharge, tRC after the last activate of the bank, tRRD_S/L after one of the rank/bank group, tFAW after the
  fourth last of the rank;
* precharge: tRAS after the activate, tRTP after a read, tWR after the last data of a write;
* column: tRCD (tRCDWR for writes) after the activate, tCCD_S/L after a column command of the rank/bank group, tRTRS of bus between ranks;
* read to write: tRTW of idle bus; write to read: tWTR_S/L after the last data within a rank, tRTRS of idle bus between ranks;
* refresh: every tREFI each rank stops for tRFC (``BANKWISE`` 0), or every tREFI / banks one bank stops for tRFC (``BANKWISE`` 1: the
  caller gives tRFCpb). Rows are closed for it. A refresh is never postponed for more than the command that is under way.

Pages stay open. The command bus is not modelled. tREFI must be longer than tRFC and a row cycle with its column command together, or
requests would wait forever; the caller checks it.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]

# indices into the timing array
BURST, CL, CWL, RCD, RCDWR, RP, RAS, CCD_S, CCD_L, RRD_S, RRD_L, FAW, RTP, WR, WTR_S, WTR_L, RTW, RTRS, REFI, RFC, BANKWISE = range(21)
TIMINGS = 21
# indices into the counts array
ACTIVATES, HITS, READS, WRITES, REFRESHES, TURNAROUNDS, RANK_SWITCHES = range(7)
COUNTS = 7
_FAR = -(1 << 40)
_NEVER = 1 << 62


@njit(cache=True)
def _activate_at(
    bank: Any, group: Any, rank: Any, t: Any, open_row: Any, pre_ready: Any, act_ready: Any, acts: Any, group_act: Any, entered: Any
) -> Any:
    """Earliest activate of a bank whose open row (if any) must go first; nothing is done for a request before it has entered."""
    at = max(act_ready[bank], entered)
    if open_row[bank] >= 0:
        at = max(at, max(pre_ready[bank], entered) + t[RP])
    at = max(at, acts[rank, 3] + t[RRD_S])
    at = max(at, group_act[group] + t[RRD_L])
    return max(at, acts[rank, 0] + t[FAW])


@njit(cache=True)
def _column_floor(write: Any, rank: Any, group: Any, t: Any, last: Any, rank_write: Any, group_column: Any, group_write: Any) -> Any:
    """Earliest column command that the data bus and the turnarounds allow; ``last``: cycle of the latest read and write, their ranks."""
    at = max(max(last[0], last[1]) + 1, group_column[group] + t[CCD_L])
    at = max(at, last[write] + (t[CCD_S] if rank == last[2 + write] else t[BURST] + t[RTRS]))
    if write:
        return max(at, last[0] + t[CL] + t[BURST] + t[RTW] - t[CWL])
    at = max(at, last[1] + t[CWL] + t[BURST] + t[RTRS] - t[CL])
    at = max(at, rank_write[rank] + t[CWL] + t[BURST] + t[WTR_S])
    return max(at, group_write[group] + t[CWL] + t[BURST] + t[WTR_L])


@njit(cache=True)
def _soonest(t: Any, last: Any, rank_count: Any) -> Any:
    """No request's column command can issue before this: a scan that has found one at it need not look further."""
    to_read = last[1] + t[CWL] + t[BURST] + t[WTR_S]
    if rank_count > 1:
        to_read = min(to_read, last[1] + t[CWL] + t[BURST] + t[RTRS] - t[CL])
    gap = t[CCD_S] if rank_count == 1 else min(t[CCD_S], t[BURST] + t[RTRS])
    read = max(to_read, last[0] + gap)
    write = max(last[0] + t[CL] + t[BURST] + t[RTW] - t[CWL], last[1] + gap)
    return max(min(read, write), max(last[0], last[1]) + 1)


@njit(cache=True)
def _refresh(first: Any, count: Any, t: Any, open_row: Any, pre_ready: Any, act_ready: Any, due: Any) -> None:
    """Close the rows of ``count`` banks from ``first`` on and refresh them together."""
    start = due
    for bank in range(first, first + count):
        if open_row[bank] >= 0:
            start = max(start, pre_ready[bank] + t[RP])
        start = max(start, act_ready[bank])
    for bank in range(first, first + count):
        open_row[bank] = -1
        act_ready[bank] = start + t[RFC]


@njit(cache=True)
def serve(
    banks: Any, rows: Any, writes: Any, arrivals: Any, groups: Any, ranks: Any, t: Any, window: Any, patience: Any, limit: Any, counts: Any,
    done: Any,
) -> Any:  # fmt: skip
    """Serve requests of one burst each on one channel.

    Args:
        banks, rows, writes, arrivals: per request, int64: bank (counted over all ranks), row, 1 for a write, cycle it arrives (ascending).
        groups: bank group of each bank, counted over all ranks; ``ranks``: rank of each bank, ascending, equally many banks each.
        t: int64 of length TIMINGS, cycles. BURST is the data time of one request; REFI 0 means no refresh.
        window, patience: requests looked at; times a request may be passed over.
        limit: no column command is issued at or after this cycle.
        counts: int64 of length COUNTS, added to.
        done: per request, set to the cycle after its last data; left as it is for what ``limit`` cut off.

    Returns:
        (cycle after the last data, requests served).
    """
    total, bank_count = banks.size, groups.size
    rank_count = ranks[bank_count - 1] + 1
    per_rank = bank_count // rank_count
    group_count = groups.max() + 1
    open_row = np.full(bank_count, -1, np.int64)
    pre_ready = np.zeros(bank_count, np.int64)
    act_ready = np.zeros(bank_count, np.int64)
    opened = np.full(bank_count, _FAR, np.int64)
    group_act = np.full(group_count, _FAR, np.int64)
    group_column = np.full(group_count, _FAR, np.int64)
    group_write = np.full(group_count, _FAR, np.int64)
    acts = np.full((rank_count, 4), _FAR, np.int64)
    rank_write = np.full(rank_count, _FAR, np.int64)
    last = np.array([_FAR, _FAR, -1, -1], np.int64)
    queue = np.empty(window, np.int64)
    entered = np.empty(window, np.int64)
    passed = np.zeros(window, np.int64)
    turns = np.zeros(rank_count, np.int64)
    due = np.full(rank_count, _NEVER, np.int64)
    if t[REFI] > 0:
        for rank in range(rank_count):
            due[rank] = t[REFI] * (rank + 1) // rank_count
    held = next_in = served = 0
    now = end = np.int64(0)
    while served < total:
        while held < window and next_in < total:
            queue[held] = next_in
            entered[held] = max(arrivals[next_in], now)
            passed[held] = 0
            held += 1
            next_in += 1
        best, best_at = -1, np.int64(_NEVER)
        soonest = _soonest(t, last, rank_count)
        for slot in range(1 if passed[0] >= patience else held):
            request = queue[slot]
            bank = banks[request]
            write = writes[request]
            at = _column_floor(write, ranks[bank], groups[bank], t, last, rank_write, group_column, group_write)
            wait = t[RCDWR] if write else t[RCD]
            if open_row[bank] == rows[request]:
                at = max(at, max(opened[bank] + wait, entered[slot]))
            else:
                act = _activate_at(bank, groups[bank], ranks[bank], t, open_row, pre_ready, act_ready, acts, group_act, entered[slot])
                at = max(at, act + wait)
            if at < best_at:
                best, best_at = slot, at
                if at <= soonest:
                    break
        rank = int(np.argmin(due))
        if best_at >= due[rank] and due[rank] < limit:
            first = rank * per_rank
            turns[rank] += 1
            if t[BANKWISE]:
                _refresh(first + (turns[rank] - 1) % per_rank, 1, t, open_row, pre_ready, act_ready, due[rank])
                due[rank] = t[REFI] * (rank + 1) // rank_count + t[REFI] * turns[rank] // per_rank
            else:
                _refresh(first, per_rank, t, open_row, pre_ready, act_ready, due[rank])
                due[rank] += t[REFI]
            counts[REFRESHES] += 1
            continue
        if best_at >= limit:
            break
        request = queue[best]
        bank = banks[request]
        rank = ranks[bank]
        group = groups[bank]
        if open_row[bank] == rows[request]:
            counts[HITS] += 1
        else:
            act = _activate_at(bank, group, rank, t, open_row, pre_ready, act_ready, acts, group_act, entered[best])
            acts[rank, 0], acts[rank, 1], acts[rank, 2], acts[rank, 3] = acts[rank, 1], acts[rank, 2], acts[rank, 3], act
            group_act[group] = act
            open_row[bank] = rows[request]
            opened[bank] = act
            pre_ready[bank] = act + t[RAS]
            act_ready[bank] = act + t[RAS] + t[RP]
            counts[ACTIVATES] += 1
        if served > 0:
            before = 1 if last[1] > last[0] else 0
            counts[RANK_SWITCHES] += last[2 + before] != rank
            counts[TURNAROUNDS] += before != writes[request]
        if writes[request]:
            rank_write[rank] = best_at
            group_write[group] = best_at
            counts[WRITES] += 1
            data = best_at + t[CWL] + t[BURST]
            pre_ready[bank] = max(pre_ready[bank], data + t[WR])
        else:
            counts[READS] += 1
            data = best_at + t[CL] + t[BURST]
            pre_ready[bank] = max(pre_ready[bank], best_at + t[RTP])
        last[writes[request]], last[2 + writes[request]] = best_at, rank
        group_column[group] = best_at
        now = max(now, best_at)
        done[request] = data
        end = max(end, data)
        for slot in range(best):
            passed[slot] += 1
        for slot in range(best, held - 1):
            queue[slot], entered[slot], passed[slot] = queue[slot + 1], entered[slot + 1], passed[slot + 1]
        held -= 1
        served += 1
    return end, served
