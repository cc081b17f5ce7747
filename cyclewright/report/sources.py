"""Where the numbers of a report come from, and the command that makes it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from cyclewright.plots.formatting import seconds
from cyclewright.plots.wording import asked
from cyclewright.report.markup import details, esc, table
from simulator.result import Result

_FLAGS = {
    "phase": "--phase", "batch": "--batch", "context": "--context", "tokens": "--tokens", "format": "--format", "sparsity": "--sparsity",
    "stream": "--stream", "delta": "--delta", "keep_tokens": "--keep-tokens",
    "unknown_op": "--unknown-op", "fidelity": "--fidelity", "accounting": "--accounting", "search": "--search", "schedule": "--schedule",
    "optimizer": "--optimizer", "precision": "--precision", "gradients": "--gradients", "recompute": "--recompute", "frozen": "--frozen",
    "attention": "--attention", "lora": "--lora", "reduction": "--reduction",
}  # fmt: skip


_MAPPINGS = ("delta", "keep_tokens")
"""Settings that a program may give as a mapping, for which there is no option."""


def command(result: Result, *, whatif: Mapping[str, object] | None = None) -> str:
    """The command line that makes the report again, quoted for a shell; a comment where objects of a Python program went into the run.

    It is made from what was asked for (``meta.asked``: names and paths as they were given, so paths hold from the same folder). Results
    stored without it give what their settings tell.
    """
    asked = result.meta.get("asked")
    given = dict(asked) if isinstance(asked, Mapping) else _told(result)
    if not given.get("model") or not given.get("hardware") or any(isinstance(given.get(key), Mapping) for key in _MAPPINGS):
        return "# a model, a device or a mapping that is an object of a Python program went into this run: no command line makes it again"
    words = ["cyclewright", "whatif" if whatif is not None else "run", str(given["model"]), "--hw", str(given["hardware"])]
    for key, flag in _FLAGS.items():
        if given.get(key) and not (key == "accounting" and whatif is not None):
            words += [flag, str(given[key])]
    for key, flag in (("dims", "--dim"), ("overrides", "--set")):
        pairs = given.get(key)
        for name, value in pairs.items() if isinstance(pairs, Mapping) else ():
            words += [flag, f"{name}={value}"]
    if whatif is not None:
        words += _changes(whatif)
    elif given.get("interval") is False:
        words.append("--no-interval")
    return " ".join([*(shlex.quote(word) for word in words), "-o", "report.html"])


def _told(result: Result) -> dict[str, object]:
    """What was asked for, as far as the settings tell; a model file is named without its folder."""
    source = str(result.settings.get("source", ""))
    told: dict[str, object] = dict(asked(result))
    told["model"] = source if source.endswith((".onnx", ".json")) else result.model
    told["hardware"] = result.hardware
    told["phase"] = "" if result.phase == "inference" else result.phase
    told["fidelity"] = "" if result.fidelity == "tile" else result.fidelity
    told["overrides"] = result.provenance.get("overrides")
    if told.get("unknown_op") == "refuse":
        del told["unknown_op"]
    return told


def _changes(whatif: Mapping[str, object]) -> list[str]:
    """The options of ``whatif`` alone: the concrete change, and the metric that ranks."""
    words = ["--metric", "energy"] if whatif.get("metric") == "energy_j" else []
    change = whatif.get("change")
    overrides = change.get("overrides") if isinstance(change, Mapping) else None
    for text in overrides if isinstance(overrides, list | tuple) else ():
        words += ["--set", str(text)]
    return words


def provenance(result: Result) -> str:
    """Leaves of the spec with their sources (assumed ones marked), then settings, versions and digests."""
    leaves = list(_leaves(result.provenance.get("leaves")))
    parts = []
    assumed = sum(leaf["source"] == "assumed" for leaf in leaves)
    if leaves:
        note = f"{assumed} of {len(leaves)} are assumed: nobody can cite them" if assumed else f"all {len(leaves)} are cited"
        rows = [
            [
                f"<code>{esc(leaf['path'])}</code>",
                esc(leaf["text"]),
                f'<span class="source">{esc(leaf["source"])}</span>',
                esc(leaf["cite"]),
            ]
            for leaf in leaves
        ]
        classes = ["assumed" if leaf["source"] == "assumed" else "" for leaf in leaves]
        body = table(["Number", "Value", "Source", "From"], rows, label="Numbers of the hardware spec", row_classes=classes)
        parts.append(details(f"Numbers of {result.hardware} ({note})", body))
    facts = [(key, value) for key, value in _flat(result.provenance) if not key.startswith("leaves")]
    settings = [(f"settings.{key}", str(value)) for key, value in result.settings.items()]
    rows = [[f"<code>{esc(key)}</code>", esc(value)] for key, value in [*settings, *facts]]
    parts.append(details("Settings, versions and digests", table(["Name", "Value"], rows, label="Settings, versions and digests")))
    timings = result.meta.get("timings_s")
    if isinstance(timings, Mapping):
        spent = ", ".join(f"{name} {seconds(float(value))}" for name, value in timings.items() if isinstance(value, int | float))
        parts.append(f'<p class="muted">Computing time of cyclewright itself, not of what it describes: {esc(spent)}.</p>')
    return "".join(parts)


def _leaves(stored: object) -> Iterator[dict[str, str]]:
    """Leaves as stored: a list of mappings, or a mapping from path to mapping."""
    entries: list[object] = []
    if isinstance(stored, Mapping):
        entries = [{"path": path, **leaf} for path, leaf in stored.items() if isinstance(leaf, Mapping)]
    elif isinstance(stored, list | tuple):
        entries = list(stored)
    for entry in entries:
        if isinstance(entry, Mapping) and "path" in entry:
            yield {key: str(entry.get(key) or "") for key in ("path", "text", "source", "cite")}


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if prefix or key != "leaves":
                yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple):
        yield prefix, ", ".join(str(item) for item in value)
    else:
        yield prefix, str(value)
