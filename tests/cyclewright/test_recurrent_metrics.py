"""What the ledger measures of a recurrent step on arrays."""

from __future__ import annotations

import pytest

from cyclewright.api import document_of, evaluate, prepare
from cyclewright.claim_metrics import ClaimRun, measure
from hwspecs.vocabulary.errors import ArgumentError


def of(metric: str, model: str, hardware: str, **settings) -> float:
    prepared = prepare(model, hardware, **settings)
    return measure(metric, {"run": ClaimRun(prepared.graph, document_of(evaluate(prepared)))}, where="here")


def test_a_step_takes_its_conversions_and_its_digital_work():
    """Gates and tanh(c) convert: twice 32 steps of input and 32 of the ramp; the rest, 33 ns, is digital work."""
    short, long = (of("recurrent_step_s", "lstm-kws", hardware) for hardware in ("nl-adc-kws", "nl-adc-kws-8bit"))
    assert long - short == pytest.approx(2 * 2 * (256 - 32) * 1e-9, abs=2e-9)
    assert short - 128e-9 == pytest.approx(33e-9, abs=2e-9)


def test_a_projection_converts_once_more():
    short, long = (of("recurrent_step_s", "lstm-ptb-char", hardware, tokens=4) for hardware in ("nl-adc-nlp", "nl-adc-nlp-8bit"))
    assert long - short == pytest.approx(3 * 2 * (256 - 32) * 1e-9, abs=2e-9)


def test_rates_and_powers_fit_together():
    step = of("recurrent_step_s", "lstm-kws", "nl-adc-kws")
    assert of("recurrent_operations_per_s", "lstm-kws", "nl-adc-kws") == pytest.approx(2 * 72 * 128 / step)
    assert 0 < of("recurrent_power_w", "lstm-kws", "nl-adc-kws") * step < of("energy_j", "lstm-kws", "nl-adc-kws") / 48


def test_networks_without_steps_are_refused():
    with pytest.raises(ArgumentError, match="repeats no step on arrays"):
        of("recurrent_step_s", "gemm:4x16x64", "wang-vlsi-2022")
