"""Depth-first tiles of a chain: which rows of every tensor each tile makes, reads and keeps.

The last layer's output is cut into tiles of so many rows. Backwards through the chain, each layer's rows follow from those that the layers
behind it need of its output (receptive fields: Alwani et al., Fused-Layer CNN Accelerators, MICRO 2016). Where windows of consecutive
tiles overlap, the rows in common (*halo*) are

* *cached*: a tile makes only rows that no tile made before; what later tiles still need stays in line buffers, whole rows wide;
* or *recomputed*: every tile makes, and loads, all that it needs. Nothing is kept, so that tiles may be cut along the rows too.

Rows between windows (a stride longer than the window) and behind the last one are made too, so that each loop nest is covered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hwspecs.vocabulary.records import dataclass
from mappings.chains.layers import Layer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

RECOMPUTED, CACHED = "halo recomputed", "halo cached"

Runs = tuple[tuple[int, int], ...]
"""(tiles, points of each) in order."""


@dataclass(frozen=True, slots=True)
class Band:
    """What the tiles of one image make of one tensor, in points: rows, or elements of rows and columns where both are cut.

    Attributes:
        whole: points of the tensor.
        made: points that each tile makes or loads: (tiles, points) in order.
        held: most points that lie in its buffer: those of two consecutive tiles (of one, where a buffer holds one), lines among them.
        lines: most points kept from the tiles before (0 where halo is recomputed).
    """

    whole: int
    made: Runs
    held: int
    lines: int

    @property
    def total(self) -> int:
        """Points made by all tiles of an image."""
        return sum(tiles * points for tiles, points in self.made)

    @property
    def most(self) -> int:
        """Points of the largest tile."""
        return max(points for _, points in self.made)

    def bytes(self, points: int, image_bytes: int) -> int:
        """Stored bytes of ``points`` points, whole ones."""
        return -(-image_bytes * points // self.whole)


@dataclass(frozen=True, slots=True)
class Tiling:
    """Tiles of one image: ``tiles`` of ``rows`` output rows (and ``columns`` output columns; 0: whole rows), ``bands`` by tensor."""

    rows: int
    columns: int
    tiles: int
    mode: str
    bands: Mapping[str, Band]

    @property
    def overlapping(self) -> bool:
        """Whether consecutive tiles have points in common."""
        return self.mode == RECOMPUTED or any(band.lines > 0 for band in self.bands.values())

    @property
    def name(self) -> str:
        """For reports: ``4 rows, halo cached``, ``14x28 tiles, halo recomputed``."""
        size = f"{self.rows}x{self.columns} tiles" if self.columns else f"{self.rows} row{'s' if self.rows != 1 else ''}"
        return f"{size}, {self.mode}" if self.overlapping else size


def tiling(layers: Sequence[Layer], rows: int, mode: str, depth: int) -> Tiling:
    """Cut the last layer's output into tiles of ``rows`` rows and work backwards.

    Args:
        layers: in program order; each output but the last is read by later layers only.
        depth: consecutive tiles that buffers hold (2 where the scratchpad is double-buffered); the first tile of the next image follows
            the last one of an image.
    """
    import numpy as np

    last = layers[-1]
    more = last.images > 1
    first = np.arange(0, last.rows, rows, dtype=np.int64)
    windows: dict[str, list[tuple[Rows, Rows]]] = {last.out: [(first, np.minimum(first + rows, last.rows))]}
    extents = {reach.tensor: reach.rows for layer in layers for reach in layer.reaches}
    extents[last.out] = last.rows
    bands: dict[str, Band] = {}
    makers = {layer.out: layer for layer in layers}
    for name in [*reversed(makers), *[name for name in extents if name not in makers]]:
        made, bands[name] = _band(windows[name], extents[name], mode, depth, more)
        if name not in makers:
            continue
        for reach in makers[name].reaches:
            low, high = made
            some = high > low
            start = np.where(some, _clipped(reach.stride * low + reach.low, reach.rows), reach.rows)
            end = np.where(some, _clipped(reach.stride * (high - 1) + reach.high + 1, reach.rows), 0)
            windows.setdefault(reach.tensor, []).append((start, end))
    return Tiling(rows, 0, len(first), mode, bands)


def _clipped(rows: Rows, extent: int) -> Rows:
    import numpy as np

    return np.minimum(np.maximum(rows, 0), extent)  # ``clip`` takes three times as long on arrays this short


def grid(down: Tiling, across: Tiling, depth: int) -> Tiling:
    """Tiles that are cut along rows (``across``: the same chain by columns) as well as down; halo recomputed in both directions."""
    bands = {}
    for name, band in down.bands.items():
        other = across.bands[name]
        parts: list[tuple[int, int]] = []
        for tiles, rows in band.made:
            inner = [(count, rows * columns) for count, columns in other.made]
            parts.extend([(inner[0][0] * tiles, inner[0][1])] if len(inner) == 1 else inner * tiles)
        bands[name] = Band(band.whole * other.whole, merged(parts), depth * band.most * other.most, 0)
    return Tiling(down.rows, across.rows, down.tiles * across.tiles, RECOMPUTED, bands)


def _band(windows: list[tuple[Rows, Rows]], extent: int, mode: str, depth: int, more: bool) -> tuple[tuple[Rows, Rows], Band]:
    """(first rows, ends) that each tile makes of a tensor that it reads through ``windows``, and its band."""
    import numpy as np

    low, high = windows[0]
    for start, end in windows[1:]:
        low, high = np.minimum(low, start), np.maximum(high, end)
    high = np.maximum.accumulate(high)
    high[-1] = extent
    low = np.minimum.accumulate(low[::-1])[::-1]
    before = np.concatenate((np.zeros(1, dtype=np.int64), high[:-1]))
    needed = np.minimum(low, before)
    start = before if mode == CACHED else needed
    made = high - start
    if mode == CACHED:
        ahead = high
        if depth > 1:
            ahead = np.append(high[1:], extent + high[0] if more else extent)
        held, lines = int((ahead - needed).max()), int((before - needed).max())
    else:
        held = (depth if more or len(made) > 1 else 1) * int(made.max())
        lines = 0
    return (start, high), Band(extent, merged([(1, item) for item in made.tolist()]), held, lines)


def merged(runs: Sequence[tuple[int, int]]) -> Runs:
    """``runs`` with equal neighbours joined."""
    found: list[tuple[int, int]] = []
    for count, item in runs:
        if found and found[-1][1] == item:
            found[-1] = (found[-1][0] + count, item)
        else:
            found.append((count, item))
    return tuple(found)
