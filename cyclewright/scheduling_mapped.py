"""``schedule`` with hardware: alternatives, order and residency of a mapped graph chosen together (``ilp.mapped``)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclewright.api import Overrides, Plan, Prepared, overrides_of, play, prepare
from cyclewright.mapped_plan import rows_of, simpler
from hwspecs.hardware import Hardware
from hwspecs.vocabulary.errors import ArgumentError
from workloads.graph import OperatorGraph

if TYPE_CHECKING:
    from ilp.schedule import Schedule
    from mappings.dataflow import MappedGraph
    from simulator.result import Result

KIND = "mapped memory plan"


@dataclass(frozen=True, slots=True)
class ScheduledOn:
    """The answer of ``schedule_on``: the schedule, and what a run that plays it costs."""

    model: str
    hardware: str
    scratchpad_bytes: int
    seconds: float
    settings: Mapping[str, Any]
    result: Result = field(repr=False)
    schedule: Schedule = field(repr=False)
    mapped: MappedGraph = field(repr=False)

    @property
    def extra_bytes(self) -> int:
        """Off-chip bytes of the plan beyond the compulsory ones."""
        return self.schedule.extra_bytes

    @property
    def lower_bound_bytes(self) -> int:
        """Proven: no schedule of these alternatives moves fewer extra bytes."""
        return self.schedule.lower_bound_bytes

    @property
    def proven(self) -> bool:
        """The plan is optimal among the alternatives."""
        return self.schedule.proven

    def as_dict(self) -> dict[str, Any]:
        """Plain data with the keys of a plan file, the blocks one after the other, a repeat once."""
        return {
            "kind": KIND,
            "schema": 1,
            "model": self.model,
            "hardware": self.hardware,
            "scratchpad_bytes": self.scratchpad_bytes,
            "extra_bytes": self.schedule.extra_bytes,
            "lower_bound_bytes": self.schedule.lower_bound_bytes,
            "compulsory_bytes": self.result.compulsory_bytes,
            "proven": self.schedule.proven,
            "placed": True,
            "method": self.schedule.method,
            "stopped": "",
            "seconds": round(self.seconds, 3),
            "limit_seconds": None,
            "effort": {},
            "budgets": None,
            "baselines": simpler(self.mapped),
            "joined": None,
            "latency_s": self.result.latency_s,
            "settings": dict(self.settings),
            "plan": rows_of(self.mapped, self.schedule),
        }


def schedule_on(
    model: str | Path | OperatorGraph,
    hardware: str | Path | Hardware,
    *,
    scratchpad: str | int | None = None,
    overrides: Overrides = (),
    width: int | None = None,
    progress: Callable[[str], None] | None = None,
    **settings: Any,
) -> ScheduledOn:
    """The schedule of a model on a device that moves least off chip; operators that do not fit are cut into tiles by their mapper.

    Args:
        scratchpad: capacity of the on-chip memory instead of the spec's, in bytes or as text with a unit.
        overrides: other changes of the spec, as in ``run``.
        width: effort: states kept a step.
        settings: ``phase``, ``batch``, ``context``, ``tokens``, ``format``, ``dims``, ``unknown_op`` as in ``run``.

    Raises:
        CyclewrightError: bad input, unsupported or infeasible, as in ``run``.
    """
    from cyclewright.scheduling import read_capacity
    from ilp.mapped import optimal_schedule
    from mappings import map_graph

    capacity = read_capacity(scratchpad, None)
    prepared = prepare(model, hardware, overrides=overrides, **settings)
    if capacity is not None:
        prepared = _resized(prepared, model, hardware, overrides, capacity, settings)
    start = time.perf_counter()
    mapped = map_graph(prepared.graph, prepared.hardware)
    middle = time.perf_counter()
    effort = {} if width is None else {"width": width}
    found = optimal_schedule(mapped, progress=progress, **effort)
    end = time.perf_counter()
    result = play(prepared, Plan(mapped, found, middle - start, end - middle))
    given = {key: value for key, value in settings.items() if value not in (None, {}, False)}
    meta = prepared.graph.meta  # phases, batches and lengths that nobody gave have defaults, which decide the bytes
    given |= {key: meta[key] for key in ("phase", "batch", "context", "tokens") if meta.get(key) and key not in given}
    if given.get("phase") != "decode" and given.get("context") == given.get("tokens"):
        given.pop("context", None)
    told = {"model": prepared.asked.get("model"), "hardware": prepared.hardware_source, **given}
    return ScheduledOn(prepared.model_source, prepared.hardware.name, found.capacity_bytes, end - start, told, result, found, mapped)


def _resized(
    prepared: Prepared, model: str | Path | OperatorGraph, hardware: str | Path | Hardware, overrides: Overrides, capacity: int,
    settings: Mapping[str, Any],
) -> Prepared:  # fmt: skip
    """The same with another capacity of the memory in which tensors stay."""
    memory = prepared.hardware.on_chip
    if memory is None:
        hint = "leave --scratchpad out, or take a device with one"
        raise ArgumentError("the device has no on-chip memory of which the spec states a capacity", where="--scratchpad", hint=hint)
    changes = {**overrides_of(overrides), f"memory.{memory.name}.size": f"{capacity} B"}
    return prepare(model, hardware, overrides=changes, **settings)
