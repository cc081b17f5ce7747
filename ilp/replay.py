"""The replay checker: runs a plan step by step, with nothing of the scheduler's own code, and accepts or refuses it.

It carries two sets through the rounds of each block: tensors that lie on chip, and tensors of which the off-chip copy is whole. Equal
rounds are replayed once (the first, one in the middle, the last). The compulsory bytes are recounted by a second machine that has room
for everything: it loads what it has never seen and stores what must outlive the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from hwspecs.vocabulary.errors import ContractError
from ilp.schedule import BlockSchedule, Residency, Schedule
from mappings.dataflow import Alternative, MappedBlock, MappedGraph, PlannedLater
from workloads.graph import Operator, Role, Tensor


def check(mapped: MappedGraph, schedule: Schedule) -> None:
    """Accept ``schedule`` of ``mapped``, or say what is wrong with it.

    Checked: each operator runs once and after those whose results it reads; alternatives exist and fit; residencies lie within the
    capacity together with each step's working set and never share an address at one time (a place is taken while its tensor is made, or
    loaded by an operator that reads the whole of it, too); kept loads find their tensor on chip; kept stores are missed by no later load,
    round, block or output; ``extra_bytes`` is what a recount gives, and the lower bound is not above it.

    Raises:
        ContractError: names the operator and the tensor.
    """
    if len(schedule.blocks) != len(mapped.blocks):
        raise ContractError(f"the schedule plans {len(schedule.blocks)} blocks of {len(mapped.blocks)}", where=mapped.graph.name)
    memory = mapped.hardware.on_chip
    if memory is not None and schedule.capacity_bytes > memory.size_bytes:
        raise ContractError(f"the schedule uses {schedule.capacity_bytes} bytes of {memory.size_bytes}", where=memory.name)
    moved = 0
    for block, plan in zip(mapped.blocks, schedule.blocks, strict=True):
        _check_order(block, plan)
        _check_places(block, plan, schedule.capacity_bytes, memory is not None)
        moved += _Replay(mapped, block, plan).bytes()
    extra = moved - _ideal_bytes(mapped)
    if extra != schedule.extra_bytes:
        raise ContractError(f"the schedule states {schedule.extra_bytes} extra bytes, a recount gives {extra}", where=mapped.graph.name)
    if schedule.lower_bound_bytes > extra or (schedule.proven and schedule.lower_bound_bytes < extra):
        bound = f"a lower bound of {schedule.lower_bound_bytes} (proven: {schedule.proven})"
        raise ContractError(f"{bound} contradicts {extra} extra bytes", where=mapped.graph.name)


def _check_order(block: MappedBlock, plan: BlockSchedule) -> None:
    if sorted(plan.order) != list(range(len(block.operators))):
        raise ContractError("the order does not run each operator once", where=block.name)
    if len(plan.alternatives) != len(block.operators):
        raise ContractError(f"{len(plan.alternatives)} alternatives are chosen for {len(block.operators)} operators", where=block.name)
    maker = {tensor: index for index, item in enumerate(block.operators) for tensor in item.writes}
    done: set[int] = set()
    for index in plan.order:
        item = block.operators[index]
        if not 0 <= plan.alternatives[index] < len(item.alternatives):
            raise ContractError(f"alternative {plan.alternatives[index]} of {len(item.alternatives)} is chosen", where=item.operator)
        for tensor in item.reads:
            if maker.get(tensor, index) != index and maker[tensor] not in done:
                raise ContractError(f"runs before {tensor!r} is made", where=item.operator)
        done.add(index)


def _check_places(block: MappedBlock, plan: BlockSchedule, capacity: int, limited: bool) -> None:
    steps = len(plan.order)
    live: list[list[Residency]] = [[] for _ in range(steps)]
    for stay in plan.residencies:
        tensor = block.tensors.get(stay.tensor)
        if tensor is None or stay.bytes < _least_bytes(block, plan, stay, tensor):
            raise ContractError(f"{stay.bytes} bytes are kept for {stay.tensor!r}, which is unknown or larger", where=block.name)
        if not -1 <= stay.first < stay.last <= steps:
            raise ContractError(f"{stay.tensor!r} stays from step {stay.first} to {stay.last} of {steps}", where=block.name)
        if stay.address < 0 or stay.address + stay.bytes > capacity:
            raise ContractError(f"{stay.tensor!r} lies at {stay.address}, outside the capacity of {capacity}", where=block.name)
        for step in range(max(0, stay.first), min(stay.last, steps - 1) + 1):
            live[step].append(stay)
    for step, index in enumerate(plan.order):
        item = block.operators[index]
        need = item.alternatives[plan.alternatives[index]].working_set_bytes
        used = sum(stay.bytes for stay in live[step])
        if limited and used + need > capacity:
            names = ", ".join(repr(stay.tensor) for stay in live[step]) or "nothing kept"
            raise ContractError(f"needs {need} bytes beside {used} ({names}), more than {capacity}", where=item.operator)
        ordered = sorted(live[step], key=lambda stay: stay.address)
        for low, high in pairwise(ordered):
            if low.address + low.bytes > high.address:
                raise ContractError(f"{low.tensor!r} and {high.tensor!r} lie in one place", where=item.operator)


def _least_bytes(block: MappedBlock, plan: BlockSchedule, stay: Residency, tensor: Tensor) -> int:
    """What a residency takes: the tensor, or the part of it that the operator at its beginning writes in place."""
    if tensor.alias_of is None or not 0 <= stay.first < len(plan.order):
        return tensor.stored_bytes
    return min(tensor.stored_bytes, block.operators[plan.order[stay.first]].writes.get(stay.tensor, tensor.stored_bytes))


@dataclass(slots=True)
class _Replay:
    """One block, replayed; ``stored`` holds the storages of which the off-chip copy is whole."""

    mapped: MappedGraph
    block: MappedBlock
    plan: BlockSchedule
    stored: set[str] = field(default_factory=set)
    traffic: list[tuple[dict[str, int], dict[str, int]]] = field(default_factory=list)

    def bytes(self) -> int:
        """Off-chip bytes of all rounds."""
        block, plan = self.block, self.plan
        off_chip = {name for name, memory in self.mapped.hardware.memories.items() if memory.off_chip}
        self.traffic = [_traffic(item.alternatives[pick], off_chip) for item, pick in zip(block.operators, plan.alternatives, strict=True)]
        self._check_kept()
        self._check_wraps()
        made = {tensor for item in block.operators for tensor in item.writes}
        self.stored = {tensor for item in block.operators for tensor in item.reads if tensor not in made}
        if block.count == 1:
            return self._round(True, True)
        total = self._round(True, False)
        if block.count > 2:
            total += (block.count - 2) * self._round(False, False)
        return total + self._round(False, True)

    def _check_kept(self) -> None:
        for index, _ in (*self.plan.kept_reads, *self.plan.kept_writes):
            if not 0 <= index < len(self.block.operators):
                raise ContractError(f"transfers of operator {index} are kept, which is not there", where=self.block.name)
        for index, tensor in self.plan.kept_reads:
            if tensor not in self.block.operators[index].reads:
                raise ContractError(f"a load of {tensor!r} is kept, which it does not read", where=self.block.operators[index].operator)
        for index, tensor, nbytes in self.plan.kept_parts:
            if not 0 <= index < len(self.block.operators) or nbytes < 0 or nbytes > self.traffic[index][0].get(tensor, 0):
                raise ContractError(f"{nbytes} bytes of a load of {tensor!r} are kept, more than there are", where=self.block.name)
            if (index, tensor) in self.plan.kept_reads or sum((index, tensor) == other[:2] for other in self.plan.kept_parts) > 1:
                raise ContractError(f"a load of {tensor!r} is kept twice", where=self.block.operators[index].operator)
        for index, tensor in self.plan.kept_writes:
            item = self.block.operators[index]
            described = self.block.tensors.get(tensor)
            if tensor not in item.writes or described is None:
                raise ContractError(f"a store of {tensor!r} is kept, which it does not write", where=item.operator)
            if described.alias_of is not None or described.role in (Role.KV_CACHE, Role.OPTIMIZER_STATE):
                raise ContractError(f"the store of {tensor!r} is kept, which must outlive the run", where=item.operator)

    def _check_wraps(self) -> None:
        """A tensor that is there when a round begins was left there by the round before: in the same place, or in one that the two change
        with each other from round to round, so that both places must be free of others as long as either is there."""
        block, steps = self.block, len(self.plan.order)
        leavers = {stay.tensor: stay for stay in self.plan.residencies if stay.last >= steps}
        source = {inner: output for output, inner in block.carried}
        for stay in self.plan.residencies:
            if stay.first >= 0:
                continue
            before = leavers.get(source.get(stay.tensor, stay.tensor))
            again = stay.tensor in source or stay.tensor in block.shared
            if block.count < 2 or not again or before is None or before.bytes != stay.bytes or not self._handed_on(before, stay):
                what = f"{stay.tensor!r} is taken to be on chip when a round begins, but no round leaves it there"
                raise ContractError(what, where=block.name)

    def _handed_on(self, leaves: Residency, enters: Residency) -> bool:
        """Whether what one round leaves in its place is what the next one finds, be it that they change places."""
        if leaves.address == enters.address:
            return True
        if leaves.tensor == enters.tensor:
            return False
        for stay in self.plan.residencies:
            meets = stay.first <= enters.last or stay.last >= leaves.first
            over = any(stay.address < one.address + one.bytes and one.address < stay.address + stay.bytes for one in (leaves, enters))
            if meets and over and stay not in (leaves, enters):
                return False
        return True

    def _round(self, first: bool, last: bool) -> int:
        block, plan = self.block, self.plan
        stays: dict[str, list[Residency]] = {}
        for stay in plan.residencies:
            stays.setdefault(stay.tensor, []).append(stay)
        present: set[str] = set() if first else {stay.tensor for stay in plan.residencies if stay.first < 0}
        if not first:
            self.stored.difference_update(inner for output, inner in block.carried if output not in self.stored)
            self.stored.update(inner for output, inner in block.carried if output in self.stored)
        total = 0
        most: dict[str, int] = {}
        for index, tensor in plan.kept_reads:
            most[tensor] = max(most.get(tensor, 0), block.operators[index].reads[tensor])
        for step, index in enumerate(plan.order):
            item = block.operators[index]
            loads, stores = self.traffic[index]
            present = {name for name in present if any(stay.first < step <= stay.last for stay in stays[name])}
            for tensor in item.reads:
                if (index, tensor) in plan.kept_reads and tensor in present:
                    continue
                if (index, tensor) in plan.kept_reads and not (first and any(stay.first < 0 for stay in stays.get(tensor, ()))):
                    raise ContractError(f"the load of {tensor!r} is kept, but it is not on chip", where=item.operator)
                if tensor not in self.stored and tensor in loads:
                    raise ContractError(f"loads {tensor!r}, of which no copy was stored off chip", where=item.operator)
                total += loads.get(tensor, 0) - self._part(index, step, tensor, stays)
                seeded = (index, tensor) in plan.kept_reads and item.reads[tensor] == most[tensor]
                begins = any(stay.first == step for stay in stays.get(tensor, ()))
                if seeded or (begins and tensor in loads and self._whole(item.reads[tensor], tensor)):
                    present.add(tensor)
            total += sum(nbytes for tensor, nbytes in loads.items() if tensor not in item.reads)
            for tensor, nbytes in stores.items():
                held_back = (index, tensor) in plan.kept_writes
                if held_back and last and tensor in block.leaving and any(stay.last >= len(plan.order) for stay in stays.get(tensor, ())):
                    held_back = False
                total += 0 if held_back else nbytes
            for tensor in item.writes:
                kept = (index, tensor) in plan.kept_writes
                rescued = last and any(stay.last >= len(plan.order) for stay in stays.get(tensor, ()))
                if not kept or rescued:
                    self.stored.add(tensor)
                else:
                    self.stored.discard(tensor)
                if any(stay.first == step for stay in stays.get(tensor, ())) and self._all_there(item.writes[tensor], tensor):
                    present.add(tensor)
        self._check_round_end(last)
        return total

    def _part(self, index: int, step: int, tensor: str, stays: dict[str, list[Residency]]) -> int:
        """Bytes of a load that were written in place by an operator of this round and have stayed since."""
        kept = sum(nbytes for other, name, nbytes in self.plan.kept_parts if (other, name) == (index, tensor))
        there = [stay for stay in stays.get(tensor, ()) if 0 <= stay.first < step <= stay.last]
        most = max((self.block.operators[self.plan.order[stay.first]].writes.get(tensor, 0) for stay in there), default=0)
        if kept > most:
            what = f"{kept} bytes of the load of {tensor!r} are kept, of which {most} are on chip"
            raise ContractError(what, where=self.block.operators[index].operator)
        return kept

    def _whole(self, nbytes: int, tensor: str) -> bool:
        described = self.block.tensors.get(tensor)
        return described is not None and nbytes >= described.stored_bytes

    def _all_there(self, nbytes: int, tensor: str) -> bool:
        """Whether a writer of ``nbytes`` leaves all of ``tensor`` that is read on chip: an update in place of a part of it does not."""
        described = self.block.tensors.get(tensor)
        if described is None or described.alias_of is None:
            return True
        return all(self.block.operators[index].reads[name] <= nbytes for index, name in self.plan.kept_reads if name == tensor)

    def _check_round_end(self, last: bool) -> None:
        steps = len(self.plan.order)
        if last:
            for tensor in self.block.leaving:
                made = any(tensor in item.writes for item in self.block.operators)
                if made and tensor not in self.stored:
                    raise ContractError(f"{tensor!r} is used after the block, but no copy of it was stored", where=self.block.name)
            return
        on_chip = {stay.tensor for stay in self.plan.residencies if stay.last >= steps}
        for output, inner in self.block.carried:
            made = any(output in item.writes for item in self.block.operators)
            if made and output not in self.stored and output not in on_chip:
                what = f"{output!r} becomes {inner!r} of the next round, but is neither stored nor on chip"
                raise ContractError(what, where=self.block.name)


def _traffic(alternative: Alternative, off_chip: set[str]) -> tuple[dict[str, int], dict[str, int]]:
    repeated = alternative.pattern if isinstance(alternative, PlannedLater) else None
    same, names = (alternative, {}) if repeated is None else repeated
    loads: dict[str, int] = {}
    stores: dict[str, int] = {}
    for stage in same.stages:
        for segment in stage.segments:
            for move in segment.transfers:
                name = names.get(move.tensor, move.tensor)
                for memory, into in ((move.source, loads), (move.target, stores)):
                    if memory in off_chip:
                        into[name] = into.get(name, 0) + segment.repeat * move.bytes
    return loads, stores


def _ideal_bytes(mapped: MappedGraph) -> int:
    """Off-chip bytes on a machine with room for everything: what is new is loaded, what must outlive the run is stored."""
    operators = [node for node in mapped.graph.nodes if isinstance(node, Operator)]
    views = {name: node.inputs[0] for node in operators if node.kind == "view" for name in node.outputs}
    outputs = set()
    for name in mapped.graph.outputs:
        while name in views:
            name = views[name]
        outputs.add(name)
    seen: dict[str, int] = {}
    total = 0
    for block in mapped.blocks:
        slices = {"slice/" + outer: seen.get("slice/" + outer) for outer in block.stacked.values()}
        total += _ideal_round(block, seen, outputs, block.count == 1)
        if block.count > 1:
            fresh = {name: amount for name, amount in seen.items() if not name.startswith("round/")}
            fresh.update({name: amount for name, amount in slices.items() if amount is not None})  # each round has another slice
            for _, name in block.carried:
                fresh[block.entering.get(name, name)] = fresh["round/" + name] = 1 << 62
            total += (block.count - 2) * _ideal_round(block, dict(fresh), outputs, False) + _ideal_round(block, fresh, outputs, True)
            seen.update({name: amount for name, amount in fresh.items() if not name.startswith("round/")})
        for name, outer in block.stacked.items():
            seen["slice/" + outer] = max(seen.get("slice/" + outer, 0), seen.get("round/" + name, 0))
        for name in [name for name in seen if name.startswith("round/")]:
            del seen[name]
    return total


def _ideal_round(block: MappedBlock, seen: dict[str, int], outputs: set[str], last: bool) -> int:
    """Bytes of one round; ``seen`` maps storages to bytes that are on the chip, and learns the new ones."""
    total = 0
    born: set[str] = set()
    outside = {*block.entering, *block.shared} if block.count > 1 else set(block.tensors)

    def storage(name: str) -> str:
        while (tensor := block.tensors.get(name)) is not None and tensor.alias_of is not None:
            name = tensor.alias_of
        return name

    def key(name: str) -> str:
        outer = block.stacked.get(name)
        if outer is not None and outer in seen:  # an operator has made the whole stack
            return outer
        if outer is not None and "slice/" + outer in seen:
            return "slice/" + outer
        whole = block.entering.get(name, name)
        if name in outside and "slice/" + whole in seen:  # and one may read the whole of what rounds have made
            return "slice/" + whole
        return whole if name in outside else "round/" + name

    for item in block.operators:
        for name, nbytes in item.reads.items():
            place = key(storage(name))
            missing = nbytes - seen.get(place, 0)
            if missing > 0:
                total += missing
                seen[place] = nbytes
        for name, nbytes in item.writes.items():
            base = storage(name)
            place = key(base)
            if base == name:
                born.add(name)
                seen[place] = 1 << 62
            else:
                seen[place] = seen.get(place, 0) + nbytes
            outer = block.leaving.get(name, name if block.count == 1 else "")
            if outer:
                seen[outer] = 1 << 62
            persists = base not in born or block.tensors[base].role in (Role.KV_CACHE, Role.OPTIMIZER_STATE)
            if base in born and base in block.stacked:
                persists = block.stacked[base] in outputs
            if persists or (last and outer in outputs):
                total += nbytes
    return total
