"""Small pieces of HTML; every text that comes from a document passes through ``esc``."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from html import escape
from importlib.resources import files

from cyclewright.plots.palette import DARK, LIGHT
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


def page(
    kind: str, title: str, heading: str, verdict: str, links: Sequence[tuple[str, str]], body: str, *, skip: tuple[str, str] | None = None,
    script: str = "",
) -> str:  # fmt: skip
    """A whole page with style and script inline, which refers to nothing outside itself; all but ``body`` and ``script`` is text.

    Args:
        kind: what the page is, above its heading. ``title``: of the window.
        links: (identifier, name) of the sections. ``skip``: the same of the one that a link at the top leads to.
        script: of the page; the page's policy lets no other run.
    """
    digest = b64encode(sha256(script.encode("utf-8")).digest()).decode("ascii")
    scripts = f"script-src 'sha256-{digest}'; " if script else ""
    policy = f"default-src 'none'; style-src 'unsafe-inline'; {scripts}img-src data:"
    navigation = "".join(f'<a href="#{identifier}">{esc(name)}</a>' for identifier, name in links)
    first = f'<a class="skip" href="#{skip[0]}">{esc(skip[1])}</a>\n' if skip else ""
    last = f"<script>{script}</script>\n" if script else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{esc(title)} - cyclewright</title>
<style>{_style_sheet()}</style>
</head>
<body>
{first}<header>
<p class="muted">cyclewright {esc(kind)}</p>
<h1>{esc(heading)}</h1>
<p class="verdict">{esc(verdict)}</p>
<nav aria-label="Sections">{navigation}</nav>
</header>
<main>
{body}</main>
{last}</body>
</html>
"""


@lru_cache(maxsize=1)
def _style_sheet() -> str:
    """The style of all pages, colours for light and dark included."""
    sheet = files("cyclewright.report").joinpath("page.css").read_text(encoding="utf-8")
    return f":root{{{_variables(LIGHT)}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{_variables(DARK)}}}}}\n{sheet}"


def _variables(colours: Mapping[str, str]) -> str:
    return ";".join(f"--{role}:{colour}" for role, colour in colours.items())
