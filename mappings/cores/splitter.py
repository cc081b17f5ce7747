"""The ways to run one operator on several cores: cut along a dimension of its result or of its sums, or on one core alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from hwspecs.hardware import Hardware
from hwspecs.vocabulary.errors import InfeasibleError, UnsupportedError
from mappings.cores.joining import joined, noc_of, placed
from mappings.cores.reduction import reduced, reduction_of
from mappings.cores.slicing import Slice, axis_word, chunks, cuttable, sliced
from mappings.cores.view import NOC
from mappings.dataflow import Alternative, MappedGraph, MappedOperator, PlannedLater
from workloads.graph import Operator, Tensor

MapOne = Callable[[Operator, Mapping[str, Tensor]], MappedOperator]
DIMENSIONS = 3
"""Dimensions that are tried: those of the largest extents."""
JOINED, NEAR = 4, 1.5
"""So many cuts are joined to one graph and weighed with what they share: those whose slowest slice is within this factor of the best."""
WORTH = 1.2
"""Sums are cut where the other cuts leave so much of the time that an even share would take."""
KEPT = 2
"""Ways per number of cores that are kept: the fastest by estimate and the one that moves least."""


class Splitter:
    """Makes alternatives for several cores out of those that the mapper of one core gives for slices.

    Args:
        hardware: with all its cores.
        map_one: maps an operator on one core.
    """

    def __init__(self, hardware: Hardware, map_one: MapOne) -> None:
        self.hardware = hardware
        self.map_one = map_one
        self.noc = noc_of(hardware)
        self.rate = hardware.dram.achieved_bandwidth(float("inf")) / hardware.clock_hz

    def widened(self, mapped: MappedOperator, operator: Operator, tensors: Mapping[str, Tensor]) -> MappedOperator:
        """``mapped`` (of one core) with the alternatives of several cores beside its own, best estimate first."""
        alone = [placed(alternative, 0, self.noc) for alternative in mapped.alternatives]
        split: list[Alternative] = []
        best = min(alternative.cycles_estimate for alternative in alone)
        if mapped.alternatives[0].cycles_estimate > 0 and operator.kind not in ("view", "unknown"):
            count = self.hardware.cores
            halves = reduction_of(operator, tensors)
            while count > 1:
                split.extend(self._kept(self._on(count, mapped, operator, tensors, best)))
                least = min([best, *(one.cycles_estimate for one in split)])
                if halves is not None and least * count > WORTH * best:
                    sums = reduced(halves, count, least, self.map_one, self.hardware, self.noc, self._port_cycles)
                    split.extend([sums] if sums is not None else [])
                count //= 2
        split = [alternative for alternative in split if alternative.cycles_estimate < best]
        ranked = sorted([*split, *alone], key=lambda alternative: (alternative.cycles_estimate, alternative.queues))
        return replace(mapped, alternatives=tuple(ranked))

    def _kept(self, found: Sequence[Alternative]) -> list[Alternative]:
        if not found:
            return []
        fastest = min(found, key=lambda one: (one.cycles_estimate, self._moved(one)))
        least = min(found, key=lambda one: (self._moved(one), one.cycles_estimate))
        smallest = min(found, key=lambda one: (one.working_set_bytes, one.cycles_estimate))
        return list({id(one): one for one in (fastest, least, smallest)}.values())[:KEPT]

    def _moved(self, alternative: Alternative) -> tuple[int, int]:
        return alternative.breakdown[f"memory {self.hardware.dram.name}"], alternative.breakdown[NOC]

    def _on(self, count: int, mapped: MappedOperator, operator: Operator, tensors: Mapping[str, Tensor], best: int) -> list[Alternative]:
        """Alternatives on ``count`` cores (or as many as a dimension has points for) that may take less than ``best`` cycles."""
        found: list[tuple[int, str, list[Alternative], frozenset[str]]] = []
        for place, dim, extent in cuttable(operator, tensors)[:DIMENSIONS]:
            ranges = chunks(extent, count)
            slices = [sliced(operator, tensors, place, dim, part) for part in ranges]
            good = [one for one in slices if one is not None]
            if len(good) < 2 or len(good) < len(slices):
                continue
            maps = self._mapped(good, mapped.unit)
            if maps is None:
                continue
            whole = frozenset.intersection(*[one.whole for one in good])
            for number in range(min(2, max(len(one.alternatives) for one in maps))):
                parts = [one.alternatives[min(number, len(one.alternatives) - 1)] for one in maps]
                longest = max(part.cycles_estimate for part in parts)
                if longest < best:
                    found.append((longest, f"{len(parts)} cores along {axis_word(operator, place, dim)}: {parts[0].name}", parts, whole))
        found.sort(key=lambda item: item[0])
        nearest = [item for item in found if item[0] <= NEAR * found[0][0]][:JOINED]
        return [joined(name, parts, whole, self.noc, self._port_cycles, self.hardware.dram.name) for _, name, parts, whole in nearest]

    def _mapped(self, slices: Sequence[Slice], unit: str) -> list[MappedOperator] | None:
        maps = []
        for one in slices:
            try:
                found = self.map_one(one.operator, one.tensors)
            except (InfeasibleError, UnsupportedError):
                return None
            if found.unit != unit:
                return None
            maps.append(found)
        return maps

    def _port_cycles(self, nbytes: int) -> float:
        return nbytes / self.rate


def built(alternative: Alternative) -> Alternative:
    """An alternative with its graph, one that other alternatives may be derived from."""
    return alternative.built() if isinstance(alternative, PlannedLater) else alternative


def on_more_cores(mapped: MappedGraph, hardware: Hardware) -> MappedGraph:
    """A graph mapped for fewer cores of ``hardware`` (``view.with_cores``) as it runs on the first ones of them."""
    noc, of = noc_of(hardware), mapped.hardware.cores
    done: dict[int, Alternative] = {}

    def larger(alternative: Alternative) -> Alternative:
        if of == 1:
            return placed(alternative, 0, noc)
        return replace(built(alternative), working_set_bytes=alternative.working_set_bytes // of * hardware.cores)

    def moved(item: MappedOperator) -> MappedOperator:
        for alternative in item.alternatives:
            if id(alternative) not in done:
                done[id(alternative)] = larger(alternative)
        alternatives = tuple(done[id(alternative)] for alternative in item.alternatives)
        return replace(item, alternatives=alternatives, members=tuple(moved(member) for member in item.members))

    blocks = tuple(replace(block, operators=tuple(moved(item) for item in block.operators)) for block in mapped.blocks)
    return replace(mapped, hardware=hardware, blocks=blocks)
