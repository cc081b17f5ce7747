"""The block ``scalesim`` of a result: SCALE-Sim's counts of every operator that it has a notion of, and their sums."""

from __future__ import annotations

from dataclasses import asdict

from hwspecs.hardware import Hardware
from hwspecs.vocabulary.errors import ArgumentError, UnsupportedError
from hwspecs.vocabulary.suggest import did_you_mean
from simulator.accounting.layers import Layer, layers_of
from simulator.accounting.scalesim import Array, Counts, array_of, count_layer, utilisation
from workloads.graph import OperatorGraph

ACCOUNTINGS = ("scalesim:calc", "scalesim:user")
KEYS = (
    "demand_lines", "total_cycles", "stall_cycles", "sram_ifmap_reads", "sram_filter_reads", "sram_ofmap_writes",
    "dram_ifmap_reads", "dram_filter_reads", "dram_ofmap_writes",
)  # fmt: skip


def check_accounting(accounting: str) -> None:
    """Raise ``ArgumentError`` for a text that names no accounting."""
    if accounting not in ACCOUNTINGS:
        raise ArgumentError(f"unknown accounting {accounting!r}", where="accounting", hint=did_you_mean(str(accounting), ACCOUNTINGS))


def account(graph: OperatorGraph, hardware: Hardware, accounting: str) -> dict[str, object]:
    """The block: sums over all layers by ``KEYS``, the configuration, ``notes``, and ``layers``.

    A layer's numbers are those of all its runs (``count``); ``total_cycles`` is thus one less than the lines for every run.

    Args:
        accounting: ``scalesim:calc`` (SCALE-Sim estimates the bandwidth, no stalls) or ``scalesim:user`` (the spec's bandwidths).

    Raises:
        ArgumentError, UnsupportedError: see ``array_of``; also if no operator is a convolution or a matrix product.
    """
    check_accounting(accounting)
    if hardware.cores > 1:
        raise UnsupportedError("SCALE-Sim counts one core", where="accounting", hint="add --set cores=1")
    array = array_of(hardware, user=accounting == "scalesim:user")
    found, notes = layers_of(graph)
    if not found:
        raise UnsupportedError(f"{graph.name} has no layer that SCALE-Sim knows: {'; '.join(notes)}", where="accounting")
    counted: dict[Layer, Counts] = {}
    rows: list[dict[str, object]] = []
    totals = dict.fromkeys(KEYS, 0)
    for item in found:
        counts = counted.get(item.layer)
        if counts is None:
            counts = counted[item.layer] = count_layer(item.layer, array)
        values = {key: item.count * value for key, value in asdict(counts).items()}
        for key in KEYS:
            totals[key] += values[key]
        rows.append(
            {
                "name": item.operator,
                "count": item.count,
                "m": item.layer.m,
                "n": item.layer.n,
                "k": item.layer.k,
                **{key: values[key] for key in KEYS},
                **utilisation(item.layer, array, counts),
            }
        )
    macs = sum(item.count * item.layer.macs for item in found)
    share = macs / (totals["total_cycles"] * array.rows * array.columns) if totals["total_cycles"] else 0.0
    return {
        "accounting": accounting,
        **totals,
        "macs": macs,
        "overall_utilisation": share,
        "configuration": _configuration(array),
        "notes": list(notes),
        "layers": rows,
    }


def _configuration(array: Array) -> dict[str, object]:
    """The array as SCALE-Sim's configuration file would state it."""
    sizes = dict(zip(("ifmap_bytes", "filter_bytes", "ofmap_bytes"), array.sizes, strict=True))
    rates = dict(zip(("ifmap_words_per_cycle", "filter_words_per_cycle", "ofmap_words_per_cycle"), array.bandwidths or (), strict=False))
    return {"rows": array.rows, "columns": array.columns, "dataflow": array.dataflow, **sizes, **rates}
