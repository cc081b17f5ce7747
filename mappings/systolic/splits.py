"""Cutting one group of loop dimensions (m, n or k of a matrix product) into tiles, and what a tile touches of an operand.

A split cuts one dimension of the group, takes the dimensions inside it whole and the ones outside it one value at a time, so
that each tile is a box of the loop nest and its part of an operand is a box too, windows (halo) and padding included.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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

    def packed(self, pack: int) -> Split:
        """The same cut of ``pack`` products side by side."""
        return Split(self.size * pack, self.last * pack, self.outer, self.trips, self.tiles)

    def variants(self) -> tuple[tuple[int, int], ...]:
        """(how many, points) of the tiles along the cut dimension, in order."""
        if self.last == self.size:
            return ((self.trips, self.size),)
        return ((self.trips - 1, self.size), (1, self.last))


def splits(dims: Sequence[tuple[str, int]], edge: int, shortest: int) -> list[Split]:
    """Candidate splits of a group for an array that holds ``edge`` points of it: whole first, then smaller ones, no two alike.

    Runs of a half, a quarter, ... of ``edge`` down to ``shortest`` points are for scratchpads that hold no more.
    They come last, so that the list for a longer shortest run is the beginning of the list for a shorter one.
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


def finest_whole(dims: Sequence[tuple[str, int]], found: Sequence[Split], whole: Collection[str], edge: int) -> list[Split]:
    """``found`` with the smallest tiles that cut none of the dimensions ``whole`` and fill an array that holds ``edge`` points.

    Even ratios may jump over them. They come second, so that the list for a longer shortest run stays the beginning of that for a
    shorter one.
    """
    place = next((index for index, (name, _) in enumerate(dims) if name in whole), 0) - 1
    if place < 0:
        return list(found)
    least = _split(dims, place, 1)
    if least.size < edge or any(item.size == least.size for item in found):
        return list(found)
    return [*found[:1], least, *found[1:]]


def aligned(dims: Sequence[tuple[str, int]], found: Sequence[Split], dim: str, multiple: int) -> list[Split]:
    """``found`` with tiles that hold whole groups of ``multiple`` points of ``dim`` (or all of it); splits that cannot are left out."""
    place = next(index for index, (name, _) in enumerate(dims) if name == dim)
    extent = dims[place][1]
    kept: dict[tuple[int, int], Split] = {}
    for split in found:
        tile = split.tiles[dim]
        if tile < extent:
            cut_inside = any(split.tiles[name] < size for name, size in dims[place + 1 :])
            tile = max(multiple, tile - tile % multiple)
            if cut_inside or tile >= extent:
                continue
            split = _split(dims, place, tile)
        kept.setdefault((split.size, split.count), split)
    return list(kept.values())


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
    """For each of ``cuts``: elements of an axis that a full tile spans, and that all tiles along it span together.

    Tiles that overlap (halo) count twice in the second, padding never counts there.

    Args:
        extents: the whole extent of each dimension that is cut or stepped through. Dimensions of the axis that are not listed stand
            still (one position stands for all of them), and positions are then not absolute, so that padding cannot be seen.
        cuts: extent in one tile of each dimension of one group; the others are whole.
        size: elements of the axis.
    """
    wholes = [extents.get(dim, 1) for dim, _ in axis.terms]
    absolute = all(dim in extents for dim, _ in axis.terms)
    if max(wholes) <= 1:
        return [_counted(axis, wholes, wholes, size, absolute)] * len(cuts)
    known: dict[tuple[int, ...], tuple[int, int]] = {}
    counts = []
    for cut in cuts:
        tiles = tuple([cut.get(term[0], whole) for term, whole in zip(axis.terms, wholes, strict=True)])
        found = known.get(tiles)
        if found is None:
            found = known[tiles] = _counted(axis, wholes, tiles, size, absolute)
        counts.append(found)
    return counts


def _counted(axis: Axis, wholes: Sequence[int], tiles: Sequence[int], size: int, absolute: bool) -> tuple[int, int]:
    moving = []
    spanned = rest = 0
    for (_, step), whole, tile in zip(axis.terms, wholes, tiles, strict=True):
        reach = abs(step) * (tile - 1)
        spanned += reach
        if tile < whole:
            moving.append((step, whole, tile))
        else:
            rest += reach
    span = min(size, 1 + spanned)
    if not moving:
        return span, _clipped(axis.offset, axis.offset + rest, size) if absolute else min(size, 1 + rest)
    if len(moving) > 1:
        trips = [-(-whole // tile) for _, whole, tile in moving]
        count = prod(trips)
        steps = sum(abs(step) * (whole - own) * (count // own) for (step, whole, _), own in zip(moving, trips, strict=True))
        return span, count * (1 + rest) + steps
    ((step, whole, tile),) = moving
    count = -(-whole // tile)
    if step < 0:
        return span, count * min(size, 1 + rest - step * (tile - 1))
    total = step * (whole - count) + count * (1 + rest)
    return span, total - _outside(axis.offset, step, whole, tile, rest, size) if absolute else total


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
