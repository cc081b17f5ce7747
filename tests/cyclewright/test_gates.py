from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclewright.gates import check_gates, parse_gate
from cyclewright.metrics import ARRAY_METRICS, METRICS, format_metric, metric_names, metric_of, metric_value
from hwspecs.vocabulary.errors import ArgumentError, GateHit, InvalidInput, UnitError, UnknownNameError
from tests.cyclewright.sample_documents import sample_document


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return sample_document(20)


@pytest.mark.parametrize(
    ("text", "metric", "threshold"),
    [
        ("latency > 5 ms", "latency_s", 5e-3),
        ("latency>5ms", "latency_s", 5e-3),
        ("latency_s >= 250 us", "latency_s", 250e-6),
        ("energy < 2 mJ", "energy_j", 2e-3),
        ("peak_memory > 16 GiB", "peak_memory_bytes", 16 * 2**30),
        ("dram_bytes <= 1 MB", "dram_bytes", 1e6),
        ("mfu < 40 %", "mfu", 0.4),
        ("mfu < 0.4", "mfu", 0.4),
        ("power > 700 W", "power_w", 700.0),
        ("throughput < 1000 /s", "throughput_per_s", 1000.0),
        ("tokens_per_s < 1e3", "throughput_per_s", 1000.0),
        ("MACs > 4e9", "macs", 4e9),
    ],
)
def test_conditions_are_read_in_si(text: str, metric: str, threshold: float) -> None:
    gate = parse_gate(text)
    assert (gate.metric, gate.threshold) == (metric, pytest.approx(threshold))


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("latency", ArgumentError, "cannot read the condition"),
        ("latency == 5 ms", ArgumentError, "cannot read the condition"),
        ("", ArgumentError, "cannot read the condition"),
        ("latncy > 5 ms", UnknownNameError, "did you mean latency"),
        ("latency > 5", UnitError, "has no unit"),
        ("latency > 5 GB", UnitError, "not a time"),
        ("latency > fast", UnitError, "does not begin with a number"),
        ("peak_memory > 16 ms", UnitError, "not a "),
        ("macs > 5 ms", UnitError, "plain number"),
        ("latency > 5 cycles", UnitError, "no clock is known"),
        ("latency > nan s", UnitError, "does not begin with a number"),
    ],
)
def test_bad_conditions_say_what_is_wrong(text: str, kind: type[InvalidInput], words: str) -> None:
    with pytest.raises(kind, match="--fail-if") as caught:
        parse_gate(text)
    assert words in str(caught.value)


def test_a_condition_that_holds_is_hit_with_the_value_met(document: dict[str, Any]) -> None:
    latency = document["latency_s"]
    gates = [parse_gate(f"latency > {latency * 0.9} s"), parse_gate(f"latency > {latency * 1.1} s"), parse_gate("mfu < 100 %")]
    with pytest.raises(GateHit) as caught:
        check_gates(gates, document)
    assert caught.value.exit_code == 3
    assert "latency_s is" in str(caught.value)
    assert "mfu is" in str(caught.value)
    assert str(latency * 1.1) not in str(caught.value)
    check_gates([gates[1]], document)


@given(st.floats(1e-12, 1e12), st.sampled_from([">", ">=", "<", "<="]))
def test_exactly_one_of_a_comparison_and_its_opposite_holds(threshold: float, comparison: str) -> None:
    opposite = {">": "<=", "<=": ">", "<": ">=", ">=": "<"}[comparison]
    document = {"latency_s": 1e-3}
    first, second = parse_gate(f"latency {comparison} {threshold!r} s"), parse_gate(f"latency {opposite} {threshold!r} s")
    assert first.holds(document) != second.holds(document)


def test_every_metric_name_resolves_and_has_a_value(document: dict[str, Any]) -> None:
    for name in metric_names():
        canonical = metric_of(name)
        if canonical in ARRAY_METRICS:
            with pytest.raises(ArgumentError, match="only crossbars have it"):
                metric_value(document, canonical)
        else:
            assert format_metric(canonical, metric_value(document, canonical))
    assert set(map(metric_of, metric_names())) == set(METRICS)


def test_derived_metrics_follow_from_the_document(document: dict[str, Any]) -> None:
    assert metric_value(document, "power_w") == pytest.approx(document["energy_j"] / document["latency_s"])
    assert metric_value(document, "throughput_per_s") == pytest.approx(1 / document["latency_s"])
    decode = sample_document(20, repeats=True)
    assert metric_value(decode, "throughput_per_s") == pytest.approx(8 / decode["latency_s"])


def test_a_document_without_the_number_is_refused() -> None:
    with pytest.raises(ArgumentError, match="no number"):
        metric_value({}, "latency_s")
