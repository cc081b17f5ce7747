"""Who makes and who uses each tensor of a mapped block, and which off-chip bytes no schedule can save.

A tensor with ``alias_of`` shares the storage of the tensor that it updates in place, so lifetimes are those of storages, called by
their *root* name. (Views are gone by now: the mapping names the tensor behind them.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mappings.dataflow import MappedBlock, MappedGraph
from workloads.graph import OperatorGraph, Repeat, Role

PERSISTENT = frozenset({Role.KV_CACHE, Role.OPTIMIZER_STATE})
"""Roles whose storage outlives a run: what is written to them must reach the off-chip memory (updates in place of older tensors too)."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Makers and users of the storages of one block.

    Attributes:
        root: tensor name to the name of its storage.
        made: root to the index of the operator that first writes it, for storages that the block produces.
        reads: root to ((operator index, tensor name, compulsory bytes), ...) in program order; ``writes``: the same for writes.
        persistent: roots that outlive the run or a round: caches, optimizer state, whatever was there before and is updated in place, and
            slices of stacked tensors.
        leaving: roots that are used after the block, last round.
    """

    root: Mapping[str, str]
    made: Mapping[str, int]
    reads: Mapping[str, tuple[tuple[int, str, int], ...]]
    writes: Mapping[str, tuple[tuple[int, str, int], ...]]
    persistent: frozenset[str]
    leaving: frozenset[str]


def lifetimes(block: MappedBlock) -> Lifetimes:
    """Makers and users of every storage of ``block``."""
    tensors = block.tensors
    root: dict[str, str] = {}
    for name in tensors:
        base = name
        while (tensor := tensors.get(base)) is not None and tensor.alias_of is not None and tensor.alias_of != base:
            base = tensor.alias_of
        root[name] = base
    made: dict[str, int] = {}
    reads: dict[str, list[tuple[int, str, int]]] = {}
    writes: dict[str, list[tuple[int, str, int]]] = {}
    for index, item in enumerate(block.operators):
        for name, nbytes in item.reads.items():
            reads.setdefault(root.get(name, name), []).append((index, name, nbytes))
        for name, nbytes in item.writes.items():
            base = root.get(name, name)
            writes.setdefault(base, []).append((index, name, nbytes))
            if base == name:
                made.setdefault(name, index)
    persistent = {base for base in writes if base not in made or (base in tensors and tensors[base].role in PERSISTENT)}
    persistent |= made.keys() & block.stacked.keys()
    return Lifetimes(
        root, made, {base: tuple(uses) for base, uses in reads.items()}, {base: tuple(uses) for base, uses in writes.items()},
        frozenset(persistent), frozenset(root.get(name, name) for name in block.leaving),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Compulsory:
    """Off-chip bytes that no schedule of the graph can save.

    Attributes:
        reads, writes: bytes by (block index, operator index), all rounds: the first load of each input, weight, cache and state, booked at
            its first reader; one write of each graph output and of each update of a persistent storage, booked at its writer.
    """

    reads: Mapping[tuple[int, int], int]
    writes: Mapping[tuple[int, int], int]

    @property
    def bytes(self) -> int:
        """All compulsory bytes."""
        return sum(self.reads.values()) + sum(self.writes.values())


def compulsory(mapped: MappedGraph, lives: tuple[Lifetimes, ...] | None = None) -> Compulsory:
    """The graph's compulsory off-chip bytes: intermediates are free, everything that enters is loaded once, what leaves is stored once.

    A storage that several operators read counts the largest of their reads (they may read the same part). Bytes that the
    block itself appended to a cache before need not be loaded. In a repeat, weights and caches that are not shared are other ones in each
    round; shared ones count once; carried inputs enter in the first round only.
    """
    lives = lives if lives is not None else tuple(lifetimes(block) for block in mapped.blocks)
    outer_made = {block.leaving.get(name, name) for block, life in zip(mapped.blocks, lives, strict=True) for name in life.made}
    outer_made.update(outer for block in mapped.blocks for outer in block.leaving.values())
    outer_made.update(
        block.stacked[name] for block, life in zip(mapped.blocks, lives, strict=True) for name in life.made if name in block.stacked
    )
    graph_outputs = resolved_outputs(mapped.graph)
    loaded: dict[str, int] = {}
    reads: dict[tuple[int, int], int] = {}
    writes: dict[tuple[int, int], int] = {}
    for number, (block, life) in enumerate(zip(mapped.blocks, lives, strict=True)):
        once = _single_instances(block)
        for name, uses in life.reads.items():
            if name in life.made:
                continue
            key = block.entering.get(name, name) if name in once else block.stacked.get(name, f"{number}:{name}")
            if key in outer_made:
                continue
            rounds = 1 if name in once else block.count
            for index, _, nbytes in uses:
                appended = sum(part for writer, _, part in life.writes.get(name, ()) if writer < index)
                missing = nbytes - appended - loaded.get(key, 0)
                if missing > 0:
                    reads[number, index] = reads.get((number, index), 0) + rounds * missing
                    loaded[key] = nbytes - appended
        for name, uses in life.writes.items():
            for index, tensor, nbytes in uses:
                leaves = block.leaving.get(tensor, tensor if block.count == 1 else "") in graph_outputs
                rounds = block.count if name in life.persistent else 1 if leaves else 0
                if name in life.made and name in block.stacked and block.stacked[name] not in graph_outputs:
                    rounds = int(leaves)  # a chip with room for all slices would keep them
                if rounds:
                    writes[number, index] = writes.get((number, index), 0) + rounds * nbytes
    return Compulsory(reads, writes)


def resolved_outputs(graph: OperatorGraph) -> frozenset[str]:
    """The graph's outputs, each view replaced by the tensor that it is a view of."""
    behind = {
        output: node.inputs[0]
        for node in graph.nodes
        if not isinstance(node, Repeat) and node.kind == "view" and node.inputs
        for output in node.outputs
    }
    names = set()
    for name in graph.outputs:
        while name in behind:
            name = behind[name]
        names.add(name)
    return frozenset(names)


def _single_instances(block: MappedBlock) -> set[str]:
    """Block tensors that are one tensor of the enclosing graph, not another one in each round."""
    if block.count == 1:
        return set(block.tensors)
    return {*block.shared, *(inner for _, inner in block.carried), *block.entering} - block.stacked.keys()
