"""A user's own timings by operator against a result.

The CSV has a header with ``operator`` and a time column: ``time_ms``, ``time [us]``, ``time (s)``, ``latency_ms`` ..., or ``time``
with a unit in every cell (``1.2 ms``). Other columns are left alone. A time is that of all rounds of the operator together, as
``time_s`` in the result's JSON.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclewright.metrics import Document
from hwspecs.vocabulary.errors import CyclewrightError, ErrorList, InvalidInput, UnitError
from hwspecs.vocabulary.units import parse_quantity

_TIME_COLUMN = re.compile(r"(?:time|latency|duration)\s*(?:[\[(]\s*(?P<bracket>\w+)\s*[\])]|_(?P<suffix>s|ms|us|ns))?", re.IGNORECASE)
_OPERATOR_COLUMNS = ("operator", "op", "layer", "name")
_HINT = "write a header like operator,time_us"


@dataclass(frozen=True, slots=True)
class Measured:
    """One timing: operator, seconds, and where it was read."""

    operator: str
    time_s: float
    where: str


@dataclass(frozen=True, slots=True)
class MeasuredComparison:
    """Ours against measured.

    Attributes:
        rows: (operator, our seconds, measured seconds), in the result's order.
        only_measured: operators of the file that the result does not have; ``only_ours``: the other way round.
    """

    rows: tuple[tuple[str, float, float], ...]
    only_measured: tuple[str, ...]
    only_ours: tuple[str, ...]

    @property
    def total_ours_s(self) -> float:
        """Our time of the operators that both have."""
        return sum(ours for _, ours, _ in self.rows)

    @property
    def total_measured_s(self) -> float:
        """Measured time of the operators that both have."""
        return sum(measured for _, _, measured in self.rows)

    @property
    def total_error(self) -> float:
        """(ours - measured) / measured of the totals."""
        return self.total_ours_s / self.total_measured_s - 1

    @property
    def mean_absolute_error(self) -> float:
        """Mean over the operators of ``|ours - measured| / measured``."""
        return sum(abs(ours / measured - 1) for _, ours, measured in self.rows) / len(self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "schema": 1, "command": "compare --measured",
            "total": {"ours_s": self.total_ours_s, "measured_s": self.total_measured_s, "error": self.total_error},
            "mean_absolute_error": self.mean_absolute_error,
            "operators": [
                {"name": name, "ours_s": ours, "measured_s": measured, "error": ours / measured - 1} for name, ours, measured in self.rows
            ],
            "only_measured": list(self.only_measured), "only_ours": list(self.only_ours),
        }  # fmt: skip


def compare_measured(result: Any, path: str | Path) -> MeasuredComparison:
    """Set a result of ``run`` (or its stored form) against a CSV of timings.

    Raises:
        ErrorList: every fault of the file, with file, line and column.
        InvalidInput: no operator of the file is one of the result.
    """
    if isinstance(result, Mapping):
        document: Document = result
    else:
        from cyclewright.api import document_of

        document = document_of(result)
    timings = {row.operator: row.time_s for row in read_timings(path)}
    ours = {row["name"]: float(row["time_s"]) for row in document["operators"]}
    rows = tuple((name, seconds, timings[name]) for name, seconds in ours.items() if name in timings)
    if not rows:
        hint = f"the result's operators are called {', '.join(list(ours)[:5])}, ..."
        raise InvalidInput("no operator of the file is one of the result", where=str(path), hint=hint)
    return MeasuredComparison(rows, tuple(_without(timings, ours)), tuple(_without(ours, timings)))


def _without(names: Mapping[str, float], others: Mapping[str, float]) -> list[str]:
    return [name for name in names if name not in others]


def read_timings(path: str | Path) -> tuple[Measured, ...]:
    """Read a CSV of timings.

    Raises:
        ErrorList: every fault, with file, line and column.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ErrorList([InvalidInput(f"cannot read the file: {error.strerror}", where=str(path), hint="give a CSV file")]) from error
    except UnicodeDecodeError as error:
        raise ErrorList([InvalidInput("not a text file in UTF-8", where=str(path), hint="save it as CSV in UTF-8")]) from error
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        return _rows(list(zip(_numbered(lines), strict=False)), str(path))
    except csv.Error as error:
        raise ErrorList([InvalidInput(f"not valid CSV: {error}", where=f"{path}:{lines.line_num}", hint=_HINT)]) from error


def _numbered(lines: Any) -> Any:
    """(line number, cells) of each line that is not empty."""
    for cells in lines:
        if any(cell.strip() for cell in cells):
            yield lines.line_num, [cell.strip() for cell in cells]


def _rows(lines: list[tuple[tuple[int, list[str]]]], path: str) -> tuple[Measured, ...]:
    if not lines:
        raise ErrorList([InvalidInput("the file is empty", where=f"{path}:1:1", hint=_HINT)])
    (head_line, header), body = lines[0][0], [line[0] for line in lines[1:]]
    names, times, unit = _columns(header, f"{path}:{head_line}")
    errors: list[CyclewrightError] = []
    found: dict[str, Measured] = {}
    for line, cells in body:
        if len(cells) != len(header):
            what = f"{len(cells)} cells under {len(header)} headings"
            errors.append(InvalidInput(what, where=f"{path}:{line}", hint="quote cells that hold commas"))
            continue
        operator, where = cells[names], f"{path}:{line}:{times + 1}"
        if operator in found:
            what = f"operator {operator!r} again, first at {found[operator].where}"
            errors.append(InvalidInput(what, where=f"{path}:{line}:{names + 1}", hint="add its times up to one row"))
            continue
        try:
            seconds = parse_quantity(f"{cells[times]} {unit}" if unit else cells[times], "time")
            if seconds <= 0:
                raise UnitError(f"a time of {cells[times]}", hint="times are above zero")
        except UnitError as error:
            errors.append(InvalidInput(error.what, where=where, hint=error.hint))
            continue
        found[operator] = Measured(operator, seconds, where)
    if not found and not errors:
        errors.append(InvalidInput("there is no timing below the header", where=path, hint=_HINT))
    if errors:
        raise ErrorList(errors)
    return tuple(found.values())


def _columns(header: list[str], where: str) -> tuple[int, int, str]:
    """(column of the operator, column of the time, unit or empty); columns of messages count from 1 as cells."""
    lowered = [name.lower() for name in header]
    names = next((lowered.index(name) for name in _OPERATOR_COLUMNS if name in lowered), None)
    times = [(index, match) for index, name in enumerate(header) if (match := _TIME_COLUMN.fullmatch(name))]
    if names is None:
        raise ErrorList([InvalidInput(f"no column is called operator: {', '.join(header)}", where=f"{where}:1", hint=_HINT)])
    if len(times) != 1:
        what = "no column holds times" if not times else f"{len(times)} columns hold times"
        raise ErrorList([InvalidInput(f"{what}: {', '.join(header)}", where=f"{where}:1", hint=_HINT)])
    index, match = times[0]
    unit = match["bracket"] or match["suffix"] or ""
    try:
        parse_quantity(f"1 {unit}" if unit else "1 s", "time")
    except UnitError as error:
        raise ErrorList([InvalidInput(error.what, where=f"{where}:{index + 1}", hint=error.hint)]) from error
    return names, index, unit
