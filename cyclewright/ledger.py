"""The ledger of published results: each row is a real run of the tool, set against a value that somebody published.

Rows live in ``cyclewright/claims/**/*.yaml``::

    defaults:                       # optional: keys that every row of the file takes unless it has its own
      source: "Authors, Title, Table 3"
    claims:
      - id: llama-3-8b-parameters   # unique in the whole ledger
        title: Parameters of Llama 3 8B
        kind: identity              # identity (arithmetic), calibrated (its source was used to fit) or predicted (it was not)
        run: {model: llama-3-8b, hardware: nvidia-h100-sxm, phase: decode, batch: 1, context: 2048, format: bf16}
        metric: parameters
        value: 8.03                 # as published
        unit: billion
        tolerance: {relative: 0.1 %, reason: published with three digits}
        expect: pass                # pass or miss; a miss needs a note that says why
        note: ""

``run`` takes ``model``, ``hardware`` (default ``nvidia-h100-sxm``) and the keyword arguments of ``cyclewright.run``. Instead of
``run``, ``runs`` holds several by name, and the metric names them: ``ratio a.latency_s b.latency_s``. A metric is a name
(``latency_s``, ``parameters``, see ``cyclewright.metrics``), a derived name (``active_parameters``, ``kv_cache_bytes_per_token``,
``stored_bits_per_parameter``; of a training step ``operation_reduction``, ``training_state_bytes``,
``state_bytes_per_trained_parameter``), a dotted path into the result's JSON (``energy_by_component.static``, ``operators.NAME.time_s``),
``ratio``, ``difference`` or ``sum`` of two of these, ``mean A B C ...``, or the mean of pairs: ``mean ratio A B C D`` is that of A / B and
C / D. Nothing else is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclewright.api import document_of, evaluate, prepare
from cyclewright.claim_metrics import ClaimRun, measure
from cyclewright.claim_rows import Claim, RunSpec, load_claims
from hwspecs.vocabulary.errors import CyclewrightError

__all__ = ["Claim", "Outcome", "RunSpec", "as_document", "claims", "load_claims"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row after its runs.

    Attributes:
        ours: our value in the row's unit; None if the run failed.
        error: (ours - published) / published, or the plain difference where the published value is 0; None if the run failed.
        tolerance: allowed size of ``error``, on the same scale.
        passed: within the tolerance.
        failure: why there is no value; empty if there is one.
    """

    claim: Claim
    ours: float | None
    error: float | None
    tolerance: float
    passed: bool
    failure: str = ""

    @property
    def as_expected(self) -> bool:
        """Whether the row turned out as it says: a run that fails never does."""
        return not self.failure and self.passed == (self.claim.expect == "pass")

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        claim = self.claim
        return {
            "id": claim.id, "title": claim.title, "kind": claim.kind, "expect": claim.expect, "metric": claim.metric, "unit": claim.unit,
            "ours": self.ours, "published": claim.value, "error": self.error, "tolerance": self.tolerance, "pass": self.passed,
            "as_expected": self.as_expected, "failure": self.failure, "tolerance_reason": claim.tolerance_reason, "source": claim.source,
            "note": claim.note,
        }  # fmt: skip


def claims(
    filter: str | None = None, *, folder: str | Path | None = None, progress: Callable[[int, int], None] | None = None
) -> tuple[Outcome, ...]:
    """Run the ledger.

    Args:
        filter: only rows with this word in their id, title, source, kind or model, in any case.
        folder: a ledger of your own instead of the one that ships.
        progress: called with (rows done, rows in all).

    Raises:
        ErrorList: faults of the rows, each with file, line and column.
    """
    chosen = [claim for claim in load_claims(folder) if filter is None or filter.lower() in claim.search_text]
    made: dict[RunSpec, ClaimRun] = {}
    outcomes = []
    for index, claim in enumerate(chosen):
        outcomes.append(_outcome(claim, made))
        if progress:
            progress(index + 1, len(chosen))
    return tuple(outcomes)


def as_document(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The outcomes as plain data for JSON."""
    return {"schema": 1, "command": "claims", "claims": [outcome.as_dict() for outcome in outcomes]}


def _outcome(claim: Claim, made: dict[RunSpec, ClaimRun]) -> Outcome:
    tolerance = claim.tolerance if claim.relative or not claim.value else claim.tolerance / abs(claim.value)
    try:
        runs = {name: _run(spec, made) for name, spec in claim.runs.items()}
        ours = measure(claim.metric, runs, where=claim.where) / claim.factor
    except CyclewrightError as error:
        return Outcome(claim, None, None, tolerance, False, str(error).splitlines()[0])
    error_size = (ours - claim.value) / abs(claim.value) if claim.value else ours
    # the last digits of a tolerance that comes from rounding must not decide
    return Outcome(claim, ours, error_size, tolerance, abs(error_size) <= tolerance * (1 + 1e-9) + 1e-12)


def _run(spec: RunSpec, made: dict[RunSpec, ClaimRun]) -> ClaimRun:
    if spec not in made:
        prepared = prepare(spec.model, spec.hardware, overrides=dict(spec.overrides), dims=dict(spec.dims) or None, **spec.keywords)
        made[spec] = ClaimRun(prepared.graph, document_of(evaluate(prepared)))
    return made[spec]
