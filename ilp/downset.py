"""The down-set dynamic program: exact where nothing is left out, a beam search where a layer is cut to its best states.

A prefix of a plan is summed up by the operators that ran (a down-set of the graph), the live items in the scratchpad, and the live items
with a copy off chip. Three facts keep it small.

*Lazy drops.* For a fixed order an item is kept over a whole gap between two uses or not at all (a fetch in mid-gap can wait for the use),
and the moment of a drop within the gap changes no cost. So items are dropped when the next operator does not fit, only inclusion-minimal
sets, and the drop pays at once for the fetch that must follow and, the first time, for the store.

*Dominance.* Of two states with equal down-sets, A makes B needless if A can drop what B does not hold and store what B has stored, and has
still paid no more.

*Safe operators.* Let v fit without a drop, with all it reads in the scratchpad, and let one operand a die at v, with the results of v
together no larger than a and no dearer to drop. Then running v at once loses nothing: take any plan from here and move v to the front.
Where that plan holds a until v, hold the results of v instead, which take no more room; where it drops a, drop the results, at no higher
price (a has no user but v, so this is one gap of a, and the plan's own gap of the results after v joins it by the gap lemma). Other
operands are read earlier than before, which takes away a use and never adds one. An operator that leaves nothing is safe whenever it fits
and its operands are there.

What is still to pay is bounded from below: an item cannot outlast an operator v that does not touch it and leaves no room for it. If the
item is used before v and after v in every order, it is dropped in between; operators with a use of the item between any two of them force
one fetch each. Items pay their own fetches, so these bounds add up over items.

With states left out, the least cost (paid and to come) at which one was left out bounds the optimum from below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ilp.bits import bits
from ilp.decompose import orders_of
from ilp.problem import Plan, Problem, Stay

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]
    Integers = NDArray[np.int64]

Tables = tuple[tuple[Any, ...], tuple[Any, ...]]
"""The kernel's arrays: of the problem, and of the operators that items cannot outlast."""

GROWTH, MOST_GROWTH = 6, 24
"""Successors per state that a layer has room for at first, and those beyond which it leaves some out."""
LEAST_ROOM = 4096
MOST_DROPS = 512
"""Minimal drop sets that one step of one state tries; narrow layers, of which few successors stay, try fewer."""
CHUNK = 50_000
"""States looked at between two looks at the clock: tenths of a second."""
NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep through all layers found.

    Attributes:
        order: operators in the order of the best plan, or None if every plan costs ``limit`` or more (or was left out).
        kept: per step the items in the scratchpad after it.
        extra_bytes: of that plan; ``bound_bytes``: no plan costs less (``limit`` where the sweep was complete and found nothing cheaper).
        states: states looked at, needless ones among them; ``complete``: nothing was left out.
    """

    order: tuple[int, ...] | None
    kept: tuple[frozenset[int], ...]
    extra_bytes: int
    bound_bytes: int
    states: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive steps of a plan that are to be searched anew, with what lies around them as it is.

    Attributes:
        done, kept, copies: operators that ran before it; items held then, and those with a copy off chip that nobody asked for.
        paid_bytes: for all drops until then. ``tasks``: the operators of the stretch.
        held_after: items that the plan holds after it. ``dropped_after``: items that what follows it drops at some time.
        unpaid_bytes: for the drops that follow it, stores left out.
    """

    done: frozenset[int]
    kept: frozenset[int]
    copies: frozenset[int]
    paid_bytes: int
    tasks: frozenset[int]
    held_after: frozenset[int]
    dropped_after: frozenset[int]
    unpaid_bytes: int


@dataclass(slots=True)
class _Layer:
    kept: Words
    parent: Integers
    operator: Integers


def sweep(
    problem: Problem, capacity: int, *, width: int, limit: int = NO_LIMIT, state_limit: int = NO_LIMIT,
    progress: Callable[[int, int, int], bool | None] | None = None, over: Callable[[], bool] | None = None,
    stretch: Stretch | None = None, tables: Tables | None = None,
) -> Swept:  # fmt: skip
    """Search the plans of an atomic problem, at most ``width`` states a layer (the cheapest are kept).

    Args:
        limit: only plans of fewer extra bytes are of interest.
        stretch: search these steps alone; the order and the sets that come back are theirs, the bytes those of the whole plan, and the
            bound that of plans which differ in these steps only. ``tables``: ``tables_of`` this problem and capacity, if at hand.
        state_limit: states in all after which layers are cut to a single state, so that the sweep ends soon.
        progress: called per layer with (layer, layers, states); once it answers True, layers are cut to a single state too.
        over: asked after every ``CHUNK`` states looked at; once it answers True, the layer ends there, and so do the ones after it.
    """
    import numpy as np

    from simulator.kernels import downset as kernel

    table, forced = tables or tables_of(problem, capacity)
    steps = len(problem.tasks) if stretch is None else len(stretch.tasks)
    words, item_words = table[0].shape[1], users_words(len(problem.items))
    done, kept, copies, cost, held = _first_state(problem, words, item_words, stretch)
    lowest = cost
    if stretch is not None:
        table = _closed(table, stretch)
    layers: list[_Layer] = []
    bound = limit
    complete = True
    looked = 0
    hurry = False
    most_drops = min(MOST_DROPS, max(4, width // 4))
    for step in range(steps):
        states = done, kept, copies, cost, held, lowest
        out, made, tried, left_out, late = _expanded(kernel.expand, states, (*table, *forced, capacity, limit, most_drops), over)
        if left_out is not None:
            complete, bound = False, min(bound, left_out)
        hurry = hurry or late
        alive = np.flatnonzero(out.alive[:made])
        looked += tried
        most = 1 if hurry or looked >= state_limit else width
        if len(alive) > most:
            ranked = alive[np.lexsort((out.held[alive], out.least[alive]))]
            complete, bound = False, min(bound, int(out.least[ranked[most]]))
            alive = np.sort(ranked[:most])
        done, kept, copies = out.done[alive], out.kept[alive], out.copies[alive]
        cost, held, lowest = out.cost[alive], out.held[alive], out.least[alive]
        layers.append(_Layer(kept, out.parent[alive], out.operator[alive]))
        if progress is not None:
            hurry = bool(progress(step + 1, steps, looked)) or hurry
        if not len(alive):
            return Swept(None, (), -1, bound, looked, complete)
    if stretch is not None:
        cost = cost + _to_follow(problem, kept, copies, stretch)
        if int(cost.min()) >= limit:
            return Swept(None, (), -1, bound, looked, complete)
    best = int(np.argmin(cost))
    order, sets = _traced(layers, best)
    return Swept(order, sets, int(cost[best]), min(bound, int(cost[best])), looked, complete)


def _expanded(
    expand: Any, states: tuple[Any, ...], table: tuple[Any, ...], over: Callable[[], bool] | None
) -> tuple[_Room, int, int, int | None, bool]:
    """(successors of a layer's states, how many, states looked at, least cost of one left out or None, whether ``over`` ended it)."""
    done, kept, _, cost, _, lowest = states
    room = max(LEAST_ROOM, len(cost) * GROWTH)
    while True:
        out = _Room(room, done.shape[1], kept.shape[1])
        at = made = tried = 0
        least: int | None = None
        late = False
        while at < len(cost) and not late:
            at, made, looked, cut, left_out = expand(at, made, CHUNK, out.table, out.chain, *states, *table, *out.arrays())
            tried += looked
            if cut:
                least = int(left_out) if least is None else min(least, int(left_out))
            late = over is not None and made > 0 and over()
        if at < len(cost):
            least = min(int(lowest[at:].min()), NO_LIMIT if least is None else least)
        if late or least is None or made < room or room >= len(cost) * MOST_GROWTH:
            return out, made, tried, least, late
        room *= 2


def tables_of(problem: Problem, capacity: int) -> Tables:
    """The kernel's arrays of a problem and a capacity, for many sweeps of them."""
    return _tables(problem), _forced(problem, capacity)


def _first_state(problem: Problem, words: int, item_words: int, stretch: Stretch | None) -> tuple[Any, ...]:
    """One state: nothing has run, or what ran before the stretch."""
    import numpy as np

    done, kept, copies = np.zeros((1, words), np.uint64), np.zeros((1, item_words), np.uint64), np.zeros((1, item_words), np.uint64)
    cost, held = np.zeros(1, np.int64), np.zeros(1, np.int64)
    if stretch is not None:
        for row, members in ((done, stretch.done), (kept, stretch.kept), (copies, stretch.copies)):
            for member in sorted(members):
                row[0, member >> 6] |= np.uint64(1 << (member & 63))
        cost[0] = stretch.paid_bytes
        held[0] = sum(problem.items[item].bytes for item in stretch.kept)
    return done, kept, copies, cost, held


def _closed(table: tuple[Any, ...], stretch: Stretch) -> tuple[Any, ...]:
    """The arrays with the operators behind a stretch closed: each waits for itself, and so never runs."""
    before = table[0].copy()
    for v in range(len(before)):
        if v not in stretch.tasks and v not in stretch.done:
            before[v, v >> 6] |= before.dtype.type(1 << (v & 63))
    return before, *table[1:]


def _to_follow(problem: Problem, kept: Words, copies: Words, stretch: Stretch) -> Integers:
    """What each last state of a stretch still pays if the rest of the plan stays: drops of what the plan does not hold, and later ones.

    What the plan holds and the state does not is paid for: it is fetched at its next use, as the drop has charged.
    """
    import numpy as np

    total = np.full(len(kept), stretch.unpaid_bytes, np.int64)
    for number, item in enumerate(problem.items):
        word, mark = number >> 6, np.uint64(1 << (number & 63))
        gone = (kept[:, word] & mark != 0) if number not in stretch.held_after else np.zeros(len(kept), np.bool_)
        total += np.where(gone, item.bytes, 0)
        if not item.stored:
            total += np.where((gone | (number in stretch.dropped_after)) & (copies[:, word] & mark == 0), item.bytes, 0)
    return total


def users_words(items: int) -> int:
    """64-bit words of a set of items."""
    return max(1, -(-items // 64))


class _Room:
    """Arrays for the successors of a layer."""

    def __init__(self, room: int, words: int, item_words: int) -> None:
        import numpy as np

        self.done = np.empty((room, words), np.uint64)
        self.kept = np.empty((room, item_words), np.uint64)
        self.copies = np.empty((room, item_words), np.uint64)
        self.cost, self.least, self.held, self.parent, self.operator = (np.empty(room, np.int64) for _ in range(5))
        self.alive = np.empty(room, np.bool_)
        self.table = np.full(1 << (2 * room - 1).bit_length(), -1, np.int64)
        self.chain = np.empty(room, np.int64)

    def arrays(self) -> tuple[Any, ...]:
        """In the order of the kernel's arguments."""
        return self.done, self.kept, self.copies, self.cost, self.least, self.held, self.parent, self.operator, self.alive


def _tables(problem: Problem) -> tuple[Any, ...]:
    """The kernel's arrays of a problem."""
    import numpy as np

    operators, items = len(problem.tasks), len(problem.items)
    words = max(1, -(-operators // 64))

    def sets(rows: Any, count: int) -> Words:
        table = np.zeros((count, words), np.uint64)
        for place, row in enumerate(rows):
            for member in row:
                table[place, member >> 6] |= np.uint64(1 << (member & 63))
        return table

    def compressed(rows: Any) -> tuple[Integers, Integers]:
        at = np.zeros(operators + 1, np.int64)
        flat: list[int] = []
        for place, row in enumerate(rows):
            flat.extend(row)
            at[place + 1] = len(flat)
        return np.array(flat, dtype=np.int64), at

    reads, read_at = compressed([task.reads for task in problem.tasks])
    writes, write_at = compressed([task.writes for task in problem.tasks])
    size = np.array([item.bytes for item in problem.items], dtype=np.int64)
    stored = np.array([item.stored for item in problem.items], dtype=np.bool_)
    phi = np.array([min(way.bytes for way in task.ways) for task in problem.tasks], dtype=np.int64)
    users = sets([item.users for item in problem.items], items)
    return sets(problem.predecessors(), operators), reads, read_at, writes, write_at, users, size, stored, phi


def _forced(problem: Problem, capacity: int) -> tuple[Any, ...]:
    """(items, row ends, operators, gates): for each item a chain of operators that it cannot outlast, with a use between any two."""
    import numpy as np

    ancestors, descendants = orders_of(problem)
    words = max(1, -(-len(problem.tasks) // 64))
    depth = sorted(range(len(problem.tasks)), key=lambda v: ancestors[v].bit_count())
    hard: list[int] = []
    at, chain, gates = [0], [], []
    for number, item in enumerate(problem.items):
        touching = [*item.users, *(() if item.maker is None else (item.maker,))]
        touched = sum(1 << v for v in touching)
        used = sum(1 << v for v in item.users)
        last: int | None = None
        for v in depth:
            need = min(way.bytes for way in problem.tasks[v].ways) + item.bytes
            if need <= capacity or touched >> v & 1 or not ancestors[v] & touched or not descendants[v] & used:
                continue
            if last is not None and not ancestors[v] & descendants[last] & used:
                continue
            last = v
            chain.append(v)
            gates.append([u for u in touching if ancestors[v] >> u & 1])
        if len(chain) > at[-1]:
            hard.append(number)
            at.append(len(chain))
    gate = np.zeros((len(chain), words), np.uint64)
    for place, row in enumerate(gates):
        for u in row:
            gate[place, u >> 6] |= np.uint64(1 << (u & 63))
    return *(np.array(row, dtype=np.int64) for row in (hard, at, chain)), gate


def _traced(layers: list[_Layer], state: int) -> tuple[tuple[int, ...], tuple[frozenset[int], ...]]:
    order: list[int] = []
    sets: list[frozenset[int]] = []
    for layer in reversed(layers):
        order.append(int(layer.operator[state]))
        sets.append(_members(layer.kept[state]))
        state = int(layer.parent[state])
    return tuple(reversed(order)), tuple(reversed(sets))


def _members(words: Words) -> frozenset[int]:
    return frozenset(place * 64 + member for place, word in enumerate(words.tolist()) for member in bits(word))


def plan_of(problem: Problem, order: tuple[int, ...], kept: tuple[frozenset[int], ...]) -> Plan:
    """The plan that runs ``order`` and holds ``kept`` between its steps: stays of every operand, not placed."""
    stays: list[Stay] = []
    since: dict[int, int] = {}
    for step, index in enumerate(order):
        task = problem.tasks[index]
        touched = {*task.reads, *task.writes}
        brought = kept[step - 1] if step else frozenset()
        gone = [item for item in since if item not in brought or (item not in kept[step] and item not in touched)]
        stays.extend(Stay(item, since.pop(item), step - 1) for item in gone)
        for item in sorted(touched):
            since.setdefault(item, step)
        stays.extend(Stay(item, since.pop(item), step) for item in [item for item in since if item not in kept[step]])
    stays.extend(Stay(item, first, len(order) - 1) for item, first in since.items())
    return Plan(order, (0,) * len(problem.tasks), tuple(sorted(stays, key=lambda stay: (stay.first, stay.item))))
