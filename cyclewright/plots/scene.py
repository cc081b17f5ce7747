"""A figure as a list of shapes in pixels, made once and written as SVG text or as PNG.

Every figure of the project is laid out as a scene; the layout knows how wide text will be, so labels can be placed without
overlap, and the SVG needs no plotting library, which keeps a report fast and its bytes the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_WIDTHS = (
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636, 636, 636, 636, 337,
    337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863, 748, 787, 603, 787, 695, 635, 611, 732,
    684, 989, 685, 611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635, 615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, 635,
    635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838,
)  # fmt: skip
"""Advance widths of DejaVu Sans in thousandths of the size, from space to tilde: wider than most system fonts, so safe for them."""


@dataclass(frozen=True, slots=True)
class Rect:
    """A filled rectangle; ``x, y`` is its upper left corner. ``title`` is shown while the pointer rests on it."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    opacity: float = 1.0
    title: str = ""
    stroke: str = ""


@dataclass(frozen=True, slots=True)
class Path:
    """A polyline, closed and filled if ``fill`` is given."""

    points: tuple[tuple[float, float], ...]
    stroke: str = ""
    width: float = 1.0
    dash: tuple[float, ...] = ()
    fill: str = ""
    opacity: float = 1.0
    title: str = ""


@dataclass(frozen=True, slots=True)
class Circle:
    """A circle; ``link`` is the id of the element on the same page that it leads to."""

    x: float
    y: float
    radius: float
    fill: str
    stroke: str = ""
    opacity: float = 1.0
    title: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text.

    ``y`` is its baseline; ``anchor`` start, middle or end; ``rotate`` in degrees, clockwise; ``halo``: outlined with the background.
    """

    x: float
    y: float
    text: str
    size: float = 12.0
    fill: str = "ink"
    anchor: str = "start"
    bold: bool = False
    rotate: float = 0.0
    halo: bool = False
    title: str = ""


Shape = Rect | Path | Circle | Text


@dataclass(slots=True)
class Scene:
    """A figure: size in pixels, a description for readers who cannot see it, and shapes from back to front."""

    width: float
    height: float
    description: str
    shapes: list[Shape] = field(default_factory=list)

    def add(self, *shapes: Shape) -> None:
        """Put shapes on top of what is there."""
        self.shapes.extend(shapes)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width of a line of text in pixels at ``size`` pixels; characters beyond ASCII count as wide as an ``m`` lower-case average."""
    units = sum(_WIDTHS[ord(char) - 32] if 32 <= ord(char) < 127 else 640 for char in text)
    return units * size / 1000 * (1.1 if bold else 1.0)


def shorten(text: str, size: float, room: float, bold: bool = False) -> str:
    """``text``, with its middle replaced by an ellipsis if it is wider than ``room`` pixels (ends of names tell operators apart)."""
    if text_width(text, size, bold) <= room:
        return text
    keep = len(text) - 1
    while keep > 2:
        head = keep // 2
        candidate = text[:head] + "…" + text[len(text) - (keep - head) :]
        if text_width(candidate, size, bold) <= room:
            return candidate
        keep -= 1
    return text[:1] + "…"
