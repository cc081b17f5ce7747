"""``cyclewright``: the group of all commands. Importing it imports click and nothing heavy."""

from __future__ import annotations

import os

import click

from cyclewright import __version__
from cyclewright.cli.app import Application
from cyclewright.cli.claims import claims
from cyclewright.cli.compare import compare
from cyclewright.cli.models import models
from cyclewright.cli.precision import precision
from cyclewright.cli.roofline import roofline
from cyclewright.cli.run import run
from cyclewright.cli.schedule import schedule
from cyclewright.cli.specs import specs
from cyclewright.cli.whatif import whatif

_EXAMPLES = """\b
Examples:
  cyclewright run llama-3-8b --hw nvidia-h100-sxm --phase decode --batch 8 --context 4096 -o report.html
  cyclewright whatif resnet50 --hw edge-npu
  cyclewright compare llama-3-8b --hw nvidia-a100-sxm-80gb --hw nvidia-h100-sxm --phase decode
  cyclewright schedule densenet121 --scratchpad "2 MiB"
  cyclewright specs show nvidia-h100-sxm
"""


@click.group(
    cls=Application,
    help=f"What a neural network costs on a piece of hardware, and why.\n\n{_EXAMPLES}",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="cyclewright", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Set what holds for all commands."""
    if os.environ.get("NO_COLOR"):
        context.color = False


for _command in (run, schedule, whatif, roofline, compare, precision, specs, models, claims):
    main.add_command(_command)
