"""Which weights sit where: the arrays of a crossbar by tile, coloured by layer, paler where their cells are poorly used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, sqrt

from cyclewright.arrays import Arrays, Layer, read_arrays, stretches
from cyclewright.plots.formatting import count, percent
from cyclewright.plots.palette import OTHER, SERIES
from cyclewright.plots.scene import Rect, Scene, Text, shorten, text_width
from cyclewright.plots.wording import title
from simulator.result import Result

_CYCLE = SERIES[:-1]
_STEPS = ((0.25, 0.28), (0.5, 0.48), (0.75, 0.7), (1.0, 1.0))
"""(use of the cells up to, opacity)."""
_FINEST = 2.5
"""Pixels of the smallest square that is drawn; where arrays would be smaller, a square stands for several."""
_SMALLEST_TILE = 12.0
_MOST_LISTED = {True: 60, False: 24}
"""Layers in the legend of a wide and of a narrow figure; the others are grey."""
NO_ARRAYS = "this hardware has no arrays that hold weights"
_SEPARATE_CHIPS = 8
"""Chips that are set apart; of more, tiles follow each other."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How arrays become squares.

    Attributes:
        across, down: squares of a box; ``size``: pixels of a square; ``gap``: between boxes.
        boxes: in a row. ``tiles``: that a box stands for. ``arrays``: that a square stands for, 1 where each is drawn.
    """

    across: int
    down: int
    size: float
    gap: float
    boxes: int
    tiles: int
    arrays: float

    @property
    def width(self) -> float:
        """Pixels from a box to the next."""
        return self.across * self.size + self.gap

    @property
    def height(self) -> float:
        """Pixels from a row of boxes to the next."""
        return self.down * self.size + self.gap


@dataclass(frozen=True, slots=True)
class Square:
    """What a square shows: the layer that holds most of its arrays (-1: none), and the share of its cells that hold weights."""

    layer: int
    use: float


def array_map_scene(result: Result, *, width: float = 1080, heading: bool = True) -> Scene:
    """Lay out the map and the list of layers; a run on other hardware gives a scene that says so."""
    scene, top = begun(result, "Arrays by layer of", width, heading)
    found = read_arrays(result.in_memory)
    if found is None or not found.arrays:
        scene.add(Text(12, top + 18, NO_ARRAYS, size=12, fill="muted"))
        return scene
    wide = width > 600
    grid = grid_of(found, width - 24)
    listed = _listed(found.placed, _MOST_LISTED[wide])
    y = _told(scene, found, grid, top)
    y = _keys(scene, found, y + 20)
    y = _map(scene, found, grid, listed, y + 14)
    scene.height = _legend(scene, found, listed, y + 20, 3 if wide else 1) + 12
    return scene


def begun(result: Result, words: str, width: float, heading: bool) -> tuple[Scene, float]:
    """A figure of a run with its title, if there is to be a heading, and where the rest begins; as high as one line that says why not."""
    top = 36.0 if heading else 4.0
    scene = Scene(width, top + 34, f"{words} {title(result)}")
    if heading:
        scene.add(Text(12, 22, shorten(title(result), 14, width - 24, bold=True), size=14, bold=True))
    return scene, top


def grid_of(found: Arrays, room: float) -> Grid:
    """Boxes and squares that fill ``room`` pixels; tiles are joined where they would be too small to tell apart."""
    each = max(1, found.arrays_per_tile)
    tiles = ceil(found.arrays / each)
    height = 0.5 * room if room > 600 else 1.2 * room
    most = max(1, int(room // _SMALLEST_TILE) * int(height // _SMALLEST_TILE))
    joined = ceil(tiles / most)
    boxes, inside = ceil(tiles / joined), each * joined
    across, down = _factors(inside)
    box_width = sqrt(room * height / boxes * across / down)
    in_row = max(1, min(boxes, round(room / box_width), int(room // _SMALLEST_TILE)))
    gap = 4.0 if room / in_row >= 24 else 1.5
    size = min((room + gap) / in_row - gap, 30.0 * across) / across
    if size < _FINEST:
        fewer = max(1, int(across * size / _FINEST))
        down = max(1, round(down * fewer / across))
        size, across = across * size / fewer, fewer
    return Grid(across, down, size, gap, in_row, joined, inside / (across * down) if across * down < inside else 1.0)


def _factors(number: int) -> tuple[int, int]:
    """Columns and rows of a box with places for ``number`` arrays: its factors where they are not too far apart."""
    for down in range(int(sqrt(number)), 0, -1):
        if number % down == 0 and (number // down <= 2.6 * down or number <= 6):
            return number // down, down
    across = ceil(sqrt(number))
    return across, ceil(number / across)


def squares(found: Arrays, boxes: int, inside: int, each: float, held: int) -> list[list[Square]]:
    """The squares of each box in reading order; ``inside`` arrays a box, ``each`` a square, ``held`` squares a box at most."""
    runs = _runs(found)
    made: list[list[Square]] = []
    left, layer, use = 0.0, -1, 0.0
    for box in range(boxes):
        row: list[Square] = []
        room = float(min(inside, found.arrays - box * inside))
        while room > 1e-9 and len(row) < held:
            wanted = min(each, room) if len(row) < held - 1 else room
            room -= wanted
            size, shares, cells = wanted, dict[int, float](), 0.0
            while wanted > 1e-9:
                if left <= 1e-9:
                    left, layer, use = next(runs)
                part = min(left, wanted)
                shares[layer] = shares.get(layer, 0.0) + part
                cells += part * use
                left, wanted = left - part, wanted - part
            row.append(Square(max(shares, key=lambda number: shares[number]), cells / size))
        made.append(row)
    return made


def _runs(found: Arrays) -> Iterator[tuple[float, int, float]]:
    for stretch in stretches(found):
        yield float(stretch.arrays), stretch.layer, stretch.use
    yield float("inf"), -1, 0.0


def _listed(layers: tuple[Layer, ...], most: int) -> dict[int, str]:
    """Colour by number of the layers that the legend names: all of them, or those with most arrays."""
    kept = range(len(layers))
    if len(layers) > most:
        ranked = sorted(kept, key=lambda number: (-layers[number].placed, number))
        return {number: _CYCLE[place % len(_CYCLE)] for place, number in enumerate(sorted(ranked[:most]))}
    return {number: layer_colour(number) for number in kept}


def layer_colour(number: int) -> str:
    """The colour role of a layer by its place in the program: neighbours differ; grey for -1."""
    return _CYCLE[number % len(_CYCLE)] if number >= 0 else OTHER


def _told(scene: Scene, found: Arrays, grid: Grid, top: float) -> float:
    chips = f" on {count(found.chips)} chips" if found.chips > 1 else ""
    words = f"{count(found.used)} of {count(found.arrays)} arrays{chips} hold weights,", f"which fill {percent(found.use)} of their cells"
    whole = " ".join(words)
    for number, line in enumerate((whole,) if text_width(whole, 13, bold=True) <= scene.width - 24 else words):
        top += 17 if number else 0
        scene.add(Text(12, top + 14, shorten(line, 13, scene.width - 24, bold=True), size=13, bold=True))
    size = f"{found.rows} x {found.columns} cells"
    square = f"array of {size}" if grid.arrays == 1 else f"{grid.arrays:.3g} arrays of {size} (its colour: the layer with most of them)"
    box = "tile" if grid.tiles == 1 else f"{count(grid.tiles)} tiles"
    notes = [f"A square is {'an ' if grid.arrays == 1 else ''}{square}.", f"A box is {'a ' if grid.tiles == 1 else ''}{box}."]
    lines = [" ".join(notes)] if text_width(" ".join(notes), 12) <= scene.width - 24 else notes
    for number, line in enumerate(lines):
        scene.add(Text(12, top + 33 + 16 * number, shorten(line, 12, scene.width - 24), size=12, fill="muted"))
    return top + 33 + 16 * (len(lines) - 1)


def _keys(scene: Scene, found: Arrays, y: float) -> float:
    """What pale means, and what arrays without weights are."""
    x, entries, low = 12.0, list[tuple[str, str, float]](), 0.0
    for high, opacity in _STEPS:
        entries.append((f"{100 * low:.0f} to {100 * high:.0f} %", "s1", opacity))
        low = high
    scene.add(Text(x, y, "cells in use:", size=12, fill="muted"))
    x += text_width("cells in use:", 12) + 10
    if found.used < found.arrays:
        written = any(not layer.resident for layer in found.layers)
        entries.append(("weights written during the run" if written else "no weights", "grid", 1.0))
    for name, colour, opacity in entries:
        step = 16 + text_width(name, 12) + 14
        if x + step > scene.width - 12:
            x, y = 12.0, y + 18
        scene.add(Rect(x, y - 10, 11, 11, colour, opacity=opacity), Text(x + 16, y, name, size=12))
        x += step
    return y


def _map(scene: Scene, found: Arrays, grid: Grid, listed: dict[int, str], top: float) -> float:
    """Boxes row by row, chip by chip where there are few; returns where they end."""
    each = max(1, found.arrays_per_tile) * grid.tiles
    boxes = ceil(found.arrays / each)
    content = squares(found, boxes, each, grid.arrays, grid.across * grid.down)
    apart = 1 < found.chips <= _SEPARATE_CHIPS and boxes % found.chips == 0
    per_chip = boxes // found.chips if apart else boxes
    beside = max(1, grid.boxes // per_chip)
    largest: dict[int, Rect] = {}
    left, low = 12.0, top
    for chip in range(ceil(boxes / per_chip)):
        if apart:
            if chip % beside == 0:
                left, top = 12.0, low + (14 if chip == 0 else 20)
            scene.add(Text(left, top - 3, f"chip {chip + 1}", size=11, fill="muted"))
        for place in range(per_chip):
            x = left + place % grid.boxes * grid.width
            y = top + place // grid.boxes * grid.height
            number = chip * per_chip + place
            _box(scene, found, grid, listed, content[number], (x, y), number, largest)
            low = max(low, y + grid.down * grid.size)
        left += per_chip * grid.width if beside > 1 else 0.0
    _numbers(scene, largest, listed)
    return low


def _box(
    scene: Scene, found: Arrays, grid: Grid, listed: dict[int, str], row: list[Square], corner: tuple[float, float], number: int,
    largest: dict[int, Rect],
) -> None:  # fmt: skip
    """One box: neighbours with equal content become one rectangle as far as lines reach, and whole lines one block."""
    name = f"tile {number + 1}" if grid.tiles == 1 else f"tiles {number * grid.tiles + 1} to {(number + 1) * grid.tiles}"
    start = 0
    while start < len(row):
        layer, step = row[start].layer, _step(row[start].use)
        end = start
        while end < len(row) and row[end].layer == layer and _step(row[end].use) == step:
            end += 1
        colour, opacity = ("grid", 1.0) if layer < 0 else (listed.get(layer, OTHER), step)
        mean = sum(square.use for square in row[start:end]) / (end - start)
        text = f"{name}: no weights" if layer < 0 else f"{name}: {found.placed[layer].name}, {percent(mean)} of the cells in use"
        for first, last, line, lines in _blocks(start, end, grid.across):
            x, y = corner[0] + first * grid.size, corner[1] + line * grid.size
            block = Rect(x, y, (last - first) * grid.size, lines * grid.size, colour, opacity=opacity, title=text)
            scene.add(block)
            if layer in listed and (layer not in largest or _roomy(block) > _roomy(largest[layer])):
                largest[layer] = block
        start = end


def _blocks(start: int, end: int, across: int) -> Iterator[tuple[int, int, int, int]]:
    """(first and last column, line, lines) of the rectangles that cover places ``start`` to ``end`` of lines of ``across``."""
    while start < end:
        line, column = divmod(start, across)
        if column or end - start < across:
            stop = min(end, (line + 1) * across)
            yield column, column + stop - start, line, 1
            start = stop
        else:
            lines = (end - start) // across
            yield 0, across, line, lines
            start += lines * across


def _step(use: float) -> float:
    return next((opacity for high, opacity in _STEPS if use <= high + 1e-12), 1.0)


def _roomy(block: Rect) -> float:
    return min(block.width / 1.6, block.height)


def _numbers(scene: Scene, largest: dict[int, Rect], listed: dict[int, str]) -> None:
    """The number of each layer on its largest block, where it has room."""
    for layer, block in sorted(largest.items()):
        text, size = str(layer + 1), 11.0
        if block.height >= size * 0.85 and block.width >= text_width(text, size) + 2:
            fill = f"on-{listed[layer]}" if block.opacity == 1.0 else "ink"
            scene.add(
                Text(block.x + block.width / 2, block.y + block.height / 2 + size * 0.36, text, size=size, fill=fill, anchor="middle")
            )


def _legend(scene: Scene, found: Arrays, listed: dict[int, str], y: float, columns: int) -> float:
    """A line for each layer, column by column."""
    room = (scene.width - 24) / columns
    entries = [(number, colour, found.placed[number]) for number, colour in listed.items()]
    lines = ceil(len(entries) / columns)
    for place, (number, colour, layer) in enumerate(entries):
        x, at = 12 + place // max(1, lines) * room, y + place % max(1, lines) * 17
        facts = _facts(layer)
        space = room - 50 - text_width(facts, 11) - 10
        scene.add(Rect(x, at - 10, 11, 11, colour), Text(x + 36, at, str(number + 1), size=11, anchor="end", fill="muted"))
        whole = f"{layer.name}: {layer.rows} x {layer.columns} weights" + (f" in {layer.groups} groups" if layer.groups > 1 else "")
        scene.add(Text(x + 42, at, shorten(layer.name, 12, max(space, 40.0)), size=12, title=whole))
        scene.add(Text(x + room - 14, at, facts, size=11, fill="muted", anchor="end"))
    low = y + max(0, lines - 1) * 17
    rest = [layer for number, layer in enumerate(found.placed) if number not in listed]
    if rest:
        low += 19
        text = f"{len(rest)} other layers in {count(sum(layer.placed for layer in rest))} arrays"
        scene.add(Rect(12, low - 10, 11, 11, OTHER), Text(28, low, text, size=12))
    written = len({layer.name for layer in found.layers if not layer.resident})
    if written:
        low += 19
        text = f"{count(written)} layer{'s' if written > 1 else ''} more: weights written during the run"
        scene.add(Rect(12, low - 10, 11, 11, "grid"), Text(28, low, shorten(text, 12, scene.width - 40), size=12))
    return low


def _facts(layer: Layer) -> str:
    """``8 arrays x 53, 57 %``: arrays of a copy, copies of all instances, use."""
    times = layer.instances * layer.copies
    return f"{count(layer.arrays)} array{'s' if layer.arrays > 1 else ''}{f' × {count(times)}' if times > 1 else ''}, {percent(layer.use)}"
