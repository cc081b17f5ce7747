"""Extra bytes by scheme: the plan of a plan file against what simpler schemes move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cyclewright.plots.formatting import count
from cyclewright.plots.plan_wording import schemes, title_of
from cyclewright.plots.scene import Path, Rect, Scene, Text, shorten, text_width

_BAR = 18.0


def traffic_scene(document: Mapping[str, Any], *, width: float = 1080, heading: bool = True) -> Scene:
    """Lay out one bar for each scheme and one for the plan, with its proven bound as a line."""
    rows = schemes(document)
    narrow = width < 600
    scene = Scene(width, 0, f"Off-chip traffic by scheme of {title_of(document)}")
    y = 8.0
    if heading:
        scene.add(Text(12, 22, shorten(title_of(document), 14, width - 24, bold=True), size=14, bold=True))
        y = 40.0
    left = 12.0 if narrow else 24 + max(text_width(name, 12, bold=True) for name, _, _ in rows)
    right = width - 12 - max(text_width(_amount(extra, saved), 12) for _, extra, saved in rows) - 8
    most = max(1, *(extra for _, extra, _ in rows))
    top, bound = y, document["lower_bound_bytes"]
    at = left + bound / most * (right - left)
    for number, (name, extra, saved) in enumerate(rows):
        last = number == len(rows) - 1
        if narrow:
            scene.add(Text(left, y + 12, shorten(name, 12, width - 24), size=12, bold=last))
            y += 18
        else:
            scene.add(Text(left - 8, y + 13, name, size=12, anchor="end", bold=last))
        length = extra / most * (right - left)
        scene.add(Rect(left, y, max(length, 1.0), _BAR, "s1" if last else "s8", title=f"{name}: {count(extra)} bytes"))
        if 0 < bound < most:
            scene.add(Path(((at, y - 3), (at, y + _BAR + 3)), stroke="ink", width=1.4))
        scene.add(Text(left + length + 6, y + 13, _amount(extra, saved), size=12, bold=last))
        y += _BAR + 10
    if 0 < bound < most:
        text = f"proven: nothing moves less than {count(bound)} bytes"
        wide = text_width(text, 11) / 2
        scene.add(Text(min(max(at, 12 + wide), width - 12 - wide), y + 12, text, size=11, fill="muted", anchor="middle"))
        y += 18
    scene.add(Path(((left, top - 4), (left, y)), stroke="axis"))
    scene.height = y + 8
    return scene


def _amount(extra: int, saved: str) -> str:
    return f"{count(extra)} bytes" + (f" (plan: {saved} less)" if saved and not saved.startswith(("-", "−", ">")) else "")
