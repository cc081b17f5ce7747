"""Where one operator's time and bytes go, and which ways to run it were rejected: made from the stored result alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cyclewright.metrics import Document, format_bytes, format_count
from hwspecs.vocabulary.errors import UnknownNameError
from hwspecs.vocabulary.suggest import did_you_mean
from hwspecs.vocabulary.units import format_quantity


def operator_of(document: Document, name: str) -> Mapping[str, Any]:
    """The row of one operator; of the group that it runs in where several run as one.

    Raises:
        UnknownNameError: no operator of that name; the hint names the nearest.
    """
    rows = {row["name"]: row for row in document["operators"]}
    groups = {member: row for row in document["operators"] for member in row.get("members", ())}
    rows = {**groups, **rows}
    if name not in rows:
        raise UnknownNameError(f"unknown operator {name!r}", where="--explain", hint=did_you_mean(name, rows))
    row: Mapping[str, Any] = rows[name]
    return row


def explain(document: Document, name: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Sections of (label, text) pairs about one operator.

    Raises:
        UnknownNameError: no operator of that name.
    """
    row = operator_of(document, name)
    sections = [("operator", _what(row)), ("time", _time(document, row)), ("bytes", _bytes(row)), ("energy (dynamic)", _energy(row))]
    alternatives = [(name, f"{cycles:,} cycles estimated, {reason or 'chosen'}") for name, cycles, reason in row.get("alternatives", ())]
    sections.append(("ways to run it", alternatives or [("", "the mapper offered this way only")]))
    return sections


def _what(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    times = f", {row['count']} times" if row["count"] != 1 else ""
    lines = [("kind", f"{row['kind']}{times}"), ("runs on", f"{row['unit']}, {row['alternative']}")]
    if row.get("members"):
        lines.append(("runs together", ", ".join(row["members"])))
    if row.get("fell_back_from"):
        lines.append(("fell back", f"{row['fell_back_from']} cannot run it"))
    if row["macs"]:
        executed = f"{format_count(row['executed_macs'])} executed in {row['compute_format']}, {row['pattern']}"
        lines.append(("MACs", f"{format_count(row['macs'])} dense, {executed}"))
    if row["vector_ops"]:
        lines.append(("vector operations", format_count(row["vector_ops"])))
    return lines


def _time(document: Document, row: Mapping[str, Any]) -> list[tuple[str, str]]:
    seconds = row["time_s"]
    lines = [
        ("time", f"{format_quantity(seconds, 's')}, {100 * row['share']:.3g} % of the whole"),
        ("bound by", str(row["bound_by"])),
        ("roof", f"{format_quantity(row['roof_s'], 's')}" + (f", {100 * row['roof_s'] / seconds:.3g} % of it reached" if seconds else "")),
        ("intensity", f"{row['intensity']:.4g} operations per off-chip byte"),
    ]
    clock = document["clock_hz"]
    for part, cycles in row["breakdown"].items():
        lines.append((f"  {part}", f"{format_quantity(cycles / clock, 's')} ({cycles:,} cycles) of one round"))
    return lines


def _bytes(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    lines = [
        ("off chip", format_bytes(row["dram_bytes"])),
        ("compulsory", format_bytes(row["compulsory_bytes"])),
    ]
    for memory, (read, written) in row["bytes_by_memory"].items():
        lines.append((f"  {memory}", f"{format_bytes(read)} read, {format_bytes(written)} written"))
    return lines


def _energy(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    parts = sorted(row["energy_j"].items(), key=lambda item: -item[1])
    lines = [(part, format_quantity(joules, "J")) for part, joules in parts if joules]
    return lines or [("", "the spec states no energy for what it does")]
