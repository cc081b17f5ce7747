"""``cyclewright models``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cyclewright.cli.options import json_option
from cyclewright.cli.text import print_json, table

if TYPE_CHECKING:
    from workloads import ModelInfo

_HELP = """The models of the zoo, with parameters, and MACs of one input in the first phase (a prompt of 2048 tokens for LLMs).
Those with the phase train take --phase train.

\b
Examples:
  cyclewright models
  cyclewright models --json

`run` also takes gemm:MxNxK, conv:..., attention:..., a path to an ONNX file, and a path to a Hugging Face config.json.
"""


@click.command(help=_HELP, short_help="The models that come with the package.")
@json_option
def models(as_json: bool) -> None:
    """List the zoo."""
    from cyclewright.metrics import format_count
    from workloads import list_models

    rows = [_row(model) for model in list_models()]
    if as_json:
        print_json({"models": rows})
        return

    def count(value: int | None) -> str:
        return "" if value is None else format_count(value)

    table(
        ("model", "kind", "phases", "parameters", "MACs"),
        [(row["name"], row["kind"], ", ".join(row["phases"]), count(row["parameters"]), count(row["macs"])) for row in rows],
        left=3,
    )


def _row(model: ModelInfo) -> dict[str, Any]:
    row = {"name": model.name, "kind": model.kind, "phases": list(model.phases), "description": model.description}
    if model.kind == "operator":
        return {**row, "parameters": None, "macs": None}
    from workloads import counts, load_model

    found = counts(load_model(model.name))
    return {**row, "parameters": found.parameters, "macs": found.macs}
