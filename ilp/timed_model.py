"""The plain time-indexed model with addresses of COSMA (arXiv 2311.18246, equations 1 to 12), for cross-checks on small problems.

For every operator and step: does it run (``x``). For every item and step: is it preserved (``p``), spilled (``s``), retrieved (``r``); it
is created when its maker runs (equations 6 and 7 by substitution). No windows, no cuts. To the printed equations are added: one operator a
step; items that lie off chip anyway are retrieved without a spill, inputs the first time for nothing; and buffers that one operator alone
uses have room and an address at its step. With ``addresses`` the model is COSMA's; without, the capacity row of each step takes the place
of equations 9 to 11, as in the other formulations, which place their plans afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, pairwise

from hwspecs.vocabulary.errors import UnsupportedError
from ilp.atomic import check_fits
from ilp.courses import Gap, Modelled, check_plain, common_unit, kept_sets, plan_with, told, touches
from ilp.problem import Plan, Problem
from ilp.rows import CONSTANT, Expression, Rows, plus
from ilp.solver import HIGHS, Effort, minimised

Key = tuple[str, int, int]


class TimedModel:
    """The rows of an atomic problem, and what their values mean.

    Args:
        capacity: bytes. addresses: with equations 9 to 11.

    Raises:
        UnsupportedError: the problem is not atomic, has operators with several ways, or results in their operands' places.
    """

    def __init__(self, problem: Problem, capacity: int, *, addresses: bool) -> None:
        check_plain(problem, "the time-indexed model")
        if problem.overwrites:
            where = problem.tasks[problem.overwrites[0][0]].name
            raise UnsupportedError("the time-indexed model has no results in their operands' places", where=where)
        self.problem = problem
        self.unit = common_unit(problem)
        self.room = capacity // self.unit
        self.steps = range(len(problem.tasks))
        self.size = [item.bytes // self.unit for item in problem.items]
        self.rows = Rows(f"timed {problem.name}")
        self.at: dict[Key, int] = {}
        for task in self.steps:
            for step in self.steps:
                self.at["x", task, step] = self.rows.column(f"x_{task}_{step}")
        for number in range(len(problem.items)):
            self._columns(number)
        self._operators()
        for number in range(len(problem.items)):
            self._item(number)
        self.private = [self._private(task) for task in self.steps]
        if addresses:
            self._addresses()
        else:
            self._capacity()

    def _is(self, kind: str, index: int, step: int) -> Expression:
        column = self.at.get((kind, index, step))
        return {} if column is None else {column: 1}

    def _created(self, number: int, step: int) -> Expression:
        maker = self.problem.items[number].maker
        return {} if maker is None else self._is("x", maker, step)

    def _resident(self, number: int, step: int) -> Expression:
        found = dict(self._created(number, step))
        return plus(plus(found, self._is("p", number, step)), self._is("r", number, step))

    def _columns(self, number: int) -> None:
        item, size = self.problem.items[number], self.size[number]
        for step in self.steps:
            self.at["r", number, step] = self.rows.column(f"r_{number}_{step}", cost=size)
            if step:
                self.at["p", number, step] = self.rows.column(f"p_{number}_{step}")
                if item.maker is not None and not item.stored:
                    self.at["s", number, step] = self.rows.column(f"s_{number}_{step}", cost=size)
        if item.maker is None:
            self.rows.offset -= size

    def _operators(self) -> None:
        for task in self.steps:
            self.rows.equal({self.at["x", task, step]: 1 for step in self.steps}, 1)  # eq. 7
            self.rows.equal({self.at["x", other, task]: 1 for other in self.steps}, 1)  # one operator at step number `task`
            for number in self.problem.tasks[task].reads:  # eq. 5
                for step in self.steps:
                    there = plus(dict(self._is("p", number, step)), self._is("r", number, step))
                    self.rows.at_least(plus(there, self._is("x", task, step), -1), 0)
        for first, second in self.problem.after:
            for step in self.steps:
                ran: Expression = {self.at["x", first, before]: 1 for before in range(step)}
                self.rows.at_least(plus(ran, self._is("x", second, step), -1), 0)

    def _item(self, number: int) -> None:
        rows, item = self.rows, self.problem.items[number]
        copied: Expression = {}
        for step in self.steps:
            rows.at_most(plus(self._resident(number, step), self._is("s", number, step)), 1)  # eq. 1
            here_before = plus(dict(self._created(number, step - 1)), self._is("p", number, step - 1))
            rows.at_least(plus(dict(here_before), self._is("s", number, step), -1), 0)  # eq. 3
            came = plus(dict(here_before), self._is("r", number, step - 1))
            rows.at_least(plus(came, self._is("p", number, step), -1), 0)  # eq. 2
            if item.maker is not None:  # eq. 4
                plus(copied, self._created(number, step - 1) if item.stored else self._is("s", number, step))
                rows.at_least(plus(dict(copied), self._is("r", number, step), -1), 0)
        if item.maker is not None and not item.stored:
            rows.at_most(copied, 1)  # eq. 8

    def _private(self, task: int) -> list[int]:
        """Units of the buffers that are no items."""
        if self.problem.private:
            return [size // self.unit for _, size in self.problem.private[task]]
        described = self.problem.tasks[task]
        touched = {*described.reads, *described.writes}
        return [described.ways[0].bytes // self.unit - sum(self.size[number] for number in touched)]

    def _capacity(self) -> None:
        for step in self.steps:
            total: Expression = {}
            for number, size in enumerate(self.size):
                plus(total, self._resident(number, step), size)
            for task in self.steps:
                plus(total, self._is("x", task, step), sum(self.private[task]))
            self.rows.at_most(total, self.room)

    def _addresses(self) -> None:
        rows, room = self.rows, self.room
        for number, size in enumerate(self.size):
            for step in self.steps:
                at = self.at["l", number, step] = rows.column(f"l_{number}_{step}", upper=room - size)  # eq. 9
                if step:  # eq. 11
                    stays = {self.at["p", number, step]: room, self.at["l", number, step - 1]: 1, at: -1}
                    rows.at_most(stays, room)
                    rows.at_most({**stays, self.at["l", number, step - 1]: -1, at: 1}, room)
        for task, sizes in enumerate(self.private):
            for place, size in enumerate(sizes):
                self.at[f"l of {task}", place, 0] = rows.column(f"l_{task}_own_{place}", upper=room - size)
        for step in self.steps:
            for a, b in combinations(range(len(self.size)), 2):
                both = plus(plus({CONSTANT: -1}, self._resident(a, step)), self._resident(b, step))
                self._apart((self.at["l", a, step], self.size[a]), (self.at["l", b, step], self.size[b]), both)
            for task, sizes in enumerate(self.private):
                for place, size in enumerate(sizes):
                    for a, other in enumerate(self.size):
                        both = plus(plus({CONSTANT: -1}, self._resident(a, step)), self._is("x", task, step))
                        self._apart((self.at[f"l of {task}", place, 0], size), (self.at["l", a, step], other), both)
        for task, sizes in enumerate(self.private):
            for a, b in combinations(range(len(sizes)), 2):
                self._apart((self.at[f"l of {task}", a, 0], sizes[a]), (self.at[f"l of {task}", b, 0], sizes[b]), {CONSTANT: 1})

    def _apart(self, a: tuple[int, int], b: tuple[int, int], both: Expression) -> None:
        """Equation 10: (address column, size) of two buffers do not overlap where ``both`` is 1."""
        if not a[1] or not b[1]:
            return
        above = self.rows.column(f"u_{len(self.rows.names)}")
        below = self.rows.column(f"d_{len(self.rows.names)}")
        for (high, _), (low, size), side in ((a, b, above), (b, a, below)):
            self.rows.at_least({high: 1, low: -1, side: -self.room}, size - self.room)
        self.rows.at_least(plus({above: 1, below: 1}, both, -1), 0)

    def plan_of(self, values: Sequence[float]) -> tuple[Plan, tuple[frozenset[int], ...]]:
        """The plan that ``values`` say, with addresses if the model has them, and the items held after each step."""
        order = tuple(
            next(task for task in self.steps if values[self.at["x", task, step]] > 0.5) for step in self.steps
        )  # one operator a step
        kept: dict[Gap, bool] = {}
        for number, steps in enumerate(touches(self.problem, order)):
            for gap, (first, last) in enumerate(pairwise(steps)):
                kept[number, gap] = all(values[self.at["p", number, step]] > 0.5 for step in range(first + 1, last + 1))
        plan = plan_with(self.problem, order, kept)
        if ("l", 0, 0) in self.at:
            placed = (replace(stay, address=round(values[self.at["l", stay.item, stay.first]]) * self.unit) for stay in plan.stays)
            own = tuple(
                tuple(round(values[self.at[f"l of {task}", place, 0]]) * self.unit for place in range(len(sizes)))
                for task, sizes in enumerate(self.private)
            )
            plan = replace(plan, stays=tuple(placed), private_addresses=own if self.problem.private else ())
        return plan, kept_sets(self.problem, order, kept)


def solve_timed(problem: Problem, capacity: int, *, addresses: bool = True, solver: str = HIGHS, effort: Effort | None = None) -> Modelled:
    """Order, residency and addresses of a small atomic problem by the time-indexed model.

    Args:
        capacity: bytes. addresses: choose them too; the plan is placed then, and the bound is one of placed plans.

    Raises:
        InfeasibleError: an operator does not fit by itself; names it.
        UnsupportedError: the problem is not atomic or has operators with several ways, or the solver is not installed.
    """
    check_fits(problem, capacity)
    model = TimedModel(problem, capacity, addresses=addresses)
    solved = minimised(model.rows, solver=solver, effort=effort)
    if solved.objective is None:
        return told(problem, capacity, model.rows, solved, model.unit, None, None)
    plan, held = model.plan_of(solved.values)
    return told(problem, capacity, model.rows, solved, model.unit, (plan.order, held), plan)
