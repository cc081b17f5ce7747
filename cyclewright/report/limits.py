"""The part of a report that ``whatif`` adds: which numbers of the spec limit the run, and a concrete change beside the base."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from cyclewright.plots.formatting import percent, si
from cyclewright.plots.tornado import read_whatif, tornado_scene
from cyclewright.report.markup import esc, figure, table

_UNITS = {"_bytes": "B", "_per_s": "", "_per_w": "", "_s": "s", "_j": "J", "_w": "W"}
"""Unit by the ending of a metric's name, the longer endings first."""


def limits(document: Mapping[str, object]) -> str:
    """Tornado chart and table of the concrete change, as HTML.

    Raises:
        InvalidInput: it is not a what-if document.
    """
    _, leaves = read_whatif(document)
    text = ""
    if leaves:
        caption = (
            "Each number of the spec doubled and halved alone, the limiting one on top. An elasticity of −1 says that ten percent more of "
            "the number saves ten percent; 0, that it changes nothing. A number with a largest value, such as a share of the peak, "
            "stops there."
        )
        text += figure(tornado_scene(document, heading=False), tornado_scene(document, width=360, most=10, heading=False), caption)
        text += _output_errors(document.get("leaves"))
    change = document.get("change")
    if isinstance(change, Mapping) and isinstance(change.get("metrics"), Mapping):
        overrides = change.get("overrides") or []
        names = ", ".join(f"<code>{esc(item)}</code>" for item in overrides) if isinstance(overrides, list | tuple) else ""
        rows = [
            row for name, entry in change["metrics"].items() if isinstance(entry, Mapping) for row in [_change(str(name), entry)] if row
        ]
        rows += [row] if (row := _output_error(change.get("output_error"))) else []
        text += f"<h3>With {names}</h3>\n" + table(["Metric", "Base", "Changed", "Change"], rows, label="The change beside the base")
    return text


def _output_errors(leaves: object) -> str:
    """Numbers that change what a crossbar computes: the output error of the largest layers with each value; empty without a crossbar."""
    rows = []
    for leaf in leaves if isinstance(leaves, list) else ():
        base, points = leaf.get("output_error"), leaf.get("points")
        if not isinstance(base, int | float) or not isinstance(points, list | tuple):
            continue
        found = {point.get("factor"): point.get("output_error") for point in points if isinstance(point, Mapping)}
        cells = [_error(value) for value in (found.get(0.5), base, found.get(2.0))]
        rows.append([f"<code>{esc(str(leaf.get('path', '')))}</code>", esc(str(leaf.get("text", ""))), *cells])
    if not rows:
        return ""
    header = ["Number", "Value", "Error at half", "as it is", "at twice"]
    return "<h3>What arrays make of the numbers</h3>\n" + table(
        header, rows, label="Output error of the largest layers by number of the spec"
    )


def _output_error(both: object) -> list[str] | None:
    """The row of the change's table that says what it does to the results of a crossbar."""
    if not isinstance(both, list | tuple) or len(both) != 2:
        return None
    return ["Output error of the largest layers", _error(both[0]), _error(both[1]), ""]


def _error(value: object) -> str:
    return esc(percent(value)) if isinstance(value, int | float) and isfinite(value) else "–"


def _change(name: str, entry: Mapping[str, object]) -> list[str] | None:
    base, changed = entry.get("base"), entry.get("changed")
    if not (isinstance(base, int | float) and isinstance(changed, int | float) and isfinite(base) and isfinite(changed)):
        return None
    difference = "–" if not base else ("+" if changed > base else "−" if changed < base else "") + percent(abs(changed / base - 1))
    return [esc(name), esc(_value(name, base)), esc(_value(name, changed)), esc(difference)]


def _value(name: str, value: float) -> str:
    if name == "mfu" or name.endswith("_share"):
        return percent(value)
    return si(value, next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), ""))
