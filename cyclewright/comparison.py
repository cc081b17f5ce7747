"""Results side by side: by metric, and by operator where they are of one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cyclewright.measured import Measured, MeasuredComparison, compare_measured
from cyclewright.metrics import Document, headline
from cyclewright.passes import passes_of
from hwspecs.vocabulary.errors import ArgumentError

__all__ = ["Comparison", "Measured", "MeasuredComparison", "compare", "compare_measured"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several results side by side; ratios are to the first.

    Attributes:
        labels: one per result, unique.
        metrics: metric to values, in the order of the labels (None where a result has none: the arrays of a device without).
        bound_by: what binds each.
        operators: operator to times in seconds (None where a result has no such operator); empty if the models differ.
        passes: pass of a training step to times in seconds (None where a result has no such pass).
    """

    labels: tuple[str, ...]
    metrics: Mapping[str, tuple[float | None, ...]]
    bound_by: tuple[str, ...]
    operators: Mapping[str, tuple[float | None, ...]]
    passes: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)

    def ratios(self, metric: str) -> tuple[float | None, ...]:
        """Each value of a metric over the first; None where there is none, or the first is zero."""
        first, *_ = values = self.metrics[metric]
        return tuple(value / first if first and value is not None else None for value in values)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "schema": 1, "command": "compare", "labels": list(self.labels), "bound_by": list(self.bound_by),
            "metrics": {name: {"values": list(values), "ratios": list(self.ratios(name))} for name, values in self.metrics.items()},
            "passes": [{"name": name, "time_s": list(times)} for name, times in self.passes.items()],
            "operators": [{"name": name, "time_s": list(times)} for name, times in self.operators.items()],
        }  # fmt: skip


def compare(*results: Any, labels: Sequence[str] | None = None) -> Comparison:
    """Set results side by side.

    Args:
        results: two or more results of ``run``, or their stored forms.
        labels: what to call them; by default what tells them apart (device, model, settings).

    Raises:
        ArgumentError: fewer than two results, another number of labels, or a document that is no result.
    """
    if len(results) < 2:
        raise ArgumentError("there is nothing to compare with", hint="give at least two results")
    documents = [_document(result) for result in results]
    if labels is not None and len(labels) != len(documents):
        raise ArgumentError(f"{len(labels)} labels for {len(documents)} results", where="labels", hint="give one label per result")
    lines = [headline(document) for document in documents]
    shown = dict.fromkeys(name for line in lines for name in line)
    metrics = {name: tuple(line.get(name) for line in lines) for name in shown}
    names = tuple(labels) if labels is not None else tuple(_labels(documents))
    return Comparison(names, metrics, tuple(str(document["bound_by"]) for document in documents), _operators(documents), _passes(documents))


def _document(result: Any) -> Document:
    if isinstance(result, Mapping):
        return result
    from cyclewright.api import document_of

    return document_of(result)


def _labels(documents: Sequence[Document]) -> list[str]:
    """The shortest of device, model, settings and number that tell the results apart."""
    parts: list[list[str]] = [[] for _ in documents]
    for key in ("hardware", "model", "phase", "fidelity"):
        words = [str(document.get(key, "")) for document in documents]
        if len(set(words)) > 1:
            for part, word in zip(parts, words, strict=True):
                part.append(word)
    settings: list[Mapping[str, object]] = [document.get("settings", {}) for document in documents]
    names = sorted({name for each in settings for name in each if len({str(other.get(name)) for other in settings}) > 1})
    for name in names:
        values = [each.get(name) for each in settings]
        if name != "pregenerate" or "sparsity" not in names:  # which copies are made in advance follows from the method of training
            for part, value in zip(parts, values, strict=True):
                part.append("dense" if name == "sparsity" and value is None else f"{name}={value}")
    made = [" ".join(word for word in part if word) for part in parts]
    return [f"{label} #{index + 1}".strip() if made.count(label) > 1 or not label else label for index, label in enumerate(made)]


def _passes(documents: Sequence[Document]) -> dict[str, tuple[float | None, ...]]:
    found = [{item.name or "other": item.time_s for item in passes_of(document)} for document in documents]
    names = dict.fromkeys(name for each in found for name in each)
    return {name: tuple(each.get(name) for each in found) for name in names}


def _operators(documents: Sequence[Document]) -> dict[str, tuple[float | None, ...]]:
    if len({document.get("model") for document in documents}) > 1:
        return {}
    times = [{row["name"]: float(row["time_s"]) for row in document["operators"]} for document in documents]
    names: dict[str, None] = {}
    for each in times:
        names.update(dict.fromkeys(each))
    return {name: tuple(each.get(name) for each in times) for name in names}
