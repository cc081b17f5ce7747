"""The memory map of a plan file: which tensor lies where in the scratchpad at which step, and what is stored and fetched again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cyclewright.plots.formatting import count
from cyclewright.plots.palette import OTHER, kind_colour
from cyclewright.plots.plan_wording import size, title_of
from cyclewright.plots.scales import LinearScale
from cyclewright.plots.scene import Path, Rect, Scene, Text, shorten, text_width

_MAP = 380.0
_STRIP = 70.0
_STORE, _FETCH = "s2", "s4"


def plan_scene(document: Mapping[str, Any], *, width: float = 1080, heading: bool = True) -> Scene:
    """Lay out the map (address by step) over a strip with the bytes stored and fetched beyond the compulsory at each step.

    Tensors have the colour of the kind of operator that makes them, grey where they come from off chip; operands that one operator alone
    uses are pale. A tensor that is fetched again begins with a bar, one that is stored to be fetched ends with one.
    """
    plan = document["plan"]
    top = 36.0 if heading else 4.0
    legend = _legend_entries(plan)
    scene = Scene(width, 0, f"Memory map of {title_of(document)}")
    if heading:
        scene.add(Text(12, 22, shorten(title_of(document), 14, width - 24, bold=True), size=14, bold=True))
    y = _legend(scene, legend, top + 14)
    steps = max(1, len(plan["operators"]))
    left, right, head = 76.0, width - 16, y + 26
    x = LinearScale(0.0, float(steps), left, right)
    foot = head + _MAP
    _map(scene, document, x, head, foot)
    # what a mapped operator moves is its tiling's affair, tensor by tensor there is nothing to tell
    low = foot + 14 if document.get("hardware") else _strip(scene, document, x, foot + 34)
    _step_ticks(scene, x, steps, foot, low)
    scene.height = low + 26
    return scene


def _legend_entries(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    kinds = {row["kind"]: kind_colour(row["kind"]) for row in plan["operators"]}
    by_colour: dict[str, list[str]] = {}
    for kind, colour in kinds.items():
        by_colour.setdefault(colour, []).append(kind or "other")
    entries = [(", ".join(names) + (", from off chip" if colour == OTHER else ""), colour) for colour, names in by_colour.items()]
    return entries if OTHER in by_colour else [*entries, ("from off chip", OTHER)]


def _legend(scene: Scene, entries: list[tuple[str, str]], y: float) -> float:
    x = 12.0
    for name, colour in entries:
        step = 18 + text_width(name, 12) + 18
        if x + step > scene.width - 12 and x > 12:
            x, y = 12.0, y + 19
        scene.add(Rect(x, y - 10, 11, 11, colour), Text(x + 16, y, name, size=12))
        x += step
    return y


def _map(scene: Scene, document: Mapping[str, Any], x: LinearScale, head: float, foot: float) -> None:
    plan, capacity = document["plan"], document["scratchpad_bytes"]
    stays = [stay for stay in plan["stays"] if stay["address"] >= 0]
    y = LinearScale(0.0, float(max(1, capacity)), foot, head)
    for value in _byte_ticks(capacity):
        scene.add(Path(((x.start, y(value)), (x.end, y(value))), stroke="grid"))
        scene.add(Text(x.start - 6, y(value) + 4, size(value), size=11, fill="muted", anchor="end"))
    for step, row in enumerate(plan["operators"]):
        for own in row.get("private", ()):
            if own["address"] >= 0 and own["bytes"]:
                text = f"{own['tensor']}: {count(own['bytes'])} bytes, for {row['name']} alone"
                scene.add(_box(x, y, step, step + 1, own["address"], own["bytes"], OTHER, text, 0.45))
    for stay in stays:
        first, last = plan["operators"][stay["first"]]["name"], plan["operators"][stay["last"]]["name"]
        colour = kind_colour(stay["kind"])
        ends = "handed on to the next round" if stay["leaves"] == "handed on" else f"{stay['leaves']} after {last}"
        begins = "from the round before" if stay["enters"] == "handed on" else f"{stay['enters']} at {first}"
        text = f"{stay['tensor']}: {count(stay['bytes'])} bytes, {begins}, {ends}"
        scene.add(_box(x, y, stay["first"], stay["last"] + 1, stay["address"], stay["bytes"], colour, text, 0.9))
    bar = max(1.0, min(3.0, x(1) - x(0)))
    for stay in stays:
        high, low = y(stay["address"] + stay["bytes"]), y(stay["address"])
        if stay["enters"] == "fetched":
            scene.add(Rect(x(stay["first"]), high, bar, low - high, "alert"))
        if stay["leaves"] == "spilled":
            scene.add(Rect(x(stay["last"] + 1) - bar, high, bar, low - high, "alert"))
    if not stays:
        text = "nothing stays between operators" if document.get("hardware") else "the plan has no addresses"
        scene.add(Text((x.start + x.end) / 2, (head + foot) / 2, text, size=13, fill="muted", anchor="middle"))
    scene.add(Path(((x.start, head), (x.start, foot), (x.end, foot)), stroke="axis"))
    scene.add(Path(((x.start, head), (x.end, head)), stroke="ink", width=1.4, dash=(6, 4)))
    scene.add(Text(x.end, head - 6, f"scratchpad: {size(capacity)}", size=11, anchor="end"))


def _box(x: LinearScale, y: LinearScale, first: float, last: float, at: int, bytes_: int, colour: str, text: str, opacity: float) -> Rect:
    left, right, low, high = x(first), x(last), y(at), y(at + bytes_)
    edge = "paper" if right - left > 4 and low - high > 4 else ""
    return Rect(left, high, max(0.4, right - left), max(0.4, low - high), colour, opacity=opacity, title=text, stroke=edge)


def _strip(scene: Scene, document: Mapping[str, Any], x: LinearScale, top: float) -> float:
    """Bars of the bytes stored and fetched at each step."""
    plan = document["plan"]
    stored: dict[int, int] = {}
    fetched: dict[int, int] = {}
    for stay in plan["stays"]:
        if stay["enters"] == "fetched":
            fetched[stay["first"]] = fetched.get(stay["first"], 0) + stay["bytes"]
        if stay["leaves"] == "spilled":
            stored[stay["last"]] = stored.get(stay["last"], 0) + stay["bytes"]
    scene.add(Text(12, top + 4, "Stored and fetched beyond the compulsory", size=12, bold=True))
    y0 = top + 4
    entries = [(f"stored: {count(sum(stored.values()))} bytes", _STORE), (f"fetched: {count(sum(fetched.values()))} bytes", _FETCH)]
    y0 = _legend(scene, entries, y0 + 20) + 12
    foot = y0 + _STRIP
    most = max([*stored.values(), *fetched.values()], default=0)
    if not most:
        scene.add(Text(x.start, y0 + 20, "nothing: every tensor stays until it is dead", size=12, fill="muted"))
        foot = y0 + 30
    else:
        y = LinearScale(0.0, most * 1.1, foot, y0)
        scene.add(Text(x.start - 6, y(most) + 4, size(most), size=11, fill="muted", anchor="end"))
        scene.add(Path(((x.start, y(most)), (x.end, y(most))), stroke="grid"))
        half = max(1.2, (x(1) - x(0)) / 2)
        names = [row["name"] for row in plan["operators"]]
        for bars, colour, shift, word in ((stored, _STORE, 0.0, "stored after"), (fetched, _FETCH, half, "fetched for")):
            for step, value in sorted(bars.items()):
                text = f"{count(value)} bytes {word} {names[step]}"
                scene.add(Rect(x(step) + shift, y(value), half, foot - y(value), colour, title=text))
    scene.add(Path(((x.start, foot), (x.end, foot)), stroke="axis"))
    return foot


def _step_ticks(scene: Scene, x: LinearScale, steps: int, foot: float, low: float) -> None:
    for value in x.ticks(10 if scene.width > 600 else 4):
        if value < steps:
            scene.add(Text(x(value), foot + 14, count(int(value)), size=11, fill="muted", anchor="middle"))
            scene.add(Path(((x(value), foot), (x(value), foot + 4)), stroke="axis"))
    scene.add(Text(x.end, low + 16, "step: one operator each", size=11, fill="muted", anchor="end"))


def _byte_ticks(capacity: int) -> list[float]:
    """Round values in binary units, about five, the capacity itself left to its own line."""
    step = 1
    while capacity / step > 6:
        step *= 2
    return [float(value) for value in range(0, capacity, step)]
