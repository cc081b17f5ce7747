"""The independent counter: walks a plan step by step and says how many extra bytes it moves, or what is wrong with it.

It shares nothing with the solvers: it holds the set of items that lie in the scratchpad and of those that have a copy off chip.
"""

from __future__ import annotations

from hwspecs.vocabulary.errors import ContractError
from ilp.problem import Plan, Problem, Stay


def recount(problem: Problem, plan: Plan, capacity: int) -> int:
    """Extra bytes of ``plan``; 0 means that only the compulsory bytes move.

    Checked: each operator once and after its predecessors; stays that begin where their item is made or read and end at a step that exists;
    at every step, the room of the operator and of what stays within ``capacity``; in the atomic reading, each operand covered by a stay;
    where addresses are given, inside the capacity and no two overlapping at one step, but for a result that takes its operand's place.

    Raises:
        ContractError: naming the operator and the item.
    """
    _check_order(problem, plan)
    held: list[list[Stay]] = [[] for _ in plan.order]
    for stay in plan.stays:
        item = problem.items[stay.item]
        if not 0 <= stay.first <= stay.last < len(plan.order):
            raise ContractError(f"{item.name!r} stays from step {stay.first} to {stay.last} of {len(plan.order)}", where=problem.name)
        task = problem.tasks[plan.order[stay.first]]
        if stay.item not in task.writes and stay.item not in task.reads:
            raise ContractError(f"{item.name!r} begins to stay at a step that neither makes nor reads it", where=task.name)
        for step in range(stay.first, stay.last + 1):
            if any(other.item == stay.item for other in held[step]):
                raise ContractError(f"{item.name!r} stays twice at step {step}", where=problem.tasks[plan.order[step]].name)
            held[step].append(stay)
    return _walk(problem, plan, capacity, held)


def _check_order(problem: Problem, plan: Plan) -> None:
    if sorted(plan.order) != list(range(len(problem.tasks))) or len(plan.ways) != len(problem.tasks):
        raise ContractError("the plan does not run each operator once", where=problem.name)
    done: set[int] = set()
    before = problem.predecessors()
    for index in plan.order:
        task = problem.tasks[index]
        if not 0 <= plan.ways[index] < len(task.ways):
            raise ContractError(f"way {plan.ways[index]} of {len(task.ways)} is taken", where=task.name)
        for other in before[index]:
            if other not in done:
                raise ContractError(f"runs before {problem.tasks[other].name!r}, which it needs", where=task.name)
        done.add(index)


def _walk(problem: Problem, plan: Plan, capacity: int, held: list[list[Stay]]) -> int:
    stored: set[int] = set()
    loaded_before: dict[int, int] = {}
    extra = 0
    for step, index in enumerate(plan.order):
        task, way = problem.tasks[index], plan.ways[index]
        staying = {stay.item for stay in held[step]}
        need = problem.room(index, way, staying)
        if need > capacity:
            names = ", ".join(repr(problem.items[item].name) for item in sorted(staying)) or "nothing that stays"
            raise ContractError(f"needs {need} bytes of {capacity} with {names}", where=task.name)
        if problem.operands_inside:
            for item in (*task.reads, *task.writes):
                if item not in staying:
                    raise ContractError(f"{problem.items[item].name!r} has no place at this step", where=task.name)
        extra += task.ways[way].own_extra_bytes
        for item in task.reads:
            brought = any(stay.item == item and stay.first < step for stay in held[step])
            if brought:
                continue
            described = problem.items[item]
            moved = task.ways[way].loads.get(item, described.bytes)
            if described.maker is not None and not described.stored and item not in stored:
                stored.add(item)
                extra += described.bytes
            compulsory = 0 if described.maker is not None else described.bytes
            first = item not in loaded_before
            loaded_before[item] = loaded_before.get(item, 0) + moved
            extra += moved - (compulsory if first else 0)
        _check_addresses(problem, plan, capacity, held[step], index)
    return extra


def _check_addresses(problem: Problem, plan: Plan, capacity: int, held: list[Stay], index: int) -> None:
    if any(stay.address < 0 for stay in held):
        return
    task = problem.tasks[index]
    at = {stay.item: stay.address for stay in held}
    covered = {new for place, old, new in problem.overwrites if place == index and at[new] == at[old]}
    places = [(at[item], problem.items[item].bytes, problem.items[item].name) for item in at if item not in covered]
    if plan.private_addresses:
        for (name, size), address in zip(problem.private[index], plan.private_addresses[index], strict=True):
            places.append((address, size, name))
    end, last = 0, ""
    for address, size, name in sorted(places):
        if address < end and size:
            raise ContractError(f"{last!r} and {name!r} lie in one place", where=task.name)
        if address + size > capacity:
            raise ContractError(f"{name!r} ends at {address + size}, beyond {capacity}", where=task.name)
        if size:
            end, last = address + size, name
