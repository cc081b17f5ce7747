"""The hierarchical roofline of a stored result as a table: roofs, ridge points, and where each operator stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cyclewright.api import document_of, run
from cyclewright.metrics import Document


def roofline(model: Any, hardware: Any = None, *, path: str | Path | None = None, **settings: Any) -> dict[str, Any]:
    """The roofline of a model on a device.

    Args:
        model: what ``run`` takes; or a result, and then no ``hardware``.
        hardware: what ``run`` takes.
        path: also draw it there, ``.svg`` or ``.png`` (or any other form that ``run`` writes).
        settings: as in ``run``.

    Returns:
        ``{"roofs": [...], "operators": [...]}`` as ``roofline_table`` gives it.

    Raises:
        CyclewrightError: as ``run``, or a path that cannot be written.
    """
    from cyclewright.outputs import check_outputs, render_run, write_all
    from simulator.result import Result

    targets = check_outputs([path] if path is not None else [], "roofline")
    result = model if isinstance(model, Result) else run(model, hardware, **settings)
    write_all([(target, render_run(result, target)) for target in targets])
    return roofline_table(document_of(result))


def roofline_table(document: Document) -> dict[str, Any]:
    """Roofs and operators as plain data.

    ``roofs``: ``name``, ``kind`` (``compute`` and ``vector`` in operations/s, ``memory`` in bytes/s), ``value``, ``used`` (a memory, or
    the roof of an operator of the run), and for memories ``ridge``: the operations per byte from which the highest compute roof in use
    binds. ``operators``, heaviest first: intensity in operations per off-chip byte, achieved operations/s, share of the time and share
    of its roof reached.
    """
    used = {_roof_of(row, document["roofs"]) for row in document["operators"]}
    peaks = [value for name, value in document["roofs"].items() if name in used and name.startswith("compute:")]
    roofs = []
    for name, value in document["roofs"].items():
        kind, _, rest = name.partition(":")
        roof = {"name": rest, "kind": kind, "value": value, "used": kind == "memory" or name in used}
        if kind == "memory":
            roof["ridge"] = max(peaks) / value if peaks and value else None
        roofs.append(roof)
    operators = []
    for row in sorted(document["operators"], key=lambda row: -row["time_s"]):
        operations = 2 * row["macs"] + row["vector_ops"]
        operators.append({
            "name": row["name"], "kind": row["kind"], "intensity": row["intensity"], "operations": operations,
            "operations_per_s": operations / row["time_s"] if row["time_s"] else 0.0, "time_s": row["time_s"], "share": row["share"],
            "bound_by": row["bound_by"], "roof_share": row["roof_s"] / row["time_s"] if row["time_s"] else 0.0,
        })  # fmt: skip
    return {"model": document["model"], "hardware": document["hardware"], "roofs": roofs, "operators": operators}


def _roof_of(row: Mapping[str, Any], roofs: Mapping[str, float]) -> str:
    """The arithmetic roof over an operator: of its matrix products where it has any, else of its elementwise work; empty without work."""
    if row["macs"]:
        dense = f"compute:{row['unit']}:{row['compute_format']}"
        sparse = f"{dense}@{row['pattern']}"
        return sparse if sparse in roofs else dense
    return f"vector:{row['unit']}:{row['compute_format']}" if row["vector_ops"] and row["time_s"] else ""
