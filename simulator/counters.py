"""Counter tracks of a trace: use of each unit, bandwidth of each off-chip memory and bytes held on chip, from a result's ``over_time``."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from simulator.result import Result

Event = dict[str, Any]


def uses(result: Result) -> dict[str, list[float]]:
    """Unit to the share of its peak at which it multiplies and accumulates, piece by piece: executed MACs over what the roof allows.

    Where operators of several formats run on a unit, each counts against the roof of its own.
    """
    found: dict[str, list[float]] = {}
    lengths = [end - start for start, end in pairwise(result.over_time.get("cycles", ()))]
    for key, amounts in result.over_time.items():
        kind, _, rest = key.partition(":")
        roof = result.roofs.get(key, 0.0)
        if kind not in ("compute", "vector") or roof <= 0:
            continue
        per_cycle = roof / (2.0 * result.clock_hz)
        unit = rest.partition(":")[0]
        shares = found.setdefault(unit, [0.0] * len(lengths))
        for number, (amount, length) in enumerate(zip(amounts, lengths, strict=True)):
            shares[number] += amount / (per_cycle * length)
    return found


def bandwidths(result: Result) -> dict[str, tuple[list[float], list[float]]]:
    """Off-chip memory to bytes/s read and written, piece by piece."""
    marks = result.over_time.get("cycles", ())
    seconds = [(end - start) / result.clock_hz for start, end in pairwise(marks)]
    found: dict[str, tuple[list[float], list[float]]] = {}
    for key, amounts in result.over_time.items():
        kind, _, rest = key.partition(":")
        if kind == "memory":
            name, _, way = rest.rpartition(":")
            both = found.setdefault(name, ([0.0] * len(seconds), [0.0] * len(seconds)))
            both[way == "written"][:] = [amount / length for amount, length in zip(amounts, seconds, strict=True)]
    return found


def held(result: Result) -> dict[str, tuple[int, ...]]:
    """On-chip memory to mean bytes held, piece by piece."""
    return {key.partition(":")[2]: levels for key, levels in result.over_time.items() if key.startswith("held:")}


def counter_events(result: Result) -> list[Event]:
    """Counter events (``ph`` C): per cent of each unit's peak, GB/s read and written, bytes held; one only where a value changes.

    A result without ``over_time`` gives the mean bandwidth of each operator.
    """
    marks = result.over_time.get("cycles", ())
    if not marks:
        return _averages(result)
    times = [mark / result.clock_hz for mark in marks]
    events: list[Event] = []
    for unit, shares in uses(result).items():
        events += _track(f"{unit} use", times, {"% of peak": [100.0 * share for share in shares]})
    for name, (read, written) in bandwidths(result).items():
        events += _track(f"{name} GB/s", times, {"read": [rate / 1e9 for rate in read], "written": [rate / 1e9 for rate in written]})
    for name, levels in held(result).items():
        events += _track(f"{name} held", times, {"bytes": list(levels)})
    return events


def _track(name: str, times: list[float], columns: Mapping[str, list[Any]]) -> list[Event]:
    """Events of a counter that takes the values of ``columns`` from each of ``times`` on, and 0 from the last one on.

    Of pieces that begin in the same nanosecond the last counts.
    """
    last = len(times) - 1
    samples = {round(time * 1e9): {key: 0 if n == last else column[n] for key, column in columns.items()} for n, time in enumerate(times)}
    events: list[Event] = []
    for at, values in samples.items():
        if not events or values != events[-1]["args"]:
            events.append({"ph": "C", "pid": 1, "name": name, "ts": at / 1e3, "args": values})
    return events


def _averages(result: Result) -> list[Event]:
    """GB/s of each off-chip memory from each operator's start on, and nothing after the last."""
    events: list[Event] = []
    shown = [operator for operator in result.operators if operator.end_s > operator.start_s and operator.time_s > 0]
    for name, (_, off_chip) in result.capacities.items():
        if not off_chip or not shown:
            continue
        times, read, written = [0.0], [0.0], [0.0]
        for operator in shown:
            if operator.start_s > times[-1]:
                times.append(operator.start_s)
                read.append(0.0)
                written.append(0.0)
            moved = operator.bytes_by_memory.get(name, (0, 0))
            read[-1], written[-1] = (nbytes / operator.time_s / 1e9 for nbytes in moved)
            times.append(operator.end_s)
            read.append(0.0)
            written.append(0.0)
        events += _track(f"{name} GB/s", times, {"read": read, "written": written})
    return events
