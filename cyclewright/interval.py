"""The interval of a result over the box of assumed numbers.

A spec's ``assumed`` numbers state a low and a high. Each is set to either end alone, which shows the direction in which it
moves a metric; then all are set to their lowering ends together, and to their raising ends. For a metric that is monotone in
every assumed number these two corners bound it over the whole box; the interval also includes every single run, so it is
never narrower than what was seen.

Numbers that move nothing are found in groups (all of a group at their lows, then at their highs): a group that moves
nothing costs two runs, however many numbers it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cyclewright.api import Plan, Prepared
from cyclewright.variation import changes_energy_alone, run_varied
from hwspecs.dram import is_dram_leaf
from hwspecs.hardware import Hardware, Leaf
from hwspecs.vocabulary.errors import CyclewrightError
from simulator.result import Result

METRICS = ("latency_s", "energy_j")
_EVEN = 1e-12
Corner = tuple[tuple[Leaf, float | int], ...]


def assumed_leaves(hardware: Hardware, result: Result) -> tuple[Leaf, ...]:
    """Assumed numbers with bounds that can enter the result.

    Not those of units that run nothing, of MACs in unused formats, of banked DRAM below the cycle rung, of FPGA resources, or of sparse
    kernels where none runs.
    """
    formats = {row.compute_format for row in result.operators}
    idle = {f"unit.{name}." for name in hardware.units} - {f"unit.{row.unit}." for row in result.operators}
    return tuple(
        leaf
        for leaf in hardware.leaves.values()
        if leaf.source == "assumed" and leaf.low is not None and leaf.high is not None and leaf.low < leaf.high
        if not any(leaf.path.startswith(prefix) for prefix in idle)
        if result.fidelity == "cycle" or not is_dram_leaf(leaf.path)
        if ".cost." not in leaf.path
        if not leaf.path.endswith(".sparse_efficiency") or any(row.pattern != "dense" for row in result.operators)
        if ".energy.mac." not in leaf.path or leaf.path.rpartition(".")[2] in formats
    )


def interval_of(prepared: Prepared, planned: Plan, base: Result) -> tuple[Mapping[str, tuple[float, float]], tuple[str, ...]]:
    """(low, high) of latency and energy, and notes on ends that cannot run; a metric that no assumed number moves is left out."""
    box = _Box(prepared, planned, base)
    groups: dict[tuple[bool, str], list[Leaf]] = {}
    for leaf in assumed_leaves(prepared.hardware, base):
        groups.setdefault((changes_energy_alone(leaf), leaf.path.rpartition(".")[0]), []).append(leaf)
    for group in groups.values():
        box.screen(group)
    box.corners()
    bounds = {metric: (min(values), max(values)) for metric, values in box.seen.items()}
    return {metric: (low, high) for metric, (low, high) in bounds.items() if high - low > _EVEN * high}, tuple(box.notes)


@dataclass(slots=True)
class _Box:
    """The runs made so far.

    Attributes:
        seen: metric to every value met.
        alone: (leaf, result at its low, result at its high) of the leaves that move something; None where an end cannot run.
    """

    prepared: Prepared
    planned: Plan
    base: Result
    seen: dict[str, list[float]] = field(default_factory=dict)
    alone: list[tuple[Leaf, Result | None, Result | None]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seen = {metric: [getattr(self.base, metric)] for metric in METRICS}

    def run(self, corner: Corner, *, tell: bool) -> Result | None:
        """The result at one point of the box; None, and a note if ``tell``, where the point cannot run."""
        try:
            result = run_varied(self.prepared, self.planned, corner)
        except CyclewrightError as error:
            if tell:
                where = corner[0][0].path if len(corner) == 1 else "a corner of the assumed numbers"
                self.notes.append(f"the interval leaves out {where}: {str(error).splitlines()[0]}")
            return None
        for metric in METRICS:
            self.seen[metric].append(getattr(result, metric))
        return result

    def screen(self, group: Sequence[Leaf]) -> None:
        """Find the leaves of a group that move something, by halves."""
        single = len(group) == 1
        low, high = (self.run(tuple((leaf, bounds_of(leaf)[end]) for leaf in group), tell=single) for end in (0, 1))
        if self._is_base(low) and self._is_base(high):
            return
        if single:
            self.alone.append((group[0], low, high))
            return
        self.screen(group[: len(group) // 2])
        self.screen(group[len(group) // 2 :])

    def corners(self) -> None:
        """Run all leaves at their lowering ends and at their raising ends, for each metric."""
        done: set[tuple[tuple[str, float | int], ...]] = set()
        for metric in METRICS:
            ends: tuple[list[tuple[Leaf, float | int]], list[tuple[Leaf, float | int]]] = ([], [])
            for leaf, at_low, at_high in self.alone:
                values = [getattr(result or self.base, metric) for result in (at_low, at_high)]
                if abs(values[1] - values[0]) > _EVEN * max(values):
                    low, high = bounds_of(leaf)
                    ends[0].append((leaf, low if values[0] < values[1] else high))
                    ends[1].append((leaf, high if values[0] < values[1] else low))
            for corner in ends:
                key = tuple((leaf.path, value) for leaf, value in corner)
                if len(corner) > 1 and key not in done:
                    done.add(key)
                    self.run(tuple(corner), tell=True)

    def _is_base(self, result: Result | None) -> bool:
        return result is not None and all(getattr(result, metric) == getattr(self.base, metric) for metric in METRICS)


def bounds_of(leaf: Leaf) -> tuple[float | int, float | int]:
    """The low and the high end of an assumed number, whole numbers rounded."""
    assert leaf.low is not None
    assert leaf.high is not None
    if isinstance(leaf.value, int):
        return round(leaf.low), round(leaf.high)
    return leaf.low, leaf.high
