"""The program that a schedule makes of a mapped graph: lowered operators in order, by block and round, and when each of them runs.

Between operators there is a barrier, and between rounds of a block too. A round's course therefore does not depend on what ran
before it (all units and ports are free, all buffers in their initial state), so equal rounds take equal time: each distinct round is
played once and multiplied, and within it equal operators with equal kept sets are played once. This is exact, not an approximation;
``unfolded`` plays every round of every operator in one graph instead, and must give the same cycles.
"""

from __future__ import annotations

from hwspecs.vocabulary.errors import ContractError
from hwspecs.vocabulary.records import dataclass
from ilp.parts import without_parts
from ilp.rounds import rounds
from ilp.schedule import Schedule
from mappings.dataflow import Alternative, MappedGraph, MappedOperator, PlannedLater
from simulator.lowering import Flow, Lowered, Lowering, chain
from simulator.play import Played, play
from simulator.ports import Ports

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Step:
    """One operator of a block.

    Attributes:
        block, index: place in the mapped graph.
        turns: (rounds, lowered) for each distinct round of the block, in order.
        trimmed: the chosen alternative less parts of loads that the schedule keeps; None: nothing of the kind.
    """

    block: int
    index: int
    item: MappedOperator
    pick: int
    turns: tuple[tuple[int, Lowered], ...]
    trimmed: Alternative | None = None

    @property
    def alternative(self) -> Alternative:
        """The chosen alternative, as it is played."""
        return self.trimmed or self.item.alternatives[self.pick]

    @property
    def repeated(self) -> Alternative:
        """The alternative that the chosen one repeats, or the chosen one itself."""
        chosen = self.alternative
        return chosen.pattern[0] if isinstance(chosen, PlannedLater) and chosen.pattern is not None else chosen

    @property
    def count(self) -> int:
        """All rounds."""
        return sum(count for count, _ in self.turns)


@dataclass(frozen=True, slots=True)
class Timing:
    """When a step ran: cycles of its start in the first round, of each distinct round, and how its stages ran in the first one."""

    start: int
    by_turn: tuple[int, ...]
    flow: Flow
    first_start: tuple[int, ...]
    last_end: tuple[int, ...]


def build_program(mapped: MappedGraph, schedule: Schedule, ports: Ports | None = None) -> list[list[Step]]:
    """Steps of each block in schedule order, lowered once per distinct alternative and kept set; with ``ports`` for the cycle rung.

    Raises:
        ContractError: schedule and graph do not match, or an alternative is not playable.
    """
    if len(schedule.blocks) != len(mapped.blocks):
        raise ContractError(f"the schedule plans {len(schedule.blocks)} blocks of {len(mapped.blocks)}", where=mapped.graph.name)
    lowering = Lowering(mapped.hardware, ports)
    done: dict[tuple[int, frozenset[str], frozenset[str]], Lowered] = {}
    program = []
    for number, (block, plan) in enumerate(zip(mapped.blocks, schedule.blocks, strict=True)):
        if sorted(plan.order) != list(range(len(block.operators))) or len(plan.alternatives) != len(block.operators):
            raise ContractError("the schedule does not run each operator once", where=block.name)
        turns = rounds(block, plan)
        parts: dict[int, list[tuple[str, int]]] = {}
        for index, tensor, nbytes in plan.kept_parts:
            parts.setdefault(index, []).append((tensor, nbytes))
        steps = []
        for index in plan.order:
            item, pick = block.operators[index], plan.alternatives[index]
            alternative, trimmed = item.alternatives[pick], None
            if index in parts:
                alternative = trimmed = without_parts(alternative, parts[index], lowering.off_chip.keys())
            lowered = []
            for turn in turns:
                same, reads, writes = _pattern(alternative, turn.kept_reads.get(index, NOTHING), turn.kept_writes.get(index, NOTHING))
                key = (id(same), reads, writes)
                found = done.get(key)
                if found is None:
                    found = done[key] = lowering.lower(item.operator, same, reads, writes)
                lowered.append((turn.count, found))
            steps.append(Step(number, index, item, pick, tuple(lowered), trimmed))
        program.append(steps)
    return program


def _pattern(alternative: Alternative, reads: frozenset[str], writes: frozenset[str]) -> tuple[Alternative, frozenset[str], frozenset[str]]:
    """The alternative that ``alternative`` repeats, if it was handed from an equal operator, and the kept sets by that one's names."""
    repeated = alternative.pattern if isinstance(alternative, PlannedLater) else None
    if repeated is None:
        return alternative, reads, writes
    same, names = repeated
    if not reads and not writes:
        return same, reads, writes
    own = frozenset(names.values())
    kept_reads, kept_writes = (
        frozenset([*(old for old, new in names.items() if new in part), *(part - own)]) if part else part for part in (reads, writes)
    )
    return same, kept_reads, kept_writes


def play_program(program: list[list[Step]]) -> tuple[int, list[list[Timing]]]:
    """Total cycles, and the timing of each step; equal flows are played once.

    Raises:
        InfeasibleError: an operator is deadlocked.
    """
    numbers: dict[object, int] = {}
    place: dict[int, int] = {}
    flows: list[Flow] = []
    names: list[str] = []
    for steps in program:
        for step in steps:
            for _, lowered in step.turns:
                if id(lowered) in place:
                    continue
                place[id(lowered)] = number = numbers.setdefault(lowered.flow.key, len(flows))
                if number == len(flows):
                    flows.append(lowered.flow)
                    names.append(step.item.operator)
    played = play(flows, names) if flows else []
    now = 0
    timings = []
    for steps in program:
        row = []
        start = now
        for step in steps:
            outcomes = [played[place[id(lowered)]] for _, lowered in step.turns]
            by_turn = tuple(outcome.cycles for outcome in outcomes)
            row.append(_timing(step, start, by_turn, outcomes))
            start += by_turn[0] if by_turn else 0
            now += sum(count * cycles for (count, _), cycles in zip(step.turns, by_turn, strict=True))
        timings.append(row)
    return now, timings


def _timing(step: Step, start: int, by_turn: tuple[int, ...], outcomes: list[Played]) -> Timing:
    if not outcomes:
        return Timing(start, (), Flow((), (), (), ()), (), ())
    first = outcomes[0]
    return Timing(start, by_turn, step.turns[0][1].flow, first.first_start, first.last_end)


def play_unfolded(program: list[list[Step]]) -> tuple[int, list[list[Timing]]]:
    """The same as ``play_program``, from one graph that holds every operator of every round.

    Raises:
        InfeasibleError: the graph is deadlocked.
        ContractError: equal rounds took unequal time (they cannot).
    """
    runs: list[tuple[int, int, int]] = []
    flows: list[Flow] = []
    for number, steps in enumerate(program):
        turns = [count for count, _ in steps[0].turns] if steps else []
        for turn, count in enumerate(turns):
            for _ in range(count):
                for place, step in enumerate(steps):
                    runs.append((number, place, turn))
                    flows.append(step.turns[turn][1].flow)
    whole = chain(flows)
    outcome = play([whole], ["the unfolded program"])[0]
    durations: dict[tuple[int, int, int], int] = {}
    firsts: dict[tuple[int, int], tuple[int, tuple[int, ...], tuple[int, ...]]] = {}
    now = stage = 0
    for (number, place, turn), flow in zip(runs, flows, strict=True):
        fired = len(flow.names) if flow.firings else 0
        starts, ends = outcome.first_start[stage : stage + fired], outcome.last_end[stage : stage + fired]
        stage += fired
        end = max((now, *(last for first, last in zip(starts, ends, strict=True) if first >= 0)))
        if durations.setdefault((number, place, turn), end - now) != end - now:
            raise ContractError("equal rounds took unequal time", where=program[number][place].item.operator)
        if (number, place) not in firsts:
            shifted = tuple(first - now if first >= 0 else -1 for first in starts)
            lasts = tuple(last - now if first >= 0 else 0 for first, last in zip(starts, ends, strict=True))
            empty = len(flow.names) - fired
            firsts[number, place] = (now, shifted + (-1,) * empty, lasts + (0,) * empty)
        now = end
    timings = []
    for number, steps in enumerate(program):
        row = []
        for place, step in enumerate(steps):
            by_turn = tuple(durations[number, place, turn] for turn in range(len(step.turns)))
            start, shifted, lasts = firsts.get((number, place), (0, (), ()))
            row.append(Timing(start, by_turn, step.turns[0][1].flow if step.turns else Flow((), (), (), ()), shifted, lasts))
        timings.append(row)
    return outcome.cycles, timings
