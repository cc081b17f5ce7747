"""Buffers of fixed lifetimes from a file in MiniMalloc's format, placed (``ilp.minimalloc``, ``ilp.placement``)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwspecs.vocabulary.errors import InfeasibleError, ModelError
from ilp.minimalloc import csv_text, read_buffers
from ilp.placement import EFFORT, Allocation, Buffer, allocate, lowest


@dataclass(frozen=True, slots=True)
class PlacedBuffers:
    """What was found for the buffers of a file."""

    buffers: tuple[Buffer, ...]
    scratchpad_bytes: int
    found: Allocation
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data: sizes, the bound, effort, and an offset per buffer."""
        found = self.found
        assert found.offsets is not None
        return {
            "buffers": len(self.buffers),
            "scratchpad_bytes": self.scratchpad_bytes,
            "height_bytes": found.height_bytes,
            "bound_bytes": found.bound_bytes,
            "method": found.method,
            "placements_tried": found.tried,
            "seconds": round(self.seconds, 3),
            "offsets": {buffer.name: offset for buffer, offset in zip(self.buffers, found.offsets, strict=True)},
        }

    def lines(self) -> list[tuple[str, str]]:
        """Label and text for the terminal."""
        found = self.found
        return [
            ("buffers", f"{len(self.buffers)}, all placed within {self.scratchpad_bytes:,} bytes"),
            ("in use", f"up to byte {found.height_bytes:,}; no placement stays below {found.bound_bytes:,}"),
            ("method", f"{found.method}, {found.tried:,} placements tried, {self.seconds:.2f} s"),
        ]

    def csv_bytes(self) -> bytes:
        """The buffers with their offsets, in MiniMalloc's format."""
        return csv_text(self.buffers, self.found.offsets).encode("utf-8")


def place(path: str | Path, capacity: int | None = None, *, effort: int | None = None) -> PlacedBuffers:
    """Place the buffers of a file within ``capacity`` bytes, or as low as is found without one.

    Args:
        effort: placements that the search may try.

    Raises:
        ModelError: the file cannot be read, or holds no buffer. ErrorList: all faults of its rows.
        InfeasibleError: no placement was found; says whether there is none.
    """
    buffers = read_buffers(path).buffers
    if not buffers:
        raise ModelError("holds no buffer", where=str(path), hint="give one line for each buffer below the header")
    spent = EFFORT if effort is None else effort
    start = time.perf_counter()
    found = lowest(buffers, effort=spent) if capacity is None else allocate(buffers, capacity, effort=spent)
    elapsed = time.perf_counter() - start
    if found.offsets is None:
        if found.method == "load":
            more = found.bound_bytes - (capacity or 0)
            what = f"{found.bound_bytes} bytes live at one moment, {more} more than the scratchpad of {capacity}"
        elif found.infeasible:
            what = f"no placement within {capacity} bytes exists"
        else:
            what = f"no placement within {capacity} bytes was found in {found.tried} tries"
        hint = "give it more --states, or a larger scratchpad" if not found.infeasible else "use a larger scratchpad"
        raise InfeasibleError(what, where=str(path), hint=hint)
    return PlacedBuffers(buffers, capacity if capacity is not None else found.height_bytes, found, elapsed)
