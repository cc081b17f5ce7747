"""What an operator's time goes into: a partition of its elapsed cycles, from every firing of its play.

At each instant the operator is counted as the first of these that holds:

* ``computing``: a unit does arithmetic. A firing that also moves bytes itself counts with the cycles of its arithmetic alone.
* ``memory``: a memory port or a link moves bytes (or a kernel works on on-chip memories) and nothing computes.
* ``launch``: a kernel or an operator is being started.
* ``idle``: none of these, such as latencies and the part of a kernel in which neither pipe is busy.

So computing hides memory that runs beside it, and the parts add up to the elapsed cycles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mappings.dataflow import LINK, PORT
from simulator.lowering import LAUNCH, Flow
from simulator.recorded import Occupation, Recorded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

PARTS = ("computing", "memory", "launch", "idle")


def parts_of(flow: Flow, played: Recorded, work: Sequence[Occupation], cycles: int) -> tuple[int, int, int, int]:
    """Cycles by part of one play of ``cycles``.

    Where firings were too many to be recorded, nobody knows what overlapped: the busiest unit computes for as long as it is busy, and
    ports and launches fill what is left.
    """
    import numpy as np

    if not cycles:
        return 0, 0, 0, 0
    computing: list[tuple[Ints, Ints]] = []
    memory: list[tuple[Ints, Ints]] = []
    launch: list[tuple[Ints, Ints]] = []
    sums: dict[tuple[str, int], int] = {}
    for (home, segments), name, fired, one in zip(flow.stages, flow.names, played.stages, work, strict=True):
        if not len(fired.start):
            continue
        computes = np.array(one.computes, np.int64)[fired.segment]
        waits = np.array(one.waits, np.int64)[fired.segment]
        length = np.array([duration for _, duration, _ in segments], np.int64)[fired.segment]
        kind = "launch" if name == LAUNCH else "unit"
        if flow.resources[home].startswith((PORT, LINK)):
            computes, waits = computes * 0, length
        sums[kind, home] = sums.get((kind, home), 0) + int(((length if name == LAUNCH else computes) * fired.times).sum())
        sums["memory", home] = sums.get(("memory", home), 0) + int((waits * fired.times).sum())
        if name == LAUNCH:
            launch.append((fired.start, fired.start + length))
            continue
        computing.append((fired.start, fired.start + computes))
        memory.append((fired.start, fired.start + np.minimum(length, computes + waits)))
    if not played.exact:
        return _bounded(sums, cycles)
    first = _covered(computing)
    second = _covered(computing + memory)
    third = _covered(computing + memory + launch)
    return first, second - first, third - second, cycles - third


def _bounded(sums: dict[tuple[str, int], int], cycles: int) -> tuple[int, int, int, int]:
    """Parts from busy sums alone."""
    found = []
    left = cycles
    for kind in ("unit", "memory", "launch"):
        busiest = max((spent for (what, _), spent in sums.items() if what == kind), default=0)
        found.append(min(left, busiest))
        left -= found[-1]
    return found[0], found[1], found[2], left


def _covered(intervals: list[tuple[Any, Any]]) -> int:
    """Length of the union of intervals."""
    import numpy as np

    if not intervals:
        return 0
    starts = np.concatenate([start for start, _ in intervals])
    ends = np.concatenate([end for _, end in intervals])
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], ends[order]
    reached = np.maximum.accumulate(ends)
    before = np.concatenate([starts[:1], reached[:-1]])
    return int(np.maximum(0, ends - np.maximum(starts, before)).sum())
