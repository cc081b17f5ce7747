"""The report page: sections in order, with style and script inline, so that it opens from a file and loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from cyclewright.plots.breakdown import breakdown_scene
from cyclewright.plots.course import course_scene
from cyclewright.plots.formatting import count
from cyclewright.plots.memory import memory_scene
from cyclewright.plots.roofline import roofline_scene
from cyclewright.plots.stalls import stalls_scene
from cyclewright.plots.timeline import timeline_scene
from cyclewright.plots.wording import title, verdict
from cyclewright.report.arrays import arrays_section, pace
from cyclewright.report.dram import dram_table
from cyclewright.report.headline import cards
from cyclewright.report.limits import limits
from cyclewright.report.markup import esc, figure, page, section
from cyclewright.report.operators import operator_table
from cyclewright.report.passes import passes_table
from cyclewright.report.plan_page import map_figure, traffic_figure
from cyclewright.report.sources import command, provenance
from simulator.reading import read_document
from simulator.result import Result

_NARROW = 360.0


def render(document: Mapping[str, object], *, whatif: Mapping[str, object] | None = None) -> str:
    """The report of a stored run as one HTML page.

    Args:
        document: the stored JSON document of a run.
        whatif: a what-if document, which adds the section on what limits the run.

    Returns:
        HTML that refers to nothing outside itself; the same document always gives the same text.

    Raises:
        InvalidInput: one of the documents is not what it should be; the message names the field.
    """
    result = read_document(document)
    parts = [
        section("numbers", "Headline", cards(result)),
        _warnings(result),
        section("roofline", "Roofline", _roofline(result)),
        section("breakdown", "Breakdown", _breakdown(result)),
        section("table", "Operators", operator_table(result)),
    ]
    links = [("numbers", "Headline"), ("roofline", "Roofline"), ("breakdown", "Breakdown"), ("table", "Operators")]
    if arrays := arrays_section(result):
        parts.insert(-1, section("arrays", "Arrays", arrays))
        links.insert(-1, ("arrays", "Arrays"))
    if any(operator.training_pass for operator in result.operators):
        parts.append(section("passes", "Passes of the training step", passes_table(result)))
        links.append(("passes", "Passes"))
    if result.time_parts:
        parts.append(section("stalls", "Where the time of each operator goes", _stalls(result)))
        links.append(("stalls", "Stalls"))
    if result.dram:
        parts.append(section("dram", "DRAM", dram_table(result)))
        links.append(("dram", "DRAM"))
    parts.append(section("memory", "Memory over time", _memory(result)))
    links.append(("memory", "Memory"))
    if result.memory_plan is not None:
        parts.append(section("map", "Memory plan", _plan(result)))
        links.append(("map", "Memory plan"))
    if result.over_time:
        parts.append(section("course", "Use, bandwidth and bytes held over time", _course(result)))
        links.append(("course", "Over time"))
    if result.timeline:
        parts.append(section("timeline", "Timeline", _timeline(result)))
        links.append(("timeline", "Timeline"))
    if whatif is not None:
        parts.append(section("limits", "What limits it", limits(whatif)))
        links.append(("limits", "What limits it"))
    parts.append(section("sources", "Where the numbers come from", provenance(result)))
    parts.append(section("again", "Make this report again", f'<pre tabindex="0"><code>{esc(command(result, whatif=whatif))}</code></pre>'))
    links += [("sources", "Sources"), ("again", "Reproduce")]
    return _page(result, "".join(parts), links)


def _page(result: Result, body: str, links: list[tuple[str, str]]) -> str:
    heading = title(result)
    script = files("cyclewright.report").joinpath("page.js").read_text(encoding="utf-8")
    skip = ("table", "Skip to the table of operators")
    return page("report", heading, heading, verdict(result) + pace(result), links, body, skip=skip, script=script)


def _warnings(result: Result) -> str:
    notes = list(dict.fromkeys(result.warnings))
    if not result.fits:
        notes.insert(0, "The model does not fit into the memory of this hardware; the figures are those of a device with enough of it.")
    if not notes:
        return ""
    items = "\n".join(f"<li>{esc(note)}</li>" for note in notes)
    return f'<aside class="warnings" aria-label="Warnings"><h2>Warnings</h2><ul>\n{items}\n</ul></aside>\n'


def _roofline(result: Result) -> str:
    caption = (
        "Each dot is an operator; its area is its share of the time. A dot on a roof is as fast as that resource allows; one far below "
        "every roof is held by what the roofs do not show, such as launches, or a unit that is occupied without being full: its row in the "
        "table, a click away, names it. Sloped roofs are memory bandwidths, level roofs are arithmetic by number format: black ones are "
        "used by this run, grey ones are other dense matrix formats of the device. The diamond is the whole run. "
        '<span class="wide">A ring sets one of the heaviest operators against the bytes of an on-chip level, whose roof is dashed; a '
        "dotted line joins it to its dot.</span>"
    )
    return figure(roofline_scene(result, heading=False), roofline_scene(result, width=_NARROW, height=430, heading=False), caption)


def _breakdown(result: Result) -> str:
    caption = (
        "Compulsory bytes are the first load of inputs, weights and caches and one write of outputs; all others are extra. Static energy "
        "is power that flows whether or not anything runs."
    )
    return figure(breakdown_scene(result, heading=False), breakdown_scene(result, width=_NARROW, heading=False), caption)


def _stalls(result: Result) -> str:
    caption = (
        "All rounds of each operator, in the program's order; lengths are to scale. <em>Full rate</em> is the least time that the unit's "
        "peak allows for the arithmetic that is done; <em>occupied, not full</em> is the rest of the time in which a unit works: idle "
        "elements, filling and draining, elementwise work. <em>Stalled</em> is the share in which nothing computes: only a memory port is "
        "busy, a kernel is being launched, or neither."
    )
    return figure(stalls_scene(result, heading=False), stalls_scene(result, width=_NARROW, heading=False), caption)


def _course(result: Result) -> str:
    caption = (
        "Executed multiply-accumulates against the unit's peak, bytes per second at each off-chip memory, and bytes held on chip: what the "
        "schedule keeps there and the tiles in the buffers. Means over short stretches; the axis is that of the timeline below, in "
        "which the later rounds of repeated layers are cut out."
    )
    return figure(course_scene(result, heading=False), course_scene(result, width=_NARROW, heading=False), caption)


def _memory(result: Result) -> str:
    caption = "Bytes that are still needed, at the start of each operator. Repeated layers are shown once, where the first of them runs."
    return figure(memory_scene(result, heading=False), memory_scene(result, width=_NARROW, heading=False), caption)


def _plan(result: Result) -> str:
    """The memory map, and traffic by scheme, of a schedule that was searched for."""
    described = {"model": result.model, "hardware": result.hardware, "settings": {**result.settings, "phase": result.phase or None}}
    document: dict[str, Any] = {**described, **(result.memory_plan or {})}
    bound = document["lower_bound_bytes"]
    if document["proven"]:
        proof = "no plan of these mappings moves less"
    else:
        proof = f"proven: no plan of these mappings moves less than {count(bound)}" if bound else "nothing is proven of it"
    words = f"{count(document['extra_bytes'])} bytes move beyond the compulsory; {proof}. Found by: {document['method']}."
    return f"<p>{esc(words)}</p>\n" + map_figure(document) + traffic_figure(document)


def _timeline(result: Result) -> str:
    caption = (
        "Busy stretches of each unit and memory port, from the first to the last use by a stage of an operator, coloured by kind of "
        "operator as above; the stage stands in brackets when the pointer rests on one. Of repeated layers only the first is drawn; the "
        "time of the others is cut out of the axis."
    )
    return figure(timeline_scene(result, heading=False), timeline_scene(result, width=_NARROW, heading=False), caption)
