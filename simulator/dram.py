"""Banked DRAM at the cycle rung: what a firing's transfers cost, from streams of bursts that the kernel serves one by one.

Addresses. A memory's channels are alike, and an address names fields from high to low (``Dram.mapping``); the lowest
``interleave_bytes`` stay on one channel, in one row. A long run of bytes therefore spreads evenly over the channels, and each channel sees
a run of its own with the channel field taken out: one channel, sampled, stands for all.

Streams. Each tensor of a firing is a stream. Where ``Transfer.access_bytes`` is 0 it is one long run; else runs of that many bytes (whole
bursts: what is fetched beyond is paid for) that begin in rows spread over all banks. Streams take turns, in proportion to their bytes.

Steady state. A sample of the pattern is served from the start of a refresh interval to the end of the second next one (or for as long
without refresh); the bursts done in the last two whole intervals give the cycles per burst, refresh and row misses included, and the
commands per burst. A firing costs its bursts times that, and never less than its bytes at the data sheet's peak. Firings are taken to
follow each other without a gap; where an operator reads and writes the same memory in firings of their own, each firing of writes also
pays for the two turnarounds of the bus that it brings, as the kernel serves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import TYPE_CHECKING, Any

from hwspecs.hardware import Dram, Memory
from hwspecs.vocabulary.errors import UnsupportedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

SHARES = 16
"""Streams of one firing share the channel in sixteenths, so that like firings share a sample."""
LONGEST_BLOCK = 128
"""Bursts per channel of a firing of writes up to which the turnarounds are sampled; beyond, they cost the same."""
BLOCKS = 8
"""Blocks of reads and writes in half a sample of turnarounds."""
INTERVALS = 3
UNREFRESHED_BURSTS = 4096
PATIENCE = 4
"""A request may be passed over ``PATIENCE`` x window times."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Part of a pattern: reads or writes, in runs of ``run`` bursts per channel (0: one long run), ``share`` of the bursts in sixteenths.

    ``block``: bursts in a row before the next stream's turn; 0 means the interleave of a channel.
    """

    write: bool
    run: int
    share: int
    block: int = 0


@dataclass(frozen=True, slots=True)
class Commands:
    """Commands of a memory, over all channels; ``busy_s``: time of one channel's transfers, all of them side by side."""

    activates: float = 0.0
    reads: float = 0.0
    writes: float = 0.0
    turnarounds: float = 0.0
    busy_s: float = 0.0

    def scaled(self, times: float) -> Commands:
        """``times`` as many."""
        return Commands(*(times * value for value in self._values()))

    def plus(self, other: Commands) -> Commands:
        """Both together."""
        return Commands(*(mine + theirs for mine, theirs in zip(self._values(), other._values(), strict=True)))

    def _values(self) -> tuple[float, ...]:
        return self.activates, self.reads, self.writes, self.turnarounds, self.busy_s


@dataclass(frozen=True, slots=True)
class Rate:
    """Steady state of a pattern on one channel, per burst: memory clocks, activates, turnarounds."""

    clocks: float
    activates: float
    turnarounds: float


@dataclass(frozen=True, slots=True)
class Move:
    """Bytes that one firing moves for one tensor."""

    bytes: int
    write: bool
    access_bytes: int = 0


@dataclass(slots=True)
class DramModel:
    """Costs of transfers on one memory; remembers the patterns that it sampled.

    Attributes:
        memory: its name, data-sheet bandwidth and ``Dram``.
    """

    memory: Memory
    _rates: dict[tuple[Stream, ...], Rate] = field(default_factory=dict)
    _turnarounds: dict[int, float] = field(default_factory=dict)

    @property
    def dram(self) -> Dram:
        """The memory's DRAM.

        Raises:
            UnsupportedError: the spec does not describe it; names what is missing.
        """
        if self.memory.dram is None:
            name = f"memory.{self.memory.name}"
            raise UnsupportedError(
                f"fidelity 'cycle' needs the DRAM behind {name}: the spec gives neither a part nor geometry and timing", where=name,
                hint=f"name a part (--set {name}.part=ddr4-2400), state {name}.geometry and {name}.timing, or use fidelity 'tile'",
            )  # fmt: skip
        return self.memory.dram

    def cost(self, moves: Sequence[Move], alternating: bool = False) -> tuple[float, Commands]:
        """Seconds and commands of one firing.

        Args:
            moves: what it transfers, each with at least one byte.
            alternating: firings of reads and of writes take turns at this memory.

        Raises:
            UnsupportedError: the spec does not describe the DRAM.
        """
        dram = self.dram
        bursts = [burst_count(dram, move) for move in moves]
        total = sum(bursts)
        if not total:
            return 0.0, Commands()
        per_channel = total / dram.channels
        rate = self.rate(tuple(_merged(dram, moves, bursts)))
        clocks = max(1.0, per_channel) * rate.clocks
        turnarounds = total * rate.turnarounds
        if alternating and all(move.write for move in moves):
            clocks += self.turnaround_clocks(per_channel)
            turnarounds += 2 * min(dram.channels, total)
        seconds = max(clocks / dram.clock_hz, sum(move.bytes for move in moves) / self.memory.bandwidth_bytes_per_s)
        writes = sum(count for move, count in zip(moves, bursts, strict=True) if move.write)
        return seconds, Commands(total * rate.activates, total - writes, writes, turnarounds, seconds)

    def turnaround_clocks(self, per_channel: float) -> float:
        """Memory clocks that a block of writes of ``per_channel`` bursts among reads costs beside the bursts themselves."""
        block = min(LONGEST_BLOCK, 1 << max(0, round(per_channel).bit_length() - 1))
        found = self._turnarounds.get(block)
        if found is None:
            dram = replace(self.dram, refresh="none")
            both = (Stream(False, 0, 1, block), Stream(True, 0, 1, block))
            alone = sum(_clocks_per_burst(dram, (Stream(write, 0, 1),), max(256, BLOCKS * block)) for write in (False, True))
            found = max(0.0, block * (2 * _clocks_per_burst(dram, both, max(256, BLOCKS * block)) - alone))
            self._turnarounds[block] = found
        return found

    def rate(self, pattern: tuple[Stream, ...]) -> Rate:
        """Steady state of a pattern, sampled once."""
        found = self._rates.get(pattern)
        if found is None:
            found = self._rates[pattern] = sample(self.dram, pattern)
        return found


def burst_count(dram: Dram, move: Move) -> int:
    """Bursts of a move; runs shorter than a burst fetch all of it."""
    if not move.access_bytes or move.access_bytes >= move.bytes:
        return ceil(move.bytes / dram.burst_bytes)
    runs, rest = divmod(move.bytes, move.access_bytes)
    return runs * ceil(move.access_bytes / dram.burst_bytes) + ceil(rest / dram.burst_bytes)


def _merged(dram: Dram, moves: Sequence[Move], bursts: Sequence[int]) -> list[Stream]:
    """The streams of a firing with their shares, largest first; at least one sixteenth each, at most sixteen streams."""
    ranked = sorted(zip(moves, bursts, strict=True), key=lambda pair: (-pair[1], pair[0].write, pair[0].access_bytes))[:SHARES]
    total = sum(count for _, count in ranked)
    streams = []
    for move, count in ranked:
        run = 0
        if 0 < move.access_bytes < move.bytes:
            whole = ceil(move.access_bytes / dram.burst_bytes)
            local = dram.interleave_bytes // dram.burst_bytes
            run = max(min(whole, local), whole // dram.channels)
        streams.append(Stream(move.write, run, max(1, round(SHARES * count / total))))
    return [Stream(s.write, s.run, SHARES) for s in streams] if len(streams) == 1 else streams


def timing_array(dram: Dram) -> Ints:
    """The kernel's timing array."""
    import numpy as np

    from simulator.kernels import dram as kernel

    t = dram.timing
    values = np.zeros(kernel.TIMINGS, np.int64)
    for name in (
        "cl",
        "cwl",
        "rcd",
        "rcdwr",
        "rp",
        "ras",
        "ccd_s",
        "ccd_l",
        "rrd_s",
        "rrd_l",
        "faw",
        "rtp",
        "wr",
        "wtr_s",
        "wtr_l",
        "rtw",
        "rtrs",
    ):
        values[getattr(kernel, name.upper())] = t["t" + name]
    values[kernel.BURST] = dram.burst_cycles
    if dram.refresh != "none":
        values[kernel.REFI] = t["trefi"]
        values[kernel.RFC] = t["trfc_pb" if dram.refresh == "per_bank" else "trfc"]
        values[kernel.BANKWISE] = dram.refresh == "per_bank"
    return values


def decode(dram: Dram, addresses: Ints, *, one_channel: bool = False) -> dict[str, Ints]:
    """Fields of burst addresses (bytes / burst size): ``channel``, ``rank``, ``bank_group``, ``bank``, ``row``, ``column``.

    Args:
        one_channel: the addresses count the bursts of one channel alone; its field is taken out.
    """
    import numpy as np

    low = dram.interleave_bytes // dram.burst_bytes
    sizes = {
        "channel": 1 if one_channel else dram.channels, "rank": dram.ranks, "bank_group": dram.bank_groups, "bank": dram.banks_per_group,
        "column": dram.row_bytes // dram.burst_bytes // low,
    }  # fmt: skip
    rest, column = np.divmod(np.asarray(addresses, np.int64), low)
    fields: dict[str, Ints] = {}
    for name in reversed(dram.mapping[1:]):
        rest, fields[name] = np.divmod(rest, sizes[name])
    fields[dram.mapping[0]] = rest
    fields["column"] = fields["column"] * low + column
    return fields


def bank_tables(dram: Dram) -> tuple[Ints, Ints]:
    """Bank group and rank of each bank of a channel, counted over all ranks."""
    import numpy as np

    banks = np.arange(dram.banks, dtype=np.int64)
    return banks // dram.banks_per_group, banks // (dram.banks_per_group * dram.bank_groups)


def bank_numbers(dram: Dram, fields: dict[str, Ints]) -> Ints:
    """The kernel's bank numbers."""
    return (fields["rank"] * dram.bank_groups + fields["bank_group"]) * dram.banks_per_group + fields["bank"]


def addresses(dram: Dram, pattern: tuple[Stream, ...], count: int) -> tuple[Ints, Ints]:
    """(burst addresses on one channel, 1 for writes) of the first ``count`` bursts of a pattern.

    Stream s begins s x 1009 rows (of all banks) and s x 5 / 16 of a row's banks further on: in other rows, mostly in other banks. Runs
    begin at multiples of their length, anywhere in 2^16 rows of all banks, by a hash of their number (splitmix64: Steele, Lea, Flood,
    Fast splittable pseudorandom number generators, OOPSLA 2014).
    """
    import numpy as np

    per_row = dram.row_bytes // dram.burst_bytes
    span = per_row * dram.banks
    local = dram.interleave_bytes // dram.burst_bytes
    owner = _owners(pattern, [stream.block or stream.run or local for stream in pattern], count)
    where, writes = np.empty(count, np.int64), np.empty(count, np.int64)
    for number, stream in enumerate(pattern):
        mine = np.flatnonzero(owner == number)
        index = np.arange(mine.size, dtype=np.int64)
        if stream.run:
            run, place = np.divmod(index, stream.run)
            slots = span * (1 << 16) // stream.run
            start = _hashed(run + number * (1 << 40)) % slots
            where[mine] = start * stream.run + place
        else:
            where[mine] = number * 1009 * span + number * 5 * span // 16 // local * local + index
        writes[mine] = stream.write
    return where, writes


def _hashed(values: Ints) -> Ints:
    """The splitmix64 hash of each value, without its sign bit."""
    import numpy as np

    x = values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(1)).astype(np.int64)


def _owners(pattern: tuple[Stream, ...], blocks: list[int], count: int) -> Ints:
    """Which stream each burst belongs to: blocks in turn, the stream that is furthest behind its share first."""
    import numpy as np

    if len(pattern) == 1:
        return np.zeros(count, np.int64)
    given = [0] * len(pattern)
    owner = np.empty(count, np.int64)
    at = 0
    while at < count:
        progress = [done / stream.share for done, stream in zip(given, pattern, strict=True)]
        behind = progress.index(min(progress))
        owner[at : at + blocks[behind]] = behind
        given[behind] += blocks[behind]
        at += blocks[behind]
    return owner


def sample(dram: Dram, pattern: tuple[Stream, ...]) -> Rate:
    """Serve a sample of the pattern on one channel and measure its steady state."""
    import numpy as np

    from simulator.kernels import dram as kernel

    t = timing_array(dram)
    interval = int(t[kernel.REFI]) or UNREFRESHED_BURSTS * dram.burst_cycles
    limit = INTERVALS * interval
    where, writes = addresses(dram, pattern, limit // dram.burst_cycles + dram.window)
    counts, done = serve(dram, where, writes, limit=limit)
    finished = int(np.count_nonzero((done > interval) & (done <= limit)))
    served = max(1, int(counts[kernel.READS] + counts[kernel.WRITES]))
    clocks = max((limit - interval) / max(1, finished), float(dram.burst_cycles))
    return Rate(clocks, int(counts[kernel.ACTIVATES]) / served, int(counts[kernel.TURNAROUNDS]) / served)


def _clocks_per_burst(dram: Dram, pattern: tuple[Stream, ...], count: int) -> float:
    """Clocks per burst of the second half of ``2 x count`` bursts that are served to the end, without refresh."""
    ends = []
    for bursts in (count, 2 * count):
        where, writes = addresses(dram, pattern, bursts)
        ends.append(int(serve(dram, where, writes)[1].max()))
    return (ends[1] - ends[0]) / count


def serve(dram: Dram, where: Ints, writes: Ints, *, limit: int = 1 << 60, arrivals: Ints | None = None) -> tuple[Ints, Ints]:
    """Serve bursts on one channel.

    Args:
        where: burst addresses on the channel; ``writes``: 1 for a write.
        limit: memory clock at which to stop.
        arrivals: clock at which each arrives, ascending; all at once if absent.

    Returns:
        (counts, clock after the last data of each burst or -1), as ``simulator.kernels.dram.serve`` gives them.
    """
    import numpy as np

    from simulator.kernels import dram as kernel

    fields = decode(dram, where, one_channel=True)
    groups, ranks = bank_tables(dram)
    counts, done = np.zeros(kernel.COUNTS, np.int64), np.full(where.size, -1, np.int64)
    at = np.zeros(where.size, np.int64) if arrivals is None else arrivals
    run: Any = kernel.serve
    patience = PATIENCE * dram.window
    run(
        bank_numbers(dram, fields), fields["row"], writes, at, groups, ranks, timing_array(dram), dram.window, patience, limit, counts, done
    )
    return counts, done


def refresh_rate_per_s(dram: Dram) -> float:
    """Refreshes of whole ranks per second, over all channels: each rank is refreshed once per tREFI, busy or idle."""
    return 0.0 if dram.refresh == "none" else dram.channels * dram.ranks * dram.clock_hz / dram.timing["trefi"]
