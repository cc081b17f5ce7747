"""Branches of a block as groups: operators that do not need each other, side by side in one dataflow graph.

Between a split and a join of the graph (the branches of an Inception module, a block and its shortcut, the projections of an attention)
lie operators that fall into components without a dependency between them. Layer by layer there is a barrier after each of them. Run
together, each component keeps its own order and barriers, and nothing holds one component for another but the units and ports that they
share: one's loads go on while another computes, vector work runs beside an array, and on several cores each component has cores of its own.

What one operator of a component makes for the next may stay on chip, if there is room for it beside the tiles of all components.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from math import ceil

from hwspecs.hardware import Hardware
from hwspecs.vocabulary.errors import InfeasibleError, UnsupportedError
from hwspecs.vocabulary.records import dataclass
from mappings.cores.joining import noc_of, shifted
from mappings.cores.splitter import built
from mappings.cores.view import cores_of
from mappings.dataflow import PORT, Alternative, Edge, MappedOperator, Segment, Stage
from mappings.groups import Group, Stretch, standing_for
from mappings.mapping import operator_mapper
from workloads.graph import Operator, Role, Tensor

MapOne = Callable[[Operator, Mapping[str, Tensor], Mapping[str, str]], MappedOperator]
SPAN = 48
"""Operators that a section may hold: what lies further apart is rarely ready at one time."""
INNER_ROLES = frozenset({Role.ACTIVATION, Role.GRADIENT, Role.STATE, Role.INDEX})


@dataclass(frozen=True, slots=True)
class Section:
    """Operators ``first`` to ``last`` of a block that fall into two or more components, each a list of indices in program order."""

    first: int
    last: int
    components: tuple[tuple[int, ...], ...]


def branches(stretch: Stretch) -> tuple[Group, ...]:
    """The parallel sections of a block, each with a few ways to run its components side by side.

    GPUs are left out: the kernels of one stream run one after the other.
    """
    if stretch.hardware.family == "gpu":
        return ()
    groups = []
    narrow: dict[int, MapOne] = {}
    for section in sections(stretch):
        ways = tuple(_ways(stretch, section, narrow))
        if ways:
            ranked = sorted(ways, key=lambda way: way.cycles_estimate)
            groups.append(Group(section.first, section.last, standing_for(stretch, section.first, section.last, "branches", ranked)))
    return tuple(groups)


def sections(stretch: Stretch) -> tuple[Section, ...]:
    """The longest stretches of operators that fall apart into components; of overlapping ones those that are new by half."""
    touched = [_touched(stretch, index) for index in range(len(stretch.block.operators))]
    working = [any(alternative.stages for alternative in item.alternatives[:1]) for item in stretch.block.operators]
    found: list[Section] = []
    reach = -1
    for first in range(len(touched)):
        if not working[first]:
            continue
        section = _from(first, touched, working)
        if section is not None and 2 * (section.last - max(reach, first - 1)) >= section.last - first + 1:
            found.append(section)
            reach = section.last
    return tuple(found)


def _touched(stretch: Stretch, index: int) -> tuple[frozenset[str], frozenset[str]]:
    """Storages that an operator reads and writes (tensors updated in place are one storage)."""
    tensors, item = stretch.block.tensors, stretch.block.operators[index]

    def root(name: str) -> str:
        seen = {name}
        while (tensor := tensors.get(name)) is not None and tensor.alias_of is not None and tensor.alias_of not in seen:
            name = tensor.alias_of
            seen.add(name)
        return name

    return frozenset(map(root, item.reads)), frozenset(map(root, item.writes))


def _from(first: int, touched: Sequence[tuple[frozenset[str], frozenset[str]]], working: Sequence[bool]) -> Section | None:
    """The longest section that starts with operator ``first``."""
    best: Section | None = None
    components: list[list[int]] = []
    for index in range(first, min(first + SPAN, len(touched))):
        if not working[index]:
            continue
        reads, writes = touched[index]

        def needs(
            other: int, reads: frozenset[str] = reads, writes: frozenset[str] = writes
        ) -> bool:  # two that write one storage, or one that writes what the other reads
            return bool(touched[other][1] & (reads | writes) or touched[other][0] & writes)

        joined = [component for component in components if any(needs(other) for other in component)]
        components = [component for component in components if component not in joined]
        components.append(sorted([*(member for component in joined for member in component), index]))
        if len(components) > 1:
            best = Section(first, index, tuple(tuple(component) for component in sorted(components)))
        elif index > first and best is not None:
            break  # a join: nothing that comes later is apart from it unless it is apart from all
    return best


def _ways(stretch: Stretch, section: Section, narrow: dict[int, MapOne]) -> Iterator[Alternative]:
    """Assignments of units to components, with what components hand on kept on chip and not.

    ``narrow``: number of components to what maps operators on a share of the on-chip memory, one for all sections.
    """
    hardware = stretch.hardware
    _, _, inner = stretch.border(section.first, section.last)
    keep = frozenset(name for name in inner if (tensor := stretch.block.tensors.get(name)) is not None and tensor.role in INNER_ROLES)
    items = {index: stretch.block.operators[index] for component in section.components for index in component}
    assignments = [("side by side", _best(section, items))]
    shared = _with_less_room(stretch, section, narrow)
    if shared is not None:
        assignments.append(("side by side in shares of the scratchpad", _best(section, shared)))
    if hardware.cores > 1:
        crowded = shared if shared is not None and len(section.components) > hardware.cores else items
        assignments.append(("each on its own cores", _on_own_cores(hardware, section, crowded)))
    seen: list[list[list[Alternative]]] = []
    for name, chosen in assignments:
        if chosen in seen:
            continue
        seen.append(chosen)
        fitting = _as_room_allows(stretch, section, chosen, keep)
        for kept in dict.fromkeys((fitting, frozenset[str]())):
            text = f"{len(chosen)} branches {name}" + (", handing on in the scratchpad" if kept else "")
            yield _together(text, stretch, section, chosen, kept)


def _as_room_allows(stretch: Stretch, section: Section, chosen: Sequence[Sequence[Alternative]], keep: frozenset[str]) -> frozenset[str]:
    """Of the tensors ``keep`` those that fit beside the tiles: the largest ones give way first."""
    chip = stretch.hardware.on_chip
    room = chip.size_bytes if chip is not None else 0
    left = sorted(keep, key=lambda name: (stretch.block.tensors[name].stored_bytes, name))
    while left and _working_set(stretch, section, chosen, frozenset(left)) > room:
        left.pop()
    return frozenset(left)


def _best(section: Section, items: Mapping[int, MappedOperator]) -> list[list[Alternative]]:
    """Per component the first alternative of each member."""
    return [[items[index].alternatives[0] for index in component] for component in section.components]


def _with_less_room(stretch: Stretch, section: Section, narrow: dict[int, MapOne]) -> dict[int, MappedOperator] | None:
    """The section's operators mapped anew, as if the on-chip memory were an equal share for each component; None where they do not fit."""
    hardware = stretch.hardware
    chip, parts = hardware.on_chip, len(section.components)
    if chip is None:
        return None
    if parts not in narrow:
        size = chip.size_bytes // (parts * hardware.cores) * hardware.cores
        partitions = {name: whole // (parts * hardware.cores) * hardware.cores for name, whole in chip.partitions.items()}
        smaller = replace(chip, size_bytes=sum(partitions.values()) if partitions else size, partitions=partitions)
        narrow[parts] = operator_mapper(replace(hardware, memories={**hardware.memories, chip.name: smaller}))
    members = [index for component in section.components for index in component]
    try:
        return {index: narrow[parts](stretch.operators[index], stretch.tensors, stretch.roots) for index in members}
    except (InfeasibleError, UnsupportedError):
        return None


def _on_own_cores(hardware: Hardware, section: Section, items: Mapping[int, MappedOperator]) -> list[list[Alternative]]:
    """Cores dealt out to components by their work; where there are more components than cores, the longest first to the idlest core."""
    noc = noc_of(hardware)
    work = [sum(min(one.cycles_estimate for one in items[index].alternatives) for index in component) for component in section.components]
    bases, widths = dealt(work, hardware.cores)
    picked = []
    for component, base, width in zip(section.components, bases, widths, strict=True):
        row = []
        for index in component:
            options = [one for one in items[index].alternatives if len(cores_of(one)) <= width]
            row.append(shifted(built(min(options, key=lambda one: one.cycles_estimate)), base, noc))
        picked.append(row)
    return picked


def dealt(work: Sequence[int], cores: int) -> tuple[list[int], list[int]]:
    """(first core, number of cores) of each component, given its work.

    With fewer components than cores, each further core goes to the component with most work per core; else each component has one core.
    """
    if len(work) <= cores:
        widths = [1] * len(work)
        for _ in range(cores - len(work)):
            widths[max(range(len(work)), key=lambda place: work[place] / widths[place])] += 1
        return [sum(widths[:place]) for place in range(len(work))], widths
    load = [0] * cores
    bases = [0] * len(work)
    for place in sorted(range(len(work)), key=lambda number: -work[number]):
        bases[place] = min(range(cores), key=lambda core: load[core])
        load[bases[place]] += work[place]
    return bases, [1] * len(work)


def _together(
    name: str, stretch: Stretch, section: Section, chosen: Sequence[Sequence[Alternative]], kept: AbstractSet[str]
) -> Alternative:
    """One graph of all components: barriers within each, none between them; members of equal place next to each other in program order."""
    hardware = stretch.hardware
    rows: list[tuple[int, int, int, Stage]] = []
    edges: list[Edge] = []
    actions: dict[str, float] = {}
    for number, (component, members) in enumerate(zip(section.components, chosen, strict=True)):
        before: Sequence[str] = ()
        for place, (index, alternative) in enumerate(zip(component, members, strict=True)):
            prefix = f"{stretch.block.operators[index].operator}/"
            moved: dict[str, float] = {}
            stages = [_own_stage(stage, prefix, kept, hardware, moved) for stage in alternative.stages]
            rows.extend((place, position, number, stage) for position, stage in enumerate(stages))
            edges.extend(replace(edge, source=prefix + edge.source, target=prefix + edge.target) for edge in alternative.edges)
            first, last = _ends(alternative)
            edges.extend(Edge(source, prefix + target, 0, 0, 0, 0) for source in before for target in first)
            before = [prefix + stage for stage in last] or before
            for part in (alternative.actions, moved):
                for action, count in part.items():
                    actions[action] = actions.get(action, 0.0) + count
    rows.sort(key=lambda row: row[:3])
    stages_in_order = tuple(row[3] for row in rows)
    breakdown = _breakdown(stages_in_order, hardware)
    notes = tuple(dict.fromkeys(note for members in chosen for one in members for note in one.notes))
    return Alternative(
        name,
        stages_in_order,
        tuple(edges),
        _working_set(stretch, section, chosen, kept),
        max(breakdown.values(), default=0),
        actions,
        breakdown,
        notes,
        sum(max(one.queues for one in members) for members in chosen),
    )


def _own_stage(stage: Stage, prefix: str, kept: AbstractSet[str], hardware: Hardware, moved: dict[str, float]) -> Stage:
    """A member's stage under a name of its own, without the off-chip transfers of what stays on chip (counted in ``moved``)."""
    work: Mapping[str, int] | None = stage.work
    if stage.name == "launch" and work is None:
        work = {"launch": stage.cycles}
    chip = hardware.on_chip
    if chip is None or not any(move.tensor in kept for segment in stage.segments for move in segment.transfers):
        return Stage(prefix + stage.name, stage.unit, stage.segments, stage.overlap, work)
    dram = hardware.dram.name
    segments = []
    for segment in stage.segments:
        stay = [move for move in segment.transfers if move.tensor in kept and dram in (move.source, move.target)]
        left = tuple(move for move in segment.transfers if move not in stay)
        for move in stay:
            action = f"{chip.name}.{'read' if move.source == dram else 'write'}.byte"
            moved[action] = moved.get(action, 0.0) + segment.repeat * move.bytes
        latency = 0 if stay and not left and stage.unit.startswith(PORT) else segment.cycles
        segments.append(Segment(segment.repeat, latency, left))
    return Stage(prefix + stage.name, stage.unit, tuple(segments), stage.overlap, work)


def _ends(alternative: Alternative) -> tuple[list[str], list[str]]:
    """(stages that wait for no other, stages that no other waits for): barriers between those hold all others."""
    fed = {edge.target for edge in alternative.edges if edge.initial < edge.consumed or not edge.consumed}
    feeding = {edge.source for edge in alternative.edges if edge.initial < edge.consumed or not edge.consumed}
    names = [stage.name for stage in alternative.stages if stage.firings]
    return [name for name in names if name not in fed], [name for name in names if name not in feeding]


def _working_set(stretch: Stretch, section: Section, chosen: Sequence[Sequence[Alternative]], kept: AbstractSet[str]) -> int:
    """What the neediest core holds of all components that run on it, times the cores, and what components hand on inside the chip."""
    cores = stretch.hardware.cores
    tiles = [0] * cores
    inner = 0
    for component, members in zip(section.components, chosen, strict=True):
        need = [0] * cores
        for one in members:
            for core in cores_of(one) if cores > 1 else (0,):
                need[core] = max(need[core], -(-one.working_set_bytes // cores))
        tiles = [sum(pair) for pair in zip(tiles, need, strict=True)]
        inner += max(_live(stretch, component, place, kept) for place in range(len(component)))
    return cores * max(tiles) + inner


def _live(stretch: Stretch, component: Sequence[int], place: int, kept: AbstractSet[str]) -> int:
    """Bytes of kept tensors that lie on chip while a component's member ``place`` runs."""
    operators = stretch.block.operators
    made = {name for index in component[: place + 1] for name in operators[index].writes} & kept
    used = {name for index in component[place:] for name in operators[index].reads} | set(operators[component[place]].writes)
    return sum(stretch.block.tensors[name].stored_bytes for name in made & used)


def _breakdown(stages: Sequence[Stage], hardware: Hardware) -> dict[str, int]:
    """Busy cycles by resource; the memory's at its achieved bandwidth."""
    busy: dict[str, int] = {}
    moved = 0
    for stage in stages:
        if not stage.unit.startswith(PORT):
            busy[stage.unit] = busy.get(stage.unit, 0) + stage.cycles
        moved += sum(segment.repeat * move.bytes for segment in stage.segments for move in segment.transfers)
    rate = hardware.dram.achieved_bandwidth(float("inf")) / hardware.clock_hz
    busy[f"memory {hardware.dram.name}"] = ceil(moved / rate)
    return busy
