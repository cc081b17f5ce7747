"""Named metrics of a stored result, for gates, comparisons and the ledger.

Each metric is a number at the top of the result's JSON or a quotient of two of them; names have short aliases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hwspecs.vocabulary.errors import ArgumentError, UnknownNameError
from hwspecs.vocabulary.suggest import did_you_mean
from hwspecs.vocabulary.units import format_quantity

Document = Mapping[str, Any]
"""The stored form of a result, as ``json.loads`` gives it."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A named number of a result.

    Attributes:
        unit: SI unit, empty for shares and counts.
        dimension: name of its dimension in the unit table; ``ratio`` for shares, ``number`` for counts and rates per second.
        value: document to number.
        title: short heading for tables.
        better: ``low``, ``high`` or empty where neither is better.
    """

    unit: str
    dimension: str
    value: Callable[[Document], float]
    title: str
    better: str = ""


def _field(name: str) -> Callable[[Document], float]:
    return lambda document: float(document[name])


def _quotient(above: Callable[[Document], float], below: Callable[[Document], float]) -> Callable[[Document], float]:
    def value(document: Document) -> float:
        divisor = below(document)
        return above(document) / divisor if divisor else 0.0

    return value


def _settings(document: Document, name: str, default: float) -> float:
    return float(document.get("settings", {}).get(name, default))


def _produced_tokens(document: Document) -> float:
    """Tokens (images for networks without tokens) that one run finishes: the batch, times the tokens of each sequence."""
    return _settings(document, "batch", 1) * _settings(document, "tokens", 1)


_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_latency = _field("latency_s")

METRICS: dict[str, Metric] = {
    "latency_s": Metric("s", "time", _latency, "latency", "low"),
    "energy_j": Metric("J", "energy", _field("energy_j"), "energy", "low"),
    "power_w": Metric("W", "power", _quotient(_field("energy_j"), _latency), "mean power", "low"),
    "throughput_per_s": Metric("1/s", "number", _quotient(_produced_tokens, _latency), "tokens or images per second", "high"),
    "mfu": Metric("", "ratio", _field("mfu"), "MFU", "high"),
    "roofline_share": Metric("", "ratio", _quotient(_field("roofline_s"), _latency), "share of the roofline", "high"),
    "roofline_s": Metric("s", "time", _field("roofline_s"), "roofline"),
    "dram_bytes": Metric("byte", "bytes", _field("dram_bytes"), "off-chip traffic", "low"),
    "extra_bytes": Metric("byte", "bytes", _field("extra_bytes"), "traffic beyond compulsory", "low"),
    "peak_memory_bytes": Metric("byte", "bytes", _field("peak_memory_bytes"), "peak memory", "low"),
    "stored_weight_bytes": Metric("byte", "bytes", _field("stored_weight_bytes"), "weights stored", "low"),
    "kv_cache_bytes": Metric("byte", "bytes", _field("kv_cache_bytes"), "KV cache", "low"),
    "macs": Metric("", "number", _field("macs"), "MACs"),
    "flops": Metric("", "number", _field("flops"), "FLOPs"),
    "executed_flops": Metric("", "number", _field("executed_flops"), "FLOPs executed"),
    "vector_ops": Metric("", "number", _field("vector_ops"), "vector operations"),
    "parameters": Metric("", "number", _field("parameters"), "parameters"),
    "cycles": Metric("", "number", _field("cycles"), "cycles", "low"),
}


def _arrays(*path: str) -> Callable[[Document], float]:
    """A number of a crossbar's arrays; 0 where the spec does not state what it follows from."""

    def value(document: Document) -> float:
        found: Any = document["in_memory"]
        for key in path:
            found = found[key]
        return float(found or 0.0)

    return value


ARRAY_METRICS: dict[str, Metric] = {
    "arrays_used": Metric("", "number", _arrays("used"), "arrays that hold weights", "low"),
    "array_use": Metric("", "ratio", _arrays("use"), "cells in use", "high"),
    "interval_s": Metric("s", "time", _arrays("interval_s"), "steady interval", "low"),
    "pipelined_per_s": Metric("1/s", "number", _arrays("throughput_per_s"), "per second at that pace", "high"),
    "adc_energy_share": Metric("", "ratio", _arrays("adc_share", "energy"), "converters' share of energy"),
    "adc_time_share": Metric("", "ratio", _arrays("adc_share", "time"), "converters' share of arrays' time"),
    "adc_area_share": Metric("", "ratio", _arrays("adc_share", "area"), "converters' share of area"),
    "area_mm2": Metric("", "number", _arrays("peak", "area_mm2"), "area in mm2", "low"),
    "peak_tops": Metric("", "number", _arrays("peak", "tops"), "peak TOPS", "high"),
    "tops_per_w": Metric("", "number", _arrays("peak", "tops_per_w"), "peak TOPS/W", "high"),
    "tops_per_mm2": Metric("", "number", _arrays("peak", "tops_per_mm2"), "peak TOPS/mm2", "high"),
}
"""Metrics of crossbars alone: other results have no such number."""
METRICS.update(ARRAY_METRICS)

_ALIASES = {
    "latency": "latency_s", "time": "latency_s", "energy": "energy_j", "power": "power_w", "throughput": "throughput_per_s",
    "tokens_per_s": "throughput_per_s", "images_per_s": "throughput_per_s", "roofline": "roofline_s", "dram": "dram_bytes",
    "traffic": "dram_bytes", "spill": "extra_bytes", "peak_memory": "peak_memory_bytes", "memory": "peak_memory_bytes",
    "weights": "stored_weight_bytes", "kv_cache": "kv_cache_bytes", "interval": "interval_s", "area": "area_mm2",
}  # fmt: skip

HEADLINE = (
    "latency_s", "throughput_per_s", "energy_j", "power_w", "mfu", "roofline_share", "dram_bytes", "extra_bytes", "peak_memory_bytes",
    "stored_weight_bytes", "macs",
)  # fmt: skip
"""Metrics that comparisons show, in this order."""


def metric_names() -> tuple[str, ...]:
    """Canonical names and aliases."""
    return (*METRICS, *_ALIASES)


def metric_of(name: str, *, where: str | None = None) -> str:
    """The canonical name of a metric or alias.

    Raises:
        UnknownNameError: no such metric; the hint names the nearest.
    """
    key = _ALIASES.get(name.lower(), name.lower())
    if key not in METRICS:
        raise UnknownNameError(f"unknown metric {name!r}", where=where, hint=did_you_mean(name.lower(), metric_names()))
    return key


def metric_value(document: Document, name: str) -> float:
    """The value of a canonical metric, finite.

    Raises:
        ArgumentError: the document does not hold the number (not a result of ``run``).
    """
    try:
        value = METRICS[name].value(document)
    except (KeyError, TypeError, ValueError) as error:
        hint = "only crossbars have it" if name in ARRAY_METRICS else "give the JSON that `cyclewright run -o FILE.json` wrote"
        raise ArgumentError(f"the result has no number {name!r}", where=name, hint=hint) from error
    if not math.isfinite(value):
        raise ArgumentError(f"{name} is not finite", where=name)
    return value


def headline(document: Document) -> dict[str, float]:
    """The metrics that comparisons show, of crossbars those of their arrays too."""
    names = (*HEADLINE, *ARRAY_METRICS) if document.get("in_memory") else HEADLINE
    return {name: metric_value(document, name) for name in names}


def format_metric(name: str, value: float, digits: int = 4) -> str:
    """Text of a canonical metric's value: seconds, joules and bytes with a prefix, shares in percent, counts with k, M, G, T."""
    metric = METRICS[name]
    if metric.dimension == "ratio":
        return f"{100 * value:.{digits - 1}g} %"
    if metric.dimension == "bytes":
        return format_bytes(value, digits)
    if metric.dimension != "number":
        return format_quantity(value, metric.unit, digits)
    return f"{format_count(value, digits)}{' /s' if metric.unit else ''}"


def format_bytes(value: float, digits: int = 4) -> str:
    """Bytes with a decimal prefix throughout, so that the numbers of one table can be read against each other."""
    for factor, prefix in _PREFIXES:
        if abs(value) >= factor:
            return f"{value / factor:.{digits}g} {prefix}B"
    return f"{value:.{digits}g} B"


def format_count(value: float, digits: int = 4) -> str:
    """A plain number with a decimal prefix from ten thousand upwards: ``4.089 G``."""
    for factor, prefix in _PREFIXES:
        if abs(value) >= max(factor, 1e4):
            return f"{value / factor:.{digits}g} {prefix}"
    return f"{value:.{digits}g}"
