"""The DRAM kernel equals its plain-Python twin on random request streams, timings and geometries."""

from __future__ import annotations

import random

import numpy as np
import pytest

from simulator.kernels import dram
from tests.naive import dram as naive


def random_case(rng: random.Random, longest: int) -> tuple:
    """Up to 2 ranks of up to 3 x 3 banks, tight and loose timings, row locality, idle gaps, all refresh modes, sometimes a cycle limit."""
    rank_count, group_count, group_size = rng.choice((1, 1, 2)), rng.randint(1, 3), rng.randint(1, 3)
    groups = [rank * group_count + group for rank in range(rank_count) for group in range(group_count) for _ in range(group_size)]
    ranks = [rank for rank in range(rank_count) for _ in range(group_count * group_size)]
    burst = rng.randint(1, 4)
    cl, ras = rng.randint(1, 12), rng.randint(1, 20)
    rrd, ccd = rng.randint(1, 5), rng.randint(burst, 2 * burst)
    wtr = rng.randint(0, 4)
    timing = {
        "burst": burst, "cl": cl, "cwl": rng.randint(1, cl), "rcd": rng.randint(1, 9), "rcdwr": rng.randint(1, 9), "rp": rng.randint(1, 9),
        "ras": ras, "ccd_s": ccd, "ccd_l": ccd + rng.randint(0, 4), "rrd_s": rrd, "rrd_l": rrd + rng.randint(0, 3),
        "faw": rng.randint(1, 30), "rtp": rng.randint(1, 6), "wr": rng.randint(1, 9), "wtr_s": wtr, "wtr_l": wtr + rng.randint(0, 4),
        "rtw": rng.randint(0, 3), "rtrs": rng.randint(0, 2), "refi": rng.choice((0, rng.randint(200, 500))), "rfc": rng.randint(1, 40),
        "bankwise": rng.randint(0, 1),
    }  # fmt: skip
    count = rng.randint(1, longest)
    banks = [rng.randrange(len(ranks)) for _ in range(count)]
    rows = [rng.randrange(rng.choice((1, 2, 20))) for _ in range(count)]
    share = rng.choice((0.0, 0.1, 0.5, 1.0))
    writes = [int(rng.random() < share) for _ in range(count)]
    arrivals, now = [], 0
    gap = rng.choice((0, 0, 3, 40))
    for _ in range(count):
        now += rng.randint(0, gap)
        arrivals.append(now)
    limit = rng.choice((1 << 60, rng.randint(1, 400)))
    return (
        banks,
        rows,
        writes,
        arrivals,
        groups,
        ranks,
        [timing[name] for name in naive.NAMES],
        rng.randint(1, 12),
        rng.randint(0, 20),
        limit,
    )


def compare(case: tuple) -> list[int]:
    """Kernel against twin; returns the counts."""
    *lists, window, patience, limit = case
    arrays = [np.array(values, np.int64) for values in lists]
    counts, done = np.zeros(dram.COUNTS, np.int64), np.full(len(case[0]), -1, np.int64)
    end, served = dram.serve(*arrays, window, patience, limit, counts, done)
    assert (end, served, counts.tolist(), done.tolist()) == naive.serve(*case), case
    return counts.tolist()


@pytest.mark.parametrize("seed", range(8))
def test_random_streams(seed):
    rng = random.Random(seed)
    seen = np.zeros(dram.COUNTS, np.int64)
    for _ in range(25):
        seen += compare(random_case(rng, 30))
    assert (seen > 0).all()  # every kind of event was met


@pytest.mark.slow
def test_thousands_of_random_streams():
    rng = random.Random(20_000)
    for _ in range(3_000):
        compare(random_case(rng, 24))


def test_the_twin_knows_the_timings_of_the_kernel():
    assert [getattr(dram, name.upper()) for name in naive.NAMES] == list(range(dram.TIMINGS))
