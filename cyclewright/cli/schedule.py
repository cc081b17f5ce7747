"""``cyclewright schedule``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from cyclewright.cli.app import INTERRUPTED
from cyclewright.cli.options import checked_outputs, json_option, output_option, read_dims
from cyclewright.cli.text import heading, pairs, print_json, say_written, table
from hwspecs.vocabulary.errors import ArgumentError

_HELP = """The order, residency, addresses and spills with which MODEL moves least off chip through a scratchpad, with a certificate.

\b
Examples:
  cyclewright schedule densenet121 --budget M_H
  cyclewright schedule inception-v3 --scratchpad "2.5 MiB" --weights --json
  cyclewright schedule densenet121 --scratchpad "2 MiB" --compare -o plan.html -o plan.yaml
  cyclewright schedule resnet50 --hw edge-npu --scratchpad "2 MiB"
  cyclewright schedule --replay plan.yaml
  cyclewright schedule --buffers buffers.csv --scratchpad "1 MiB"

Operators and tensors are atomic: while an operator runs, all its operands and results lie in the scratchpad, whole, and nothing is fused
(the problem of arXiv 2311.18246). With --hw an operator brings the tiles of its mapping instead, and what stays lies beside them. Extra
bytes are what moves beyond the compulsory: one load of what enters, one store of what leaves.

Budgets: M_R is what the largest operator needs, M_P the least with which nothing extra moves, M_H lies half way. Ctrl-C gives the best
plan so far and exits with 130.
"""
_ATOMIC = (
    "budget", "weights", "in_place", "concat_views", "explicit_padding", "split_attention", "method", "solver", "nodes", "seconds",
    "compare",
)  # fmt: skip
"""Options that have no meaning with hardware."""
_COUNT = click.IntRange(min=1)


@click.command(help=_HELP, short_help="The memory plan that moves least off chip.")
@click.argument("model", required=False)
@click.option("--hw", "hardware", metavar="HW", help="Map onto a device first: operators are cut into tiles and fused as `run` does.")
@click.option("--scratchpad", metavar="SIZE", help='Bytes of scratchpad: "2 MiB".')
@click.option("--budget", metavar="NAME", help="M_R, M_H or M_P instead.  [default: M_R]")
@click.option("--weights", is_flag=True, help="Weights and caches take part, not activations alone.")
@click.option("--in-place", is_flag=True, help="Elementwise operators may write over an operand that dies.")
@click.option("--concat-views", is_flag=True, help="Joins are left out: the parts stay in their place until the joined tensor dies.")
@click.option("--explicit-padding", is_flag=True, help="Padding in front of windows with a stride is an operator of its own.")
@click.option("--split-attention", is_flag=True, help="Attention is three operators; its scores are tensors.")
@click.option("--phase", metavar="PHASE", help="prefill, decode or encode, for models that have phases.")
@click.option("--batch", type=_COUNT, default=1, show_default=True, help="Sequences or images at once.")
@click.option("--context", type=_COUNT, help="Positions a decode step attends to.")
@click.option("--tokens", type=_COUNT, help="Length of the prompt or sequence.")
@click.option(
    "--format", metavar="FORMAT", default="int8", help="Number format, which sets the sizes.  [default: int8; with --hw the device's]"
)
@click.option("--dim", "dims", metavar="NAME=N", multiple=True, help="Value of a dynamic axis of an ONNX model.")
@click.option("--unknown-op", metavar="POLICY", default="refuse", show_default=True, help="Unknown ONNX operators: refuse or bytes-only.")
@click.option("--method", metavar="METHOD", help="auto, downset, joint, gap, timed or cp-sat.  [default: auto]")
@click.option("--solver", metavar="SOLVER", help="highs, cbc, cp-sat (extra ortools) or any that PuLP lists.  [default: highs]")
@click.option("--states", type=_COUNT, help="Effort: states to look at; the same number gives the same plan.")
@click.option("--nodes", type=click.IntRange(min=0), help="Effort of a solver: nodes of its search, for each model.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Wall-clock limit of the whole command; a plan that it cut short says so.",
)
@click.option("--compare", is_flag=True, help="Also what simpler schemes move (an HTML page always has it).")
@click.option("--replay", "plan_file", metavar="FILE", help="Check and count a plan file (.yaml, .json) again.")
@click.option("--buffers", metavar="FILE.csv", help="Place the buffers of a file in MiniMalloc's format.")
@json_option
@output_option(".json .yaml .html .svg .png")
@click.pass_context
def schedule(ctx: click.Context, /, model: str | None, plan_file: str | None, buffers: str | None, **options: Any) -> None:
    """Schedule, replay a plan, or place buffers."""
    if sum(part is not None for part in (plan_file, buffers)) > 1:
        raise ArgumentError("--replay and --buffers are two jobs", where="schedule", hint="give one of them")
    if plan_file is not None:
        _replay(plan_file, model, options)
        return
    if buffers is not None:
        _buffers(buffers, model, options)
        return
    if model is None:
        raise ArgumentError("no model is given", where="schedule", hint="give MODEL, --replay FILE or --buffers FILE.csv")
    if options["hardware"] is not None:
        _on_hardware(model, options)
        return
    del options["hardware"]
    outputs = checked_outputs(options.pop("outputs"), "schedule")
    as_json = options.pop("as_json")
    compare = options.pop("compare") or any(path.suffix.lower() == ".html" for path in outputs)
    dims = read_dims(options.pop("dims"))
    from cyclewright.outputs import render_schedule, write_all
    from cyclewright.scheduling import schedule as find

    with Line() as progress:
        found = find(model, dims=dims, compare=compare, progress=progress, **options)
    document = found.as_dict()
    write_all([(path, render_schedule(document, path)) for path in outputs])
    if as_json:
        print_json(document)
    else:
        show(document)
    say_written(outputs)
    if found.answer.stopped == "interrupted":
        click.echo("interrupted: this is the best plan so far", err=True)
        ctx.exit(INTERRUPTED)


class Line:
    """A line on stderr that is written over; silent where stderr is no terminal."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()
        self.last = 0.0

    def __enter__(self) -> Callable[[str], None]:
        return self._say

    def __exit__(self, *_: object) -> None:
        if self.shown and self.last:
            click.echo("\r\x1b[K", nl=False, err=True)

    def _say(self, text: str) -> None:
        now = time.monotonic()
        if self.shown and now - self.last > 0.1:
            self.last = now
            click.echo(f"\r\x1b[K{text[:110]}", nl=False, err=True)


def _on_hardware(model: str, options: dict[str, Any]) -> None:
    """Schedule a mapped graph."""
    given = [name for name in _ATOMIC if options[name] not in (None, False)]
    if given:
        flag = f"--{given[0].replace('_', '-')}"
        raise ArgumentError("the option belongs to the problem without hardware", where=flag, hint="leave it out, or leave --hw out")
    outputs = checked_outputs(options["outputs"], "schedule")
    from cyclewright.outputs import render_schedule, write_all
    from cyclewright.scheduling_mapped import schedule_on

    settings = {name: options[name] for name in ("phase", "batch", "context", "tokens", "unknown_op")}
    form = options["format"] if click.get_current_context().get_parameter_source("format") is not ParameterSource.DEFAULT else None
    settings |= {"format": form, "dims": read_dims(options["dims"]) or None}
    with Line() as progress:
        found = schedule_on(
            model, options["hardware"], scratchpad=options["scratchpad"], width=options["states"], progress=progress, **settings
        )
    document = found.as_dict()
    write_all([(path, render_schedule(document, path)) for path in outputs])
    if options["as_json"]:
        print_json(document)
    else:
        show(document)
    say_written(outputs)


def show(document: dict[str, Any]) -> None:
    """The headline, what is spilled, and the traffic by scheme."""
    from cyclewright.plots.plan_wording import headline, title_of

    click.echo(click.style(title_of(document), bold=True))
    click.echo()
    pairs(headline(document))
    if not document.get("hardware"):  # there, what does not stay moves tile by tile
        _spills(document)
    if document["baselines"]:
        _schemes(document)


def _spills(document: dict[str, Any], most: int = 12) -> None:
    """The tensors that move, largest first."""
    names = [row["name"] for row in document["plan"]["operators"]]
    out: dict[str, list[Any]] = {}
    for stay in document["plan"]["stays"]:
        if stay["enters"] == "fetched" or stay["leaves"] == "spilled":
            row = out.setdefault(stay["tensor"], [stay["bytes"], 0, 0, []])
            row[1] += stay["leaves"] == "spilled"
            row[2] += stay["enters"] == "fetched"
            if stay["enters"] == "fetched":
                row[3].append(names[stay["first"]])
    if not out:
        return
    heading(f"what moves beyond the compulsory ({len(out)} tensor{'s' if len(out) != 1 else ''})")
    rows = sorted(out.items(), key=lambda item: (-item[1][0] * (item[1][1] + item[1][2]), item[0]))
    cells = [
        (name, ", ".join(where[:2]) + (f" and {len(where) - 2} more" if len(where) > 2 else ""), f"{size:,}", str(stores), str(fetches))
        for name, (size, stores, fetches, where) in rows[:most]
    ]
    table(("tensor", "fetched for", "bytes", "stores", "fetches"), cells, left=2)
    if len(rows) > most:
        click.echo(f"  and {len(rows) - most} more")


def _schemes(document: dict[str, Any]) -> None:
    from cyclewright.plots.plan_wording import schemes

    heading("traffic by scheme")
    rows = [(name, f"{extra:,}", saved) for name, extra, saved in schemes(document)]
    table(("scheme", "extra bytes", "the plan moves less by"), rows, left=1, whole=True)


def _replay(path: str, model: str | None, options: dict[str, Any]) -> None:
    """Count a plan again."""
    outputs: Sequence[Path] = checked_outputs(options["outputs"], "schedule")
    from cyclewright.outputs import render_schedule, write_all
    from cyclewright.plan_file import replay
    from cyclewright.plots.plan_wording import title_of

    found = replay(path, model)
    write_all([(target, render_schedule(found.document, target)) for target in outputs])
    if options["as_json"]:
        print_json({"extra_bytes": found.extra_bytes, "placed": found.placed, "scratchpad_bytes": found.document["scratchpad_bytes"]})
    else:
        click.echo(click.style(title_of(found.document), bold=True))
        placed = "every tensor has a place" if found.placed else "without addresses"
        click.echo(f"  the plan holds: {found.extra_bytes:,} extra bytes, as it states; {placed}")
    say_written(outputs)


def _buffers(path: str, model: str | None, options: dict[str, Any]) -> None:
    """Place the buffers of a file."""
    if model is not None:
        raise ArgumentError("a file of buffers has no model", where="--buffers", hint="leave MODEL out")
    given = [name for name in (*_ATOMIC, "hardware") if options[name] not in (None, False)]
    if given:
        flag = "--hw" if given[0] == "hardware" else f"--{given[0].replace('_', '-')}"
        raise ArgumentError("the option belongs to a model, not to a file of buffers", where=flag, hint="leave it out")
    outputs = checked_outputs(options["outputs"], "buffers")
    from cyclewright.buffer_file import place
    from cyclewright.outputs import write_all
    from cyclewright.scheduling import read_capacity

    found = place(path, read_capacity(options["scratchpad"], None), effort=options["states"])
    write_all([(target, found.csv_bytes()) for target in outputs])
    if options["as_json"]:
        print_json(found.as_dict())
    else:
        pairs(found.lines())
    say_written(outputs)
