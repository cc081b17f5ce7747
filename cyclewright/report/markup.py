"""Small pieces of HTML; every text that comes from a document passes through ``esc``."""

from __future__ import annotations

from html import escape

from cyclewright.plots.scene import Scene
from cyclewright.plots.svg import to_svg


def esc(text: object) -> str:
    """Text made inert for HTML, in content and in quoted attributes; control characters become spaces."""
    return escape("".join(char if char >= " " else " " for char in str(text)), quote=True)


def breakable(name: str) -> str:
    """A name made inert, with places where a narrow cell may break it: after ``/``, ``_`` and ``.``."""
    return "".join(f"{esc(char)}<wbr>" if char in "/_." else esc(char) for char in name)


def section(identifier: str, heading: str, body: str) -> str:
    """A section with its heading; ``heading`` is text, ``body`` is HTML."""
    return (
        f'<section id="{identifier}" aria-labelledby="{identifier}-h">\n<h2 id="{identifier}-h">{esc(heading)}</h2>\n{body}\n</section>\n'
    )


def figure(wide: Scene, narrow: Scene, caption: str) -> str:
    """A figure in two layouts, of which the style sheet shows the one that fits the window; ``caption`` is HTML."""
    return (
        f'<figure>\n<div class="wide">{to_svg(wide, inline=True)}</div>\n<div class="narrow">{to_svg(narrow, inline=True)}</div>\n'
        f"<figcaption>{caption}</figcaption>\n</figure>"
    )


def details(summary: str, body: str, *, opened: bool = False) -> str:
    """A part that folds away; ``summary`` is text, ``body`` is HTML."""
    return f"<details{' open' if opened else ''}>\n<summary>{esc(summary)}</summary>\n{body}\n</details>\n"


def table(head: list[str], rows: list[list[str]], *, label: str, row_classes: list[str] | None = None) -> str:
    """A plain table; ``head`` is text, cells are HTML; ``row_classes`` holds a class or an empty text for each row."""
    classes = row_classes or [""] * len(rows)
    cells = "".join(f'<th scope="col">{esc(name)}</th>' for name in head)
    lines = [
        f"<tr{f' class={chr(34)}{name}{chr(34)}' if name else ''}>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
        for row, name in zip(rows, classes, strict=True)
    ]
    body = "\n".join(lines)
    frame = f'<div class="scroll" role="region" aria-label="{esc(label)}" tabindex="0">'
    return f"{frame}<table>\n<thead><tr>{cells}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
