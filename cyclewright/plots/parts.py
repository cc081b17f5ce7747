"""What designs are made of, side by side: time by what holds it up, energy, area and peak power by component, as stacked bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cyclewright.arrays import read_arrays
from cyclewright.plots.formatting import energy, percent, seconds, si, significant
from cyclewright.plots.palette import OTHER, SERIES
from cyclewright.plots.scene import Rect, Scene, Text, shorten, text_width
from cyclewright.plots.wording import largest_first, resource_name, time_by, title
from simulator.result import Result

_BAR = 22.0
_MOST_PARTS = 8
_OWN = {"adc": "s1", "dac": "s2", "cells": "s4"}
"""Parts that have the same colour in every bar; the others take the colours that are left, in order."""
_LEAST_COLUMN = 92.0
"""Pixels of a column of values below the bars."""


@dataclass(frozen=True, slots=True)
class Stack:
    """One quantity of several designs: its heading, parts with their values by design, and how to write a value."""

    heading: str
    parts: tuple[Mapping[str, float], ...]
    write: Callable[[float], str]

    @property
    def names(self) -> list[str]:
        """Parts of all designs, those with the largest share of any design first."""
        most: dict[str, float] = {}
        for parts in self.parts:
            total = sum(parts.values())
            for name, value in parts.items():
                most[name] = max(most.get(name, 0.0), value / total if total else 0.0)
        return [name for name, value in largest_first(most).items() if value > 0]


def stacks_of(results: Sequence[Result]) -> list[Stack]:
    """The quantities that the results have: time, energy, and, of crossbars, area and the power of a chip in use entirely."""
    found = [read_arrays(result.in_memory) for result in results]
    times = tuple(_causes(result) for result in results)
    stacks = [
        Stack("Time by what holds it up", times, seconds),
        Stack("Energy by component", tuple(_without_unit(result) for result in results), energy),
    ]
    if any(arrays is not None for arrays in found):
        area = tuple(dict(arrays.area_mm2) if arrays is not None else {} for arrays in found)
        power = tuple(dict(arrays.peak.power_by_component) if arrays is not None else {} for arrays in found)
        stacks.append(Stack("Area by component", area, square_mm))
        stacks.append(Stack("Power by component, all arrays busy", power, lambda value: si(value, "W")))
    return [stack for stack in stacks if stack.names]


def square_mm(value: float) -> str:
    """An area of ``value`` mm2."""
    return f"{significant(value)} mm²"


def _causes(result: Result) -> dict[str, float]:
    return {resource_name(cause): value for cause, value in time_by(result, "bound_by").items() if value > 0}


def _without_unit(result: Result) -> dict[str, float]:
    """Energy by component; those of the arrays without the unit's name, so that they read as the same parts in area and power."""
    unit = f"{result.in_memory['unit']}." if result.in_memory is not None else ""
    parts: dict[str, float] = {}
    for name, value in result.energy_by_component.items():
        short = name.removeprefix(unit) if unit else name
        parts[short] = parts.get(short, 0.0) + value
    return parts


def parts_scene(
    results: Result | Sequence[Result], *, labels: Sequence[str] = (), width: float = 1080, heading: bool = True, most: int = 4
) -> Scene:
    """Lay out the quantities one below the other, a bar per design to a common scale, then a table of the parts.

    Args:
        results: one or several. ``labels``: what to call them; by default the device of each.
        most: quantities to show at most.
    """
    designs = [results] if isinstance(results, Result) else list(results)
    names = list(labels) or [result.hardware for result in designs]
    told = title(designs[0]) if len(designs) == 1 else f"{_models(designs)} on {', '.join(names)}"
    if len(designs) > 1 and text_width(told, 14, bold=True) > width - 24:
        told = f"{_models(designs)} on {len(designs)} designs"
    scene = Scene(width, 0, f"Time, energy and area by component of {told}")
    y = 8.0
    if heading:
        scene.add(Text(12, 22, shorten(told, 14, width - 24, bold=True), size=14, bold=True))
        y = 40.0
    for stack in stacks_of(designs)[:most]:
        y = _draw(scene, stack, names, y) + 20
    scene.height = y
    return scene


def _models(designs: Sequence[Result]) -> str:
    return ", ".join(dict.fromkeys(design.model for design in designs))


def _draw(scene: Scene, stack: Stack, labels: Sequence[str], y: float) -> float:
    kept = stack.names if len(stack.names) <= _MOST_PARTS else stack.names[: _MOST_PARTS - 1]
    colours = _colours(kept)
    rest = f"{len(stack.names) - len(kept)} others"
    columns = [_merged(parts, kept, rest) for parts in stack.parts]
    shown = [*kept, rest] if len(stack.names) > len(kept) else kept
    colours[rest] = OTHER
    totals = [sum(column.values()) for column in columns]
    alone = len(columns) == 1
    scene.add(Text(12, y + 14, f"{stack.heading}{f': {stack.write(totals[0])}' if alone else ''}", size=13, bold=True))
    y += 24
    narrow = scene.width <= 600
    left = 12.0 if alone or narrow else 24 + min(200.0, max(text_width(name, 12) for name in labels))
    ends = [stack.write(total) if total else "not stated" for total in totals]
    right = scene.width - 12 - (0 if alone else 8 + max(text_width(text, 12) for text in ends))
    for label, column, end in zip(labels, columns, ends, strict=True):
        if not alone and narrow:
            scene.add(Text(12, y + 12, shorten(label, 12, scene.width - 24), size=12))
            y += 17
        elif not alone:
            scene.add(Text(left - 8, y + 15, shorten(label, 12, left - 20), size=12, anchor="end"))
        _bar(scene, stack, column, colours, (left, y, (right - left) / max(totals)))
        if not alone:
            scene.add(Text(left + sum(column.values()) / max(totals) * (right - left) + 8, y + 15, end, size=12, bold=True))
        y += _BAR + 6
    if alone or len(labels) * _LEAST_COLUMN + 150 > scene.width:
        return _legend(scene, stack, columns, shown, colours, y + 14)
    return _table(scene, stack, labels, columns, shown, colours, y + 14)


def _colours(names: Sequence[str]) -> dict[str, str]:
    free = (colour for colour in SERIES if colour not in {_OWN[name] for name in names if name in _OWN})
    return {name: _OWN[name] if name in _OWN else next(free) for name in names}


def _merged(parts: Mapping[str, float], kept: Sequence[str], rest: str) -> dict[str, float]:
    column = {name: parts.get(name, 0.0) for name in kept}
    others = sum(value for name, value in parts.items() if name not in column)
    return {**column, rest: others} if others > 0 else column


def _bar(scene: Scene, stack: Stack, column: Mapping[str, float], colours: Mapping[str, str], place: tuple[float, float, float]) -> None:
    x, y, scale = place
    total = sum(column.values())
    if not total:
        scene.add(Rect(x, y, 2, _BAR, "grid"))
    for name, value in column.items():
        width = value * scale
        if width <= 0:
            continue
        note = f"{name}: {percent(value / total)}, {stack.write(value)}"
        scene.add(Rect(x, y, max(width, 0.4), _BAR, colours[name], stroke="paper" if width > 3 else "", title=note))
        share = percent(value / total)
        if width > text_width(share, 12) + 10:
            scene.add(Text(x + width / 2, y + _BAR / 2 + 4.5, share, size=12, fill=f"on-{colours[name]}", anchor="middle"))
        x += width


def _legend(
    scene: Scene, stack: Stack, columns: Sequence[Mapping[str, float]], shown: Sequence[str], colours: Mapping[str, str], y: float
) -> float:
    """Names with swatches in lines; with their values where there is one design."""
    x, right = 12.0, scene.width - 12
    total = sum(columns[0].values())
    for name in shown:
        value = columns[0].get(name, 0.0)
        text = f"{name}: {percent(value / total)}, {stack.write(value)}" if len(columns) == 1 else name
        text = shorten(text, 12, right - 30)
        step = 18 + text_width(text, 12)
        if x + step > right and x > 12:
            x, y = 12.0, y + 19
        scene.add(Rect(x, y - 10, 11, 11, colours[name]), Text(x + 16, y, text, size=12))
        x += step + 18
    return y


def _table(
    scene: Scene, stack: Stack, labels: Sequence[str], columns: Sequence[Mapping[str, float]], shown: Sequence[str],
    colours: Mapping[str, str], y: float,
) -> float:  # fmt: skip
    """A line for each part with its value in each design."""
    first = 40 + max(text_width(name, 12) for name in shown)
    room = min(190.0, (scene.width - 12 - first) / len(labels))
    for place, label in enumerate(labels):
        scene.add(Text(first + (place + 1) * room, y, shorten(label, 11, room - 12), size=11, fill="muted", anchor="end"))
    for name in shown:
        y += 18
        scene.add(Rect(12, y - 10, 11, 11, colours[name]), Text(28, y, name, size=12))
        for place, column in enumerate(columns):
            value = column.get(name, 0.0)
            text = "–"
            if value:
                text = stack.write(value)
                share = f" ({percent(value / sum(column.values()))})"
                text += share if text_width(text + share, 12) + 16 < room else ""
            scene.add(Text(first + (place + 1) * room, y, text, size=12, fill="ink" if value else "muted", anchor="end"))
    return y
