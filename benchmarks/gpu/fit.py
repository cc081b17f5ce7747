"""Fits the constants of the GPU kernel classes on the fitting half of the measured rows and prints YAML to paste; writes nothing.

    python benchmarks/gpu/fit.py [a100 h100 h200] [--class gemm] [--achieved 0.92]

Constants that a class takes from elsewhere (``KernelClass.fixed``) and the share of the off-chip peak are read from the spec.
Minimized is the mean absolute logarithm of estimate over measurement, on at most ``--rows`` rows drawn with a fixed seed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.gpu.classes import CLASSES, KernelClass, bf16_device, constants_in
from benchmarks.gpu.measured import SYSTEMS
from benchmarks.gpu.simplex import minimize
from hwspecs import load_hardware
from hwspecs.hardware import Hardware
from mappings.gpu.attention import DECODE_QUERIES
from mappings.gpu.constants import PREFILL, Device

SECONDS = {"launch", "split_launch", "merge_launch", "cta_time", "row_time"}


def fit(kernel: KernelClass, system: str, hardware: Hardware, device: Device, rows: int) -> tuple[dict[str, float], float]:
    """Constants rounded to three digits, and the mean absolute log error on the rows they were fitted on."""
    measured = kernel.rows(system, hardware)
    mine = measured.columns["queries"] >= DECODE_QUERIES if kernel.name == PREFILL else True
    chosen = np.flatnonzero(~measured.reported & mine)
    sample = measured.take(np.sort(np.random.default_rng(0).permutation(chosen)[:rows]))
    names = list(kernel.start)
    fixed = {name: getattr(constants_in(kernel.name, hardware), name) for name in kernel.fixed}
    start = np.log([kernel.start[name] for name in names])

    def constants(point: np.ndarray) -> dict[str, float]:
        values = {name: float(value) for name, value in zip(names, np.exp(point), strict=True)}
        values = {name: min(value, kernel.caps.get(name, np.inf)) for name, value in values.items()}
        return {**values, "overlap": max(1.0, values["overlap"])}

    def loss(values: dict[str, float]) -> float:
        estimate = kernel.seconds(sample.columns, device, kernel.kind(**values, **fixed))
        return float(np.abs(np.log(estimate / sample.seconds)).mean())

    best = None
    for step in (0.2, -0.3):
        point = minimize(lambda x: loss(constants(x)), start, step=step)
        point = minimize(lambda x: loss(constants(x)), point, step=0.1, calls=400)
        found = {name: float(f"{value:.3g}") for name, value in constants(point).items()}
        if best is None or loss(found) < best[1]:
            best = (found, loss(found))
    assert best is not None
    return best


def text(name: str, value: float) -> str:
    """A value as a spec writes it."""
    if name in SECONDS:
        return f'"{value * 1e9:.3g} ns"' if value < 1e-6 else f'"{value * 1e6:.3g} us"'
    return f"{value:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("systems", nargs="*", default=list(SYSTEMS))
    parser.add_argument("--class", dest="classes", action="append", choices=list(CLASSES))
    parser.add_argument("--achieved", type=float, help="share of the off-chip peak that long streams reach, instead of the spec's")
    parser.add_argument("--rows", type=int, default=2500)
    options = parser.parse_args()
    for system in options.systems:
        hardware = load_hardware(SYSTEMS[system])
        device = bf16_device(hardware)
        if options.achieved:
            device = replace(device, dram=device.dram_peak * options.achieved)
        print(f"# {hardware.name}, off-chip achieved {device.dram / device.dram_peak:.3g}")
        for name in options.classes or CLASSES:
            if not len(CLASSES[name].rows(system, hardware).seconds):
                print(f"      # {name}: no rows of this device")
                continue
            values, error = fit(CLASSES[name], system, hardware, device, options.rows)
            print(f"      {name}:  # mean |log error| {error:.4f} on the fitting half")
            for key, value in values.items():
                print(f"        {key}: {text(key, value)}", flush=True)


if __name__ == "__main__":
    main()
