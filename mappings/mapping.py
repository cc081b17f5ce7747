"""From an operator graph to blocks of mapped operators."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.errors import ContractError, CyclewrightError, UnsupportedError
from mappings.compulsory import compulsory_reads, compulsory_writes
from mappings.dataflow import PORT, Alternative, MappedBlock, MappedGraph, MappedOperator, Rejected, Segment, Stage, Transfer
from mappings.flatten import flat_repeat, tensors_of
from mappings.fpga import exceeded
from mappings.memo import Numbers, fingerprint, handed_to, operator_names
from mappings.promises import PROMISES, check_promises
from mappings.registry import Mapper, Unmappable, find_mapper, is_built_in, mapper_kinds, plug_in_fault
from workloads.graph import Operator, OperatorGraph, Repeat, Tensor

if TYPE_CHECKING:
    from mappings.cores import Splitter

_SHOWN_NAMES = 4


def map_graph(graph: OperatorGraph, hardware: Hardware) -> MappedGraph:
    """Map every operator of ``graph`` onto the units of ``hardware``.

    A straight stretch of operators becomes a block that runs once, a ``Repeat`` one that runs ``count`` times (repeats inside
    it are flattened, see ``mappings.flatten``). Each operator is offered to the primary unit's mapper and, where that one
    declines, along ``ComputeUnit.fallback``; it is then marked ``fell_back_from`` and a note says why. Operators that differ
    only in names are mapped once.

    ``view`` operators move nothing: they become operators without stages, and every later use of a view names the tensor
    that it is a view of. ``unknown`` operators only move their operands through the memory port.

    In a block, ``entering`` maps each tensor that exists before the block to its name outside; for a repeat these are its
    carried (first round) and shared inputs. Tensors that no operator of the block writes and that are not in ``entering`` or
    ``carried`` are new in every round (weights and caches of a layer).

    Raises:
        UnsupportedError: a unit's kind has no mapper, or no unit along the fallback chain can run an operator.
        InfeasibleError: the smallest tile of an operator does not fit the scratchpad.
        ContractError: a mapper's answer is not usable, naming mapper and operator.
    """
    run = _Run(hardware)
    hardware = run.prepared(graph, hardware)
    copies = any(operator.kind == "prune" and operator.attributes.get("pregenerated") for operator, _, _ in graph.walk())
    if copies:
        from mappings.sparse_array import pregeneration  # training steps with N:M copies alone need it

        graph = pregeneration.hoisted(graph)
    parts = parts_of(graph)
    roots = view_roots([node for part in parts if not isinstance(part, Repeat) for node in part])
    needed: list[set[str]] = []
    later = {roots.get(name, name) for name in graph.outputs}
    for part in reversed(parts):
        needed.append(set(later))
        names = part.read if isinstance(part, Repeat) else (name for operator in part for name in operator.inputs)
        later.update(roots.get(name, name) for name in names)
    blocks = []
    for place, (part, after) in enumerate(zip(parts, reversed(needed), strict=True)):
        if isinstance(part, Repeat):
            blocks.append(_repeat_block(run, part, roots))
        else:
            blocks.append(_straight_block(run, f"part {place}", tuple(part), graph.tensors, roots, after))
    mapped = MappedGraph(graph, hardware, tuple(blocks), run.notes(), run.in_memory())
    return pregeneration.streamed(mapped) if copies else mapped


def operator_mapper(hardware: Hardware) -> Callable[[Operator, Mapping[str, Tensor], Mapping[str, str]], MappedOperator]:
    """What maps single operators on ``hardware``, equal ones once: takes an operator, the graph's tensors, and roots as of ``view_roots``.

    It raises what ``map_graph`` raises.
    """
    return _Run(hardware).mapped


def parts_of(graph: OperatorGraph) -> list[Repeat | list[Operator]]:
    """What becomes a block each, in order: repeats of operators only, and the stretches of operators between them."""
    parts: list[Repeat | list[Operator]] = []
    for node in graph.nodes:
        if isinstance(node, Repeat):
            if node.count > 0:
                parts.append(flat_repeat(node))
        elif parts and isinstance(parts[-1], list):
            parts[-1].append(node)
        else:
            parts.append([node])
    return parts


def view_roots(operators: list[Operator]) -> dict[str, str]:
    """Output of a view to the tensor whose bytes it names (through chains of views)."""
    roots: dict[str, str] = {}
    for operator in operators:
        if operator.kind == "view" and operator.inputs:
            source = operator.inputs[0]
            roots.update(dict.fromkeys(operator.outputs, roots.get(source, source)))
    return roots


def _straight_block(
    run: _Run, name: str, operators: tuple[Operator, ...], tensors: Mapping[str, Tensor], roots: Mapping[str, str], after: set[str]
) -> MappedBlock:
    mapped = tuple(run.mapped(operator, tensors, roots) for operator in operators)
    own = tensors_of(operators, tensors)
    written = {tensor for operator in operators for tensor in operator.outputs if tensor not in roots}
    for tensor in [*own]:
        root = roots.get(tensor, tensor)
        own.setdefault(root, tensors[root])
    entering = {tensor: tensor for tensor in own if tensor not in written and tensor not in roots}
    leaving = {tensor: tensor for tensor in own if tensor in written and tensor in after}
    return MappedBlock(name, mapped, 1, own, entering=entering, leaving=leaving)


def _repeat_block(run: _Run, repeat: Repeat, outer_roots: dict[str, str]) -> MappedBlock:
    body = repeat.body
    operators = tuple(node for node in body.nodes if isinstance(node, Operator))
    roots = view_roots(list(operators))
    mapped = tuple(run.mapped(operator, body.tensors, roots) for operator in operators)
    own = tensors_of(operators, body.tensors)
    for tensor in [*own]:
        root = roots.get(tensor, tensor)
        own.setdefault(root, body.tensors[root])
    own.update({tensor: body.tensors[tensor] for tensor in repeat.inputs if tensor in body.tensors})
    leaving: dict[str, str] = {}
    for output, outer in repeat.outputs.items():
        source = roots.get(output, output)
        if source in leaving:
            outer_roots[outer] = leaving[source]
        else:
            leaving[source] = outer
    return MappedBlock(
        repeat.name,
        mapped,
        repeat.count,
        own,
        carried=tuple((roots.get(output, output), tensor) for output, tensor in repeat.carried),
        shared=repeat.shared,
        entering={tensor: outer_roots.get(outer, outer) for tensor, outer in repeat.inputs.items()},
        leaving=leaving,
        stacked={roots.get(tensor, tensor): outer for tensor, outer in repeat.stacked.items()},
    )


class _Run:
    """What one call of ``map_graph`` remembers: mapper instances, equal operators, reasons of fallbacks."""

    def __init__(self, hardware: Hardware) -> None:
        self._splitter: Splitter | None = None
        if hardware.cores > 1:
            from mappings.cores import Splitter, one_core  # most hardware has one core and never loads this

            view = one_core(hardware)
            alone = _Run(view)
            self._splitter = Splitter(hardware, lambda operator, tensors: alone.mapped(operator, tensors, {}))
            hardware = view
        self.hardware = hardware
        self._mappers: dict[str, Mapper] = {}
        self._numbers = Numbers()
        self._done: dict[Hashable, tuple[tuple[str, ...], MappedOperator]] = {}
        self._fallbacks: dict[tuple[str, str, str], list[str]] = {}
        self._bytes_only: list[str] = []
        self._mapper(hardware.primary)

    def prepared(self, graph: OperatorGraph, hardware: Hardware) -> Hardware:
        """Let the primary unit's mapper see the whole graph first, if it has a method ``prepare``; the hardware as it is to be used."""
        prepare = getattr(self._mapper(self.hardware.primary), "prepare", None)
        if prepare is None:
            return hardware
        if hardware.cores > 1:
            raise UnsupportedError(
                f"unit {self.hardware.primary.name!r} holds the weights of a whole graph, but the device has {hardware.cores} cores",
                where="cores",
                hint="describe one core with all units; of crossbars, `chips` says over how many chips weights may go",
            )
        used: Hardware = prepare(graph, self.hardware.primary, self.hardware)
        self.hardware = used
        return used

    def in_memory(self) -> Mapping[str, object] | None:
        """What the primary unit's mapper says of the arrays that hold the graph's weights (a method ``in_memory``); else None."""
        said = getattr(self._mapper(self.hardware.primary), "in_memory", None)
        found: Mapping[str, object] | None = said(self.hardware.primary, self.hardware) if said is not None else None
        return found

    def mapped(self, operator: Operator, tensors: Mapping[str, Tensor], roots: Mapping[str, str]) -> MappedOperator:
        """The mapping of one operator, taken over from an equal one where there is one, with views resolved."""
        if operator.kind == "view":
            return MappedOperator(operator.name, "view", self.hardware.primary.name, (Alternative("view, moves nothing", (), (), 0, 0),))
        names = operator_names(operator)
        key = fingerprint(operator, tensors, names, self._numbers)
        found = self._done.get(key)
        if found is None:
            mapped = self._new(operator, tensors)
            if self._splitter is not None:
                mapped = self._splitter.widened(mapped, operator, tensors)
            found = (names, mapped)
            self._done[key] = found
        old, mapped = found
        if mapped.fell_back_from is not None:
            self._fallbacks.setdefault((mapped.fell_back_from, mapped.unit, mapped.rejected[0].reason), []).append(operator.name)
        if operator.kind == "unknown":
            self._bytes_only.append(operator.name)
        return handed_to(mapped, operator.name, {was: roots.get(now, now) for was, now in zip(old, names, strict=True)})

    def notes(self) -> tuple[str, ...]:
        """One line per reason for a fallback, and one for the operators of which only the bytes are counted; then what the
        primary unit's mapper remarks (a method ``remarks``)."""
        notes = [
            f"{several(names)} on unit {to!r} because {unit!r} cannot run {'it' if len(names) == 1 else 'them'}: {reason}"
            for (unit, to, reason), names in self._fallbacks.items()
        ]
        if self._bytes_only:
            notes.append(f"{several(self._bytes_only)} by bytes only: what is computed there is not known and not counted")
        remarks = getattr(self._mapper(self.hardware.primary), "remarks", None)
        if remarks is not None:
            notes.extend(remarks(self.hardware.primary, self.hardware))
        return (*notes, *exceeded(self.hardware))

    def _new(self, operator: Operator, tensors: Mapping[str, Tensor]) -> MappedOperator:
        if operator.kind == "unknown":
            return self._moved(operator, tensors)
        if operator.nests and not any(nest.points for nest in operator.nests):
            empty = Alternative("empty, nothing to do", (), (), 0, 0)
            return MappedOperator(operator.name, operator.kind, self.hardware.primary.name, (empty,))
        unit = self.hardware.primary
        declined: list[Rejected] = []
        while True:
            answer = self._answer(operator, tensors, unit)
            if not isinstance(answer, Unmappable):
                return self._accepted(answer, operator, tensors, unit, declined)
            declined.append(Rejected(f"on unit {unit.name}", answer.reason))
            if unit.fallback is None or unit.fallback in {item.name.removeprefix("on unit ") for item in declined}:
                raise self._refusal(operator, declined)
            unit = self.hardware.units[unit.fallback]

    def _answer(self, operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit) -> MappedOperator | Unmappable:
        """What the unit's mapper says; whatever a plug-in raises becomes an error that names it."""
        mapper = self._mapper(unit)
        if is_built_in(unit.kind):
            return mapper.map(operator, tensors, unit, self.hardware)
        try:
            answer = mapper.map(operator, tensors, unit, self.hardware)
        except CyclewrightError:
            raise
        except Exception as error:  # a plug-in may raise anything, and its author is the one who can mend it
            raise plug_in_fault(unit.kind, error, operator.name) from error
        if not isinstance(answer, (MappedOperator, Unmappable)):
            said = f"the mapper of kind {unit.kind!r} returned {'None' if answer is None else f'a {type(answer).__name__}'}"
            raise ContractError(f"{said}, not a MappedOperator or Unmappable", where=operator.name, hint=PROMISES)
        return answer

    def _accepted(
        self, mapped: MappedOperator, operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit, declined: list[Rejected]
    ) -> MappedOperator:
        if not mapped.alternatives:
            raise ContractError(f"the mapper of kind {unit.kind!r} returned no alternative", where=operator.name, hint=PROMISES)
        accepted = replace(
            mapped,
            operator=operator.name,
            kind=operator.kind,
            reads=mapped.reads or compulsory_reads(operator, tensors),
            writes=mapped.writes or compulsory_writes(operator, tensors),
            fell_back_from=self.hardware.primary.name if declined else None,
            rejected=(*declined, *mapped.rejected),
            training_pass=str(operator.attributes.get("pass", "")),
        )
        if not is_built_in(unit.kind):  # tests hold the built-in mappers to the same promises, over the zoo and the library
            check_promises(accepted, operator, tensors, unit.kind, self.hardware)
        return accepted

    def _mapper(self, unit: ComputeUnit) -> Mapper:
        if unit.name not in self._mappers:
            mapper = find_mapper(unit.kind)
            if mapper is None:
                raise UnsupportedError(
                    f"no mapper serves kind {unit.kind!r} yet (unit {unit.name!r} of spec {self.hardware.name!r});"
                    f" kinds served: {', '.join(mapper_kinds())}",
                    hint="choose other hardware, or install a plug-in that registers a mapper of this kind",
                )
            self._mappers[unit.name] = mapper
        return self._mappers[unit.name]

    def _moved(self, operator: Operator, tensors: Mapping[str, Tensor]) -> MappedOperator:
        """An operator of which only the bytes are known: one firing on the memory port."""
        memory = self.hardware.dram.name
        chip = self.hardware.on_chip.name if self.hardware.on_chip is not None else self.hardware.primary.name
        reads, writes = compulsory_reads(operator, tensors), compulsory_writes(operator, tensors)
        transfers = (
            *(Transfer(name, size, memory, chip) for name, size in reads.items()),
            *(Transfer(name, size, chip, memory) for name, size in writes.items()),
        )
        rate = self.hardware.dram.achieved_bandwidth(max((move.bytes for move in transfers), default=1))
        cycles = -int(-sum(move.bytes for move in transfers) * self.hardware.clock_hz // rate)
        stage = Stage("move", PORT + memory, (Segment(1, 0, transfers),))
        alternative = Alternative(
            "bytes only", (stage,), (), 0, cycles, notes=("only its bytes are counted: what it computes is not known",)
        )
        return MappedOperator(operator.name, operator.kind, self.hardware.primary.name, (alternative,), reads=reads, writes=writes)

    def _refusal(self, operator: Operator, declined: list[Rejected]) -> UnsupportedError:
        reasons = "; ".join(f"{item.name}: {item.reason}" for item in declined)
        return UnsupportedError(
            f"no unit of {self.hardware.name!r} can run this operator of kind {operator.kind!r} ({reasons})",
            where=operator.name,
            hint="give the unit a `fallback:` that can, choose other hardware, or cost it by its bytes with `--unknown-op bytes-only`",
        )


def several(names: Sequence[str]) -> str:
    """``3 operators (a, b, c)``; of more than four names the first four and how many more there are."""
    shown = ", ".join(names[:_SHOWN_NAMES]) + (f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else "")
    return f"{len(names)} operator{'s' if len(names) != 1 else ''} ({shown})"
