"""A result as a table (CSV) and as a timeline for trace viewers (Chrome trace events, which Perfetto opens)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from simulator.counters import counter_events
from simulator.result import Result

COLUMNS = (
    "name", "kind", "unit", "alternative", "count", "start_s", "end_s", "time_s", "share", "bound_by", "roof_s", "macs",
    "executed_macs", "vector_ops", "compute_format", "pattern", "intensity", "dram_bytes", "compulsory_bytes", "energy_j", "fell_back_from",
    "training_pass",
)  # fmt: skip
"""Columns of the operators' table: fields of ``OperatorResult``, energies summed."""


def operators_csv(result: Result) -> str:
    """One line per operator with a header line; comma-separated, quoted where needed (RFC 4180), floats by ``repr``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for operator in result.operators:
        values = {name: getattr(operator, name) for name in COLUMNS}
        values["energy_j"] = sum(operator.energy_j.values())
        values["fell_back_from"] = operator.fell_back_from or ""
        writer.writerow([values[name] for name in COLUMNS])
    return text.getvalue()


def trace_json(result: Result) -> str:
    """The timeline as Chrome trace events: complete events (``ph`` X), ``ts`` and ``dur`` in microseconds, one thread per resource.

    Folded repeats show their first round. Operators have a thread of their own, above the resources. Stages that use one resource by turns
    have stretches that overlap, which a thread cannot show (viewers drop such events): they go to further threads of the same name.
    Counters (``ph`` C) show the use of each unit, the bandwidth of each off-chip memory and the bytes held on chip over time
    (``simulator.over_time``); where the later rounds of a repeat would run, they show those rounds' mean.

    Times are whole nanoseconds, so that what ends where the next begins does so after any reader's rounding. Threads count from 2: 0 is the
    idle thread and 1, the number of the process, its main thread to Perfetto.
    """
    events: list[dict[str, Any]] = [{"ph": "M", "pid": 1, "name": "process_name", "args": {"name": f"{result.model} on {result.hardware}"}}]
    for number, (name, stretches) in enumerate(_lanes(result), 2):
        events.append({"ph": "M", "pid": 1, "tid": number, "name": "thread_name", "args": {"name": name}})
        events.append({"ph": "M", "pid": 1, "tid": number, "name": "thread_sort_index", "args": {"sort_index": number}})
        for label, category, start, end, facts in stretches:
            length = (end - start) / 1e3
            events.append(
                {"ph": "X", "pid": 1, "tid": number, "name": label, "cat": category, "ts": start / 1e3, "dur": length, "args": facts}
            )
    events.extend(counter_events(result))
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}, allow_nan=False) + "\n"


Stretch = tuple[str, str, int, int, dict[str, Any]]
"""Name, category, start and end in nanoseconds, further facts."""


def _lanes(result: Result) -> list[tuple[str, list[Stretch]]]:
    """Operators and spans by thread, in order of their start: each goes to the first thread of its resource that is free again."""
    found: dict[str, list[list[Stretch]]] = {}
    for resource, stretch in (*_operators(result), *_spans(result)):
        lanes = found.setdefault(resource, [])
        lane = next((lane for lane in lanes if lane[-1][3] <= stretch[2]), None)
        if lane is None:
            lanes.append(lane := [])
        lane.append(stretch)
    return [(resource, lane) for resource, lanes in found.items() for lane in lanes]


def _operators(result: Result) -> Iterator[tuple[str, Stretch]]:
    """The first round of each operator that takes time."""
    for operator in result.operators:
        if operator.end_s > operator.start_s:
            facts = {"bound_by": operator.bound_by, "rounds": operator.count, "time_all_rounds_us": operator.time_s * 1e6}
            yield "operators", (operator.name, operator.kind, *_whole(operator.start_s * 1e9, operator.end_s * 1e9), facts)


def _spans(result: Result) -> Iterator[tuple[str, Stretch]]:
    to_nanoseconds = 1e9 / result.clock_hz
    for span in sorted(result.timeline, key=lambda span: (span.start_cycles, span.end_cycles)):
        place = _whole(span.start_cycles * to_nanoseconds, span.end_cycles * to_nanoseconds)
        facts = {"operator": span.operator, "cycles": span.end_cycles - span.start_cycles}
        yield span.resource, (f"{span.operator} / {span.stage}", span.stage, *place, facts)


def _whole(start: float, end: float) -> tuple[int, int]:
    """Whole nanoseconds, at least one long."""
    return round(start), max(round(end), round(start) + 1)
