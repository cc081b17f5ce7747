"""The trivial schedule: program order, the best estimate that fits, and a greedy rule for what stays on chip between operators.

It always exists where every operator has an alternative that fits, and it proves nothing beyond ``extra_bytes >= 0``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hwspecs.hardware import Hardware
from hwspecs.vocabulary.errors import InfeasibleError
from ilp.lifetimes import Lifetimes, compulsory, lifetimes
from ilp.rounds import off_chip_bytes, rounds
from ilp.schedule import BlockSchedule, Residency, Schedule
from mappings.dataflow import Alternative, MappedBlock, MappedGraph
from workloads.graph import Role

KEPT_ROLES = frozenset({Role.ACTIVATION, Role.GRADIENT, Role.STATE, Role.INDEX})
"""Roles that may stay on chip between operators; caches and weights go to where they are stored."""


def trivial_schedule(mapped: MappedGraph) -> Schedule:
    """Program order; per operator the mapper's best alternative whose working set fits; greedy residencies.

    A tensor stays on chip from its operator to its last use, or else to its next use, if at the first free address it fits below
    the largest working set in between (working sets take the top of the memory). Its place is reserved while its maker and its last
    user run.
    A carried tensor stays for the next round under the same rule, in two places that the old and the new one change with each other where
    both are there at once; what all rounds read alike (a recurrent step's weights) stays where room is left. Partitioned scratchpads keep
    nothing; on a GPU only an L2 does.

    Raises:
        InfeasibleError: no alternative of an operator fits the on-chip memory; names the operator.
    """
    hardware = mapped.hardware
    memory = hardware.on_chip
    limited, capacity = memory is not None, memory.size_bytes if memory is not None else 0
    keep = keeps_tensors(hardware)
    lives = tuple(lifetimes(block) for block in mapped.blocks)
    off_chip = frozenset(name for name, memory in hardware.memories.items() if memory.off_chip)
    traffic: dict[int, tuple[dict[str, int], dict[str, int]]] = {}
    plans = []
    moved = 0
    for block, life in zip(mapped.blocks, lives, strict=True):
        chosen = tuple([_choose(block, index, capacity, limited) for index in range(len(block.operators))])
        alternatives = [item.alternatives[pick] for item, pick in zip(block.operators, chosen, strict=True)]
        for alternative in alternatives:
            if id(alternative) not in traffic:
                traffic[id(alternative)] = off_chip_bytes(alternative, off_chip)
        flows = [traffic[id(alternative)] for alternative in alternatives]
        plan = _Greedy(block, life, alternatives, flows, capacity if keep else 0).plan(chosen)
        plans.append(plan)
        for turn in rounds(block, plan):
            for index, (loads, stores) in enumerate(flows):
                kept_reads, kept_writes = turn.kept_reads.get(index, frozenset()), turn.kept_writes.get(index, frozenset())
                moved += turn.count * sum(nbytes for tensor, nbytes in loads.items() if tensor not in kept_reads)
                moved += turn.count * sum(nbytes for tensor, nbytes in stores.items() if tensor not in kept_writes)
    extra = moved - compulsory(mapped, lives).bytes
    return Schedule(tuple(plans), capacity, "trivial", extra, 0, extra == 0)


def keeps_tensors(hardware: Hardware) -> bool:
    """Whether tensors can stay on chip between operators: one undivided on-chip memory, on a GPU the L2."""
    memory = hardware.on_chip
    if memory is None or memory.partitions:
        return False
    return hardware.family != "gpu" or memory.name == "l2"


def _choose(block: MappedBlock, index: int, capacity: int, limited: bool) -> int:
    item = block.operators[index]
    for number, alternative in enumerate(item.alternatives):  # the mapper's best first
        if not limited or alternative.working_set_bytes <= capacity:
            return number
    need = min((alternative.working_set_bytes for alternative in item.alternatives), default=0)
    raise InfeasibleError(
        f"no mapping fits the on-chip memory: the smallest needs {need} bytes of {capacity}",
        where=item.operator,
        hint="use hardware with a larger on-chip memory, or a smaller batch",
    )


@dataclass(slots=True)
class _Greedy:
    """Greedy residencies of one block; steps are operator indices, because the order is program order."""

    block: MappedBlock
    life: Lifetimes
    alternatives: list[Alternative]
    flows: list[tuple[dict[str, int], dict[str, int]]]
    capacity: int
    placed: list[tuple[int, int, int, int]] = field(default_factory=list)
    """(first step, last step, address, end) of every place taken."""
    residencies: list[Residency] = field(default_factory=list)
    kept_reads: set[tuple[int, str]] = field(default_factory=set)
    kept_writes: set[tuple[int, str]] = field(default_factory=set)

    def plan(self, chosen: tuple[int, ...]) -> BlockSchedule:
        """The block's schedule with alternatives ``chosen``."""
        if self.capacity:
            wrapped = self._wrap_around()
            for name, maker in sorted(self.life.made.items(), key=lambda item: item[1]):
                if name not in wrapped:
                    self._keep(name, maker)
            self._keep_shared()
        order = tuple(range(len(self.alternatives)))
        return BlockSchedule(order, chosen, tuple(self.residencies), frozenset(self.kept_reads), frozenset(self.kept_writes))

    def _keepable(self, name: str) -> bool:
        tensor = self.block.tensors.get(name)
        return tensor is not None and tensor.role in KEPT_ROLES and name not in self.life.persistent and len(self.life.writes[name]) == 1

    def _keep(self, name: str, maker: int) -> None:
        uses = [index for index, _, _ in self.life.reads.get(name, ()) if index > maker]
        if not uses or not self._keepable(name):
            return
        size = self.block.tensors[name].stored_bytes
        self.placed = [place for place in self.placed if place[1] >= maker]
        for last in dict.fromkeys((uses[-1], uses[0])):
            address = self._place([(maker, last)], size)
            if address is None:
                continue
            self._reserve(maker, last, address, size)
            self.residencies.append(Residency(name, maker, last, address, size))
            self._save_reads(name, range(maker + 1, last + 1))
            carried = any(output == name for output, _ in self.block.carried) and self.block.count > 1
            if last == uses[-1] and name not in self.life.leaving and not carried:
                self.kept_writes.add((maker, name))
            return

    def _wrap_around(self) -> set[str]:
        """Keep carried tensors for the next round; returns the outputs that stay."""
        done: set[str] = set()
        if self.block.count < 2:
            return done
        steps = len(self.alternatives)
        outputs = [output for output, _ in self.block.carried]
        for output, name in self.block.carried:
            if outputs.count(output) > 1 or output not in self.life.made or name in outputs or not self._keepable(output):
                continue
            uses = [index for index, _, _ in self.life.reads.get(name, ())]
            maker, size = self.life.made[output], self.block.tensors[output].stored_bytes
            if not uses or name in self.life.made or self.block.tensors[name].stored_bytes != size:
                continue
            places = self._handing(maker, uses[-1], size)
            if places is None:
                continue
            self.residencies.append(Residency(output, maker, steps, places[0], size))
            self.residencies.append(Residency(name, -1, uses[-1], places[1], size))
            self._save_reads(output, range(maker + 1, steps))
            self._save_reads(name, range(steps))
            self.kept_writes.add((maker, output))
            done.add(output)
        return done

    def _handing(self, maker: int, last: int, size: int) -> tuple[int, int] | None:
        """Addresses, reserved, of what a round makes for the next one and of what it found: one place if the latter is last read before the
        former is made, else two, which they change with each other from round to round."""
        spans = [(maker, len(self.alternatives) - 1), (0, last)]
        found: list[int] = []
        before = list(self.placed)
        for _ in range(1 if last < maker else 2):
            address = self._place(spans, size)
            if address is None:
                self.placed = before
                return None
            found.append(address)
            for first, end in spans:
                self._reserve(first, end, address, size)
        return found[0], found[-1]

    def _keep_shared(self) -> None:
        """Keep what all rounds read alike (the weights of a recurrent step) where there is room left for it beside everything else."""
        if self.block.count < 2:
            return
        steps = len(self.alternatives)
        self.placed = [(0, steps - 1, stay.address, stay.address + stay.bytes) for stay in self.residencies]
        for name in self.block.shared:
            tensor = self.block.tensors.get(name)
            amounts = {nbytes for _, _, nbytes in self.life.reads.get(name, ())}
            if tensor is None or name in self.life.writes or tensor.alias_of is not None or amounts != {tensor.stored_bytes}:
                continue
            address = self._place([(0, steps - 1)], tensor.stored_bytes)
            if address is not None:
                self._reserve(0, steps - 1, address, tensor.stored_bytes)
                self.residencies.append(Residency(name, -1, steps, address, tensor.stored_bytes))
                self._save_reads(name, range(steps))

    def _save_reads(self, name: str, steps: range) -> None:
        for index, tensor, _ in self.life.reads.get(name, ()):
            if index in steps and tensor in self.flows[index][0]:
                self.kept_reads.add((index, tensor))

    def _reserve(self, first: int, last: int, address: int, size: int) -> None:
        self.placed.append((first, last, address, address + size))

    def _place(self, spans: list[tuple[int, int]], size: int) -> int | None:
        """First address at which ``size`` bytes are free in all ``spans`` of steps, below the working sets; None if there is none."""
        limit = self.capacity - max(
            alternative.working_set_bytes for first, last in spans for alternative in self.alternatives[first : last + 1]
        )
        if size > limit:
            return None
        taken = sorted(
            (start, end) for begin, finish, start, end in self.placed if any(begin <= last and finish >= first for first, last in spans)
        )
        address = 0
        for start, end in taken:
            if address + size <= start:
                break
            address = max(address, end)
        return address if address + size <= limit else None
