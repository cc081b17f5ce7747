"""What a mapper promises, checked where its answer is accepted: no time below the data sheet, no byte below compulsory, names that exist.

Answers of plug-ins are checked at run time, once for each distinct operator. The built-in mappers are held to the same checks by the
tests, over the whole zoo and library, so that a run does not pay for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from numbers import Integral, Real

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.errors import ContractError
from mappings.dataflow import LINK, PORT, Alternative, MappedOperator, Segment, Stage
from mappings.rates import mac_rate, operations
from workloads.graph import Operator, Tensor

PROMISES = "docs/adding-a-unit.md lists what a mapper promises"
PARTIAL_SUMS = "partial sums"
"""Name of unfinished results in transfers: bytes that no operator made."""
_SLACK = 1 - 1e-9
"""Rates and cycles are compared as floats."""
_NAMED_BROKEN = 3


def check_promises(mapped: MappedOperator, operator: Operator, tensors: Mapping[str, Tensor], kind: str, hardware: Hardware) -> None:
    """Hold the answer of a mapper (``reads`` and ``writes`` filled in) to what every mapper promises.

    Raises:
        ContractError: naming the mapper's kind, the operator and each promise that is broken.
    """
    broken = list(dict.fromkeys(_broken(mapped, operator, tensors, hardware)))
    if broken:
        more = f"; and {len(broken) - _NAMED_BROKEN} more" if len(broken) > _NAMED_BROKEN else ""
        text = "; ".join(broken[:_NAMED_BROKEN]) + more
        raise ContractError(f"the mapper of kind {kind!r} breaks its promises: {text}", where=operator.name, hint=PROMISES)


def _broken(mapped: MappedOperator, operator: Operator, tensors: Mapping[str, Tensor], hardware: Hardware) -> Iterator[str]:
    unit = hardware.units.get(mapped.unit)
    if unit is None:
        yield f"the operator's unit {mapped.unit!r} is not in the spec, which has {', '.join(hardware.units)}"
        return
    yield from _work(mapped, operator, tensors, unit)
    for alternative in mapped.alternatives:
        found = list(_alternative(alternative, operator, hardware))
        yield from found
        if not found:
            yield from _time(alternative, mapped, unit, hardware)
            yield from _traffic(alternative, mapped, hardware)


def _work(mapped: MappedOperator, operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit) -> Iterator[str]:
    if mapped.macs != operator.macs:
        yield f"macs is {mapped.macs}, the operator has {operator.macs}"
    dense = all(tensor.sparsity.kind == "dense" for tensor in _operands(operator, tensors))
    if dense and operator.kind != "attention" and mapped.executed_macs < operator.macs:  # attention may skip what its mask hides
        yield f"executed_macs is {mapped.executed_macs} for {operator.macs} MACs of dense tensors"
    elif mapped.executed_macs < 0 or (operator.macs and mapped.executed_macs == 0):
        yield f"executed_macs is {mapped.executed_macs} for {operator.macs} MACs"
    if mapped.executed_macs > 0 and not unit.vector_rates and mac_rate(mapped, unit) is None:
        yield f"compute_format is {mapped.compute_format!r} ({mapped.pattern}), for which unit {unit.name!r} has no rate"


def _operands(operator: Operator, tensors: Mapping[str, Tensor]) -> Iterator[Tensor]:
    for nest in operator.nests:
        if nest.function == "mac":
            yield from (operator.internal.get(operand.tensor) or tensors[operand.tensor] for operand in nest.reads)


def _alternative(alternative: Alternative, operator: Operator, hardware: Hardware) -> Iterator[str]:
    known = {*operator.inputs, *operator.outputs, *operator.internal, PARTIAL_SUMS}
    names = {stage.name for stage in alternative.stages}
    if len(names) < len(alternative.stages):
        yield f"{alternative.name!r}: two stages have one name"
    for stage in alternative.stages:
        yield from _stage(stage, known, hardware)
    for edge in alternative.edges:
        if edge.source not in names or edge.target not in names:
            yield f"an edge joins {edge.source!r} and {edge.target!r}, the stages are {_listed(names)}"
    yield from _actions(alternative, hardware)
    for name in ("working_set_bytes", "cycles_estimate"):
        if not _whole(getattr(alternative, name)):
            yield f"{name} is {getattr(alternative, name)!r}, not a whole number of at least 0"


def _stage(stage: Stage, known: set[str], hardware: Hardware) -> Iterator[str]:
    place = f"stage {stage.name!r}"
    if stage.unit.startswith(PORT):
        memory = hardware.memories.get(stage.unit.removeprefix(PORT))
        if memory is None or not memory.off_chip:
            off_chip = [PORT + name for name, memory in hardware.memories.items() if memory.off_chip]
            yield f"{place} runs on {stage.unit!r}; ports are {_listed(off_chip)}"
    elif stage.unit.startswith(LINK):
        if stage.unit.removeprefix(LINK) not in hardware.links:
            yield f"{place} runs on {stage.unit!r}; links are {_listed(LINK + name for name in hardware.links)}"
    elif stage.unit.partition(".")[0] not in hardware.units:  # of a unit's parts (array.reduction) the name counts up to the dot
        yield f"{place} runs on {stage.unit!r}, which is no unit of the spec ({_listed(hardware.units)}) and no port ({PORT}<memory>)"
    seen: set[tuple[str, str, str]] = set()
    for segment in stage.segments:
        if not _whole(segment.repeat) or not _whole(segment.cycles):
            yield f"{place} fires {segment.repeat!r} times for {segment.cycles!r} cycles: both are whole numbers of at least 0"
        for move in segment.transfers:
            if not _whole(move.bytes) or not _whole(move.access_bytes):
                yield f"{place} transfers {move.bytes!r} bytes of {move.tensor!r}: bytes are whole numbers of at least 0"
            seen.add((move.tensor, move.source, move.target))
    for tensor, source, target in seen:
        if tensor not in known:
            yield f"{place} transfers {tensor!r}, which is no tensor of the operator ({_listed(sorted(known))})"
        for end in (source, target):
            if end not in hardware.memories and end not in hardware.units:
                yield f"{place} transfers {tensor!r} between {source!r} and {target!r}; memories are {_listed(hardware.memories)}"


def _actions(alternative: Alternative, hardware: Hardware) -> Iterator[str]:
    for action, count in alternative.actions.items():
        owner, _, what = action.partition(".")
        known = (owner in hardware.memories and what in ("read.byte", "write.byte")) or (owner in hardware.links and what == "byte")
        if not (bool(what) if owner in hardware.units else known):
            yield f"it counts the action {action!r}; actions are <unit>.<action>, <memory>.read.byte and <memory>.write.byte"
        if not isinstance(count, Real) or not isfinite(count) or count < 0:
            yield f"it counts {count!r} of the action {action!r}"


def _time(alternative: Alternative, mapped: MappedOperator, unit: ComputeUnit, hardware: Hardware) -> Iterator[str]:
    """Busy cycles of the operator's unit against its work at the data sheet's rate; MACs and vector work may overlap."""
    busy = sum(stage.cycles for stage in alternative.stages if stage.unit == unit.name)
    rate = mac_rate(mapped, unit) or max(unit.vector_rates.values(), default=0.0)
    if mapped.executed_macs > 0 and rate:
        least = operations(mapped) * hardware.clock_hz / rate
        if busy < least * _SLACK:
            name = f"{mapped.compute_format} ({mapped.pattern})"
            yield f"{alternative.name!r} keeps unit {unit.name!r} busy for {busy} cycles; its MACs at the rate for {name} take {least:.0f}"
    if mapped.vector_ops > 0 and unit.vector_rates:
        least = mapped.vector_ops * hardware.clock_hz / max(unit.vector_rates.values())
        if busy < least * _SLACK:
            yield f"{alternative.name!r} keeps unit {unit.name!r} busy for {busy} cycles; vector work at the spec's rate takes {least:.0f}"


def _traffic(alternative: Alternative, mapped: MappedOperator, hardware: Hardware) -> Iterator[str]:
    """Bytes that each tensor moves from and to off-chip memory against the compulsory ones."""
    read: dict[str, int] = {}
    written: dict[str, int] = {}
    for segment in _segments(alternative.stages):
        for move in segment.transfers:
            off = hardware.memories.get(move.source), hardware.memories.get(move.target)
            if off[0] is not None and off[0].off_chip:
                read[move.tensor] = read.get(move.tensor, 0) + segment.repeat * move.bytes
            if off[1] is not None and off[1].off_chip:
                written[move.tensor] = written.get(move.tensor, 0) + segment.repeat * move.bytes
    for word, moved, least in (("reads", read, mapped.reads), ("writes", written, mapped.writes)):
        for name, size in least.items():
            if moved.get(name, 0) < size:
                yield f"{alternative.name!r} {word} {moved.get(name, 0)} bytes of {name!r}; {size} are compulsory"


def _segments(stages: Iterable[Stage]) -> Iterator[Segment]:
    return (segment for stage in stages for segment in stage.segments)


def _whole(value: object) -> bool:
    if type(value) is int:
        return value >= 0
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
