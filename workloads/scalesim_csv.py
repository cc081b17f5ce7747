"""SCALE-Sim's topology files: one layer per line, convolutions (``Layer name, IFMAP Height, ...``) or products (``Layer, M, N, K``).

As SCALE-Sim means them: layers are independent of each other (each has its own input), one image, no padding, and the last windows may
hang over the edge: OH = ceil((H - FH + s) / s). A layer whose name holds ``DP`` is a depthwise convolution: one layer of one channel, with
all its filters, per channel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hwspecs.vocabulary.errors import CyclewrightError, ErrorList, ModelError
from hwspecs.vocabulary.suggest import did_you_mean
from workloads.builder import GraphBuilder
from workloads.graph import OperatorGraph

CONV_COLUMNS = ("IFMAP Height", "IFMAP Width", "Filter Height", "Filter Width", "Channels", "Num Filter", "Strides")
GEMM_COLUMNS = ("M", "N", "K")
_LARGEST = 1 << 31
_MOST_DIGITS = 12
_MOST_POINTS = 1 << 62
_PATTERN = re.compile(r"[0-9]+:[0-9]+")


class _Cell(NamedTuple):
    """A cell: without the blanks and quotes around it, as it stands, and its place (the column counts from 0)."""

    text: str
    raw: str
    path: Path
    line: int
    column: int

    @property
    def where(self) -> str:
        """``file:line:column`` of the first character that is not blank."""
        return f"{self.path}:{self.line}:{self.column + len(self.raw) - len(self.raw.lstrip()) + 1}"


@dataclass(slots=True)
class _Reader:
    """What reading one file gathers: errors, notes, names in use."""

    gemm: bool
    further: tuple[str, ...]
    errors: list[CyclewrightError]
    notes: list[str]
    names: dict[str, int]

    def fail(self, cell: _Cell, what: str, hint: str) -> None:
        self.errors.append(ModelError(what, where=cell.where, hint=hint))

    def number(self, cell: _Cell, column: str) -> int:
        """The whole number in a cell; 0 after an error."""
        if not (cell.text.isdecimal() and cell.text.isascii() and len(cell.text) <= _MOST_DIGITS):
            what = f"{column} is empty" if not cell.text else f"{column} is {cell.text!r}, not a whole number"
            self.fail(cell, what, f"write a whole number from 1 to {_LARGEST - 1}")
            return 0
        value = int(cell.text)
        if not 1 <= value < _LARGEST:
            self.fail(cell, f"{column} {value} is out of range", f"sizes go from 1 to {_LARGEST - 1}")
            return 0
        return value

    def name(self, text: str) -> str:
        """A name that no other layer has: SCALE-Sim allows equal ones."""
        seen = self.names.get(text, 0) + 1
        self.names[text] = seen
        return text if seen == 1 else self.name(f"{text}#{seen}")


def read_topology(path: str | Path, format: str = "int8") -> OperatorGraph:
    """The graph of a topology file.

    The first line names the columns: ``M, N, K`` after the layer's name make it a file of products. Trailing commas, blank lines and
    columns of SCALE-Sim's own reports behind the last one are passed over; an N:M sparsity column is left out with a note.

    Args:
        format: number format of inputs and weights.

    Raises:
        ModelError, ErrorList: unreadable, no header, too few columns, a cell that is no whole number, a window larger than its input, no
            layer at all; every fault of the file with ``file:line:column``.
    """
    path = Path(path)
    lines = _lines(path)
    reader = _header(path, lines)
    builder = GraphBuilder(path.stem, format, {"phase": "inference", "batch": 1, "format": format, "source": str(path)})
    found = False
    for number, text in enumerate(lines[1:], start=2):
        cells = _cells(path, number, text)
        if not any(cell.text for cell in cells):
            continue
        found = True
        before = len(reader.errors)
        sizes, name = _row(reader, cells)
        if len(reader.errors) > before:
            continue
        if reader.gemm:
            _add_gemm(builder, name, sizes)
        else:
            _add_conv(builder, name, sizes, reader)
    if not found:
        raise ModelError("holds no layer", where=f"{path}:{max(1, len(lines))}:1", hint="write one layer per line below the header")
    if reader.errors:
        raise reader.errors[0] if len(reader.errors) == 1 else ErrorList(reader.errors)
    for note in reader.notes:
        builder.notes.append(note)
    return builder.build()


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ModelError(f"cannot read the file ({error.strerror or error})", where=str(path)) from None
    except UnicodeDecodeError:
        raise ModelError("the file is not UTF-8 text", where=str(path), hint="give a SCALE-Sim topology as CSV") from None
    return text.splitlines()


def _cells(path: Path, number: int, line: str) -> list[_Cell]:
    cells, column = [], 0
    for part in line.split(","):
        text = part.strip()
        cells.append(_Cell(text.strip('"').strip() if text[:1] == '"' else text, part, path, number, column))
        column += len(part) + 1
    return cells


def _header(path: Path, lines: list[str]) -> _Reader:
    """Read the first line: which form the file has, and what its further columns mean."""
    cells = _cells(path, 1, lines[0]) if lines else []
    words = [cell.text.lower() for cell in cells]
    if not any(words):
        raise ModelError("the first line names no columns", where=f"{path}:1:1", hint=f"write Layer name, {', '.join(CONV_COLUMNS)},")
    if len(cells) < 2 and "\t" in lines[0]:
        raise ModelError("columns are separated by tabs", where=f"{path}:1:1", hint="separate them by commas")
    if any(word.isdecimal() for word in words[1:]):
        where = next(cell.where for cell in cells[1:] if cell.text.isdecimal())
        raise ModelError(
            "the first line is a layer, and SCALE-Sim passes over it", where=where, hint="begin with a line that names the columns"
        )
    letters = words[1:4]
    if sorted(letters) == ["k", "m", "n"]:
        if letters != ["m", "n", "k"]:
            raise ModelError(
                f"the sizes are in the order {', '.join(letters).upper()}, which SCALE-Sim would read as M, N, K",
                where=cells[1].where, hint="put the columns in the order M, N, K",
            )  # fmt: skip
        return _Reader(True, tuple(words[4:]), [], [], {})
    if len([word for word in words if word]) < 1 + len(CONV_COLUMNS):
        hint = did_you_mean(words[1] if len(words) > 1 else "", ("ifmap height", "m"))
        raise ModelError(
            f"the first line has {len([word for word in words if word])} columns, neither the 8 of a convolution nor Layer, M, N, K",
            where=f"{path}:1:1", hint=hint if hint.startswith("did you mean") else f"write Layer name, {', '.join(CONV_COLUMNS)},",
        )  # fmt: skip
    return _Reader(False, tuple(words[8:]), [], [], {})


def _row(reader: _Reader, cells: list[_Cell]) -> tuple[tuple[int, ...], str]:
    """Sizes and name of a layer; the strides of a convolution as (down, right)."""
    columns = GEMM_COLUMNS if reader.gemm else CONV_COLUMNS
    while len(cells) > 1 and not cells[-1].text:
        cells = cells[:-1]
    if len(cells) <= len(columns):
        missing = ", ".join(columns[len(cells) - 1 :])
        reader.fail(cells[0], f"the layer has {len(cells)} of {len(columns) + 1} columns, {missing} missing", "give all of them")
        return (), ""
    if not cells[0].text:
        reader.fail(cells[0], "the layer has no name", "write a name in the first column")
        return (), ""
    sizes = [reader.number(cell, column) for cell, column in zip(cells[1:], columns, strict=False)]
    name = reader.name(cells[0].text)
    if not reader.gemm:
        sizes.append(sizes[-1])
        for what, image, window in (("height", 0, 2), ("width", 1, 3)):
            if sizes[window] > sizes[image] > 0:
                reader.fail(
                    cells[window + 1], f"the filter {what} {sizes[window]} is larger than the input's {sizes[image]}",
                    "SCALE-Sim knows no padding: write the size of the padded input",
                )  # fmt: skip
    _further(reader, cells[len(columns) + 1 :], sizes, name)
    points = sizes[0] * sizes[1] * sizes[2] if reader.gemm else sizes[0] * sizes[1] * sizes[2] * sizes[3] * sizes[4] * sizes[5]
    if points >= _MOST_POINTS:
        reader.fail(cells[1], f"the layer is too large to count ({points:.3g} points)", "split it")
    return tuple(sizes), name


def _further(reader: _Reader, cells: list[_Cell], sizes: list[int], name: str) -> None:
    """Columns behind the last one that every file has: stride of the width, batch, sparsity; others are passed over."""
    for place, cell in enumerate(cells):
        title = reader.further[place] if place < len(reader.further) else ""
        if not cell.text:
            continue
        if _PATTERN.fullmatch(cell.text):
            kept, _, group = cell.text.partition(":")
            if int(kept) != int(group):
                reader.notes.append(f"{name}: sparsity {cell.text} is left out, its weights count as dense; give --sparsity for the model")
        elif "sparsity" in title:
            reader.fail(cell, f"sparsity is {cell.text!r}", "write N:M, such as 2:4")
        elif "batch" in title:
            if reader.number(cell, "batch") > 1:
                reader.fail(cell, f"batch is {cell.text}", "SCALE-Sim counts one image; write 1")
        elif not reader.gemm and place == 0 and (cell.text.isdecimal() or "stride" in title):
            sizes[7] = reader.number(cell, "stride of the width")


def _add_gemm(builder: GraphBuilder, name: str, sizes: tuple[int, ...]) -> None:
    m, n, k = sizes
    builder.input(f"{name}.ifmap", (m, k))
    builder.weight(f"{name}.filter", (k, n))
    builder.output(builder.gemm(f"{name}.ifmap", f"{name}.filter", f"{name}.ofmap", name=name))


def _add_conv(builder: GraphBuilder, name: str, sizes: tuple[int, ...], reader: _Reader) -> None:
    height, width, down, right, channels, filters, *strides = sizes
    depthwise = "DP" in name
    groups = channels if depthwise else 1
    pads = []
    for size, window, stride in ((height, down, strides[0]), (width, right, strides[1])):
        outputs = -(-(size - window + stride) // stride)
        pads.append((0, (outputs - 1) * stride + window - size if (size - window) % stride else 0))
    if depthwise:
        each = f"{filters} filter{'s' if filters != 1 else ''} each"
        reader.notes.append(f"{name}: depthwise, because its name holds DP: {channels} layers of one channel and {each}")
    builder.input(f"{name}.ifmap", (1, channels, height, width))
    builder.weight(f"{name}.filter", (filters * groups, channels // groups, down, right))
    builder.output(builder.conv(f"{name}.ifmap", f"{name}.filter", f"{name}.ofmap", strides=strides, pads=pads, groups=groups, name=name))
