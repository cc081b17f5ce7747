"""``cyclewright precision``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from cyclewright.cli.options import hardware_option, json_option, set_option, settings_of, workload_options
from cyclewright.cli.text import print_json, table

_HELP = """What the arrays of a crossbar do to the numbers of MODEL's layers.

\b
Examples:
  cyclewright precision resnet50 --hw isaac
  cyclewright precision resnet50 --hw isaac --set array.adc.resolution=6
  cyclewright precision lstm-kws --hw neurosim-rram --operator layer0.gates --json

Each distinct layer is computed once on drawn weights and inputs: in bit slices and input phases, with read noise, through converters of the
spec's resolution. The error is the root mean square of the result's error over that of the exact result; of it, what rounding to integers
does, and what the arrays do besides. This is a guard against converters that look free, not an accuracy: for that use aihwkit or CrossSim.
"""


@click.command(help=_HELP, short_help="Output error of layers on a crossbar's arrays.")
@click.argument("model")
@hardware_option()
@workload_options
@set_option
@click.option("--operator", metavar="NAME", help="This operator alone.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws weights, inputs and noise.")
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True, help="How many layers to list.")
@json_option
def precision(model: str, hardware: str, overrides: tuple[str, ...], operator: str | None, seed: int, **options: Any) -> None:
    """Check the arithmetic of a crossbar."""
    settings = settings_of(options)
    from cyclewright.precision import check_precision as ask

    document = ask(model, hardware, overrides=overrides, operator=operator, seed=seed, **settings).as_dict()
    if options["as_json"]:
        print_json(document)
    else:
        _show(document, options["top"])


def _show(document: Mapping[str, Any], top: int) -> None:
    click.echo(click.style(f"{document['model']} on {document['hardware']}, numbers drawn with seed {document['seed']}", bold=True))
    rows = []
    for layer in document["layers"][:top]:
        names = layer["operators"]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        snr = "" if layer["snr_db"] is None else f"{layer['snr_db']:.1f}"
        converter = f"{layer['converter_bits']} of {layer['bits_needed']}" if layer["converter_bits"] else "digital"
        rows.append(
            (
                names[0] + more, f"{layer['rows']} x {layer['columns']}", f"{layer['density']:.3g}", converter, f"{layer['error']:.3g}",
                snr, f"{layer['quantization_error']:.3g}", f"{layer['array_error']:.3g}", f"{layer['clipped']:.2%}",
            )
        )  # fmt: skip
    table(("layer", "weights", "density", "bits", "error", "SNR dB", "rounding", "arrays", "clipped"), rows)
    if len(document["layers"]) > top:
        click.echo(f"  and {len(document['layers']) - top} more layers (--top)")
    click.echo(f"  error of all layers, weighted by multiply-accumulates: {document['error']:.3g}")
