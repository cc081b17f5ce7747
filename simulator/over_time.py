"""Over time: multiply-accumulates, off-chip bytes and bytes held on chip, in pieces of the run.

Each operator's first round is cut into pieces: at every start and end of a firing where those are few, else into equal lengths. An amount
is spread evenly over the firing that it belongs to. All other rounds of a folded block are one piece, with what is left of their amounts.
Pieces follow each other without a gap and amounts are whole numbers, so the sum over the pieces is the total of the result, exactly.

* Multiply-accumulates belong to the firings of the operator's unit, in proportion to the cycles of their arithmetic. Filling, draining and
  idle elements inside a firing are thus spread over it.
* Off-chip bytes belong to the time for which their firing holds the memory's port.
* Bytes held on chip are a mean over the piece: the schedule's residencies; loaded tiles, from the start of their load until the last firing
  that they feed has ended; results, from the start of the firing that makes them until their store has ended. A kernel whose firings
  load and store by themselves says nothing about its tiles: its working set counts for as long as it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ilp.rounds import rounds
from ilp.schedule import Schedule
from mappings.dataflow import MappedGraph, MappedOperator
from simulator.held import held_bytes
from simulator.lowering import LAUNCH, Flow
from simulator.memory import live_on_chip
from simulator.program import NOTHING, Step, Timing
from simulator.recorded import Kept, Occupation, Recorded, occupations, record
from simulator.roofline import roofs
from simulator.time_parts import PARTS, parts_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

PIECES = 4_000
"""Pieces of a whole run, shared out evenly among its operators: at least ``FEWEST``, at most ``MOST`` each."""
FEWEST, MOST = 8, 200
EDGES = "cycles"
"""Key of the borders of the pieces, one more than there are pieces; all other columns have one number per piece."""
HELD = "held:"
Columns = Mapping[str, tuple[int, ...]]


class Later(Mapping[str, tuple[int, ...]]):
    """Columns that are computed when someone first looks at them; they compare, copy and pickle as the plain mapping."""

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], Columns]) -> None:
        self._make: Callable[[], Columns] | None = make
        self._made: Columns = {}

    def _columns(self) -> Columns:
        if self._make is not None:
            self._made = self._make()
            self._make = None
        return self._made

    def __getitem__(self, key: str) -> tuple[int, ...]:
        return self._columns()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns())

    def __len__(self) -> int:
        return len(self._columns())

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[type, tuple[dict[str, tuple[int, ...]]]]:
        return dict, (dict(self),)


@dataclass(slots=True)
class Course:
    """A played program, to be looked at over time; flows are recorded once, on the first look."""

    mapped: MappedGraph
    schedule: Schedule
    program: list[list[Step]]
    timings: list[list[Timing]]
    cycles: int
    _plays: dict[object, Recorded] = field(default_factory=dict)
    _roofs: dict[str, float] = field(default_factory=dict)

    def time_parts(self) -> Columns:
        """What the cycles of each operator's rounds went into: part (``PARTS``) to cycles by operator, in program order."""
        table: list[tuple[int, ...]] = []
        for step, timing, kepts in self._steps():
            total = [0] * len(PARTS)
            for (count, lowered), spent, kept in zip(step.turns, timing.by_turn, kepts, strict=True):
                work = occupations(lowered.flow, step.alternative, kept, self.off_chip)
                played = self.play(lowered.flow)
                for number, cycles in enumerate(parts_of(lowered.flow, played, work, spent)):
                    total[number] += count * cycles
            table.append(tuple(total))
        return {part: tuple(row[number] for row in table) for number, part in enumerate(PARTS)}

    def columns(self) -> Columns:
        """The columns of the module's head: ``cycles`` (borders), ``compute:<unit>:<format>`` and other roofs that multiply-accumulates
        run under, ``memory:<name>:read`` and ``memory:<name>:written`` (bytes), ``held:<name>`` (bytes).
        """
        import numpy as np

        shown = sum(timing.by_turn[0] > 0 for times in self.timings for timing in times if timing.by_turn)
        most = min(MOST, max(FEWEST, PIECES // max(1, shown)))
        held = live_on_chip(self.mapped, self.schedule)
        table = _Table()
        all_steps = self._steps()
        for number, (steps, times) in enumerate(zip(self.program, self.timings, strict=True)):
            before = len(table.groups)
            rest: dict[str, int] = {}
            end = table.end
            for step, timing, kepts in (next(all_steps) for _ in steps):
                if not step.turns:
                    continue
                one = _Operator(self, step, timing, kepts[0], held[step.block][step.index] - step.alternative.working_set_bytes)
                first = one.totals()
                for key, amount in self._totals(step).items():
                    rest[key] = rest.get(key, 0) + amount - first.get(key, 0)
                table.add(timing.start, timing.start + timing.by_turn[0], *one.pieces(most, first))
                end = timing.start + timing.by_turn[0]
            following = next((row[0].start for row in self.timings[number + 1 :] if row), self.cycles)
            if times and following > end:
                table.fold(end, following, rest, before)
        if not table.groups:
            return {}
        edges = np.concatenate([[0], *(group[0][1:] for group in table.groups)])
        keys = dict.fromkeys(key for _, columns in table.groups for key in columns)
        whole = {
            key: np.concatenate([columns[key] if key in columns else np.zeros(len(marks) - 1, np.int64) for marks, columns in table.groups])
            for key in sorted(keys)
        }
        return {EDGES: tuple(edges.tolist()), **{key: tuple(values.tolist()) for key, values in whole.items()}}

    @property
    def off_chip(self) -> frozenset[str]:
        """Names of the off-chip memories."""
        return frozenset(name for name, memory in self.mapped.hardware.memories.items() if memory.off_chip)

    def _steps(self) -> Iterator[tuple[Step, Timing, list[Kept]]]:
        """Steps with their timings and, for each distinct round, what is kept on chip."""
        for block, plan, steps, times in zip(self.mapped.blocks, self.schedule.blocks, self.program, self.timings, strict=True):
            turns = rounds(block, plan)
            for step, timing in zip(steps, times, strict=True):
                yield step, timing, [(t.kept_reads.get(step.index, NOTHING), t.kept_writes.get(step.index, NOTHING)) for t in turns]

    def play(self, flow: Flow) -> Recorded:
        """The flow's firings."""
        if not self._plays:
            flows: dict[object, tuple[Flow, Timing, str]] = {}
            steps = [pair for steps, times in zip(self.program, self.timings, strict=True) for pair in zip(steps, times, strict=True)]
            for turns in (slice(1), slice(1, None)):  # a timing tells how the first round's flow ran
                for step, timing in steps:
                    for _, lowered in step.turns[turns]:
                        flows.setdefault(lowered.flow.key, (lowered.flow, timing, step.item.operator))
            played = record([(found, at) for found, at, _ in flows.values()], [name for _, _, name in flows.values()])
            self._plays = dict(zip(flows, played, strict=True))
        return self._plays[flow.key]

    def _totals(self, step: Step) -> dict[str, int]:
        """Amounts of all rounds by column."""
        total: dict[str, int] = {}
        for count, lowered in step.turns:
            for way, moved in (("read", lowered.read_bytes), ("written", lowered.written_bytes)):
                for memory, nbytes in moved.items():
                    key = f"memory:{memory}:{way}"
                    total[key] = total.get(key, 0) + count * nbytes
        for key, macs in self.macs(step.item).items():
            total[key] = total.get(key, 0) + step.count * macs
        return total

    def macs(self, item: MappedOperator) -> dict[str, int]:
        """Executed multiply-accumulates of one round by the dense roof that they run under."""
        found: dict[str, int] = {}
        for part in item.members or (item,):
            if part.members:
                found.update({key: found.get(key, 0) + macs for key, macs in self.macs(part).items()})
            elif part.executed_macs:
                self._roofs = self._roofs or roofs(self.mapped.hardware)
                key = _roof(part, self._roofs)
                found[key] = found.get(key, 0) + part.executed_macs
        total = sum(found.values())
        if total and total != item.executed_macs:  # a group that recomputes halo, or in which another dataflow skips fewer zeros
            found = {key: macs * item.executed_macs // total for key, macs in found.items()}
            found[max(found, key=lambda key: found[key])] += item.executed_macs - sum(found.values())
        return found


def _roof(item: MappedOperator, known: Mapping[str, float]) -> str:
    """The roof that an operator's multiply-accumulates are measured against: dense, in its format; else what its unit has."""
    unit, form = item.unit, item.compute_format
    for key in (f"compute:{unit}:{form}", f"compute:{unit}:{form}@{item.pattern}", f"vector:{unit}:{form}"):
        if key in known:
            return key
    vectors = [key for key in known if key.startswith(f"vector:{unit}:")]
    return max(vectors, key=lambda key: known[key]) if vectors else f"compute:{unit}:{form}"


@dataclass(slots=True)
class _Operator:
    """One operator's first round."""

    course: Course
    step: Step
    timing: Timing
    kept: Kept
    resident_bytes: int

    @property
    def flow(self) -> Flow:
        return self.step.turns[0][1].flow

    def totals(self) -> dict[str, int]:
        """Amounts of this round by column."""
        lowered = self.step.turns[0][1]
        found = {f"memory:{memory}:read": nbytes for memory, nbytes in lowered.read_bytes.items()}
        found.update({f"memory:{memory}:written": nbytes for memory, nbytes in lowered.written_bytes.items()})
        return {**found, **self.course.macs(self.step.item)}

    def pieces(self, most: int, totals: Mapping[str, int]) -> tuple[Ints, dict[str, Any]]:
        """Borders from 0 to the operator's cycles, and columns: amounts, or amounts alone where it takes no time."""
        import numpy as np

        cycles = self.timing.by_turn[0]
        if not cycles:
            return np.zeros(1, np.int64), dict(totals)
        played = self.course.play(self.flow)
        work = occupations(self.flow, self.step.alternative, self.kept, self.course.off_chip)
        edges = _edges(played, work, cycles, most)
        columns: dict[str, Any] = {}
        for key, total in totals.items():
            kind, name, way = key.split(":", 2)
            curve = _moved(played, work, (name, way), edges) if kind == "memory" else self._computed(played, work, name, edges)
            columns[key] = _whole(curve, total, edges)
        on_chip = self.course.mapped.hardware.on_chip
        if on_chip is not None:
            for memory, level in held_bytes(
                self.flow, self.step.alternative, self.kept, played, self.course.off_chip, on_chip.name, edges
            ).items():
                resident = self.resident_bytes if memory == on_chip.name else 0
                columns[HELD + memory] = np.rint(level).astype(np.int64) + resident
        return edges, columns

    def _computed(self, played: Recorded, work: list[Occupation], unit: str, edges: Ints) -> Floats:
        """Cycles of arithmetic of a unit up to each border."""
        import numpy as np

        curve = np.zeros(len(edges))
        for stage, fired, one in zip(self.step.alternative.stages, played.stages, work, strict=True):
            # On several cores each copy of the unit is a resource of its own: array.0, array.1, ...
            own = stage.unit == unit or (stage.unit.startswith(f"{unit}.") and stage.unit[len(unit) + 1 :].isdecimal())
            if own and stage.name != LAUNCH and len(fired.start):
                weight = np.array(one.computes, np.float64)[fired.segment] * fired.times
                curve += _until(fired.start, fired.length, weight, edges)
        return curve


def _edges(played: Recorded, work: list[Occupation], cycles: int, most: int) -> Ints:
    """Borders of pieces: where firings begin and end (and let go of ports) if that gives at most ``most``, else equally far apart."""
    import numpy as np

    marks = [np.array([0, cycles], np.int64)]
    if sum(len(fired.start) for fired in played.stages) <= 2 * most:
        for fired, one in zip(played.stages, work, strict=True):
            marks += [fired.start, fired.start + fired.length]
            for row in one.moves.values():
                marks.append(
                    fired.start + np.minimum(fired.length, np.array([held for _, held in row], np.int64)[fired.segment] * fired.times)
                )
        found = np.unique(np.concatenate(marks))
        if len(found) <= most + 1:
            return found
    return np.unique(np.rint(np.linspace(0, cycles, min(most, cycles) + 1)).astype(np.int64))


def _until(start: Ints, length: Ints, amount: Floats, edges: Ints) -> Floats:
    """Amount up to each border, spread evenly from start to end of what does not overlap and comes in order."""
    import numpy as np

    total = np.concatenate([[0.0], np.cumsum(amount)])
    times = np.empty(2 * len(start), np.float64)
    values = np.empty(2 * len(start), np.float64)
    times[::2], times[1::2] = start, start + length
    values[::2], values[1::2] = total[:-1], total[1:]
    curve: Floats = np.interp(edges, times, values, left=0.0, right=float(total[-1]))
    return curve


def _moved(played: Recorded, work: list[Occupation], key: tuple[str, str], edges: Ints) -> Floats:
    """Bytes of a memory and direction up to each border."""
    import numpy as np

    curve = np.zeros(len(edges))
    for fired, one in zip(played.stages, work, strict=True):
        if key in one.moves and len(fired.start):
            row = np.array(one.moves[key], np.int64)[fired.segment]
            held = np.minimum(fired.length, row[:, 1] * fired.times)
            curve += _until(fired.start, held, (row[:, 0] * fired.times).astype(np.float64), edges)
    return curve


def _whole(curve: Floats, total: int, edges: Ints) -> Ints:
    """Whole amounts by piece that add up to ``total``; a curve of nothing gives way to one that rises evenly."""
    import numpy as np

    if curve[-1] <= 0:
        curve = (edges - edges[0]).astype(np.float64)
    marks = np.rint(curve * (total / float(curve[-1]))).astype(np.int64)
    marks[0], marks[-1] = 0, total
    whole: Ints = np.diff(marks)
    return whole


@dataclass(slots=True)
class _Table:
    """Pieces of the run so far: borders in cycles of the run and columns, by operator or folded rounds."""

    groups: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    end: int = 0
    _carry: dict[str, int] = field(default_factory=dict)

    def add(self, start: int, end: int, edges: Ints, columns: dict[str, Any]) -> None:
        """An operator's pieces; amounts of one that takes no time go to the next piece, or to the last where none follows."""
        if end <= start:
            for key, amount in columns.items():
                self._carry[key] = self._carry.get(key, 0) + amount
            return
        self.groups.append((edges + start, columns))
        self.end = end
        for key, amount in self._carry.items():
            if key not in columns:
                columns[key] = edges[1:] * 0
            columns[key][0] += amount
        self._carry = {}

    def fold(self, start: int, end: int, amounts: Mapping[str, int], since: int) -> None:
        """All further rounds of a block as one piece; what is held on chip is the mean over the first round (groups from ``since``)."""
        import numpy as np

        columns: dict[str, Any] = {key: np.array([amount], np.int64) for key, amount in amounts.items()}
        held: dict[str, float] = {}
        spent = 0
        for edges, parts in self.groups[since:]:
            spent += int(edges[-1] - edges[0])
            for key, values in parts.items():
                if key.startswith(HELD):
                    held[key] = held.get(key, 0.0) + float((values * np.diff(edges)).sum())
        columns.update({key: np.array([round(area / spent)], np.int64) for key, area in held.items()})
        self.add(start, end, np.array([0, end - start], np.int64), columns)
