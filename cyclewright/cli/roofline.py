"""``cyclewright roofline``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from cyclewright.cli.options import checked_outputs, hardware_option, json_option, output_option, set_option, settings_of, workload_options
from cyclewright.cli.text import heading, print_json, say_written, table

_HELP = """The hierarchical roofline of MODEL: one roof per memory level and number format, and where each operator stands under them.

\b
Examples:
  cyclewright roofline resnet50 --hw nvidia-a100-sxm-80gb -o roof.svg
  cyclewright roofline llama-3-8b --hw nvidia-h100-sxm --phase prefill --tokens 2048
"""


@click.command(help=_HELP, short_help="Roofs of a device and the operators under them.")
@click.argument("model")
@hardware_option()
@workload_options
@set_option
@click.option("--top", type=click.IntRange(min=0), default=15, show_default=True, help="How many operators to list.")
@json_option
@output_option(".svg .png .html .json .csv")
def roofline(model: str, hardware: str, overrides: tuple[str, ...], **options: Any) -> None:
    """Draw and list the roofline."""
    outputs = checked_outputs(options["outputs"], "roofline")
    settings = settings_of(options)
    from cyclewright.api import document_of, run
    from cyclewright.outputs import render_run, write_all
    from cyclewright.roofs import roofline_table

    result = run(model, hardware, overrides=overrides, **settings)
    found = roofline_table(document_of(result))
    write_all([(path, render_run(result, path)) for path in outputs])
    if options["as_json"]:
        print_json(found)
    else:
        _show(found, options["top"])
    say_written(outputs)


def _show(found: Mapping[str, Any], top: int) -> None:
    from cyclewright.metrics import format_count
    from cyclewright.plots.formatting import percent
    from hwspecs.vocabulary.units import format_quantity

    click.echo(click.style(f"{found['model']} on {found['hardware']}", bold=True))
    heading("roofs")
    rows = []
    for roof in found["roofs"]:
        value = format_quantity(roof["value"], "byte/s") if roof["kind"] == "memory" else f"{format_count(roof['value'])}OP/s"
        ridge = f"{roof['ridge']:.4g} operations/B" if roof.get("ridge") else ""
        rows.append((roof["kind"], roof["name"], value, ridge, "" if roof["used"] else "not used"))
    table(("kind", "roof", "value", "ridge", ""), rows, left=2)
    if top:
        heading("operators by time")
        table(
            ("operator", "kind", "operations/B", "achieved", "share", "bound by", "roof"),
            [
                (
                    row["name"], row["kind"], f"{row['intensity']:.4g}", f"{format_count(row['operations_per_s'])}OP/s",
                    percent(row["share"]), row["bound_by"] if row["time_s"] else "", percent(row["roof_share"]) if row["time_s"] else "",
                )
                for row in found["operators"][:top]
            ],
            left=2,
        )  # fmt: skip
