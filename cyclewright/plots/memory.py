"""Live bytes on chip and off chip over the run, under the capacity of each."""

from __future__ import annotations

from cyclewright.plots.formatting import amount, percent, tick
from cyclewright.plots.scales import LinearScale
from cyclewright.plots.scene import Path, Scene, Text, shorten, text_width
from cyclewright.plots.wording import capacity, title
from simulator.result import Result

_PANEL = 128.0


def memory_scene(result: Result, *, width: float = 1080, heading: bool = True) -> Scene:
    """Lay out two panels over time, off chip and on chip; a panel without capacity or bytes says so."""
    top = 36.0 if heading else 4.0
    scene = Scene(width, top + 2 * (_PANEL + 62), f"Memory over time of {title(result)}")
    if heading:
        scene.add(Text(12, 22, shorten(title(result), 14, width - 24, bold=True), size=14, bold=True))
    times = [max(0.0, point[0]) for point in result.memory_over_time]
    for index, (off_chip, word) in enumerate(((True, "Off chip"), (False, "On chip"))):
        values = [off if off_chip else on for _, on, off in result.memory_over_time]
        known = capacity(result, off_chip=off_chip)
        _panel(scene, top + index * (_PANEL + 62), word, times, values, known, max([result.latency_s, *times]))
    return scene


def _panel(scene: Scene, top: float, word: str, times: list[float], values: list[int], known: tuple[str, int] | None, end: float) -> None:
    peak = max(values, default=0)
    left, right, head, foot = 76.0, scene.width - 16, top + 24, top + 24 + _PANEL
    limit = known[1] if known else 0
    text = f"{word}: peak {amount(peak)}"
    if known and limit:
        text += f", {percent(peak / limit)} of {known[0]} ({amount(limit)})"
    scene.add(Text(12, top + 14, shorten(text, 13, scene.width - 24, bold=True), size=13, bold=True))
    if not values or end <= 0 or not peak:
        scene.add(Text(left, (head + foot) / 2, "nothing is held here between operators", size=12, fill="muted"))
        scene.add(Path(((left, head), (left, foot), (right, foot)), stroke="axis"))
        return
    # A capacity far above the peak would press the curve flat: it is then only named in the heading.
    shown_limit = limit if limit and limit <= 4 * peak else 0
    y = LinearScale(0.0, max(peak, shown_limit) * 1.08, foot, head)
    x = LinearScale(0.0, end, left, right)
    for value in y.ticks(4):
        scene.add(Path(((left, y(value)), (right, y(value))), stroke="grid"))
        scene.add(Text(left - 6, y(value) + 4, tick(value, "B"), size=11, fill="muted", anchor="end"))
    for value in x.ticks(8 if scene.width > 600 else 4):
        near_end = x(value) + text_width(tick(value, "s"), 11) / 2 > right
        scene.add(
            Text(
                right if near_end else x(value), foot + 16, tick(value, "s"), size=11, fill="muted", anchor="end" if near_end else "middle"
            )
        )
    _curve(scene, [x(time) for time in times], [y(value) for value in values], foot, right)
    scene.add(Path(((left, head), (left, foot), (right, foot)), stroke="axis"))
    if shown_limit and known:
        over = peak > limit
        scene.add(Path(((left, y(limit)), (right, y(limit))), stroke="alert" if over else "ink", width=1.4, dash=(6, 4)))
        label = f"capacity of {known[0]}: {amount(limit)}"
        scene.add(Text(right - 4, y(limit) - 4, label, size=11, fill="alert" if over else "ink", anchor="end", halo=True))


def _curve(scene: Scene, xs: list[float], ys: list[float], foot: float, right: float) -> None:
    corners: list[tuple[float, float]] = []
    for index, (x, y) in enumerate(zip(xs, ys, strict=True)):
        corners.append((x, y))
        corners.append((xs[index + 1] if index + 1 < len(xs) else right, y))
    scene.add(Path(((corners[0][0], foot), *corners, (corners[-1][0], foot)), fill="s1", opacity=0.25))
    scene.add(Path(tuple(corners), stroke="s1", width=1.5))
