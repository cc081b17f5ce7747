"""Memory over time: what is alive on and off chip while each operator runs.

Off chip live: weights, caches and states (all of them, all the time) and the activations that are stored there, from their maker to
their last use. On chip: the schedule's residencies and the working set of the operator that runs.
"""

from __future__ import annotations

from ilp.lifetimes import Lifetimes, resolved_outputs
from ilp.schedule import Schedule
from mappings.dataflow import MappedGraph
from workloads.graph import Role

STORED_ROLES = frozenset({Role.WEIGHT, Role.KV_CACHE, Role.STATE, Role.OPTIMIZER_STATE})


def stored_bytes(mapped: MappedGraph, lives: tuple[Lifetimes, ...]) -> int:
    """Bytes of weights, caches and states: those of a repeat once per round unless the rounds share them."""
    sizes: dict[str, int] = {}
    for number, (block, life) in enumerate(zip(mapped.blocks, lives, strict=True)):
        handed_on = {*block.shared, *block.entering, *(name for _, name in block.carried)}
        for name in dict.fromkeys((*life.reads, *life.writes)):
            tensor = block.tensors.get(name)
            if tensor is None or tensor.role not in STORED_ROLES or (name in life.made and name not in life.persistent):
                continue
            if name in block.stacked:
                if name not in life.made:
                    sizes[block.stacked[name]] = tensor.stored_bytes * block.count
            elif block.count > 1 and name not in handed_on:
                sizes[f"{number}:{name}"] = tensor.stored_bytes * block.count
            elif block.count == 1 and name not in block.entering and name not in block.leaving and name in life.made:
                sizes[f"{number}:{name}"] = tensor.stored_bytes
            else:
                sizes[block.entering.get(name, block.leaving.get(name, name))] = tensor.stored_bytes
    return sum(sizes.values())


def live_off_chip(mapped: MappedGraph, schedule: Schedule, lives: tuple[Lifetimes, ...]) -> list[list[int]]:
    """Bytes alive off chip while each operator of each block (indexed as in the block, first round) runs."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    size: dict[str, int] = {}
    base, steps = 0, []
    for number, (block, life, plan) in enumerate(zip(mapped.blocks, lives, schedule.blocks, strict=True)):
        position = {index: base + place for place, index in enumerate(plan.order)}
        never_stored = {name for _, name in plan.kept_writes} - set(block.leaving)
        for name in dict.fromkeys((*life.reads, *life.writes)):
            tensor = block.tensors.get(name)
            if tensor is None or name in never_stored:
                continue
            if tensor.role in STORED_ROLES and (name not in life.made or name in life.persistent):
                continue
            maker = life.made.get(name)
            if name in block.stacked:
                key, done = block.stacked[name], base + len(plan.order)
                if maker is not None:  # one slice while the rounds run (the first is shown), all of them afterwards
                    piece = f"{number}:{name}"
                    first[piece], last[piece], size[piece] = position[maker], done - 1, tensor.stored_bytes
                first.setdefault(key, done if maker is not None else base)
                last[key] = max(last.get(key, 0), done if maker is not None else done - 1)
                size[key] = tensor.stored_bytes * block.count
                if name not in block.entering and name not in block.leaving:
                    continue
            key = block.entering.get(name) or block.leaving.get(name) or (f"{number}:{name}" if block.count > 1 else name)
            uses = [position[index] for index, _, _ in life.reads.get(name, ())]
            made_at = position[maker] if maker is not None else (0 if name in block.entering else base)
            first.setdefault(key, made_at)
            last[key] = max(last.get(key, 0), made_at, *uses)
            size[key] = tensor.stored_bytes
        steps.append(position)
        base += len(plan.order)
    for name in resolved_outputs(mapped.graph):
        if name in last:
            last[name] = base - 1
    change = [0] * (base + 1)
    for key, nbytes in size.items():
        change[min(first[key], base)] += nbytes
        change[min(last[key] + 1, base)] -= nbytes
    alive = stored_bytes(mapped, lives)
    totals = []
    for step in range(base):
        alive += change[step]
        totals.append(alive)
    return [[totals[position[index]] for index in range(len(position))] for position in steps]


def live_on_chip(mapped: MappedGraph, schedule: Schedule) -> list[list[int]]:
    """Bytes alive on chip while each operator of each block runs: residencies plus its working set."""
    rows = []
    for block, plan in zip(mapped.blocks, schedule.blocks, strict=True):
        row = [item.alternatives[pick].working_set_bytes for item, pick in zip(block.operators, plan.alternatives, strict=True)]
        for stay in plan.residencies:
            for index in plan.order[max(0, stay.first) : stay.last + 1]:
                row[index] += stay.bytes
        rows.append(row)
    return rows
