"""Placing labels beside dots so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two share any area."""
        return self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom

    def inside(self, other: Box) -> bool:
        """Whether this box lies wholly in ``other``."""
        return self.left >= other.left and self.right <= other.right and self.top >= other.top and self.bottom <= other.bottom


_ANGLES = tuple(sign * step * pi / 8 for step in (0, 8, 2, 6, 1, 7, 3, 5, 4) for sign in ((1,) if step in (0, 8) else (-1, 1)))
_GAPS = (4.0, 12.0, 24.0, 40.0, 60.0, 84.0)


def place_label(
    x: float,
    y: float,
    radius: float,
    width: float,
    height: float,
    frame: Box,
    taken: Sequence[Box],
    dots: Sequence[tuple[float, float, float]],
) -> Box | None:
    """A box of ``width`` x ``height`` near the dot at ``x, y``: inside ``frame``, clear of ``taken``, over as few ``dots`` as can be.

    Args:
        x, y, radius: the dot.
        width, height: of the label.
        frame: where labels may be.
        taken: boxes that no label may touch.
        dots: (x, y, radius) of what a label should rather not cover.

    Returns:
        the box, or None where there is no free place.
    """
    best: tuple[float, Box] | None = None
    for gap in _GAPS:
        for angle in _ANGLES:
            box = _beside(x, y, radius + gap, angle, width, height)
            if not box.inside(frame) or any(box.overlaps(other) for other in taken):
                continue
            covered = sum(1.0 + dot_radius / 2 for dot_x, dot_y, dot_radius in dots if _covers(box, dot_x, dot_y, dot_radius))
            crossed = sum(_crosses(x, y, box, other) for other in taken)
            cost = covered + gap / 6 + 12 * crossed
            if best is None or cost < best[0]:
                best = (cost, box)
        if best is not None and best[0] <= gap / 6:
            break  # a farther place cannot be cheaper
    return best[1] if best else None


def _beside(x: float, y: float, distance: float, angle: float, width: float, height: float) -> Box:
    at_x, at_y = x + cos(angle) * distance, y + sin(angle) * distance
    lean = cos(angle)
    left = at_x if lean > 0.3 else at_x - width if lean < -0.3 else at_x - width / 2
    tilt = sin(angle)
    top = at_y if tilt > 0.9 else at_y - height if tilt < -0.9 else at_y - height / 2
    return Box(left, top, left + width, top + height)


def _crosses(x: float, y: float, box: Box, other: Box) -> bool:
    """Whether the line from the dot to the near edge of its label runs through ``other``."""
    near_x, near_y = min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)
    for step in range(1, 12):
        at_x, at_y = x + (near_x - x) * step / 12, y + (near_y - y) * step / 12
        if (
            other.left < at_x < other.right
            and other.top < at_y < other.bottom
            and not (other.left < x < other.right and other.top < y < other.bottom)
        ):
            return True
    return False


def _covers(box: Box, x: float, y: float, radius: float) -> bool:
    near_x = min(max(x, box.left), box.right)
    near_y = min(max(y, box.top), box.bottom)
    return (near_x - x) ** 2 + (near_y - y) ** 2 < radius**2
