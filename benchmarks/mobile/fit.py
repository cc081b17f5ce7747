"""Fits the constants of ``snapdragon-835`` to dense MobileNets on the Pixel 2 and prints them; writes nothing.

    python benchmarks/mobile/fit.py [--calls 120] [--check]

Five constants, eight times (four models, one and four threads). Minimized is the mean absolute logarithm of estimate over
measurement. No sparse model is run here. ``--check`` only prints the errors of the spec as it is, on fitted and held-out rows.
"""

from __future__ import annotations

import argparse
import sys
from math import exp, log
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.gpu.simplex import minimize
from benchmarks.mobile.dense import FITTED, HELD_OUT, MODELS, Column
from hwspecs import load_hardware
from ilp.trivial import trivial_schedule
from mappings import map_graph
from simulator import simulate
from workloads import load_model

CONSTANTS = {  # leaf: (start, unit, largest)
    "unit.cpu.efficiency": (0.8, "", 1.0),
    "unit.cpu.overlap": (1.5, "", 16.0),
    "unit.cpu.operator_overhead": (5.0, " us", 1e3),
    "unit.cpu.thread_overhead": (20.0, " us", 1e3),
    "memory.dram.achieved": (0.4, "", 1.0),
}
GRAPHS = {model: load_model(model, format="fp32") for model in MODELS}


def estimate(model: str, column: Column, constants: dict[str, str]) -> float:
    """Milliseconds of one model."""
    mapped = map_graph(GRAPHS[model], load_hardware(column.hardware, {**column.overrides, **constants}))
    return simulate(mapped, trivial_schedule(mapped), timeline=False).latency_s * 1e3


def texts(point: np.ndarray) -> dict[str, str]:
    """The constants at a point of the search (logarithms), kept in range, as a spec writes them."""
    made = {}
    for (leaf, (_, unit, largest)), value in zip(CONSTANTS.items(), point, strict=True):
        number = min(exp(value), largest)
        made[leaf] = f"{max(1.0, number) if leaf.endswith('overlap') else number:.3g}{unit}"
    return made


def errors(column: Column, constants: dict[str, str]) -> list[float]:
    """Estimate over measurement, less one, by model."""
    rows = zip(MODELS, column.milliseconds, strict=True)
    return [estimate(model, column, constants) / measured - 1.0 for model, measured in rows]


def loss(point: np.ndarray) -> float:
    found = [error for column in FITTED for error in errors(column, texts(point))]
    return sum(abs(log(1.0 + error)) for error in found) / len(found)


def show(constants: dict[str, str]) -> None:
    for column in (*FITTED, *HELD_OUT):
        found = errors(column, constants if column in FITTED else {})
        print(f"{column.title:32}", *(f"{error:+7.1%}" for error in found), f"  mean {sum(map(abs, found)) / len(found):.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=120)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.check:
        show({})
        return
    start = np.log([value for value, _, _ in CONSTANTS.values()])
    point = minimize(loss, start, step=0.25, calls=options.calls)
    found = texts(point)
    for leaf, value in found.items():
        print(f"{leaf}: {value}")
    show(found)


if __name__ == "__main__":
    main()
