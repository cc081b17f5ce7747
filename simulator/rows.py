"""From a played step to its row in the result."""

from __future__ import annotations

from hwspecs.hardware import Hardware
from hwspecs.vocabulary.records import dataclass
from ilp.lifetimes import Compulsory
from simulator.energy import EnergyModel, add
from simulator.lowering import Lowered
from simulator.ports import command_joules, refresh_joules
from simulator.program import Step
from simulator.result import OperatorResult
from simulator.roofline import compulsory_seconds, compute_seconds, memory_seconds

Pairs = dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Row:
    """When a step ran and what held it.

    Attributes:
        start_s, end_s: of the first round; ``time_s``: of all rounds.
        compulsory: bytes (read, written) that the roofline rung counts in place of the schedule's traffic, or None.
    """

    step: Step
    start_s: float
    end_s: float
    time_s: float
    bound_by: str
    compulsory: tuple[int, int] | None = None


def operator_row(row: Row, hardware: Hardware, model: EnergyModel, latency: float, floor: Compulsory) -> OperatorResult:
    """The operator's row: traffic, energy, roof and what was not chosen."""
    step, item = row.step, row.step.item
    alternative, count = step.alternative, step.count
    pairs, energy = _traffic(row, hardware, model)
    dram = sum(read + written for name, (read, written) in pairs.items() if hardware.memories[name].off_chip)
    place = (step.block, step.index)
    roof = {resource: count * seconds for resource, seconds in compute_seconds(item, hardware).items()}
    if row.compulsory is not None:
        roof.update(compulsory_seconds(hardware, sum(row.compulsory)))
    else:
        roof.update(memory_seconds(hardware, {name: sum(pair) for name, pair in pairs.items() if hardware.memories[name].off_chip}))
    work = count * (2 * item.macs + item.vector_ops)
    return OperatorResult(
        name=item.operator,
        kind=item.kind,
        unit=item.unit,
        alternative=alternative.name,
        count=count,
        start_s=row.start_s,
        end_s=row.end_s,
        time_s=row.time_s,
        share=row.time_s / latency if latency > 0 else 0.0,
        bound_by=row.bound_by,
        roof_s=max(roof.values(), default=0.0),
        macs=count * item.macs,
        executed_macs=count * item.executed_macs,
        vector_ops=count * item.vector_ops,
        compute_format=item.compute_format,
        pattern=item.pattern,
        intensity=work / dram if dram else 0.0,
        dram_bytes=dram,
        compulsory_bytes=floor.reads.get(place, 0) + floor.writes.get(place, 0),
        bytes_by_memory=pairs,
        energy_j=energy,
        breakdown=dict(alternative.breakdown),
        fell_back_from=item.fell_back_from,
        alternatives=_choices(step),
        training_pass=item.training_pass,
        members=tuple([member.operator for member in item.members]),
    )


def _traffic(row: Row, hardware: Hardware, model: EnergyModel) -> tuple[Pairs, dict[str, float]]:
    """Bytes (read, written) by memory and dynamic joules by component, all rounds; equal steps are counted once."""
    step = row.step
    if row.compulsory is not None or any(lowered.commands is not None for _, lowered in step.turns):
        return _counted(row, hardware, model)
    key = (id(step.repeated), tuple([(rounds, id(lowered)) for rounds, lowered in step.turns]))
    found = model.counted.get(key)
    if found is None:
        found = model.counted[key] = _counted(row, hardware, model)
    pairs, energy = found
    return dict(pairs), dict(energy)


def _counted(row: Row, hardware: Hardware, model: EnergyModel) -> tuple[Pairs, dict[str, float]]:
    step = row.step
    alternative, count = step.alternative, step.count
    energy: dict[str, float] = {}
    add(energy, model.actions(step.item.operator, alternative), count)
    reads: dict[str, int] = {}
    writes: dict[str, int] = {}
    for action, number in alternative.actions.items():
        name, _, what = action.partition(".")
        if name in hardware.memories:
            into = reads if what == "read.byte" else writes
            into[name] = into.get(name, 0) + count * round(number)
    if row.compulsory is not None:
        name = hardware.dram.name
        off_reads, off_writes = {name: row.compulsory[0]}, {name: row.compulsory[1]}
        add(energy, model.traffic(off_reads, off_writes))
        _count(reads, off_reads, 1)
        _count(writes, off_writes, 1)
    else:
        for rounds, lowered in step.turns:
            kept_reads, kept_writes = model.kept(lowered)
            for into, parts in ((reads, (lowered.read_bytes, kept_reads)), (writes, (lowered.written_bytes, kept_writes))):
                for part in parts:
                    _count(into, part, rounds)
            add(energy, _off_chip(lowered, hardware, model), rounds)
            add(energy, model.traffic(kept_reads, kept_writes), rounds)
        if any(lowered.commands is not None for _, lowered in step.turns):
            add(energy, refresh_joules(hardware, row.time_s))
    names = [name for name in hardware.memories if name in reads or name in writes]
    return {name: (reads.get(name, 0), writes.get(name, 0)) for name in names}, energy


def _off_chip(lowered: Lowered, hardware: Hardware, model: EnergyModel) -> dict[str, float]:
    """Joules of one round's off-chip traffic: by command where the cycle rung counted them and the part prices them, else by byte."""
    energy, priced = command_joules(hardware, lowered.commands or {})
    reads = {name: count for name, count in lowered.read_bytes.items() if name not in priced}
    writes = {name: count for name, count in lowered.written_bytes.items() if name not in priced}
    return {**model.traffic(reads, writes), **energy}


def _count(into: dict[str, int], part: dict[str, int], times: int) -> None:
    for name, nbytes in part.items():
        if nbytes:
            into[name] = into.get(name, 0) + times * nbytes


def _choices(step: Step) -> tuple[tuple[str, int, str], ...]:
    """(name, estimated cycles, why not chosen) of the alternatives and of what the mapper dropped."""
    chosen = step.alternative
    choices = []
    for number, alternative in enumerate(step.item.alternatives):
        why = ""
        if number != step.pick:
            slower = alternative.cycles_estimate - chosen.cycles_estimate
            if slower >= 0:
                why = f"estimated {slower} cycles slower" if slower else "estimated as fast, listed later"
            else:
                why = f"its working set of {alternative.working_set_bytes} bytes does not fit"
        choices.append((alternative.name, alternative.cycles_estimate, why))
    choices.extend((rejected.name, rejected.cycles_estimate, rejected.reason) for rejected in step.item.rejected)
    return tuple(choices)
