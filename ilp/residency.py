"""What a block of a mapped graph leaves a scheduler to decide: which tensors may stay on chip, and what each way of running costs.

The rules are those of ``ilp.replay``. A tensor that stays lies beside the working sets, from the operator that makes it, or that
loads the whole of it, to one that reads it. What somebody needs off chip (outputs, caches, optimizer state) is stored in every case; any
other result may do without a copy for as long as it stays. In a repeat, the input of a round may be what the round before left (``Wrap``),
and a tensor that all rounds share may stay over all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ilp.lifetimes import PERSISTENT, Lifetimes
from ilp.rounds import off_chip_bytes
from mappings.dataflow import MappedBlock


@dataclass(frozen=True, slots=True)
class Held:
    """A tensor about which there is something to decide.

    Attributes:
        maker: operator that makes it; None: it is off chip before the block runs.
        users: operators that load it; ``whole``: those whose load brings all of it, so that it may stay from there on.
        stored: it is off chip after its maker at the latest, whatever is decided.
        most: users that read the most of it, of a tensor that nobody makes.
        part: the part of a tensor that its maker writes in place; ``bytes`` is that of the part, which its users load with the rest.
    """

    name: str
    bytes: int
    maker: int | None
    users: tuple[int, ...]
    whole: frozenset[int]
    stored: bool
    part: bool = False
    most: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to run an operator, in bytes off chip per round: ``own`` cannot be saved, ``loads`` and ``stores`` (by tensor) can."""

    room: int
    own: int
    loads: Mapping[int, int]
    stores: Mapping[int, int]
    cycles: int


@dataclass(frozen=True, slots=True)
class Wrap:
    """A tensor ``leaves`` that may stay at the end of a round, to be ``enters`` of the next one: in the same place.

    ``stored``: it goes off chip in every round even so.
    """

    leaves: int
    enters: int
    stored: bool


@dataclass(frozen=True, slots=True)
class BlockProblem:
    """What is to be decided about one block.

    Attributes:
        held: the tensors; ``choices``: per operator its ways that fit, as (number of the alternative, choice).
        before: per operator those that must run earlier; ``views``: operators that touch nothing and take no room.
        wraps: what may stay from round to round; ``count``: rounds.
        leaving: tensors that are used after the last round.
        keeps: whether anything may stay on chip at all.
        complete: no plan that the checker accepts is left out, so that bounds of this problem hold for the block.
    """

    name: str
    count: int
    held: tuple[Held, ...]
    choices: tuple[tuple[tuple[int, Choice], ...], ...]
    before: tuple[frozenset[int], ...]
    views: frozenset[int]
    wraps: tuple[Wrap, ...]
    leaving: frozenset[int]
    keeps: bool
    complete: bool


def block_problem(
    block: MappedBlock, life: Lifetimes, outputs: frozenset[str], off_chip: frozenset[str], capacity: int | None, keep: bool
) -> BlockProblem:
    """The problem of ``block``.

    Args:
        outputs: of the whole graph, views resolved. off_chip: names of the off-chip memories.
        capacity: on-chip bytes, None: not limited. keep: whether tensors may stay at all.
    """
    return _Reading(block, life, outputs, off_chip, capacity, keep).problem()


@dataclass(slots=True)
class _Reading:
    block: MappedBlock
    life: Lifetimes
    outputs: frozenset[str]
    off_chip: frozenset[str]
    capacity: int | None
    keep: bool

    def problem(self) -> BlockProblem:
        block = self.block
        flows = [
            [
                (number, alternative, *off_chip_bytes(alternative, self.off_chip))
                for number, alternative in enumerate(item.alternatives)
                if self.capacity is None or alternative.working_set_bytes <= self.capacity
            ]
            for item in block.operators
        ]
        loaded = [set().union(*(loads for _, _, loads, _ in row)) for row in flows]
        held, complete = self._held(loaded)
        place = {item.name: number for number, item in enumerate(held)}
        rows = []
        for item, row in zip(block.operators, flows, strict=True):
            choices = []
            for number, alternative, loads, stores in row:
                mine = {
                    place[name]: min(nbytes, held[place[name]].bytes) if held[place[name]].part else nbytes
                    for name, nbytes in loads.items()
                    if name in place and name in item.reads
                }
                made = {place[name]: nbytes for name, nbytes in stores.items() if name in place and name in item.writes}
                own = sum(loads.values()) + sum(stores.values()) - sum(mine.values()) - sum(made.values())
                choices.append((number, Choice(alternative.working_set_bytes, own, mine, made, alternative.cycles_estimate)))
            rows.append(tuple(choices))
        views = frozenset(
            index
            for index, (item, row) in enumerate(zip(block.operators, rows, strict=True))
            if not item.reads and not item.writes and row and not any(choice.room or choice.own for _, choice in row)
        )
        wraps, known = self._wraps(held, place)
        leaving = frozenset(place[name] for name in block.leaving if name in place)
        return BlockProblem(
            block.name, block.count, held, tuple(rows), self._before(), views, wraps, leaving, self.keep, complete and known
        )  # fmt: skip

    def _held(self, loaded: list[set[str]]) -> tuple[tuple[Held, ...], bool]:
        """The tensors, and whether none was left out that a plan might save something on."""
        block, complete = self.block, True
        writers: dict[str, list[int]] = {}
        readers: dict[str, list[int]] = {}
        for index, item in enumerate(block.operators):
            for name in item.writes:
                writers.setdefault(name, []).append(index)
            for name in item.reads:
                if name in loaded[index]:
                    readers.setdefault(name, []).append(index)
        found = []
        for name in dict.fromkeys((*writers, *readers)):
            tensor = block.tensors.get(name)
            makers, users = writers.get(name, []), readers.get(name, [])
            if tensor is None or len(makers) > 1 or any(index in users for index in makers):
                complete = complete and (tensor is None or self._forced(name))
                continue
            size = tensor.stored_bytes
            whole = frozenset(index for index in users if block.operators[index].reads[name] >= size) if self.keep else frozenset[int]()
            if makers:
                partly = tensor.alias_of is not None
                reach = block.operators[makers[0]].writes[name]
                if partly and any(block.operators[index].reads[name] > reach for index in users):
                    if self.keep and reach:
                        found.append(Held(name, reach, makers[0], tuple(users), frozenset(), True, True))
                    continue
                found.append(Held(name, size, makers[0], tuple(users), whole, self._forced(name)))
            elif self.keep and ((len(users) > 1 and whole) or (users and block.count > 1 and self._returns(name))):
                amounts = [block.operators[index].reads[name] for index in users]
                most = frozenset(index for index, amount in zip(users, amounts, strict=True) if amount == max(amounts))
                found.append(Held(name, size, None, tuple(users), whole, True, most=most))
        return tuple(found), complete

    def _forced(self, name: str) -> bool:
        """Whether the copy off chip is needed in every round, unless ``name`` stays for the next one."""
        block, tensor = self.block, self.block.tensors[name]
        if tensor.alias_of is not None or tensor.role in PERSISTENT or name in block.stacked:
            return True
        if block.count > 1:
            return name in block.leaving or any(output == name for output, _ in block.carried)
        return name in block.leaving or name in self.outputs

    def _returns(self, name: str) -> bool:
        return name in self.block.shared or any(inner == name for _, inner in self.block.carried)

    def _wraps(self, held: tuple[Held, ...], place: Mapping[str, int]) -> tuple[tuple[Wrap, ...], bool]:
        """What may stay from round to round, and whether these are all."""
        block = self.block
        if block.count < 2 or not self.keep:
            return (), True
        outputs = [output for output, _ in block.carried]
        wraps, known = [], True
        for output, inner in block.carried:
            if inner not in place or output == inner:
                known = known and inner not in self.life.reads
                continue
            if output not in place or held[place[output]].maker is None or outputs.count(output) > 1 or inner in outputs:
                known = False
                continue
            leaves, enters = held[place[output]], held[place[inner]]
            alike = leaves.bytes == enters.bytes and enters.maker is None
            if not alike or self._updated(inner) or self._updated(output):
                known = False
            else:
                known = known and self._even(enters)
                wraps.append(Wrap(place[output], place[inner], block.tensors[output].role in PERSISTENT))
        for name in block.shared:
            if name in place and held[place[name]].maker is None and held[place[name]].users:
                if self._updated(name):
                    known = False
                elif held[place[name]].whole:
                    known = known and self._even(held[place[name]])
                    wraps.append(Wrap(place[name], place[name], True))
        return tuple(wraps), known

    def _even(self, item: Held) -> bool:
        """Whether all who read it read as much, so that the first round loads it once, at the first of them, whatever stays until when."""
        return len({self.block.operators[index].reads[item.name] for index in item.users}) == 1

    def _updated(self, name: str) -> bool:
        """Whether an operator of the block writes to its storage in place."""
        root = self.life.root.get(name, name)
        return any(tensor != root or root != name for _, tensor, _ in self.life.writes.get(root, ()))

    def _before(self) -> tuple[frozenset[int], ...]:
        """Makers before users, and accesses to a storage that is updated in place in program order around each update."""
        block, life = self.block, self.life
        maker = {tensor: index for index, item in enumerate(block.operators) for tensor in item.writes}
        before: list[set[int]] = [
            {maker[name] for name in item.reads if maker.get(name, index) < index} for index, item in enumerate(block.operators)
        ]
        for base, writes in life.writes.items():
            if len(writes) < 2 and base in life.made:
                continue
            touching = sorted({index for index, _, _ in (*writes, *life.reads.get(base, ()))})
            for index, _, _ in writes:
                before[index].update(other for other in touching if other < index)
                for other in touching:
                    if other > index:
                        before[other].add(index)
        return tuple(frozenset(row) for row in before)
