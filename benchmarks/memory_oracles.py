"""Exact methods of memory scheduling against each other and brute force: `python -m benchmarks.memory_oracles [PROBLEMS]`, 500 by default.

Random graphs of up to 7 operators, few items, tight scratchpads (tests/naive/memory.py). Brute force is Dijkstra over states that may
drop anything at any step. COSMA's model with addresses solves the smallest of them; its plans are placed and may cost more.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from ilp.cpsat import installed
from ilp.downset import sweep
from ilp.gap_model import solve_gaps
from ilp.joint_model import solve_joint
from ilp.order_model import free_pairs, order_bound
from ilp.precedences import tightened
from ilp.recount import recount
from ilp.solver import Effort
from ilp.timed_model import solve_timed
from tests.naive.memory import least_extra_bytes, random_problem

PLACED_TASKS = 4


def methods(problem, capacity, order):
    """Name to a call that gives a plan, its bytes and a bound."""
    found = {
        "time-indexed ILP, HiGHS": lambda: solve_timed(problem, capacity, addresses=False),
        "joint model, HiGHS": lambda: solve_joint(problem, capacity),
        "joint model, CBC": lambda: solve_joint(problem, capacity, solver="cbc"),
        "gap model on the program's order": lambda: solve_gaps(problem, order, capacity),
    }
    if installed():
        found["joint model, CP-SAT"] = lambda: solve_joint(problem, capacity, solver="cp-sat")
    return found


def main(problems: int) -> int:
    seconds: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    moved = placed = dearer = open_ones = 0
    for seed in range(problems):
        problem, capacity = random_problem(seed, 7)
        started = time.perf_counter()
        least = least_extra_bytes(problem, capacity)
        seconds["brute force"] += time.perf_counter() - started
        moved += least > 0
        started = time.perf_counter()
        swept = sweep(problem, capacity, width=10**6)
        seconds["down-set program"] += time.perf_counter() - started
        wrong["down-set program"] += not (swept.complete and swept.extra_bytes == swept.bound_bytes == least)
        started = time.perf_counter()
        free = order_bound(problem, capacity).bound_bytes
        wrong["order model"] += not free <= order_bound(problem, capacity, pairs=free_pairs(problem, 10**6)).bound_bytes == least
        seconds["order model"] += time.perf_counter() - started
        started = time.perf_counter()
        tight = tightened(problem, capacity, least + 1)
        seconds["precedences, then the down-set program"] += time.perf_counter() - started
        wrong["precedences, then the down-set program"] += tight is None or sweep(tight, capacity, width=10**6).extra_bytes != least
        for name, call in methods(problem, capacity, swept.order).items():
            started = time.perf_counter()
            told = call()
            seconds[name] += time.perf_counter() - started
            counted = recount(problem, told.plan, capacity)
            wrong[name] += not (told.proven and told.extra_bytes == counted == least)
        if len(problem.tasks) <= PLACED_TASKS:
            started = time.perf_counter()
            told = solve_timed(problem, capacity, effort=Effort(nodes=5_000))
            seconds["COSMA's model with addresses, HiGHS"] += time.perf_counter() - started
            placed += 1
            dearer += told.extra_bytes > least
            open_ones += not told.proven
            wrong["COSMA's model with addresses, HiGHS"] += told.bound_bytes > told.extra_bytes or told.extra_bytes < least
    print(f"{problems} random problems, {moved} of them move extra bytes")
    for name, total in seconds.items():
        print(f"{name}: {wrong[name]} mismatches, {total:.1f} s")
    print(f"with addresses: {placed} problems of up to {PLACED_TASKS} operators, {dearer} cost more once placed, {open_ones} not proven")
    return int(any(wrong.values()))


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 500))
