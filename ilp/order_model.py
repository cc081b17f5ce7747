"""A bound from crossings: what lies beside each operator in every order, and, for some pairs of operators, in either order of them.

The joint model (``ilp.joint_model``) says at which step each operator runs, and its relaxation lets operators run at many steps in part.
Where a graph nearly forces the order, as a training step does, this model bounds better with far fewer columns: it knows of no steps.
``o[u, v]`` is 1 iff u runs before v; there is a column for some of the pairs whose order is free, and of the other ones nothing is known.
``f[i, u]``: operator u fetches item i; ``w[i]``: i is stored for that; ``r[i, v]``: i lies beside v, which does not touch it.

*Rows.* Let plans run v after a toucher t of i (its maker, or for an input any reader) and before a reader u of i. If i is not beside v, it
is fetched between v and u: by u, or by another reader x that runs between v and u. Hence

    r[i, v] >= o[t, v] + o[v, u] - 1 - f[i, u] - sum over x of (x runs between v and u),

where the last term may be replaced by anything that is not smaller: o[v, x], o[x, u], or f[i, x] (if x runs between but does not fetch, it
does not explain the fetch). The same holds for all readers at once: some reader after v fetches. What lies beside v has room:
sum over i of s_i r[i, v] <= capacity - bytes of v. Costs are those of the gap model: s_i f[i, u], and s_i w[i] with w[i] >= f[i, u] where
i is made and not stored anyway. So every plan gives values of the columns that keep all rows and cost what it pays, and the least cost is a
lower bound. With all pairs and no circle of three, the columns o say an order and the bound is the optimum; with none it is a knapsack for
each operator, tied together by the items.

Items cross long stretches of operators under the same conditions; they share one ``r``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import gcd

from ilp.bits import bits
from ilp.courses import check_plain
from ilp.decompose import orders_of
from ilp.problem import Problem
from ilp.rows import CONSTANT, Expression, Rows, plus
from ilp.solver import HIGHS, Effort, minimised

MOST_UNITS = 1_000_000
"""Size of all items, in units, beyond which one odd size is rounded down to let the unit be coarser: solvers tell a difference of one in a
million from none, and not a smaller one."""
MOST_CIRCLES = 4_000
"""Circles of three free pairs that are ruled out; beyond that only those among the operators that touch one item."""
MOST_VARIANTS = 4
"""Replacements of "x runs between" that are all written, for one item, operator and reader; more give the same bound in whole numbers."""


@dataclass(frozen=True, slots=True)
class OrderBound:
    """What the model says.

    Attributes:
        bound_bytes: no plan moves fewer extra bytes. ``nodes`` of the solver's search; ``stopped``: why it ended before its optimum.
    """

    bound_bytes: int
    nodes: int
    stopped: str
    solver: str


class OrderModel:
    """The rows.

    Args:
        problem: atomic. capacity: bytes.
        pairs: operators (u, v), u < v, whose order gets a column; those that can run in one order only are left out.

    Raises:
        UnsupportedError: the problem is not atomic or has operators with several ways.
    """

    def __init__(self, problem: Problem, capacity: int, pairs: Iterable[tuple[int, int]] = ()) -> None:
        check_plain(problem, "the order model")
        self.problem = problem
        self.unit = _unit(problem)
        self.rows = Rows(f"orders {problem.name}")
        self.ancestors, self.descendants = orders_of(problem)
        self.o: dict[tuple[int, int], int] = {}
        self.f: dict[tuple[int, int], int] = {}
        self._shared: dict[tuple[int, frozenset[frozenset[tuple[int, int]]]], int] = {}
        for u, v in pairs:
            if not (self.ancestors[u] | self.descendants[u]) >> v & 1:
                self.o[u, v] = self.rows.column(f"o_{u}_{v}")
        self._orders()
        beside: list[Expression] = [{} for _ in problem.tasks]
        for number in range(len(problem.items)):
            self._item(number, beside)
        for task, expression in zip(problem.tasks, beside, strict=True):
            self.rows.at_most(expression, (capacity - task.ways[0].bytes) // self.unit)

    def before(self, u: int, v: int) -> Expression | None:
        """1 iff ``u`` runs before ``v``; None if nothing is known of that."""
        if self.ancestors[v] >> u & 1:
            return {CONSTANT: 1}
        if self.descendants[v] >> u & 1:
            return {}
        if (u, v) in self.o:
            return {self.o[u, v]: 1}
        return {CONSTANT: 1, self.o[v, u]: -1} if (v, u) in self.o else None

    def _orders(self) -> None:
        """What runs before u runs before its successors; no three operators run in a circle."""
        after = self._covers()
        for pair in self.o:
            for x, u in (pair, pair[::-1]):
                for v in after[u]:
                    sooner, later = self.before(x, u), self.before(x, v)
                    if sooner is not None and later is not None:
                        self.rows.at_most(plus(dict(sooner), later, -1), 0)
        for a, b, c in self._circles():
            around = [self.before(a, b), self.before(b, c), self.before(c, a)]
            total: Expression = {}
            for known in around:
                plus(total, known or {})
            if None not in around:
                self.rows.at_most(total, 2)
                self.rows.at_least(total, 1)

    def _covers(self) -> list[list[int]]:
        """Per operator its direct successors, those that others come before left out."""
        after: list[list[int]] = [[] for _ in self.problem.tasks]
        for v, row in enumerate(self.problem.predecessors()):
            for u in row:
                if not any(self.ancestors[other] >> u & 1 for other in row):
                    after[u].append(v)
        return after

    def _circles(self) -> list[tuple[int, int, int]]:
        """Triples of operators whose pairs have columns."""
        beside: dict[int, int] = {}
        for u, v in self.o:
            beside[u] = beside.get(u, 0) | 1 << v
        found = []
        for u, v in self.o:
            for x in bits(beside[u] & beside.get(v, 0)):
                found.append((u, v, x))
                if len(found) > MOST_CIRCLES:
                    return sorted({triple for item in self.problem.items for triple in combinations(_touching(item.maker, item.users), 3)})
        return found

    def _item(self, number: int, beside: list[Expression]) -> None:
        """The rows of an item, and what it adds to the room taken beside each operator."""
        item = self.problem.items[number]
        touching = _touching(item.maker, item.users)
        touched = _mask(touching)
        size = item.bytes // self.unit
        if not size or len(touching) < 2:
            return
        sure = _mask(v for start in self._starters(number) for v in bits(self.descendants[start])) & self._before_all(item.users)
        possible = _mask(x for u, v in self.o for x in (u, v)) | sure
        for v in bits(possible & ~touched):
            rows = self._crossing(number, v)
            if not rows:
                continue
            if len(rows) == 1 and len(rows[0]) == 2 and rows[0].get(CONSTANT) == 1:
                plus(beside[v], rows[0], size)  # 1 - f
                continue
            key = number, frozenset(frozenset(row.items()) for row in rows)
            if key not in self._shared:
                column = self._shared[key] = self.rows.column(f"r_{number}_{v}", whole=False)
                for row in rows:
                    self.rows.at_least(plus({column: 1}, row, -1), 0)
            plus(beside[v], {self._shared[key]: size})
        if item.maker is not None and not item.stored:
            fetched = [self.f[number, u] for u in item.users if (number, u) in self.f]
            stored = self.rows.column(f"w_{number}", cost=size, whole=False) if fetched else -1
            for column in fetched:
                self.rows.at_least({stored: 1, column: -1}, 0)

    def _starters(self, number: int) -> tuple[int, ...]:
        item = self.problem.items[number]
        return item.users if item.maker is None else (item.maker,)

    def _before_all(self, users: Sequence[int]) -> int:
        """Operators that come before any of ``users`` in every order."""
        found = 0
        for user in users:
            found |= self.ancestors[user]
        return found

    def _fetch(self, number: int, user: int) -> int:
        if (number, user) not in self.f:
            self.f[number, user] = self.rows.column(f"f_{number}_{user}", cost=self.problem.items[number].bytes // self.unit)
        return self.f[number, user]

    def _crossing(self, number: int, v: int) -> list[Expression]:
        """Expressions that ``r`` of the item and operator ``v`` is no smaller than; those that are never positive left out."""
        users = [u for u in self.problem.items[number].users if not self.ancestors[v] >> u & 1]
        starts = [self.before(start, v) for start in self._starters(number)]
        if {CONSTANT: 1} in starts:
            starts = [{CONSTANT: 1}]
        rows = []
        for start in starts:
            if not start:
                continue
            for u in users:
                later = self.before(v, u)
                if later:
                    begin = plus(plus({CONSTANT: -1}, start), later)
                    rows += [plus(row, {self._fetch(number, u): 1}, -1) for row in self._without(number, v, u, users, begin)]
            if len(rows) > 1 and any(self.before(v, u) == {CONSTANT: 1} for u in users):
                rows.append(plus(dict(start), {self._fetch(number, u): 1 for u in users}, -1))
        return [row for row in rows if row.get(CONSTANT, 0) + sum(c for key, c in row.items() if key != CONSTANT and c > 0) > 0]

    def _without(self, number: int, v: int, u: int, users: list[int], begin: Expression) -> list[Expression]:
        """``begin`` less the readers that may run between ``v`` and ``u``, in all ways to say that; none if one surely does."""
        rows = [begin]
        for x in users:
            if x == u or self.ancestors[x] >> u & 1:
                continue
            after_v, before_u = bool(self.ancestors[x] >> v & 1), bool(self.ancestors[u] >> x & 1)
            if after_v and before_u:
                return []
            terms = ([] if after_v else [self.before(v, x)]) + ([] if before_u else [self.before(x, u)])
            known = [term for term in terms if term is not None] or [{self._fetch(number, x): 1}]
            if len(rows) * len(known) > MOST_VARIANTS:
                known = known[-1:]
            rows = [plus(dict(row), term, -1) for row in rows for term in known]
        return rows


def _touching(maker: int | None, users: tuple[int, ...]) -> tuple[int, ...]:
    return users if maker is None else tuple(sorted({maker, *users}))


def _unit(problem: Problem) -> int:
    """Bytes that the model counts as one. It counts items in whole units, rounded down: that makes nothing dearer, and no room smaller."""
    sizes = {item.bytes for item in problem.items if item.bytes}
    fine = gcd(*sizes) or 1
    if sum(item.bytes for item in problem.items) <= MOST_UNITS * fine:
        return fine
    return max(fine, *(gcd(*(sizes - {size})) for size in sizes))


def _mask(members: Iterable[int]) -> int:
    found = 0
    for member in members:
        found |= 1 << member
    return found


def free_pairs(problem: Problem, most: int) -> list[tuple[int, int]]:
    """Pairs (u, v), u < v, of operators that may run in either order and lie near each other, nearest first by whole distances.

    The distance is the difference in the number of operators that come before them, or after them, whichever is less; a side on which
    neither has any does not count.

    Args:
        most: pairs; of a distance either all are taken or none.
    """
    ancestors, descendants = orders_of(problem)
    above, below = [row.bit_count() for row in ancestors], [row.bit_count() for row in descendants]
    everything = (1 << len(ancestors)) - 1
    by_distance: dict[int, list[tuple[int, int]]] = {}
    for u in range(len(ancestors)):
        for v in bits((everything & ~(ancestors[u] | descendants[u])) >> (u + 1) << (u + 1)):
            distances = [abs(side[u] - side[v]) for side in (above, below) if side[u] or side[v]]
            by_distance.setdefault(min(distances, default=0), []).append((u, v))
    found: list[tuple[int, int]] = []
    for distance in sorted(by_distance):
        if len(found) + len(by_distance[distance]) > most:
            break
        found += by_distance[distance]
    return found


def order_bound(
    problem: Problem, capacity: int, *, pairs: Iterable[tuple[int, int]] = (), solver: str = HIGHS, effort: Effort | None = None
) -> OrderBound:
    """A lower bound of the extra bytes of an atomic problem by the order model.

    Args:
        pairs: those whose order gets a column (``free_pairs``); the more, the better the bound and the slower.

    Raises:
        UnsupportedError: the problem is not plain, or the solver is not installed. UnknownNameError: there is none of that name.
    """
    model = OrderModel(problem, capacity, pairs)
    solved = minimised(model.rows, solver=solver, effort=effort)
    whole = gcd(*(item.bytes for item in problem.items)) or 1  # extra bytes are a sum of sizes
    return OrderBound(-(-max(0, solved.bound or 0) * model.unit // whole) * whole, solved.nodes, solved.stopped, solved.solver)
