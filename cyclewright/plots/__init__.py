"""Figures of a run, made from its stored JSON document alone: roofline, breakdown, memory, timeline, and the tornado of ``whatif``.

``write_*`` put a figure into a file (``.svg`` or ``.png``); ``*_svg`` give SVG text for a page that defines the colour roles of
``cyclewright.plots.palette`` as CSS variables. Only PNG needs matplotlib.
"""

from __future__ import annotations

from cyclewright.plots.figures import (
    breakdown_svg,
    memory_svg,
    roofline_svg,
    timeline_svg,
    tornado_svg,
    write_breakdown,
    write_memory,
    write_roofline,
    write_timeline,
    write_tornado,
)

__all__ = [
    "breakdown_svg",
    "memory_svg",
    "roofline_svg",
    "timeline_svg",
    "tornado_svg",
    "write_breakdown",
    "write_memory",
    "write_roofline",
    "write_timeline",
    "write_tornado",
]
