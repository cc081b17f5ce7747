"""``cyclewright whatif``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from cyclewright.cli.options import checked_outputs, hardware_option, json_option, output_option, set_option, settings_of, workload_options
from cyclewright.cli.text import Progress, heading, pairs, print_json, say_written, table, title

_HELP = """Which number of the spec limits MODEL.

\b
Examples:
  cyclewright whatif llama-3-8b --hw nvidia-h100-sxm --phase decode --batch 8 --context 4096
  cyclewright whatif resnet50 --hw edge-npu -o tornado.svg
  cyclewright whatif resnet50 --hw edge-npu --set array.rows=256 --set array.columns=256

Each number is set to 1.1, 2 and 1/2 of its value, one at a time, and ranked by the gain. The elasticity says by how many percent
the metric moves when the number grows by one percent (taken at +10 %). A number that the spec limits, such as a share of the peak,
stops at its limit (*); a dash is a value that cannot run, with the reason below the table. With --set, the changed device stands beside the
base; add --all to vary each number too.
"""


@click.command(help=_HELP, short_help="Which number of a spec limits a model.")
@click.argument("model")
@hardware_option()
@workload_options
@set_option
@click.option("--all", "all_leaves", is_flag=True, help="With --set: also vary each number of the base.")
@click.option("--metric", metavar="METRIC", default="latency", show_default=True, help="What ranks the numbers: latency or energy.")
@click.option("--top", type=click.IntRange(min=1), default=15, show_default=True, help="How many numbers to list.")
@json_option
@output_option(".html .json .csv .svg .png")
def whatif(model: str, hardware: str, overrides: tuple[str, ...], all_leaves: bool, metric: str, **options: Any) -> None:
    """Vary the numbers of a spec."""
    outputs = checked_outputs(options["outputs"], "whatif")
    settings = settings_of(options)
    from cyclewright.api import document_of
    from cyclewright.outputs import render_whatif, write_all
    from cyclewright.sensitivity import whatif as ask

    # a chart needs the ranking, whatever else was asked for
    leaves = all_leaves or not overrides or bool(outputs)
    with Progress("runs") as progress:
        answer = ask(model, hardware, set=overrides, leaves=leaves, metric=metric, progress=progress, **settings)
    document = answer.as_dict()
    base = document_of(answer.base)
    write_all([(path, render_whatif(document, path, base=base)) for path in outputs])
    if options["as_json"]:
        print_json(document)
    else:
        _show(document, base, options["top"])
    say_written(outputs)


def _show(document: Mapping[str, Any], run: Mapping[str, Any], top: int) -> None:
    from cyclewright.metrics import format_metric

    base = document["base"]
    click.echo(click.style(title(run), bold=True))
    lines = [
        (name, format_metric(key, base[key])) for name, key in (("latency", "latency_s"), ("energy", "energy_j"), ("power", "power_w"))
    ]
    pairs([*lines, ("bound by", run["bound_by"]), *([] if run["fits"] else [("memory", "the base does not fit")])])
    if document["change"]:
        _show_change(document["change"])
    if document["leaves"]:
        _show_leaves(document, top)


def _show_change(change: Mapping[str, Any]) -> None:
    from cyclewright.metrics import METRICS, format_metric

    heading(f"with {', '.join(change['overrides'])}")
    rows = []
    for name, both in change["metrics"].items():
        ratio = f"{both['ratio']:.3f}" if both["ratio"] is not None else ""
        sign = "+" if both["delta"] > 0 else ""
        values = [format_metric(name, both[key]) for key in ("base", "changed", "delta")]
        rows.append((METRICS[name].title, values[0], values[1], sign + values[2], ratio))
    table(("metric", "base", "changed", "delta", "ratio"), rows)
    if (errors := change.get("output_error")) is not None:
        old, new = ("exact" if error == 0.0 else "not on arrays" if error is None else f"{error:.3g}" for error in errors)
        click.echo(f"  output error of the largest layers on arrays {old}, then {new} (see `cyclewright precision`)")
    before, after = change["bound_by"]
    click.echo(f"  bound by {before}" + (f", then by {after}" if after != before else ", as before"))
    for warning in change["warnings"]:
        click.echo(f"  - {warning}")


def _show_leaves(document: Mapping[str, Any], top: int) -> None:
    moving = [leaf for leaf in document["leaves"] if _moves(leaf)]
    heading("numbers of the spec, the limiting one first")
    if not moving:
        click.echo("  no number of the spec changes latency or energy")
        return
    best = moving[0]
    word = "latency" if document["metric"] == "latency_s" else "energy"
    rows = [
        (
            leaf["path"], leaf["text"], leaf["source"], _number(leaf["elasticity_latency"]), _number(leaf["elasticity_energy"]),
            _factor(leaf, 2.0), _factor(leaf, 0.5),
        )
        for leaf in moving[:top]
    ]  # fmt: skip
    table(("path", "value", "source", "elasticity of latency", "of energy", f"{word} at x2", "at /2"), rows, left=3)
    still = len(document["leaves"]) - len(moving)
    rest = f"{len(moving) - top} more move something; " if len(moving) > top else ""
    click.echo(f"  {rest}{still} of {len(document['leaves'])} change neither latency nor energy")
    if best["gain"] > 1.0005:
        change = "half" if best["best_factor"] < 1 else f"{best['best_factor']:g} times"
        click.echo(f"  {best['path']} at {change} its value: {word} {100 * (1 - 1 / best['gain']):.3g} % lower")
    for leaf in moving[:top]:
        if leaf["note"]:
            click.echo(f"  {leaf['path']}: {leaf['note']}")


def _moves(leaf: Mapping[str, Any]) -> bool:
    """Whether a table to three digits would show any effect of the leaf."""
    small = max(abs(leaf["elasticity_latency"] or 0.0), abs(leaf["elasticity_energy"] or 0.0))
    return small > 5e-4 or any(abs((point["ratio"] or 1.0) - 1.0) > 5e-4 for point in leaf["points"])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}"


def _factor(leaf: Mapping[str, Any], factor: float) -> str:
    point = next(point for point in leaf["points"] if point["factor"] == factor)
    value = point["ratio"]
    return "–" if value is None else f"x{value:.3f}" + ("*" if point["capped"] else "")
