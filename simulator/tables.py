"""A result as a table (CSV) and as a timeline for trace viewers (Chrome trace events, which Perfetto opens)."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from simulator.result import Result

COLUMNS = (
    "name", "kind", "unit", "alternative", "count", "start_s", "end_s", "time_s", "share", "bound_by", "roof_s", "macs",
    "executed_macs", "vector_ops", "compute_format", "pattern", "intensity", "dram_bytes", "compulsory_bytes", "energy_j", "fell_back_from",
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

    Folded repeats show their first round. Operators have a thread of their own, above the resources. Counters (``ph`` C) show the
    bandwidth of each off-chip memory over time, on average over each operator.
    """
    threads = {"operators": 0}
    for span in result.timeline:
        threads.setdefault(span.resource, len(threads))
    events: list[dict[str, Any]] = [{"ph": "M", "pid": 1, "name": "process_name", "args": {"name": f"{result.model} on {result.hardware}"}}]
    for name, number in threads.items():
        events.append({"ph": "M", "pid": 1, "tid": number, "name": "thread_name", "args": {"name": name}})
        events.append({"ph": "M", "pid": 1, "tid": number, "name": "thread_sort_index", "args": {"sort_index": number}})
    for operator in result.operators:
        if operator.end_s > operator.start_s:
            facts = {"bound_by": operator.bound_by, "rounds": operator.count, "time_all_rounds_us": operator.time_s * 1e6}
            events.append(_event(operator.name, operator.kind, 0, operator.start_s * 1e6, (operator.end_s - operator.start_s) * 1e6, facts))
    microseconds = 1e6 / result.clock_hz
    for span in result.timeline:
        start, length = span.start_cycles * microseconds, (span.end_cycles - span.start_cycles) * microseconds
        facts = {"operator": span.operator, "cycles": span.end_cycles - span.start_cycles}
        events.append(_event(f"{span.operator} / {span.stage}", span.stage, threads[span.resource], start, length, facts))
    events.extend(_bandwidths(result))
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}, allow_nan=False) + "\n"


def _bandwidths(result: Result) -> list[dict[str, Any]]:
    """Counter events of each off-chip memory: GB/s read and written, from each operator's start on, and nothing after the last."""
    events: list[dict[str, Any]] = []
    shown = [operator for operator in result.operators if operator.end_s > operator.start_s and operator.time_s > 0]
    for name, (_, off_chip) in result.capacities.items():
        if not off_chip or not shown:
            continue
        end = 0.0
        for operator in shown:
            if operator.start_s > end:
                events.append(_counter(name, end, 0.0, 0.0))
            read, written = operator.bytes_by_memory.get(name, (0, 0))
            events.append(_counter(name, operator.start_s, read / operator.time_s, written / operator.time_s))
            end = operator.end_s
        events.append(_counter(name, end, 0.0, 0.0))
    return events


def _counter(memory: str, at_s: float, read_bytes_per_s: float, written_bytes_per_s: float) -> dict[str, Any]:
    rates = {"read": read_bytes_per_s / 1e9, "written": written_bytes_per_s / 1e9}
    return {"ph": "C", "pid": 1, "name": f"{memory} GB/s", "ts": at_s * 1e6, "args": rates}


def _event(name: str, category: str, thread: int, start_us: float, length_us: float, facts: dict[str, Any]) -> dict[str, Any]:
    return {"ph": "X", "pid": 1, "tid": thread, "name": name, "cat": category, "ts": start_us, "dur": length_us, "args": facts}
