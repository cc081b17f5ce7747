"""Skipping zeros: how many steps a stream takes on an array whose lanes pass over zero operands, load imbalance included.

``lanes`` (rows, columns or groups of cells) each take one non-zero per step out of a stream of their own, and wait for each other every
``window`` positions (what their queues and buffers decouple; without it at the end of a run). A window therefore lasts as long as its
fullest lane: the expected maximum of ``lanes`` independent binomial counts, not their mean,

    E[max] = sum over x of 1 - P(count <= x)^lanes,    count ~ Binomial(window, density).

The zeros are taken to lie independently, and a window without any non-zero takes no step (compressed streams do not hold it).
Patterns that tie the zeros are simpler: N:M keeps the same number in every group of M, so that lanes do not differ; a block's values are
kept or dropped together, so that the lanes of a block count as one and its columns as one position.

Only operands that stream through the array can be skipped: both where outputs stay (along k), activations where weights stay (along m),
weights where inputs stay (along n). A stationary zero keeps its cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, exp, lgamma, log, log1p, sqrt

from hwspecs.hardware import ComputeUnit
from hwspecs.vocabulary.sparsity import Sparsity
from mappings.systolic.problem import Product
from workloads.graph import Operator, Tensor

REACH = 12.0
"""Standard deviations around the mean that are summed; counts beyond have a probability that no sum in double precision sees."""
NONE = ""


@dataclass(frozen=True, slots=True)
class Skipping:
    """What a spec's unit skips.

    Attributes:
        operand: ``weights``, ``activations`` or ``both``.
        lanes: streams that wait for each other; ``window``: positions after which they do, 0 for the end of a run.
    """

    operand: str
    lanes: int
    window: int


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps that a stream takes on ``lanes`` in windows of ``window`` trials: a trial is ``grain`` positions, non-zero with ``density``.

    ``regular`` is the N:M pattern of a stream without imbalance (n, m), or (0, 0).
    """

    density: float
    lanes: int
    window: int
    grain: int = 1
    regular: tuple[int, int] = (0, 0)

    @property
    def label(self) -> str:
        """For reports."""
        return "skipping zeros"

    @property
    def pattern(self) -> str:
        """Rates are those of dense products."""
        return "dense"

    def of(self, length: int) -> float:
        """Expected steps of a stream of ``length`` positions; never more than ``length``, never fewer than its expected non-zeros."""
        if self.regular[1]:
            groups, rest = divmod(length, self.regular[1])
            return float(groups * self.regular[0] + min(rest, self.regular[0]))
        trials, rest = divmod(length, self.grain)
        window = self.window or max(1, trials)
        whole, part = divmod(trials, window)
        steps = whole * expected_maximum(window, self.density, self.lanes) + expected_maximum(part, self.density, self.lanes)
        return min(float(length), steps * self.grain + rest)


@lru_cache(maxsize=65536)
def expected_maximum(trials: int, density: float, lanes: int) -> float:
    """E[max] of ``lanes`` independent Binomial(``trials``, ``density``) counts.

    Exact up to rounding: the sum of 1 - F(x)^lanes runs over all x within ``REACH`` standard deviations (and ten more) of the mean.
    """
    mean = trials * density
    if trials == 0 or density >= 1.0 or lanes == 1:
        return min(mean, float(trials))
    margin = REACH * sqrt(mean * (1.0 - density)) + 10.0 + log(lanes)
    low, high = max(0, int(mean - margin)), min(trials, ceil(mean + margin))
    odds = log(density) - log1p(-density)
    chance = lgamma(trials + 1) - lgamma(low + 1) - lgamma(trials - low + 1) + low * log(density) + (trials - low) * log1p(-density)
    below, total = 0.0, float(low)
    for count in range(low, high):
        below = min(1.0, below + exp(chance))
        total += 1.0 - below**lanes
        chance += log((trials - count) / (count + 1)) + odds
    return min(float(trials), max(mean, total))


def skipping_of(unit: ComputeUnit) -> Skipping | None:
    """What ``unit`` skips by its spec's ``skipping``; None for a plain array."""
    operand = str(unit.parameters.get("skipping.operand", NONE))
    if not operand:
        return None
    return Skipping(operand, int(unit.parameters["skipping.lanes"]), int(unit.parameters.get("skipping.window", 0)))


def streams(product: Product, operator: Operator, tensors: Mapping[str, Tensor], skipping: Skipping) -> dict[str, Steps]:
    """Group to its steps where it streams (``k``, ``m``, ``n``: outputs, weights, inputs stay), if zeros of what streams can be skipped."""
    sparsities = {}
    for word, use in (("activations", product.a), ("weights", product.b)):
        tensor = operator.internal.get(use.name) or tensors[use.name]
        if tensor.sparsity.kind != "dense" and skipping.operand in (word, "both"):
            sparsities[word] = tensor.sparsity
    found = {group: _steps([sparsities[word] for word in words if word in sparsities], skipping) for group, words in _STREAMING.items()}
    return {group: steps for group, steps in found.items() if steps is not None}


_STREAMING = {"k": ("activations", "weights"), "m": ("activations",), "n": ("weights",)}


def _steps(patterns: list[Sparsity], skipping: Skipping) -> Steps | None:
    if not patterns:
        return None
    density = 1.0
    for pattern in patterns:
        density *= pattern.density
    lanes, window, grain, regular = skipping.lanes, skipping.window, 1, (0, 0)
    if len(patterns) == 1:
        only = patterns[0]
        if only.kind == "nm":
            regular = (only.n, only.m)
        elif only.kind == "block":
            rows, grain = only.block
            lanes, window = -(-lanes // rows), -(-window // grain)
    return Steps(density, lanes, window, grain, regular)
