"""What simpler schemes do with the same problem and scratchpad: an order, a rule of replacement, an allocator.

*Orders*: ``program``; ``depth-first`` (of the operators that are ready, the one made ready last); ``minimum-peak`` (``ilp.budgets``).

*Replacement* for the fixed order: ``lru`` drops what was touched longest ago, ``belady`` what is read again last, ``optimal`` is the
memory-scheduling problem with the order given (``ilp.gap_model``).

*Allocators*:

* ``none``: only bytes are counted. A bound on what the scheme could do with any allocator.
* ``best-fit``, at run time: each operand is put into the smallest hole that holds it, the largest operand first, and stays there until
  it is dropped. Where no hole is large enough, items are dropped by the rule of replacement until one is, even if enough bytes are free
  in all: fragmentation costs spills. If operands of the operator itself stand in the way, they are moved off chip and back.
* ``linear``, ahead of time, as TensorFlow Lite plans its arena: replacement is decided by bytes alone, then each stretch of residence
  gets one address, the largest first, each in the smallest gap among those placed that live at the same time. A stretch that finds no
  gap is cut in its longest pause, which spills it there; where an operand finds no place even for one step, the largest stretch that
  passes through the step is cut. With ``optimal`` replacement, ``best-fit`` is the same with stretches taken in the order of time.

Every scheme gives a plan that ``ilp.recount`` accepts, with addresses except for ``none``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from hwspecs.vocabulary.records import dataclass
from ilp.arena import best_hole, fitted
from ilp.atomic import check_fits
from ilp.gap_model import solve_gaps
from ilp.problem import Answer, Plan, Problem, Stay
from ilp.recount import recount
from ilp.solver import Effort

ORDERS = ("program", "depth-first", "minimum-peak")
SCHEMES = (
    ("program", "lru", "best-fit"),
    ("program", "belady", "linear"),
    ("program", "optimal", "linear"),
    ("depth-first", "belady", "best-fit"),
    ("minimum-peak", "belady", "linear"),
    ("minimum-peak", "optimal", "linear"),
    ("minimum-peak", "belady", "best-fit"),
    ("minimum-peak", "belady", "none"),
    ("minimum-peak", "optimal", "none"),
)
"""The schemes of comparisons; those with ``linear`` and Belady or optimal replacement are the four of arXiv 2311.18246, section V."""
_NODES = 2_000
"""Nodes that the solver may spend on the replacement for one order; most need one."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """What one scheme moves: its plan (placed unless its allocator is ``none``) and the extra bytes of it."""

    order: str
    replacement: str
    allocator: str
    plan: Plan
    extra_bytes: int

    @property
    def name(self) -> str:
        """As tables call it."""
        allocator = "no addresses" if self.allocator == "none" else self.allocator
        replacement = {"lru": "LRU", "belady": "Belady"}.get(self.replacement, self.replacement)
        return f"{self.order} order, {replacement}, {allocator}"


def baselines(
    problem: Problem, capacity: int, orders: dict[str, tuple[int, ...]], schemes: Sequence[tuple[str, str, str]] = SCHEMES, *,
    seconds: float | None = None,
) -> tuple[Scheme, ...]:  # fmt: skip
    """Traffic by scheme of an atomic problem.

    Args:
        orders: name to order (``orders_of_schemes``); schemes of other orders are left out.
        seconds: wall-clock limit of the searches for optimal replacement, all together; schemes that it cuts short are left out.

    Raises:
        InfeasibleError: an operator does not fit by itself.
    """
    check_fits(problem, capacity)
    deadline = None if seconds is None else time.monotonic() + seconds
    bare: dict[tuple[str, str], Plan | None] = {}
    found = []
    for order, replacement, allocator in schemes:
        if order not in orders:
            continue
        if allocator == "best-fit" and replacement != "optimal":
            plan = _at_run_time(problem, capacity, orders[order], replacement, addressed=True)
        else:
            key = order, replacement
            if key not in bare:
                bare[key] = _replaced(problem, capacity, orders[order], replacement, deadline)
            replaced = bare[key]
            if replaced is None:
                continue
            plan = replaced if allocator == "none" else fitted(problem, replaced, capacity, by_size=allocator == "linear")
        found.append(Scheme(order, replacement, allocator, plan, recount(problem, plan, capacity)))
    return tuple(found)


def orders_of_schemes(problem: Problem, peak: Sequence[int] | None = None) -> dict[str, tuple[int, ...]]:
    """The orders by name; ``peak`` is the minimum-peak order if it is known already."""
    if peak is None:
        from ilp.budgets import minimum_peak

        peak = minimum_peak(problem).course[0]
    return {"program": tuple(range(len(problem.tasks))), "depth-first": depth_first(problem), "minimum-peak": tuple(peak)}


def depth_first(problem: Problem) -> tuple[int, ...]:
    """Of the operators that are ready, the one that was made ready last; of several, the first in the program."""
    before = problem.predecessors()
    after: list[list[int]] = [[] for _ in before]
    waiting = [len(row) for row in before]
    for index, row in enumerate(before):
        for other in row:
            after[other].append(index)
    ready = [index for index in reversed(range(len(before))) if not waiting[index]]
    order = []
    while ready:
        index = ready.pop()
        order.append(index)
        for follower in reversed(after[index]):
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append(follower)
    return tuple(order)


def best_of_order(problem: Problem, capacity: int, order: Sequence[int], *, nodes: int = _NODES, seconds: float | None = None) -> Answer:
    """The best plan that runs ``order``, by the gap model; the bound is that of the order.

    Args:
        nodes: effort of the solver. seconds: wall-clock limit.
    """
    found = solve_gaps(problem, order, capacity, effort=Effort(nodes, seconds))
    spent = {"nodes": found.nodes, "rows": found.rows, "columns": found.columns}
    method = f"optimal replacement by {found.solver}"
    return Answer(found.plan, found.extra_bytes, found.bound_bytes, method, effort=spent, stopped=found.stopped)


def _replaced(problem: Problem, capacity: int, order: tuple[int, ...], replacement: str, deadline: float | None) -> Plan | None:
    """The plan of a rule of replacement that counts bytes only; None if the time is up before the search for the best one ends."""
    belady = _at_run_time(problem, capacity, order, "belady" if replacement == "optimal" else replacement, addressed=False)
    if replacement != "optimal":
        return belady
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        return None
    answer = best_of_order(problem, capacity, order, seconds=left)
    if answer.stopped == "interrupted":
        raise KeyboardInterrupt  # a plan that is not optimal must not pass for one
    if answer.stopped == "time limit":
        return None
    found = answer.plan is not None and answer.extra_bytes <= recount(problem, belady, capacity)
    return answer.plan if found and answer.plan is not None else belady


def _at_run_time(problem: Problem, capacity: int, order: tuple[int, ...], rule: str, *, addressed: bool) -> Plan:
    """Walk ``order`` as a run-time allocator would, dropping by ``rule``."""
    machine = _Machine(problem, capacity, order, rule, addressed)
    private = [machine.step(step, index) for step, index in enumerate(order)]
    rows: list[tuple[int, ...]] = [()] * len(order)
    for index, row in zip(order, private, strict=True):
        rows[index] = row
    stays = tuple(sorted(machine.stays, key=lambda stay: (stay.first, stay.item)))
    return Plan(order, (0,) * len(order), stays, tuple(rows) if addressed and problem.private else ())


class _Machine:
    """The scratchpad of a run-time allocator, step by step."""

    def __init__(self, problem: Problem, capacity: int, order: tuple[int, ...], rule: str, addressed: bool) -> None:
        self.problem, self.capacity, self.rule, self.addressed = problem, capacity, rule, addressed
        self.stays: list[Stay] = []
        self.since: dict[int, int] = {}
        self.at: dict[int, int] = {}
        self.touched: dict[int, int] = {}
        self.reads: dict[int, list[int]] = {}
        for step, index in enumerate(order):
            for item in problem.tasks[index].reads:
                self.reads.setdefault(item, []).append(step)
        self.over = {(task, new): old for task, old, new in problem.overwrites}

    def step(self, step: int, index: int) -> tuple[int, ...]:
        """Run one operator; addresses of its private operands."""
        task = self.problem.tasks[index]
        mine = dict.fromkeys((*task.reads, *task.writes))
        if not self.addressed:
            while self._room(index, mine) > self.capacity:
                self._drop(self._victim(step, mine), step - 1)
            places: tuple[int, ...] = ()
            for item in mine:
                self.since.setdefault(item, step)
        else:
            places = self._placed(step, index, mine)
        for item in mine:
            self.touched[item] = step
        for item in [item for item in self.since if not any(later > step for later in self.reads.get(item, ()))]:
            self._drop(item, step)
        return places

    def _room(self, index: int, mine: dict[int, None]) -> int:
        task = self.problem.tasks[index]
        return task.ways[0].bytes + sum(self.problem.items[item].bytes for item in self.since if item not in mine)

    def _drop(self, item: int, last: int) -> None:
        self.stays.append(Stay(item, self.since.pop(item), last, self.at.pop(item, -1)))

    def _victim(self, step: int, mine: dict[int, None]) -> int:
        """The item that the rule drops first; -1 if only operands of the step are left."""
        others = [item for item in self.since if item not in mine]
        if not others:
            return -1
        if self.rule == "lru":
            return min(others, key=lambda item: (self.touched[item], -self.problem.items[item].bytes, item))
        return max(others, key=lambda item: (min(t for t in self.reads[item] if t > step), self.problem.items[item].bytes, -item))

    def _placed(self, step: int, index: int, mine: dict[int, None]) -> tuple[int, ...]:
        """Place what the step needs and does not find; drop by the rule, and at last move its own operands."""
        items = self.problem.items
        private = self.problem.private[index] if self.problem.private else ()
        while True:
            own: dict[int, int] = {}
            needed = [(items[item].bytes, item) for item in mine if item not in self.since and (index, item) not in self.over]
            needed += [(size, -1 - number) for number, (_, size) in enumerate(private)]
            if self._all_placed(sorted(needed, key=lambda row: (-row[0], -row[1])), own):
                break
            victim = self._victim(step, mine)
            if victim >= 0:
                self._drop(victim, step - 1)
                continue
            for item in [item for item in mine if item in self.since]:
                self._drop(item, step - 1)
        for item in mine:
            if item not in self.since:
                over = self.over.get((index, item))
                self.since[item] = step
                self.at[item] = own[item] if over is None else own.get(over, self.at.get(over, -1))
        return tuple(own[-1 - number] for number in range(len(private)))

    def _all_placed(self, needed: list[tuple[int, int]], own: dict[int, int]) -> bool:
        taken = sorted((self.at[item], self.at[item] + self.problem.items[item].bytes) for item in self.since)
        for size, item in needed:
            address = best_hole(taken, size, self.capacity)
            if address < 0:
                return False
            own[item] = address
            taken = sorted([*taken, (address, address + size)])
        return True
