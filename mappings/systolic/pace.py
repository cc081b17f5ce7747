"""Streams of equal steps that are not one cycle per point: several cycles each, or N of every M points only."""

from __future__ import annotations

from hwspecs.vocabulary.records import dataclass
from mappings.systolic.skipping import Steps


@dataclass(frozen=True, slots=True)
class Pace:
    """What a stream of points takes: ``kept`` of every ``points`` points are a step, and each step takes ``cycles``.

    Attributes:
        density: share of the dense multiplications that are executed (padding to whole groups is none).
        label: for reports (``2:8``); empty where the stream is dense.
    """

    cycles: float
    kept: int = 1
    points: int = 1
    density: float = 1.0
    label: str = ""

    @property
    def pattern(self) -> str:
        """Whose rates it runs at."""
        return self.label or "dense"

    def of(self, length: int) -> float:
        """Cycles of a stream of ``length`` points."""
        return -(-length * self.kept // self.points) * self.cycles


Stream = Steps | Pace
"""What a stream takes: ``of(length)`` cycles, ``density`` of the multiplications, and a ``label`` for reports."""
