"""Conditions on results: ``--fail-if "latency > 5 ms"`` for continuous integration of models and designs."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cyclewright.metrics import METRICS, Document, format_metric, metric_of, metric_value
from hwspecs.vocabulary.errors import ArgumentError, GateHit, UnitError
from hwspecs.vocabulary.units import parse_quantity

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_FORM = re.compile(r"\s*(?P<metric>[A-Za-z_][\w.:-]*)\s*(?P<comparison>>=|<=|>|<)\s*(?P<threshold>\S.*?)\s*")


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition under which a run counts as failed.

    Attributes:
        metric: canonical name of a metric (``latency_s``).
        comparison: ``>``, ``>=``, ``<`` or ``<=``.
        threshold: in the metric's SI unit.
        text: as the user wrote it.
    """

    metric: str
    comparison: str
    threshold: float
    text: str

    def holds(self, document: Document) -> bool:
        """Whether the condition holds for the stored form of a result."""
        return _COMPARISONS[self.comparison](metric_value(document, self.metric), self.threshold)


def parse_gate(text: str) -> Gate:
    """Read ``METRIC COMPARISON QUANTITY``: ``latency > 5 ms``, ``energy>=2 J``, ``mfu < 40 %``, ``peak_memory > 16 GiB``.

    Raises:
        ArgumentError: the text has another form.
        UnknownNameError: no such metric.
        UnitError: the quantity's unit is missing, unknown or of the wrong dimension.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        hint = 'write METRIC > QUANTITY, such as "latency > 5 ms"'
        raise ArgumentError(f"cannot read the condition {text!r}", where="--fail-if", hint=hint)
    metric = metric_of(match["metric"], where="--fail-if")
    return Gate(metric, match["comparison"], read_quantity(match["threshold"], metric, where=f"--fail-if {text!r}"), text)


def read_quantity(text: str, metric: str, *, where: str) -> float:
    """A quantity of a canonical metric in SI: ``5 ms``, ``16 GiB``, ``40 %`` or ``0.4`` for shares, ``120`` or ``120 /s`` for rates."""
    dimension = METRICS[metric].dimension
    try:
        return parse_quantity(text.removesuffix("/s") if dimension == "number" else text, dimension)
    except UnitError as error:
        raise UnitError(error.what, where=where, hint=error.hint) from error


def check_gates(gates: Iterable[Gate], document: Document) -> None:
    """Raise if any condition holds.

    Raises:
        GateHit: names every condition that holds and the value met (exit code 3).
    """
    hits = [
        f"{gate.text.strip()!r} holds: {gate.metric} is {format_metric(gate.metric, metric_value(document, gate.metric))}"
        for gate in gates
        if gate.holds(document)
    ]
    if hits:
        raise GateHit("; ".join(hits), where="--fail-if")
