"""Precedences that every plan cheaper than a known one keeps, though the graph does not ask for them.

Let u and v be operators that may run in either order, and let the best plan known move B bytes. If every plan that runs v before u moves B
bytes or more, then a cheaper plan runs u before v, and the search for one may take that for granted: there are fewer orders, and more items
are known to lie beside an operator. That "v before u" costs so much is shown by counting, from facts that hold in every order:

*Crossing.* If an item was touched before v (made, or an input read) and is read after v in every order, and v does not touch it, then it
lies in the scratchpad beside v or it is dropped and pays a drop: the fetch to come, and the store if there is no copy off chip. What lies
beside v has the capacity less v's own bytes. So the items that cross v, less that room, are dropped, and the cheapest way to drop so many
bytes (items that have no room by themselves whole, the others in parts, the cheapest per byte first) bounds what they pay from below.

*Items pay for themselves.* An item that some operator leaves no room for by itself is dropped in every plan. Beside the other items of a
crossing, what these pay adds up; within it they count as dropped already, at no further price.

With "v before u", whatever u and its successors read is read after v, and whatever v and its predecessors touched was touched before u: so
more items cross v, and u. Precedences found add to what is known, until nothing follows any more. If both orders of two operators cost B
or more, so does every plan.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ilp.problem import Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]
    Sums = NDArray[np.float64]

MOST_PROBES = 400_000_000
"""Operators times operators times items beyond which nothing is looked for: seconds, and memory."""


def tightened(problem: Problem, capacity: int, limit: int) -> Problem | None:
    """The problem with all precedences that are found for plans of fewer than ``limit`` extra bytes.

    Args:
        problem: atomic. capacity: bytes. limit: extra bytes.

    Returns:
        The problem with further pairs in ``Problem.after`` (its program order may no longer be a valid one), the same one where nothing is
        found; None if no plan moves fewer than ``limit`` bytes.
    """
    if len(problem.tasks) ** 2 * len(problem.items) > MOST_PROBES or not problem.items:
        return problem
    search = _Orders(problem, capacity, limit)
    if not search.run():
        return None
    return replace(problem, after=(*problem.after, *search.found)) if search.found else problem


class _Orders:
    """What is known of the order: ``before[v, u]`` iff u runs before v in every plan of interest.

    Attributes:
        found: the pairs (first, second) that were found.
    """

    def __init__(self, problem: Problem, capacity: int, limit: int) -> None:
        import numpy as np

        self.rows = [set(row) for row in problem.predecessors()]
        self.capacity, self.limit = capacity, limit
        self.found: list[tuple[int, int]] = []
        shape = (len(problem.tasks), len(problem.items))
        self.starts, self.uses = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
        for number, item in enumerate(problem.items):
            self.uses[list(item.users), number] = True
            self.starts[list(item.users) if item.maker is None else item.maker, number] = True
        self.touches = self.starts | self.uses
        # whole numbers below 2**53 in floating point, which multiplies fast and exactly
        self.size = np.array([item.bytes for item in problem.items], np.float64)
        self.stored = np.array([item.stored for item in problem.items], np.bool_)
        self.room: Sums = np.array([capacity - min(way.bytes for way in task.ways) for task in problem.tasks], np.float64)
        self.big = self.size[None, :] > self.room[:, None]

    def run(self) -> bool:
        """Look for pairs until none is found; False if no plan is cheap enough."""
        import numpy as np

        while True:
            before = closure(self.rows)
            if before is None:
                return False
            bad = self._too_dear(before)
            if bool((bad & bad.T).any()):
                return False
            if not bad.any():
                return True
            for late, early in zip(*(row.tolist() for row in np.nonzero(bad)), strict=True):
                self.rows[late].add(early)
                self.found.append((early, late))

    def _too_dear(self, before: Flags) -> Flags:
        """``bad[v, u]`` iff running v before u, which is not ruled out yet, costs the limit or more."""
        import numpy as np

        count = len(before)
        touched = (before.astype(np.float32) @ self.starts.astype(np.float32)) > 0
        read = (before.T.astype(np.float32) @ self.uses.astype(np.float32)) > 0
        crossing = touched & read & ~self.touches
        forced = (crossing & self.big).any(0)
        price = np.where(self.stored, 1, 2) * self.size
        paid = float((price * forced).sum())
        prices = np.stack([self.size * ~forced, self.size * (~forced & self.stored), price * ~forced], 1)
        until, since = touched | self.starts, read | self.uses
        free = ~before & ~before.T & ~np.eye(count, dtype=np.bool_)

        def dear(beside: Flags, at: Any) -> Flags:
            return np.asarray(_least(beside, self.big[at], prices, self.room[at]) + paid >= self.limit)

        def any_free(rows: Flags) -> Flags:
            return np.asarray((free.astype(np.float32) @ rows.astype(np.float32)) > 0)

        # beside which operators something dear may lie at all: the others need no second look
        ahead = dear(touched & (read | any_free(since)) & ~self.touches, slice(None))
        behind = dear((touched | any_free(until)) & read & ~self.touches, slice(None))
        bad = np.zeros((count, count), np.bool_)
        for v in range(count):
            others = np.flatnonzero(free[v]) if ahead[v] else np.flatnonzero(free[v] & behind)
            if ahead[v]:
                bad[v, others] = dear((touched[v] & ~self.touches[v])[None, :] & (read[v][None, :] | since[others]), v)
            others = others[behind[others]]
            if len(others):
                bad[v, others] |= dear((touched[others] | until[v][None, :]) & read[others] & ~self.touches[others], others)
        return bad


def _least(beside: Flags, big: Flags, prices: Sums, room: Sums) -> Sums:
    """Least bytes that the items ``beside`` (rows, items) pay beyond what they pay anyway, to leave no more than ``room``.

    Args:
        big: items larger than the room.
        prices: (items, 3), 0 for items that are dropped anyway: size; size if a drop costs it once (twice for the rest); price of a drop.
    """
    import numpy as np

    sums = (beside & ~big).astype(np.float64) @ prices
    excess = np.maximum(sums[:, 0] - room, 0)
    once = np.minimum(excess, sums[:, 1])
    return np.asarray(once + 2 * (excess - once) + (beside & big).astype(np.float64) @ prices[:, 2])


def closure(rows: list[set[int]]) -> Flags | None:
    """``before[v, u]`` iff u comes before v, from the direct predecessors of each operator; None if they go round in a circle."""
    import numpy as np

    count = len(rows)
    before = np.zeros((count, count), np.bool_)
    after: list[list[int]] = [[] for _ in range(count)]
    waiting = [len(row) for row in rows]
    for v, row in enumerate(rows):
        for u in row:
            after[u].append(v)
    ready = [v for v in range(count) if not waiting[v]]
    seen = 0
    while ready:
        v = ready.pop()
        seen += 1
        for u in rows[v]:
            before[v] |= before[u]
            before[v, u] = True
        for w in after[v]:
            waiting[w] -= 1
            if not waiting[w]:
                ready.append(w)
    return before if seen == count else None
