"""A time axis in pieces: long times of which nothing is known (the later rounds of a repeat) are cut out of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cyclewright.plots.formatting import tick
from cyclewright.plots.scales import LinearScale
from cyclewright.plots.scene import Path, Scene, Text, text_width
from simulator.result import Span

_CUT = 18.0
"""Pixels between two pieces of the time axis."""
_LONGEST_GAP = 0.08
"""Share of the run beyond which a time without any stretch is cut out of the axis."""


@dataclass(frozen=True, slots=True)
class CutAxis:
    """Cycles to pixels in pieces: long times in which nothing is drawn (later rounds of a repeat) are cut out."""

    pieces: tuple[LinearScale, ...]

    def __call__(self, cycles: float) -> float:
        """Pixel of a time; within a cut, where the next piece begins."""
        piece = next((piece for piece in self.pieces if cycles <= piece.high), self.pieces[-1])
        return piece(max(cycles, piece.low))


def cut_axis(spans: Iterable[Span], left: float, right: float) -> CutAxis:
    """The axis from ``left`` to ``right`` of spans, of which there is at least one."""
    parts: list[list[int]] = []
    for span in sorted(spans, key=lambda span: span.start_cycles):
        if parts and span.start_cycles <= parts[-1][1]:
            parts[-1][1] = max(parts[-1][1], span.end_cycles)
        else:
            parts.append([span.start_cycles, span.end_cycles])
    end = parts[-1][1]
    joined: list[list[int]] = [[0, 0]]
    for low, high in parts:
        if low - joined[-1][1] > _LONGEST_GAP * end:
            joined.append([low, high])
        else:
            joined[-1][1] = high
    solid = [part for part in joined if part[1] > part[0]]
    room = right - left - _CUT * (len(solid) - 1)
    drawn = sum(high - low for low, high in solid)
    pieces, x = [], left
    for low, high in solid:
        width = (high - low) / drawn * room
        pieces.append(LinearScale(float(low), float(high), x, x + width))
        x += width + _CUT
    return CutAxis(tuple(pieces))


def time_ticks(scene: Scene, axis: CutAxis, clock_hz: float, top: float, foot: float) -> None:
    """Lines from ``top`` to ``foot`` with round times below, and a mark at each cut."""
    free = 0.0
    for number, piece in enumerate(axis.pieces):
        if number:
            middle = piece.start - _CUT / 2
            scene.add(
                Path(((middle - 3, foot + 4), (middle, foot - 4)), stroke="ink"),
                Path(((middle, foot + 4), (middle + 3, foot - 4)), stroke="ink"),
            )
        seconds_scale = LinearScale(piece.low / clock_hz, piece.high / clock_hz, piece.start, piece.end)
        for value in seconds_scale.ticks(max(1, int((piece.end - piece.start) / 110))):
            at, label = seconds_scale(value), tick(value, "s")
            half = text_width(label, 11) / 2
            middle = min(at, piece.end - half + 10, scene.width - half - 2)
            scene.add(Path(((at, top), (at, foot)), stroke="grid"))
            if middle - half > free:
                scene.add(Text(middle, foot + 16, label, size=11, fill="muted", anchor="middle"))
                free = middle + half + 6
