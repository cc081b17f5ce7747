"""What each unit and port does when: the busy stretches of the timeline, one row per resource."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cyclewright.plots.axis import CutAxis, cut_axis, time_ticks
from cyclewright.plots.formatting import seconds
from cyclewright.plots.palette import kind_colour
from cyclewright.plots.scene import Path, Rect, Scene, Text, shorten
from cyclewright.plots.wording import title
from simulator.result import Result, Span

_ROW = 26.0
_FINEST = 0.75
"""Stretches nearer to each other than this many pixels are drawn as one: nobody can tell them apart, and a file of all would be large."""


def timeline_scene(result: Result, *, width: float = 1080, heading: bool = True) -> Scene:
    """Lay out the timeline; a run stored without one gives a scene that says so."""
    rows: dict[str, list[Span]] = {}
    for span in result.timeline:
        rows.setdefault(_shared(span.resource, result), []).append(span)
    top = 36.0 if heading else 6.0
    scene = Scene(width, top + _ROW * max(1, len(rows)) + 34, f"Timeline of {title(result)}: {len(rows)} units and ports")
    if heading:
        scene.add(Text(12, 22, shorten(title(result), 14, width - 24, bold=True), size=14, bold=True))
    end = max((span.end_cycles for span in result.timeline), default=0)
    if not end or result.clock_hz <= 0:
        scene.add(Text(12, top + 18, "this run was stored without a timeline", size=12, fill="muted"))
        return scene
    left, right = 110.0 if width > 600 else 76.0, width - 16
    axis = cut_axis(result.timeline, left, right)
    kinds = {operator.name: operator.kind for operator in result.operators}
    foot = top + _ROW * len(rows)
    time_ticks(scene, axis, result.clock_hz, top, foot)
    for index, (resource, spans) in enumerate(rows.items()):
        y = top + _ROW * index
        scene.add(Text(left - 8, y + 17, shorten(resource.partition(":")[2] or resource, 12, left - 14), size=12, anchor="end"))
        for span_start, span_end, operator, note in _stretches(spans, axis, result.clock_hz):
            scene.add(Rect(span_start, y + 4, max(span_end - span_start, 0.5), _ROW - 8, kind_colour(kinds.get(operator, "")), title=note))
    scene.add(Path(((left, top), (left, foot), (right, foot)), stroke="axis"))
    return scene


def _shared(resource: str, result: Result) -> str:
    """The row of a resource: arrays of the layers of a crossbar share one, as the pipeline of layers is a figure of its own."""
    unit = f"compute:{result.in_memory['unit']}" if result.in_memory is not None and "unit" in result.in_memory else ""
    return unit if unit and resource.startswith(f"{unit}.") else resource


def _stretches(spans: Iterable[Span], x: CutAxis, clock_hz: float) -> Iterator[tuple[float, float, str, str]]:
    """Pixel stretches in order of start; neighbours that no screen could tell apart become one, named after the longest in it."""
    group: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start_cycles, span.end_cycles)):
        if group:
            begin, end = group[0].start_cycles, max(member.end_cycles for member in group[-4:])
            small = x(span.end_cycles) - x(begin) < 4 * _FINEST
            same = span.operator == group[-1].operator and span.stage == group[-1].stage
            if not (x(span.start_cycles) - x(end) < _FINEST and (small or same)):
                yield _stretch(group, x, clock_hz)
                group = []
        group.append(span)
    if group:
        yield _stretch(group, x, clock_hz)


def _stretch(group: list[Span], x: CutAxis, clock_hz: float) -> tuple[float, float, str, str]:
    longest = max(group, key=lambda span: span.end_cycles - span.start_cycles)
    begin, end = group[0].start_cycles, max(span.end_cycles for span in group)
    others = len({span.operator for span in group}) - 1
    more = f" and {others} more" if others else ""
    note = f"{longest.operator}{more} ({longest.stage}): {seconds(begin / clock_hz)} to {seconds(end / clock_hz)}"
    return x(begin), x(end), longest.operator, note
