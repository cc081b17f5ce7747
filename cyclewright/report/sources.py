"""Where the numbers of a report come from, and the command that makes it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from cyclewright.plots.formatting import seconds
from cyclewright.plots.wording import asked
from cyclewright.report.markup import details, esc, table
from simulator.result import Result

_FLAGS = {
    "batch": "--batch", "context": "--context", "tokens": "--tokens", "format": "--format", "sparsity": "--sparsity",
    "unknown_op": "--unknown-op",
}  # fmt: skip


def command(result: Result) -> str:
    """The ``cyclewright run`` line that gives this run again, quoted for a shell; a model file is named without its folder."""
    source = str(result.settings.get("source", ""))
    model = source if source.endswith((".onnx", ".json")) else result.model
    words = ["cyclewright", "run", model, "--hw", result.hardware]
    if result.phase not in ("", "inference"):
        words += ["--phase", result.phase]
    settings = asked(result)
    for key, flag in _FLAGS.items():
        value = settings.get(key)
        if value and not (key == "unknown_op" and value == "refuse"):
            words += [flag, value]
    if result.fidelity != "tile":
        words += ["--fidelity", result.fidelity]
    overrides = result.provenance.get("overrides")
    if isinstance(overrides, Mapping):
        for path, value in overrides.items():
            words += ["--set", f"{path}={value}"]
    return " ".join([*(shlex.quote(word) for word in words), "-o", "report.html"])


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
        parts.append(f'<p class="muted">The tool itself took: {esc(spent)}.</p>')
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
