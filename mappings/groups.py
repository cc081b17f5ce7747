"""Groups: consecutive operators of a block that may run as one dataflow graph.

Layer by layer, operators of a block run one after the other with a barrier between them. A *group* is a choice beside that: a chain whose
tiles go from operator to operator without leaving the chip (``mappings.chains``), or branches that run side by side
(``mappings.branches``). A group is a ``MappedOperator`` like any other, with the operators that it stands for as ``members``; whether it is
taken is decided by playing it (``simulator.selection``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hwspecs.hardware import Hardware
from hwspecs.vocabulary.errors import ContractError
from hwspecs.vocabulary.records import dataclass
from mappings.dataflow import Alternative, MappedBlock, MappedGraph, MappedOperator
from mappings.mapping import parts_of, view_roots
from workloads.graph import Operator, Repeat, Tensor

PIPELINE = "layer pipeline"
"""Kind of a group whose members work side by side, each on resources of its own."""


@dataclass(frozen=True, slots=True)
class Group:
    """Operators ``first`` to ``last`` (inclusive, indices into ``MappedBlock.operators``) run as ``mapped``.

    ``mapped.reads`` and ``mapped.writes`` are the tensors that cross the group's border; what stays inside is not among them.
    """

    first: int
    last: int
    mapped: MappedOperator


@dataclass(frozen=True, slots=True)
class Stretch:
    """A block as those see it who look for groups: its operators as mapped alone and as they came, index by index.

    Attributes:
        roots: output of a view to the tensor whose bytes it names; mapped operators name that one.
        outside: tensors (by root) that are used after the block, slices of stacks among them, or carried to its next round, so that they
            must leave.
    """

    block: MappedBlock
    operators: tuple[Operator, ...]
    tensors: Mapping[str, Tensor]
    roots: Mapping[str, str]
    outside: frozenset[str]
    hardware: Hardware

    def users(self) -> dict[str, list[int]]:
        """Tensor (by root) to the indices of the operators that read it."""
        found: dict[str, list[int]] = {}
        for index, item in enumerate(self.block.operators):
            for name in item.reads:
                found.setdefault(name, []).append(index)
        return found

    def border(self, first: int, last: int) -> tuple[dict[str, int], dict[str, int], tuple[str, ...]]:
        """(reads, writes, inner tensors) of operators ``first`` to ``last`` run as one.

        Reads are what none of them wrote before (the largest of several reads of one tensor; of a cache that one of them extends, what was
        in it before), writes what somebody needs afterwards: a later operator, the next round, whoever comes after the block; caches and
        states too. Inner tensors are written and used here only.
        """
        items = self.block.operators[first : last + 1]
        later = {name for item in self.block.operators[last + 1 :] for name in item.reads}
        reads: dict[str, int] = {}
        writes: dict[str, int] = {}
        inner: list[str] = []
        made: dict[str, int] = {}
        for item in items:
            for name, size in item.reads.items():
                rest = size - made.get(name, 0)
                if rest > 0 and (name not in made or self.extended(name) != name):
                    source = self.extended(name) if name in made else name
                    reads[source] = max(rest, reads.get(source, 0))
            for name, size in item.writes.items():
                made[name] = size
                tensor = self.block.tensors.get(name)
                updates = tensor is not None and tensor.alias_of is not None
                if name in later or name in self.outside or updates:
                    writes[name] = size
                else:
                    inner.append(name)
        return reads, writes, tuple(inner)

    def extended(self, name: str) -> str:
        """The storage that ``name`` adds a region to (a cache that is appended to), as it was before; else ``name`` itself."""
        tensor = self.block.tensors.get(name)
        if tensor is None or tensor.alias_of is None or not 0 < tensor.region_bytes < tensor.stored_bytes:
            return name
        return tensor.alias_of


def stretches(mapped: MappedGraph) -> tuple[Stretch, ...]:
    """The blocks of ``mapped`` with the operators that they were made from."""
    parts = parts_of(mapped.graph)
    outer = view_roots([node for part in parts if not isinstance(part, Repeat) for node in part])
    found = []
    for part, block in zip(parts, mapped.blocks, strict=True):
        if isinstance(part, Repeat):
            operators = tuple(node for node in part.body.nodes if isinstance(node, Operator))
            tensors: Mapping[str, Tensor] = part.body.tensors
            roots = view_roots(list(operators))
        else:
            operators, tensors, roots = tuple(part), mapped.graph.tensors, outer
        outside = frozenset((*block.leaving, *block.stacked, *(output for output, _ in block.carried), *mapped.graph.outputs))
        found.append(Stretch(block, operators, tensors, roots, outside, mapped.hardware))
    return tuple(found)


def standing_for(stretch: Stretch, first: int, last: int, kind: str, alternatives: Sequence[Alternative], unit: str = "") -> MappedOperator:
    """The operator of a group: sums of its members' work, the format and pattern of the one with most MACs.

    Args:
        kind: what the group is (``fused chain``, ``branches``).
        alternatives: ways to run it, best first.
        unit: where most of its work is done; the members' busiest by MACs if empty.
    """
    items = stretch.block.operators[first : last + 1]
    chief = max(items, key=lambda item: (item.macs, item.vector_ops))
    reads, writes, _ = stretch.border(first, last)
    working = [item for item in items if item.kind != "view"]
    return MappedOperator(
        f"{working[0].operator} .. {working[-1].operator}" if len(working) > 1 else items[0].operator,
        kind,
        unit or chief.unit,
        tuple(alternatives),
        macs=sum(item.macs for item in items),
        executed_macs=sum(item.executed_macs for item in items),
        vector_ops=sum(item.vector_ops for item in items),
        compute_format=chief.compute_format,
        pattern=chief.pattern,
        reads=reads,
        writes=writes,
        members=items,
        training_pass=chief.training_pass if len({item.training_pass for item in working}) == 1 else "",
    )


def with_groups(mapped: MappedGraph, chosen: Mapping[int, Iterable[Group]]) -> MappedGraph:
    """``mapped`` with the groups of ``chosen`` (by block index) in place of their members; without any, ``mapped`` itself.

    Raises:
        ContractError: two groups share an operator, or a group reaches beyond its block.
    """
    blocks = list(mapped.blocks)
    for number, groups in chosen.items():
        block = blocks[number]
        operators: list[MappedOperator] = []
        place = 0
        gone: set[str] = set()
        for group in sorted(groups, key=lambda item: item.first):
            if group.first < place or not group.first <= group.last < len(block.operators):
                raise ContractError("groups of operators overlap or leave their block", where=group.mapped.operator)
            operators.extend(block.operators[place : group.first])
            operators.append(group.mapped)
            for item in block.operators[group.first : group.last + 1]:
                gone.update(item.writes.keys() - group.mapped.writes.keys())
            place = group.last + 1
        operators.extend(block.operators[place:])
        tensors = {name: tensor for name, tensor in block.tensors.items() if name not in gone}
        blocks[number] = replace(block, operators=tuple(operators), tensors=tensors)
    return replace(mapped, blocks=tuple(blocks)) if chosen else mapped
