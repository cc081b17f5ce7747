"""Plain-Python twins of ``simulator.kernels.dataflow``: no heap, no marks, no ring; every instant looks at everything again."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.lowering import Flow


@dataclass
class Outcome:
    """What the twin found; ``order`` lists stage numbers, ``starts`` the start of each firing in that order."""

    deadlock: bool
    cycles: int
    order: list[int]
    starts: list[int]
    first_start: list[int]
    last_end: list[int]
    fired: list[int]


def firings_of(flow: Flow) -> list[list[tuple[int, tuple[tuple[int, int], ...]]]]:
    """Per stage the (cycles, further holds) of each firing, written out."""
    return [[(cycles, holds) for repeat, cycles, holds in segments for _ in range(repeat)] for _, segments in flow.stages]


def play(flow: Flow, window: int) -> Outcome:
    firings = firings_of(flow)
    stages = range(len(flow.stages))
    home = [stage[0] for stage in flow.stages]
    started, ended = [0] * len(home), [0] * len(home)
    first_start, last_end = [-1] * len(home), [0] * len(home)
    running: list[tuple[int, int]] = []
    busy_until = dict.fromkeys(range(len(flow.resources)), (0, False))
    order: list[int] = []
    starts: list[int] = []
    now = 0

    def is_busy(resource: int) -> bool:
        return busy_until[resource][1]

    def may_start(stage: int) -> bool:
        for source, target, produced, consumed, initial, capacity in flow.edges:
            if produced == 0:
                if target == stage and ended[source] < len(firings[source]):
                    return False
                continue
            if target == stage and initial + ended[source] * produced - started[target] * consumed < consumed:
                return False
            if source == stage and capacity and capacity - initial - started[source] * produced + ended[target] * consumed < produced:
                return False
        _, holds = firings[stage][started[stage]]
        return not any(is_busy(resource) for resource, _ in holds)

    def dispatch(reach: int) -> bool:
        any_started = False
        for resource in range(len(flow.resources)):
            if is_busy(resource):
                continue
            waiting = [stage for stage in stages if home[stage] == resource and started[stage] < len(firings[stage])][:reach]
            stage = next((stage for stage in waiting if may_start(stage)), None)
            if stage is None:
                continue
            cycles, holds = firings[stage][started[stage]]
            started[stage] += 1
            running.append((now + cycles, stage))
            busy_until[resource] = (now + cycles, True)
            for other, held in holds:
                busy_until[other] = (now + held, True)
            if first_start[stage] < 0:
                first_start[stage] = now
            order.append(stage)
            starts.append(now)
            any_started = True
        return any_started

    dispatch(window)
    while True:
        events = [time for time, _ in running] + [time for time, taken in busy_until.values() if taken]
        if not events:
            if all(started[stage] == len(firings[stage]) for stage in stages):
                return Outcome(False, now, order, starts, first_start, last_end, ended)
            if not dispatch(len(home) + 1):
                return Outcome(True, now, order, starts, first_start, last_end, ended)
            continue
        now = min(events)
        for time, stage in [entry for entry in running if entry[0] == now]:
            running.remove((time, stage))
            ended[stage] += 1
            last_end[stage] = now
        for resource, (time, taken) in busy_until.items():
            if taken and time == now:
                busy_until[resource] = (time, False)
        dispatch(window)


def play_fixed(flow: Flow, order: list[int]) -> tuple[int, list[int]]:
    """Cycles and start of each firing when served in ``order``: the max-plus recurrence, token by token."""
    firings = firings_of(flow)
    ends: list[list[int]] = [[] for _ in flow.stages]
    free = [0] * len(flow.resources)
    # When each token arrived and when each place became free, in order; both are first in, first out.
    tokens = [[0] * edge[4] for edge in flow.edges]
    places = [[0] * (edge[5] - edge[4]) for edge in flow.edges]
    starts = []
    for stage in order:
        cycles, holds = firings[stage][len(ends[stage])]
        start = max([free[flow.stages[stage][0]], *(free[resource] for resource, _ in holds)])
        for number, (source, target, produced, consumed, _, capacity) in enumerate(flow.edges):
            if produced == 0:
                if target == stage:
                    assert len(ends[source]) == len(firings[source])
                    start = max([start, *ends[source]])
                continue
            if target == stage:
                start = max(start, *(tokens[number].pop(0) for _ in range(consumed)))
            if source == stage and capacity:
                start = max(start, *(places[number].pop(0) for _ in range(produced)))
        end = start + cycles
        for number, (source, target, produced, consumed, _, _) in enumerate(flow.edges):
            if source == stage:
                tokens[number].extend([end] * produced)
            if target == stage:
                places[number].extend([end] * consumed)
        free[flow.stages[stage][0]] = end
        for resource, held in holds:
            free[resource] = start + held
        ends[stage].append(end)
        starts.append(start)
    return max((end for row in ends for end in row), default=0), starts
