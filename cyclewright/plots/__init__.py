"""Figures of a run, made from its stored JSON document alone, and the tornado of ``whatif``.

``write_*`` put a figure into a file (``.svg`` or ``.png``). ``cyclewright.plots.svg.to_svg`` gives a laid-out figure as SVG text for a
page that defines the colour roles of ``cyclewright.plots.palette`` as CSS variables. Only PNG needs matplotlib.
"""

from __future__ import annotations

from cyclewright.plots.figures import (
    FIGURES,
    write_arrays,
    write_breakdown,
    write_course,
    write_figure,
    write_memory,
    write_parts,
    write_pipeline,
    write_plan,
    write_roofline,
    write_stalls,
    write_timeline,
    write_tornado,
    write_traffic,
)

__all__ = [
    "FIGURES",
    "write_arrays",
    "write_breakdown",
    "write_course",
    "write_figure",
    "write_memory",
    "write_parts",
    "write_pipeline",
    "write_plan",
    "write_roofline",
    "write_stalls",
    "write_timeline",
    "write_tornado",
    "write_traffic",
]
