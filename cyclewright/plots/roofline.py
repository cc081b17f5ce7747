"""The hierarchical roofline: what each operator reaches, under one roof per memory level and per number format.

A dot's height is its operator's arithmetic over its time, its place from left to right its arithmetic per off-chip byte, its
area its share of the time. Rings stand for the same operator against the bytes of an on-chip level (Ilic, Pratas and Sousa,
"Cache-aware Roofline model", 2014; Yang et al., "Hierarchical Roofline analysis for GPUs", 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, degrees, sqrt

from cyclewright.plots.formatting import percent, rate, seconds, si, significant, tick
from cyclewright.plots.labels import Box, place_label
from cyclewright.plots.palette import kind_colour
from cyclewright.plots.scales import LogScale
from cyclewright.plots.scene import Circle, Path, Rect, Scene, Text, shorten, text_width
from cyclewright.plots.wording import off_chip_memories, time_by, title, work
from simulator.result import OperatorResult, Result

_SMALL = 11.0
_Spot = tuple[float, float, float]
"""A dot on the figure: x, y and radius in pixels."""
_FULL_RADIUS = 40.0
"""Radius in pixels of a dot that takes all the time."""


@dataclass(frozen=True, slots=True)
class _Dot:
    operator: OperatorResult
    row: int
    intensity: float  # 0 where no byte moves off chip
    speed: float


@dataclass(frozen=True, slots=True)
class _Roof:
    label: str
    level: float
    used: bool


@dataclass(frozen=True, slots=True)
class _Frame:
    x: LogScale
    y: LogScale
    box: Box
    gutter: float  # x of the column for operators without off-chip bytes; 0 where there are none


def roofline_scene(result: Result, *, width: float = 1080, height: float = 600, heading: bool = True) -> Scene:
    """Lay out the roofline of a run.

    Args:
        result: the run.
        width, height: size in pixels; below 600 pixels wide fewer labels are drawn.
        heading: put what ran on what above the plot.
    """
    scene = Scene(width, height, f"Roofline of {title(result)}: {len(result.operators)} operators")
    dots = [
        _Dot(operator, row, operator.intensity if operator.dram_bytes else 0.0, work(operator) / operator.time_s)
        for row, operator in enumerate(result.operators)
        if operator.time_s > 0 and work(operator) > 0
    ]
    dots.sort(key=lambda dot: (-dot.operator.share, dot.row))
    roofs = _compute_roofs(result)
    slopes = _memory_roofs(result)
    if heading:
        scene.add(Text(12, 22, shorten(title(result), 14, width - 24, bold=True), size=14, bold=True))
    if not roofs and not slopes and not dots:
        scene.add(Text(width / 2, height / 2, "This run has no arithmetic to draw.", anchor="middle", fill="muted"))
        return scene
    legend_top = _legend(scene, result, dots, height)
    frame = _frame(result, dots, roofs, slopes, Box(62, 36 if heading else 12, width - 14, legend_top - 44))
    _axes(scene, frame)
    spots = [(frame.x(dot.intensity) if dot.intensity > 0 else frame.gutter, frame.y(dot.speed), _radius(dot, width < 600)) for dot in dots]
    taken = _draw_roofs(scene, frame, roofs, slopes, _solid(spots))
    _draw_dots(scene, frame, result, list(zip(dots, spots, strict=True)), taken, _along(frame, roofs, slopes))
    return scene


def _compute_roofs(result: Result) -> list[_Roof]:
    """Horizontal roofs, equal ones merged, fastest first; those that this run uses are marked.

    Roofs of sparsity patterns and of vector arithmetic are drawn only where an operator uses them: all of them would hide the others.
    """
    matrix = {(row.unit, row.compute_format, row.pattern or "dense") for row in result.operators if row.macs > 0}
    vector = {(row.unit, row.compute_format) for row in result.operators if row.macs == 0 and row.vector_ops > 0 and row.time_s > 0}
    merged: dict[tuple[str, str, float], list[tuple[str, bool]]] = {}
    for key, level in result.roofs.items():
        head, _, rest = key.partition(":")
        unit, _, form = rest.partition(":")
        form, _, pattern = form.partition("@")
        if head not in ("compute", "vector") or level <= 0:
            continue
        used = (unit, form) in vector if head == "vector" else (unit, form, pattern or "dense") in matrix
        if used or (head == "compute" and not pattern):
            merged.setdefault((head, unit, float(f"{level:.3g}")), []).append((f"{form} {pattern}".strip(), used))
    roofs = []
    for (head, unit, level), forms in merged.items():
        used_forms = [form for form, used in forms if used]
        names = (used_forms or [form for form, _ in forms])[:4]
        word = "vector " if head == "vector" and unit != "vector" else ""
        roofs.append(_Roof(f"{unit} {word}{', '.join(names)}: {rate(level, names[0])}", level, bool(used_forms)))
    return sorted(roofs, key=lambda roof: -roof.level)


def _memory_roofs(result: Result) -> list[_Roof]:
    outside = off_chip_memories(result)
    roofs = [
        _Roof(f"{name}: {si(level, 'B/s')}", level, name in outside)
        for head, _, name, level in ((*key.partition(":"), value) for key, value in result.roofs.items())
        if head == "memory" and level > 0
    ]
    return sorted(roofs, key=lambda roof: roof.level)


def _frame(result: Result, dots: list[_Dot], roofs: list[_Roof], slopes: list[_Roof], box: Box) -> _Frame:
    outside = [dot.intensity for dot in dots if dot.intensity > 0]
    gutter = 56.0 if any(dot.intensity <= 0 for dot in dots) else 0.0
    used = [roof.level for roof in roofs if roof.used] or [roof.level for roof in roofs]
    ridges = [max(used) / slope.level for slope in slopes] if used else []
    main_ridge = ridges[0] if ridges else 1.0
    x_low = min([*outside, main_ridge / 50, *(ridge / 3 for ridge in ridges)]) / 2
    x_high = max([*outside, main_ridge * 8]) * 2
    speeds = [dot.speed for dot in dots]
    top = max([*(roof.level for roof in roofs), *speeds, 1.0]) * 2.5
    floor = min([*speeds, *used, top / 1000]) / 2.5
    frame = Box(box.left, box.top, box.right - gutter, box.bottom)
    x = LogScale(x_low, x_high, frame.left, frame.right)
    y = LogScale(max(floor, top / 1e8), top, frame.bottom, frame.top)
    return _Frame(x, y, frame, box.right - gutter / 2 if gutter else 0.0)


def _axes(scene: Scene, frame: _Frame) -> None:
    box = frame.box
    for value in frame.x.decades():
        at = frame.x(value)
        scene.add(Path(((at, box.top), (at, box.bottom)), stroke="grid"))
        scene.add(Text(at, box.bottom + 16, tick(value, "") if value >= 1 else f"{value:g}", size=_SMALL, fill="muted", anchor="middle"))
    for value in frame.y.decades():
        at = frame.y(value)
        scene.add(Path(((box.left, at), (box.right, at)), stroke="grid"))
        scene.add(Text(box.left - 6, at + 4, tick(value, ""), size=_SMALL, fill="muted", anchor="end"))
    scene.add(Path(((box.left, box.top), (box.left, box.bottom), (box.right, box.bottom)), stroke="axis"))
    middle = (box.left + box.right) / 2
    scene.add(Text(middle, box.bottom + 34, "operations per off-chip byte", size=12, fill="muted", anchor="middle"))
    scene.add(Text(14, (box.top + box.bottom) / 2, "operations per second", size=12, fill="muted", anchor="middle", rotate=-90))
    if frame.gutter:
        scene.add(Path(((box.right + 4, box.top), (box.right + 4, box.bottom)), stroke="axis", dash=(2, 3)))
        scene.add(Text(scene.width - 8, box.bottom + 34, "stays on chip", size=_SMALL, fill="muted", anchor="end"))


def _solid(spots: list[_Spot]) -> list[Box]:
    """What labels must not cover of the larger dots."""
    return [Box(x - radius * 0.8, y - radius * 0.8, x + radius * 0.8, y + radius * 0.8) for x, y, radius in spots if radius >= 4]


def _draw_roofs(scene: Scene, frame: _Frame, roofs: list[_Roof], slopes: list[_Roof], dots: list[Box]) -> list[Box]:
    """Draw the roofs with their labels, clear of ``dots``; the labels' boxes come back so that others keep clear of them."""
    box = frame.box
    taken = list(dots)
    fastest = max((slope.level for slope in slopes), default=0.0)
    for roof in roofs:
        y = frame.y(roof.level)
        start = min(max(frame.x.free(roof.level / fastest), box.left), box.right) if fastest else box.left
        scene.add(Path(((start, y), (box.right, y)), stroke="ink" if roof.used else "axis", width=1.6 if roof.used else 1.0))
    peak = max((roof.level for roof in roofs), default=frame.y.high)
    for slope in slopes:
        ends = _slope(frame, slope.level, peak)
        if ends:
            scene.add(
                Path(ends, stroke="ink" if slope.used else "axis", width=1.6 if slope.used else 1.2, dash=() if slope.used else (6, 3))
            )
            taken.extend(_slope_label(scene, frame, slope, ends, taken))
    for roof in sorted(roofs, key=lambda roof: not roof.used):
        taken.extend(_roof_label(scene, frame, roof, taken))
    return taken


def _slope(frame: _Frame, bandwidth: float, peak: float) -> tuple[tuple[float, float], tuple[float, float]] | None:
    low = max(frame.x.low, frame.y.low / bandwidth)
    high = min(frame.x.high, peak / bandwidth)
    if low >= high:
        return None
    return (frame.x(low), frame.y(low * bandwidth)), (frame.x(high), frame.y(high * bandwidth))


def _slope_label(
    scene: Scene, frame: _Frame, roof: _Roof, ends: tuple[tuple[float, float], tuple[float, float]], taken: list[Box]
) -> list[Box]:
    """The label of a memory roof, above its line and along it, cut into boxes small enough to follow the slope."""
    (x0, y0), (x1, y1) = ends
    length = sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2)
    width = text_width(roof.label, _SMALL) + 6
    if length < width + 20:
        return []
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    for start in range(14, int(length - width), 12):
        boxes = []
        for step in range(0, int(width) + 8, 8):
            at_x, at_y = x0 + ux * (start + step) + uy * 9, y0 + uy * (start + step) - ux * 9
            boxes.append(Box(at_x - 7, at_y - 7, at_x + 7, at_y + 7))
        if all(box.inside(frame.box) for box in boxes) and not any(box.overlaps(other) for box in boxes for other in taken):
            at_x, at_y = x0 + ux * start + uy * 5, y0 + uy * start - ux * 5
            colour = "ink" if roof.used else "muted"
            scene.add(Text(at_x, at_y, roof.label, size=_SMALL, fill=colour, rotate=degrees(atan2(uy, ux)), halo=True))
            return boxes
    return []


def _roof_label(scene: Scene, frame: _Frame, roof: _Roof, taken: list[Box]) -> list[Box]:
    label = shorten(roof.label, _SMALL, (frame.box.right - frame.box.left) * 0.7)
    width = text_width(label, _SMALL)
    y = frame.y(roof.level) - 4
    right = frame.box.right - 4
    while right - width > frame.box.left + 4:
        box = Box(right - width - 4, y - 11, right + 4, y + 3)
        if box.top > frame.box.top - 4 and not any(box.overlaps(other) for other in taken):
            scene.add(Text(right, y, label, size=_SMALL, fill="ink" if roof.used else "muted", anchor="end", halo=True))
            return [box]
        if not roof.used:
            return []
        right -= 16
    return []


def _along(frame: _Frame, roofs: list[_Roof], slopes: list[_Roof]) -> list[_Spot]:
    """Points along the roofs, as small dots that labels would rather not cover."""
    peak = max((roof.level for roof in roofs), default=frame.y.high)
    fastest = max((slope.level for slope in slopes), default=peak / frame.x.low)
    lines = [((frame.x(roof.level / fastest), frame.y(roof.level)), (frame.box.right, frame.y(roof.level))) for roof in roofs]
    lines.extend(ends for ends in (_slope(frame, slope.level, peak) for slope in slopes) if ends)
    points: list[_Spot] = []
    for (x0, y0), (x1, y1) in lines:
        steps = max(1, int(sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2) / 12))
        points.extend((x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps, 1.0) for step in range(steps + 1))
    return points


def _draw_dots(scene: Scene, frame: _Frame, result: Result, dots: list[tuple[_Dot, _Spot]], taken: list[Box], lines: list[_Spot]) -> None:
    narrow = scene.width < 600
    labelled = [(dot, spot) for dot, spot in dots if dot.operator.share >= 0.01][: 5 if narrow else 10]
    if not narrow:
        _rings(scene, frame, result, labelled[:6])
    for dot, (x, y, radius) in dots:
        colour = kind_colour(dot.operator.kind)
        scene.add(Circle(x, y, radius, colour, stroke="paper", opacity=0.82, title=_tooltip(dot), link=f"op{dot.row}"))
    blocked = [*taken, *_whole_run(scene, frame, result)]
    limits = Box(frame.box.left + 2, frame.box.top + 2, scene.width - 6, frame.box.bottom - 2)
    rather_not = [*(spot for _, spot in dots), *lines]
    seen: set[str] = set()
    for dot, (x, y, radius) in labelled:
        label = _label(dot.operator, 150 if narrow else 220)
        if label in seen:
            continue  # equal operators of equal share lie on one another
        box = place_label(x, y, radius, text_width(label, _SMALL) + 4, 14, limits, blocked, rather_not)
        if box is None:
            continue
        seen.add(label)
        blocked.append(box)
        _leader(scene, x, y, radius, box)
        scene.add(Text(box.left + 2, box.bottom - 3, label, size=_SMALL, halo=True))


def _radius(dot: _Dot, narrow: bool) -> float:
    return max(1.6, (_FULL_RADIUS * 0.6 if narrow else _FULL_RADIUS) * sqrt(max(0.0, dot.operator.share)))


def _label(operator: OperatorResult, room: float) -> str:
    times = f" ×{operator.count}" if operator.count > 1 else ""
    tail = f"{times}, {percent(operator.share)}"
    return shorten(operator.name, _SMALL, room - text_width(tail, _SMALL)) + tail


def _tooltip(dot: _Dot) -> str:
    operator = dot.operator
    times = f" ×{operator.count}" if operator.count > 1 else ""
    cost = f"{seconds(operator.time_s)}, {percent(operator.share)} of the time"
    place = f"{significant(dot.intensity)} operations per off-chip byte" if dot.intensity > 0 else "no off-chip bytes"
    return f"{operator.name}{times} ({operator.kind}): {cost}; {rate(dot.speed)}, {place}"


def _leader(scene: Scene, x: float, y: float, radius: float, box: Box) -> None:
    near_x, near_y = min(max(x, box.left), box.right), min(max(y, box.top + 2), box.bottom - 2)
    distance = sqrt((near_x - x) ** 2 + (near_y - y) ** 2)
    if distance > radius + 8:
        start = (x + (near_x - x) / distance * radius, y + (near_y - y) / distance * radius)
        scene.add(Path((start, (near_x, near_y)), stroke="axis", width=0.8))


def _rings(scene: Scene, frame: _Frame, result: Result, heavy: list[tuple[_Dot, _Spot]]) -> None:
    """The heaviest operators once more, against the bytes of each on-chip level."""
    outside = off_chip_memories(result)
    for dot, (x, y, _) in heavy:
        if dot.intensity <= 0:
            continue
        for name, (read, written) in dot.operator.bytes_by_memory.items():
            if name in outside or read + written <= 0 or f"memory:{name}" not in result.roofs:
                continue
            intensity = work(dot.operator) / (read + written)
            if not frame.x.low < intensity < frame.x.high:
                continue
            at = frame.x(intensity)
            scene.add(Path(((x, y), (at, y)), stroke=kind_colour(dot.operator.kind), width=0.8, dash=(2, 3), opacity=0.8))
            note = f"{dot.operator.name} against {name}: {significant(intensity)} operations per byte"
            scene.add(Circle(at, y, 3.5, "paper", stroke=kind_colour(dot.operator.kind), title=note))


def _whole_run(scene: Scene, frame: _Frame, result: Result) -> list[Box]:
    total = result.flops + result.vector_ops
    if total <= 0 or result.latency_s <= 0 or result.dram_bytes <= 0:
        return []
    x, y = frame.x(total / result.dram_bytes), frame.y(total / result.latency_s)
    note = f"whole run: {rate(total / result.latency_s)}, {significant(total / result.dram_bytes)} operations per off-chip byte"
    scene.add(Path(((x, y - 7), (x + 7, y), (x, y + 7), (x - 7, y)), stroke="paper", width=1.5, fill="ink", title=note))
    return [Box(x - 8, y - 8, x + 8, y + 8)]


def _legend(scene: Scene, result: Result, dots: list[_Dot], height: float) -> float:
    """Kinds with their colour at the foot of the plot; gives the y of its upper edge."""
    drawn = {dot.operator.kind for dot in dots}
    kinds = [kind for kind in time_by(result, "kind") if kind in drawn]
    entries = [(kind, kind_colour(kind)) for kind in kinds] + [("whole run", "ink")]
    if scene.width >= 600:
        entries.append(("on-chip level", ""))
    rows: list[list[tuple[str, str]]] = [[]]
    x = 62.0
    for name, colour in entries:
        step = text_width(name, _SMALL) + 34
        if x + step > scene.width - 10 and rows[-1]:
            rows.append([])
            x = 62.0
        rows[-1].append((name, colour))
        x += step
    hidden = [operator for operator in result.operators if operator.time_s > 0 and work(operator) <= 0]
    top = height - 18.0 * len(rows) - (18.0 if hidden else 0.0) - 6
    for number, row in enumerate(rows):
        _legend_row(scene, row, top + 14 + 18 * number)
    if hidden:
        share = percent(sum(operator.share for operator in hidden))
        note = f"not drawn: {len(hidden)} operators that only move data ({share} of the time)"
        scene.add(Text(62, height - 9, shorten(note, _SMALL, scene.width - 70), size=_SMALL, fill="muted"))
    return top


def _legend_row(scene: Scene, row: list[tuple[str, str]], y: float) -> None:
    x = 62.0
    for name, colour in row:
        if name == "whole run":
            scene.add(Path(((x + 5, y - 10), (x + 11, y - 4), (x + 5, y + 2), (x - 1, y - 4)), fill="ink"))
        elif colour:
            scene.add(Rect(x, y - 9, 10, 10, colour))
        else:
            scene.add(Circle(x + 5, y - 4, 3.5, "paper", stroke="muted"))
        scene.add(Text(x + 16, y, name, size=_SMALL, fill="muted"))
        x += text_width(name, _SMALL) + 34
