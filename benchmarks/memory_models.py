"""Exact methods of memory scheduling side by side: `python -m benchmarks.memory_models [SECONDS]`, seconds a solve, 20 by default.

Each network at M_R (its largest operator), 8 bits, activations alone or with weights; the effort of each method is limited by the clock
alone. The joint model starts from the plan of a beam of 16 states, as it does in the portfolio.
"""

from __future__ import annotations

import sys
import time

import workloads
from ilp.atomic import atomic_problem, least_capacity
from ilp.cpsat import installed
from ilp.decompose import segments
from ilp.joint_model import JointModel
from ilp.solve import solve
from tests.naive.memory import random_problem

NETWORKS = (
    ("transformer-base", False, False),
    ("lstm-1x16", False, True),
    ("randwire-ws32-s1", True, False),
    ("darts-cifar-6", True, False),
)
METHODS = (("down-set program", "downset", None), ("HiGHS", "joint", "highs"), ("CBC", "joint", "cbc"), ("CP-SAT", "cp-sat", "cp-sat"))
UNLIMITED = 1 << 40


def problems():
    """(name, problem, capacity)."""
    for name, fuse, weights in NETWORKS:
        problem = atomic_problem(workloads.load_model(name, format="int8", fuse=fuse), weights=weights)
        yield name + (", fused" if fuse else "") + (", weights" if weights else ""), problem, least_capacity(problem)
    problem, capacity = random_problem(11, 30)
    yield "random graph", problem, capacity


def main(seconds: float) -> None:
    warm = random_problem(0, 5)
    solve(*warm)
    print("| instance | operators | largest model, columns x rows |" + "".join(f" {name} |" for name, *_ in METHODS))
    print("|---|---|---|" + "---|" * len(METHODS))
    for name, problem, capacity in problems():
        models = [JointModel(part.problem, capacity).rows for part in {part.key: part for part in segments(problem)}.values()]
        largest = max(models, key=lambda rows: len(rows.rows))
        cells = []
        for _, method, solver in METHODS:
            if solver == "cp-sat" and not installed():
                cells.append("-")
                continue
            started = time.perf_counter()
            answer = solve(problem, capacity, method=method, solver=solver, seconds=seconds, states=UNLIMITED, nodes=10**9)
            spent = time.perf_counter() - started
            told = "proven" if answer.proven else f"bound {answer.lower_bound_bytes:,}"
            cells.append(f"{answer.extra_bytes:,}, {told}, {spent:.1f} s")
        print(f"| {name} | {len(problem.tasks)} | {len(largest.names):,} x {len(largest.rows):,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0)
