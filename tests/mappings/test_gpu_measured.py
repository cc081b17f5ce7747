"""The accuracy that the project states, on rows that no constant was fitted on."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def measured_rows(data_file):
    return data_file("measured/aiconfigurator")


ROOFLINE = {"a100": 30.2, "h100": 24.3, "h200": 30.5}
"""Mean error of the spec-sheet roofline on bf16 GEMM rows over 50 us, in per cent: shows that rows and roofline are read alike."""


def mean_error(estimate, seconds):
    return 100 * float(np.abs(estimate / seconds - 1).mean())


@pytest.mark.parametrize("system", list(ROOFLINE))
def test_products_over_50_us_are_within_12_per_cent(system):
    from benchmarks.gpu.classes import CLASSES, bf16_device, tool_seconds
    from benchmarks.gpu.measured import SYSTEMS
    from hwspecs import load_hardware

    hardware, kernel = load_hardware(SYSTEMS[system]), CLASSES["gemm"]
    device, rows = bf16_device(hardware), CLASSES["gemm"].rows(system, hardware)
    long = rows.take(rows.seconds > 50e-6)
    assert mean_error(kernel.roofline(long.columns, device), long.seconds) == pytest.approx(ROOFLINE[system], abs=0.1)
    held = long.take(long.reported)
    assert mean_error(tool_seconds(kernel, held.columns, device, hardware), held.seconds) <= 12.0


@pytest.mark.parametrize("system", list(ROOFLINE))
@pytest.mark.parametrize("name", ["attention_prefill", "attention_decode"])
def test_attention_beats_the_roofline_in_every_regime(system, name):
    from benchmarks.gpu.accuracy import regimes
    from benchmarks.gpu.classes import CLASSES, bf16_device, tool_seconds
    from benchmarks.gpu.measured import SYSTEMS
    from hwspecs import load_hardware

    hardware, kernel = load_hardware(SYSTEMS[system]), CLASSES[name]
    device = bf16_device(hardware)
    rows = kernel.rows(system, hardware)
    ours, roof = tool_seconds(kernel, rows.columns, device, hardware), kernel.roofline(rows.columns, device)
    for regime, chosen in regimes(kernel, rows).items():
        held = chosen & rows.reported
        assert mean_error(ours[held], rows.seconds[held]) < 0.6 * mean_error(roof[held], rows.seconds[held]), regime


@pytest.mark.parametrize("name", ["gemm", "attention_prefill", "attention_decode"])
def test_a_real_run_gives_the_estimate_that_is_scored(name):
    import cyclewright as cw
    from benchmarks.gpu.accuracy import TOLERANCE, run_text
    from benchmarks.gpu.classes import CLASSES, bf16_device, tool_seconds
    from benchmarks.gpu.measured import SYSTEMS
    from hwspecs import load_hardware

    hardware, kernel = load_hardware(SYSTEMS["h100"]), CLASSES[name]
    rows = kernel.rows("h100", hardware)
    sample = rows.take(np.random.default_rng(3).permutation(len(rows.seconds))[:20])
    estimate = tool_seconds(kernel, sample.columns, bf16_device(hardware), hardware)
    real = [cw.run(run_text(kernel, sample.columns, row), hardware, format="bf16").latency_s for row in range(20)]
    assert np.abs(np.array(real) / estimate - 1).max() < TOLERANCE
