"""The timeline of a stored result in the Chrome trace format, which https://ui.perfetto.dev opens."""

from __future__ import annotations

from typing import Any

from cyclewright.metrics import Document

_PROCESS = 1


def chrome_trace(document: Document) -> dict[str, Any]:
    """Complete events (``ph: X``, microseconds), one thread per unit and memory port; live bytes as counters.

    A repeated block appears once in the timeline, as its first round.
    """
    microseconds = 1e6 / document["clock_hz"]
    threads: dict[str, int] = {}
    events: list[dict[str, Any]] = []
    for span in document["timeline"]:
        thread = threads.setdefault(span["resource"], len(threads) + 1)
        start, end = span["start_cycles"], span["end_cycles"]
        events.append({
            "name": span["operator"], "cat": span["stage"], "ph": "X", "pid": _PROCESS, "tid": thread, "ts": start * microseconds,
            "dur": (end - start) * microseconds, "args": {"stage": span["stage"], "start_cycles": start, "end_cycles": end},
        })  # fmt: skip
    names: list[dict[str, Any]] = [
        {"name": "process_name", "ph": "M", "pid": _PROCESS, "args": {"name": f"{document['model']} on {document['hardware']}"}}
    ]
    for name, thread in threads.items():
        names.append({"name": "thread_name", "ph": "M", "pid": _PROCESS, "tid": thread, "args": {"name": name}})
    counters = [
        {"name": "live bytes", "ph": "C", "pid": _PROCESS, "ts": seconds * 1e6, "args": {"on chip": on_chip, "off chip": off_chip}}
        for seconds, on_chip, off_chip in document["memory_over_time"]
    ]
    return {"traceEvents": names + events + counters, "displayTimeUnit": "ns"}
