"""The page of a plan file: figures that matter, memory map, traffic by scheme, what moves; one file that loads nothing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from cyclewright.plots.formatting import count, percent
from cyclewright.plots.plan import plan_scene
from cyclewright.plots.plan_wording import effort, schemes, size, title_of, verdict
from cyclewright.plots.traffic import traffic_scene
from cyclewright.report.markup import breakable, details, esc, figure, page, section, table

_NARROW = 360.0


def render_plan(document: Mapping[str, Any]) -> str:
    """A plan file as one HTML page that refers to nothing outside itself."""
    parts = [section("numbers", "Headline", _cards(document)), section("map", "Memory over time", map_figure(document))]
    links = [("numbers", "Headline"), ("map", "Memory")]
    if document["baselines"]:
        parts.append(section("traffic", "Traffic by scheme", traffic_figure(document)))
        links.append(("traffic", "Traffic"))
    if not document.get("hardware"):
        parts.append(section("moves", "What moves beyond the compulsory", _moves(document)))
        links.append(("moves", "What moves"))
    parts.append(
        section("steps", "Steps", details(f"{len(document['plan']['operators'])} operators in the order of the plan", _steps(document)))
    )
    parts.append(section("again", "Make this plan again", f'<pre tabindex="0"><code>{esc(command(document))}</code></pre>'))
    links += [("steps", "Steps"), ("again", "Reproduce")]
    heading = title_of(document)
    return page("memory plan", f"Memory plan of {heading}", heading, _sentence(document), links, "".join(parts))


def _sentence(document: Mapping[str, Any]) -> str:
    extra = document["extra_bytes"]
    moved = f"{count(extra)} bytes move off chip beyond the compulsory" if extra else "Every tensor stays on chip until it is dead"
    return f"{moved}; {verdict(document)}."


def _cards(document: Mapping[str, Any]) -> str:
    extra, compulsory, known = document["extra_bytes"], document["compulsory_bytes"], document["budgets"]
    bound = document["lower_bound_bytes"]
    cards = [
        ("Extra traffic", size(extra), f"{percent(extra / compulsory)} of the compulsory {size(compulsory)}" if compulsory else ""),
        ("Proven bound", size(bound), "the plan is optimal" if document["proven"] else f"not proven: {document['stopped'] or 'open'}"),
        ("Scratchpad", size(document["scratchpad_bytes"]), "every tensor has an address" if document["placed"] else "no addresses"),
        ("Solved in", f"{document['seconds']:.2f} s", f"{document['method']}; {effort(document)}".rstrip("; ")),
    ]
    if known:
        least = "proven" if known["m_p_proven"] else f"at most; at least {size(known['m_p_bound_bytes'])}"
        cards.insert(3, ("Largest operator, M_R", size(known["m_r_bytes"]), "less than this runs nothing"))
        cards.insert(4, ("Nothing moves from, M_P", size(known["m_p_bytes"]), least))
    if joined := document.get("joined"):
        cards.append(("Joins as views", f"{joined['in_one_piece']} of {joined['tensors']}", "lie in one piece when they are read"))
    body = "\n".join(
        f'<div class="card"><dt>{esc(name)}</dt><dd>{esc(value)}</dd><dd class="note">{esc(note)}</dd></div>' for name, value, note in cards
    )
    return f'<dl class="cards">\n{body}\n</dl>'


def map_figure(document: Mapping[str, Any]) -> str:
    """The memory map of a plan, with what it shows."""
    caption = (
        "Across: operators in the order in which they run. Up: addresses of the scratchpad. A block is a tensor from the step that makes, "
        "loads or fetches it to the last step at which it lies there, in the colour of the kind of operator that makes it; pale blocks are "
        "operands that one operator alone uses. A red bar at the end of a block: it is stored, to be fetched later; at the beginning: it "
        "was fetched again. The pointer on a block names it."
    )
    if document.get("hardware"):
        caption = (
            "Across: operators in the order in which they run, repeated layers once. Up: addresses of the on-chip memory. A block is a "
            "tensor that stays from one operator to another, in the colour of the kind of operator that makes it; tiles of the running "
            "operator use what is left beside them; what does not stay moves through them. A red bar at the end of a block: it is off chip "
            "and loaded again later; at the beginning: it was. The pointer on a block names it."
        )
    return figure(plan_scene(document, heading=False), plan_scene(document, width=_NARROW, heading=False), caption)


def traffic_figure(document: Mapping[str, Any]) -> str:
    """Extra bytes by scheme, with what the schemes are and the numbers."""
    caption = (
        "The same operators and scratchpad under simpler schemes: an order, a rule of replacement, an allocator. "
        "<em>Best-fit</em> allocates at run time, <em>linear</em> plans one address for each stretch of residence ahead of time; both pay "
        "for fragmentation with spills. <em>No addresses</em> counts bytes only."
    )
    if document.get("hardware"):
        caption = (
            "Off-chip bytes beyond the compulsory, of the same operators and on-chip memory: if every tensor goes off chip after its "
            "operator; if a greedy rule keeps what finds room in program order; and as this plan has it."
        )
    rows = [[esc(name), count(extra), esc(saved)] for name, extra, saved in schemes(document)]
    numbers = details("The numbers", table(["Scheme", "Extra bytes", "The plan moves less by"], rows, label="Traffic by scheme"))
    return figure(traffic_scene(document, heading=False), traffic_scene(document, width=_NARROW, heading=False), caption) + numbers


def _moves(document: Mapping[str, Any]) -> str:
    names = [row["name"] for row in document["plan"]["operators"]]
    moved = [(stay["last"], "stored after", stay) for stay in document["plan"]["stays"] if stay["leaves"] == "spilled"]
    moved += [(stay["first"], "fetched for", stay) for stay in document["plan"]["stays"] if stay["enters"] == "fetched"]
    if not moved:
        return "<p>Nothing.</p>"
    rows = [
        [count(step), word, breakable(names[step]), breakable(stay["tensor"]), count(stay["bytes"])]
        for step, word, stay in sorted(moved, key=lambda row: (row[0], row[1], row[2]["tensor"]))
    ]
    return table(["Step", "What", "Operator", "Tensor", "Bytes"], rows, label="What moves beyond the compulsory")


def _steps(document: Mapping[str, Any]) -> str:
    rows = [
        [count(step), breakable(row["name"]), esc(row["kind"]), count(row["bytes"])]
        for step, row in enumerate(document["plan"]["operators"])
    ]
    return table(["Step", "Operator", "Kind", "Room that it needs, bytes"], rows, label="Steps")


def command(document: Mapping[str, Any]) -> str:
    """The command line that makes the plan again; a comment where it was made from a graph of a Python program."""
    settings = document["settings"]
    hardware = settings.get("hardware")
    if not settings.get("model"):
        return "# the model is an object of a Python program: no command line makes this plan again"
    words = ["cyclewright", "schedule", str(settings["model"]), "--scratchpad", f"{document['scratchpad_bytes']} B"]
    words += ["--hw", str(hardware)] if hardware else []
    defaults = {"batch": 1, "format": None if hardware else "int8", "unknown_op": "refuse"}
    flags = ("weights", "in_place", "concat_views", "explicit_padding", "split_attention")
    words += [f"--{name.replace('_', '-')}" for name in flags if settings.get(name)]
    for name in ("phase", "batch", "context", "tokens", "format", "unknown_op"):
        if settings.get(name) not in (None, defaults.get(name)):
            words += [f"--{name.replace('_', '-')}", str(settings[name])]
    for name, value in (settings.get("dims") or {}).items():
        words += ["--dim", f"{name}={value}"]
    return " ".join([*(shlex.quote(word) for word in words), "-o", "plan.html"])
