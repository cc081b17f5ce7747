"""Figures as SVG text and as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cyclewright.plots.breakdown import breakdown_scene
from cyclewright.plots.course import course_scene
from cyclewright.plots.memory import memory_scene
from cyclewright.plots.plan import plan_scene
from cyclewright.plots.roofline import roofline_scene
from cyclewright.plots.scene import Scene
from cyclewright.plots.stalls import stalls_scene
from cyclewright.plots.svg import to_svg
from cyclewright.plots.timeline import timeline_scene
from cyclewright.plots.tornado import tornado_scene
from cyclewright.plots.traffic import traffic_scene
from hwspecs.vocabulary.atomic import write_atomic
from hwspecs.vocabulary.errors import ArgumentError
from simulator.reading import read_document

Document = Mapping[str, object]


def write_roofline(document: Document, path: str | Path) -> None:
    """Write the hierarchical roofline of a stored run.

    Args:
        document: the stored JSON document of a run.
        path: a file ending in ``.svg`` or ``.png``.

    Raises:
        InvalidInput: the document does not hold a run.
        ArgumentError: another suffix, or a path that cannot be written.
    """
    _write(roofline_scene(read_document(document)), path)


def write_breakdown(document: Document, path: str | Path) -> None:
    """Write where the time, energy and off-chip bytes of a stored run go; arguments and errors as in ``write_roofline``."""
    _write(breakdown_scene(read_document(document)), path)


def write_memory(document: Document, path: str | Path) -> None:
    """Write the live bytes over time of a stored run; arguments and errors as in ``write_roofline``."""
    _write(memory_scene(read_document(document)), path)


def write_timeline(document: Document, path: str | Path) -> None:
    """Write the busy stretches of each unit and port of a stored run; arguments and errors as in ``write_roofline``."""
    _write(timeline_scene(read_document(document)), path)


def write_stalls(document: Document, path: str | Path) -> None:
    """Write where the time of each operator of a stored run goes; arguments and errors as in ``write_roofline``."""
    _write(stalls_scene(read_document(document)), path)


def write_course(document: Document, path: str | Path) -> None:
    """Write use, bandwidth and bytes held over time of a stored run; arguments and errors as in ``write_roofline``."""
    _write(course_scene(read_document(document)), path)


def write_tornado(whatif_document: Document, path: str | Path) -> None:
    """Write the tornado chart of what ``cyclewright whatif --json`` gives; errors as in ``write_roofline``."""
    _write(tornado_scene(whatif_document), path)


def write_plan(document: Document, path: str | Path) -> None:
    """Write the memory map of a plan file (``cyclewright.schedule(...).as_dict()``); path and errors as in ``write_roofline``."""
    _write(plan_scene(document), path)


def write_traffic(document: Document, path: str | Path) -> None:
    """Write the extra bytes by scheme of a plan file; path and errors as in ``write_roofline``."""
    _write(traffic_scene(document), path)


def _write(scene: Scene, path: str | Path) -> None:
    suffix = Path(path).suffix.lower()
    if suffix == ".svg":
        write_atomic(path, to_svg(scene))
    elif suffix == ".png":
        from cyclewright.plots.raster import to_png

        write_atomic(path, to_png(scene))
    else:
        raise ArgumentError(f"no figure can be written as {suffix or 'a file without suffix'}", where=str(path), hint="use .svg or .png")
