"""One round of a block of a mapped graph as a general memory problem, and the gap model's answer: optimal replacement in program order."""

from __future__ import annotations

from hwspecs.vocabulary.errors import UnsupportedError
from ilp.problem import Item, Plan, Problem, Task, Way
from ilp.residency import BlockProblem
from ilp.residency_search import Move


def as_problem(found: BlockProblem) -> tuple[Problem, int] | None:
    """(the round in the mapped reading, bytes that it moves beside ``Answer.extra_bytes``); None where it cannot be said like that.

    Results that nobody reads and what stays from round to round are left out. A tensor may stay from any load of it, which is more than
    the checker grants: plans of it need a second look, bounds of it hold.
    """
    number = {held: place for place, held in enumerate(index for index, item in enumerate(found.held) if item.users)}
    constant = 0
    tasks = []
    for index, row in enumerate(found.choices):
        costs = []
        for _, choice in row:
            if any(nbytes != found.held[held].bytes and not found.held[held].stored for held, nbytes in choice.stores.items()):
                return None
            costs.append(choice.own + sum(nbytes for held, nbytes in choice.stores.items() if found.held[held].stored))
        least = min(costs, default=0)
        constant += least
        reads = tuple(place for held, place in number.items() if index in found.held[held].users)
        writes = tuple(place for held, place in number.items() if found.held[held].maker == index)
        ways = tuple(
            Way(choice.room, str(pick), {place: choice.loads.get(held, 0) for held, place in number.items()}, cost - least, choice.cycles)
            for (pick, choice), cost in zip(row, costs, strict=True)
        )
        tasks.append(Task(f"{found.name}.{index}", reads, writes, ways))
    items = tuple(Item(item.name, item.bytes, item.maker, item.users, item.stored) for item in found.held if item.users)
    constant += sum(item.bytes for item in items if item.maker is None)
    after = tuple((first, index) for index, row in enumerate(found.before) for first in sorted(row))
    return Problem(found.name, items, tuple(tasks), operands_inside=False, after=after), constant


def by_gaps(found: BlockProblem, capacity: int, nodes: int) -> tuple[tuple[Move, ...], int, int] | None:
    """(moves, bytes of all rounds, bound of them) of program order; None where the gap model cannot say it or no solver is installed."""
    read = as_problem(found)
    if read is None:
        return None
    from ilp.gap_model import solve_gaps
    from ilp.solver import Effort

    problem, constant = read
    try:
        answer = solve_gaps(problem, range(len(problem.tasks)), capacity, effort=Effort(nodes=nodes))
    except UnsupportedError:
        return None
    if answer.plan is None:
        return None
    moves, moved = _moves(found, answer.plan)
    return moves, found.count * moved, found.count * (answer.bound_bytes + constant)


def _moves(found: BlockProblem, plan: Plan) -> tuple[tuple[Move, ...], int]:
    """The plan step by step, and the bytes of a round; stays that begin at a load of a part are left out."""
    held_of = [index for index, item in enumerate(found.held) if item.users]
    stays = []
    for stay in plan.stays:
        item = found.held[held_of[stay.item]]
        if plan.order[stay.first] == item.maker or plan.order[stay.first] in item.whole:
            stays.append((held_of[stay.item], stay.first, stay.last))
    fetched = 0
    for step, task in enumerate(plan.order):
        for index, item in enumerate(found.held):
            if task in item.users and not any(stay == index and first < step <= last for stay, first, last in stays):
                fetched |= 1 << index
    moves, moved = [], 0
    for step, task in enumerate(plan.order):
        if task in found.views:
            continue
        pick, choice = found.choices[task][plan.ways[task]]
        kept = sum(1 << index for index, first, last in stays if first < step <= last and task in found.held[index].users)
        unstored = sum(
            1 << index for index, item in enumerate(found.held) if item.maker == task and not item.stored and not fetched >> index & 1
        )
        after = sum(1 << index for index, first, last in stays if first <= step < last)
        moved += choice.own + sum(nbytes for index, nbytes in choice.loads.items() if not kept >> index & 1)
        moved += sum(nbytes for index, nbytes in choice.stores.items() if not unstored >> index & 1)
        moves.append(Move(task, pick, kept, unstored, after))
    return tuple(moves), moved
