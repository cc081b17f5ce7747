"""The mapper of sparse arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import ceil

from hwspecs.hardware import ComputeUnit, Hardware
from mappings.dataflow import MappedOperator, Rejected
from mappings.registry import Unmappable
from mappings.sparse_array.machine import Machine, dense_ways, machine_of, sparse_ways
from mappings.sparse_array.patterns import Kept, kept_of
from mappings.sparse_array.reduction import pruned
from mappings.systolic.folds import OUTPUT, Flow, folds
from mappings.systolic.mapper import Searched, SystolicMapper
from mappings.systolic.pace import Pace, Stream
from mappings.systolic.problem import Product
from mappings.systolic.setting import Setting, Way, setting_of
from mappings.systolic.tiles import Array, Choice, TileSearch
from workloads.graph import Operator, Tensor

Found = tuple[list[Choice], list[Choice]]
Part = tuple[list[Flow], Array, dict[str, Stream]]
WORTH = 1.25
"""Ways to hold sums are searched where their folds alone take no more than this many times those of the best way."""


class SparseArrayMapper(SystolicMapper):
    """Serves kind ``sparse_array``: products on R x C PEs that take dense or N:M operands, ``prune`` operators on its reduction engine.

    Parameters of the unit: ``rows``, ``columns``, ``dataflow`` (as of systolic arrays), ``modes``, ``mac_latency``, ``interleave``,
    ``sparse_mode``, ``reduction.lanes``, ``reduction.cycles_per_value``. What they mean: ``mappings.sparse_array.machine``. Dataflow,
    interleaving and mode are chosen per operator, and so per layer and pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self._machines: dict[int, Machine] = {}
        self._searches: dict[tuple[int, int], TileSearch] = {}

    def map(self, operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit, hardware: Hardware) -> MappedOperator | Unmappable:
        """See ``mappings.registry.Mapper``."""
        if operator.kind == "prune":
            return pruned(operator, tensors, unit, hardware)
        return super().map(operator, tensors, unit, hardware)

    def setting(self, unit: ComputeUnit, hardware: Hardware, format_name: str) -> Setting:
        """As of a systolic array, with the ways to run a dense product."""
        setting = setting_of(unit, hardware, format_name)
        machine = machine_of(unit, hardware)
        setting = replace(setting, ways=dense_ways(setting, machine))
        self._machines[id(setting)] = machine
        return setting

    def searched(self, product: Product, operator: Operator, tensors: Mapping[str, Tensor], setting: Setting) -> Searched:
        """Candidates in the mode of the sparse operand and dense ones; only those of the better kind are kept."""
        machine = self._machines[id(setting)]
        kept = kept_of(product, operator, tensors, machine.modes if machine.use != "never" else ())
        if isinstance(kept, Kept) and not sparse_ways(product, kept, setting, machine):
            kept = f"{kept.own} operands run dense: in dataflow {setting.dataflow} the other operand stays"
        if isinstance(kept, str):
            fitting, failing = self._dense(product, setting, False)
            if not fitting:
                fitting, failing = self._dense(product, setting, True)
            return Searched(fitting, failing, note=kept if machine.use != "never" else "")
        for finest in (False, True):
            fitting, failing = self._sparse(product, kept, setting, machine, finest)
            if fitting and (machine.use == "always" or fitting[0].estimate <= _least_dense(product, setting)):
                return Searched(fitting, failing, note=_padding(kept))
            dense, larger = ([], []) if machine.use == "always" else self._dense(product, setting, finest)
            if fitting or dense:
                break
        if not fitting or (dense and _before(dense[0], fitting[0])):
            dropped = tuple([Rejected(choice.name, f"slower than {dense[0].name}", ceil(choice.estimate)) for choice in fitting[:1]])
            return Searched(dense, [*failing, *larger], dropped)
        slower = tuple([Rejected(choice.name, f"slower than {fitting[0].name}", ceil(choice.estimate)) for choice in dense[:1]])
        return Searched(fitting, [*failing, *larger], slower, _padding(kept))

    def notes(
        self, operator: Operator, tensors: Mapping[str, Tensor], found: Sequence[Product], setting: Setting, share: float
    ) -> tuple[str, ...]:
        """None besides those of the search."""
        return ()

    def _dense(self, product: Product, setting: Setting, finest: bool) -> Found:
        by_array: dict[tuple[int, int, int], list[Way]] = {}
        for way in setting.ways:
            by_array.setdefault((way.array.rows, way.array.columns, way.pace), []).append(way)
        parts: list[Part] = []
        for ways in by_array.values():
            pace = ways[0].pace
            parts.append(([way.flow for way in ways], ways[0].array, {"k": Pace(float(pace))} if pace > 1 else {}))
        return self._joined(product, parts, finest)

    def _sparse(self, product: Product, kept: Kept, setting: Setting, machine: Machine, finest: bool) -> Found:
        whole = replace(product, grain=kept.grain)
        parts = [([way.flow], way.array, dict(way.streams)) for way in sparse_ways(product, kept, setting, machine)]
        return self._joined(whole, parts, finest)

    def _joined(self, product: Product, parts: Iterable[Part], finest: bool) -> Found:
        """Candidates of all parts together, best first."""
        fitting: list[Choice] = []
        failing: list[Choice] = []
        for flows, array, streams in _worth(product, list(parts)):
            search = self._searches.setdefault((array.rows, array.columns), TileSearch())
            one, other = search.search(product, flows, array, streams, finest=finest)
            fitting += one
            failing += other
        return sorted(fitting, key=lambda choice: (choice.rank, choice.bytes, choice.working_set)), failing


def _worth(product: Product, parts: list[Part]) -> list[Part]:
    """Of several arrays on which outputs stay, those that may be the best: the others fill too little of what they hold."""
    size = product.size("m"), product.size("n"), product.size("k")
    bounds: dict[int, float] = {}
    for place, (flows, array, streams) in enumerate(parts):
        if [flow.name for flow in flows] == [OUTPUT]:
            stream = streams["k"].of(size[2]) if "k" in streams else size[2]
            bounds[place] = folds(flows[0], *size, array.rows, array.columns) * (stream + array.ramp(flows[0]))
    least = min(bounds.values(), default=0.0)
    return [part for place, part in enumerate(parts) if bounds.get(place, 0.0) <= WORTH * least]


def _before(one: Choice, other: Choice) -> bool:
    return (one.rank, one.bytes) < (other.rank, other.bytes)


def _least_dense(product: Product, setting: Setting) -> float:
    """Cycles that no dense candidate is faster than: every cell at work in every cycle."""
    array = setting.array
    return product.nest.macs * array.slowdown / (array.rows * array.columns * array.count)


def _padding(kept: Kept) -> str:
    if not kept.padded:
        return ""
    return f"{kept.mode}: {kept.m} does not divide the {kept.extent} reduced values of {kept.dim!r}, so the last group is padded"
