"""Every plan of a small atomic problem, by Dijkstra over (ran, held, copied); and random problems to try it on."""

from __future__ import annotations

import heapq
import random
from itertools import chain, combinations

from ilp.problem import Item, Problem, Task, Way


def least_extra_bytes(problem: Problem, capacity: int, order: tuple[int, ...] | None = None) -> int | None:
    """The least extra bytes of any plan (of those that run ``order``, if one is given); None if no plan exists.

    A state may drop any subset of what it holds before each operator, for nothing; fetches and stores are paid when they happen. Nothing
    is lazy, nothing is dominated: only equal states are met once.
    """
    before = problem.predecessors()
    count = len(problem.tasks)
    start = (frozenset(), frozenset(), frozenset(), frozenset())
    best = {start: 0}
    queue = [(0, 0, start)]
    ticket = 0
    while queue:
        cost, _, state = heapq.heappop(queue)
        if cost > best[state]:
            continue
        ran, held, copied, touched = state
        if len(ran) == count:
            return cost
        for index in range(count):
            if index in ran or not ran.issuperset(before[index]) or (order is not None and order[len(ran)] != index):
                continue
            task = problem.tasks[index]
            for kept in chain.from_iterable(combinations(sorted(held), size) for size in range(len(held) + 1)):
                for following in _after(problem, index, task, ran, frozenset(kept), held, copied, touched, capacity, cost):
                    paid, after = following
                    if paid < best.get(after, paid + 1):
                        best[after] = paid
                        ticket += 1
                        heapq.heappush(queue, (paid, ticket, after))
    return None


def _after(problem, index, task, ran, kept, held, copied, touched, capacity, cost):
    """Where the state goes that runs ``index`` with ``kept`` of what it held: with each way, and each dropped item stored or not."""
    dropped = [item for item in held - kept if not problem.items[item].stored and item not in copied]
    live = [item for item in dropped if not ran.issuperset(problem.items[item].users)]
    for stored in chain.from_iterable(combinations(live, size) for size in range(len(live) + 1)):
        for way in task.ways:
            mine = {*task.reads, *task.writes} if problem.operands_inside else set()
            if way.bytes + sum(problem.items[item].bytes for item in kept if item not in mine) > capacity:
                continue
            paid = cost + sum(problem.items[item].bytes for item in stored)
            copies = copied | set(stored)
            possible = True
            for item in task.reads:
                if item in kept:
                    continue
                described = problem.items[item]
                if described.maker is not None and not described.stored and item not in copies:
                    possible = False
                    break
                first = described.maker is None and item not in touched
                paid += 0 if first else described.bytes
            if not possible:
                continue
            yield paid, (ran | {index}, kept | set(task.reads) | set(task.writes), copies, touched | set(task.reads))


def random_problem(seed: int, most_tasks: int = 7) -> tuple[Problem, int]:
    """A random DAG and a capacity at which each operator fits, often tight."""
    draw = random.Random(seed)
    count = draw.randint(2, most_tasks)
    sizes, makers, users = [], [], []
    if draw.random() < 0.5:
        picked = sorted(draw.sample(range(count), draw.randint(1, min(3, count))))
        if len(picked) > 1:
            sizes.append(draw.randint(1, 6))
            makers.append(None)
            users.append(tuple(picked))
    for maker in range(count - 1):
        for _ in range(draw.choice((1, 1, 1, 2))):
            later = range(maker + 1, count)
            picked = sorted(draw.sample(later, min(len(later), draw.choice((1, 1, 2, 3)))))
            sizes.append(draw.randint(1, 8))
            makers.append(maker)
            users.append(tuple(picked))
    items = tuple(
        Item(f"t{number}", size, maker, used, maker is None or draw.random() < 0.15)
        for number, (size, maker, used) in enumerate(zip(sizes, makers, users, strict=True))
    )
    tasks = []
    for index in range(count):
        reads = tuple(number for number, item in enumerate(items) if index in item.users)
        writes = tuple(number for number, item in enumerate(items) if item.maker == index)
        own = draw.randint(0, 3)
        tasks.append(Task(f"op{index}", reads, writes, (Way(own + sum(items[number].bytes for number in (*reads, *writes))),)))
    private = tuple(
        ((f"own{index}", task.ways[0].bytes - sum(items[number].bytes for number in (*task.reads, *task.writes))),)
        for index, task in enumerate(tasks)
    )
    problem = Problem(f"random {seed}", items, tuple(tasks), True, private)
    largest = max(task.ways[0].bytes for task in tasks)
    return problem, largest + draw.choice((0, 0, 1, 2, 4, 8))
