"""Optimal memory schedules of the frozen instance list (``memory_instances.yaml``), beside the baselines.

    python benchmarks/memory_scheduling.py --out plans.jsonl                 # everything; resumes where the file ends
    python benchmarks/memory_scheduling.py --only resnet50 --only darts-6
    python benchmarks/memory_scheduling.py --out plans.jsonl --summary       # tables from the file, nothing is solved

Each network at M_R and M_H (left out where it is M_R), activations alone and with weights, 8 bit, unfused; the limit per instance is 60 s
(NAS networks: ``--seconds 120`` is what other tables give). Times are wall clock with kernels compiled, of solving and placing; budgets and
baselines are timed apart. A reduction over a baseline is averaged only where that baseline moves extra bytes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ilp.atomic import atomic_problem, least_capacity
from ilp.baselines import baselines, orders_of_schemes
from ilp.budgets import budgets
from ilp.optimum import optimum
from ilp.problem import Problem
from workloads import load_model

LIST = Path(__file__).with_name("memory_instances.yaml")
FOUR = (
    ("program", "belady", "linear"),
    ("program", "optimal", "linear"),
    ("minimum-peak", "belady", "linear"),
    ("minimum-peak", "optimal", "linear"),
)
"""The four baselines of arXiv 2311.18246: TensorFlow Lite's linear allocator x two orders x two rules of replacement."""


def instances(listed: dict[str, Any], only: list[str]) -> Iterator[tuple[dict[str, Any], str, Problem]]:
    """(row of the list, tensor set, problem)."""
    for row in listed["instances"]:
        if only and row["model"] not in only:
            continue
        settings = {key: value for key, value in row.items() if key == "tokens"}
        graph = load_model(row["model"], **listed["load"], **settings)
        for tensors, least in zip(listed["tensors"], row["m_r_bytes"], strict=True):
            problem = atomic_problem(graph, weights=tensors != "activations")
            if (len(problem.tasks), least_capacity(problem)) != (row["operators"], least):
                raise SystemExit(f"{row['model']}: {len(problem.tasks)} operators, M_R {least_capacity(problem)}: not the frozen problem")
            yield row, tensors, problem


def solved(
    row: dict[str, Any], tensors: str, problem: Problem, seconds: float, done: set[tuple[str, str, str]]
) -> Iterator[dict[str, Any]]:
    """One record per budget."""
    wanted = [name for name in ("M_R", "M_H") if (row["model"], tensors, name) not in done]
    if not wanted:
        return
    start = time.perf_counter()
    found = budgets(problem)
    budget_s = time.perf_counter() - start
    orders = orders_of_schemes(problem, found.peak.course[0])
    for name in wanted:
        capacity = found.named(name)
        if name == "M_H" and capacity == found.m_r_bytes:
            continue
        schemes = baselines(problem, capacity, orders)
        start = time.perf_counter()
        answer = optimum(problem, capacity, effort={"seconds": seconds}, schemes=lambda known=schemes: known)
        spent = time.perf_counter() - start
        four = {scheme.name: scheme.extra_bytes for scheme in schemes if (scheme.order, scheme.replacement, scheme.allocator) in FOUR}
        yield {
            "model": row["model"], "group": row["group"], "kind": row["kind"], "tensors": tensors, "budget": name,
            "operators": len(problem.tasks), "scratchpad_bytes": capacity, "extra_bytes": answer.extra_bytes,
            "lower_bound_bytes": answer.lower_bound_bytes, "proven": answer.proven, "placed": answer.placed, "method": answer.method,
            "stopped": answer.stopped, "seconds": round(spent, 3), "budget_seconds": round(budget_s, 3), "m_p_bytes": found.m_p_bytes,
            "m_p_proven": found.m_p_proven, "baselines": four,
        }  # fmt: skip


def show(record: dict[str, Any]) -> str:
    """A line of the table."""
    proof = "optimal" if record["proven"] else f"bound {record['lower_bound_bytes']:,}"
    least = min(record["baselines"].values())
    tensors = "A" if record["tensors"] == "activations" else "A+W"
    cells = (
        record["model"], tensors, record["budget"], f"{record['scratchpad_bytes']:,}", f"{record['extra_bytes']:,}", proof,
        "yes" if record["placed"] else "no", f"{record['seconds']:.2f}", f"{least:,}", record["method"],
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def summary(records: list[dict[str, Any]], bars: dict[str, Any]) -> None:
    """The acceptance figures: proofs in time, and reductions over the baselines."""
    print("\n| group | instances | proven and placed | of these in 60 s | in 5 s |\n|---|---|---|---|---|")
    for group in ("human", "nas"):
        rows = [record for record in records if record["group"] == group]
        good = [record for record in rows if record["proven"] and record["placed"]]
        fast = [sum(record["seconds"] <= limit for record in good) for limit in (60, 5)]
        print(f"| {group} | {len(rows)} | {len(good)} | {fast[0]} | {fast[1]} |")
    for bar in bars["bars"]:
        rows = [record for record in records if record["kind"] in bar["kinds"] and record["tensors"] == "activations"]
        late = [f"{r['model']} {r['budget']}" for r in rows if not (r["proven"] and r["placed"] and r["seconds"] <= bar["seconds"])]
        print(f"\n{', '.join(bar['kinds'])}, activations, {bar['seconds']} s: {len(rows) - len(late)} of {len(rows)}", *late, sep="; ")
    print("\n| baseline | group | budget | instances where it moves extra bytes | mean reduction | of the summed bytes |")
    print("|---|---|---|---|---|---|")
    for group in ("human", "nas"):
        for budget in ("M_R", "M_H"):
            rows = [record for record in records if (record["group"], record["budget"]) == (group, budget)]
            means = []
            for name in records[0]["baselines"]:
                pairs = [(record["extra_bytes"], record["baselines"][name]) for record in rows if record["baselines"][name]]
                if not pairs:
                    continue
                mean = sum(1 - ours / theirs for ours, theirs in pairs) / len(pairs)
                whole = 1 - sum(ours for ours, _ in pairs) / sum(theirs for _, theirs in pairs)
                means.append(mean)
                print(f"| {name} | {group} | {budget} | {len(pairs)} of {len(rows)} | {mean:.1%} | {whole:.1%} |")
            if means:
                print(f"| mean of the four | {group} | {budget} | | {sum(means) / len(means):.1%} | |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="MODEL")
    parser.add_argument("--group", choices=("human", "nas"))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, help="records as JSON lines; solved instances in it are not solved again")
    parser.add_argument("--summary", action="store_true", help="only print what --out holds")
    options = parser.parse_args()
    listed = yaml.safe_load(LIST.read_text())
    if options.group:
        listed["instances"] = [row for row in listed["instances"] if row["group"] == options.group]
    records = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out and options.out.exists() else []
    print("| network | tensors | budget | scratchpad, bytes | extra bytes | | placed | s | least of the four baselines | method |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for record in records:
        print(show(record))
    if not options.summary:
        done = {(record["model"], record["tensors"], record["budget"]) for record in records}
        for row, tensors, problem in instances(listed, options.only):
            for record in solved(row, tensors, problem, options.seconds, done):
                records.append(record)
                print(show(record), flush=True)
                if options.out:
                    with options.out.open("a") as file:
                        file.write(json.dumps(record) + "\n")
    if records:
        summary(records, listed)


if __name__ == "__main__":
    main()
