"""A strict reading of the Trace Event Format, and of what Perfetto's importer makes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from math import isfinite
from typing import Any

METADATA = {"process_name": "name", "thread_name": "name", "thread_sort_index": "sort_index"}


def checked(text: str) -> list[dict[str, Any]]:
    """The events of a trace; fails on whatever a viewer would drop, guess at or show under a wrong name.

    * JSON object format: ``traceEvents``; a time unit for display of ``ms`` or ``ns``; no NaN or infinity.
    * Each event: ``ph`` one of M, X, C, its required fields and no others; process 1 alone.
    * Threads: named once, by metadata, before use. Perfetto takes thread 0 for the idle thread of a processor and joins it with others,
      and a thread whose number is that of its process for the main thread.
    * Complete events: whole nanoseconds, at least one long; on one thread they must not overlap partly (Perfetto drops the later one: its
      ``slice_drop_overlapping_complete_event``), and here, where nothing calls anything, they do not nest either. In order of time.
    * Counters: numbers in ``args``, the same series in each event of a track, strictly later than the one before, nothing repeated.
    """
    document = json.loads(text, parse_constant=_refuse)
    assert set(document) == {"traceEvents", "displayTimeUnit"}
    assert document["displayTimeUnit"] in ("ms", "ns")
    events: list[dict[str, Any]] = document["traceEvents"]
    threads: dict[int, str] = {}
    slices: dict[int, list[tuple[int, int]]] = {}
    counters: dict[str, list[tuple[int, Mapping[str, float]]]] = {}
    for event in events:
        assert event["pid"] == 1
        assert isinstance(event["name"], str)
        assert event["name"]
        if event["ph"] == "M":
            _metadata(event, threads)
        elif event["ph"] == "X":
            assert set(event) == {"ph", "pid", "tid", "name", "cat", "ts", "dur", "args"}
            assert event["tid"] in threads, "events on a thread without a name"
            start, length = _whole(event["ts"]), _whole(event["dur"])
            assert start >= 0
            assert length >= 1
            slices.setdefault(event["tid"], []).append((start, start + length))
        else:
            assert event["ph"] == "C", f"an event of kind {event['ph']!r}"
            assert set(event) == {"ph", "pid", "name", "ts", "args"}
            assert event["args"]
            assert all(type(value) in (int, float) and isfinite(value) for value in event["args"].values())
            counters.setdefault(event["name"], []).append((_whole(event["ts"]), event["args"]))
    assert set(slices) <= set(threads)
    for stretches in slices.values():
        assert all(first[1] <= second[0] for first, second in pairwise(stretches)), "complete events overlap on a thread"
    for samples in counters.values():
        assert samples[0][0] == 0
        for (at, before), (then, after) in pairwise(samples):
            assert at < then
            assert set(before) == set(after)
            assert before != after
    return events


def _metadata(event: dict[str, Any], threads: dict[int, str]) -> None:
    key = METADATA[event["name"]]
    assert set(event["args"]) == {key}
    if event["name"] == "process_name":
        assert set(event) == {"ph", "pid", "name", "args"}
        return
    assert set(event) == {"ph", "pid", "tid", "name", "args"}
    assert event["tid"] not in (0, event["pid"])
    if event["name"] == "thread_name":
        assert event["tid"] not in threads
        threads[event["tid"]] = event["args"]["name"]


def _whole(microseconds: float) -> int:
    """Nanoseconds, of which there must be a whole number: else rounding decides whether neighbours overlap."""
    nanoseconds = round(microseconds * 1e3)
    assert nanoseconds / 1e3 == microseconds, f"{microseconds} us are no whole nanoseconds"
    return nanoseconds


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def integral(events: list[dict[str, Any]], track: str, series: str) -> float:
    """Value x nanoseconds of a counter's series; each value holds until the next, the last one must be 0."""
    samples = [(_whole(event["ts"]), event["args"][series]) for event in events if event["ph"] == "C" and event["name"] == track]
    assert samples[-1][1] == 0
    return sum(value * (then - at) for (at, value), (then, _) in pairwise(samples))
