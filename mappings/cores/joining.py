"""Joining the dataflow graphs of slices, one per core, into one: private resources, a shared port, shared operands sent to all at once.

Each core has its own units (``array.0``, ``array.1``); all share the memory port, and all but core 0 reach it over the link: a
firing of such a load or store holds link and port together, each for its own time. Loads that several cores do alike, firing for firing, of
tensors that all of them read entire, become one load that the link carries to all; without multicast each core loads its own copy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from math import ceil

from hwspecs.hardware import Hardware
from hwspecs.vocabulary.records import dataclass
from mappings.cores.view import NOC, on_core
from mappings.dataflow import LINK, PORT, Alternative, Edge, PlannedLater, Segment, Stage

COMPUTE = "compute:"


@dataclass(frozen=True, slots=True)
class Noc:
    """The link between cores in cycles of the device's clock.

    Attributes:
        cores: that it joins.
        resource: what its stages run on; ``action``: what one byte that arrives counts as.
    """

    cores: int
    bytes_per_cycle: float
    latency_cycles: int
    multicast: bool
    resource: str = LINK + NOC
    action: str = f"{NOC}.byte"

    def cycles(self, nbytes: int) -> int:
        """Cycles that the link is held by one transfer."""
        return ceil(nbytes / self.bytes_per_cycle) + self.latency_cycles if nbytes else 0


def noc_of(hardware: Hardware) -> Noc:
    """The link ``noc`` of hardware with several cores."""
    link, clock = hardware.links[NOC], hardware.clock_hz
    return Noc(hardware.cores, link.bandwidth_bytes_per_s / clock, ceil(link.latency_s * clock), link.multicast)


def stage_name(name: str, core: int) -> str:
    """The name of a stage on a core; on core 0 it is the mapper's own."""
    return name if core == 0 else f"{name} (core {core})"


def _own_work(stage: Stage, core: int, noc_cycles: int, noc: Noc) -> Mapping[str, int] | None:
    """``Stage.work`` in the names of a core's resources."""
    if noc_cycles:
        return {noc.resource: noc_cycles}
    if stage.name == "launch" and stage.work is None:
        return {"launch": stage.cycles}  # results know launches by the stage's name, which changes
    if stage.work is None:
        return None
    return {(on_core(name, core) if name.startswith(COMPUTE) else name): spent for name, spent in stage.work.items()}


def over_link(stage: Stage, name: str, noc: Noc) -> Stage:
    """A stage of the memory port as one that also crosses the link."""
    segments = tuple(
        Segment(segment.repeat, max(segment.cycles, noc.cycles(sum(move.bytes for move in segment.transfers))), segment.transfers)
        for segment in stage.segments
    )
    spent = sum(segment.repeat * segment.cycles for segment in segments)
    return Stage(name, noc.resource, segments, None, _own_work(stage, 0, spent, noc))


def placed_stage(stage: Stage, core: int, noc: Noc) -> Stage:
    """A stage of a one-core graph on ``core``."""
    name = stage_name(stage.name, core)
    if stage.unit.startswith(PORT):
        return over_link(stage, name, noc) if core else stage
    if stage.unit.startswith(LINK):
        return Stage(name, stage.unit, stage.segments, stage.overlap, stage.work)
    segments = stage.segments
    if core and any(segment.transfers for segment in segments):  # a unit that holds the port itself
        segments = tuple(replace(s, cycles=max(s.cycles, noc.cycles(sum(m.bytes for m in s.transfers)))) for s in segments)
    return Stage(name, on_core(stage.unit, core), segments, stage.overlap, _own_work(stage, core, 0, noc))


def placed(alternative: Alternative, core: int, noc: Noc) -> Alternative:
    """A one-core alternative on ``core``; built when someone asks for its graph."""

    def build() -> Alternative:
        stages = tuple(placed_stage(stage, core, noc) for stage in alternative.stages)
        edges = tuple(
            replace(edge, source=stage_name(edge.source, core), target=stage_name(edge.target, core)) if core else edge
            for edge in alternative.edges
        )
        actions = dict(alternative.actions)
        if core and (carried := linked_bytes(stages, noc)):
            actions[noc.action] = actions.get(noc.action, 0.0) + carried
        return Alternative(
            alternative.name, stages, edges, need, alternative.cycles_estimate, actions, alternative.breakdown, alternative.notes,
            alternative.queues,
        )  # fmt: skip

    need = alternative.working_set_bytes * noc.cores
    if alternative.queues > 1:
        return build()
    return PlannedLater(alternative.name, need, alternative.cycles_estimate, alternative.notes, build)


def linked_bytes(stages: Sequence[Stage], noc: Noc) -> int:
    """Bytes that the stages send over the link, each transfer once."""
    return sum(s.repeat * move.bytes for stage in stages if stage.unit == noc.resource for s in stage.segments for move in s.transfers)


def joined(
    name: str, parts: Sequence[Alternative], whole: Collection[str], noc: Noc, port_cycles: Callable[[int], float], memory: str
) -> Alternative:
    """Slices on cores 0, 1, ... as one alternative.

    Args:
        whole: tensors that every slice reads entire.
        port_cycles: cycles of the memory port for so many bytes; ``memory``: name of the off-chip memory.
    """
    together = _alike(parts, whole) if noc.multicast else {}
    stages: list[Stage] = []
    edges: list[Edge] = []
    copies = 0
    for place in range(max(len(part.stages) for part in parts)):
        for core, part in enumerate(parts):
            if place >= len(part.stages):
                continue
            stage = part.stages[place]
            sharing = together.get((core, stage.name))
            if sharing is None:
                stages.append(placed_stage(stage, core, noc))
            elif sharing[0] == core:
                stages.append(over_link(stage, _shared_name(stage.name, sharing, len(parts)), noc))
                copies += (len(sharing) - 2) * linked_bytes(stages[-1:], noc)  # one copy is counted with the stage, core 0's needs no wire
    for core, part in enumerate(parts):

        def renamed(stage: str, core: int = core) -> str:
            sharing = together.get((core, stage))
            return stage_name(stage, core) if sharing is None else _shared_name(stage, sharing, len(parts))

        edges.extend(replace(edge, source=renamed(edge.source), target=renamed(edge.target)) for edge in part.edges)
    return _summed(name, parts, stages, edges, copies, noc, port_cycles, memory)


def _shared_name(name: str, sharing: tuple[int, ...], cores: int) -> str:
    return f"{name} (all cores)" if len(sharing) == cores else f"{name} (cores {', '.join(map(str, sharing))})"


def _alike(parts: Sequence[Alternative], whole: Collection[str]) -> dict[tuple[int, str], tuple[int, ...]]:
    """(core, load stage) to the cores that load the same bytes of the same tensors, firing for firing."""
    groups: dict[object, list[int]] = {}
    keys: dict[tuple[int, str], object] = {}
    for core, part in enumerate(parts):
        for stage in part.stages:
            moves = [move for segment in stage.segments for move in segment.transfers]
            if stage.unit.startswith(PORT) and moves and all(move.tensor in whole and move.source in stage.unit for move in moves):
                key = keys[core, stage.name] = (stage.name, stage.segments)
                groups.setdefault(key, []).append(core)
    return {place: tuple(groups[key]) for place, key in keys.items() if len(groups[key]) > 1}


def _summed(
    name: str, parts: Sequence[Alternative], stages: Sequence[Stage], edges: Sequence[Edge], copies: int, noc: Noc,
    port_cycles: Callable[[int], float], memory: str,
) -> Alternative:  # fmt: skip
    actions: dict[str, float] = {}
    breakdown: dict[str, int] = {}
    for part in parts:
        for action, count in part.actions.items():
            actions[action] = actions.get(action, 0.0) + count
        for what, cycles in part.breakdown.items():
            breakdown[what] = max(breakdown.get(what, 0), cycles)
    firings = [(s.repeat, sum([move.bytes for move in s.transfers])) for stage in stages for s in stage.segments if s.transfers]
    breakdown[f"memory {memory}"] = sum([repeat * ceil(port_cycles(nbytes)) for repeat, nbytes in firings])  # all cores wait for one port
    breakdown[NOC] = sum(stage.cycles for stage in stages if stage.unit == noc.resource)
    actions[noc.action] = float(linked_bytes(stages, noc) + copies)
    longest = max(part.cycles_estimate for part in parts)
    estimate = max(longest, breakdown[f"memory {memory}"], breakdown[NOC])
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    working_set = max(part.working_set_bytes for part in parts) * noc.cores
    return Alternative(name, tuple(stages), tuple(edges), working_set, estimate, actions, breakdown, notes, len(parts))


def shifted(alternative: Alternative, base: int, noc: Noc) -> Alternative:
    """An alternative of cores 0, 1, ... on cores ``base``, ``base + 1``, ...: what core 0 moved over the port now crosses the link."""
    if base == 0:
        return alternative
    names = {stage.name: _shifted_name(stage.name, base) for stage in alternative.stages}
    stages = []
    for stage in alternative.stages:
        if stage.unit.startswith(PORT):
            stages.append(over_link(stage, names[stage.name], noc))
            continue
        unit, _, core = stage.unit.rpartition(".")
        where = on_core(unit, int(core) + base) if unit and core.isdigit() else stage.unit
        work = stage.work
        if work is not None and where != stage.unit:
            work = {(COMPUTE + where if name == COMPUTE + stage.unit else name): spent for name, spent in work.items()}
        stages.append(Stage(names[stage.name], where, stage.segments, stage.overlap, work))
    edges = tuple(replace(edge, source=names[edge.source], target=names[edge.target]) for edge in alternative.edges)
    actions = dict(alternative.actions)
    more = linked_bytes(stages, noc) - linked_bytes(alternative.stages, noc)
    actions[noc.action] = actions.get(noc.action, 0.0) + more
    return Alternative(
        alternative.name, tuple(stages), edges, alternative.working_set_bytes, alternative.cycles_estimate, actions, alternative.breakdown,
        alternative.notes, alternative.queues,
    )  # fmt: skip


_CORE = re.compile(r"\(cores? ([0-9, ]+)\)$")


def _shifted_name(name: str, base: int) -> str:
    """``load x`` to ``load x (core 2)``, ``load x (core 1)`` to ``load x (core 3)``, ``load w (cores 0, 1)`` to ``load w (cores 2, 3)``."""
    found = _CORE.search(name)
    if found is None:
        return name if name.endswith("(all cores)") else stage_name(name, base)
    numbers = [str(int(number) + base) for number in found[1].split(",")]
    return f"{name[: found.start()]}({'core' if len(numbers) == 1 else 'cores'} {', '.join(numbers)})"
