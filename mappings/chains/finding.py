"""The chains of a block, and for each of them the few cuts that are worth playing."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from math import inf

from hwspecs.vocabulary.records import dataclass
from mappings.chains.graph import alternative_of, fits_runs
from mappings.chains.layers import Layer, Reach, column_axis, layers_of, row_axes
from mappings.chains.tiling import CACHED, RECOMPUTED, Tiling, grid, tiling
from mappings.chains.weighing import Chain, Plan, weighed
from mappings.chains.work import WORKS, LayerWork
from mappings.dataflow import Alternative, MappedOperator, PlannedLater, Rejected
from mappings.groups import Group, Stretch, standing_for
from mappings.memo import Numbers, fingerprint, handed_to, operator_names

KIND = "fused chain"
LONGEST = 6
"""Operators of a chain at most: longer ones have wider halos and need more weights on chip at once."""
TILES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Tiles per image that are tried, and single rows; tiles of equal height but the last."""
FITTING = 4
"""Numbers of tiles tried beyond the first one that fits: more of them only add fills, drains and halo."""
KEPT = 2
"""Cuts kept per mode: the fastest by estimate, then those that move less or need less."""
_NO_FASTER = "another cut of the same chain; it was played too and was no faster"


def chains(stretch: Stretch) -> tuple[Group, ...]:
    """Chains of operators of a block as groups, each cut in the ways that may be fastest; empty where the device has no such units
    or several cores (``simulator.selection`` then looks at one of them by itself).

    A chain is a run of at most ``LONGEST`` consecutive operators, each output but the last read by later ones of the run only, and by rows.
    Every cut is a group of its own, because cuts differ in how much they recompute.
    """
    hardware = stretch.hardware
    if hardware.cores > 1 or hardware.on_chip is None or not any(unit.kind in WORKS and unit.rates for unit in hardware.units.values()):
        return ()
    finder = ChainFinder(stretch)
    return tuple([group for first, last in finder.runs() for group in finder.groups(first, last)])


@dataclass(frozen=True, slots=True)
class _Offer:
    """What was found for one chain, for all that are equal: the mapped operator of each cut (one alternative), and the chain's names."""

    names: tuple[str, ...]
    mapped: tuple[MappedOperator, ...]


class ChainFinder:
    """Finds the runs of operators of a block that can be fused, and plans each distinct one once."""

    def __init__(self, stretch: Stretch) -> None:
        self.stretch = stretch
        self.items = stretch.block.operators
        self.users = stretch.users()
        self.makers = {name: index for index, item in enumerate(self.items) for name in item.writes}
        self._layers: dict[int, tuple[Layer, ...]] = {}
        self._works: dict[tuple[Hashable, int], LayerWork | None] = {}
        self._prints: dict[int, tuple[tuple[str, ...], Hashable]] = {}
        self._numbers = Numbers()
        self._offers: dict[Hashable, _Offer] = {}

    @property
    def planned(self) -> int:
        """Distinct runs that have been planned."""
        return len(self._offers)

    def runs(self) -> Iterator[tuple[int, int]]:
        """(first, last) of the runs of operators whose outputs, the last one's aside, are read inside only."""
        for first in range(len(self.items)):
            reach = first
            for last in range(first, min(first + LONGEST, len(self.items))):
                if last > first and not self._fed(first, last):
                    break
                if not self._able(last):
                    break
                if last > first and reach <= last:
                    yield first, last
                (out,) = self.items[last].writes
                if out in self.stretch.outside or out not in self.users:
                    break
                reach = max(reach, *self.users[out])

    def _fed(self, first: int, last: int) -> bool:
        """Whether an operator reads something that an earlier one of the run made."""
        return any(first <= self.makers.get(name, -1) < last for name in self.items[last].reads)

    def _able(self, index: int) -> bool:
        item = self.items[index]
        return len(item.writes) == 1 and self.stretch.hardware.units[item.unit].kind in WORKS and bool(self.layers(index))

    def layers(self, index: int) -> tuple[Layer, ...]:
        """The operator by rows, for each axis along which it can be cut."""
        if index not in self._layers:
            stretch = self.stretch
            self._layers[index] = layers_of(self.items[index], stretch.operators[index], stretch.tensors, stretch.roots)
        return self._layers[index]

    def groups(self, first: int, last: int) -> list[Group]:
        """The groups of operators ``first`` to ``last``, planned once for all equal runs."""
        names, key = self._key(first, last)
        found = self._offers.get(key)
        if found is None:
            found = self._offers[key] = _Offer(names, tuple(self._planned(first, last)))
        if found.names == names:
            return [Group(first, last, mapped) for mapped in found.mapped]
        renamed = dict(zip(found.names, names, strict=True))
        groups = []
        for mapped in found.mapped:
            other = standing_for(self.stretch, first, last, KIND, handed_to(mapped, "", renamed).alternatives)
            groups.append(Group(first, last, replace(other, executed_macs=mapped.executed_macs, rejected=mapped.rejected)))
        return groups

    def _key(self, first: int, last: int) -> tuple[tuple[str, ...], Hashable]:
        """(tensors by their roots in the order in which equal runs correspond, a key that equal runs share)."""
        roots = self.stretch.roots
        order: dict[str, int] = {}
        parts = []
        for index in range(first, last + 1):
            own, mark = self._print(index)
            internal = self.stretch.operators[index].internal
            places = tuple([order.setdefault(roots.get(name, name), len(order)) for name in own if name not in internal])
            parts.append((mark, places, self.items[index].unit, self.items[index].compute_format))
        return tuple(order), tuple(parts)

    def _print(self, index: int) -> tuple[tuple[str, ...], Hashable]:
        """(an operator's tensors in the order in which equal operators correspond, what equal operators share)."""
        found = self._prints.get(index)
        if found is None:
            operator = self.stretch.operators[index]
            own = operator_names(operator)
            found = self._prints[index] = own, fingerprint(operator, self.stretch.tensors, own, self._numbers)
        return found

    def _planned(self, first: int, last: int) -> Iterator[MappedOperator]:
        alone = sum(item.alternatives[0].cycles_estimate for item in self.items[first : last + 1])
        for chain in self.chains(first, last):
            worth = [plan for plan in plans(chain, alone) if plan.estimate < alone]
            for plan in worth:
                others = tuple([Rejected(other.name, _NO_FASTER, other.estimate) for other in worth if other is not plan])
                mapped = standing_for(self.stretch, first, last, KIND, (_later(chain, plan),))
                yield replace(mapped, executed_macs=plan.executed_macs, rejected=others)

    def chains(self, first: int, last: int) -> Iterator[Chain]:
        """The run cut along each axis on which all its operators agree."""
        for end in self.layers(last):
            rank = len(self.stretch.operators[last].nests[-1].writes[0].axes)
            if end.axis not in row_axes(rank):
                continue
            found = self._backwards(first, last, end)
            if found is None or all(layer.product is None for layer in found[0]):
                continue
            layers, entering = found
            works = tuple(self._work(first + place, layer) for place, layer in enumerate(layers))
            if any(work is None for work in works):
                continue
            columns = next((item for item in self.layers(last) if item.axis == column_axis(rank, end.axis)), None)
            across = self._backwards(first, last, columns) if columns is not None else None
            kept = tuple(work for work in works if work is not None)
            yield Chain(layers, kept, entering, self.stretch.hardware, across[0] if across is not None else ())

    def _backwards(self, first: int, last: int, end: Layer) -> tuple[tuple[Layer, ...], tuple[Reach, ...]] | None:
        """(layers, what they read by rows from outside) of a run that ends in ``end``; None where it cannot be cut along one axis."""
        chosen = {last: end}
        entering: dict[str, Reach] = {}
        for index in range(last, first - 1, -1):
            layer = chosen.get(index)
            if layer is None or layer.images != end.images:
                return None
            if any(first <= self.makers.get(name, -1) < index for name in layer.fixed):
                return None
            for reach in layer.reaches:
                maker = self.makers.get(reach.tensor, -1)
                if not first <= maker < index:
                    known = entering.setdefault(reach.tensor, reach)
                    if (known.axis, known.image_bytes) != (reach.axis, reach.image_bytes):
                        return None
                    continue
                made = next((item for item in self.layers(maker) if item.axis == reach.axis), None)
                if made is None or made.image_bytes != reach.image_bytes or chosen.setdefault(maker, made) is not made:
                    return None
        layers = tuple(chosen[index] for index in range(first, last + 1))
        if entering.keys() & {name for layer in layers for name in layer.fixed}:
            return None
        return layers, tuple(entering.values())

    def _work(self, index: int, layer: Layer) -> LayerWork | None:
        """The layer's work; equal operators share it, and what it remembers."""
        unit = self.stretch.hardware.units[self.items[index].unit]
        key = (self._print(index)[1], layer.axis)
        if key not in self._works:
            self._works[key] = WORKS[unit.kind](layer, unit, self.stretch.hardware)
        return self._works[key]


def plans(chain: Chain, alone: float = inf) -> list[Plan]:
    """The cuts of a chain that fit and are worth playing: of each mode those that no other beats in estimate, bytes and working set.

    Cuts that keep one unit busy for longer than ``alone`` (cycles of the operators one by one) are not worth it, nor are smaller tiles.

    Halo is recomputed only where tiles are cut along the rows too: lines of whole rows take less room than what whole rows recompute.
    """
    cached = _fitting(
        chain, alone, (tiling(chain.layers, rows, CACHED, chain.depth) for rows in _heights(chain.layers[-1].rows, chain.images))
    )
    kept = _pareto(cached)
    if chain.across and (not cached or any(plan.tiling.overlapping for plan in cached)):
        kept += [plan for plan in _pareto(_fitting(chain, alone, _grids(chain))) if not any(_beats(one, plan) for one in kept)]
    return kept


def _fitting(chain: Chain, alone: float, cuts: Iterable[Tiling]) -> list[Plan]:
    """Those of ``cuts``, large tiles first, that fit: the first and up to ``FITTING`` more."""
    found: list[Plan] = []
    for cut in cuts:
        plan = weighed(chain, cut)
        if plan.busiest > alone and not any(plan.chunks):  # smaller tiles may hold weights that larger ones reload
            break
        if not plan.excess and fits_runs(chain, plan):
            found.append(plan)
        if len(found) > FITTING:
            break
    return found


def _grids(chain: Chain) -> Iterator[Tiling]:
    """Tiles cut down and across, into as many parts in both directions."""
    rows, columns = chain.layers[-1].rows, chain.across[-1].rows
    for count in TILES:
        if count < min(rows, columns):
            down = tiling(chain.layers, -(-rows // count), RECOMPUTED, chain.depth)
            across = tiling(chain.across, -(-columns // count), RECOMPUTED, chain.depth)
            yield grid(down, across, chain.depth)


def _beats(one: Plan, other: Plan) -> bool:
    """Whether a plan is no slower by estimate, moves no more and needs no more than another."""
    return one.estimate <= other.estimate and one.bytes <= other.bytes and one.working_set_bytes <= other.working_set_bytes


def _heights(rows: int, images: int) -> list[int]:
    """Rows of a tile that are tried, from high to low."""
    tried = dict.fromkeys(-(-rows // count) for count in TILES if count < rows)
    if images > 1:
        tried = {rows: None, **tried}
    return [*tried, *([1] if rows > 1 and 1 not in tried else [])]


def _pareto(plans: Sequence[Plan]) -> list[Plan]:
    kept: list[Plan] = []
    for plan in sorted(plans, key=lambda plan: (plan.estimate, plan.bytes, plan.working_set_bytes)):
        if len(kept) < KEPT and not any(one.bytes <= plan.bytes and one.working_set_bytes <= plan.working_set_bytes for one in kept):
            kept.append(plan)
    return kept


def _later(chain: Chain, plan: Plan) -> Alternative:
    return PlannedLater(plan.name, plan.working_set_bytes, plan.estimate, (), lambda: alternative_of(chain, plan))
