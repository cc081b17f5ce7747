"""Firings per second of the dataflow kernels, stepped one by one, compiled and warm.

Run from the repository root: ``python -m benchmarks.simulator.kernel [MILLIONS]`` (firings per graph, default 5).
"""

from __future__ import annotations

import sys
import time

import numpy as np

from simulator.lowering import Flow
from simulator.play import play, replay_order

REPEATS = 5


def pipeline(firings: int) -> Flow:
    """load -> compute -> store on three resources, buffers of two: what a tiled operator looks like."""
    each = firings // 3
    stages = ((0, ((each, 7, ()),)), (1, ((each, 11, ()),)), (2, ((each, 5, ()),)))
    return Flow(stages, ((0, 1, 1, 1, 0, 2), (1, 2, 1, 1, 0, 2)), ("port", "unit", "out"), ("load", "compute", "store"))


def shared_port(firings: int) -> Flow:
    """Two loads and a store on one port, compute that consumes both loads: arbitration and contention."""
    each = firings // 4
    stages = ((0, ((each, 3, ()),)), (0, ((each, 4, ()),)), (1, ((each, 9, ()),)), (0, ((each, 2, ()),)))
    edges = ((0, 2, 1, 1, 0, 2), (1, 2, 1, 1, 0, 2), (2, 3, 1, 1, 0, 2))
    return Flow(stages, edges, ("port", "unit"), ("load a", "load b", "compute", "store"))


def fused(firings: int) -> Flow:
    """One stage that holds unit and port together."""
    return Flow(((0, ((firings, 9, ((1, 4),)),)),), (), ("unit", "port"), ("kernel",))


def chain(firings: int) -> Flow:
    """Twelve stages on twelve units, as in a layer pipeline."""
    each = firings // 12
    stages = tuple((number, ((each, 3 + number % 5, ()),)) for number in range(12))
    edges = tuple((number, number + 1, 1, 1, 0, 2) for number in range(11))
    return Flow(stages, edges, tuple(f"u{number}" for number in range(12)), tuple(f"s{number}" for number in range(12)))


def best(action) -> float:
    """Shortest processor seconds of a few calls (one thread; the clock on the wall would count other programs)."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    millions = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    print(f"{'graph':<12}{'firings':>12}{'play, M/s':>12}{'replay, M/s':>13}")
    for make in (pipeline, shared_port, fused, chain):
        flow = make(int(millions * 1e6))
        (played,) = play([flow], [make.__name__], record=True)
        order = np.asarray(played.order)
        dynamic = flow.firings / best(lambda flow=flow: play([flow], ["graph"])) / 1e6
        fixed = flow.firings / best(lambda flow=flow, order=order: replay_order(flow, order)) / 1e6
        print(f"{make.__name__:<12}{flow.firings:>12,}{dynamic:>12.1f}{fixed:>13.1f}")


if __name__ == "__main__":
    main()
