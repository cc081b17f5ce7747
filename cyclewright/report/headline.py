"""The numbers on top of a report."""

from __future__ import annotations

from cyclewright.plots.formatting import amount, count, energy, percent, seconds, si, significant
from cyclewright.plots.wording import capacity, resource_name, throughput
from cyclewright.report.markup import esc
from simulator.result import Result


def cards(result: Result) -> str:
    """Headline numbers as a definition list, each with what puts it in proportion."""
    entries = [_latency(result), _throughput(result), _roofline(result), _bound(result), _energy(result), _power(result)]
    entries += [_traffic(result), _memory(result), _utilization(result), _work(result), _weights(result)]
    items = "\n".join(
        f'<div class="card" data-metric="{key}"><dt>{esc(name)}</dt><dd>{esc(value)}</dd><dd class="note">{esc(note)}</dd></div>'
        for key, name, value, note in entries
    )
    return f'<dl class="cards">\n{items}\n</dl>'


Entry = tuple[str, str, str, str]


def _interval(result: Result, metric: str, unit: str) -> str:
    if metric not in result.interval:
        return ""
    low, high = result.interval[metric]
    return f"{si(low, unit)} to {si(high, unit)} over the assumed numbers"


def _latency(result: Result) -> Entry:
    note = _interval(result, "latency_s", "s") or f"{count(result.cycles)} cycles at {si(result.clock_hz, 'Hz', 4)}"
    return "latency_s", "Latency", seconds(result.latency_s), note


def _throughput(result: Result) -> Entry:
    value, unit = throughput(result)
    batch = result.settings.get("batch", 1)
    return "throughput", "Throughput", f"{significant(value)} {unit}", f"batch {batch}, one run after the other"


def _roofline(result: Result) -> Entry:
    note = "the least time at data-sheet rates"
    if result.roofline_s > 0:
        note = f"the least time at data-sheet rates; this run takes {significant(result.latency_s / result.roofline_s)} times that"
    return "roofline_s", "Roofline", seconds(result.roofline_s), note


def _bound(result: Result) -> Entry:
    busy = result.busy.get(result.bound_by, 0.0)
    note = ""
    if busy and result.latency_s > 0:
        share = percent(min(1.0, busy / result.latency_s))
        arithmetic = result.bound_by.startswith("compute:")
        note = f"occupied {share} of the time, idle elements, filling and draining included" if arithmetic else f"busy {share} of the time"
    return "bound_by", "Bound by", resource_name(result.bound_by), note


def _energy(result: Result) -> Entry:
    static = result.energy_by_component.get("static", 0.0)
    parts = [_interval(result, "energy_j", "J"), f"{percent(static / result.energy_j)} of it static" if result.energy_j > 0 else ""]
    return "energy_j", "Energy", energy(result.energy_j), "; ".join(part for part in parts if part)


def _power(result: Result) -> Entry:
    value, unit = throughput(result)
    each = result.energy_j / (value * result.latency_s) if value > 0 and result.latency_s > 0 else 0.0
    power = result.energy_j / result.latency_s if result.latency_s > 0 else 0.0
    return "power", "Average power", si(power, "W"), f"{energy(each)} per {unit.removesuffix('/s').removesuffix('s')}" if each else ""


def _traffic(result: Result) -> Entry:
    note = f"{amount(result.compulsory_bytes)} compulsory + {amount(result.extra_bytes)} extra"
    return "dram_bytes", "Off-chip traffic", amount(result.dram_bytes), note


def _memory(result: Result) -> Entry:
    known = capacity(result, off_chip=True)
    unfit = "" if result.fits else ": does not fit"
    note = "fits" if result.fits else "does not fit"
    if known and known[1]:
        note = f"{percent(result.peak_memory_bytes / known[1])} of the {amount(known[1])} of {known[0]}{unfit}"
    return "peak_memory_bytes", "Peak memory", amount(result.peak_memory_bytes), note


def _utilization(result: Result) -> Entry:
    return "mfu", "MFU", percent(result.mfu), "useful arithmetic as a share of the dense peak of the format that carries most of it"


def _work(result: Result) -> Entry:
    executed = "" if result.executed_flops == result.flops else f", {si(result.executed_flops, 'FLOP')} executed"
    note = f"{si(result.flops, 'FLOP')}{executed}; {si(result.vector_ops, 'OP')} elementwise beside"
    return "macs", "Arithmetic", si(result.macs, "MAC", 4), note


def _weights(result: Result) -> Entry:
    cache = f"; the KV cache takes {amount(result.kv_cache_bytes)} beside them" if result.kv_cache_bytes else ""
    return "parameters", "Parameters", si(result.parameters, "", 4), f"stored in {amount(result.stored_weight_bytes)}{cache}"
