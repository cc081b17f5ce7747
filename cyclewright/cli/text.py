"""Plain tables and lines for the terminal, and the progress line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from simulator.result import Result

WIDEST_CELL = 48
_STORED = "give a file that `cyclewright run -o FILE.json` wrote"


def heading(text: str) -> None:
    """A heading line after an empty line."""
    click.echo()
    click.echo(click.style(text, bold=True))


def title(document: Mapping[str, Any]) -> str:
    """Model, phase, sizes, format and device of a stored result, in one line."""
    from cyclewright.naming import kinds_of, lengths_of

    settings, phase = document["settings"], document["phase"]
    words = [phase] if phase and phase != "inference" else []
    words += [*lengths_of(phase, settings), *kinds_of(settings)]
    return f"{document['model']} ({', '.join(words)}) on {document['hardware']}, {document['fidelity']}"


def pairs(lines: Sequence[tuple[str, str]], indent: int = 2) -> None:
    """Aligned ``label  text`` lines; a pair of two empty texts is an empty line."""
    width = max((len(label) for label, _ in lines), default=0)
    for label, text in lines:
        click.echo((" " * indent + f"{label:<{width}}  {text}").rstrip())


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, indent: int = 2, whole: bool = False) -> None:
    """An aligned table; the first ``left`` columns are flush left, the others right. Long cells of the first columns are cut in the middle,
    unless the table is to be ``whole``.
    """
    cut = [[_cut(cell) if index < left and not whole else cell for index, cell in enumerate(row)] for row in rows]
    widths = [max(len(row[index]) for row in [list(header), *cut]) for index in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.ljust(widths[index]) if index < left else cell.rjust(widths[index]) for index, cell in enumerate(cells)]
        return (" " * indent + "  ".join(padded)).rstrip()

    click.echo(click.style(line(header), underline=False, dim=True))
    for row in cut:
        click.echo(line(row))


def _cut(cell: str) -> str:
    if len(cell) <= WIDEST_CELL:
        return cell
    half = (WIDEST_CELL - 1) // 2
    return f"{cell[:half]}…{cell[-half:]}"


def print_json(document: Mapping[str, Any]) -> None:
    """A document on stdout, in the same bytes as ``-o FILE.json`` writes."""
    from cyclewright.outputs import json_bytes

    click.echo(json_bytes(document).decode("utf-8"), nl=False)


def say_written(paths: Sequence[Path]) -> None:
    """Name the files written, on stderr."""
    for path in paths:
        click.echo(f"wrote {path}", err=True)


def read_result(path: Path) -> Result:
    """A stored result.

    Raises:
        InvalidInput: the file cannot be read, is not JSON (with line and column), or holds no result of this version.
    """
    from hwspecs.vocabulary.errors import InvalidInput
    from simulator.stored import from_json

    try:
        text = path.read_text("utf-8")
        json.loads(text)
        return from_json(text)
    except OSError as error:
        raise InvalidInput(f"cannot read the file: {error.strerror}", where=str(path), hint=_STORED) from error
    except json.JSONDecodeError as error:
        raise InvalidInput(f"not valid JSON: {error.msg}", where=f"{path}:{error.lineno}:{error.colno}", hint=_STORED) from error
    except UnicodeDecodeError as error:
        raise InvalidInput("not a text file in UTF-8", where=str(path), hint=_STORED) from error
    except RecursionError as error:
        raise InvalidInput("nested too deeply to be a stored result", where=str(path), hint=_STORED) from error
    except InvalidInput as error:
        raise InvalidInput(error.what, where=error.where or str(path), hint=error.hint) from error


class Progress:
    """``label 12/40`` on stderr, rewritten in place; silent where stderr is no terminal."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.shown = sys.stderr.isatty()

    def __enter__(self) -> Callable[[int, int], None]:
        return self._step

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.shown:
            click.echo("\r\x1b[K", nl=False, err=True)

    def _step(self, done: int, total: int) -> None:
        if self.shown:
            click.echo(f"\r{self.label} {done}/{total}", nl=False, err=True)
