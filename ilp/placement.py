"""Addresses for buffers of fixed lifetimes: first fit in several orders, then an exact search; and for the stays of a plan.

The search is that of ``simulator.kernels.placement``. It is tried with many orders of the buffers, first those of Moffitt, "MiniMalloc"
(ASPLOS 2023), then seeded random ones, each for few placements: where one order is lost for hours, another is through in a moment. Effort
is counted in placements tried, so the same input gives the same addresses on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from math import gcd
from typing import TYPE_CHECKING, Any

from hwspecs.vocabulary.errors import ArgumentError
from hwspecs.vocabulary.records import dataclass
from ilp.overwrite import chains
from ilp.problem import Plan, Problem, Stay

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

EFFORT = 2_000_000
"""Placements that the search may try, unless the caller says otherwise: about half a minute at 400 buffers."""
FIRST_FIT_ORDERS = ("SA", "AS", "TWA", "LS", "WA", "ES")
SEARCH_ORDERS = ("TWA", "TAW", "WTA", "AWT", "SWT", "TSW", "WST", "ATW", "STW")
"""Letters: total load met, width in sections, area, size, all falling; L: lower bound of life, E: its end, rising."""
PULLS = (0.05, 0.1, 0.0)
"""By how much of the capacity the search takes buffers over its heaviest section earlier, one after the other, in the fixed orders."""
RANDOM_PULLS = (0.02, 0.07)
"""The same in random orders: evenly between these two, and none in one of eight."""
PATIENCE = 4
"""Placements that a short try may spend for each buffer; the longer ones, which may prove that there is none, powers of 2 of that."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """``size`` bytes from moment ``lower`` until before moment ``upper``."""

    name: str
    lower: int
    upper: int
    size: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """What was found for buffers and a capacity.

    Attributes:
        offsets: per buffer, in the order given; None if nothing was found.
        height_bytes: the highest byte in use plus one; 0 without offsets.
        bound_bytes: the largest load at one moment: no placement is lower.
        method: ``first fit``, ``search``, ``load`` (more is alive at once than fits), or ``out of effort``.
        tried: placements that the search tried.
        infeasible: proven: there is no placement within the capacity.
    """

    offsets: tuple[int, ...] | None
    height_bytes: int
    bound_bytes: int
    method: str
    tried: int = 0
    infeasible: bool = False


class _Packing:
    """Buffers as arrays: lives in sections between moments at which something begins or ends, sizes in units of their common divisor."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        import numpy as np

        for buffer in buffers:
            if buffer.lower >= buffer.upper or buffer.size < 0:
                what = f"{buffer.size} bytes from {buffer.lower} to {buffer.upper}"
                raise ArgumentError(what, where=f"buffer {buffer.name!r}", hint="a buffer has at least 0 bytes and ends after it begins")
        self.total = len(buffers)
        self.kept = [number for number, buffer in enumerate(buffers) if buffer.size]
        self.unit = gcd(*(buffer.size for buffer in buffers)) or 1
        lower = np.array([buffers[number].lower for number in self.kept], np.int64)
        upper = np.array([buffers[number].upper for number in self.kept], np.int64)
        moments = np.unique(np.concatenate([lower, upper]))
        self.first: Integers = np.searchsorted(moments, lower).astype(np.int64)
        self.end: Integers = np.searchsorted(moments, upper).astype(np.int64)
        self.size: Integers = np.array([buffers[number].size // self.unit for number in self.kept], np.int64)
        self.sections = max(0, len(moments) - 1)
        change = np.zeros(self.sections + 1, np.int64)
        np.add.at(change, self.first, self.size)
        np.add.at(change, self.end, -self.size)
        load = np.cumsum(change)
        self.met: Integers = np.array([load[a:b].max() for a, b in zip(self.first, self.end, strict=True)], np.int64)
        self.bound_bytes = int(load.max(initial=0)) * self.unit

    def sorted_by(self, letters: str) -> Integers:
        """Indices of the buffers in an order of ``FIRST_FIT_ORDERS`` or ``SEARCH_ORDERS``."""
        import numpy as np

        width = self.end - self.first
        keys = {"T": -self.met, "W": -width, "A": -width * self.size, "S": -self.size, "L": self.first, "E": self.end}
        return np.lexsort(tuple(keys[letter] for letter in reversed(letters)))

    def orders(self, seed: int) -> Iterator[tuple[Integers, float, int]]:
        """Endless (order, pull, patience): the fixed orders, then random weights of load, width and size with some noise.

        Random tries are as long as the universal restart sequence has it (Luby, Sinclair, Zuckerman, Information Processing Letters 47,
        1993): whatever the best length is, it is met often enough, and luck with one order costs little.
        """
        import numpy as np

        for number, letters in enumerate(SEARCH_ORDERS):
            yield self.sorted_by(letters), PULLS[number % len(PULLS)], 1
        dice = np.random.default_rng(seed)
        logs = [np.log(values) for values in (self.met, self.end - self.first, self.size)]
        for number in count(1):
            load, width, size, noise, pull, none = dice.random(6)
            score = 3 * load * logs[0] + 0.75 * width * logs[1] + (0.25 + 0.75 * size) * logs[2]
            score += 0.2 * noise * dice.random(len(self.size))
            low, high = RANDOM_PULLS
            yield np.argsort(-score, kind="stable"), low + pull * (high - low) if none > 1 / 8 else 0.0, _luby(number)

    def offsets(self, order: Integers, address: Integers) -> tuple[int, ...]:
        """Bytes, in the order in which the buffers were given."""
        found = [0] * self.total
        for number, place in zip(order.tolist(), address.tolist(), strict=True):
            found[self.kept[number]] = place * self.unit
        return tuple(found)

    def first_fit(self, goal_bytes: int) -> Allocation:
        """The lowest first fit of several orders; the first one within ``goal_bytes``."""
        import numpy as np

        from simulator.kernels.placement import first_fit

        best, height = None, 0
        for letters in FIRST_FIT_ORDERS:
            order = self.sorted_by(letters)
            address = np.zeros(len(order), np.int64)
            got = int(first_fit(self.first[order], self.end[order], self.size[order], address)) * self.unit
            if best is None or got < height:
                best, height = self.offsets(order, address), got
            if height <= goal_bytes:
                break
        return Allocation(best, height, self.bound_bytes, "first fit")

    def search(self, capacity: int, effort: int, seed: int) -> Allocation:
        """A placement within ``capacity`` bytes, or proof that there is none, or neither within ``effort``."""
        from simulator.kernels.placement import FOUND, NONE, place

        room = capacity // self.unit
        tried = 0
        for order, pull, patience in self.orders(seed):
            limit = min(PATIENCE * patience * len(order), effort - tried)
            if limit <= 0:
                break
            row: tuple[Any, ...] = (self.first[order], self.end[order], self.size[order], self.sections, room, limit, int(room * pull))
            answer, address, spent = place(*row)
            tried += int(spent)
            if answer == FOUND:
                height = int((address + self.size[order]).max()) * self.unit
                return Allocation(self.offsets(order, address), height, self.bound_bytes, "search", tried)
            if answer == NONE:
                return Allocation(None, 0, self.bound_bytes, "search", tried, infeasible=True)
        return Allocation(None, 0, self.bound_bytes, "out of effort", tried)


def _luby(number: int) -> int:
    """1, 1, 2, 1, 1, 2, 4, 1, ...: term ``number``, from 1."""
    while number & (number + 1):
        number -= (1 << (number.bit_length() - 1)) - 1
    return (number + 1) >> 1


def allocate(buffers: Sequence[Buffer], capacity: int, *, effort: int = EFFORT, seed: int = 0) -> Allocation:
    """Offsets within ``capacity`` bytes at which no two buffers that live at one moment overlap.

    Args:
        effort: placements that the search may try after first fit has failed. seed: of its random orders.

    Raises:
        ArgumentError: a buffer of negative size, or one that does not end after it begins; a capacity below zero.
    """
    if capacity < 0:
        raise ArgumentError(f"a capacity of {capacity} bytes", hint="give 0 or more")
    packing = _Packing(buffers)
    if packing.bound_bytes > capacity:
        return Allocation(None, 0, packing.bound_bytes, "load", infeasible=True)
    if not packing.kept:
        return Allocation((0,) * packing.total, 0, 0, "first fit")
    simple = packing.first_fit(capacity)
    return simple if simple.height_bytes <= capacity else packing.search(capacity, effort, seed)


def lowest(
    buffers: Sequence[Buffer], *, effort: int = EFFORT, seed: int = 0, at_least: int = 0, over: Callable[[], bool] = lambda: False
) -> Allocation:
    """The least capacity that a placement was found for, as its ``height_bytes``, and ``bound_bytes``, below which there is none.

    First fit bounds it from above and the largest load from below; between them capacities are halved, in units of the common divisor of
    the sizes. A capacity that the search can neither fill nor refute counts as too small, but does not raise the bound.

    Args:
        effort: placements that the search may try at each capacity.
        at_least: capacities below this are of no interest.
        over: asked before each capacity; once it answers True, the search ends with what it has.

    Raises:
        ArgumentError: as ``allocate``.
    """
    packing = _Packing(buffers)
    if not packing.kept:
        return Allocation((0,) * packing.total, 0, 0, "first fit")
    bound, unit, tried = packing.bound_bytes, packing.unit, 0
    low = max(bound, -(-at_least // unit) * unit)
    best = packing.first_fit(low)
    while low < best.height_bytes and not over():
        # The bound itself is what most plans reach, so it is tried first.
        middle = low + (best.height_bytes - low) // (2 * unit) * unit if tried else low
        found = packing.search(middle, effort, seed)
        tried += found.tried
        if found.offsets is not None:
            best = found
        else:
            low = middle + unit
            bound = low if found.infeasible else bound
    return Allocation(best.offsets, best.height_bytes, bound, best.method, tried)


def rectangles(problem: Problem, plan: Plan) -> tuple[tuple[Buffer, ...], tuple[tuple[Stay, ...], ...]]:
    """What a plan needs addresses for: (buffers in steps, for the first of them the stays that share each).

    A stay is one buffer over its steps, and so is a row of stays that are written over each other (``ilp.overwrite``). Then come the
    private operands, one step each, in the order of the steps; for a mapped problem the working sets instead.
    """
    groups = chains(problem, plan)
    buffers = [
        Buffer(problem.items[group[0].item].name, group[0].first, group[-1].last + 1, problem.items[group[0].item].bytes)
        for group in groups
    ]
    for step, index in enumerate(plan.order):
        if not problem.operands_inside:
            task = problem.tasks[index]
            buffers.append(Buffer(task.name, step, step + 1, task.ways[plan.ways[index]].bytes))
        elif problem.private:
            buffers += [Buffer(name, step, step + 1, size) for name, size in problem.private[index]]
    return tuple(buffers), groups


def placed(problem: Problem, plan: Plan, capacity: int, *, effort: int = EFFORT, seed: int = 0) -> Plan | None:
    """``plan`` with an address for each stay and private operand within ``capacity`` bytes; None if none were found.

    A mapped plan is placed so that each working set, too, has its bytes in one piece.
    """
    buffers, groups = rectangles(problem, plan)
    found = allocate(buffers, capacity, effort=effort, seed=seed)
    return None if found.offsets is None else with_addresses(problem, plan, groups, found.offsets)


def placed_lowest(
    problem: Problem, plan: Plan, *, effort: int = EFFORT, seed: int = 0, at_least: int = 0, over: Callable[[], bool] = lambda: False
) -> tuple[Plan, Allocation]:
    """``plan`` with addresses in the least capacity found from ``at_least`` bytes on, and what is known of it (``lowest``)."""
    buffers, groups = rectangles(problem, plan)
    found = lowest(buffers, effort=effort, seed=seed, at_least=at_least, over=over)
    assert found.offsets is not None
    return with_addresses(problem, plan, groups, found.offsets), found


def with_addresses(problem: Problem, plan: Plan, groups: Sequence[Sequence[Stay]], offsets: Sequence[int]) -> Plan:
    """``plan`` with the addresses of its ``rectangles``: first those of the groups of stays, then those of the private operands."""
    at = {(stay.item, stay.first): offsets[number] for number, group in enumerate(groups) for stay in group}
    stays = tuple(Stay(stay.item, stay.first, stay.last, at[stay.item, stay.first]) for stay in plan.stays)
    if not problem.private:
        return Plan(plan.order, plan.ways, stays)
    rows: list[tuple[int, ...]] = [()] * len(plan.order)
    begin = len(groups)
    for index in plan.order:
        end = begin + len(problem.private[index])
        rows[index] = tuple(offsets[begin:end])
        begin = end
    return Plan(plan.order, plan.ways, stays, tuple(rows))
