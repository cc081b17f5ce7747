"""Files of buffers in the format of MiniMalloc (repository google/minimalloc): ``id,lower,upper,size`` and, once placed, ``offset``.

A buffer is alive from moment ``lower`` until before moment ``upper``. The columns may stand in any order, each once.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from hwspecs.vocabulary.errors import CyclewrightError, ErrorList, ModelError
from hwspecs.vocabulary.records import dataclass
from hwspecs.vocabulary.suggest import did_you_mean
from ilp.placement import Buffer

NEEDED = ("id", "lower", "upper", "size")
COLUMNS = (*NEEDED, "offset")
LARGEST = 1 << 50
"""Numbers beyond this would overflow sums in 64 bits."""


@dataclass(frozen=True, slots=True)
class BufferFile:
    """Buffers in the order of the file, and the offsets that it states, if it states them."""

    buffers: tuple[Buffer, ...]
    offsets: tuple[int, ...] | None = None


def read_buffers(path: str | Path) -> BufferFile:
    """The buffers of a file.

    Raises:
        ModelError: the file cannot be read, is empty or its header lacks a column. ErrorList: all faults of its rows (a number that is
            none or negative, ``lower`` not below ``upper``, an id given twice), each with its line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ModelError(f"cannot be read: {reason}", where=str(path), hint="give a CSV file with id,lower,upper,size") from error
    return parse_buffers(text, str(path))


def parse_buffers(text: str, name: str = "buffers") -> BufferFile:
    """The buffers of a CSV text; ``name`` stands in messages.

    Raises:
        ModelError, ErrorList: as ``read_buffers``.
    """
    reader = csv.reader(io.StringIO(text))
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ModelError(f"is no CSV: {error}", where=f"{name}:{reader.line_num}", hint="give id,lower,upper,size") from error
    if not rows:
        raise ModelError("is empty", where=name, hint="the first line is id,lower,upper,size")
    line, header = rows[0]
    where = f"{name}:{line}"
    for column in header:
        if column not in COLUMNS:
            raise ModelError(
                f"unknown column {column!r}", where=where, hint=did_you_mean(column, COLUMNS) or f"known: {', '.join(COLUMNS)}"
            )
        if header.count(column) > 1:
            raise ModelError(f"column {column!r} is given twice", where=where, hint="leave one of them")
    missing = [column for column in NEEDED if column not in header]
    if missing:
        raise ModelError(f"no column {missing[0]!r}", where=where, hint="the first line is id,lower,upper,size")
    return _rows(rows[1:], header, name)


def _rows(rows: Iterable[tuple[int, list[str]]], header: list[str], name: str) -> BufferFile:
    buffers: list[Buffer] = []
    offsets: list[int] = []
    errors: list[CyclewrightError] = []
    seen: dict[str, int] = {}
    for line, cells in rows:
        where = f"{name}:{line}"
        if len(cells) != len(header):
            errors.append(ModelError(f"{len(cells)} cells of {len(header)}", where=where, hint=f"give {','.join(header)}"))
            continue
        row = dict(zip(header, cells, strict=True))
        faults, numbers = _numbers(row, where)
        if row["id"] in seen:
            what = f"id {row['id']!r} is that of line {seen[row['id']]}"
            faults.append(ModelError(what, where=where, hint="give each buffer its own"))
        seen.setdefault(row["id"], line)
        if not faults and numbers["lower"] >= numbers["upper"]:
            what = f"lower {numbers['lower']} is not below upper {numbers['upper']}"
            faults.append(ModelError(what, where=where, hint="a buffer is alive from lower until before upper"))
        errors += faults
        if not faults:
            buffers.append(Buffer(row["id"], numbers["lower"], numbers["upper"], numbers["size"]))
            offsets.append(numbers.get("offset", 0))
    if errors:
        raise ErrorList(errors)
    return BufferFile(tuple(buffers), tuple(offsets) if "offset" in header else None)


def _numbers(row: dict[str, str], where: str) -> tuple[list[CyclewrightError], dict[str, int]]:
    """(faults, whole numbers of a row)."""
    faults: list[CyclewrightError] = []
    numbers: dict[str, int] = {}
    for column, cell in row.items():
        if column == "id":
            continue
        digits = cell.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            faults.append(ModelError(f"{column} {cell!r} is no whole number", where=where, hint="give moments and bytes as digits"))
        elif len(digits) > 16 or int(digits) > LARGEST:
            faults.append(ModelError(f"{column} {cell} is beyond {LARGEST}", where=where, hint="give smaller numbers"))
        elif int(cell) < 0 and column in ("size", "offset"):
            faults.append(ModelError(f"{column} {cell} is negative", where=where, hint="give 0 or more bytes"))
        else:
            numbers[column] = int(cell)
    return faults, numbers


def csv_text(buffers: Sequence[Buffer], offsets: Sequence[int] | None = None) -> str:
    """The buffers as a CSV text, with offsets if given."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(NEEDED if offsets is None else COLUMNS)
    for number, buffer in enumerate(buffers):
        row: list[object] = [buffer.name, buffer.lower, buffer.upper, buffer.size]
        writer.writerow(row if offsets is None else [*row, offsets[number]])
    return out.getvalue()
