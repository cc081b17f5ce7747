"""Equal operators are mapped once per run: what makes two operators equal, and how a mapping is handed from one to the other."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

from mappings.dataflow import Alternative, MappedOperator, PlannedLater, Segment, Stage, Transfer
from workloads.graph import Operator, Tensor

_NAMES = frozenset(("fused",))
"""Attributes that only name other operators."""


def operator_names(operator: Operator) -> tuple[str, ...]:
    """The tensors of an operator in the order in which two equal operators correspond (each name once)."""
    return tuple(dict.fromkeys((*operator.inputs, *operator.outputs, *operator.internal)))


class Numbers:
    """A number for each distinct value. Hashing an axis or a format is slow and the same few objects come again and again, so an object
    is hashed when it is first seen and known by its identity after that."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}
        self._values: dict[Hashable, int] = {}
        self._kept: list[Hashable] = []

    def of(self, value: Hashable) -> int:
        """The number of ``value``; equal values have the same."""
        found = self._known.get(id(value))
        if found is None:
            found = self._known[id(value)] = self._values.setdefault(value, len(self._values))
            self._kept.append(value)  # so that no other object takes its identity
        return found


def fingerprint(operator: Operator, tensors: Mapping[str, Tensor], names: tuple[str, ...], numbers: Numbers) -> Hashable:
    """A key that is equal for two operators exactly if a mapper must treat them alike: everything but names and origin.

    ``numbers`` is one for all keys that are compared.
    """
    number = numbers.of
    index = {name: place for place, name in enumerate(names)}
    nests = tuple(
        [
            (
                nest.dims,
                nest.function,
                nest.vector_ops,
                tuple([(index[operand.tensor], number(operand.axes)) for operand in nest.reads]),
                tuple([(index[operand.tensor], number(operand.axes)) for operand in nest.writes]),
            )
            for nest in operator.nests
        ]
    )
    kinds = []
    for name in names:
        tensor = operator.internal.get(name) or tensors[name]
        alias = index.get(tensor.alias_of, -1) if tensor.alias_of is not None else -2
        kinds.append((tensor.shape, number(tensor.format), tensor.role, number(tensor.sparsity), alias, tensor.region_bytes))
    return (
        operator.kind,
        tuple([index[name] for name in operator.inputs]),
        tuple([index[name] for name in operator.outputs]),
        nests,
        tuple(kinds),
        tuple(sorted([item for item in operator.attributes.items() if item[0] not in _NAMES])),
        tuple(sorted([(index[name], size) for name, size in operator.read_bytes.items() if name in index])),
    )


def handed_to(mapped: MappedOperator, name: str, names: Mapping[str, str]) -> MappedOperator:
    """``mapped`` for an equal operator called ``name``, its tensors renamed by ``names`` (names that it lacks stay)."""
    if all(old == new for old, new in names.items()):
        return mapped if mapped.operator == name else replace(mapped, operator=name)
    return MappedOperator(
        name,
        mapped.kind,
        mapped.unit,
        tuple([_handed(alternative, names) for alternative in mapped.alternatives]),
        mapped.rejected,
        mapped.fell_back_from,
        mapped.macs,
        mapped.executed_macs,
        mapped.vector_ops,
        mapped.compute_format,
        mapped.pattern,
        renamed_sizes(mapped.reads, names),
        renamed_sizes(mapped.writes, names),
        training_pass=mapped.training_pass,
    )


def _handed(alternative: Alternative, names: Mapping[str, str]) -> Alternative:
    if alternative.queues > 1:
        return _renamed(alternative, names)
    return PlannedLater(
        alternative.name,
        alternative.working_set_bytes,
        alternative.cycles_estimate,
        alternative.notes,
        lambda: _renamed(alternative, names),
        (alternative, names),
    )


def _renamed(alternative: Alternative, names: Mapping[str, str]) -> Alternative:
    done: dict[int, tuple[Transfer, ...]] = {}
    return Alternative(
        alternative.name,
        tuple([_renamed_stage(stage, names, done) for stage in alternative.stages]),
        alternative.edges,
        alternative.working_set_bytes,
        alternative.cycles_estimate,
        alternative.actions,
        alternative.breakdown,
        alternative.notes,
        alternative.queues,
    )


def _renamed_stage(stage: Stage, names: Mapping[str, str], done: dict[int, tuple[Transfer, ...]]) -> Stage:
    for segment in stage.segments:
        if segment.transfers:
            break
    else:
        return stage
    segments = []
    for segment in stage.segments:
        moved = done.get(id(segment.transfers))
        if moved is None:
            moved = tuple([Transfer(names.get(t.tensor, t.tensor), t.bytes, t.source, t.target, t.access_bytes) for t in segment.transfers])
            done[id(segment.transfers)] = moved
        segments.append(Segment(segment.repeat, segment.cycles, moved))
    return Stage(stage.name, stage.unit, tuple(segments), stage.overlap, stage.work)


def renamed_sizes(sizes: Mapping[str, int], names: Mapping[str, str]) -> dict[str, int]:
    """Two views of one tensor become one entry: their bytes add up."""
    total: dict[str, int] = {}
    for old, size in sizes.items():
        new = names.get(old, old)
        total[new] = total.get(new, 0) + size
    return total
