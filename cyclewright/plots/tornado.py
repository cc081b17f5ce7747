"""The tornado chart of ``whatif``: what doubling and halving each number of the spec does to the run, the limiting one on top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from cyclewright.plots.formatting import percent
from cyclewright.plots.scales import LinearScale
from cyclewright.plots.scene import Path, Rect, Scene, Text, shorten, text_width
from hwspecs.vocabulary.errors import InvalidInput

_HINT = "give the JSON that `cyclewright whatif -o whatif.json` wrote with this version"
_TITLES = {"latency_s": "latency", "energy_j": "energy"}
_ROW = 28.0
_LEAST = 0.005
"""Relative change of the metric below which a leaf is only counted, not drawn."""


@dataclass(frozen=True, slots=True)
class LeafChange:
    """One leaf of a what-if document: relative change of the ranked metric at half, +10 % and double (None: no run there)."""

    path: str
    text: str
    source: str
    elasticity: float | None
    half: float | None
    tenth: float | None
    double: float | None

    @property
    def largest(self) -> float:
        """The largest change either way."""
        return max((abs(change) for change in (self.half, self.tenth, self.double) if change is not None), default=0.0)


def read_whatif(document: Mapping[str, object]) -> tuple[str, list[LeafChange]]:
    """The ranked metric (``latency_s``) and the leaves of a what-if document, in its order.

    Raises:
        InvalidInput: it is not such a document.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("base"), Mapping) or not isinstance(document.get("leaves"), list):
        raise InvalidInput("is not a what-if document: it needs a mapping `base` and a list `leaves`", hint=_HINT)
    metric = str(document.get("metric", "latency_s"))
    base = document["base"].get(metric)  # type: ignore[attr-defined]
    if not isinstance(base, int | float) or isinstance(base, bool) or not isfinite(base) or base < 0:
        raise InvalidInput(f"should be a finite number, is {base!r}", where=f"base.{metric}", hint=_HINT)
    leaves = document["leaves"]
    return metric, [_leaf(leaf, f"leaves[{index}]", metric, float(base)) for index, leaf in enumerate(leaves)]  # type: ignore[arg-type,var-annotated]


def _leaf(leaf: object, where: str, metric: str, base: float) -> LeafChange:
    if not isinstance(leaf, Mapping) or not isinstance(leaf.get("path"), str) or not isinstance(leaf.get("points"), list):
        raise InvalidInput("should have a `path` and a list `points`", where=where, hint=_HINT)
    changes: dict[float, float] = {}
    for point in leaf["points"]:
        value = point.get(metric) if isinstance(point, Mapping) else None
        if isinstance(value, int | float) and isfinite(value) and base > 0:
            changes[float(point.get("factor", 0))] = value / base - 1
    elasticity = leaf.get("elasticity_energy" if metric == "energy_j" else "elasticity_latency")
    elasticity = float(elasticity) if isinstance(elasticity, int | float) else None
    return LeafChange(
        leaf["path"], str(leaf.get("text", "")), str(leaf.get("source", "")), elasticity,
        changes.get(0.5), changes.get(1.1), changes.get(2.0),
    )  # fmt: skip


def tornado_scene(document: Mapping[str, object], *, width: float = 1080, most: int = 16, heading: bool = True) -> Scene:
    """Lay out the tornado of a what-if document.

    Args:
        document: as ``cyclewright whatif --json`` prints it.
        width: pixels.
        most: leaves to draw at most; the others are counted in a line below.
        heading: put what is varied above the plot.
    """
    metric, leaves = read_whatif(document)
    name = _TITLES.get(metric, metric)
    shown = sorted((leaf for leaf in leaves if leaf.largest >= _LEAST), key=lambda leaf: -leaf.largest)[:most]
    top = 58.0 if heading else 34.0
    what = f"{document.get('model', 'the model')} {document.get('phase', '') or ''} on {document.get('hardware', 'the hardware')}".replace(
        "  ", " "
    )
    scene = Scene(width, top + _ROW * max(1, len(shown)) + 66, f"Change in {name} of {what} when one number of the spec changes")
    if heading:
        scene.add(Text(12, 22, shorten(f"What limits the {name} of {what}", 14, width - 24, bold=True), size=14, bold=True))
    if not shown:
        scene.add(Text(12, top + 16, f"No number of the spec changes the {name} noticeably.", fill="muted"))
        return scene
    narrow = width < 600
    left, right = (width * 0.44 if narrow else 380.0), width - (20 if narrow else 92)
    reach = [change for leaf in shown for change in (leaf.half, leaf.tenth, leaf.double) if change is not None]
    x = LinearScale(min(-0.02, min(reach)) * 1.12, max(0.02, max(reach)) * 1.12, left, right)
    foot = top + _ROW * len(shown)
    _grid(scene, x, top, foot, name)
    for index, leaf in enumerate(shown):
        _row(scene, leaf, x, top + _ROW * index, left, narrow)
    if not narrow:
        scene.add(Text(width - 12, top - 8, "elasticity", size=11, fill="muted", anchor="end"))
    scene.add(Path(((x(0), top - 4), (x(0), foot)), stroke="ink", width=1.2))
    _keys(scene, 12.0, top - 14)
    rest = len(leaves) - len(shown)
    if rest:
        scene.add(Text(12, foot + 54, f"{rest} other numbers change it less", size=11, fill="muted"))
    return scene


def _grid(scene: Scene, x: LinearScale, top: float, foot: float, name: str) -> None:
    for value in x.ticks(8 if scene.width > 600 else 3):
        scene.add(Path(((x(value), top), (x(value), foot)), stroke="grid"))
        scene.add(Text(x(value), foot + 16, _signed(value), size=11, fill="muted", anchor="middle"))
    scene.add(Text((x.start + x.end) / 2, foot + 34, f"change in {name}", size=12, fill="muted", anchor="middle"))


def _row(scene: Scene, leaf: LeafChange, x: LinearScale, y: float, left: float, narrow: bool) -> None:
    # The larger bar goes behind, so that both stay visible where they point the same way.
    bars = [
        (change, colour, word) for change, colour, word in ((leaf.half, "s2", "half"), (leaf.double, "s1", "double")) if change is not None
    ]
    for change, colour, word in sorted(bars, key=lambda bar: -abs(bar[0])):
        begin, end = sorted((x(0), x(change)))
        scene.add(Rect(begin, y + 5, max(end - begin, 0.6), _ROW - 10, colour, title=f"{leaf.path} at {word}: {_signed(change)}"))
    if leaf.tenth is not None:
        at = x(leaf.tenth)
        scene.add(Rect(at - 1.5, y + 2, 3, _ROW - 4, "ink", title=f"{leaf.path} +10 %: {_signed(leaf.tenth)}"))
    mark = " (assumed)" if leaf.source == "assumed" else ""
    if narrow:
        scene.add(
            Text(left - 8, y + 18, shorten(leaf.path, 11, left - 16), size=11, anchor="end", title=f"{leaf.path} = {leaf.text}{mark}")
        )
        return
    value = shorten(leaf.text + mark, 11, 130)
    room = left - 30 - text_width(value, 11)
    scene.add(Text(left - 10, y + 18, value, size=11, fill="alert" if mark else "muted", anchor="end"))
    scene.add(Text(12, y + 18, shorten(leaf.path, 12, room - 12), size=12, title=f"{leaf.path} = {leaf.text}{mark}"))
    if leaf.elasticity is not None:
        scene.add(Text(scene.width - 12, y + 18, _elasticity(leaf.elasticity), size=12, anchor="end"))


def _keys(scene: Scene, x: float, y: float) -> None:
    for colour, word, width in (("s1", "doubled", 11.0), ("s2", "halved", 11.0), ("ink", "+10 %", 3.0)):
        scene.add(Rect(x, y - 10, width, 12, colour), Text(x + width + 5, y, word, size=11, fill="muted"))
        x += width + text_width(word, 11) + 20


def _elasticity(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−") if abs(value) >= 0.005 else "0.00"


def _signed(change: float) -> str:
    if change == 0:
        return "0 %"
    return ("+" if change > 0 else "−") + percent(abs(change))
