"""Firings per second of the dataflow kernels, stepped one by one, and what jumping over steady states costs and saves; compiled and warm.

Run from the repository root: ``python -m benchmarks.simulator.kernel [MILLIONS]`` (firings per graph, default 5).
"""

from __future__ import annotations

import random
import sys
import time

import numpy as np

from simulator.kernels import dataflow
from simulator.lowering import Flow
from simulator.play import LEAST_JUMP, MAX_STEPS, WINDOW, pack, play, replay_order

REPEATS = 5
BILLION = 10**9


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


def reduction(firings: int) -> Flow:
    """A period inside a period: compute takes one load a firing, a store waits for a thousand computes."""
    each = firings // 2001
    stages = ((0, ((1000 * each, 7, ()),)), (1, ((1000 * each, 11, ()),)), (0, ((each, 500, ()),)))
    return Flow(stages, ((0, 1, 1, 1, 0, 2), (1, 2, 1, 1000, 0, 2000)), ("port", "unit"), ("load", "compute", "store"))


def deep_buffer(firings: int) -> Flow:
    """A buffer of 100,000 places that fills for a while: the state drifts until it is full."""
    each = firings // 2
    return Flow(((0, ((each, 7, ()),)), (1, ((each, 11, ()),))), ((0, 1, 1, 1, 0, 100_000),), ("port", "unit"), ("load", "compute"))


def irregular(firings: int) -> Flow:
    """Never repeats: segments of two firings with random durations."""
    rng = random.Random(5)
    stages = tuple((unit, tuple((2, rng.randint(3, 900), ()) for _ in range(firings // 6))) for unit in range(3))
    return Flow(stages, ((0, 1, 1, 1, 0, 2), (1, 2, 1, 1, 0, 2)), ("port", "unit", "out"), ("load", "compute", "store"))


def unlinked(firings: int) -> Flow:
    """Never repeats either: four units on their own, durations prime to each other; the cheapest firings there are."""
    stages = tuple((unit, ((firings // 4, cycles, ()),)) for unit, cycles in enumerate((100_003, 99_991, 99_989, 99_971)))
    return Flow(stages, (), tuple("abcd"), tuple("abcd"))


def best(action) -> float:
    """Shortest processor seconds of a few calls (one thread; the clock on the wall would count other programs)."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


def seconds(flow: Flow, least: int) -> tuple[float, int]:
    """Best time of the kernel alone, and the firings that it stepped."""
    arrays = (*pack([flow]), WINDOW, least, MAX_STEPS, np.zeros(2, np.int64), np.empty(0, np.int32))
    stepped = int(dataflow.play_batch(*arrays)[2][0])
    return best(lambda: dataflow.play_batch(*arrays)), stepped


def main() -> None:
    millions = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    print(f"{'graph':<12}{'firings':>12}{'play, M/s':>12}{'replay, M/s':>13}")
    for make in (pipeline, shared_port, fused, chain):
        flow = make(int(millions * 1e6))
        (played,) = play([flow], [make.__name__], record=True)
        order = np.asarray(played.order)
        dynamic = flow.firings / seconds(flow, dataflow.NEVER)[0] / 1e6
        fixed = flow.firings / best(lambda flow=flow, order=order: replay_order(flow, order)) / 1e6
        print(f"{make.__name__:<12}{flow.firings:>12,}{dynamic:>12.1f}{fixed:>13.1f}")
    print(f"\n{'jumped':<12}{'firings':>15}{'stepped':>9}{'kernel, us':>12}")
    for make in (pipeline, shared_port, fused, chain, reduction, deep_buffer):
        flow = make(BILLION)
        spent, stepped = seconds(flow, LEAST_JUMP)
        print(f"{make.__name__:<12}{flow.firings:>15,}{stepped:>9,}{1e6 * spent:>12.0f}")
    print(f"\n{'never':<12}{'firings':>12}{'looking, M/s':>14}{'not looking, M/s':>18}")
    for make in (irregular, unlinked):
        flow = make(int(millions * 1e6))
        looking, blind = (flow.firings / seconds(flow, least)[0] / 1e6 for least in (LEAST_JUMP, dataflow.NEVER))
        print(f"{make.__name__:<12}{flow.firings:>12,}{looking:>14.1f}{blind:>18.1f}")


if __name__ == "__main__":
    main()
