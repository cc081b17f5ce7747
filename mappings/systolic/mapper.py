"""The mapper of systolic arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.formats import NumberFormat
from mappings.compulsory import compulsory_reads, compulsory_writes
from mappings.dataflow import Alternative, Edge, MappedOperator, PlannedLater, Rejected, Stage
from mappings.rates import served_format, wider
from mappings.registry import Unmappable
from mappings.systolic.attention import attention_alternatives, is_attention
from mappings.systolic.counting import added, array_actions, vector_actions
from mappings.systolic.pace import Stream
from mappings.systolic.packing import is_depthwise, side_by_side
from mappings.systolic.problem import Product, products
from mappings.systolic.row_stationary import search_rows, too_wide, word_bytes
from mappings.systolic.setting import Setting, setting_of
from mappings.systolic.skipping import streams
from mappings.systolic.stages import Plan, plan
from mappings.systolic.tiles import NO_STREAMS, Array, Choice, TileSearch, flows_for
from workloads.graph import Operator, Tensor


class SystolicMapper:
    """Serves kind ``systolic``: matrix products and convolutions on an R x C array with a scratchpad.

    Parameters of the unit: ``rows``, ``columns``, ``dataflow`` (``output_stationary``, ``weight_stationary``, ``input_stationary``,
    ``row_stationary``, ``auto``: the best per operator), ``registers`` (of a row-stationary array), ``depthwise`` (``per_channel``,
    ``diagonal``, ``vector``), ``skipping`` (of zeros). The scratchpad is the device's outermost on-chip memory, split into
    ``ifmap``, ``filter`` and ``ofmap`` or unified. Operators without a product are handed to ``unit.fallback``.
    """

    def __init__(self) -> None:
        self._search = TileSearch()
        self._settings: dict[tuple[str, str], Setting] = {}

    def map(self, operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit, hardware: Hardware) -> MappedOperator | Unmappable:
        """See ``mappings.registry.Mapper``; formulas in ``mappings.systolic.folds`` and ``mappings.systolic.tiles``."""
        reads, writes = compulsory_reads(operator, tensors), compulsory_writes(operator, tensors)
        found = products(operator, tensors, reads, writes)
        if isinstance(found, str):
            return Unmappable(found)
        wanted = _compute_format(operator, tensors, found)
        dense = [name for name, pattern in unit.rates if pattern == "dense"]
        format_name = served_format(wanted, dense)
        if format_name is None:
            return Unmappable(
                f"it has no rate for {wanted.rate_name} or a wider {wanted.family} format (it has {', '.join(dense) or 'none'})"
            )
        if hardware.on_chip is None:
            return Unmappable("the device has no on-chip memory to hold tiles")
        setting = self._settings.get((unit.name, format_name))
        if setting is None or setting.hardware is not hardware or setting.unit is not unit:
            setting = self._settings[unit.name, format_name] = self.setting(unit, hardware, format_name)
        if setting.depthwise == "vector" and any(is_depthwise(product) for product in found):
            return Unmappable("the spec runs depthwise convolutions on the vector unit")
        if is_attention(operator, found) and flows_for(setting.dataflow):
            if setting.vector is None:
                return Unmappable("the softmax between its products needs a vector unit as fallback")
            alternatives, rejected, reason = attention_alternatives(operator, tensors, found, setting)
            share, pattern = 1.0, "dense"
        else:
            alternatives, rejected, reason, share, pattern = _alternatives(operator, tensors, found, setting, self)
        if not alternatives:
            return Unmappable(reason)
        return MappedOperator(
            operator.name,
            operator.kind,
            unit.name,
            tuple(alternatives),
            tuple(rejected),
            macs=operator.macs,
            executed_macs=ceil(operator.macs * share),
            vector_ops=operator.vector_ops,
            compute_format=format_name,
            pattern=pattern,
            reads=reads,
            writes=writes,
        )

    def setting(self, unit: ComputeUnit, hardware: Hardware, format_name: str) -> Setting:
        """What operators meet on ``unit``; made once per unit and format."""
        return setting_of(unit, hardware, format_name)

    def searched(self, product: Product, operator: Operator, tensors: Mapping[str, Tensor], setting: Setting) -> Searched:
        """Candidates of one product on all dataflows and packings that the spec offers."""
        steps = streams(product, operator, tensors, setting.skipping) if setting.skipping else NO_STREAMS
        return Searched(*_searched(product, operator, setting, self._search, steps))

    def notes(
        self, operator: Operator, tensors: Mapping[str, Tensor], found: Sequence[Product], setting: Setting, share: float
    ) -> tuple[str, ...]:
        """What a report must show of an operator that executes ``share`` of its dense multiplications."""
        return _notes(operator, tensors, found, setting, share)


@dataclass(frozen=True, slots=True)
class Searched:
    """Candidates of one product: those that fit, best first; those that do not; others with the reason why they were dropped; a note."""

    fitting: list[Choice]
    failing: list[Choice]
    dropped: tuple[Rejected, ...] = ()
    note: str = ""


def _compute_format(operator: Operator, tensors: Mapping[str, Tensor], found: Sequence[Product]) -> NumberFormat:
    """The wider of the two operands' formats, the widest over all products."""
    formats = [(operator.internal.get(read.tensor) or tensors[read.tensor]).format for product in found for read in product.nest.reads]
    widest = formats[0]
    for item in formats[1:]:
        widest = wider(widest, item)
    return widest


def _alternatives(
    operator: Operator, tensors: Mapping[str, Tensor], found: Sequence[Product], setting: Setting, mapper: SystolicMapper
) -> tuple[list[Alternative], list[Rejected], str, float, str]:
    """(alternatives, rejected, why there is none, least share of the multiplications that an alternative executes, its pattern)."""
    choices: list[list[Choice]] = []
    rejected: list[Rejected] = []
    extra: list[str] = []
    for product in found:
        answer = mapper.searched(product, operator, tensors, setting)
        rejected.extend(_too_large(choice, setting.array) for choice in answer.failing)
        rejected.extend(answer.dropped)
        if answer.note:
            extra.append(answer.note)
        if not answer.fitting:
            return [], rejected, _no_fit(product, answer.failing, setting), 1.0, "dense"
        kept, dominated = _pareto(answer.fitting)
        rejected.extend(dominated)
        choices.append(kept)
    combinations = [[choice] for choice in choices[0]] if len(found) == 1 else [[options[0] for options in choices]]
    works = [_vector_work(product, operator, tensors, setting) for product in found]
    share = min([_executed(found, picked) for picked in combinations])
    notes = (*mapper.notes(operator, tensors, found, setting, share), *dict.fromkeys(extra))
    pattern = next((choice.pattern for picked in combinations for choice in picked if choice.pattern != "dense"), "dense")
    return [_weighed(found, picked, works, notes, setting) for picked in combinations], rejected, "", share, pattern


def _executed(found: Sequence[Product], picked: Sequence[Choice]) -> float:
    """Share of the dense multiplications of all products that are executed."""
    macs = [product.nest.macs for product in found]
    return sum([count * choice.executed for count, choice in zip(macs, picked, strict=True)]) / sum(macs)


def _searched(
    product: Product, operator: Operator, setting: Setting, tiles: TileSearch, steps: Mapping[str, Stream]
) -> tuple[list[Choice], list[Choice]]:
    """(candidates that fit, best first; those that do not) of all dataflows and packings that the spec offers."""
    flows = flows_for(setting.dataflow)
    fitting, failing = tiles.search(product, flows, setting.array, steps) if flows else ([], [])
    more: list[tuple[list[Choice], list[Choice]]] = []
    if setting.depthwise == "diagonal" and product.batch > 1 and operator.kind == "conv":
        packed = [(flow, side_by_side(product, flow, setting.array)) for flow in flows]
        more += [tiles.search(replace(product, pack=pack), (flow,), setting.array, steps) for flow, pack in packed if pack > 1]
    if setting.registers is not None:
        more.append(search_rows(product, setting.array, setting.registers, tiles, word_bytes(setting.format_name)))
    if more:
        fitting = [*fitting, *[choice for one, _ in more for choice in one]]
        fitting.sort(key=lambda choice: (choice.rank, choice.bytes, choice.working_set))
        failing = [*failing, *[choice for _, one in more for choice in one]]
    if not fitting and flows:  # a part of the array is still far faster than the unit it would fall back to
        fitting, failing = tiles.search(product, flows, setting.array, steps, finest=True)
    return fitting, failing


def _pareto(fitting: list[Choice]) -> tuple[list[Choice], list[Rejected]]:
    """Candidates of all dataflows together: those that no other beats in cycles, bytes and working set; at most three."""
    kept: list[Choice] = []
    rejected = []
    for choice in fitting:
        better = next((k for k in kept if k.bytes <= choice.bytes and k.working_set <= choice.working_set), None)
        if better is None and len(kept) < 3:
            kept.append(choice)
        elif better is not None:
            reason = f"no faster, no less traffic and no smaller than {better.name}"
            rejected.append(Rejected(choice.name, reason, ceil(choice.estimate)))
    return kept, rejected


def _too_large(choice: Choice, array: Array) -> Rejected:
    return Rejected(choice.name, f"needs {choice.excess} bytes more than {_buffers(choice, array)}", ceil(choice.estimate))


def _buffers(choice: Choice, array: Array) -> str:
    if "all" in array.buffers:
        return f"the scratchpad of {array.buffers['all']} bytes"
    small = [f"{name} ({array.buffers[name]} bytes)" for name, need in choice.needs.items() if need > array.buffers[name]]
    return "the scratchpad's " + ", ".join(small)


def _no_fit(product: Product, failing: list[Choice], setting: Setting) -> str:
    if not failing and setting.registers is not None:
        reason = too_wide(product, setting.registers, word_bytes(setting.format_name))
        if reason:
            return reason
    if not failing:
        return "no tile of it keeps whole rows and fits the scratchpad"
    nearest = min(failing, key=lambda choice: choice.excess)
    return f"its smallest tile ({nearest.name}) needs {nearest.excess} bytes more than {_buffers(nearest, setting.array)}"


def _weighed(
    found: Sequence[Product], picked: Sequence[Choice], works: Sequence[_VectorWork], notes: tuple[str, ...], setting: Setting
) -> Alternative:
    """An alternative of which only what a schedule weighs is worked out so far."""
    name = picked[0].name if len(picked) == 1 else f"{len(picked)} products, first {picked[0].name}"
    working_set = max([choice.working_set for choice in picked])
    estimate = sum([ceil(max(choice.estimate, ceil(sum(work.cycles.values())))) for choice, work in zip(picked, works, strict=True)])

    def build() -> Alternative:
        stages, edges, actions, breakdown = _graph(found, picked, works, setting)
        return Alternative(name, stages, edges, working_set, estimate, actions, breakdown, notes)

    return PlannedLater(name, working_set, estimate, notes, build)


def _graph(
    found: Sequence[Product], picked: Sequence[Choice], works: Sequence[_VectorWork], setting: Setting
) -> tuple[tuple[Stage, ...], tuple[Edge, ...], dict[str, float], dict[str, int]]:
    """(stages, edges, actions, breakdown) of products one after the other."""
    stages: list[Stage] = []
    edges: list[Edge] = []
    plans: list[Plan] = []
    actions: dict[str, float] = {}
    stored = ""
    for place, (product, choice, work) in enumerate(zip(found, picked, works, strict=True)):
        prefix = f"{place} " if len(found) > 1 else ""
        made = plan(product, choice, setting.site, work.cycles, prefix)
        if stages:
            fed = {edge.target for edge in made.edges if not edge.initial}
            edges.extend(Edge(stored, stage.name, 0, 0, 0, 0) for stage in made.stages if stage.name not in fed)
        stored = prefix + "store"
        stages.extend(made.stages)
        edges.extend(made.edges)
        plans.append(made)
        on_array = array_actions(product, choice, setting)
        actions = added(actions, on_array, work.actions)
    transfer = ceil(sum(item.moved_bytes for item in plans) / setting.array.bytes_per_cycle)
    breakdown = {
        "array": sum(item.array_cycles for item in plans),
        "vector": sum(item.vector_cycles for item in plans),
        f"memory {setting.site.dram}": transfer,
    }
    return tuple(stages), tuple(edges), actions, breakdown


@dataclass(frozen=True, slots=True)
class _VectorWork:
    """Cycles of the vector nests around a product (``prologue_a``, ``prologue_b``, ``epilogue``) and their actions."""

    cycles: dict[str, float]
    actions: dict[str, float]


def _vector_work(product: Product, operator: Operator, tensors: Mapping[str, Tensor], setting: Setting) -> _VectorWork:
    parts = {"prologue_a": product.prologue_a, "prologue_b": product.prologue_b, "epilogue": product.epilogue}
    cycles = {
        name: sum(setting.cycles(nest, operator, tensors) * share for nest, share in work.nests)
        for name, work in parts.items()
        if work.nests
    }
    nests = [item for work in parts.values() for item in work.nests]
    return _VectorWork(cycles, vector_actions(nests, operator, tensors, setting.vector or setting.unit, setting.site.vector))


def _notes(operator: Operator, tensors: Mapping[str, Tensor], found: Sequence[Product], setting: Setting, share: float) -> tuple[str, ...]:
    """What the spec leaves unsaid and costs much: zeros that are multiplied all the same, depthwise channels one after the other."""
    notes = []
    sparse = [
        name
        for product in found
        for name, _ in (*product.a.sources, *product.b.sources)
        if name in tensors and tensors[name].sparsity.kind != "dense"
    ]
    if sparse and share == 1.0:
        pattern = tensors[sparse[0]].sparsity.pattern
        reason = "a plain array skips no multiplication (`skipping` would)"
        if setting.skipping is not None:
            reason = f"no multiplication is skipped: `skipping.operand` is {setting.skipping.operand}, and only what streams is skipped"
        notes.append(f"{pattern} operands move fewer bytes, but {reason}")
    unsaid = "depthwise" not in setting.unit.parameters and setting.registers is None
    if unsaid and operator.kind == "conv" and any(is_depthwise(product) for product in found):
        notes.append(
            "depthwise, one channel at a time, most of the array idle; `depthwise: diagonal` or `vector` in the spec are other ways"
        )
    return tuple(notes)
