"""The memory-scheduling problem: operators, the tensors between them, a scratchpad; and a plan that answers it.

One problem serves two readings.

* *Atomic* (COSMA, arXiv 2311.18246): while an operator runs, all its operands and results lie in the scratchpad, whole. ``Way.bytes`` is
  then the footprint of all of them, and a tensor that stays costs no further room at a step that uses it (``operands_inside``).
* *Mapped*: an operator brings its own working set (tile buffers), and a tensor that stays lies beside it, at its own steps too.

Cost is *extra* bytes: off-chip bytes beyond the compulsory ones (first load of what enters, one store of what leaves). A stored copy stays
valid, because tensors are written once; so a tensor is stored at most once. Sizes are bytes; steps count operators in the plan's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from hwspecs.vocabulary.records import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """A tensor that at least two operators touch, or that may have to be fetched again.

    Operands that one operator alone uses and that start off chip (its own weights, inputs read once), and results that nobody reads, are
    no items: they are part of ``Way.bytes`` and cost compulsory traffic only.

    Attributes:
        maker: index of the operator that makes it; None: it lies off chip before the first step (input, shared weight).
        users: indices of the operators that read it, ascending, none twice.
        stored: it is off chip anyway, after its maker at the latest (input, weight, graph output): spilling it costs no store.
    """

    name: str
    bytes: int
    maker: int | None
    users: tuple[int, ...]
    stored: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run an operator.

    Attributes:
        bytes: room that it takes while it runs: all operands and results where ``operands_inside``, else its working set.
        loads: item to bytes that it moves if the item is not in the scratchpad (tiles may load it several times); absent: its size.
        own_extra_bytes: bytes beyond compulsory that no residency saves (weights loaded again, partial sums spilled).
        cycles: the mapper's estimate, to break ties.
    """

    bytes: int
    name: str = ""
    loads: Mapping[int, int] = field(default_factory=dict)
    own_extra_bytes: int = 0
    cycles: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """An operator: items that it reads and writes (indices into ``Problem.items``), and its ways, at least one."""

    name: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """Operators in program order (a valid one) and the items between them.

    Attributes:
        private: per operator (name, bytes) of the operands that are no items, for placement; atomic problems only.
        after: further (before, after) pairs of operators that the order must keep (in-place updates).
        overwrites: (operator, item read, item written) of equal size: the result takes the operand's place, which dies there in every
            order. The operator's ``Way.bytes`` counts the place once, so both must have one address at that step.
        views: items (in order, two or more) that operators read as one tensor: its parts, which nobody joins. Only if they lie side by
            side is the joined tensor there; plans do not promise it, ``ilp.moves`` says where it holds.
    """

    name: str
    items: tuple[Item, ...]
    tasks: tuple[Task, ...]
    operands_inside: bool = True
    private: tuple[tuple[tuple[str, int], ...], ...] = ()
    after: tuple[tuple[int, int], ...] = ()
    overwrites: tuple[tuple[int, int, int], ...] = ()
    views: tuple[tuple[int, ...], ...] = ()

    def room(self, task: int, way: int, held: frozenset[int] | set[int]) -> int:
        """Bytes in use while ``task`` runs in ``way`` with the items ``held`` staying over its step (operands among them or not)."""
        mine = {*self.tasks[task].reads, *self.tasks[task].writes} if self.operands_inside else set()
        return self.tasks[task].ways[way].bytes + sum(self.items[item].bytes for item in held if item not in mine)

    def predecessors(self) -> tuple[tuple[int, ...], ...]:
        """Per operator those that must run before it: makers of what it reads, and ``after``."""
        before: list[set[int]] = [set() for _ in self.tasks]
        for item in self.items:
            if item.maker is not None:
                for user in item.users:
                    before[user].add(item.maker)
        for first, second in self.after:
            before[second].add(first)
        return tuple(tuple(sorted(row)) for row in before)


@dataclass(frozen=True, slots=True)
class Stay:
    """An item in the scratchpad from step ``first`` to step ``last``, both included, without a break, at one address.

    ``first`` is the step that makes it or fetches it. ``address`` is -1 where nothing is placed yet.
    """

    item: int
    first: int
    last: int
    address: int = -1


@dataclass(frozen=True, slots=True)
class Plan:
    """An answer: when each operator runs, in which way, and what stays.

    What is fetched and stored follows: an item that a step reads and that no stay brings from an earlier step is fetched there; an item
    that is fetched by anybody must be ``stored`` or is stored once by its maker.

    Attributes:
        order: operator indices in the order in which they run; ``ways``: per operator (by index) the way taken.
        stays: in the atomic reading every item has a stay over each step that reads or writes it; in the mapped reading stays are what
            is kept beside the working sets, from the step that makes or loads an item to a step that reads it.
        private_addresses: per operator (by index) addresses of ``Problem.private``; empty where nothing is placed.
    """

    order: tuple[int, ...]
    ways: tuple[int, ...]
    stays: tuple[Stay, ...]
    private_addresses: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a solver says of a problem and a capacity.

    Attributes:
        plan: None only if no plan was looked for (a bound alone) or none was found within the effort.
        extra_bytes: of the plan, as ``ilp.recount`` counts it; -1 without a plan.
        lower_bound_bytes: proven: no plan moves fewer extra bytes.
        method: which method gave the plan, and which the bound (``beam, proved by down-set program``).
        placed: addresses were found within the capacity.
        effort: what was spent: states, nodes, rows; for the report.
        stopped: why a search ended before it proved its plan (``node limit``, ``time limit``, ``interrupted``), or empty.
    """

    plan: Plan | None
    extra_bytes: int
    lower_bound_bytes: int
    method: str
    placed: bool = False
    effort: Mapping[str, int] = field(default_factory=dict)
    stopped: str = ""

    @property
    def proven(self) -> bool:
        """The plan is optimal."""
        return self.plan is not None and self.extra_bytes == self.lower_bound_bytes
