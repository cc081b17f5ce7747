"""The search that plays: of an operator's alternatives, and of groups of operators, the one that the engine runs fastest.

A mapper ranks its alternatives by an estimate, which does not see every stall. Here each kept alternative is played, and each group of
operators (a fused chain, branches side by side: ``mappings.groups``) against its members one by one. Alternatives and groups are taken
only where the whole plan with them is played to be faster, so the result is never slower than layer by layer as the mapper ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from hwspecs.hardware import Hardware
from hwspecs.vocabulary.errors import ArgumentError, InfeasibleError
from hwspecs.vocabulary.records import dataclass
from ilp.rounds import rounds
from ilp.schedule import BlockSchedule, Schedule
from ilp.trivial import trivial_schedule
from mappings.branches import branches
from mappings.chains import chains
from mappings.dataflow import Alternative, MappedBlock, MappedGraph, MappedOperator
from mappings.groups import Group, Stretch, stretches, with_groups
from simulator.lowering import Lowering
from simulator.play import play
from simulator.ports import Ports
from simulator.program import NOTHING, build_program, play_program
from simulator.roofline import graph_seconds

Chosen = dict[int, tuple[Group, ...]]
Kept = tuple[AbstractSet[str], AbstractSet[str]]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to.

    Attributes:
        mapped: alternatives in the order of their played cycles, taken groups in place of their members.
        schedule: of ``mapped``; ``cycles``: what it was played to take.
        layer_by_layer_cycles: the same without groups.
    """

    mapped: MappedGraph
    schedule: Schedule
    cycles: int
    layer_by_layer_cycles: int


def search(mapped: MappedGraph, *, fidelity: str = "tile") -> Found:
    """Play alternatives and groups of ``mapped``, and take what is fastest.

    Args:
        fidelity: ``tile`` or ``cycle``: the rung on which candidates are played (``roofline`` plays as ``tile``).

    Raises:
        ArgumentError: no such fidelity. InfeasibleError: an operator has no alternative that fits.
    """
    if fidelity not in ("roofline", "tile", "cycle"):
        raise ArgumentError(f"unknown fidelity {fidelity!r}", hint="use one of roofline, tile, cycle")
    found = _Search(mapped.hardware, fidelity == "cycle").run(mapped)
    return _on_fewer_cores(mapped, found, fidelity == "cycle") if mapped.hardware.cores > 1 else found


def _on_fewer_cores(mapped: MappedGraph, found: Found, banked: bool) -> Found:
    """The best of ``found`` and of the plans of half as many cores, a quarter, ... one: with more cores no plan is lost."""
    from mappings.cores import on_more_cores, with_cores
    from mappings.mapping import map_graph

    hardware = mapped.hardware
    cores = hardware.cores // 2
    while cores:
        narrow = with_cores(hardware, cores)
        work = max(graph_seconds(replace(mapped, hardware=narrow), 0).values(), default=0.0)
        if work * hardware.clock_hz >= found.cycles:
            break  # fewer cores need longer for the arithmetic alone
        other = _Search(narrow, banked).run(map_graph(mapped.graph, narrow))
        if other.cycles < found.cycles:
            wide = on_more_cores(other.mapped, hardware)
            note = f"{cores} of {hardware.cores} cores run everything: {other.cycles} cycles, with all of them {found.cycles}"
            schedule = replace(other.schedule, capacity_bytes=other.schedule.capacity_bytes // cores * hardware.cores)
            layers = min(other.layer_by_layer_cycles, found.layer_by_layer_cycles)
            found = Found(replace(wide, notes=(*wide.notes, note)), schedule, other.cycles, layers)
        cores //= 2
    return found


class _Search:
    def __init__(self, hardware: Hardware, banked: bool) -> None:
        self.hardware = hardware
        self.ports = Ports(hardware) if banked else None
        self.lowering = Lowering(hardware, self.ports)
        self.capacity = hardware.on_chip.size_bytes if hardware.on_chip is not None else None

    def run(self, mapped: MappedGraph) -> Found:
        """See ``search``."""
        given = self._played(mapped)
        ranked = self._ranked(mapped, given[0])
        schedule, alone, total = self._played(ranked)
        if given[2] < total:
            ranked, (schedule, alone, total) = mapped, given
        offered: list[list[tuple[int, Group]]] = []
        for stretch, cycles, plan in zip(stretches(ranked), alone, schedule.blocks, strict=True):
            fused = chains(stretch) if self.hardware.cores == 1 else ()  # chains of several cores: on one of them, see ``_on_fewer_cores``
            groups = [group for group in (*fused, *self._beside(stretch, ranked)) if self._fitting(group.mapped)]
            best = self._best([group.mapped for group in groups], [_kept(group, stretch.block, plan) for group in groups])
            row = []
            for group, (item, spent) in zip(groups, best, strict=True):
                gain = sum(cycles[group.first : group.last + 1]) - stretch.block.count * spent
                if gain > 0:
                    row.append((gain, replace(group, mapped=item)))
            offered.append(row)
        chosen = {number: _most_gain(row) for number, row in enumerate(offered) if row}
        if not chosen:
            return Found(ranked, schedule, total, total)
        grouped = with_groups(ranked, chosen)
        whole, _, spent = self._played(grouped)
        if spent < total:
            return Found(_noted(grouped, chosen, spent, total), whole, spent, total)
        return self._one_by_one(ranked, chosen, schedule, total)

    def _beside(self, stretch: Stretch, mapped: MappedGraph) -> tuple[Group, ...]:
        """Operators side by side: branches, or on crossbars layers that have arrays of their own."""
        if mapped.in_memory is None:
            return branches(stretch)
        from mappings.crossbar.pipeline import pipelines  # other hardware never loads the family

        return pipelines(stretch, mapped.in_memory)

    def _one_by_one(self, ranked: MappedGraph, wanted: Chosen, schedule: Schedule, total: int) -> Found:
        """All groups together lose (kept tensors had to give way, say): take them singly, each only if the whole plan gets faster."""
        chosen: Chosen = {}
        best = Found(ranked, schedule, total, total)
        for number, groups in wanted.items():
            for group in groups:
                trial = {**chosen, number: (*chosen.get(number, ()), group)}
                grouped = with_groups(ranked, trial)
                plan, _, spent = self._played(grouped)
                if spent < best.cycles:
                    chosen = trial
                    best = Found(grouped, plan, spent, total)
        return replace(best, mapped=_noted(best.mapped, chosen, best.cycles, total)) if chosen else best

    def _played(self, mapped: MappedGraph) -> tuple[Schedule, list[list[int]], int]:
        """(trivial schedule, cycles of each operator over all rounds by block, all cycles)."""
        schedule = trivial_schedule(mapped)
        program = build_program(mapped, schedule, self.ports)
        total, timings = play_program(program)
        cycles = [
            [
                sum(count * spent for (count, _), spent in zip(step.turns, timing.by_turn, strict=True))
                for step, timing in zip(steps, row, strict=True)
            ]
            for steps, row in zip(program, timings, strict=True)
        ]
        return schedule, cycles, total

    def _fits(self, alternative: Alternative) -> bool:
        return self.capacity is None or alternative.working_set_bytes <= self.capacity

    def _fitting(self, item: MappedOperator) -> bool:
        return any(self._fits(alternative) for alternative in item.alternatives)

    def _ranked(self, mapped: MappedGraph, schedule: Schedule) -> MappedGraph:
        """``mapped`` with each operator's fitting alternatives in the order of their played cycles, kept tensors as in ``schedule``."""
        places = []
        several: list[MappedOperator] = []
        kept: list[Kept] = []
        for number, (block, plan) in enumerate(zip(mapped.blocks, schedule.blocks, strict=True)):
            turn = max(rounds(block, plan), key=lambda turn: turn.count)
            for index, item in enumerate(block.operators):
                if len(item.alternatives) > 1:
                    places.append((number, index))
                    several.append(item)
                    kept.append((turn.kept_reads.get(index, NOTHING), turn.kept_writes.get(index, NOTHING)))
        operators = [list(block.operators) for block in mapped.blocks]
        for (number, index), (better, _) in zip(places, self._best(several, kept), strict=True):
            operators[number][index] = better
        blocks = tuple(replace(block, operators=tuple(row)) for block, row in zip(mapped.blocks, operators, strict=True))
        return replace(mapped, blocks=blocks)

    def _best(self, items: Sequence[MappedOperator], kept: Sequence[Kept] = ()) -> list[tuple[MappedOperator, int]]:
        """Each operator with its alternatives in the order of their cycles, and the least of them; ``kept``: what need not be moved.

        Alternatives that do not fit come last in the order that they had.
        """
        flows, names = [], []
        for item, (reads, writes) in zip(items, kept or [(NOTHING, NOTHING)] * len(items), strict=True):
            for alternative in item.alternatives:
                if self._fits(alternative):
                    flows.append(self.lowering.lower(item.operator, alternative, reads, writes).flow)
                    names.append(item.operator)
        played = iter(play(flows, names) if flows else [])
        best = []
        for item in items:
            spent = [next(played).cycles if self._fits(alternative) else None for alternative in item.alternatives]
            order = sorted(range(len(spent)), key=lambda place: (spent[place] is None, spent[place] or 0, place))
            least = spent[order[0]]
            if least is None:
                raise InfeasibleError("no mapping fits the on-chip memory", where=item.operator, hint="use a larger on-chip memory")
            best.append((replace(item, alternatives=tuple(item.alternatives[place] for place in order)), least))
        return best


def _kept(group: Group, block: MappedBlock, plan: BlockSchedule) -> Kept:
    """Tensors that a group need not load or store if what is kept layer by layer stays kept."""
    turn = max(rounds(block, plan), key=lambda turn: turn.count)
    reads, writes = set(group.mapped.reads), set[str]()
    for index in range(group.first, group.last + 1):
        reads -= block.operators[index].reads.keys() - turn.kept_reads.get(index, NOTHING)
        writes |= turn.kept_writes.get(index, NOTHING) & group.mapped.writes.keys()
    return reads, writes


def _most_gain(offered: list[tuple[int, Group]]) -> tuple[Group, ...]:
    """The disjoint groups of the largest gain together (weighted interval scheduling, by the groups' last operators)."""
    best: list[tuple[int, tuple[Group, ...]]] = [(0, ())]
    for end in range(max(group.last for _, group in offered) + 1):
        value, taken = best[-1]
        for gain, group in offered:
            if group.last == end and best[group.first][0] + gain > value:
                value, taken = best[group.first][0] + gain, (*best[group.first][1], group)
        best.append((value, taken))
    return best[-1][1]


def _noted(mapped: MappedGraph, chosen: Chosen, cycles: int, alone: int) -> MappedGraph:
    count = sum(len(groups) for groups in chosen.values())
    what = f"{count} group{'s' if count != 1 else ''} of operators run together"
    return replace(mapped, notes=(*mapped.notes, f"{what}: {cycles} cycles in place of {alone} layer by layer"))
