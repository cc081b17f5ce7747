"""Which number of a spec limits a model: vary each one, rank the effects, and try a concrete change side by side.

Every numeric leaf above zero is set to 1.1, 2 and 1/2 of its value, one at a time; whole numbers (rows, counts, sizes) are
rounded and stay at least 1, and a number with a largest value, such as a share of the peak, stops there. The *elasticity* is
ln(metric ratio) / ln(leaf ratio) at the +10 % step: -1 means that ten percent more saves about ten percent, 0 that it changes
nothing. Doubling tells what a step as large as a hardware generation does; for latencies, launch costs and energies, where less
is better, the gain is at the half. Leaves are ranked by the largest gain in the metric asked for.

The document (``WhatIf.as_dict``)::

    {"schema": 1, "command": "whatif", "model", "hardware", "settings", "metric": "latency_s",
     "base": {metric: value},
     "leaves": [{"path", "text", "value", "unit", "source", "cite", "elasticity_latency", "elasticity_energy",
                 "gain": 1.83, "best_factor": 2.0, "note": "",
                 "points": [{"factor": 0.5, "value", "latency_s", "energy_j", "ratio": 1.71, "error": null, "capped": false},
                            ... 1.1, 2.0]}],
     "change": null | {"overrides": [...], "metrics": {metric: {"base", "changed", "delta", "ratio"}}, "bound_by": [base, changed],
                        "warnings": [those that the base does not have]}}

On a crossbar, leaves that change what its arrays compute have the output error of the model's largest layers with each value in ``note``
and as ``output_error`` of each point, and ``change`` has ``output_error: [base, changed]`` (see ``cyclewright.precision``).
``leaves`` is in the order of rank. ``gain`` is base / best value of the ranked metric, at least 1; ``ratio`` is the ranked
metric / base. A point that makes an invalid or unservable spec has ``error`` and null metrics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from cyclewright.api import Overrides, Plan, Prepared, document_of, evaluate, plan, play, prepare
from cyclewright.metrics import headline, metric_of
from cyclewright.variation import highest_value, numeric_leaves, run_varied, varied_value, vary, with_overrides
from hwspecs.crossbar import has_crossbar
from hwspecs.dram import is_dram_leaf
from hwspecs.vocabulary.errors import ArgumentError, CyclewrightError

if TYPE_CHECKING:
    from hwspecs.hardware import Hardware, Leaf
    from simulator.result import Result

FACTORS = (0.5, 1.1, 2.0)
RANKED = ("latency_s", "energy_j")
EVEN = 1e-9
"""Relative change below which a metric counts as unchanged."""


@dataclass(frozen=True, slots=True)
class Point:
    """One run with one leaf changed; metrics are None where ``error`` says why there is no run.

    Attributes:
        ratio: ranked metric / base.
        capped: ``value`` is the largest that the spec allows, not ``factor`` times the base.
        output_error: of the largest layers on a crossbar, where the leaf changes what arrays compute; else None.
    """

    factor: float
    value: float
    latency_s: float | None
    energy_j: float | None
    ratio: float | None = None
    error: str | None = None
    capped: bool = False
    output_error: float | None = None


@dataclass(frozen=True, slots=True)
class LeafEffect:
    """What one leaf does to latency and energy.

    Attributes:
        leaf: the leaf as the spec has it.
        points: one per factor of ``FACTORS``.
        elasticity_latency, elasticity_energy: at +10 %; None where that point has no run or the leaf cannot move so little.
        gain: base / best value of the ranked metric over the points, at least 1.
        best_factor: the factor that gives ``gain``; 1.0 where nothing gains.
        output_error: of the base, where the leaf changes what a crossbar computes; else None.
    """

    leaf: Leaf
    points: tuple[Point, ...]
    elasticity_latency: float | None
    elasticity_energy: float | None
    gain: float
    best_factor: float
    output_error: float | None = None

    @property
    def note(self) -> str:
        """Which points are missing and why, and which stop at the largest value; what each does to a crossbar's results. Empty if each is
        what its factor says and changes no result."""
        told = {point.factor: point.error or f"stops at {point.value:g}, its largest value" for point in self.points}
        words = [f"x{point.factor:g}: {told[point.factor]}" for point in self.points if point.error or point.capped]
        errors = [f"x{point.factor:g} {point.output_error:.3g}" for point in self.points if point.output_error is not None]
        if self.output_error is not None and errors:
            words.append(f"output error of the largest layers {self.output_error:.3g}, at {', '.join(errors)}")
        return "; ".join(words)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        leaf = self.leaf
        return {
            "path": leaf.path, "text": leaf.text, "value": leaf.value, "unit": leaf.unit, "source": leaf.source, "cite": leaf.cite,
            "elasticity_latency": self.elasticity_latency, "elasticity_energy": self.elasticity_energy, "gain": self.gain,
            "best_factor": self.best_factor, "note": self.note, "output_error": self.output_error,
            "points": [asdict(point) for point in self.points],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The answer of ``whatif``.

    Attributes:
        base: the run as specified; ``changed``: the run with ``overrides``, or None.
        leaves: effects, the limiting leaf first; empty if only a concrete change was asked for.
        metric: the metric that ranks them (``latency_s`` or ``energy_j``).
        output_errors: of a crossbar's largest layers, base and changed; None where there is no change or no crossbar.
        unmoved: what of a crossbar's spec stays as stated although the change would move it.
    """

    base: Result
    leaves: tuple[LeafEffect, ...]
    metric: str
    overrides: tuple[str, ...] = ()
    changed: Result | None = None
    output_errors: tuple[float | None, float | None] | None = None
    unmoved: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, in the form that the module describes."""
        base = document_of(self.base)
        return {
            "schema": 1, "command": "whatif", "model": base["model"], "hardware": base["hardware"], "fidelity": base["fidelity"],
            "phase": base["phase"], "settings": base["settings"], "metric": self.metric, "base": headline(base),
            "leaves": [effect.as_dict() for effect in self.leaves], "change": self._change(base),
        }  # fmt: skip

    def _change(self, base: Mapping[str, Any]) -> dict[str, Any] | None:
        if self.changed is None:
            return None
        before, after = headline(base), headline(document_of(self.changed))
        metrics = {
            name: {"base": old, "changed": new, "delta": new - old, "ratio": new / old if old else None}
            for (name, old), new in zip(before.items(), after.values(), strict=True)
        }
        errors = {} if self.output_errors is None else {"output_error": list(self.output_errors)}
        return {
            "overrides": list(self.overrides), "metrics": metrics, "bound_by": [base["bound_by"], self.changed.bound_by],
            "warnings": [*self.unmoved, *(warning for warning in self.changed.warnings if warning not in self.base.warnings)], **errors,
        }  # fmt: skip


def whatif(
    model: Any,
    hardware: Any,
    *,
    set: Overrides = (),
    leaves: bool = True,
    metric: str = "latency_s",
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> WhatIf:
    """Rank the numbers of a spec by what they do to a model, and try a concrete change.

    Args:
        model: name, path or graph, as in ``run``.
        hardware: name, path or ``Hardware``, as in ``run``.
        set: a concrete change, ``["memory.hbm.bandwidth=4 TB/s"]`` or a mapping; the answer shows it beside the base.
        leaves: vary each leaf (False: only the concrete change).
        metric: what ranks the leaves, ``latency_s`` or ``energy_j``.
        progress: called with (runs done, runs in all).
        settings: as in ``run`` (phase, batch, context, tokens, format, sparsity, fidelity, overrides, dims, unknown_op, ...).

    Raises:
        CyclewrightError: as ``run``; a varied leaf that makes an invalid spec is reported in the answer instead.
    """
    ranked = metric_of(metric, where="metric")
    if ranked not in RANKED:
        raise ArgumentError(f"leaves cannot be ranked by {metric}", where="metric", hint="use latency_s or energy_j")
    prepared = prepare(model, hardware, **settings)
    planned = plan(prepared)
    base = play(prepared, planned)
    changed: Result | None = None
    texts: tuple[str, ...] = ()
    errors: tuple[float | None, float | None] | None = None
    unmoved: tuple[str, ...] = ()
    if set:
        device, texts = with_overrides(prepared, set)
        changed = evaluate(prepared, device)
        if has_crossbar(prepared.hardware):
            errors = _output_error(prepared, prepared.hardware), _output_error(prepared, device)
            unmoved = _left_as_stated(prepared.hardware, device)
    effects = _effects(prepared, planned, base, ranked, progress) if leaves else ()
    return WhatIf(base, effects, ranked, texts, changed, errors, unmoved)


def _effects(
    prepared: Prepared, planned: Plan, base: Result, metric: str, progress: Callable[[int, int], None] | None
) -> tuple[LeafEffect, ...]:
    found = [leaf for leaf in numeric_leaves(prepared.hardware) if prepared.fidelity == "cycle" or not is_dram_leaf(leaf.path)]
    effects = []
    for index, leaf in enumerate(found):
        effects.append(_effect(prepared, planned, base, leaf, metric))
        if progress:
            progress((index + 1) * len(FACTORS), len(found) * len(FACTORS))
    return tuple(sorted(effects, key=_rank))


def _rank(effect: LeafEffect) -> tuple[float, float, str]:
    return (-round(effect.gain, 6), -abs(effect.elasticity_latency or 0.0), effect.leaf.path)


def _effect(prepared: Prepared, planned: Plan, base: Result, leaf: Leaf, metric: str) -> LeafEffect:
    base_value = base.latency_s if metric == "latency_s" else base.energy_j
    judged = has_crossbar(prepared.hardware) and _changes_numbers(prepared.hardware, leaf.path)
    points = tuple(_point(prepared, planned, leaf, factor, metric, base_value) for factor in FACTORS)
    if judged:
        points = tuple(_with_error(prepared, leaf, point) for point in points)
    small = next(point for point in points if point.factor == 1.1)
    gain, best = 1.0, 1.0
    for point in points:
        if point.ratio and 1 / point.ratio > gain * (1 + EVEN):
            gain, best = 1 / point.ratio, point.factor
    return LeafEffect(
        leaf, points, _elasticity(small.latency_s, base.latency_s, small.value, float(leaf.value)),
        _elasticity(small.energy_j, base.energy_j, small.value, float(leaf.value)), gain, best,
        _output_error(prepared, prepared.hardware) if judged else None,
    )  # fmt: skip


def _left_as_stated(before: Hardware, after: Hardware) -> tuple[str, ...]:
    from mappings.crossbar.remarks import left_as_stated  # other hardware never loads the family

    return left_as_stated(before, after)


def _changes_numbers(hardware: Hardware, path: str) -> bool:
    from cyclewright.precision import changes_numbers  # NumPy and the crossbar's modules are for crossbars alone

    return changes_numbers(hardware, path)


def _output_error(prepared: Prepared, hardware: Hardware) -> float | None:
    from cyclewright.precision import quick_error

    return quick_error(prepared.graph, hardware)


def _with_error(prepared: Prepared, leaf: Leaf, point: Point) -> Point:
    """``point`` with what its value does to the results of a crossbar."""
    if point.error is not None:
        return point
    return replace(point, output_error=_output_error(prepared, vary(prepared, [(leaf.path, point.value)])))


def _elasticity(metric: float | None, base_metric: float, value: float, base_value: float) -> float | None:
    if metric is None or metric <= 0 or base_metric <= 0 or value == base_value:
        return None
    return round(math.log(metric / base_metric) / math.log(value / base_value), 9) + 0.0


def _point(prepared: Prepared, planned: Plan, leaf: Leaf, factor: float, metric: str, base_value: float) -> Point:
    highest = highest_value(prepared.hardware, leaf)
    value = varied_value(leaf, factor, highest)
    capped = value == highest and value != varied_value(leaf, factor)
    if value == leaf.value:
        why = "it has its largest value already" if capped else "a whole number that cannot change so little"
        return Point(factor, value, None, None, None, why)
    try:
        result = run_varied(prepared, planned, [(leaf, value)])
    except CyclewrightError as error:
        return Point(factor, value, None, None, None, str(error).splitlines()[0])
    ratio = getattr(result, metric) / base_value if base_value else None
    return Point(factor, value, result.latency_s, result.energy_j, ratio, None, capped)
