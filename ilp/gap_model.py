"""The gap model: for a given order, the optimal replacement, and the ways in which operators run, as a small linear model.

An item is dropped over a gap between two touches (``d``) or kept; what is dropped is loaded by the next reader, and a made item that is
ever dropped is stored once (``w``). Where operands lie inside an operator's bytes, a kept item takes room at the steps inside its gap
alone; beside a working set it takes room at the touches too (``r``: one of the two gaps that meet there is kept). Where operators have
several ways (``y``), the load of a dropped item is split among them (``g``: dropped, and in this way), which is the product of both choices
exactly. One capacity row for each step. Of the plans that move the fewest bytes, one of the fewest cycles is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from ilp.atomic import check_fits
from ilp.courses import Gap, Modelled, common_unit, kept_gaps, kept_sets, plan_with, told, touches
from ilp.decompose import Course
from ilp.problem import Problem
from ilp.rows import CONSTANT, Expression, Rows, plus
from ilp.solver import HIGHS, Effort, Solved, minimised


class GapModel:
    """The rows of a problem with a fixed order, and what their values mean.

    Args:
        order: a valid one. capacity: bytes.
    """

    def __init__(self, problem: Problem, order: Sequence[int], capacity: int) -> None:
        self.problem, self.order = problem, tuple(order)
        self.unit = common_unit(problem)
        self.room = capacity // self.unit
        self.steps = touches(problem, order)
        self.rows = Rows(f"gaps {problem.name}")
        self.y: dict[tuple[int, int], int] = {}
        self.d: dict[Gap, int] = {}
        self.w: dict[int, int] = {}
        self.g: dict[tuple[int, int, int], int] = {}
        self.r: dict[tuple[int, int], int] = {}
        self._use: list[Expression] = [{} for _ in order]
        for task in order:
            self._ways(task)
        for number in range(len(problem.items)):
            self._item(number)
        for step in range(len(order)):
            self.rows.at_most(self._use[step], self.room)

    def _ways(self, task: int) -> None:
        ways, rows = self.problem.tasks[task].ways, self.rows
        step = self.order.index(task)
        if len(ways) == 1:
            rows.offset += ways[0].own_extra_bytes // self.unit
            plus(self._use[step], {CONSTANT: ways[0].bytes // self.unit})
            return
        for number, way in enumerate(ways):
            column = self.y[task, number] = rows.column(f"y_{task}_{number}", cost=way.own_extra_bytes // self.unit)
            plus(self._use[step], {column: way.bytes // self.unit})
        rows.equal({self.y[task, number]: 1 for number in range(len(ways))}, 1)

    def _load(self, number: int, task: int, way: int) -> int:
        """Units that ``task`` moves in ``way`` if the item is not there."""
        return self.problem.tasks[task].ways[way].loads.get(number, self.problem.items[number].bytes) // self.unit

    def _item(self, number: int) -> None:
        item, steps, rows = self.problem.items[number], self.steps[number], self.rows
        size = item.bytes // self.unit
        if item.maker is None:
            self._first_load(number, self.order[steps[0]], size)
        kept: list[Expression] = []
        for gap, (first, last) in enumerate(pairwise(steps)):
            if self.problem.operands_inside and last == first + 1:
                kept.append({CONSTANT: 1})
                continue
            dropped = self.d[number, gap] = rows.column(f"d_{number}_{gap}")
            self._fetch(number, gap, self.order[last])
            if item.maker is not None and not item.stored:
                if number not in self.w:
                    self.w[number] = rows.column(f"w_{number}", cost=size, whole=False)
                rows.at_least({self.w[number]: 1, dropped: -1}, 0)
            kept.append({CONSTANT: 1, dropped: -1})
            for step in range(first + 1, last):
                plus(self._use[step], kept[-1], size)
        if not self.problem.operands_inside:
            self._beside(number, kept, size)

    def _beside(self, number: int, kept: list[Expression], size: int) -> None:
        """Room of a kept item at the steps that touch it."""
        for place, step in enumerate(self.steps[number]):
            around = kept[max(0, place - 1) : place + 1]
            if len(around) == 1:
                plus(self._use[step], around[0], size)
            elif around:
                there = self.r[number, place] = self.rows.column(f"r_{number}_{place}", whole=False)
                for side in around:
                    self.rows.at_least(plus({there: 1}, side, -1), 0)
                plus(self._use[step], {there: size})

    def _first_load(self, number: int, task: int, size: int) -> None:
        self.rows.offset -= size
        if (task, 0) not in self.y:
            self.rows.offset += self._load(number, task, 0)
            return
        for way in range(len(self.problem.tasks[task].ways)):
            self.rows.cost[self.y[task, way]] += self._load(number, task, way)

    def _fetch(self, number: int, gap: int, task: int) -> None:
        dropped = self.d[number, gap]
        if (task, 0) not in self.y:
            self.rows.cost[dropped] += self._load(number, task, 0)
            return
        parts: Expression = {dropped: -1}
        for way in range(len(self.problem.tasks[task].ways)):
            name = f"g_{number}_{gap}_{way}"
            column = self.g[number, gap, way] = self.rows.column(name, cost=self._load(number, task, way), whole=False)
            parts[column] = 1
            self.rows.at_most({column: 1, self.y[task, way]: -1}, 0)
        self.rows.equal(parts, 0)

    def values_of(self, kept: dict[Gap, bool], ways: Sequence[int]) -> list[int]:
        """Values of the columns that say which gaps are kept and which way (by operator) is taken."""
        values = [0] * len(self.rows.names)
        for (task, way), column in self.y.items():
            values[column] = int(ways[task] == way)
        for (number, gap), column in self.d.items():
            values[column] = int(not kept.get((number, gap), False))
            if values[column] and number in self.w:
                values[self.w[number]] = 1
        for (number, gap, way), column in self.g.items():
            task = self.order[self.steps[number][gap + 1]]
            values[column] = values[self.d[number, gap]] * values[self.y[task, way]]
        for (number, place), column in self.r.items():
            values[column] = int(any(not values[self.d[number, gap]] for gap in (place - 1, place)))
        return values

    def plan_parts(self, values: Sequence[float]) -> tuple[dict[Gap, bool], tuple[int, ...]]:
        """(gaps kept, ways by operator) that ``values`` say."""
        kept: dict[Gap, bool] = {}
        for number, steps in enumerate(self.steps):
            for gap in range(len(steps) - 1):
                kept[number, gap] = (number, gap) not in self.d or values[self.d[number, gap]] < 0.5
        ways = [0] * len(self.order)
        for (task, way), column in self.y.items():
            if values[column] > 0.5:
                ways[task] = way
        return kept, tuple(ways)

    def fewest_cycles(self, objective: int) -> None:
        """From here on look for the fewest cycles among the solutions of ``objective``."""
        total = {column: cost for column, cost in enumerate(self.rows.cost) if cost}
        self.rows.at_most(total, objective - self.rows.offset)
        self.rows.cost = [0] * len(self.rows.names)
        self.rows.offset = 0
        unit = max(1, math.gcd(*(way.cycles for task in self.problem.tasks for way in task.ways)))
        for (task, way), column in self.y.items():
            self.rows.cost[column] = self.problem.tasks[task].ways[way].cycles // unit


def solve_gaps(
    problem: Problem, order: Sequence[int], capacity: int, *, solver: str = HIGHS, effort: Effort | None = None, start: Course | None = None
) -> Modelled:
    """The optimal replacement for ``order``, and the ways that go with it; its bound holds for this order alone.

    Args:
        order: a valid one. capacity: bytes. start: a course of this order in the first ways, given to the solvers that take one.

    Raises:
        InfeasibleError: an operator does not fit by itself in its smallest way; names it.
        UnsupportedError: the solver is not installed. UnknownNameError: there is none of that name.
    """
    check_fits(problem, capacity)
    model = GapModel(problem, order, capacity)
    first = None if start is None else model.values_of(kept_gaps(problem, start), (0,) * len(problem.tasks))
    solved = minimised(model.rows, solver=solver, effort=effort, start=first)
    best = _read(problem, capacity, model, solved)
    if not best.proven or len({way.cycles for task in problem.tasks for way in task.ways}) < 2 or not model.y:
        return best
    shape, values = model.rows, tuple(round(value) for value in solved.values)
    model.fewest_cycles(shape.objective(values))
    faster = _read(problem, capacity, model, minimised(model.rows, solver=solver, effort=effort, start=values))
    if faster.plan is None or faster.extra_bytes != best.extra_bytes:
        return best
    return Modelled(
        faster.course, faster.plan, best.extra_bytes, best.bound_bytes, best.solver, "", best.rows, best.columns, best.nodes + faster.nodes
    )  # fmt: skip


def _read(problem: Problem, capacity: int, model: GapModel, solved: Solved) -> Modelled:
    if solved.objective is None:
        return told(problem, capacity, model.rows, solved, model.unit, None, None)
    kept, ways = model.plan_parts(solved.values)
    course = (model.order, kept_sets(problem, model.order, kept))
    return told(problem, capacity, model.rows, solved, model.unit, course, plan_with(problem, model.order, kept, ways))
