"""When each layer of a crossbar works: a row per layer, from its first result to its last, and how busy its arrays are meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from cyclewright.arrays import Arrays, read_arrays
from cyclewright.plots.array_map import NO_ARRAYS, begun, layer_colour
from cyclewright.plots.array_wording import pace_of
from cyclewright.plots.axis import CutAxis, cut_axis, time_ticks
from cyclewright.plots.formatting import count, percent, seconds, si
from cyclewright.plots.scene import Path, Rect, Scene, Text, shorten, text_width
from simulator.result import OperatorResult, Result, Span

_ROW = 16.0
_MOST_ROWS = 80
_DIGITAL = "muted"
_PALE = 0.35


@dataclass(frozen=True, slots=True)
class Row:
    """A layer, or several that share a row.

    Attributes:
        number: of the layer in the array map, counted from 0; -1 where it has no arrays of its own.
        arrays, digital: (first cycle, last cycle) of its arrays and of its digital work, one for each input of a batch, overlaps joined.
        busy: share of the time between first and last in which its arrays work; None where that is not known.
        layers: that share the row.
    """

    name: str
    number: int
    arrays: tuple[tuple[int, int], ...]
    digital: tuple[tuple[int, int], ...]
    busy: float | None
    layers: int = 1


def rows_of(result: Result, found: Arrays) -> list[Row]:
    """The layers and the digital work of a run in the program's order; neighbours share a row where there are more than 80."""
    spans: dict[str, list[tuple[Span, bool]]] = {}
    owners: dict[str, OperatorResult] = {}
    groups = {operator.name: set(operator.members) for operator in result.operators if operator.members}
    for span in result.timeline:
        name, kind = _layer_of(span, groups.get(span.operator), found.unit)
        if kind:
            spans.setdefault(name, []).append((span, kind == "arrays"))
    numbers = {layer.name: number for number, layer in reversed(list(enumerate(found.placed)))}
    layers = {layer.name: layer for layer in reversed(found.layers)}
    rows = []
    for operator in result.operators:
        for name in operator.members or (operator.name,):
            if name in spans and name not in owners:
                owners[name] = operator
                on_arrays = _stretches(span for span, held in spans[name] if held)
                digital = _stretches(span for span, held in spans[name] if not held)
                busy = _busy(result, operator, name, on_arrays, found)
                held = layers[name].held_as if name in layers else name
                rows.append(Row(name, numbers.get(name, numbers.get(held, -1)), on_arrays, digital, busy))
    step = ceil(len(rows) / _MOST_ROWS)
    return rows if step <= 1 else [_joined(rows[start : start + step]) for start in range(0, len(rows), step)]


def _layer_of(span: Span, members: set[str] | None, unit: str) -> tuple[str, str]:
    """(the operator whose work a stretch is, ``arrays`` or ``digital``); no kind for ports, links and launches."""
    if not span.resource.startswith("compute:"):
        return "", ""
    kind = "arrays" if span.resource.partition(":")[2].partition(".")[0] == unit else "digital"
    if members is None:
        return span.operator, kind
    name = span.stage
    if name.endswith("]") and name not in members:
        name = name.rpartition(" [")[0]
    return name if name in members else name.removesuffix(" digital"), kind


def _stretches(spans: Iterator[Span]) -> tuple[tuple[int, int], ...]:
    """From first to last cycle; inputs of a batch that overlap are one stretch."""
    found: list[tuple[int, int]] = []
    for start, end in sorted((span.start_cycles, span.end_cycles) for span in spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return tuple(found)


def _busy(result: Result, operator: OperatorResult, name: str, drawn: tuple[tuple[int, int], ...], found: Arrays) -> float | None:
    """Share of the drawn time in which the arrays work; of a repeat one round is drawn, the busy time is that of all.

    Layers that use the same weights by turns have one resource: of each its own cycles count, as ``in_memory`` gives them.
    """
    length = sum(end - start for start, end in drawn)
    if not length:
        return None
    users = [layer for layer in found.layers if (layer.held_as or layer.name) == name]
    own = result.busy.get(f"compute:{found.unit}.{name}")
    if own is not None and len(users) == 1:
        return min(1.0, own * result.clock_hz / operator.count / length)
    cycles = operator.breakdown.get("arrays")
    if operator.members:
        cycles = next((layer.cycles for layer in found.layers if layer.name == name), None)
    return min(1.0, cycles / length) if cycles else None


def _joined(rows: list[Row]) -> Row:
    """Neighbours as one row, named after the first."""
    if len(rows) == 1:
        return rows[0]
    arrays = tuple(stretch for row in rows for stretch in row.arrays)
    digital = tuple(stretch for row in rows for stretch in row.digital)
    spent = sum((row.busy or 0.0) * (end - start) for row in rows for start, end in row.arrays)
    length = sum(end - start for start, end in arrays)
    number = next((row.number for row in rows if row.number >= 0), -1)
    name = f"{rows[0].name} and {len(rows) - 1} more"
    return Row(name, number, arrays, digital, spent / length if length else None, len(rows))


def pipeline_scene(result: Result, *, width: float = 1080, heading: bool = True) -> Scene:
    """Lay out the timeline of layers; a run without arrays, or stored without a timeline, gives a scene that says so."""
    scene, top = begun(result, "When each layer works, for", width, heading)
    found = read_arrays(result.in_memory)
    rows = rows_of(result, found) if found is not None and result.clock_hz > 0 else []
    if found is None or not rows:
        missing = NO_ARRAYS if found is None else "this run was stored without a timeline"
        scene.add(Text(12, top + 18, missing, size=12, fill="muted"))
        return scene
    y = _told(scene, result, found, top)
    y = _keys(scene, y + 20) + 12
    narrow = width <= 600
    left, right = (96.0 if narrow else 200.0), width - (44 if narrow else 52)
    axis = cut_axis([Span("", "", "", *stretch) for row in rows for stretch in (*row.arrays, *row.digital)], left, right)
    foot = y + _ROW * len(rows)
    time_ticks(scene, axis, result.clock_hz, y, foot)
    slowest = found.interval_bound_by.removeprefix("arrays of ")
    for place, row in enumerate(rows):
        _draw(scene, row, axis, result.clock_hz, y + _ROW * place, row.name == slowest)
    scene.add(Path(((left, y), (left, foot), (right, foot)), stroke="axis"))
    scene.height = foot + 28
    return scene


def _told(scene: Scene, result: Result, found: Arrays, y: float) -> float:
    """One run alone, and runs that follow each other."""
    alone = f"One run alone takes {seconds(result.latency_s)}."
    steady = f"Runs that follow each other end every {seconds(found.interval_s)}"
    pace = f"({si(found.throughput_per_s, '/s')}), the time of {pace_of(found)}."
    lines = [f"{alone} {steady} {pace}"]
    if text_width(lines[0], 12) > scene.width - 24:
        lines = [alone, steady, pace]
    for line in lines if found.interval_s > 0 else [alone]:
        y += 16
        scene.add(Text(12, y, shorten(line, 12, scene.width - 24), size=12))
    return y


def _keys(scene: Scene, y: float) -> float:
    x = 12.0
    for name, height, colour, opacity in (
        ("from first to last", 11.0, "s1", _PALE),
        ("share in which its arrays work", 6.0, "s1", 1.0),
        ("digital work", 3.0, _DIGITAL, 1.0),
    ):
        step = 22 + text_width(name, 12) + 16
        if x + step > scene.width - 12:
            x, y = 12.0, y + 18
        scene.add(Rect(x, y - height, 16, height, colour, opacity=opacity))
        scene.add(Text(x + 22, y, name, size=12))
        x += step
    return y


def _draw(scene: Scene, row: Row, axis: CutAxis, clock_hz: float, y: float, slowest: bool) -> None:
    left = axis.pieces[0].start
    colour = layer_colour(row.number)
    high = _ROW - 6
    number = count(row.number + 1) if row.number >= 0 and row.layers == 1 and left > 120 else ""
    if number:
        scene.add(Text(32, y + 12, number, size=11, fill="muted", anchor="end"))
    start = 38.0 if left > 120 else 8.0
    name = shorten(row.name, 11, left - start - 6, bold=slowest)
    scene.add(Text(left - 6, y + 12, name, size=11, anchor="end", bold=slowest, title=row.name))
    for first, last in row.arrays:
        x, end = axis(first), axis(last)
        note = f"{row.name}: {seconds(first / clock_hz)} to {seconds(last / clock_hz)}"
        note += "" if row.busy is None else f", its arrays work in {percent(row.busy)} of that"
        scene.add(Rect(x, y + 2, max(end - x, 0.5), high, colour, opacity=_PALE, title=note))
        if row.busy is not None:
            scene.add(Rect(x, y + 2 + high * (1 - row.busy), max(end - x, 0.5), high * row.busy, colour, title=note))
    for first, last in row.digital:
        x, end = axis(first), axis(last)
        note = f"{row.name}, digital work: {seconds(first / clock_hz)} to {seconds(last / clock_hz)}"
        scene.add(Rect(x, y + _ROW - 3.5, max(end - x, 0.5), 2.5, _DIGITAL, title=note))
    if row.busy is not None:
        scene.add(Text(scene.width - 6, y + 12, percent(row.busy), size=11, fill="muted", anchor="end", bold=slowest))
