"""Output files: the suffix picks the form; everything is checked before the run and rendered before the first byte is written."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwspecs.vocabulary.atomic import write_atomic
from hwspecs.vocabulary.errors import ArgumentError

if TYPE_CHECKING:
    from cyclewright.comparison import Comparison
    from simulator.result import Result

SUFFIXES = {
    "run": (".html", ".json", ".csv", ".svg", ".png", ".trace.json"),
    "whatif": (".html", ".json", ".csv", ".svg", ".png"),
    "roofline": (".svg", ".png", ".json", ".csv", ".html"),
    "compare": (".json", ".csv", ".svg", ".png"),
    "claims": (".json", ".csv"),
    "schedule": (".json", ".yaml", ".yml", ".html", ".svg", ".png"),
    "buffers": (".csv",),
}
"""What each command can write."""


def suffix_of(path: str | Path, command: str) -> str:
    """The suffix of ``path`` that names a form ``command`` can write (``.trace.json`` before ``.json``).

    Raises:
        ArgumentError: the suffix is missing or unknown.
    """
    name = Path(path).name.lower()
    known = SUFFIXES[command]
    for suffix in sorted(known, key=len, reverse=True):
        if name.endswith(suffix) and name != suffix:
            return suffix
    what = f"the suffix of {Path(path).name!r} names no form that {command} writes"
    raise ArgumentError(what, where=str(path), hint=f"use one of {' '.join(known)}")


def check_outputs(paths: Iterable[str | Path], command: str) -> tuple[Path, ...]:
    """Check every output path before any work is done.

    Raises:
        ArgumentError: unknown suffix, no such folder, a folder that cannot be written, a path that is a folder, or one path twice.
    """
    checked: list[Path] = []
    for given in paths:
        path = Path(given)
        suffix_of(path, command)
        where = str(path)
        if path.is_dir():
            raise ArgumentError(f"{path} is a folder", where=where, hint="give the path of a file")
        if not path.parent.is_dir():
            raise ArgumentError(f"there is no folder {path.parent}", where=where, hint="create it first")
        if not os.access(path.parent, os.W_OK):
            raise ArgumentError(f"the folder {path.parent} cannot be written", where=where, hint="give a path in a folder that is writable")
        if path in checked:
            raise ArgumentError(f"{path} is given twice", where=where, hint="give each output once")
        checked.append(path)
    return tuple(checked)


def write_all(contents: Sequence[tuple[Path, bytes]]) -> None:
    """Write rendered files, each atomically."""
    for path, data in contents:
        write_atomic(path, data)


def save(result: Result, *paths: str | Path, plot: str = "roofline") -> None:
    """Write a result of ``cyclewright.run`` to files; the suffix picks the form.

    ``.html`` report, ``.json`` stored form, ``.csv`` table of operators, ``.svg`` / ``.png`` the figure that ``plot`` names
    (``cyclewright.plots.FIGURES``), ``.trace.json`` timeline for Perfetto.

    Raises:
        ArgumentError: an unknown suffix or a path that cannot be written.
        UnknownNameError: no such figure.
    """
    targets = check_outputs(paths, "run")
    write_all([(path, render_run(result, path, plot)) for path in targets])


def render_run(result: Result, path: Path, plot: str = "roofline") -> bytes:
    """The bytes of one output of ``run`` or ``roofline``; ``plot``: the figure that an image shows."""
    from simulator.stored import to_document
    from simulator.tables import operators_csv, trace_json

    suffix = suffix_of(path, "run")
    if suffix == ".trace.json":
        return trace_json(result).encode("utf-8")
    if suffix == ".csv":
        return operators_csv(result).encode("utf-8")
    document = to_document(result)
    if suffix == ".json":
        return json_bytes(document)
    if suffix == ".html":
        from cyclewright.report import render

        return render(document).encode("utf-8")
    from cyclewright.plots import write_figure

    return figure_bytes(lambda target: write_figure(plot, document, target), suffix)


def render_compare(comparison: Comparison, results: Sequence[Result], path: Path) -> bytes:
    """The bytes of one output of ``compare``; an image shows time, energy and, of crossbars, area and power by component."""
    suffix = suffix_of(path, "compare")
    if suffix == ".json":
        return json_bytes(comparison.as_dict())
    if suffix == ".csv":
        return table_csv(
            [{"metric": name, **dict(zip(comparison.labels, values, strict=True))} for name, values in comparison.metrics.items()]
        )
    from cyclewright.plots import write_parts
    from simulator.stored import to_document

    documents = [to_document(result) for result in results]
    devices = [result.hardware for result in results]
    labels = comparison.labels if len(set(devices)) < len(devices) else devices  # what else differs is long, and the table tells it
    return figure_bytes(lambda target: write_parts(documents, target, labels=labels), suffix)


def render_whatif(document: Mapping[str, Any], path: Path, *, base: Mapping[str, Any]) -> bytes:
    """The bytes of one output of ``whatif``; ``base`` is the stored form of the base run, for the report."""
    suffix = suffix_of(path, "whatif")
    if suffix == ".json":
        return json_bytes(document)
    if suffix == ".csv":
        return table_csv(document["leaves"])
    if suffix == ".html":
        from cyclewright.report import render

        return render(base, whatif=document).encode("utf-8")
    from cyclewright.plots import write_tornado

    return figure_bytes(lambda target: write_tornado(document, target), suffix)


def render_schedule(document: Mapping[str, Any], path: Path) -> bytes:
    """The bytes of one output of ``schedule``: the plan file, the map of memory, or the page with both pictures."""
    suffix = suffix_of(path, "schedule")
    if suffix == ".json":
        return json_bytes(document)
    if suffix in (".yaml", ".yml"):
        from cyclewright.plan_file import yaml_bytes

        return yaml_bytes(document)
    if suffix == ".html":
        from cyclewright.report.plan_page import render_plan

        return render_plan(document).encode("utf-8")
    from cyclewright.plots import write_plan

    return figure_bytes(lambda target: write_plan(document, target), suffix)


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """Stored form: indented, keys in the order given, a final newline; NaN is refused."""
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def figure_bytes(draw: Callable[[Path], object], suffix: str) -> bytes:
    """What ``draw`` writes to a path with ``suffix``, as bytes."""
    with tempfile.TemporaryDirectory(prefix="cyclewright-") as folder:
        target = Path(folder) / f"figure{suffix}"
        draw(target)
        return target.read_bytes()


def table_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as CSV with a header; nested values are left out, None is an empty cell."""
    columns: dict[str, None] = {}
    for row in rows:
        columns.update({key: None for key, value in row.items() if not isinstance(value, dict | list)})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if row.get(column) is None else row[column] for column in columns])
    return text.getvalue().encode("utf-8")
