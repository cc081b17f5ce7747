"""Times of placing MiniMalloc's eleven challenging inputs within their capacity, and the plans of the human-designed networks at M_R.

    python -m benchmarks.memory_placement [FOLDER] [--plans] [--seed N]

FOLDER holds ``A.1048576.csv`` to ``K.1048576.csv`` of the public repository google/minimalloc (benchmarks/challenging, Apache-2.0); without
it ``$CYCLEWRIGHT_DATA/minimalloc`` is taken. They are not part of this project; where they are missing, the benchmark says so.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ilp.atomic import atomic_problem, least_capacity
from ilp.minimalloc import read_buffers
from ilp.placement import Buffer, allocate, rectangles
from ilp.solve import solve
from simulator.kernels.placement import first_fit, place
from workloads import load_model

PUBLISHED_MS = dict(zip("ABCDEFGHIJK", (4910, 3661, 637, 2674, 3717, 5358, 1181, 1808, 3908, 883, 628), strict=True))
"""MiniMalloc's times by its author: slides of the ASPLOS talk in google/minimalloc (img/minimalloc.slides.pdf), page 22. TelaMalloc and a
mixed ILP took more than an hour on each."""
CAPACITY = 1_048_576
INSTANCES = Path(__file__).with_name("memory_instances.yaml")


def checked(buffers: tuple[Buffer, ...], offsets: tuple[int, ...], capacity: int) -> None:
    """Stop unless every buffer lies inside and no two that live at one moment overlap."""
    for number, (buffer, at) in enumerate(zip(buffers, offsets, strict=True)):
        assert 0 <= at <= capacity - buffer.size, buffer
        for other, under in zip(buffers[:number], offsets, strict=False):
            apart = buffer.lower >= other.upper or other.lower >= buffer.upper
            assert apart or at >= under + other.size or under >= at + buffer.size, (buffer, other)


def challenging(folder: Path, seed: int) -> None:
    """One row for each input."""
    print("| input | buffers | placements tried | time, ms | MiniMalloc, published, ms |\n|---|---|---|---|---|")
    for letter, published in PUBLISHED_MS.items():
        buffers = read_buffers(folder / f"{letter}.{CAPACITY}.csv").buffers
        start = time.process_time()
        found = allocate(buffers, CAPACITY, seed=seed)
        elapsed = 1e3 * (time.process_time() - start)
        if found.offsets is not None:
            checked(buffers, found.offsets, CAPACITY)
        said = f"{elapsed:,.0f}" if found.offsets is not None else f"not placed ({elapsed:,.0f})"
        print(f"| {letter} | {len(buffers)} | {found.tried:,} | {said} | {published:,} |", flush=True)


def plans() -> None:
    """One row for each human-designed network of the instance list, with and without weights: its plan at M_R, placed in M_R."""
    listed: dict[str, Any] = yaml.safe_load(INSTANCES.read_text(encoding="utf-8"))
    print("| network | weights | buffers | M_R, bytes | method | placements tried | time, ms |\n|---|---|---|---|---|---|---|")
    for row in listed["instances"]:
        if row["group"] != "human":
            continue
        settings = {key: row[key] for key in ("phase", "tokens", "context") if key in row}
        for weights in (False, True):
            problem = atomic_problem(load_model(row["model"], **listed["load"], **settings), weights=weights)
            capacity = least_capacity(problem)
            answer = solve(problem, capacity, states=200_000, method="downset")
            if answer.plan is None:
                print(f"| {row['model']} | {weights} | | {capacity:,} | no plan within the effort | | |", flush=True)
                continue
            buffers, _ = rectangles(problem, answer.plan)
            start = time.process_time()
            found = allocate(buffers, capacity)
            elapsed = 1e3 * (time.process_time() - start)
            if found.offsets is not None:
                checked(buffers, found.offsets, capacity)
            how = f"{found.method}, proven impossible" if found.infeasible else found.method
            print(f"| {row['model']} | {weights} | {len(buffers)} | {capacity:,} | {how} | {found.tried:,} | {elapsed:,.0f} |", flush=True)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="folder of the eleven inputs")
    parser.add_argument("--plans", action="store_true", help="place plans of the networks at M_R too")
    parser.add_argument("--seed", type=int, default=0, help="of the random orders")
    given = parser.parse_args()
    data = os.environ.get("CYCLEWRIGHT_DATA")
    folder: Path | None = given.folder or (Path(data) / "minimalloc" if data else None)
    one = np.array([0]), np.array([1]), np.array([1])
    place(*one, 1, 1, 1, 0)  # compiled before anything is timed
    first_fit(*one, np.zeros(1, np.int64))
    if folder is None or not (folder / f"A.{CAPACITY}.csv").is_file():
        print("the eleven inputs are not there: give the folder benchmarks/challenging of google/minimalloc", file=sys.stderr)
    else:
        challenging(folder, given.seed)
    if given.plans:
        plans()
    return 0


if __name__ == "__main__":
    sys.exit(main())
