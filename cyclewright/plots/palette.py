"""Colours by role, for light and dark backgrounds.

The eight series colours are those of Okabe and Ito (Color Universal Design, 2008), which stay apart under the common forms of
colour blindness; yellow and grey are darkened on white so that they stay visible. Nothing is told by colour alone: every
figure carries labels or a legend with numbers.
"""

from __future__ import annotations

LIGHT = {
    "paper": "#ffffff", "ink": "#1a1d21", "muted": "#565f6b", "axis": "#9aa3ad", "grid": "#e4e7eb", "alert": "#b42318",
    "s1": "#0072b2", "s2": "#e69f00", "s3": "#009e73", "s4": "#d55e00", "s5": "#cc79a7", "s6": "#56b4e9", "s7": "#c9b800", "s8": "#7d8691",
    "on-s1": "#ffffff", "on-s2": "#111111", "on-s3": "#111111", "on-s4": "#111111", "on-s5": "#111111", "on-s6": "#111111",
    "on-s7": "#111111", "on-s8": "#111111",
}  # fmt: skip
DARK = {
    "paper": "#14171b", "ink": "#e8eaed", "muted": "#a3acb8", "axis": "#5d6672", "grid": "#2a2f36", "alert": "#ff9b8f",
    "s1": "#4aa3df", "s2": "#f0b84a", "s3": "#3cc49c", "s4": "#ff8a4c", "s5": "#e09ac2", "s6": "#8fd0f5", "s7": "#f0e442", "s8": "#9aa3ad",
    "on-s1": "#111111", "on-s2": "#111111", "on-s3": "#111111", "on-s4": "#111111", "on-s5": "#111111", "on-s6": "#111111",
    "on-s7": "#111111", "on-s8": "#111111",
}  # fmt: skip
SERIES = ("s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8")
_KINDS = {
    "gemm": "s1", "conv": "s4", "attention": "s2", "elementwise": "s3", "norm": "s5", "softmax": "s7", "pool": "s6", "embedding": "s7",
    "scan": "s6", "reduce": "s6",
}  # fmt: skip
OTHER = "s8"


def kind_colour(kind: str) -> str:
    """The colour role of an operator kind, the same in every report; grey for kinds without one of their own."""
    return _KINDS.get(kind, OTHER)


def series_colours(names: list[str]) -> dict[str, str]:
    """Colour roles in order for names that have no fixed colour; all beyond the seventh share grey."""
    return {name: SERIES[min(index, len(SERIES) - 1)] for index, name in enumerate(names)}
