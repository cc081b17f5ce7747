"""Cutting one group of loop dimensions (m, n or k of a matrix product) into tiles, and what a tile touches of an operand.

A split cuts one dimension of the group, takes the dimensions inside it whole and the ones outside it one value at a time, so
that each tile is a box of the loop nest and its part of an operand is a box too, windows (halo) and padding included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from hwspecs.vocabulary.records import dataclass
from workloads.graph import Axis

CANDIDATES = 8
"""Tile sizes tried per group: the whole group, the array's own size, and sizes between them in even ratios."""


@dataclass(frozen=True, slots=True)
class Split:
    """Tiles of a group.

    Attributes:
        size: points of a full tile; ``last``: points of the last tile along the dimension that is cut.
        outer: product of the dimensions outside the cut one; ``trips``: tiles along the cut dimension. Tiles: outer x trips.
        tiles: dimension to its extent in a full tile.
    """

    size: int
    last: int
    outer: int
    trips: int
    tiles: Mapping[str, int]

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.outer * self.trips

    def folded(self, edge: int) -> int:
        """Folds of ``edge`` along this group, summed over all tiles."""
        return self.outer * ((self.trips - 1) * -(-self.size // edge) + -(-self.last // edge))

    def variants(self) -> tuple[tuple[int, int], ...]:
        """(how many, points) of the tiles along the cut dimension, in order."""
        if self.last == self.size:
            return ((self.trips, self.size),)
        return ((self.trips - 1, self.size), (1, self.last))


def splits(dims: Sequence[tuple[str, int]], edge: int, shortest: int) -> list[Split]:
    """Candidate splits of a group for an array that holds ``edge`` points of it: whole first, then smaller ones, no two alike.

    Runs of a half, a quarter, ... of ``edge`` down to ``shortest`` points are for scratchpads that hold no more.
    The list depends on the loop nest and the array alone, never on a scratchpad, so that a larger scratchpad keeps every tile.
    """
    total = prod(extent for _, extent in dims)
    found: dict[tuple[int, int], Split] = {}
    short = [edge >> halvings for halvings in range(1, edge.bit_length()) if shortest <= edge >> halvings < total]
    for target in [*_targets(total, edge), *short]:
        place, tile = _cut(dims, target)
        if (place, tile) not in found:
            found[place, tile] = _split(dims, place, tile)
    return list(found.values())


def _targets(total: int, edge: int) -> list[int]:
    targets = [total]
    if total > edge:
        ratio = (total / edge) ** (1.0 / (CANDIDATES - 1))
        step = max(ratio, 1.25)
        size = total / step
        while size > edge * 1.2 and len(targets) < CANDIDATES - 1:
            targets.append(max(1, round(size / edge)) * edge)
            size /= step
        targets.append(edge)
    return targets


def _cut(dims: Sequence[tuple[str, int]], target: int) -> tuple[int, int]:
    """(index of the dimension to cut, tile along it) for tiles of at most ``target`` points where a tile of one value allows it."""
    inner = 1
    for place in range(len(dims) - 1, -1, -1):
        extent = dims[place][1]
        if inner * extent > target:
            return place, target // inner
        inner *= extent
    return (0, dims[0][1]) if dims else (0, 1)


def _split(dims: Sequence[tuple[str, int]], place: int, tile: int) -> Split:
    if not dims:
        return Split(1, 1, 1, 1, {})
    inner = prod(extent for _, extent in dims[place + 1 :])
    extent = dims[place][1]
    trips = -(-extent // tile)
    tiles = {dim: 1 if index < place else tile if index == place else size for index, (dim, size) in enumerate(dims)}
    return Split(tile * inner, (extent - (trips - 1) * tile) * inner, prod(size for _, size in dims[:place]), trips, tiles)


def axis_counts(axis: Axis, extents: Mapping[str, int], cuts: Sequence[Mapping[str, int]], size: int) -> list[tuple[int, int]]:
    """(``axis_span``, ``axis_total``) of an axis of ``size`` for each of ``cuts``: the extents of a tile by dimension of one group."""
    known: dict[tuple[int, ...], tuple[int, int]] = {}
    counts = []
    for cut in cuts:
        own = tuple([cut.get(dim, -1) for dim, _ in axis.terms])
        found = known.get(own)
        if found is None:
            tiles = {**extents, **cut}
            found = known[own] = axis_span(axis, tiles, size), axis_total(axis, extents, tiles, size)
        counts.append(found)
    return counts


def axis_span(axis: Axis, extents: Mapping[str, int], size: int) -> int:
    """Elements of an axis of ``size`` that a tile of ``extents`` spans (a dimension that is not listed stands still)."""
    return min(size, 1 + sum(abs(coefficient) * (extents.get(dim, 1) - 1) for dim, coefficient in axis.terms))


def axis_total(axis: Axis, extents: Mapping[str, int], tiles: Mapping[str, int], size: int) -> int:
    """Elements of an axis that all tiles along it span together; tiles that overlap (halo) count twice, padding never counts.

    Args:
        extents: the whole extent of each dimension that is cut or stepped through, ``tiles`` its extent in one tile; dimensions
            of the axis that are in neither stand still (one position stands for all of them).
        size: elements of the axis.
    """
    moving = []
    rest, absolute = 0, True
    for dim, step in axis.terms:
        tile, extent = tiles.get(dim, 1), extents.get(dim, 1)
        if tile < extent:
            moving.append((dim, step))
        elif tile == extent:
            rest += abs(step) * (tile - 1)
        absolute = absolute and dim in extents  # every dimension is accounted for, so that padding can be seen
    if not moving:
        return _clipped(axis.offset, axis.offset + rest, size) if absolute else min(size, 1 + rest)
    if len(moving) > 1:
        count = prod(-(-extents[dim] // tiles[dim]) for dim, _ in moving)
        spans = sum(abs(step) * (extents[dim] - count_of) * (count // count_of)
                    for dim, step in moving for count_of in (-(-extents[dim] // tiles[dim]),))  # fmt: skip
        return count * (1 + rest) + spans
    ((dim, step),) = moving
    extent, tile = extents[dim], tiles[dim]
    trips = -(-extent // tile)
    if step < 0:
        return trips * min(size, 1 + rest - step * (tile - 1))
    total = step * (extent - trips) + trips * (1 + rest)
    if not absolute:
        return total
    return total - _outside(axis.offset, step, extent, tile, rest, size)


def _clipped(low: int, high: int, size: int) -> int:
    return max(0, min(high, size - 1) - max(low, 0) + 1)


def _outside(offset: int, step: int, extent: int, tile: int, rest: int, size: int) -> int:
    """Positions that tiles span outside [0, size): only the first and the last few tiles reach there."""
    trips = -(-extent // tile)
    outside, head = 0, 0
    while head < trips and offset + step * tile * head < 0:
        outside += _beyond(head, offset, step, extent, tile, rest, size)
        head += 1
    tail = trips - 1
    while tail >= head and offset + step * (min(tile * (tail + 1), extent) - 1) + rest > size - 1:
        outside += _beyond(tail, offset, step, extent, tile, rest, size)
        tail -= 1
    return outside


def _beyond(index: int, offset: int, step: int, extent: int, tile: int, rest: int, size: int) -> int:
    low = offset + step * tile * index
    high = offset + step * (min(tile * (index + 1), extent) - 1) + rest
    return high - low + 1 - _clipped(low, high, size)
