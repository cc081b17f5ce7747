"""Playing flows: packs them for the kernels, and says who waits for what when a graph is deadlocked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwspecs.vocabulary.errors import ContractError, InfeasibleError
from simulator.lowering import Flow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.signedinteger[Any]]

WINDOW = 8
"""Stages that a free resource looks at, in program order, of each queue of the graph (``Alternative.queues``)."""
MAX_STEPS = 1 << 31
"""More firings than this in one graph, one by one, would take minutes. Firings that repeat are jumped over and not counted."""
MAX_FIRINGS = 1 << 48
"""Up to so many firings, jumped over or not, counts of tokens stay far below 2^63."""
LEAST_JUMP = 48
"""A jump costs about as much time as this many firings."""


@dataclass(frozen=True, slots=True)
class Played:
    """What playing a flow gave.

    Attributes:
        cycles: makespan.
        first_start, last_end: cycles, per stage; ``first_start`` is -1 for a stage that never fires.
        order: stage number of each firing in the order of service, or None if it was not recorded.
        stepped: firings played one by one; the others were jumped over.
    """

    cycles: int
    first_start: tuple[int, ...]
    last_end: tuple[int, ...]
    order: Integers | None = None
    stepped: int = 0


def pack(flows: Sequence[Flow]) -> tuple[Any, ...]:
    """The kernels' arrays of several flows, in the order of ``play_batch``'s arguments up to ``capacity``."""
    import numpy as np

    resources: list[int] = []
    stage_at, edge_at = [0], [0]
    home: list[int] = []
    stage_seg: list[int] = [0]
    repeat: list[int] = []
    duration: list[int] = []
    seg_hold: list[int] = [0]
    hold_resource: list[int] = []
    hold_cycles: list[int] = []
    edges: list[tuple[int, ...]] = []
    for flow in flows:
        resources.append(len(flow.resources))
        for unit, segments in flow.stages:
            home.append(unit)
            for firings, cycles, holds in segments:
                repeat.append(firings)
                duration.append(cycles)
                for resource, held in holds:
                    hold_resource.append(resource)
                    hold_cycles.append(held)
                seg_hold.append(len(hold_cycles))
            stage_seg.append(len(repeat))
        edges.extend(flow.edges)
        stage_at.append(len(home))
        edge_at.append(len(edges))
    table = np.array(edges, dtype=np.int64).reshape(len(edges), 6)
    lists = (resources, stage_at, edge_at, home, stage_seg, repeat, duration, seg_hold, hold_resource, hold_cycles)
    columns = tuple(np.ascontiguousarray(table[:, column]) for column in range(6))
    return (*(np.array(values, dtype=np.int64) for values in lists), *columns)


def play(flows: Sequence[Flow], operators: Sequence[str], *, window: int = WINDOW, record: bool = False) -> list[Played]:
    """Play each flow by itself, with dynamic arbitration.

    Args:
        flows: what to play; ``operators``: what to call each in a message.
        window: stages of each queue that a free resource looks at.
        record: also return the service order, which ``replay_order`` takes; nothing is jumped over then.

    Raises:
        InfeasibleError: a flow is deadlocked, or has more than 2^31 firings that no steady state saves; names the operator and the
            stages that wait.
    """
    queues = {flow.queues for flow in flows}
    if len(queues) > 1:
        return _by_queues(flows, operators, sorted(queues), window, record)
    window *= max(queues, default=1)
    import numpy as np

    from simulator.kernels import dataflow

    counts = [flow.firings for flow in flows]
    for operator, count in zip(operators, counts, strict=True):
        if count > (MAX_STEPS if record else MAX_FIRINGS):
            raise _too_long(operator, count)
    order_at = np.zeros(len(flows) + 1, dtype=np.int64)
    if record:
        np.cumsum(counts, out=order_at[1:])
    order = np.empty(int(order_at[-1]), dtype=np.int32)
    arrays = pack(flows)
    kernel: Any = dataflow.play_batch
    status, makespan, stepped, first_start, last_end, fired = kernel(*arrays, window, LEAST_JUMP, MAX_STEPS, order_at, order)
    stage_at = arrays[1].tolist()
    results = []
    firsts, lasts = first_start.tolist(), last_end.tolist()
    for number, flow in enumerate(flows):
        a, b = stage_at[number], stage_at[number + 1]
        if status[number] == dataflow.TOO_LONG:
            raise _too_long(operators[number], counts[number])
        if status[number] != dataflow.OK:
            waits = waiting(flow, fired[a:b].tolist())
            hint = "a buffer is too small for the tokens that it must hold"
            raise InfeasibleError(f"deadlock: {'; '.join(waits)}", where=operators[number], hint=hint)
        served = order[order_at[number] : order_at[number + 1]] if record else None
        results.append(Played(int(makespan[number]), tuple(firsts[a:b]), tuple(lasts[a:b]), served, int(stepped[number])))
    return results


def _by_queues(flows: Sequence[Flow], operators: Sequence[str], queues: list[int], window: int, record: bool) -> list[Played]:
    """The kernel takes one window for all: one call for each number of queues."""
    results: list[Played | None] = [None] * len(flows)
    for number in queues:
        places = [place for place, flow in enumerate(flows) if flow.queues == number]
        played = play([flows[place] for place in places], [operators[place] for place in places], window=window, record=record)
        for place, one in zip(places, played, strict=True):
            results[place] = one
    return [one for one in results if one is not None]


def _too_long(operator: str, firings: int) -> InfeasibleError:
    text = f"would take {firings} firings to play, and no steady state saves enough of them"
    return InfeasibleError(text, where=operator, hint="use larger tiles")


def replay_order(flow: Flow, order: Integers) -> tuple[int, Integers]:
    """Cycles of ``flow`` when its firings are served in ``order``, and the start of each: monotone in every duration.

    Raises:
        ContractError: the order lets a firing begin before one that it needs.
    """
    from simulator.kernels import replay

    arrays = pack([flow])
    kernel: Any = replay.play_fixed
    status, makespan, starts = kernel(int(arrays[0][0]), *arrays[3:], order)
    if status != replay.OK:
        raise ContractError("the service order lets a firing begin before one that it needs")
    return int(makespan), starts


def waiting(flow: Flow, fired: Sequence[int]) -> list[str]:
    """For each unfinished stage of a deadlocked flow, what it waits for."""
    total = [sum(segment[0] for segment in segments) for _, segments in flow.stages]
    texts = []
    for number, name in enumerate(flow.names):
        if fired[number] >= total[number]:
            continue
        reason = "the window of its unit"
        for source, target, produced, consumed, initial, capacity in flow.edges:
            tokens = initial + fired[source] * produced - fired[target] * consumed
            if target == number and not produced and fired[source] < total[source]:
                reason = f"the end of {flow.names[source]!r}"
            elif target == number and tokens < consumed:
                reason = f"{consumed} tokens of {flow.names[source]!r} and has {tokens}"
            elif source == number and capacity and capacity - tokens < produced:
                reason = f"{produced} places towards {flow.names[target]!r} and has {capacity - tokens}"
            else:
                continue
            break
        texts.append(f"stage {name!r} (firing {fired[number] + 1} of {total[number]}) waits for {reason}")
    return texts
