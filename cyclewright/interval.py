"""The interval of a result over the box of assumed numbers.

A spec's ``assumed`` numbers state a low and a high. Each is set to either end alone, which shows the direction in which it
moves a metric; then all are set to their lowering ends together, and to their raising ends. For a metric that is monotone in
every assumed number these two corners bound it over the whole box; the interval also includes every single run, so it is
never narrower than what was seen.
"""

from __future__ import annotations

from collections.abc import Mapping

from cyclewright.api import Plan, Prepared
from cyclewright.variation import run_varied
from hwspecs.dram import is_dram_leaf
from hwspecs.hardware import Hardware, Leaf
from simulator.result import Result

METRICS = ("latency_s", "energy_j")
_EVEN = 1e-12
Corner = tuple[tuple[Leaf, float | int], ...]


def assumed_leaves(hardware: Hardware, result: Result) -> tuple[Leaf, ...]:
    """Assumed numbers with bounds that can enter the result: not those of units that run nothing, or of MACs in unused formats."""
    formats = {row.compute_format for row in result.operators}
    idle = {f"unit.{name}." for name in hardware.units} - {f"unit.{row.unit}." for row in result.operators}
    return tuple(
        leaf
        for leaf in hardware.leaves.values()
        if leaf.source == "assumed" and leaf.low is not None and leaf.high is not None and leaf.low < leaf.high
        if not any(leaf.path.startswith(prefix) for prefix in idle)
        if result.fidelity == "cycle" or not is_dram_leaf(leaf.path)
        if ".energy.mac." not in leaf.path or leaf.path.rpartition(".")[2] in formats
    )


def interval_of(prepared: Prepared, planned: Plan, base: Result) -> Mapping[str, tuple[float, float]]:
    """(low, high) of latency and energy; a metric that no assumed number moves is left out.

    Costs two runs for each assumed number and up to two for each metric.
    """
    seen = {metric: [getattr(base, metric)] for metric in METRICS}
    ends: dict[str, tuple[Corner, Corner]] = dict.fromkeys(METRICS, ((), ()))
    for leaf in assumed_leaves(prepared.hardware, base):
        runs = [(value, run_varied(prepared, planned, [(leaf, value)])) for value in _bounds(leaf)]
        for metric in METRICS:
            (low_value, low), (high_value, high) = sorted(((value, getattr(run, metric)) for value, run in runs), key=lambda pair: pair[1])
            if high - low > _EVEN * high:
                lower, upper = ends[metric]
                ends[metric] = ((*lower, (leaf, low_value)), (*upper, (leaf, high_value)))
            seen[metric] += [low, high]
    for metric in METRICS:
        for corner in ends[metric]:
            if len(corner) > 1:
                seen[metric].append(getattr(run_varied(prepared, planned, corner), metric))
    return {metric: (min(values), max(values)) for metric, values in seen.items() if max(values) - min(values) > _EVEN * max(values)}


def _bounds(leaf: Leaf) -> tuple[float | int, float | int]:
    assert leaf.low is not None
    assert leaf.high is not None
    if isinstance(leaf.value, int):
        return round(leaf.low), round(leaf.high)
    return leaf.low, leaf.high
