"""What happens over time: use of each unit, bandwidth of each off-chip memory, bytes held on chip, on the time axis of the timeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cyclewright.plots.axis import CutAxis, cut_axis, time_ticks
from cyclewright.plots.formatting import amount, percent, si
from cyclewright.plots.scales import LinearScale
from cyclewright.plots.scene import Path, Rect, Scene, Text, shorten, text_width
from cyclewright.plots.wording import title
from simulator.counters import bandwidths, held, uses
from simulator.result import Result

_PANEL = 70.0
_STEP = 126.0
_FINEST = 1.0
"""Pieces narrower than this many pixels are drawn as one, at their mean."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity: its heading, in full and short; the value of the limit line and its name; stacked layers (name, colour, values)."""

    heading: str
    short: str
    limit: float
    limit_name: str
    layers: tuple[tuple[str, str, Sequence[float]], ...]


def panels_of(result: Result) -> list[Panel]:
    """The panels of a run: a mean is over the whole run, folded rounds too; a highest value is that of one piece."""
    marks = result.over_time.get("cycles", ())
    lengths = [end - start for start, end in pairwise(marks)]
    panels = []
    for unit, shares in uses(result).items():
        text = f"{unit}: {percent(_mean(shares, lengths))} of its peak on average, {percent(max(shares))} at most"
        panels.append(Panel(text, text, 1.0, "peak", (("", "s1", shares),)))
    for name, (read, written) in bandwidths(result).items():
        both = [one + other for one, other in zip(read, written, strict=True)]
        peak = result.roofs.get(f"memory:{name}", 0.0)
        text = short = f"{name}: {si(_mean(both, lengths), 'B/s')} on average"
        if peak:
            share = percent(_mean(both, lengths) / peak)
            text, short = f"{text}, {share} of the data sheet's {si(peak, 'B/s')}", f"{name}: {share} of {si(peak, 'B/s')}"
        panels.append(Panel(text, short, peak, "data sheet", (("read", "s1", read), ("written", "s2", written))))
    for name, levels in held(result).items():
        room = result.capacities.get(name, (0, False))[0]
        text = f"{name}: up to {amount(max(levels))} held" + (f", {percent(max(levels) / room)} of {amount(room)}" if room else "")
        panels.append(Panel(text, text, float(room), "capacity", (("", "s3", levels),)))
    return panels


def course_scene(result: Result, *, width: float = 1080, heading: bool = True) -> Scene:
    """Lay out one panel per quantity; a run stored without its course gives a scene that says so."""
    panels = panels_of(result) if result.timeline and result.clock_hz > 0 and len(result.over_time.get("cycles", ())) > 1 else []
    top = 36.0 if heading else 4.0
    scene = Scene(width, top + _STEP * max(1, len(panels)) + 6, f"Use, bandwidth and bytes held over time of {title(result)}")
    if heading:
        scene.add(Text(12, 22, shorten(title(result), 14, width - 24, bold=True), size=14, bold=True))
    if not panels:
        scene.add(Text(12, top + 18, "this run was stored without what happens over time", size=12, fill="muted"))
        return scene
    axis = cut_axis(result.timeline, 110.0 if width > 600 else 76.0, width - 16)
    for number, panel in enumerate(panels):
        _draw(scene, panel, axis, result, top + _STEP * number)
    return scene


def _mean(values: Sequence[float], lengths: Sequence[int]) -> float:
    return sum(value * length for value, length in zip(values, lengths, strict=True)) / max(1, sum(lengths))


def _draw(scene: Scene, panel: Panel, axis: CutAxis, result: Result, top: float) -> None:
    head, foot = top + 30, top + 30 + _PANEL
    left, right = axis.pieces[0].start, axis.pieces[-1].end
    legend = [(name, colour) for name, colour, _ in panel.layers if name]
    room = scene.width - 24 - sum(28 + text_width(name, 12) for name, _ in legend)
    heading = panel.heading if text_width(panel.heading, 12, bold=True) <= room else panel.short
    scene.add(Text(12, top + 13, shorten(heading, 12, room, bold=True), size=12, bold=True))
    x = scene.width - 16
    for name, colour in reversed(legend):
        x -= text_width(name, 12)
        scene.add(Text(x, top + 13, name, size=12), Rect(x - 16, top + 4, 11, 11, colour))
        x -= 28
    highest = max(map(sum, zip(*(values for _, _, values in panel.layers), strict=True)), default=0.0)
    # A limit far above the values would press them flat: the heading names it.
    shown = panel.limit if panel.limit and highest * 4 >= panel.limit else 0.0
    y = LinearScale(0.0, max(highest, shown) * 1.04 or 1.0, foot, head)
    for value in y.ticks(3):
        label = percent(value) if panel.limit_name == "peak" else si(value, "B/s" if panel.limit_name == "data sheet" else "B")
        scene.add(Path(((left, y(value)), (right, y(value))), stroke="grid"))
        scene.add(Text(left - 6, y(value) + 4, label, size=11, fill="muted", anchor="end"))
    time_ticks(scene, axis, result.clock_hz, head, foot)
    marks = result.over_time["cycles"]
    for piece in axis.pieces:
        below: list[float] = []
        for _, colour, values in panel.layers:
            steps = list(_steps(marks, values, piece))
            levels = [value for _, _, value in steps]
            base = below or [0.0] * len(levels)
            upper = [one + other for one, other in zip(base, levels, strict=True)]
            if any(levels):
                outline = [(x, y(value)) for (start, end, _), value in zip(steps, upper, strict=True) for x in (start, end)]
                under = [(x, y(value)) for (start, end, _), value in zip(steps, base, strict=True) for x in (start, end)]
                scene.add(Path((*outline, *reversed(under)), fill=colour, opacity=0.75))
            below = upper
    if shown:
        scene.add(Path(((left, y(shown)), (right, y(shown))), stroke="ink", width=1.2, dash=(6, 4)))
        scene.add(Text(right - 4, y(shown) - 4, panel.limit_name, size=11, anchor="end", halo=True))
    scene.add(Path(((left, head), (left, foot), (right, foot)), stroke="axis"))


def _steps(marks: Sequence[int], values: Sequence[float], scale: LinearScale) -> Iterator[tuple[float, float, float]]:
    """(first pixel, last pixel, mean value) of the part of a column that lies on one piece of the axis."""
    begin, area, length = scale.start, 0.0, 0.0
    for (start, end), value in zip(pairwise(marks), values, strict=True):
        low, high = max(float(start), scale.low), min(float(end), scale.high)
        if high <= low:
            continue
        area += value * (high - low)
        length += high - low
        if scale(high) - begin >= _FINEST or high >= scale.high:
            yield begin, scale(high), area / length
            begin, area, length = scale(high), 0.0, 0.0
