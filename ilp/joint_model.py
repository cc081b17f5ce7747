"""The joint model: order and residency together, in windows, as one linear model.

``z[v, t]`` is 1 iff operator v ran at step t or before. It is 0 before the step that its ancestors fill and 1 once only its descendants are
left, so columns exist in the window between alone. An item with one reader is dropped over its only gap (``w``, pays twice its size) or
is resident in it (``h``, continuous). An item with several is resident without being touched (``h``), fetched (``f``) at steps that read
it, and stored at most once (``w``). There is one capacity row for each step, and one row for each operator v that no order escapes: items
made before v and read after it in every order, and not touched by v, stay beside v or are dropped.

The rows are those of ``ilp.rows``; PuLP and CP-SAT take the same. Sizes are divided by their greatest common divisor.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ilp.courses import Gap, Modelled, check_plain, common_unit, kept_gaps, kept_sets, plan_with, told, touches
from ilp.decompose import Course, orders_of
from ilp.problem import Problem
from ilp.rows import CONSTANT, Expression, Rows, plus
from ilp.solver import HIGHS, Effort, minimised


class JointModel:
    """The rows of an atomic problem, and what their values mean.

    Args:
        capacity: bytes.

    Raises:
        UnsupportedError: the problem is not atomic or has operators with several ways.
    """

    def __init__(self, problem: Problem, capacity: int) -> None:
        check_plain(problem, "the joint model")
        self.problem = problem
        self.unit = common_unit(problem)
        self.room = capacity // self.unit
        self.steps = len(problem.tasks)
        self.ancestors, self.descendants = orders_of(problem)
        self.early = [above.bit_count() for above in self.ancestors]
        self.late = [self.steps - 1 - below.bit_count() for below in self.descendants]
        self.size = [item.bytes // self.unit for item in problem.items]
        self.rows = Rows(f"joint {problem.name}")
        self.z: dict[tuple[int, int], int] = {}
        self.h: dict[tuple[int, int], int] = {}
        self.f: dict[tuple[int, int], int] = {}
        self.w: dict[int, int] = {}
        self._orders()
        for number in range(len(problem.items)):
            self._item(number)
        self._capacity()
        self._crossings()
        self._forced()

    def ran(self, task: int, step: int) -> Expression:
        """1 iff ``task`` ran at ``step`` or before."""
        if step < self.early[task]:
            return {}
        return {CONSTANT: 1} if step >= self.late[task] else {self.z[task, step]: 1}

    def runs(self, task: int, step: int) -> Expression:
        """1 iff ``task`` runs at ``step``."""
        return plus(dict(self.ran(task, step)), self.ran(task, step - 1), -1)

    def _touching(self, number: int) -> tuple[int, ...]:
        item = self.problem.items[number]
        return item.users if item.maker is None else (item.maker, *item.users)

    def _uses(self, number: int, step: int) -> Expression:
        """1 iff an operator that makes or reads the item runs at ``step``."""
        found: Expression = {}
        for task in self._touching(number):
            plus(found, self.runs(task, step))
        return found

    def _orders(self) -> None:
        rows, steps = self.rows, self.steps
        for task in range(steps):
            for step in range(self.early[task], self.late[task]):
                self.z[task, step] = rows.column(f"z_{task}_{step}")
                rows.at_least(plus({self.z[task, step]: 1}, self.ran(task, step - 1), -1), 0)
        for step in range(steps):
            total: Expression = {}
            for task in range(steps):
                plus(total, self.ran(task, step))
            rows.equal(total, step + 1)
        before = self.problem.predecessors()
        for task, row in enumerate(before):
            for first in row:
                if any(self.ancestors[other] >> first & 1 for other in row):
                    continue  # another predecessor comes after it: not in the transitive reduction
                for step in range(self.early[task], self.late[task] + 1):
                    rows.at_least(plus(dict(self.ran(first, step - 1)), self.ran(task, step), -1), 0)

    def _item(self, number: int) -> None:
        item, size, rows = self.problem.items[number], self.size[number], self.rows
        if not size or (item.maker is None and len(item.users) < 2):
            return
        if item.maker is not None and len(item.users) == 1:
            (user,) = item.users
            dropped = self.w[number] = rows.column(f"w_{number}", cost=size if item.stored else 2 * size)
            for step in range(self.early[item.maker] + 1, self.late[user]):
                resident = self.h[number, step] = rows.column(f"h_{number}_{step}", whole=False)
                need = plus({resident: 1, dropped: 1}, self.ran(item.maker, step - 1), -1)
                rows.at_least(plus(need, self.ran(user, step)), 0)
            return
        self._shared(number)

    def _shared(self, number: int) -> None:
        """An item with several readers."""
        item, size, rows = self.problem.items[number], self.size[number], self.rows
        made = item.maker is not None
        stored = self.w[number] = rows.column(f"w_{number}", cost=size if made and not item.stored else 0)
        first = min(self.early[task] for task in self._touching(number))
        last = max(self.late[user] for user in item.users)
        fetches: Expression = {}
        if not made:
            rows.offset -= size
        for step in range(first, last + 1):
            before = dict(self._uses(number, step - 1))
            if (number, step - 1) in self.h:
                before[self.h[number, step - 1]] = 1
            reading: Expression = {}
            for user in item.users:
                plus(reading, self.runs(user, step))
            if reading:
                fetch = self.f[number, step] = rows.column(f"f_{number}_{step}", cost=size, whole=False)
                fetches[fetch] = 1
                rows.at_least(plus(plus({fetch: 1}, reading, -1), before), 0)
                if made:
                    rows.at_least({stored: 1, fetch: -1}, 0)
            if first < step < last:
                self.h[number, step] = rows.column(f"h_{number}_{step}")
                rows.at_most(plus({self.h[number, step]: 1}, before, -1), 0)
        rows.at_least(plus({stored: -1}, fetches), 0 if made else 1)
        if not made:  # w: fetched again
            rows.at_least(plus({stored: len(item.users) - 1}, fetches, -1), -1)
        self._unbroken(number, stored)

    def _unbroken(self, number: int, stored: int) -> None:
        """An item that is never fetched (again) is resident from its maker (or any reader) to each of its readers."""
        item = self.problem.items[number]
        if item.maker is None and len(item.users) > 4:
            return
        for first in (item.maker,) if item.maker is not None else item.users:
            for user in item.users:
                for step in range(self.early[first] + 1, self.late[user] if user != first else 0):
                    there = plus({stored: 1}, self._uses(number, step))
                    if (number, step) in self.h:
                        there[self.h[number, step]] = 1
                    self.rows.at_least(plus(plus(there, self.ran(user, step)), self.ran(first, step - 1), -1), 0)

    def _capacity(self) -> None:
        resident: dict[int, list[tuple[int, int]]] = {}
        for (number, step), column in self.h.items():
            resident.setdefault(step, []).append((column, self.size[number]))
        for step in range(self.steps):
            total: Expression = dict(resident.get(step, ()))
            for task in range(self.steps):
                plus(total, self.runs(task, step), self.problem.tasks[task].ways[0].bytes // self.unit)
            self.rows.at_most(total, self.room)

    def _crossings(self) -> None:
        for task in range(self.steps):
            above, below = self.ancestors[task], self.descendants[task]
            total: Expression = {}
            for number, column in self.w.items():
                touching = sum(1 << other for other in self._touching(number))
                start = touching if self.problem.items[number].maker is None else 1 << (self.problem.items[number].maker or 0)
                if not touching >> task & 1 and start & above and touching & below:
                    plus(total, {CONSTANT: self.size[number], column: -self.size[number]})
            self.rows.at_most(total, self.room - self.problem.tasks[task].ways[0].bytes // self.unit)

    def _forced(self) -> None:
        """Items that some operators leave no room for by themselves: they are dropped at each of these, and fetched in between if a use
        lies between any two of them (the relaxation of the rows above would drop a part of them)."""
        depth = sorted(range(self.steps), key=lambda task: self.early[task])
        for number, column in self.w.items():
            touching = sum(1 << task for task in self._touching(number))
            used = sum(1 << user for user in self.problem.items[number].users)
            times, last = 0, -1
            for task in depth:
                room = self.room - self.problem.tasks[task].ways[0].bytes // self.unit
                crosses = not touching >> task & 1 and touching & self.ancestors[task] and used & self.descendants[task]
                apart = last < 0 or self.ancestors[task] & self.descendants[last] & used
                if crosses and apart and self.size[number] > room:
                    times, last = times + 1, task
            if not times:
                continue
            self.rows.at_least({column: 1}, 1)
            first = int(self.problem.items[number].maker is None)
            fetches: Expression = {fetch: 1 for (item, _), fetch in self.f.items() if item == number}
            if fetches:
                self.rows.at_least(fetches, times + first)

    def values_of(self, course: Course) -> list[int]:
        """Values of the columns that say ``course``."""
        order, _ = course
        place = {task: step for step, task in enumerate(order)}
        kept = kept_gaps(self.problem, course)
        values = [0] * len(self.rows.names)
        for (task, step), column in self.z.items():
            values[column] = int(place[task] <= step)
        for number, steps in enumerate(touches(self.problem, order)):
            broken = [gap for gap in range(len(steps) - 1) if not kept[number, gap]]
            if number in self.w:
                values[self.w[number]] = int(bool(broken))
            if self.problem.items[number].maker is None and (number, steps[0]) in self.f:
                values[self.f[number, steps[0]]] = 1
            for gap, (first, last) in enumerate(itertools.pairwise(steps)):
                if gap in broken and (number, last) in self.f:
                    values[self.f[number, last]] = 1
                for step in range(first + 1, last) if gap not in broken else ():
                    if (number, step) in self.h:
                        values[self.h[number, step]] = 1
        return values

    def course_of(self, values: Sequence[float]) -> Course:
        """Order and items held that ``values`` say."""

        def position(task: int) -> int:
            window = range(self.early[task], self.late[task])
            return next((step for step in window if values[self.z[task, step]] > 0.5), self.late[task])

        order = tuple(sorted(range(self.steps), key=lambda task: (position(task), task)))
        kept: dict[Gap, bool] = {}
        for number, steps in enumerate(touches(self.problem, order)):
            single = number in self.w and not any((number, step) in self.f for step in range(self.steps))
            for gap, (first, last) in enumerate(itertools.pairwise(steps)):
                if single:
                    kept[number, gap] = last == first + 1 or values[self.w[number]] < 0.5
                    continue
                inside = (self.h.get((number, step)) for step in range(first + 1, last))
                kept[number, gap] = not self.size[number] or all(column is not None and values[column] > 0.5 for column in inside)
        return order, kept_sets(self.problem, order, kept)


def solve_joint(
    problem: Problem, capacity: int, *, solver: str = HIGHS, effort: Effort | None = None, start: Course | None = None
) -> Modelled:
    """Order and residency of an atomic problem by the joint model.

    Args:
        capacity: bytes. start: a plan to begin with, given to the solvers that take one.

    Raises:
        UnsupportedError: the problem has operators with several ways, or the solver is not installed. UnknownNameError: no such solver.
    """
    model = JointModel(problem, capacity)
    solved = minimised(model.rows, solver=solver, effort=effort, start=None if start is None else model.values_of(start))
    course = None if solved.objective is None else model.course_of(solved.values)
    plan = None if course is None else plan_with(problem, course[0], kept_gaps(problem, course))
    return told(problem, capacity, model.rows, solved, model.unit, course, plan)
