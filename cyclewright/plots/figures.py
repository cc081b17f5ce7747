"""Figures as SVG text and as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cyclewright.plots.array_map import array_map_scene
from cyclewright.plots.breakdown import breakdown_scene
from cyclewright.plots.course import course_scene
from cyclewright.plots.memory import memory_scene
from cyclewright.plots.parts import parts_scene
from cyclewright.plots.pipeline import pipeline_scene
from cyclewright.plots.plan import plan_scene
from cyclewright.plots.roofline import roofline_scene
from cyclewright.plots.scene import Scene
from cyclewright.plots.stalls import stalls_scene
from cyclewright.plots.svg import to_svg
from cyclewright.plots.timeline import timeline_scene
from cyclewright.plots.tornado import tornado_scene
from cyclewright.plots.traffic import traffic_scene
from hwspecs.vocabulary.atomic import write_atomic
from hwspecs.vocabulary.errors import ArgumentError, UnknownNameError
from hwspecs.vocabulary.suggest import did_you_mean
from simulator.reading import read_document
from simulator.result import Result

Document = Mapping[str, object]
FIGURES: dict[str, Callable[[Result], Scene]] = {
    "roofline": roofline_scene,
    "breakdown": breakdown_scene,
    "memory": memory_scene,
    "course": course_scene,
    "timeline": timeline_scene,
    "stalls": stalls_scene,
    "arrays": array_map_scene,
    "parts": parts_scene,
    "pipeline": pipeline_scene,
}
"""The figures of a run by name; the last three are of crossbars (``parts`` also shows what other hardware has)."""


def write_figure(name: str, document: Document, path: str | Path) -> None:
    """Write one of ``FIGURES`` of a stored run.

    Raises:
        UnknownNameError: no such figure; the hint names the nearest.
        InvalidInput, ArgumentError: as ``write_roofline``.
    """
    if name not in FIGURES:
        raise UnknownNameError(f"unknown figure {name!r}", hint=did_you_mean(name, FIGURES))
    _write(FIGURES[name](read_document(document)), path)


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


def write_arrays(document: Document, path: str | Path) -> None:
    """Write which weights sit in which arrays of a stored run on a crossbar; arguments and errors as in ``write_roofline``."""
    _write(array_map_scene(read_document(document)), path)


def write_pipeline(document: Document, path: str | Path) -> None:
    """Write when each layer of a stored run on a crossbar works; arguments and errors as in ``write_roofline``."""
    _write(pipeline_scene(read_document(document)), path)


def write_parts(documents: Document | Sequence[Document], path: str | Path, *, labels: Sequence[str] = ()) -> None:
    """Write time, energy and, of crossbars, area and power by component, of one stored run or of several side by side.

    Args:
        labels: what to call the runs, by default their devices. Path and errors as in ``write_roofline``.
    """
    several = [documents] if isinstance(documents, Mapping) else list(documents)
    _write(parts_scene([read_document(document) for document in several], labels=labels), path)


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
