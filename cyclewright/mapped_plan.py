"""The memory plan of a mapped graph as plain data: which tensor stays where, from which operator to which; and simpler plans beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ilp.schedule import BlockSchedule, Residency, Schedule
    from mappings.dataflow import MappedBlock, MappedGraph


def rows_of(mapped: MappedGraph, schedule: Schedule) -> dict[str, list[dict[str, Any]]]:
    """``operators`` in the order of the plan and ``stays``, the blocks one after the other, a repeat once."""
    operators: list[dict[str, Any]] = []
    stays: list[dict[str, Any]] = []
    for block, plan in zip(mapped.blocks, schedule.blocks, strict=True):
        _tell(block, plan, operators, stays)
    return {"operators": operators, "stays": stays}


def _tell(block: MappedBlock, plan: BlockSchedule, operators: list[dict[str, Any]], stays: list[dict[str, Any]]) -> None:
    """Add a block's operators and residencies, its steps after those told before."""
    begin = len(operators)
    for index in plan.order:
        mapped = block.operators[index]
        way = mapped.alternatives[plan.alternatives[index]]
        operators.append(
            {"name": mapped.operator, "kind": mapped.kind, "bytes": way.working_set_bytes, "alternative": way.name, "times": block.count}
        )  # fmt: skip
    made = {name: step for step, index in enumerate(plan.order) for name in block.operators[index].writes}
    read: dict[str, int] = {name: step for step, index in enumerate(plan.order) for name in block.operators[index].reads}
    last = len(plan.order) - 1
    for stay in plan.residencies:
        kind = block.operators[plan.order[made[stay.tensor]]].kind if stay.tensor in made else ""
        stays.append(
            {"tensor": stay.tensor, "kind": kind, "bytes": stay.bytes, "first": begin + max(0, stay.first),
             "last": begin + min(last, stay.last), "address": stay.address, "enters": _enters(stay, made.get(stay.tensor)),
             "leaves": _leaves(stay, read.get(stay.tensor, -1), last)}
        )  # fmt: skip


def _enters(stay: Residency, made: int | None) -> str:
    """How a tensor that stays comes: from the round before, from its maker, or from off chip, again if it was made in this round."""
    if stay.first < 0:
        return "handed on"
    if made == stay.first:
        return "made"
    return "loaded" if made is None else "fetched"


def _leaves(stay: Residency, read: int, last: int) -> str:
    """How it goes: to the next round, or off chip to be fetched later, or it is not needed any more."""
    if stay.last > last:
        return "handed on"
    return "spilled" if read > stay.last else "dead"


def simpler(mapped: MappedGraph) -> list[dict[str, Any]]:
    """What simpler plans of the same mapped graph move: nothing stays on chip, and what the greedy rule of ``ilp.trivial`` keeps."""
    from ilp import trivial_schedule
    from ilp.mapped import moved_bytes

    greedy = trivial_schedule(mapped)
    off_chip = frozenset(name for name, memory in mapped.hardware.memories.items() if memory.off_chip)
    saved = 0
    for block, plan in zip(mapped.blocks, greedy.blocks, strict=True):
        bare = replace(plan, residencies=(), kept_reads=frozenset(), kept_writes=frozenset())
        saved += moved_bytes(block, bare, off_chip) - moved_bytes(block, plan, off_chip)
    return [
        {"scheme": "program order, nothing stays", "extra_bytes": greedy.extra_bytes + saved},
        {"scheme": "program order, greedy keeping", "extra_bytes": greedy.extra_bytes},
    ]


def memory_plan(mapped: MappedGraph, schedule: Schedule) -> Mapping[str, Any]:
    """What a result says of the schedule that it played (``Result.memory_plan``)."""
    return {
        "scratchpad_bytes": schedule.capacity_bytes,
        "extra_bytes": schedule.extra_bytes,
        "lower_bound_bytes": schedule.lower_bound_bytes,
        "proven": schedule.proven,
        "method": schedule.method,
        "baselines": simpler(mapped),
        "plan": rows_of(mapped, schedule),
    }
