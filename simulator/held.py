"""Tiles in on-chip memories over time: what loads have brought and stores have not yet taken away.

A loaded tile is held from the start of its load until the last firing that takes its tokens has ended; a result from the start of the
firing that makes its first token until its store has ended. Tensors that the schedule keeps on chip are its residencies, not counted here.
A tile that a link hands to several cores at once counts once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mappings.dataflow import LINK, PORT, Alternative
from simulator.lowering import Flow
from simulator.recorded import Firings, Kept, Recorded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]


def held_bytes(
    flow: Flow, alternative: Alternative, kept: Kept, played: Recorded, off_chip: frozenset[str], home: str, edges: Ints
) -> dict[str, Floats]:
    """Mean bytes of tiles in each on-chip memory by piece; the working set in ``home`` where the dataflow graph does not tell."""
    import numpy as np

    stages = alternative.stages
    movers = [n for n, stage in enumerate(stages) if any(segment.transfers for segment in stage.segments)]
    if not played.exact or not movers or not all(stages[n].unit.startswith((PORT, LINK)) for n in movers):
        return {home: np.full(len(edges) - 1, float(alternative.working_set_bytes))}
    area: dict[str, Floats] = {home: np.zeros(len(edges))}
    for number in movers:
        fired = played.stages[number]
        for memory, load, row in _tiles(alternative, number, kept, off_chip):
            nbytes = np.array(row, np.float64)[fired.segment]
            since, until = fired.start, fired.start + fired.length
            for edge in flow.edges:
                if load and edge[0] == number and edge[2]:
                    until = np.maximum(until, _last_use(edge, fired, played.stages[edge[1]], played.cycles))
                elif not load and edge[1] == number and edge[3]:
                    since = np.minimum(since, _first_made(edge, fired, played.stages[edge[0]]))
            area[memory] = area.get(memory, np.zeros(len(edges))) + _area(since, nbytes, edges) - _area(until, nbytes, edges)
    return {memory: np.diff(curve) / np.diff(edges) for memory, curve in area.items()}


def _tiles(alternative: Alternative, number: int, kept: Kept, off_chip: frozenset[str]) -> list[tuple[str, bool, list[int]]]:
    """(on-chip memory, whether it is loaded, bytes of a firing of each segment) of what a port or link stage moves."""
    segments = alternative.stages[number].segments
    rows: dict[tuple[str, bool], list[int]] = {}
    for place, segment in enumerate(segments):
        for move in segment.transfers:
            load = move.source in off_chip
            memory = move.target if load else move.source
            if memory in off_chip or move.tensor in kept[0 if load else 1]:
                continue
            rows.setdefault((memory, load), [0] * len(segments))[place] += move.bytes
    return [(memory, load, row) for (memory, load), row in rows.items()]


def _last_use(edge: tuple[int, ...], source: Firings, target: Firings, cycles: int) -> Ints:
    """For each firing of ``source`` the end of the firing of ``target`` that takes its last token; the end of all if none does."""
    import numpy as np

    produced, consumed, initial = edge[2], edge[3], edge[4]
    takes = -(-(initial + produced * np.arange(1, len(source.start) + 1)) // consumed) - 1
    ends = np.append(target.start + target.length, cycles)
    found: Ints = ends[np.minimum(takes, len(target.start))]
    return found


def _first_made(edge: tuple[int, ...], target: Firings, source: Firings) -> Ints:
    """For each firing of ``target`` the start of the firing of ``source`` that makes its first token; 0 for tokens there from the start."""
    import numpy as np

    produced, consumed, initial = edge[2], edge[3], edge[4]
    makes = (consumed * np.arange(len(target.start)) - initial) // produced
    starts = np.append(source.start, 0)
    found: Ints = np.where(makes < 0, 0, starts[np.minimum(makes, len(source.start))])
    return found


def _area(since: Ints, nbytes: Floats, edges: Ints) -> Floats:
    """Integral up to each border of what is there from ``since`` on."""
    import numpy as np

    order = np.argsort(since, kind="stable")
    when, much = since[order].astype(np.float64), nbytes[order]
    level = np.concatenate([[0.0], np.cumsum(much)])
    moment = np.concatenate([[0.0], np.cumsum(much * when)])
    place = np.searchsorted(when, edges, side="right")
    area: Floats = level[place] * edges - moment[place]
    return area
