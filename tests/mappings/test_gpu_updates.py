"""Optimizers on GPUs: their steps are streams, bound by the memory whatever they compute."""

import pytest

import cyclewright as cw


@pytest.mark.parametrize(
    ("optimizer", "bytes_per_weight"), [("sgd", 2 + 4 + 4 + 2), ("sgd-momentum", 2 + 8 + 8 + 2), ("adam", 2 + 12 + 12 + 2)]
)
def test_steps_of_optimizers_stream(optimizer, bytes_per_weight):
    """Mixed precision reads the gradient, the master weight and the states; it writes master weight, states and the FP16 weight.

    GPT-2 XL, 1.558 G weights: too many to stay in the L2. H100: 3.352 TB/s, of which the spec's streams reach 92 %.
    """
    result = cw.run("gpt2-xl", "nvidia-h100-sxm", phase="train", optimizer=optimizer)
    rows = [row for row in result.operators if row.training_pass == "update" and row.dram_bytes > 1e8]
    moved, spent = sum(row.dram_bytes for row in rows), sum(row.time_s for row in rows)
    assert moved == pytest.approx(bytes_per_weight * result.parameters, rel=0.01)
    assert 0.85 * 3.352e12 < moved / spent < 0.92 * 3.352e12
