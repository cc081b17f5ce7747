"""The twin of ``simulator.kernels.dram``: the same rules, each checked against the whole history of commands instead of a running state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

NAMES = (
    "burst", "cl", "cwl", "rcd", "rcdwr", "rp", "ras", "ccd_s", "ccd_l", "rrd_s", "rrd_l", "faw", "rtp", "wr", "wtr_s", "wtr_l", "rtw",
    "rtrs", "refi", "rfc", "bankwise",
)  # fmt: skip
"""Timings in the order of the kernel's array."""


@dataclass
class Request:
    """One burst: where it goes, when it arrives, when it came into the window, how often it was passed over."""

    number: int
    bank: int
    row: int
    write: bool
    arrival: int
    entered: int = 0
    passed: int = 0


@dataclass
class Channel:
    """Histories: activates and columns as (cycle, bank, ...), per bank the open row and the cycle from which a refresh frees it."""

    groups: Sequence[int]
    ranks: Sequence[int]
    t: Mapping[str, int]
    activates: list[tuple[int, int]] = field(default_factory=list)
    columns: list[tuple[int, int, bool]] = field(default_factory=list)
    open_rows: dict[int, tuple[int, int]] = field(default_factory=dict)
    refreshed: dict[int, int] = field(default_factory=dict)

    def precharge_at(self, bank: int) -> int:
        """Earliest precharge of an open bank."""
        t, opened = self.t, self.open_rows[bank][1]
        times = [opened + t["ras"]]
        for at, other, write in self.columns:
            if other == bank and at > opened:
                times.append(at + t["cwl"] + t["burst"] + t["wr"] if write else at + t["rtp"])
        return max(times)

    def activate_at(self, bank: int, entered: int) -> int:
        """Earliest activate."""
        t = self.t
        times = [entered, self.refreshed.get(bank, 0)]
        if bank in self.open_rows:
            times.append(max(self.precharge_at(bank), entered) + t["rp"])
        same_rank = [at for at, other in self.activates if self.ranks[other] == self.ranks[bank]]
        times += [at + t["rrd_s"] for at in same_rank]
        if len(same_rank) >= 4:
            times.append(same_rank[-4] + t["faw"])
        for at, other in self.activates:
            if self.groups[other] == self.groups[bank]:
                times.append(at + t["rrd_l"])
            if other == bank:
                times.append(at + t["ras"] + t["rp"])
        return max(times)

    def column_at(self, request: Request) -> int:
        """Earliest column command, its activate included where the row is closed."""
        t, bank = self.t, request.bank
        delay = t["rcdwr"] if request.write else t["rcd"]
        if self.hit(request):
            times = [self.open_rows[bank][1] + delay, request.entered]
        else:
            times = [self.activate_at(bank, request.entered) + delay]
        for at, other, write in self.columns:
            same_rank, same_group = self.ranks[other] == self.ranks[bank], self.groups[other] == self.groups[bank]
            times.append(at + 1)
            if same_group:
                times.append(at + t["ccd_l"])
            if write == request.write:
                times.append(at + (t["ccd_s"] if same_rank else t["burst"] + t["rtrs"]))
            elif request.write:
                times.append(at + t["cl"] + t["burst"] + t["rtw"] - t["cwl"])
            else:
                data = at + t["cwl"] + t["burst"]
                times.append(data + t["rtrs"] - t["cl"])
                if same_rank:
                    times.append(data + t["wtr_s"])
                if same_group:
                    times.append(data + t["wtr_l"])
        return max(times)

    def hit(self, request: Request) -> bool:
        """Its row is open."""
        return request.bank in self.open_rows and self.open_rows[request.bank][0] == request.row

    def refresh(self, banks: Sequence[int], due: int) -> None:
        """Close and refresh ``banks`` together."""
        t = self.t
        times = [due]
        for bank in banks:
            times.append(self.refreshed.get(bank, 0))
            times += [at + t["ras"] + t["rp"] for at, other in self.activates if other == bank]
            if bank in self.open_rows:
                times.append(self.precharge_at(bank) + t["rp"])
        for bank in banks:
            self.open_rows.pop(bank, None)
            self.refreshed[bank] = max(times) + t["rfc"]


def serve(
    banks: Sequence[int], rows: Sequence[int], writes: Sequence[int], arrivals: Sequence[int], groups: Sequence[int], ranks: Sequence[int],
    timing: Sequence[int], window: int, patience: int, limit: int,
) -> tuple[int, int, list[int], list[int]]:  # fmt: skip
    """(end, served, counts, done) as the kernel gives them; ``done`` is -1 for what ``limit`` cut off."""
    t = dict(zip(NAMES, timing, strict=True))
    channel = Channel(groups, ranks, t)
    waiting = [Request(n, *item) for n, item in enumerate(zip(banks, rows, map(bool, writes), arrivals, strict=True))]
    queue: list[Request] = []
    done = [-1] * len(waiting)
    activates = hits = reads = turnarounds = switches = refreshes = now = end = served = 0
    rank_count = max(ranks) + 1
    members = [[bank for bank, rank in enumerate(ranks) if rank == number] for number in range(rank_count)]
    taken = [0] * rank_count

    def due_of(rank: int) -> int:
        offset = t["refi"] * (rank + 1) // rank_count
        return offset + (t["refi"] * taken[rank] // len(members[rank]) if t["bankwise"] else t["refi"] * taken[rank])

    while queue or waiting:
        while waiting and len(queue) < window:
            request = waiting.pop(0)
            request.entered = max(request.arrival, now)
            queue.append(request)
        candidates = queue[:1] if queue[0].passed >= patience else queue
        chosen = min(candidates, key=lambda request: (channel.column_at(request), request.number))
        at = channel.column_at(chosen)
        if t["refi"]:
            rank = min(range(rank_count), key=lambda number: (due_of(number), number))
            due = due_of(rank)
            if at >= due and due < limit:
                own = members[rank]
                channel.refresh([own[taken[rank] % len(own)]] if t["bankwise"] else own, due)
                taken[rank] += 1
                refreshes += 1
                continue
        if at >= limit:
            break
        if channel.hit(chosen):
            hits += 1
        else:
            act = channel.activate_at(chosen.bank, chosen.entered)
            channel.activates.append((act, chosen.bank))
            channel.open_rows[chosen.bank] = (chosen.row, act)
            activates += 1
        if channel.columns:
            _, bank, write = channel.columns[-1]
            switches += ranks[bank] != ranks[chosen.bank]
            turnarounds += write != chosen.write
        channel.columns.append((at, chosen.bank, chosen.write))
        reads += not chosen.write
        done[chosen.number] = at + (t["cwl"] if chosen.write else t["cl"]) + t["burst"]
        now, end = max(now, at), max(end, done[chosen.number])
        place = queue.index(chosen)
        for request in queue[:place]:
            request.passed += 1
        queue.remove(chosen)
        served += 1
    return end, served, [activates, hits, reads, served - reads, refreshes, turnarounds, switches], done
