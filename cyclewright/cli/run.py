"""``cyclewright run``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from cyclewright.cli.options import checked_outputs, hardware_option, json_option, output_option, set_option, settings_of, workload_options
from cyclewright.cli.text import heading, pairs, print_json, say_written, table, title
from hwspecs.vocabulary.errors import ArgumentError, UnknownNameError
from hwspecs.vocabulary.suggest import did_you_mean

_HELP = """What MODEL costs on a device.

\b
Examples:
  cyclewright run resnet50 --hw edge-npu
  cyclewright run llama-3-8b --hw nvidia-h100-sxm --phase decode --batch 8 --context 4096
  cyclewright run model.onnx --hw my-npu.yaml --dim batch=8 -o report.html -o result.json
  cyclewright run gemm:4096x4096x4096 --hw nvidia-a100-sxm-80gb --set memory.hbm.bandwidth="3 TB/s"
  cyclewright run resnet50 --hw edge-npu --fail-if "latency > 5 ms"
  cyclewright run alexnet.csv --hw systolic-array --accounting scalesim:calc
  cyclewright run deit-s-16 --hw edge-npu --keep-tokens merge:13
  cyclewright run tc-resnet8 --hw edge-npu --stream hop=8 --delta 0.1
  cyclewright run resnet50 --hw nvidia-h100-sxm --phase train --batch 64 --sparsity bdwp-2:4
  cyclewright run resnet50 --hw isaac --plot pipeline -o layers.svg

MODEL is a name of `cyclewright models`, gemm:MxNxK, conv:..., attention:..., a path to an ONNX file, to a Hugging Face config.json, or to a
SCALE-Sim topology (.csv).
"""

_FIGURES = ("roofline", "breakdown", "memory", "course", "timeline", "stalls", "arrays", "parts", "pipeline")
"""Names of ``cyclewright.plots.FIGURES``, which help is not to import."""


@click.command(help=_HELP, short_help="What a model costs on a device.")
@click.argument("model")
@hardware_option()
@workload_options
@set_option
@click.option("--fail-if", "conditions", metavar="CONDITION", multiple=True, help='Exit with 3 if it holds: "latency > 5 ms".')
@click.option("--explain", "explained", metavar="OPERATOR", help="Say where one operator's time and bytes go, and what was rejected.")
@click.option("--top", type=click.IntRange(min=0), default=10, show_default=True, help="How many of the heaviest operators to list.")
@click.option("--accounting", metavar="RULES", help="Also count as SCALE-Sim does: scalesim:calc or scalesim:user (systolic arrays).")
@click.option("--plot", metavar="FIGURE", help=f"What an image shows: {', '.join(_FIGURES)}. [default: roofline]")
@click.option("--no-interval", is_flag=True, help="Skip the interval over the spec's assumed numbers.")
@json_option
@output_option(".html .json .csv .svg .png .trace.json")
def run(model: str, hardware: str, overrides: tuple[str, ...], conditions: tuple[str, ...], **options: Any) -> None:
    """Run one model on one device."""
    outputs = checked_outputs(options["outputs"], "run")
    plot = _figure(options["plot"], outputs)
    settings = settings_of(options)
    from cyclewright.gates import check_gates, parse_gate

    gates = [parse_gate(text) for text in conditions]
    from cyclewright.api import document_of
    from cyclewright.api import run as run_model
    from cyclewright.explain import explain
    from cyclewright.fitting import check_step_fits
    from cyclewright.outputs import render_run, write_all

    asked = {"interval": not options["no_interval"], "accounting": options["accounting"]}
    result = run_model(model, hardware, overrides=overrides, **asked, **settings)
    document = document_of(result)
    sections = explain(document, options["explained"]) if options["explained"] else []
    write_all([(path, render_run(result, path, plot)) for path in outputs])
    if options["as_json"] and sections:
        print_json({"operator": options["explained"], "sections": {name: dict(lines) for name, lines in sections}})
    elif options["as_json"]:
        print_json(document)
    elif sections:
        click.echo(click.style(f"{options['explained']}", bold=True) + f"  of {title(document)}")
        for name, lines in sections:
            heading(name)
            pairs(lines)
    else:
        show(document, options["top"])
        if document["scalesim"]:
            _scalesim(document["scalesim"])
    say_written(outputs)
    check_step_fits(result, model, hardware, {**settings, "overrides": overrides})
    check_gates(gates, document)


def _figure(name: str | None, outputs: Sequence[Path]) -> str:
    """The figure asked for, checked before any work is done.

    Raises:
        UnknownNameError: there is no such figure; the hint names the nearest.
        ArgumentError: no image is asked for.
    """
    if name is None:
        return _FIGURES[0]
    if name not in _FIGURES:
        raise UnknownNameError(f"unknown figure {name!r}", where="--plot", hint=did_you_mean(name, _FIGURES))
    if not any(path.suffix.lower() in (".svg", ".png") for path in outputs):
        raise ArgumentError(f"no image is asked for to show {name!r}", where="--plot", hint=f"give -o {name}.svg or -o {name}.png")
    return name


def show(document: Mapping[str, Any], top: int) -> None:
    """The headline numbers, the warnings and the heaviest operators."""
    click.echo(click.style(title(document), bold=True))
    click.echo()
    pairs(_headline(document))
    if document["in_memory"]:
        _arrays(document["in_memory"])
    if document["warnings"]:
        heading("warnings")
        for warning in document["warnings"]:
            click.echo(f"  - {warning}")
    _passes(document)
    if top:
        _heaviest(document, top)


def _arrays(in_memory: Mapping[str, object]) -> None:
    """What the arrays of a crossbar hold, and what they are worth."""
    from cyclewright.arrays import read_arrays
    from cyclewright.plots.array_wording import told

    found = read_arrays(in_memory)
    if found is not None:
        heading(f"arrays of {found.rows} x {found.columns} cells")
        pairs(told(found))


def _passes(document: Mapping[str, Any]) -> None:
    """A training step by pass, how busy units and memories are, and what memory holds."""
    from cyclewright.metrics import format_bytes, format_count
    from cyclewright.passes import busy_of, memory_of, passes_of
    from cyclewright.plots.formatting import percent
    from hwspecs.vocabulary.units import format_quantity

    found = passes_of(document)
    if not found:
        return
    heading("by pass")
    table(
        ("pass", "time", "share", "MACs", "executed", "off-chip", "dynamic energy"),
        [
            (item.title, format_quantity(item.time_s, "s"), percent(item.share), format_count(item.macs), format_count(item.executed_macs),
             format_bytes(item.dram_bytes), format_quantity(item.energy_j, "J"))
            for item in found
        ],
    )  # fmt: skip
    click.echo("  busy: " + ", ".join(f"{name} {percent(share)}" for name, _, share in busy_of(document)))
    if held := memory_of(document):
        click.echo("  held: " + ", ".join(f"{name} {format_bytes(size)}" for name, size in held))


def _headline(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    from cyclewright.metrics import format_bytes, format_count, format_metric, metric_value
    from cyclewright.naming import things_of
    from cyclewright.plots.formatting import percent

    def text(name: str) -> str:
        value = format_metric(name, metric_value(document, name))
        if bounds := document["interval"].get(name):
            value += f"   ({' to '.join(format_metric(name, bound) for bound in bounds)} over the assumed numbers)"
        return value

    energy = sorted(document["energy_by_component"].items(), key=lambda item: -item[1])
    parts = ", ".join(f"{name} {percent(joules / document['energy_j'])}" for name, joules in energy[:3]) if document["energy_j"] else ""
    things = things_of(document["phase"], document["settings"])
    executed = "" if document["executed_flops"] == document["flops"] else f", {format_count(document['executed_flops'] // 2)}MACs executed"
    room = next((f" of {format_bytes(size)}" for size, off_chip in document["capacities"].values() if off_chip), "")
    held = f", weights {format_bytes(document['stored_weight_bytes'])}"
    if document["kv_cache_bytes"]:
        held += f", KV cache {format_bytes(document['kv_cache_bytes'])}"
    return [
        ("latency", text("latency_s")),
        ("bound by", f"{document['bound_by']}"),
        ("roofline", f"{text('roofline_s')}, {text('roofline_share')} of it reached"),
        ("throughput", f"{text('throughput_per_s').removesuffix(' /s')} {things}/s"),
        ("compute", f"{format_count(document['flops'])}FLOP in {format_count(document['macs'])}MACs{executed}, MFU {text('mfu')}"),
        ("energy", text("energy_j") + (f"   ({parts})" if parts else "")),
        ("mean power", text("power_w")),
        ("off-chip", f"{text('dram_bytes')}, {text('extra_bytes')} beyond compulsory"),
        *((name, _banked(told)) for name, told in document["dram"].items()),
        *resource_line(document.get("resources", {})),
        ("memory", f"{text('peak_memory_bytes')}{room} at peak{held}" + ("" if document["fits"] else "   DOES NOT FIT")),
    ]


def resource_line(resources: Mapping[str, Sequence[int]]) -> list[tuple[str, str]]:
    """What an FPGA design takes of its device; no line where the spec does not say."""
    parts = []
    for part, (used, most) in resources.items():
        parts.append(f"{used:,} of {most:,} {part.upper()}" + (" (too many)" if used > most else ""))
    return [("resources", ", ".join(parts))] if parts else []


def _banked(told: Mapping[str, float]) -> str:
    """What the cycle rung says of a banked memory."""
    shares = f"{100 * told['efficiency']:.1f} % of the peak while it transfers, {100 * told['row_hit_rate']:.1f} % row hits"
    return f"{shares}, {told['turnarounds']:.0f} turnarounds, {told['refreshes']:.0f} refreshes"


def _heaviest(document: Mapping[str, Any], top: int) -> None:
    from cyclewright.plots.formatting import percent
    from hwspecs.vocabulary.units import format_quantity

    rows = sorted(document["operators"], key=lambda row: -row["time_s"])
    shown = rows[:top]
    heading(f"the {len(shown)} heaviest of {len(rows)} operators" if len(shown) < len(rows) else "operators by time")
    table(
        ("operator", "kind", "unit", "times", "time", "share", "bound by", "roof"),
        [
            (row["name"], row["kind"], row["unit"], str(row["count"]), format_quantity(row["time_s"], "s"), percent(row["share"]),
             row["bound_by"] if row["time_s"] else "", percent(row["roof_s"] / row["time_s"]) if row["time_s"] else "")
            for row in shown
        ],
        left=3,
    )  # fmt: skip
    if len(shown) < len(rows):
        rest = sum(row["time_s"] for row in rows[top:])
        click.echo(f"  and {len(rows) - len(shown)} more, {format_quantity(rest, 's')} together")


def _scalesim(block: Mapping[str, Any]) -> None:
    """SCALE-Sim's counts beside ours."""
    heading(f"as SCALE-Sim counts ({block['accounting'].partition(':')[2]}; docs/scalesim.md says how that differs)")
    words = {place: [f"{block[f'{place}_{name}']:,} {name.replace('_', ' ')}" for name in names] for place, names in _WORDS.items()}
    pairs(
        [
            ("cycles", f"{block['total_cycles']:,} for {block['demand_lines']:,} lines, {block['stall_cycles']:,} of them stalls"),
            *((f"{place.upper()} words", ", ".join(counts)) for place, counts in words.items()),
            ("array use", f"{100 * block['overall_utilisation']:.3g} %"),
        ]
    )
    for note in block["notes"]:
        click.echo(f"  - {note}")


_WORDS = dict.fromkeys(("sram", "dram"), ("ifmap_reads", "filter_reads", "ofmap_writes"))
