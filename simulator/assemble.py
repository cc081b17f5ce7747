"""``simulate``: plays a schedule and assembles the ``Result``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, fsum

from hwspecs.hardware import Hardware
from hwspecs.vocabulary.errors import ArgumentError
from hwspecs.vocabulary.units import format_quantity
from ilp.lifetimes import Compulsory, Lifetimes, compulsory, lifetimes
from ilp.replay import check
from ilp.schedule import Schedule
from mappings.dataflow import MappedGraph
from mappings.fpga import resources_of
from mappings.groups import PIPELINE
from mappings.mapping import several
from simulator import CYCLEWRIGHT_PACKAGE
from simulator.dram import Commands
from simulator.energy import STATIC, EnergyModel, energy_leaf, static_power
from simulator.memory import live_off_chip, live_on_chip
from simulator.over_time import Course, Later
from simulator.ports import Ports, overdriven, summary
from simulator.program import Step, Timing, build_program, play_program, play_unfolded
from simulator.result import OperatorResult, Result, Span
from simulator.roofline import compulsory_seconds, compute_seconds, graph_seconds, roofs
from simulator.rows import Row, operator_row
from simulator.timeline import spans
from workloads.counting import stored_counts

FIDELITIES = ("roofline", "tile", "cycle")


def simulate(mapped: MappedGraph, schedule: Schedule, *, fidelity: str = "tile", timeline: bool = True, unfolded: bool = False) -> Result:
    """Play ``schedule`` of ``mapped``, after the replay checker has accepted it, and say what it costs.

    Args:
        fidelity: ``tile`` plays the dataflow graphs; ``cycle`` plays them on banked DRAM in place of the achieved bandwidth;
            ``roofline`` is the lower bound of compulsory work at data-sheet rates.
        timeline: also merge busy stretches into at most 5,000 spans, and say what happens over time (computed when first looked at).
        unfolded: play every round of every operator in one graph (slow; gives the same cycles, see ``simulator.program``).

    Raises:
        ArgumentError: no such fidelity. UnsupportedError: ``cycle`` and the spec does not describe the DRAM.
        InfeasibleError: an operator is deadlocked. ContractError: mapping and schedule break a contract.
    """
    if fidelity not in FIDELITIES:
        raise ArgumentError(f"unknown fidelity {fidelity!r}", hint="use one of roofline, tile, cycle")
    ports = Ports(mapped.hardware) if fidelity == "cycle" else None
    program = build_program(mapped, schedule, ports)
    check(mapped, schedule)
    lives = tuple(lifetimes(block) for block in mapped.blocks)
    run = _Run(mapped, schedule, lives, compulsory(mapped, lives), EnergyModel(mapped.hardware))
    if fidelity == "roofline":
        return run.roofline(program)
    cycles, timings = (play_unfolded if unfolded else play_program)(program)
    return run.played(fidelity, program, cycles, timings, timeline)


@dataclass(slots=True)
class _Run:
    """What both rungs need to make a result of one program."""

    mapped: MappedGraph
    schedule: Schedule
    lives: tuple[Lifetimes, ...]
    floor: Compulsory
    energy: EnergyModel

    @property
    def hardware(self) -> Hardware:
        return self.mapped.hardware

    def played(self, fidelity: str, program: list[list[Step]], cycles: int, timings: list[list[Timing]], timeline: bool) -> Result:
        """The result of a played program."""
        clock = self.hardware.clock_hz
        rows = []
        busy: dict[str, int] = {}
        for steps, times in zip(program, timings, strict=True):
            for step, timing in zip(steps, times, strict=True):
                total = sum(count * spent for (count, _), spent in zip(step.turns, timing.by_turn, strict=True))
                work: dict[str, int] = {}
                for count, lowered in step.turns:
                    for resource, spent in lowered.work.items():
                        work[resource] = work.get(resource, 0) + count * spent
                for resource, spent in work.items():
                    busy[resource] = busy.get(resource, 0) + spent
                end = timing.start + (timing.by_turn[0] if timing.by_turn else 0)
                held = held_by(work, 0 if step.item.kind == PIPELINE else total)  # of layers side by side the busiest sets the pace
                rows.append(Row(step, timing.start / clock, end / clock, total / clock, held))
        seconds = {resource: spent / clock for resource, spent in busy.items() if spent}
        merged = spans(program, timings) if timeline else ()
        result = self._result(fidelity, rows, cycles / clock, cycles, seconds, merged)
        if timeline:
            course = Course(self.mapped, self.schedule, program, timings, cycles)
            result = replace(result, over_time=Later(course.columns), time_parts=Later(course.time_parts))
        if fidelity != "cycle":
            return result
        return replace(result, dram=self._dram(program, result), warnings=(*result.warnings, *overdriven(self.hardware)))

    def _dram(self, program: list[list[Step]], result: Result) -> dict[str, dict[str, float]]:
        """Commands and efficiency of each banked memory (cycle rung)."""
        total: dict[str, Commands] = {}
        for step in (step for steps in program for step in steps):
            for count, lowered in step.turns:
                for name, commands in (lowered.commands or {}).items():
                    total[name] = total.get(name, Commands()).plus(commands.scaled(count))
        moved = {name: sum(pair) for name, pair in result.bytes_by_memory.items()}
        return summary(self.hardware, total, moved, result.latency_s)

    def roofline(self, program: list[list[Step]]) -> Result:
        """The lower bound as a result: an operator's time is what it adds to the binding resource; its bytes are its compulsory ones."""
        total = graph_seconds(self.mapped, self.floor.bytes)
        bound = max(total, key=lambda resource: total[resource]) if total else "wait"
        rows = []
        now = 0.0
        for steps in program:
            for step in steps:
                rounds = max(1, step.count)
                reads, writes = (part.get((step.block, step.index), 0) for part in (self.floor.reads, self.floor.writes))
                seconds = {resource: step.count * spent for resource, spent in compute_seconds(step.item, self.hardware).items()}
                seconds.update(compulsory_seconds(self.hardware, reads + writes))
                own = max(seconds, key=lambda resource: seconds[resource]) if seconds else "wait"
                spent = seconds.get(bound, 0.0)
                rows.append(Row(step, now, now + spent / rounds, spent, _roof_name(own), (reads, writes)))
                now += spent
        latency = total.get(bound, 0.0)
        busy: dict[str, float] = {}
        for resource, spent in total.items():
            busy[_roof_name(resource)] = max(busy.get(_roof_name(resource), 0.0), spent)
        return self._result("roofline", rows, latency, ceil(latency * self.hardware.clock_hz), busy, ())

    def _result(
        self, fidelity: str, rows: list[Row], latency: float, cycles: int, busy: dict[str, float], timeline: tuple[Span, ...]
    ) -> Result:
        mapped, hardware = self.mapped, self.hardware
        operators = tuple(operator_row(row, hardware, self.energy, latency, self.floor) for row in rows)
        components: dict[str, list[float]] = {}
        moved: dict[str, list[int]] = {}
        for operator in operators:
            for component, joules in operator.energy_j.items():
                components.setdefault(component, []).append(joules)
            for name, (read, written) in operator.bytes_by_memory.items():
                pair = moved.setdefault(name, [0, 0])
                pair[0] += read
                pair[1] += written
        energy = {component: fsum(values) for component, values in components.items()}
        energy[STATIC] = static_power(hardware) * latency
        total_energy = fsum(energy.values())
        dram = sum(operator.dram_bytes for operator in operators)
        macs = sum(operator.macs for operator in operators)
        useful = macs - sum(operator.macs for operator in operators if operator.training_pass == "recompute")
        floor_seconds = graph_seconds(mapped, self.floor.bytes)
        off_chip = live_off_chip(mapped, self.schedule, self.lives)
        on_chip = live_on_chip(mapped, self.schedule)
        over_time = tuple((row.start_s, on_chip[row.step.block][row.step.index], off_chip[row.step.block][row.step.index]) for row in rows)
        peak = max((live for _, _, live in over_time), default=0)
        room = sum(memory.size_bytes for memory in hardware.memories.values() if memory.off_chip)
        peak_rate = self._peak_rate(operators)
        parameters, stored = stored_counts(mapped.graph)
        return Result(
            model=mapped.graph.name,
            hardware=hardware.name,
            fidelity=fidelity,
            phase=str(mapped.graph.meta.get("phase", "inference")),
            settings=dict(mapped.graph.meta),
            latency_s=latency,
            cycles=cycles,
            clock_hz=hardware.clock_hz,
            energy_j=total_energy,
            macs=macs,
            flops=2 * macs,
            executed_flops=2 * sum(operator.executed_macs for operator in operators),
            vector_ops=sum(operator.vector_ops for operator in operators),
            parameters=parameters,
            stored_weight_bytes=stored["weight"],
            kv_cache_bytes=stored["kv"],
            dram_bytes=dram,
            compulsory_bytes=self.floor.bytes,
            extra_bytes=dram - self.floor.bytes,
            roofline_s=max(floor_seconds.values(), default=0.0),
            bound_by=max(busy, key=lambda resource: busy[resource]) if busy else "wait",
            mfu=2 * useful / (latency * peak_rate) if latency > 0 and peak_rate > 0 else 0.0,
            peak_memory_bytes=peak,
            fits=peak <= room,
            energy_by_component=energy,
            busy=busy,
            bytes_by_memory={name: (read, written) for name, (read, written) in moved.items()},
            operators=operators,
            memory_over_time=over_time,
            timeline=timeline,
            warnings=self._warnings(rows, latency, total_energy, peak, room),
            roofs=roofs(hardware),
            capacities={memory.name: (memory.size_bytes, memory.off_chip) for memory in hardware.memories.values()},
            provenance=self._provenance(),
            resources=resources_of(hardware),
            in_memory=self._in_memory(energy, busy, dram),
        )

    def _in_memory(self, energy: dict[str, float], busy: dict[str, float], dram: int) -> Mapping[str, object] | None:
        """What a crossbar's arrays hold and do; None on other hardware."""
        if self.mapped.in_memory is None:
            return None
        from mappings.crossbar.report import completed  # other hardware never loads the family

        meta = self.mapped.graph.meta
        inputs = float(meta.get("batch", 1)) * float(meta.get("tokens", 1))
        share = min(1.0, self.floor.bytes / dram) if dram else 1.0
        return completed(self.mapped.in_memory, energy, busy, self.hardware.clock_hz, inputs, share)

    def _peak_rate(self, operators: tuple[OperatorResult, ...]) -> float:
        """Dense operations per second of the format that carries most MACs."""
        share: dict[tuple[str, str], int] = {}
        for operator in operators:
            if operator.macs:
                key = (operator.unit, operator.compute_format)
                share[key] = share.get(key, 0) + operator.macs
        if not share:
            return 0.0
        name, form = max(share, key=lambda key: share[key])
        unit = self.hardware.units[name]
        return unit.rates.get((form, "dense")) or max(unit.vector_rates.values(), default=0.0)

    def _warnings(self, rows: list[Row], latency: float, energy: float, peak: int, room: int) -> tuple[str, ...]:
        hardware = self.hardware
        notes = dict.fromkeys((*self.mapped.graph.notes, *self.mapped.notes))
        said: dict[str, dict[str, None]] = {}  # many operators have the same to say: one line for all of them
        for row in rows:
            for note in row.step.alternative.notes:
                said.setdefault(note, {})[row.step.item.operator] = None
        notes.update(
            dict.fromkeys(f"{next(iter(names)) if len(names) == 1 else several(tuple(names))}: {note}" for note, names in said.items())
        )
        if peak > room:
            scale = "GB" if room >= 10**9 else "MB" if room >= 10**6 else "KB"
            needs, has = (format_quantity(size, scale, digits=6) for size in (peak, room))
            notes[f"does not fit: needs {needs} of {has} off chip"] = None
        if self.energy.missing:
            leaves = ", ".join(sorted({energy_leaf(action, hardware) for action in self.energy.missing}))
            notes[f"the spec gives no energy for {leaves}: counted as zero"] = None
        if hardware.max_power_w is not None and latency > 0 and energy / latency > hardware.max_power_w:
            limit = f"the board limit of {hardware.max_power_w:g} W"
            notes[f"average power {energy / latency:.1f} W is above {limit}: clocks would drop"] = None
        return tuple(notes)

    def _provenance(self) -> dict[str, object]:
        schedule, hardware = self.schedule, self.hardware
        return {
            "hardware_digest": hardware.digest,
            "version": CYCLEWRIGHT_PACKAGE,
            "schedule": {
                "method": schedule.method,
                "extra_bytes": schedule.extra_bytes,
                "lower_bound_bytes": schedule.lower_bound_bytes,
                "proven": schedule.proven,
            },
            "leaves": {path: {"text": leaf.text, "source": leaf.source, "cite": leaf.cite} for path, leaf in hardware.leaves.items()},
        }


def held_by(work: dict[str, int], total: int) -> str:
    """The resource that worked longest, or ``wait`` if it stood still for longer than it worked in ``total`` cycles."""
    if not work:
        return "wait"
    busiest = max(work, key=lambda resource: work[resource])
    return busiest if work[busiest] and 2 * work[busiest] >= total else "wait"


def _roof_name(resource: str) -> str:
    """Both pipes of a unit are the unit, in reports: ``vector:sm`` reads ``compute:sm``."""
    kind, _, name = resource.partition(":")
    return f"compute:{name}" if kind == "vector" else resource
