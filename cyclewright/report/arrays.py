"""What the arrays of a crossbar hold, what they are made of, and when each layer works."""

from __future__ import annotations

from cyclewright.arrays import WHERE, Arrays, Layer, read_arrays
from cyclewright.plots.array_map import array_map_scene
from cyclewright.plots.array_wording import pace_of, told
from cyclewright.plots.formatting import count, percent, seconds
from cyclewright.plots.parts import parts_scene
from cyclewright.plots.pipeline import pipeline_scene
from cyclewright.plots.scene import Scene
from cyclewright.report.markup import breakable, details, esc, figure, table
from simulator.result import Result

_NARROW = 360.0


def arrays_section(result: Result) -> str:
    """Facts, the three figures and a table of the layers as HTML; empty for a run on other hardware.

    Raises:
        InvalidInput: the result's ``in_memory`` is not what it should be.
    """
    found = read_arrays(result.in_memory)
    if found is None:
        return ""
    facts = "\n".join(
        f'<div class="card" data-metric="{WHERE}.{esc(name)}"><dt>{esc(_title(name))}</dt><dd class="note">{esc(text)}</dd></div>'
        for name, text in told(found)
    )
    return "\n".join(
        (
            f'<dl class="cards">\n{facts}\n</dl>',
            "<h3>Which weights sit where</h3>",
            figure(array_map_scene(result, heading=False), array_map_scene(result, width=_NARROW, heading=False), _MAP),
            "<h3>Energy and area by component</h3>",
            figure(_parts(result, 1080), _parts(result, _NARROW), _PARTS),
            "<h3>When each layer works</h3>",
            figure(pipeline_scene(result, heading=False), pipeline_scene(result, width=_NARROW, heading=False), _PIPELINE),
            details(f"Layers on arrays ({len(found.layers)})", _layers(found)),
        )
    )


def pace(result: Result) -> str:
    """What the verdict says of runs that follow each other; empty on other hardware."""
    found = read_arrays(result.in_memory)
    if found is None or not found.interval_s:
        return ""
    return f" Runs that follow each other end every {seconds(found.interval_s)}, the time of {pace_of(found)}."


def _parts(result: Result, width: float) -> Scene:
    return parts_scene(result, width=width, heading=False)


def _title(name: str) -> str:
    return name[:1].upper() + name[1:]


def _layers(found: Arrays) -> str:
    heads = ["Layer", "Matrix", "Arrays", "Copies", "Cells in use", "Cycles per product", "Products", "Cycles", "Weights"]
    return table(heads, [_row(layer) for layer in found.layers], label="Layers on arrays")


def _row(layer: Layer) -> list[str]:
    groups = f" in {count(layer.groups)} groups" if layer.groups > 1 else ""
    each = f" for each of {count(layer.instances)}" if layer.instances > 1 else ""
    weights = "before the run" if layer.resident else "during the run"
    return [
        breakable(layer.name), esc(f"{count(layer.rows)} × {count(layer.columns)}{groups}"), esc(f"{count(layer.arrays)}{each}"),
        count(layer.copies), esc(percent(layer.use)), count(layer.cycles_per_product), count(layer.products * layer.rounds),
        count(layer.cycles * layer.rounds), weights if layer.instances else "of an earlier layer",
    ]  # fmt: skip


_MAP = (
    "Weights are placed in the order of the program, copies of a layer side by side; the numbers are those of the list. Faint squares are "
    "arrays whose cells are partly empty, because a matrix does not end where an array does. In the list: arrays of one copy, how many "
    "copies there are of it, and the share of their cells that hold weights."
)
_PARTS = (
    "Energy is that of this run, with memories and static power beside the arrays' parts; area and power are of the chip as its spec "
    "states the parts, power with all arrays busy."
)
_PIPELINE = (
    "Each bar reaches from a layer's first row of results to its last; it is filled to the share of that time in which its arrays work. "
    "Layers side by side overlap (<code>--search play</code>), layer by layer they follow each other. The layer in bold sets the pace of "
    "runs that follow each other. Of repeated layers one round is drawn."
)
