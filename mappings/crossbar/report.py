"""What a result says of the arrays: use, replication, steady interval, shares of the converters, peak figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hwspecs.building import memory_of_cores, unit_of_cores
from hwspecs.hardware import ComputeUnit, Hardware
from mappings.crossbar.allocation import Allocation
from mappings.crossbar.machine import ADC
from mappings.crossbar.peak import peak_of
from mappings.crossbar.slicing import Matrix, layout_of
from mappings.crossbar.timing import pace_of, turns, write_cycles

WRITTEN = "what is written during the run"
"""What the arrays that are written during a run are called among the layers."""


def scaled(hardware: Hardware, chips: int) -> Hardware:
    """``hardware`` as ``chips`` chips around one off-chip memory: everything else is there as many times."""
    if chips == 1:
        return hardware
    units = {name: replace(unit_of_cores(item, chips), count=item.count * chips) for name, item in hardware.units.items()}
    specials = {name: {**part, "count": float(part.get("count", 1)) * chips} for name, part in hardware.specials.items()}
    return replace(
        hardware,
        units=units,
        specials=specials,
        memories={name: memory_of_cores(memory, chips) for name, memory in hardware.memories.items()},
        static_power_w=hardware.static_power_w * chips,
        max_power_w=None if hardware.max_power_w is None else hardware.max_power_w * chips,
        area_mm2=None if hardware.area_mm2 is None else hardware.area_mm2 * chips,
    )


def in_memory(
    allocation: Allocation, unit: ComputeUnit, hardware: Hardware, states: Sequence[tuple[str, int, int]] = ()
) -> dict[str, object]:
    """What the arrays hold and how they are used, for a result; what needs times and joules of the run is added by ``completed``.

    ``cells``: cells that hold weights, of all copies; ``use``: their share of the cells of the arrays in use. ``busiest``: cycles per
    input of the arrays that work longest, and the layer that they hold; ``written_bytes``: of weights and computed operands that are
    written to arrays; ``weights_written``: whether weights are, so that layers take turns in the same arrays.

    Args:
        states: of recurrent cells on the converters of a layer, as of ``mappings.crossbar.nonlinear.state_conversions``.
    """
    machine = allocation.machine
    layers, times = _layers(allocation)
    _add_states(states, layers, times)
    cells = sum(item.layout.cells * item.instances * item.copies for item in allocation.classes.values() if item.resident)
    used = allocation.used
    again, rewritten, operands = _computed(allocation)
    if again:
        times[WRITTEN] = times.get(WRITTEN, 0) + again
    shared = max(reversed(times.items()), key=lambda pair: pair[1], default=("", 0))  # of equal ones the last, as in ``Result.bound_by``
    read = convert = 0.0
    for item in allocation.classes.values():
        bits = item.matrix.input_format.bits
        interval, _ = machine.reading.product_s(bits, item.layout.deepest, item.layout.widest)
        phases = machine.reading.phases(bits) * machine.reading.sets(item.layout.deepest)
        work = item.matrix.products * item.rounds * item.instances
        read += work * interval
        convert += work * phases * machine.reading.convert_s(item.layout.widest)
    writes = sum(layer["passes"] * layer["instances"] * layer["rounds"] for layer in layers if not layer["resident"]) + rewritten
    peak = peak_of(unit, hardware)
    return {
        "unit": unit.name,
        "rows": machine.rows,
        "columns": machine.columns,
        "tiles": machine.tiles,
        "arrays_per_tile": machine.arrays_per_tile,
        "arrays": allocation.arrays,
        "used": used,
        "use": cells / (used * machine.cells) if used else 0.0,
        "chips": allocation.chips,
        "cells": cells,
        "written_bytes": sum(layer["written_bytes"] for layer in layers) + operands,
        "weights_written": any(layer["written_bytes"] for layer in layers),
        "writes_per_run": writes,
        "runs_until_worn": machine.endurance / writes if writes and machine.endurance else None,
        "busiest": shared[0],
        "busiest_cycles": shared[1],
        "converting": convert / read if read else 0.0,
        "peak": peak.as_dict(),
        "area_mm2": dict(peak.area_mm2),
        "layers": tuple(layers),
    }


def _layers(allocation: Allocation) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """(a row per matrix of the graph in program order, cycles per input by the layer whose arrays they keep busy)."""
    machine = allocation.machine
    rows: list[dict[str, Any]] = []
    times: dict[str, int] = {}
    owner: dict[object, str] = {}
    for use in allocation.uses:
        item = allocation.classes[use.matrix.key]
        matrix, layout = use.matrix, item.layout
        pace = pace_of(matrix, layout, machine)
        first = use.place not in owner
        name = owner.setdefault(use.place, use.operator) if item.resident else WRITTEN
        passes = 1 if item.resident else -(-layout.arrays // max(1, allocation.free))
        spent = pace.interval * turns(matrix.products, item.copies) * passes * use.rounds
        if not item.resident:
            spent = (spent + write_cycles(layout, machine) * passes) * use.instances
        times[name] = times.get(name, 0) + spent
        rows.append(
            {
                "name": use.operator,
                "held_as": owner.get(use.place, use.operator),
                "rows": matrix.k,
                "columns": matrix.n,
                "groups": matrix.groups,
                "instances": use.instances if first else 0,
                "rounds": use.rounds,
                "arrays": layout.arrays,
                "row_parts": layout.row_parts,
                "column_parts": layout.column_parts,
                "packed": layout.packed,
                "use": layout.cells / (layout.arrays * machine.cells),
                "copies": item.copies,
                "resident": item.resident,
                "passes": passes,
                "cycles_per_product": pace.interval,
                "products": matrix.products,
                "cycles": pace.cycles(turns(matrix.products, item.copies)) * passes,
                "cycles_all_rounds": pace.cycles(turns(matrix.products, item.copies)) * passes * use.rounds,
                "written_bytes": 0 if item.resident else _bytes(matrix) * use.instances * use.rounds,
            }
        )
    return rows, times


def _add_states(states: Sequence[tuple[str, int, int]], layers: Sequence[Mapping[str, Any]], times: dict[str, int]) -> None:
    """Add the conversions of states to the layers whose converters they take; rounds with weights of their own share the others' time."""
    for maker, cycles, rounds in states:
        row = next((row for row in layers if row["name"] == maker), None)
        name = maker if row is None else row["held_as"]
        instances = 1
        if row is not None and row["resident"]:
            instances = max(1, next(item["instances"] for item in layers if item["name"] == name))
        elif row is not None:
            name = WRITTEN
        times[name] = times.get(name, 0) + cycles * -(-rounds // instances)


def _computed(allocation: Allocation) -> tuple[int, int, int]:
    """(cycles, writes, bytes) per input of the arrays that computed operands are written to."""
    machine, spent, writes, size = allocation.machine, 0, 0, 0
    for matrix, rounds in allocation.computed if allocation.free else ():
        layout = layout_of(matrix, machine)
        passes = -(-layout.arrays // allocation.free)
        spent += (pace_of(matrix, layout, machine).interval * matrix.products + write_cycles(layout, machine)) * passes * rounds
        writes += passes * rounds
        size += _bytes(matrix) * rounds
    return spent, writes, size


def _bytes(matrix: Matrix) -> int:
    return -(-matrix.k * matrix.n * matrix.groups * matrix.weight_bits // 8)


def completed(
    found: Mapping[str, Any], energy: Mapping[str, float], busy: Mapping[str, float], clock_hz: float, inputs: float, compulsory: float
) -> dict[str, object]:
    """``in_memory`` with what a run adds: joules by component, shares of the converters, the steady interval of a pipeline of layers.

    The interval is the time per input of whatever is busiest: the arrays of one layer, the digital unit, a memory port or a link. That of
    the arrays of other layers goes on meanwhile, so inputs can follow each other at that pace; one alone takes the latency.

    Args:
        energy: joules by component of the run; ``busy``: resource to seconds; ``inputs``: images or tokens of the run.
        compulsory: share of the run's off-chip bytes that is compulsory: layers side by side hand the rest on within the chip (not those
            that take turns in the same arrays).
    """
    if found["weights_written"]:
        compulsory = 1.0
    unit = str(found["unit"])
    start = f"{unit}."
    parts = {name[len(start) :]: joules for name, joules in energy.items() if name.startswith(start)}
    total, area = sum(energy.values()), dict(found["area_mm2"])
    paces = {f"arrays of {found['busiest']}": found["busiest_cycles"] / clock_hz} if found["busiest_cycles"] else {}
    for resource, seconds in busy.items():
        if resource.partition(".")[0] != f"compute:{unit}":
            paces[resource] = seconds * (compulsory if resource.startswith("memory:") else 1.0)
    slowest = max(paces, key=lambda name: paces[name], default="")
    interval = paces.get(slowest, 0.0)
    return {
        **found,
        "energy_j": parts,
        "adc_share": {
            "energy": parts.get(ADC, 0.0) / total if total else 0.0,
            "time": found["converting"],
            "area": area.get(ADC, 0.0) / sum(area.values()) if area else 0.0,
        },
        "interval_s": interval,
        "interval_bound_by": slowest,
        "throughput_per_s": inputs / interval if interval else 0.0,
    }
