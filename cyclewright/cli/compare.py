"""``cyclewright compare``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cyclewright.cli.options import (
    checked_outputs,
    compared_workload_options,
    hardware_option,
    json_option,
    output_option,
    set_option,
    settings_of,
)
from cyclewright.cli.text import heading, print_json, read_result, say_written, table
from hwspecs.vocabulary.errors import ArgumentError

if TYPE_CHECKING:
    from simulator.result import Result

_HELP = """Results side by side.

\b
Examples:
  cyclewright compare base.json changed.json
  cyclewright compare llama-3-8b --hw nvidia-a100-sxm-80gb --hw nvidia-h100-sxm --phase decode --batch 8
  cyclewright compare resnet50 --hw xilinx-vcu1525-sat --batch 16 --sparsity dense --sparsity 2:4 --sparsity 2:8
  cyclewright compare resnet50 --hw isaac --hw neurosim-rram -o parts.svg
  cyclewright compare result.json --measured timings.csv
  cyclewright compare resnet50 --hw nvidia-a100-sxm-80gb --measured timings.csv

The first four set stored results, or one model on several devices or with several patterns of sparsity, side by side. The
others show the error against your own timings: a CSV with the columns operator and time_us (or time_ms, time [s], ...), where a
time is that of all rounds of the operator.
"""
_HOW_MANY = "give two or more to compare, or one with --measured"


@click.command(help=_HELP, short_help="Results side by side, or against your own timings.")
@click.argument("what", nargs=-1, required=True, metavar="RESULT.json... | MODEL")
@hardware_option(several=True, required=False)
@compared_workload_options
@set_option
@click.option("--measured", metavar="FILE.csv", help="Your own timings by operator.")
@click.option("--top", type=click.IntRange(min=0), default=15, show_default=True, help="How many operators to list.")
@json_option
@output_option(".json .csv .svg .png")
def compare(what: tuple[str, ...], hardware: tuple[str, ...], overrides: tuple[str, ...], measured: str | None, **options: Any) -> None:
    """Set results side by side."""
    outputs = checked_outputs(options["outputs"], "compare")
    if measured and (drawn := [path for path in outputs if path.suffix.lower() in (".svg", ".png")]):
        raise ArgumentError("errors against timings have no figure", where=str(drawn[0]), hint="write .json or .csv with --measured")
    wanted = 1 if measured else 2
    patterns = options["sparsity"] or (None,)
    results = _results(what, hardware, overrides, settings_of(options), patterns, wanted)
    from cyclewright.comparison import compare as set_side_by_side
    from cyclewright.comparison import compare_measured
    from cyclewright.outputs import json_bytes, render_compare, table_csv, write_all

    if measured:
        found = compare_measured(results[0], measured).as_dict()
        write_all([(path, json_bytes(found) if path.suffix == ".json" else table_csv(found["operators"])) for path in outputs])
    else:
        answer = set_side_by_side(*results)
        found = answer.as_dict()
        write_all([(path, render_compare(answer, results, path)) for path in outputs])
    if options["as_json"]:
        print_json(found)
    elif measured:
        _show_measured(found, options["top"])
    else:
        _show(found, options["top"])
        _unfit(found["labels"], results)
    say_written(outputs)


def _results(
    what: tuple[str, ...],
    hardware: tuple[str, ...],
    overrides: tuple[str, ...],
    settings: dict[str, Any],
    patterns: tuple[str | None, ...],
    wanted: int,
) -> list[Result]:
    """Stored results where files are given without --hw, runs of one model otherwise."""
    files = "stored results" if wanted == 2 else "one stored result"
    if not hardware:
        if not all(name.lower().endswith(".json") for name in what):
            raise ArgumentError(f"{what[0]} runs on no device", where="compare", hint=f"give --hw, or {files} (*.json)")
        if overrides:
            raise ArgumentError("a stored result has no spec to change", where="--set", hint="give MODEL and --hw")
        if (wanted == 2 and len(what) < 2) or (wanted == 1 and len(what) != 1):
            raise ArgumentError(f"{len(what)} results are given", where="compare", hint=_HOW_MANY)
        return [read_result(Path(name)) for name in what]
    if len(what) != 1:
        raise ArgumentError(f"{len(what)} models are given", where="compare", hint="give one model, and --hw once per device")
    runs = len(hardware) * len(patterns)
    if wanted == 1 and len(patterns) > 1:
        raise ArgumentError(f"{len(patterns)} patterns are given", where="--sparsity", hint="give one with --measured")
    if (wanted == 2 and runs < 2) or (wanted == 1 and runs != 1):
        raise ArgumentError(f"{len(hardware)} device{'s are' if len(hardware) != 1 else ' is'} given", where="--hw", hint=_HOW_MANY)
    from cyclewright.api import run

    return [run(what[0], name, overrides=overrides, **{**settings, "sparsity": pattern}) for name in hardware for pattern in patterns]


def _show(found: Mapping[str, Any], top: int) -> None:
    from cyclewright.metrics import METRICS, format_metric
    from hwspecs.vocabulary.units import format_quantity

    labels = found["labels"]
    rows = []
    for name, both in found["metrics"].items():
        cells = []
        for value, ratio in zip(both["values"], [None, *both["ratios"][1:]], strict=True):
            cells.append("" if value is None else format_metric(name, value) + ("" if ratio is None else f"  x{ratio:.3f}"))
        rows.append((METRICS[name].title, *cells))
    rows.extend(
        (f"time of {item['name']}", *["" if time is None else format_quantity(time, "s") for time in item["time_s"]])
        for item in found["passes"]
    )
    rows.append(("bound by", *found["bound_by"]))
    table(("metric", *labels), rows)
    if top and found["operators"]:
        heaviest = sorted(found["operators"], key=lambda row: -max(time or 0.0 for time in row["time_s"]))[:top]
        heading("operators by time")
        cells_of = [(row["name"], *("" if time is None else format_quantity(time, "s") for time in row["time_s"])) for row in heaviest]
        table(("operator", *labels), cells_of)


def _unfit(labels: Sequence[str], results: Sequence[Result]) -> None:
    """Say which columns are of what their device cannot hold, and which of a design that its FPGA cannot."""
    for label, result in zip(labels, results, strict=True):
        if not result.fits:
            click.echo(f"  {label}: {result.model} does not fit in the memory of {result.hardware}")
        for part, (used, most) in result.resources.items():
            if used > most:
                click.echo(f"  {label}: the design does not fit the device: about {used:,} {part.upper()} of {most:,}")


def _show_measured(found: Mapping[str, Any], top: int) -> None:
    from hwspecs.vocabulary.units import format_quantity

    total = found["total"]
    heaviest = sorted(found["operators"], key=lambda row: -row["measured_s"])
    rows = [
        (row["name"], *(format_quantity(row[key], "s") for key in ("ours_s", "measured_s")), f"{100 * row['error']:+.1f} %")
        for row in [*heaviest[:top], {"name": "total of both", **total}]
    ]
    table(("operator", "ours", "measured", "error"), rows)
    click.echo(f"  mean absolute error of {len(heaviest)} operators: {100 * found['mean_absolute_error']:.1f} %")
    for key, text in (("only_measured", "measured, but not in the result"), ("only_ours", "in the result, but not measured")):
        names = found[key]
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            click.echo(f"  {text}: {', '.join(names[:5])}{more}")
