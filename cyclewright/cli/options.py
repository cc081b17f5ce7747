"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from hwspecs.vocabulary.errors import ArgumentError

Command = TypeVar("Command", bound=Callable[..., Any])
_COUNT = click.IntRange(min=1)


def hardware_option(*, several: bool = False, required: bool = True) -> Callable[[Command], Command]:
    """``--hw``: a name of the library or a path to a spec."""
    help_text = "Name of the library (see `cyclewright specs list`) or path to a spec" + ("; give it once per device." if several else ".")
    return click.option("--hw", "hardware", metavar="HW", required=required, multiple=several, help=help_text)


def workload_options(command: Command) -> Command:
    """What is asked of the model: phase, batch, lengths, formats, dimensions, fidelity."""
    return _with(command, _sparsity(several=False))


def compared_workload_options(command: Command) -> Command:
    """As ``workload_options``, with ``--sparsity`` once per column of a comparison."""
    return _with(command, _sparsity(several=True))


def _with(command: Command, sparsity: Callable[[Command], Command]) -> Command:
    for option in reversed((*_BEFORE, sparsity, *_WORKLOAD)):
        command = option(command)
    return command


def _sparsity(*, several: bool) -> Callable[[Command], Command]:
    help_text = "Sparsity of the weights: 2:4, unstructured:0.5, block:4x1:0.3, or by layer: pointwise=unstructured:0.1; of --phase train "
    help_text += "a method: bdwp-2:8 (forward and input gradients), sr-ste-2:8 (forward), sdgp-2:8 (gradients)"
    help_text += "; give it once per column." if several else "."
    return click.option("--sparsity", metavar="PATTERN", multiple=several, help=help_text)


_BEFORE = (
    click.option("--phase", metavar="PHASE", help="prefill, decode or encode, for models that have phases; train: one training step."),
    click.option("--batch", type=_COUNT, default=1, show_default=True, help="Sequences or images at once."),
    click.option("--context", type=_COUNT, help="Positions a decode step attends to, the new token among them. [default: 2048]"),
    click.option(
        "--tokens",
        type=_COUNT,
        help="Prompt length (prefill, default 2048), sequence length (encode), new tokens per sequence of one step (decode, default 1).",
    ),
    click.option(
        "--format",
        metavar="FORMAT",
        help="bf16, int8, w8a8, w4a16 (bare 4-bit weights), w4g128a16 (with group scales), w4a16kv8, ... [default: the device's]",
    ),
)
_WORKLOAD = (
    click.option("--stream", metavar="RULE", help="One step on overlapping windows, old frames in ring buffers: hop=4 or window=16,hop=4."),
    click.option("--delta", metavar="DENSITY|FILE.yaml", help="Work only on activations that changed: 0.1, or a density per layer."),
    click.option(
        "--keep-tokens",
        metavar="SCHEDULE",
        help="Transformers go on with fewer tokens: 0.5, 4=0.7,7=0.49 (layer=share), merge:16, evit:0.7.",
    ),
    click.option("--optimizer", metavar="NAME", help="Of --phase train: sgd-momentum (default), adam or sgd."),
    click.option("--precision", metavar="NAME", help="Of --phase train: fp16-mixed (default), bf16-mixed, fp32, bf16 or fp16."),
    click.option("--gradients", metavar="FORMAT", help="Of --phase train: format of the weights' gradients. [default: that of compute]"),
    click.option(
        "--recompute", metavar="WHAT", help="Of --phase train: none (default), or blocks: keep the inputs of layers, make the rest again."
    ),
    click.option(
        "--frozen",
        metavar="PATTERNS",
        help="Of --phase train: weights that are not trained, such as 'layer1.*,conv1.*'; '!fc.*' freezes all but these.",
    ),
    click.option("--attention", metavar="HOW", help="Of --phase train: flash (default: scores are made again) or split (they are kept)."),
    click.option("--lora", type=_COUNT, metavar="RANK", help="Of --phase train: train low-rank adapters, freeze all else."),
    click.option("--reduction", metavar="WHEN", help="Of --phase train: N:M weights are pregenerated (default) or made online."),
    click.option("--dim", "dims", metavar="NAME=N", multiple=True, help="Value of a dynamic axis of an ONNX model."),
    click.option(
        "--unknown-op", metavar="POLICY", default="refuse", show_default=True, help="Unknown ONNX operators: refuse or bytes-only."
    ),
    click.option("--fidelity", metavar="RUNG", default="tile", show_default=True, help="roofline, tile or cycle."),
    click.option(
        "--search",
        metavar="HOW",
        default="auto",
        show_default=True,
        help="Mappings: estimate (the mapper's ranking), play (alternatives, fused chains, side-by-side branches and layers), or auto: "
        "play on crossbars, whose layers run side by side, else estimate.",
    ),
    click.option(
        "--schedule",
        metavar="HOW",
        default="trivial",
        show_default=True,
        help="What stays on chip: trivial (greedy), optimal (fewest bytes off chip), or fastest (fewest cycles, as played).",
    ),
)
_REUSE = ("stream", "delta", "keep_tokens")
_TRAINING = ("optimizer", "precision", "gradients", "recompute", "frozen", "attention", "lora", "reduction")
set_option = click.option(
    "--set", "overrides", metavar="PATH=VALUE", multiple=True, help='Change a number of the spec: memory.hbm.bandwidth="4 TB/s".'
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def output_option(forms: str) -> Callable[[Command], Command]:
    """``-o FILE``, repeatable."""
    return click.option("-o", "--output", "outputs", metavar="FILE", multiple=True, help=f"Write a file by suffix: {forms}.")


def settings_of(options: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments of ``cyclewright.run`` from the shared options; the other options are left alone."""
    names = (
        "phase",
        "batch",
        "context",
        "tokens",
        "format",
        "sparsity",
        "unknown_op",
        "fidelity",
        "search",
        "schedule",
        *_REUSE,
        *_TRAINING,
    )
    return {**{name: options[name] for name in names}, "dims": read_dims(options["dims"]) or None}


def read_dims(texts: Sequence[str]) -> dict[str, int]:
    """``("batch=8",)`` to ``{"batch": 8}``.

    Raises:
        ArgumentError: a text of another form, a size below 1, or a name twice.
    """
    dims: dict[str, int] = {}
    for text in texts:
        name, _, size = text.partition("=")
        name, size = name.strip(), size.strip()
        if not name or not size.isdecimal() or int(size) < 1:
            raise ArgumentError(
                f"cannot read the dimension {text!r}", where="--dim", hint="write NAME=N with N a whole number of at least 1"
            )
        if name in dims:
            raise ArgumentError(f"the dimension {name} is given twice", where="--dim", hint="give each dimension once")
        dims[name] = int(size)
    return dims


def checked_outputs(outputs: Sequence[str], command: str) -> tuple[Path, ...]:
    """Check ``-o`` paths before anything runs."""
    from cyclewright.outputs import check_outputs

    return check_outputs(outputs, command)
