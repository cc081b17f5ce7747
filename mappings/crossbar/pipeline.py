"""Layer pipelines: the layers of a block work side by side, each on its own arrays, row after row.

Layer by layer a layer starts when the one before has ended. In a pipeline (Shafiee et al., ISAAC, ISCA 2016, section 3.2) a row of results
goes on as soon as it is there: a firing of a layer makes one row, an edge carries rows. A convolution of window k, stride s and padding p
takes s rows per firing, and its first row waits for k - p of them: the edge begins with s - k + p tokens, which may be less than none. Rows
of padding below the input are made by its maker, in no time, after its last row (and so on up to the first layer, as each firing takes
rows). Each layer has ``copies`` sets of arrays, which take the
vectors of its rows in turn: row i ends with turn ``ceil((i + 1) vectors per row / copies)``.

What edges hold: ``mappings.crossbar.buffers``. Digital work of all layers shares the digital unit. Images of a batch follow each other:
each has stages of its own on the same arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import ceil
from typing import Any

from hwspecs.crossbar import KIND
from hwspecs.vocabulary.records import dataclass
from mappings.crossbar.buffers import Rooms
from mappings.crossbar.rows import Window, rows_of, windows_of
from mappings.crossbar.work import ARRAYS
from mappings.dataflow import LINK, PORT, Alternative, Edge, MappedOperator, Segment, Stage, Transfer
from mappings.groups import PIPELINE, Group, Stretch, standing_for
from workloads.graph import Operator, Role

BATCH = 16
"""Images of a batch that are played one by one; of larger batches no pipeline is made (the steady interval says what they take)."""


@dataclass(frozen=True, slots=True)
class Member:
    """An operator of a pipeline.

    Attributes:
        rows: of its result, of one image; ``windows``: input (by root) to the rows of it that a result row needs.
        layer: its row of ``Result.in_memory['layers']``; None for digital work.
        digital: the unit of its digital work and the cycles of one image; ``""`` if none. ``link``: the same of the way between chips.
    """

    index: int
    name: str
    rows: int
    windows: Mapping[str, Window]
    layer: Mapping[str, Any] | None
    digital: tuple[str, int]
    link: tuple[str, int]
    outputs: tuple[str, ...]

    @property
    def further(self) -> int:
        """Stages behind its first one."""
        return int(bool(self.link[1])) + int(self.layer is not None and bool(self.digital[1]))


def pipelines(stretch: Stretch, in_memory: Mapping[str, Any] | None) -> tuple[Group, ...]:
    """The runs of operators of a block that can work side by side, two layers with arrays at least."""
    unit = stretch.hardware.primary
    if unit.kind != KIND or in_memory is None:
        return ()
    layers = _layers(in_memory)
    groups = []
    for first, last in _runs(stretch, layers, unit.name):
        maker = _Maker(stretch, first, last, layers, unit.name)
        alternative = maker.alternative()
        if alternative is not None:
            groups.append(Group(first, last, standing_for(stretch, first, last, PIPELINE, (alternative,), unit.name)))
    return tuple(groups)


def _layers(in_memory: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Layers by the operator's name; not those that are written during the run, nor names that stand for different ones."""
    found: dict[str, Mapping[str, Any]] = {}
    twice: set[str] = set()
    for row in in_memory["layers"]:
        if row["name"] in found or not row["resident"]:
            twice.add(row["name"])
        found[row["name"]] = row
    return {name: row for name, row in found.items() if name not in twice}


def _runs(stretch: Stretch, layers: Mapping[str, Any], unit: str) -> Iterator[tuple[int, int]]:
    """Longest runs of operators that are layers, digital work or views, from layer to layer or digital work, with two layers at least."""
    items = stretch.block.operators
    start = 0
    while start < len(items):
        end = start
        while end < len(items) and _can_join(items[end], layers, unit, stretch):
            end += 1
        inside = [place for place in range(start, end) if items[place].alternatives[0].stages]
        if sum(items[place].operator in layers for place in inside) > 1:
            yield inside[0], inside[-1]
        start = max(end, start + 1)


def _can_join(item: MappedOperator, layers: Mapping[str, Any], unit: str, stretch: Stretch) -> bool:
    if not item.alternatives[0].stages:
        return True
    if item.unit == unit:
        return item.operator in layers
    known = {*item.reads, *item.writes}
    moved = {move.tensor for stage in item.alternatives[0].stages for part in stage.segments for move in part.transfers}
    return moved <= known and item.unit in stretch.hardware.units and not item.members


class _Maker:
    """The dataflow graph of one run of operators."""

    def __init__(self, stretch: Stretch, first: int, last: int, layers: Mapping[str, Any], unit: str) -> None:
        self.stretch, self.first, self.last, self.layers, self.unit = stretch, first, last, layers, unit
        self.reads, self.writes, _ = stretch.border(first, last)
        self.batch = self._batch()
        self.stages: list[Stage] = []
        self.edges: list[Edge] = []
        self.held: dict[str, int] = {}

    def alternative(self) -> Alternative | None:
        """The pipeline of all images; None for a batch that is not taken image by image."""
        if not self.batch:
            return None
        members = [self._member(index) for index in range(self.first, self.last + 1) if self._working(index)]
        for image in range(self.batch):
            self._image(members, f" [{image}]" if self.batch > 1 else "")
        items = [self.stretch.block.operators[member.index] for member in members]
        busy: dict[str, int] = {}
        for stage in self.stages:
            busy[stage.unit] = busy.get(stage.unit, 0) + stage.cycles
        breakdown = {name: cycles for name, cycles in busy.items() if not name.startswith(PORT) and cycles}
        first = sum(stage.segments[0].cycles for stage in self.stages if stage.segments) // self.batch
        notes = tuple(dict.fromkeys(note for item in items for note in item.alternatives[0].notes))
        chip = self.stretch.hardware.on_chip
        name = f"{sum(member.layer is not None for member in members)} layers side by side"
        return Alternative(
            name, tuple(self.stages), tuple(self.edges), sum(self.held.values()) if chip is not None else 0,
            max(breakdown.values(), default=0) + first, self._actions(items), breakdown, notes, len(members) * self.batch,
        )  # fmt: skip

    def _batch(self) -> int:
        """Images that follow each other: the leading axis of tensors of four axes; 0 where there are too many."""
        made = [name for item in self._items() for name in item.writes]
        images = {
            tensor.shape[0] for name in made if (tensor := self.stretch.block.tensors.get(name)) is not None and len(tensor.shape) >= 4
        }
        if len(images) > 1 or max(images, default=1) > BATCH:
            return 0
        return max(images, default=1)

    def _items(self) -> Sequence[MappedOperator]:
        return self.stretch.block.operators[self.first : self.last + 1]

    def _working(self, index: int) -> bool:
        return bool(self.stretch.block.operators[index].alternatives[0].stages)

    def _rows(self, name: str) -> int:
        """Rows of one image of a tensor; the first of two axes counts those of all images (of images and features: one each)."""
        tensor = self.stretch.tensors[name]
        if self.batch > 1 and len(tensor.shape) == 2:
            return max(1, rows_of(tensor) // self.batch)
        return rows_of(tensor)

    def _member(self, index: int) -> Member:
        operator, item = self.stretch.operators[index], self.stretch.block.operators[index]
        output = max(item.writes, key=lambda name: item.writes[name], default=operator.outputs[0])
        rows = self._rows(operator.outputs[0]) if output not in self.stretch.tensors else self._rows(output)
        windows = self._windows(operator, rows)
        digital = [stage for stage in item.alternatives[0].stages if not stage.unit.startswith((PORT, LINK)) and stage.name != ARRAYS]
        cycles = ceil(sum(stage.cycles for stage in digital) / self.batch)
        layer = self.layers.get(item.operator)
        links = [stage for stage in item.alternatives[0].stages if stage.unit.startswith(LINK)]
        link = (links[0].unit, ceil(sum(stage.cycles for stage in links) / self.batch)) if links else ("", 0)
        outputs = (output, *(name for name in item.writes if name != output))
        return Member(index, item.operator, rows, windows, layer, (digital[0].unit if digital else "", cycles), link, outputs)

    def _windows(self, operator: Operator, rows: int) -> dict[str, Window]:
        roots, tensors = self.stretch.roots, self.stretch.tensors
        found: dict[str, Window] = {}
        for name, window in windows_of(operator, tensors, rows).items():
            root = roots.get(name, name)
            if tensors[name].role == Role.WEIGHT:
                continue
            if self._rows(root) != self._rows(name) or window.rows != self._rows(root) or root in found:
                window = Window(self._rows(root), 0, 0, 0)
            found[root] = window
        return found

    def _image(self, members: Sequence[Member], suffix: str) -> None:
        """Stages and edges of one image, last layer first: what is nearest to the end goes first where a unit is shared."""
        firings = self._firings(members)
        rooms = Rooms(members, firings)
        stages: list[list[Stage]] = []
        sources: dict[str, str] = {}
        for name in self.reads:
            if any(name in member.windows for member in members):
                rows = self._rows(name)
                stages.append([self._load(name, rows, firings[name] - rows, f"load {name}{suffix}")])
                sources[name] = f"load {name}{suffix}"
        for member in members:
            padding = firings[member.outputs[0]] - member.rows
            own = self._stages(member, padding, suffix)
            for name in (name for name in member.windows if name in sources):
                self._edge(sources[name], own[0].name, member, name, rooms)
                cache = self.stretch.extended(name)
                if cache != name and cache in self.reads and cache not in member.windows:  # what was in it before its maker added a region
                    before = f"load {cache} for {member.name}{suffix}"
                    stages.append([self._load(cache, self._rows(cache), 0, before)])
                    self.edges.append(Edge(before, own[0].name, 0, 0, 0, 0))
            self._weights(member, own[0].name, suffix, stages)
            sources.update(dict.fromkeys(member.outputs, own[-1].name))
            for output in self.stretch.block.operators[member.index].writes:
                if output in self.writes:
                    own.append(self._store(output, member, padding, own, suffix))
            stages.append(own)
        self.stages.extend(stage for own in reversed(stages) for stage in reversed(own))

    def _firings(self, members: Sequence[Member]) -> dict[str, int]:
        """Tensor to the rows that its maker emits, those of padding behind its last row among them."""
        most = {name: self._rows(name) for member in members for name in member.windows}
        for member in reversed(members):
            made = max([member.rows, *(most.get(name, 0) for name in member.outputs)])
            most.update(dict.fromkeys(member.outputs, made))
            for name, window in member.windows.items():
                if not window.whole:
                    most[name] = max(most[name], window.taken(made))
        return most

    def _stages(self, member: Member, padding: int, suffix: str) -> list[Stage]:
        """The arrays of a member and its digital work, a firing for each row."""
        own: list[Stage] = []
        rows = member.rows
        if member.link[1]:
            own.append(Stage(f"{member.name} between chips{suffix}", member.link[0], _segments(_shares(member.link[1], rows), padding)))
        if member.layer is not None:
            spent = row_cycles(member.layer, rows, self.batch)
            own.append(Stage(f"{member.name}{suffix}", f"{self.unit}.{member.layer['held_as']}", _segments(spent, padding)))
        unit, cycles = member.digital
        if cycles or member.layer is None:
            name = f"{member.name} digital{suffix}" if own else f"{member.name}{suffix}"
            own.append(Stage(name, unit or self.unit, _segments(_shares(cycles, rows), padding)))
        self.edges.extend(Edge(source.name, target.name) for source, target in pairwise(own))
        return own

    def _edge(self, maker: str, target: str, member: Member, name: str, rooms: Rooms) -> None:
        window = member.windows[name]
        if window.whole:
            self.edges.append(Edge(maker, target, 0, 0, 0, 0))
            self._hold(name, window.rows)
            return
        room = rooms.room(member, name)
        self.edges.append(Edge(maker, target, 1, window.stride, window.initial(), room))
        self._hold(name, min(room - window.initial(), window.rows))

    def _hold(self, name: str, rows: int) -> None:
        tensor = self.stretch.tensors[name]
        size = ceil(max(1, rows) * tensor.stored_bytes / (self.batch * max(1, self._rows(name))))
        self.held[name] = max(self.held.get(name, 0), size)

    def _load(self, name: str, rows: int, padding: int, stage: str) -> Stage:
        hardware = self.stretch.hardware
        chip = hardware.on_chip.name if hardware.on_chip is not None else self.unit
        segments = _moved(name, self.reads[name] // self.batch, rows, hardware.dram.name, chip)
        return Stage(stage, PORT + hardware.dram.name, (*segments, Segment(padding, 0)) if padding else segments)

    def _weights(self, member: Member, target: str, suffix: str, stages: list[list[Stage]]) -> None:
        """What digital work reads of weights comes in at once, with the first image."""
        hardware = self.stretch.hardware
        chip = hardware.on_chip.name if hardware.on_chip is not None else self.unit
        names = [name for name in self.stretch.block.operators[member.index].reads if name in self.reads and name not in member.windows]
        moves = tuple(Transfer(name, self.reads[name], hardware.dram.name, chip) for name in names)
        stage = f"load weights of {member.name}"
        if moves and suffix in ("", " [0]"):
            stages.append([Stage(stage, PORT + hardware.dram.name, (Segment(1, 0, moves),))])
        if moves:
            self.edges.append(Edge(stage, target, 0, 0, 0, 0))

    def _store(self, name: str, member: Member, padding: int, own: Sequence[Stage], suffix: str) -> Stage:
        hardware = self.stretch.hardware
        chip = hardware.on_chip.name if hardware.on_chip is not None else self.unit
        segments = _moved(name, self.writes[name] // self.batch, member.rows, chip, hardware.dram.name)
        stage = Stage(f"store {name}{suffix}", PORT + hardware.dram.name, segments)
        self.edges.append(Edge(own[-1].name if own[-1].unit[:5] != PORT else own[0].name, stage.name, 1, 1, 0, 2 + padding))
        return stage

    def _actions(self, items: Sequence[MappedOperator]) -> dict[str, float]:
        """Actions of the members, without the bytes that cross the on-chip memory's border layer by layer alone."""
        actions: dict[str, float] = {}
        chip = self.stretch.hardware.on_chip
        for item in items:
            for action, count in item.alternatives[0].actions.items():
                actions[action] = actions.get(action, 0.0) + count
            if chip is None:
                continue
            inner_reads = sum(size for name, size in item.reads.items() if name not in self.reads)
            inner_writes = sum(size for name, size in item.writes.items() if name not in self.writes)
            for action, size in ((f"{chip.name}.write.byte", inner_reads), (f"{chip.name}.read.byte", inner_writes)):
                if action in actions:
                    actions[action] = max(0.0, actions[action] - size)
        return actions


def row_cycles(layer: Mapping[str, Any], rows: int, batch: int) -> list[int]:
    """Cycles of each row of one image: vectors go to the copies in turn, and the last of a row ends it."""
    vectors = layer["products"] // batch
    copies, interval = layer["copies"], layer["cycles_per_product"]
    ends = [-(-vectors * (row + 1) // (rows * copies)) for row in range(rows)]
    spent = [(end - start) * interval for start, end in zip([0, *ends], ends, strict=False)]
    spent[0] += layer["cycles"] - -(-layer["products"] // copies) * interval
    return spent


def _shares(total: int, rows: int) -> list[int]:
    """``total`` over ``rows`` as evenly as whole numbers allow."""
    return [total * (row + 1) // rows - total * row // rows for row in range(rows)]


def _segments(cycles: Sequence[int], padding: int) -> tuple[Segment, ...]:
    """Run-length encoded firings, and those of padding."""
    found: list[Segment] = []
    for spent in cycles:
        if found and found[-1].cycles == spent:
            found[-1] = Segment(found[-1].repeat + 1, spent)
        else:
            found.append(Segment(1, spent))
    if padding:
        found.append(Segment(padding, 0))
    return tuple(found)


def _moved(name: str, size: int, rows: int, source: str, target: str) -> tuple[Segment, ...]:
    """A firing per row that moves its share of ``size`` bytes."""
    found: list[Segment] = []
    for share in _shares(size, rows):
        moves = (Transfer(name, share, source, target),) if share else ()
        if found and found[-1].transfers == moves:
            found[-1] = Segment(found[-1].repeat + 1, 0, moves)
        else:
            found.append(Segment(1, 0, moves))
    return tuple(found)
