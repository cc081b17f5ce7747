"""The timeline: one span per stage and operator for its unit and for each port that it holds beside it, of the first round, at most
``LIMIT``.
"""

from __future__ import annotations

from simulator.lowering import LAUNCH, FlowSegment, resource_label
from simulator.program import Step, Timing
from simulator.result import Span

LIMIT = 5_000


def spans(program: list[list[Step]], timings: list[list[Timing]], limit: int = LIMIT) -> tuple[Span, ...]:
    """Busy stretches of units and ports in the order of operators and stages: from a stage's first start to its last end, first round.

    A port that a stage holds beside its unit is busy from the first firing that holds it until the last one lets it go: a firing holds it
    from its start, and not longer than itself. Where there are more than ``limit``, the longest are kept (the earlier one where two are
    equally long), in the same order.
    """
    found: list[Span] = []
    labels: dict[str, str] = {}
    for steps, times in zip(program, timings, strict=True):
        for step, timing in zip(steps, times, strict=True):
            flow = timing.flow
            for (home, segments), name, first, last in zip(flow.stages, flow.names, timing.first_start, timing.last_end, strict=True):
                if first >= 0 and last > first:
                    unit = flow.resources[home]
                    resource = LAUNCH if name == LAUNCH else labels.get(unit) or labels.setdefault(unit, resource_label(unit))
                    found.append(Span(resource, step.item.operator, name, timing.start + first, timing.start + last))
                    for port, (late, early) in _held(segments).items():
                        label = resource_label(flow.resources[port])
                        found.append(Span(label, step.item.operator, name, timing.start + first + late, timing.start + last - early))
    if len(found) <= limit:
        return tuple(found)
    ranked = sorted(range(len(found)), key=lambda number: found[number].start_cycles - found[number].end_cycles)
    return tuple(found[number] for number in sorted(ranked[:limit]))


def _held(segments: tuple[FlowSegment, ...]) -> dict[int, tuple[int, int]]:
    """Resources that a stage holds beside its own: how many cycles after the stage's first start, and how many before its last end."""
    holders: dict[int, list[int]] = {}
    for number, (repeat, _, holds) in enumerate(segments):
        for resource, cycles in holds:
            if repeat and cycles:
                holders.setdefault(resource, []).append(number)
    found = {}
    for resource, numbers in holders.items():
        late = sum(repeat * cycles for repeat, cycles, _ in segments[: numbers[0]])
        early = sum(repeat * cycles for repeat, cycles, _ in segments[numbers[-1] + 1 :])
        _, cycles, holds = segments[numbers[-1]]
        found[resource] = (late, early + cycles - sum(held for other, held in holds if other == resource))
    return found
