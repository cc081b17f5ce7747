"""Error of the GPU model on measured rows, beside the spec-sheet roofline's, as Markdown tables.

    CYCLEWRIGHT_DATA=... python benchmarks/gpu/accuracy.py [a100 h100 h200] [--runs 60]

Constants come from the library's specs. They were fitted on one half of the values of (N, K) or (heads, KV heads); "held out" is the
other half. Estimates of all rows use the mapper's own formulas on arrays; ``--runs`` rows of each class are also run through
``cyclewright.run``, and the largest difference is printed (it must stay within 1 %, or the script fails).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.gpu.classes import CLASSES, KernelClass, bf16_device, tool_seconds
from benchmarks.gpu.elsewhere import print_elsewhere
from benchmarks.gpu.measured import SYSTEMS, Rows
from hwspecs import load_hardware

TOLERANCE = 0.01
"""Most that a real run may differ from the estimate that is scored."""


def error(estimate: np.ndarray, seconds: np.ndarray) -> str:
    """``mean / median`` of the absolute percentage error; ``-`` without rows."""
    if not len(seconds):
        return "-"
    errors = 100 * np.abs(estimate / seconds - 1)
    return f"{errors.mean():.1f} / {np.median(errors):.1f}"


def regimes(kernel: KernelClass, rows: Rows) -> dict[str, np.ndarray]:
    """Name of a regime to its rows."""
    found = {"all": np.ones(len(rows.seconds), bool), "over 50 us": rows.seconds > 50e-6}
    if kernel.name == "gemm":
        found |= {"m <= 16": rows.columns["m"] <= 16, "m >= 1024": rows.columns["m"] >= 1024}
    else:
        found |= {"over 1 ms": rows.seconds > 1e-3}
    return found


def print_classes(systems: list[str]) -> dict[str, list[tuple[str, int]]]:
    """Table of every class and regime; returns what was left out."""
    print("\n| device | class | regime | held-out rows | model, held out | model, all rows | roofline, held out | roofline, all rows |")
    print("|---|---|---|---|---|---|---|---|")
    excluded: dict[str, list[tuple[str, int]]] = {}
    for system in systems:
        hardware = load_hardware(SYSTEMS[system])
        device = bf16_device(hardware)
        for kernel in CLASSES.values():
            rows = kernel.rows(system, hardware)
            if not len(rows.seconds):
                continue
            excluded[f"{system} {kernel.name}"] = list(rows.excluded.items())
            ours = tool_seconds(kernel, rows.columns, device, hardware)
            roof = kernel.roofline(rows.columns, device)
            for regime, chosen in regimes(kernel, rows).items():
                if not chosen.any():
                    continue
                held = chosen & rows.reported
                cells = [error(values[mask], rows.seconds[mask]) for values in (ours, roof) for mask in (held, chosen)]
                print(f"| {system} | {kernel.name} | {regime} | {held.sum()} | {' | '.join(cells)} |")
    return excluded


def print_transfer(systems: list[str]) -> None:
    """The A100's constants on the other devices: data-sheet numbers change, constants do not."""
    print("\nA100 constants carried over, all rows, mean / median %:\n")
    print("| device | class | all | over 50 us | own constants, all |")
    print("|---|---|---|---|---|")
    source = load_hardware(SYSTEMS["a100"])
    for system in systems:
        hardware = load_hardware(SYSTEMS[system])
        device = bf16_device(hardware)
        for kernel in CLASSES.values():
            rows = kernel.rows(system, hardware)
            if system == "a100" or not len(rows.seconds):
                continue
            moved = tool_seconds(kernel, rows.columns, device, source)
            own = tool_seconds(kernel, rows.columns, device, hardware)
            long = rows.seconds > 50e-6
            cells = error(moved, rows.seconds), error(moved[long], rows.seconds[long]), error(own, rows.seconds)
            print(f"| {system} | {kernel.name} | {' | '.join(cells)} |")


def run_text(kernel: KernelClass, columns: dict[str, np.ndarray], row: int) -> str:
    """The row as a single-operator model."""
    c = {name: int(values[row]) for name, values in columns.items()}
    if kernel.name == "gemm":
        return f"gemm:{c['m']}x{c['n']}x{c['k']}"
    causal = ",causal" if kernel.name == "attention_prefill" else ""
    return f"attention:b{c['batch']},h{c['heads']},kv{c['kv_heads']},q{c['queries']},k{c['keys']},d{c['head_dim']}{causal}"


def check_runs(systems: list[str], runs: int) -> bool:
    """Run a sample of rows for real; True if all are within the tolerance."""
    import cyclewright as cw

    print(f"\nReal runs beside the estimates, {runs} rows of each class:\n")
    good = True
    for system in systems:
        hardware = load_hardware(SYSTEMS[system])
        device = bf16_device(hardware)
        for kernel in list(CLASSES.values())[:3]:
            rows = kernel.rows(system, hardware)
            sample = rows.take(np.sort(np.random.default_rng(1).permutation(len(rows.seconds))[:runs]))
            estimate = tool_seconds(kernel, sample.columns, device, hardware)
            real = np.array([cw.run(run_text(kernel, sample.columns, row), hardware, format="bf16").latency_s for row in range(runs)])
            worst = float(np.abs(real / estimate - 1).max())
            good &= worst <= TOLERANCE
            print(f"- {system} {kernel.name}: largest difference {100 * worst:.3f} %")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("systems", nargs="*", default=list(SYSTEMS))
    parser.add_argument("--runs", type=int, default=60)
    options = parser.parse_args()
    print("Absolute error of time, mean / median in %.")
    excluded = print_classes(options.systems)
    print("\nRows left out:\n")
    for name, reasons in excluded.items():
        for reason, count in reasons:
            if count:
                print(f"- {name}: {count} rows {reason}")
    print_transfer(options.systems)
    print_elsewhere(error)
    return 0 if not options.runs or check_runs(options.systems, options.runs) else 1


if __name__ == "__main__":
    sys.exit(main())
