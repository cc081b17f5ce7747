"""What the kernels need to know of a core, read from the spec: vector registers, issue, caches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hwspecs.hardware import ComputeUnit, Hardware, Memory
from hwspecs.vocabulary.formats import NumberFormat
from mappings.rates import served_format

CACHE_SHARE = 0.5
"""Share of a cache that data used again can count on; the rest is for what streams through between two uses (least recently used)."""


@dataclass(frozen=True, slots=True)
class Work:
    """Instructions of a piece of a kernel, and what bounds them.

    Attributes:
        arithmetic: vector multiply-accumulate or arithmetic instructions.
        instructions: all instructions, loads, stores and loop control among them.
        loaded: bytes that go between registers and the innermost cache.
        chain: multiply-accumulates that wait for one another.
    """

    arithmetic: float
    instructions: float
    loaded: float
    chain: float = 0.0


@dataclass(frozen=True, slots=True)
class Stream:
    """Bytes that a kernel goes through ``passes`` times."""

    size: float
    passes: float = 1.0


@dataclass(frozen=True, slots=True)
class Core:
    """One core of a ``simd`` unit, and its caches, innermost first.

    Attributes:
        threads: cores that work together; each has one thread.
        vector_bytes: width of a vector register; ``pipes``: vector arithmetic instructions started per cycle.
        issue: instructions started per cycle; ``latency``: cycles from one multiply-accumulate to the next into the same register.
        loads: bytes per cycle that one core gets from each cache; the first is between registers and innermost cache.
        efficiency: share of these rates that kernels reach; ``overlap``: p of the norm over arithmetic and the levels of memory.
        rows, vectors: register tile of matrix products: rows of results x vector registers per row.
        pixels: vector registers of pixels that a sparse kernel works on at a time.
        translation_entries: pages whose addresses the first-level table holds; ``translation_cycles``: until the next level answers a miss.
    """

    unit: ComputeUnit
    caches: tuple[Memory, ...]
    threads: int
    vector_bytes: int
    pipes: float
    issue: float
    latency: float
    loads: tuple[float, ...]
    efficiency: float
    overlap: float
    rows: int
    vectors: int
    pixels: int
    loop_order: str
    translation_entries: int = 0
    page_bytes: float = 4096.0
    translation_cycles: float = 0.0

    def lanes(self, format_name: str) -> int:
        """Multiply-accumulates of one instruction in a format, from the unit's rate."""
        rate = self.unit.rates[format_name, "dense"]
        return max(1, round(rate / (2.0 * self.threads * self.pipes * self.unit.clock_hz)))

    def cycles(self, work: Work) -> float:
        """Cycles of ``work`` with all data in the innermost cache: the slowest of arithmetic, issue, loads and the chain."""
        bounds = (
            work.arithmetic / self.pipes, work.instructions / self.issue, work.loaded / self.loads[0], work.chain * self.latency,
        )  # fmt: skip
        return max(bounds) / self.efficiency

    def fits(self, level: int, size: float) -> bool:
        """Whether ``size`` bytes stay in cache ``level`` (0 is the innermost) until they are used again; beyond the last: no."""
        return level < len(self.caches) and size <= self.caches[level].size_bytes * CACHE_SHARE

    def level_cycles(self, level: int, moved: float) -> float:
        """Cycles in which cache ``level`` hands ``moved`` bytes inwards, to all cores together."""
        rate = min(self.loads[level] * self.threads, self.caches[level].bandwidth_bytes_per_s / self.unit.clock_hz)
        return moved / rate

    def through(self, level: int, streams: Iterable[Stream]) -> float:
        """Bytes that cache ``level`` (1 or more) hands inwards: each stream once, and at each pass if it does not fit the cache inside."""
        return sum(stream.size * (1.0 if self.fits(level - 1, stream.size) else stream.passes) for stream in streams)

    def translation(self, visits: float, pages: float) -> float:
        """Cycles in which ``visits`` to one of ``pages`` in no lasting order wait for the next level of translations.

        A visit finds its page in the table with the share of the pages that the table holds; misses are served one by one.
        """
        if not self.translation_entries or pages <= self.translation_entries:
            return 0.0
        return visits * (1.0 - self.translation_entries / pages) * self.translation_cycles

    def norm(self, parts: Iterable[float]) -> float:
        """Time of parts that overlap with power ``overlap``: their sum at 1, towards their maximum as it grows."""
        times = [part for part in parts if part > 0]
        longest = max(times, default=0.0)
        return longest * sum((part / longest) ** self.overlap for part in times) ** (1.0 / self.overlap) if times else 0.0


def read_core(unit: ComputeUnit, hardware: Hardware) -> Core:
    """The core that a unit's spec describes."""
    parameters = unit.parameters

    def number(key: str, default: float) -> float:
        return float(parameters.get(key, default))

    caches = tuple(memory for memory in reversed(tuple(hardware.memories.values())) if not memory.off_chip)
    return Core(
        unit=unit,
        caches=caches,
        threads=unit.count,
        vector_bytes=int(number("vector_bits", 128)) // 8,
        pipes=number("arithmetic_per_cycle", 1.0),
        issue=number("issue", 2.0),
        latency=number("arithmetic_latency", 4.0),
        loads=tuple(number(f"loads.{cache.name}", cache.bandwidth_bytes_per_s) / unit.clock_hz for cache in caches),
        efficiency=number("efficiency", 1.0),
        overlap=number("overlap", 1.0),
        rows=int(number("tile.rows", 6)),
        vectors=int(number("tile.vectors", 2)),
        pixels=int(number("tile.pixels", 4)),
        loop_order=str(parameters.get("loop_order", "best")),
        translation_entries=int(number("translation.entries", 0)),
        page_bytes=number("translation.page", 4096.0),
        translation_cycles=number("translation.miss", 0.0) * unit.clock_hz,
    )


def compute_format(wanted: NumberFormat, unit: ComputeUnit) -> str | None:
    """The format with a dense rate that ``wanted`` values are multiplied in; None if there is none."""
    return served_format(wanted, [name for name, pattern in unit.rates if pattern == "dense"])
