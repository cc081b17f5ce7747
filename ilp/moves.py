"""What a plan of an atomic problem moves, told stay by stay: for tables, plan files and pictures."""

from __future__ import annotations

from hwspecs.vocabulary.records import dataclass
from ilp.problem import Plan, Problem, Stay


@dataclass(frozen=True, slots=True)
class Told:
    """A stay in words.

    Attributes:
        enters: ``made``, ``loaded`` (compulsory first load) or ``fetched`` (extra).
        leaves: ``dead`` (not read again), ``spilled`` (stored once, to be fetched) or ``dropped`` (a copy lies off chip already).
    """

    stay: Stay
    enters: str
    leaves: str


def told(problem: Problem, plan: Plan) -> tuple[Told, ...]:
    """The stays of ``plan`` in order of time, each with how it begins and ends."""
    later: dict[int, list[int]] = {}
    for step, index in enumerate(plan.order):
        for number in problem.tasks[index].reads:
            later.setdefault(number, []).append(step)
    loaded: set[int] = set()
    copied: set[int] = set()
    found = []
    for stay in sorted(plan.stays, key=lambda stay: (stay.first, stay.item)):
        item = problem.items[stay.item]
        if item.maker is not None and plan.order[stay.first] == item.maker:
            enters = "made"
        elif item.maker is None and stay.item not in loaded:
            enters = "loaded"
        else:
            enters = "fetched"
        loaded.add(stay.item)
        if not any(step > stay.last for step in later[stay.item]):
            leaves = "dead"
        elif item.stored or stay.item in copied:
            leaves = "dropped"
        else:
            leaves = "spilled"
            copied.add(stay.item)
        found.append(Told(stay, enters, leaves))
    return tuple(found)


def side_by_side(problem: Problem, plan: Plan) -> tuple[int, int]:
    """(how many, of how many) joined tensors that lie in one piece at every step that reads them whole (``Problem.views``)."""
    whole = 0
    for parts in problem.views:
        steps = [step for step, index in enumerate(plan.order) if set(parts) <= set(problem.tasks[index].reads)]
        whole += all(_in_one_piece(problem, plan, parts, step) for step in steps)
    return whole, len(problem.views)


def _in_one_piece(problem: Problem, plan: Plan, parts: tuple[int, ...], step: int) -> bool:
    at = {stay.item: stay.address for stay in plan.stays if stay.item in parts and stay.first <= step <= stay.last}
    end = at[parts[0]]
    for part in parts:
        if at[part] != end or end < 0:
            return False
        end += problem.items[part].bytes
    return True
