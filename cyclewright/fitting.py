"""Whether a training step fits its device, and the largest batch that does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwspecs.hardware import Hardware
from hwspecs.vocabulary.errors import ArgumentError, InfeasibleError
from hwspecs.vocabulary.units import format_quantity
from simulator.result import Result

_SECANTS = 8
"""Batches that are guessed from a slope; memory that grows evenly with the batch takes two of them."""


def largest_batch(model: str | Path, hardware: str | Path | Hardware, *, below: int = 1 << 16, **settings: Any) -> int:
    """The largest batch, below ``below``, whose weights, states and activations fit the off-chip memory; 0 if not even one input does.

    The memory is that of ``Result.peak_memory_bytes`` under the trivial schedule.

    Args:
        settings: of ``cyclewright.run``, without the batch: ``phase="train", optimizer="adam"``.

    Raises:
        ArgumentError: the model takes no batch (single operators, SCALE-Sim topologies). Others as ``cyclewright.run``.
    """
    if below < 2:
        raise ArgumentError(f"below is {below!r}", where="below", hint="give a whole number of at least 2")
    room, peak = _measures(model, hardware, settings)
    return _largest(room, peak, below)


def check_step_fits(result: Result, model: str, hardware: str, settings: dict[str, Any]) -> None:
    """Raise where ``result`` is a training step that its device cannot hold.

    Args:
        settings: what ``cyclewright.run`` was called with; the largest batch that fits is looked for with these.

    Raises:
        InfeasibleError: names the bytes needed and at hand, and the batch that fits.
    """
    if result.fits or result.phase != "train":
        return
    batch = int(settings.get("batch", 1))
    room = sum(size for size, off_chip in result.capacities.values() if off_chip)
    needs, has = (format_quantity(size, "GB" if room >= 10**9 else "MB", digits=6) for size in (result.peak_memory_bytes, room))
    what = f"a training step of batch {batch} needs {needs}, {result.hardware} has {has} off chip"
    others = f"{_savings(settings)}take a device with more memory"
    fitting = 0
    if batch > 1:
        room, peak = _measures(model, hardware, settings)
        fitting = _largest(room, peak, batch)
    found = f"the largest batch that fits is {fitting}" if fitting else "no batch fits"
    raise InfeasibleError(what, where="batch", hint=f"{found}; or {others}" if fitting else f"{found}; {others}")


def _savings(settings: dict[str, Any]) -> str:
    """Ways to need less memory that are not taken yet, with a comma or an "or" behind."""
    ways = {
        "recompute": ("recompute", "--recompute blocks"),
        "frozen": ("freeze weights", "--frozen"),
        "lora": ("train adapters", "--lora"),
    }
    left = [way for name, way in ways.items() if settings.get(name) in (None, "none")]
    if not left:
        return ""
    *first, last = [what for what, _ in left]
    told = f"{', '.join(first)} or {last}" if first else last
    return f"{told} ({', '.join(option for _, option in left)}), or "


def _measures(model: str | Path, hardware: str | Path | Hardware, settings: dict[str, Any]) -> tuple[int, Callable[[int], int]]:
    """(bytes of off-chip memory, batch to peak bytes)."""
    from cyclewright.api import prepare
    from ilp import trivial_schedule
    from ilp.lifetimes import lifetimes
    from mappings import map_graph
    from simulator.memory import live_off_chip

    known = {name: value for name, value in settings.items() if name not in ("batch", "interval", "accounting")}
    first = prepare(model, hardware, batch=1, **known)

    def peak(batch: int) -> int:
        graph = first.graph if batch == 1 else prepare(model, hardware, batch=batch, **known).graph
        mapped = map_graph(graph, first.hardware)
        lives = tuple(lifetimes(block) for block in mapped.blocks)
        rows = live_off_chip(mapped, trivial_schedule(mapped), lives)
        return max((live for row in rows for live in row), default=0)

    return sum(memory.size_bytes for memory in first.hardware.memories.values() if memory.off_chip), peak


def _largest(room: int, peak: Callable[[int], int], below: int) -> int:
    """The largest batch below ``below`` that fits, 0 if not even 1 does: by the secant, and by halves where memory grows unevenly."""
    low, at_low, high, at_high = 1, peak(1), below, 0
    if at_low > room or below < 2:
        return 0
    slope, tries = float(peak(2) - at_low) if below > 2 else 1.0, 0
    while high - low > 1:
        tries += 1
        slope = (at_high - at_low) / (high - low) if at_high else slope
        guess = (low + high) // 2 if tries > _SECANTS else low + max(1, int((room - at_low) / max(slope, 1.0)))
        guess = min(guess, high - 1)
        bytes_needed = peak(guess)
        if bytes_needed <= room:
            slope = (bytes_needed - at_low) / (guess - low)
            low, at_low = guess, bytes_needed
        else:
            high, at_high = guess, bytes_needed
    return low
