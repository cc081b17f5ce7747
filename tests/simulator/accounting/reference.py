"""Rows of SCALE-Sim's reference results as layers and arrays."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from simulator.accounting import Array, Layer

FILES = (
    "scalesim_random_small.csv",
    "scalesim_full_calc.csv",
    "scalesim_full_user.csv",
    "scalesim_shipped_golden.csv",
    "scalesim_compute_only.csv",
)
ALEXNET_CONV1 = "224 224 11 11 3 96 4"
COUNTS = (
    "demand_lines", "total_cycles", "stall_cycles", "sram_ifmap_reads", "sram_filter_reads", "sram_ofmap_writes",
    "dram_ifmap_reads", "dram_filter_reads", "dram_ofmap_writes",
)  # fmt: skip


def rows(path: Path) -> Iterator[Mapping[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def sizes_of(row: Mapping[str, str]) -> list[int]:
    """The numbers of the topology's line: seven of a convolution, or M, N, K."""
    if "layer_row" in row:
        return [int(value) for value in row["layer_row"].split()]
    if row["topology"].endswith("alexnet_part.csv Conv1"):
        return [int(value) for value in ALEXNET_CONV1.split()]
    return [int(row[name]) for name in ("M", "N", "K")]


def layer_of(row: Mapping[str, str]) -> Layer:
    sizes = sizes_of(row)
    return Layer.gemm(*sizes) if len(sizes) == 3 else Layer(*sizes[:6], (sizes[6], sizes[6]))


def kib_of(row: Mapping[str, str]) -> tuple[int, ...]:
    """Scratchpads in KiB; 64 each where the row does not say (SCALE-Sim's default)."""
    return tuple(int(value) for value in row.get("sram_kB_if_filt_of", "64/64/64").split("/"))


def array_of_row(row: Mapping[str, str]) -> Array:
    rates = (10, 10, 10) if row.get("bandwidth_mode") == "USER" else None
    ifmap, filters, ofmap = (1024 * value for value in kib_of(row))
    return Array(int(row["rows"]), int(row["cols"]), row["dataflow"], (ifmap, filters, ofmap), rates)


def wanted(row: Mapping[str, str]) -> dict[str, int]:
    """The counts that the row states."""
    return {name: int(row[name]) for name in COUNTS if row.get(name)}
