from __future__ import annotations

from pathlib import Path

import pytest

from cyclewright.claim_metrics import ClaimRun, check_form, measure
from cyclewright.claim_rows import KINDS, load_claims
from hwspecs.vocabulary.errors import ArgumentError, ErrorList, InvalidInput, UnknownNameError
from tests.cyclewright.sample_documents import sample_document
from workloads import GraphBuilder
from workloads.graph import OperatorGraph
from workloads.passes import nm_training, training

GOOD = """
claims:
  - id: a
    title: A title
    kind: identity
    source: Somebody
    run: {model: resnet50, hardware: edge-npu, batch: 2}
    metric: macs
    value: 4.1
    unit: billion
    tolerance: {relative: 1 %, reason: rounded}
"""


def ledger(folder: Path, text: str) -> Path:
    (folder / "rows.yaml").write_text(text, encoding="utf-8")
    return folder


def test_a_good_row(tmp_path: Path) -> None:
    (claim,) = load_claims(ledger(tmp_path, GOOD))
    assert claim.factor == 1e9
    assert claim.tolerance == pytest.approx(0.01)
    assert claim.relative
    assert claim.expect == "pass"
    assert claim.runs["run"].settings == (("batch", 2),)
    assert claim.where.endswith("rows.yaml:3:5")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("    value: 4.1\n", "", ":3:5", "lacks value"),
        ("kind: identity", "kind: identical", ":5:11", "kind is 'identical'"),
        ("value: 4.1", "value: 4.1 G", ":9:12", "value is not a number"),
        ("value: 4.1", "value: true", ":9:12", "value is not a number"),
        ("unit: billion", "unit: bilion", ":10:11", "unknown unit"),
        ("{relative: 1 %, reason: rounded}", "{relative: 1 %}", ":11:16", "with a reason"),
        ("{relative: 1 %, reason: rounded}", "{relative: 0.1, absolute: 2, reason: x}", ":11:16", "relative or absolute"),
        ("relative: 1 %", "relative: -0.1", ":11:27", "below zero"),
        ("relative: 1 %", "relatve: 1 %", ":11:17", "did you mean relative"),
        ("model: resnet50, ", "", ":7:10", "no model"),
        ("batch: 2", "batch: two", ":7:55", "batch is a text"),
        ("batch: 2", "bach: 2", ":7:48", "did you mean batch"),
        ("metric: macs", "metric: macs / 2", ":8:13", "cannot read the metric"),
        ("metric: macs", "metric: product macs macs", ":8:13", "cannot read the metric"),
        ("title: A title", "title: 7", ":4:12", "title is a number"),
        ("    source: Somebody\n", "    source: Somebody\n    expect: miss\n", ":3:5", "no note"),
        ("    source: Somebody\n", "    source: Somebody\n    source: Else\n", ":7:5", "duplicate key"),
        ("run: {model: resnet50, hardware: edge-npu, batch: 2}", "run: resnet50", ":7:10", "not a mapping"),
        ("    run: {model: resnet50, hardware: edge-npu, batch: 2}\n", "", ":3:5", "no run"),
        ("run: {model", "runs: {a: {model: resnet50}}\n    run: {model", ":3:5", "both run and runs"),
        ("claims:", "claim:", ":2:1", "unknown key 'claim'"),
    ],
)
def test_faults_are_located(tmp_path: Path, old: str, new: str, line: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(ErrorList) as caught:
        load_claims(ledger(tmp_path, GOOD.replace(old, new)))
    messages = [str(error) for error in caught.value.errors]
    assert any(f"rows.yaml{line}: " in message and words in message for message in messages), messages


def test_all_faults_come_at_once_and_ids_are_unique(tmp_path: Path) -> None:
    twice = GOOD + GOOD.replace("\nclaims:\n", "").replace("kind: identity", "kind: hoped")
    with pytest.raises(ErrorList) as caught:
        load_claims(ledger(tmp_path, twice))
    text = str(caught.value)
    assert "the id 'a' is taken" in text
    assert "kind is 'hoped'" in text


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such folder"):
        load_claims(tmp_path / "nowhere")


def test_the_ledger_that_ships_is_in_order() -> None:
    claims = load_claims()
    assert claims
    assert {claim.kind for claim in claims} <= set(KINDS)
    assert all(claim.source and claim.tolerance_reason for claim in claims)


def chain(layers: int) -> OperatorGraph:
    builder = GraphBuilder("chain", "fp16")
    x = builder.input("x", (16, 32))
    for place in range(layers):
        x = builder.gemm(x, builder.weight(f"w{place}", (32, 32)), f"y{place}", transpose_b=True)
    builder.output(x)
    return builder.build()


@pytest.fixture(scope="module")
def runs() -> dict[str, ClaimRun]:
    graph = OperatorGraph("made-up", {}, (), (), (), meta={"batch": 8, "context": 4096})
    return {"run": ClaimRun(graph, sample_document(20, repeats=True))}


def test_metrics_of_one_run(runs: dict[str, ClaimRun]) -> None:
    document = runs["run"].document
    assert measure("latency", runs, where="x") == document["latency_s"]
    assert measure("energy_by_component.static", runs, where="x") == document["energy_by_component"]["static"]
    assert measure("energy_by_component.sm.mac.bf16", runs, where="x") == document["energy_by_component"]["sm.mac.bf16"]
    row = document["operators"][3]
    assert measure(f"operators.{row['name']}.time_s", runs, where="x") == row["time_s"]
    assert measure("kv_cache_bytes_per_token", runs, where="x") == document["kv_cache_bytes"] / (8 * 4096)
    assert measure("stored_bits_per_parameter", runs, where="x") == pytest.approx(8 * 16_060_522_496 / 8_030_261_248)


def test_verbs_of_two_runs(runs: dict[str, ClaimRun]) -> None:
    two = {"a": runs["run"], "b": ClaimRun(runs["run"].graph, {**runs["run"].document, "latency_s": 2 * runs["run"].document["latency_s"]})}
    latency = runs["run"].document["latency_s"]
    assert measure("ratio b.latency_s a.latency_s", two, where="x") == 2.0
    assert measure("difference b.latency_s a.latency", two, where="x") == pytest.approx(latency)
    assert measure("sum a.macs b.macs", two, where="x") == 2 * runs["run"].document["macs"]


def test_means_of_runs_and_of_pairs(runs: dict[str, ClaimRun]) -> None:
    """Latencies 1, 3, 4, 6 s: their mean is 3.5 s; the pairs' ratios are 3 and 1.5, their mean is not the ratio of the means."""
    several = {name: ClaimRun(runs["run"].graph, {"latency_s": value}) for name, value in {"a": 1.0, "b": 3.0, "c": 4.0, "d": 6.0}.items()}
    assert measure("mean a.latency_s b.latency_s c.latency_s d.latency_s", several, where="x") == 3.5
    assert measure("mean ratio b.latency_s a.latency_s d.latency_s c.latency_s", several, where="x") == 2.25
    for faulty in ("mean", "mean ratio a.latency_s b.latency_s c.latency_s", "mean ratio", ""):
        assert check_form(faulty, several) is not None
        with pytest.raises(InvalidInput):
            measure(faulty, several, where="x")


def test_counts_of_training_steps() -> None:
    """Two layers of 32 x 32 behind one that sends no gradient on: 2:8 saves 2 x 3/4 of 2 / 8 of the products; momentum keeps 12 bytes."""
    step = nm_training(training(chain(3)), "bdwp-2:8")
    run = {"run": ClaimRun(step, {})}
    assert measure("operation_reduction", run, where="x") == pytest.approx(2 * 2 * 0.75 / 8)
    assert measure("state_bytes_per_trained_parameter", run, where="x") == 12
    assert measure("training_state_bytes", run, where="x") == 12 * 3 * 32 * 32
    with pytest.raises(ArgumentError, match="trains nothing"):
        measure("state_bytes_per_trained_parameter", {"run": ClaimRun(chain(3), {})}, where="x")


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        ("latncy", UnknownNameError),
        ("operators.nothing.time_s", UnknownNameError),
        ("bound_by", UnknownNameError),
        ("fits", UnknownNameError),
        ("energy_by_component", UnknownNameError),
        ("a b c d", ArgumentError),
        ("__import__('os')", UnknownNameError),
    ],
)
def test_nothing_else_is_evaluated(runs: dict[str, ClaimRun], metric: str, kind: type[InvalidInput]) -> None:
    with pytest.raises(kind, match="rows"):
        measure(metric, runs, where="rows")


def test_a_ratio_to_zero_is_refused(runs: dict[str, ClaimRun]) -> None:
    none = {"run": ClaimRun(runs["run"].graph, {**runs["run"].document, "kv_cache_bytes": 0})}
    with pytest.raises(ArgumentError, match="is zero"):
        measure("ratio latency_s kv_cache_bytes", none, where="x")


def test_the_form_is_checked_before_anything_runs() -> None:
    assert check_form("ratio a.latency_s b.latency_s", {"a": 1, "b": 2}) is None
    assert "names none of the runs" in (check_form("latency_s", {"a": 1, "b": 2}) or "")
