"""A small GPU built by hand, with constants that make hand calculation easy."""

from __future__ import annotations

from hwspecs.hardware import ComputeUnit, Hardware, Memory

CONSTANTS = {
    "gemm": {
        "compute_efficiency": 1.0, "fill_k": 0.0, "operand_bytes_per_flop": 1e3, "pull_share": 1e6, "launch": 0.0, "split_launch": 1e-6,
        "overlap": 8.0,
    },
    "attention_prefill": {
        "compute_efficiency": 0.5, "fill_keys": 64.0, "exp_per_clock": 16.0, "operand_bytes_per_flop": 0.02, "pre_passes": 1.0,
        "launch": 5e-6, "overlap": 2.0,
    },
    "attention_decode": {
        "block_share": 4.0, "cta_time": 1e-6, "row_time": 0.0, "launch": 5e-6, "merge_launch": 2e-6, "overlap": 1.0,
    },
    "elementwise": {"launch": 1e-6, "pull_share": 1e6, "overlap": 8.0},
    "activation": {"launch": 1e-6, "pull_share": 1e6, "overlap": 8.0},
    "rowwise": {"launch": 1e-6, "pull_share": 1e6, "overlap": 8.0},
}  # fmt: skip
TYPICAL = {
    **CONSTANTS,
    "gemm": {
        "compute_efficiency": 0.9, "fill_k": 150.0, "operand_bytes_per_flop": 0.016, "pull_share": 1.0, "launch": 2.5e-6,
        "split_launch": 2e-6, "overlap": 4.0,
    },
}  # fmt: skip


def gpu(constants: dict[str, dict[str, float]] = CONSTANTS, *, peak: float = 100e12, achieved: float = 1.0, sms: int = 100) -> Hardware:
    """100 SMs of 1 TFLOP/s each in bf16, 1 TB/s, 1 GHz, 40 MiB of L2."""
    rates = {("bf16", "dense"): peak, ("bf16", "2:4"): 2 * peak, ("int8", "dense"): 2 * peak}
    parameters = {f"kernels.{name}.{key}": value for name, values in constants.items() for key, value in values.items()}
    vector = {"fp32": peak / 16, "bf16": peak / 8}
    unit = ComputeUnit("sm", "gpu", sms, 1e9, rates, vector, {"mac.bf16": 1e-12}, None, parameters)
    memories = {"hbm": Memory("hbm", True, 80 << 30, 1e12, achieved), "l2": Memory("l2", False, 40 << 20, 5e12)}
    return Hardware("hand-gpu", "", "gpu", 1e9, "bf16", {"sm": unit}, memories, {}, {}, 0.0, 0.0, 0.0, None, None, {}, "none")
