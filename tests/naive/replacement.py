"""Every replacement of a small problem with a fixed order and several ways, each counted by ``ilp.recount``; and random mapped problems."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise, product

from hwspecs.vocabulary.errors import ContractError
from ilp.problem import Plan, Problem, Stay, Way
from ilp.recount import recount
from tests.naive.memory import random_problem


def least_of_order(problem: Problem, order: tuple[int, ...], capacity: int) -> tuple[int, int] | None:
    """(least extra bytes, fewest cycles at that) of any choice of gaps and ways; None if none fits. Mapped problems."""
    at = {task: step for step, task in enumerate(order)}
    gaps = []
    for number, item in enumerate(problem.items):
        steps = sorted({at[task] for task in (*item.users, *(() if item.maker is None else (item.maker,)))})
        gaps.extend((number, first, last) for first, last in pairwise(steps))
    best = None
    for chosen in product((False, True), repeat=len(gaps)):
        stays = []
        for (number, first, last), kept in zip(gaps, chosen, strict=True):
            if not kept:
                continue
            if stays and stays[-1].item == number and stays[-1].last == first:
                stays[-1] = replace(stays[-1], last=last)
            else:
                stays.append(Stay(number, first, last))
        for ways in product(*(range(len(task.ways)) for task in problem.tasks)):
            try:
                extra = recount(problem, Plan(order, ways, tuple(stays)), capacity)
            except ContractError:
                continue
            cycles = sum(task.ways[way].cycles for task, way in zip(problem.tasks, ways, strict=True))
            best = (extra, cycles) if best is None else min(best, (extra, cycles))
    return best


def random_mapped(seed: int, most_tasks: int = 4) -> tuple[Problem, int]:
    """A random mapped problem of few gaps: each operator has one to three ways, a smaller one loads more; and a capacity."""
    problem, _ = random_problem(seed, most_tasks)
    draw = random.Random(seed + 10**6)
    tasks = []
    for task in problem.tasks:
        ways = []
        for number in range(draw.randint(1, 3)):
            loads = {item: problem.items[item].bytes * draw.randint(1, 1 + number) for item in task.reads if draw.random() < 0.7}
            ways.append(Way(draw.randint(1, 9) - number, "", loads, draw.choice((0, 0, number)), draw.randint(1, 9)))
        tasks.append(replace(task, ways=tuple(replace(way, bytes=max(1, way.bytes)) for way in ways)))
    problem = replace(problem, tasks=tuple(tasks), operands_inside=False, private=())
    largest = max(min(way.bytes for way in task.ways) for task in tasks)
    return problem, largest + draw.choice((0, 3, 6, 12))
