"""The model side of the ledger's identity rows, from the graphs alone: no hardware, so it holds whatever a mapper does."""

from __future__ import annotations

import pytest

from cyclewright.claim_rows import Claim, load_claims
from workloads import load_model
from workloads.counting import counts

METRICS = {"parameters": "parameters", "active_parameters": "active_parameters", "stored_weight_bytes": "weight_bytes",
           "kv_cache_bytes": "kv_cache_bytes"}  # fmt: skip
ROWS = [claim for claim in load_claims() if claim.kind == "identity" and claim.metric in (*METRICS, "kv_cache_bytes_per_token")]


def test_there_are_enough_rows() -> None:
    assert len(ROWS) >= 30


@pytest.mark.parametrize("claim", ROWS, ids=lambda claim: claim.id)
def test_row(claim: Claim) -> None:
    (run,) = claim.runs.values()
    settings = {name: value for name, value in dict(run.settings).items() if name != "fidelity"}
    graph = load_model(run.model, **settings)  # type: ignore[arg-type]
    made = counts(graph)
    if claim.metric == "kv_cache_bytes_per_token":
        ours = made.kv_cache_bytes / (int(graph.meta["context"]) * int(graph.meta["batch"]))
    else:
        ours = float(made.as_dict()[METRICS[claim.metric]])
    allowed = claim.tolerance * (claim.value if claim.relative else 1.0)
    assert (abs(ours / claim.factor - claim.value) <= allowed + 1e-9) == (claim.expect == "pass"), ours / claim.factor
