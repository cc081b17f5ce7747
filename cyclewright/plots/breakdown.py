"""Where the time, the energy and the bytes of a run go: stacked bars, each with a legend that carries the numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cyclewright.plots.formatting import amount, energy, percent, seconds
from cyclewright.plots.palette import kind_colour, series_colours
from cyclewright.plots.scene import Rect, Scene, Text, shorten, text_width
from cyclewright.plots.wording import largest_first, resource_name, time_by, title
from simulator.result import Result

_BAR = 26.0
_MOST_PARTS = 8


@dataclass(frozen=True, slots=True)
class Bar:
    """One stacked bar: a heading, parts with their values, how to write a value, and a colour role per part."""

    heading: str
    parts: Mapping[str, float]
    write: Callable[[float], str]
    colours: Mapping[str, str]


def bars_of(result: Result) -> list[Bar]:
    """The bars of a run: time by kind of operator and by what bounds it, energy by component, off-chip bytes by need."""
    kinds = _merged(time_by(result, "kind"))
    causes = _merged({resource_name(cause): value for cause, value in time_by(result, "bound_by").items()})
    components = _merged(largest_first(result.energy_by_component))
    traffic = {"compulsory": float(result.compulsory_bytes), "extra": float(result.extra_bytes)}
    return [
        Bar("Time by kind of operator", kinds, seconds, {kind: kind_colour(kind) for kind in kinds}),
        Bar("Time by what holds it up", causes, seconds, series_colours(list(causes))),
        Bar("Energy by component", components, energy, series_colours(list(components))),
        Bar("Off-chip bytes", traffic, amount, {"compulsory": "s1", "extra": "s4"}),
    ]


def breakdown_scene(result: Result, *, width: float = 1080, heading: bool = True) -> Scene:
    """Lay out the bars of a run, one below the other; the height follows from the legends."""
    scene = Scene(width, 0, f"Breakdown of {title(result)} by operator kind, cause, energy component and off-chip traffic")
    y = 8.0
    if heading:
        scene.add(Text(12, 22, shorten(title(result), 14, width - 24, bold=True), size=14, bold=True))
        y = 40.0
    for bar in bars_of(result):
        y = _draw(scene, bar, y)
    scene.height = y
    return scene


def _merged(parts: Mapping[str, float]) -> dict[str, float]:
    """The largest parts, the rest summed as ``other``; parts of nothing are left out."""
    solid = [(name, value) for name, value in largest_first(parts).items() if value > 0]
    if len(solid) <= _MOST_PARTS:
        return dict(solid)
    shown, rest = solid[: _MOST_PARTS - 1], solid[_MOST_PARTS - 1 :]
    return {**dict(shown), f"{len(rest)} others": sum(value for _, value in rest)}


def _draw(scene: Scene, bar: Bar, y: float) -> float:
    left, right = 12.0, scene.width - 12
    total = sum(bar.parts.values())
    scene.add(Text(left, y + 14, f"{bar.heading}: {bar.write(total)}", size=13, bold=True))
    y += 24
    if total <= 0:
        scene.add(Rect(left, y, right - left, _BAR, "grid"))
        return y + _BAR + 22
    x = left
    for name, value in bar.parts.items():
        width = value / total * (right - left)
        colour = bar.colours.get(name, "s8")
        scene.add(Rect(x, y, max(width, 0.4), _BAR, colour, stroke="paper" if width > 3 else "", title=_entry(bar, name, total)))
        share = percent(value / total)
        if width > text_width(share, 12) + 12:
            scene.add(Text(x + width / 2, y + _BAR / 2 + 4.5, share, size=12, fill=f"on-{colour}", anchor="middle"))
        x += width
    return _legend(scene, bar, total, y + _BAR + 18) + 22


def _entry(bar: Bar, name: str, total: float) -> str:
    return f"{name}: {percent(bar.parts[name] / total)}, {bar.write(bar.parts[name])}"


def _legend(scene: Scene, bar: Bar, total: float, y: float) -> float:
    x, right = 12.0, scene.width - 12
    for name in bar.parts:
        text = shorten(_entry(bar, name, total), 12, right - 12 - 20)
        step = 18 + text_width(text, 12)
        if x + step > right and x > 12:
            x, y = 12.0, y + 19
        scene.add(Rect(x, y - 10, 11, 11, bar.colours.get(name, "s8")), Text(x + 16, y, text, size=12))
        x += step + 20
    return y
