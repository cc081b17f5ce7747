"""The dataflow graph of a chain cut into tiles.

Every stage fires once per tile (the product of a layer whose weights are reloaded: once per tile and chunk), tiles of one image after the
other. A load stage per tensor that enters by rows, one per layer for what is read whole (one firing where it is resident), a stage on the
array and one on the vector unit per layer, a store. An edge holds the tiles that a buffer holds. Where vector work stands between a product
and the next layer, both use one buffer, so an edge back from each reader tells the product that a place is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil

from mappings.chains.tiling import Band, merged
from mappings.chains.weighing import Chain, Plan
from mappings.dataflow import PORT, Alternative, Edge, Segment, Stage, Transfer

SEGMENTS_LIMIT = 600
"""Runs of equal firings that a stage may hold: images one after the other repeat the runs of one."""


def fits_runs(chain: Chain, plan: Plan) -> bool:
    """Whether no stage of the graph has more than ``SEGMENTS_LIMIT`` runs."""
    longest = max(len(runs) for done in plan.done for runs in done.steps)
    return longest * chain.images <= SEGMENTS_LIMIT


def alternative_of(chain: Chain, plan: Plan) -> Alternative:
    """The alternative of ``plan`` with its graph, on-chip actions and breakdown."""
    stages, edges = _Builder(chain, plan).graph()
    busy = {"array": 0, "vector": 0}
    for layer, work, done in zip(chain.layers, chain.works, plan.done, strict=True):
        for step in range(len(work.units)):
            busy["array" if layer.product is not None and step == 0 else "vector"] += chain.images * done.cycles(step)
    memory = chain.hardware.dram
    rate = memory.achieved_bandwidth(float("inf")) / chain.hardware.clock_hz
    breakdown = {**busy, f"memory {memory.name}": ceil(plan.bytes / rate)}
    return Alternative(plan.name, stages, edges, plan.working_set_bytes, plan.estimate, _actions(chain, plan), breakdown)


def _actions(chain: Chain, plan: Plan) -> dict[str, float]:
    """Work of all layers, and what comes from and goes to the off-chip memory passing the scratchpad once more."""
    total: dict[str, float] = {}
    for layer, work, parts in zip(chain.layers, chain.works, plan.chunks, strict=True):
        for key, value in work.actions(plan.tiling.bands[layer.out], max(1, parts)).items():
            total[key] = total.get(key, 0.0) + chain.images * value
    chip = chain.hardware.on_chip
    assert chip is not None
    last = chain.layers[-1]
    out = plan.moved[last.out]
    for key, value in ((f"{chip.name}.write.byte", plan.bytes - out), (f"{chip.name}.read.byte", out)):
        total[key] = total.get(key, 0.0) + value
    return total


class _Builder:
    def __init__(self, chain: Chain, plan: Plan) -> None:
        self.chain, self.plan = chain, plan
        self.port, self.dram = PORT + chain.hardware.dram.name, chain.hardware.dram.name
        memory = chain.hardware.on_chip
        assert memory is not None
        self.chip = memory.name
        self.tiles = plan.tiling.tiles * chain.images
        self.depth = chain.depth
        self.edges: list[Edge] = []
        self.loads: list[Stage] = []
        self.names = [
            [
                f"{layer.operator.name} {('array' if layer.product is not None else 'work') if step == 0 else 'epilogue'}"
                for step in range(len(work.units))
            ]
            for layer, work in zip(chain.layers, chain.works, strict=True)
        ]

    def graph(self) -> tuple[tuple[Stage, ...], tuple[Edge, ...]]:
        """Stages in the order in which a port or unit serves them: the store first, loads as the layers need them, later layers before
        earlier ones.
        """  # fmt: skip
        work: list[Stage] = []
        entering = {reach.tensor: reach for reach in self.chain.entering}
        for place, layer in enumerate(self.chain.layers):
            for step, unit in enumerate(self.chain.works[place].units):
                work.append(Stage(self.names[place][step], unit, self._segments(self.plan.done[place].steps[step])))
            self._fixed(place)
            for reach in layer.reaches:
                if reach.tensor in entering:
                    entering.pop(reach.tensor)
                    self._load(reach.tensor)
            self._hand_on(place)
        store = self._store()
        work.reverse()
        return (store, *self.loads, *work), tuple(self.edges)

    def _segments(self, runs: Sequence[tuple[int, int]]) -> tuple[Segment, ...]:
        """Firings of every image, equal neighbours merged."""
        return tuple([Segment(repeat, cycles) for repeat, cycles in merged([*runs] * self.chain.images)])

    def _moving(self, tensor: str, band: Band, image_bytes: int, source: str, target: str) -> tuple[Segment, ...]:
        sizes = [(tiles, band.bytes(points, image_bytes)) for tiles, points in band.made]
        runs = merged(sizes * self.chain.images)
        return tuple([Segment(repeat, 0, (Transfer(tensor, size, source, target),) if size else ()) for repeat, size in runs])

    def _per_tile(self, place: int, step: int) -> int:
        """Firings of a stage per tile."""
        return max(1, self.plan.chunks[place]) if step == 0 else 1

    def _readers(self, tensor: str) -> list[tuple[int, int]]:
        """(layer, step) that read a tensor by rows."""
        return [
            (place, step)
            for place, layer in enumerate(self.chain.layers)
            for reach in layer.reaches
            if reach.tensor == tensor
            for step in sorted(reach.steps)
        ]

    def _load(self, tensor: str) -> None:
        reach = next(reach for reach in self.chain.entering if reach.tensor == tensor)
        name = f"load {tensor}"
        segments = self._moving(tensor, self.plan.tiling.bands[tensor], reach.image_bytes, self.dram, self.chip)
        self.loads.append(Stage(name, self.port, segments))
        for place, step in self._readers(tensor):
            times = self._per_tile(place, step)
            self.edges.append(Edge(name, self.names[place][step], times, 1, 0, self.depth * times))

    def _fixed(self, place: int) -> None:
        """Load what a layer reads whole: once, or in chunks for every tile."""
        fixed = {name: size for name, size in self.chain.layers[place].fixed.items() if size}
        if not fixed:
            return
        parts = self.plan.chunks[place]
        name, target = f"load {self.chain.layers[place].operator.name} weights", self.names[place][0]
        if not parts:
            transfers = tuple([Transfer(tensor, size, self.dram, self.chip) for tensor, size in fixed.items()])
            self.loads.append(Stage(name, self.port, (Segment(1, 0, transfers),)))
            self.edges.append(Edge(name, target, self.tiles, 1, 0, self.tiles))
            return
        cuts = sorted({0, parts, *[size % parts for size in fixed.values()]})  # every tile loads all bytes, the first chunks one more
        segments = []
        for start, end in pairwise(cuts):
            sizes = [(tensor, size // parts + (start < size % parts)) for tensor, size in fixed.items()]
            moves = tuple([Transfer(tensor, size, self.dram, self.chip) for tensor, size in sizes if size])
            segments.append(Segment(end - start, 0, moves))
        times = self.tiles
        if len(segments) == 1:
            segments, times = [Segment(parts * self.tiles, 0, segments[0].transfers)], 1
        self.loads.append(Stage(name, self.port, tuple(segments) * times))
        self.edges.append(Edge(name, target, 1, 1, 0, self.plan.buffered[place]))

    def _hand_on(self, place: int) -> None:
        """Edges from a layer to those that read its output, and within it from the product to the vector work."""
        layer, names = self.chain.layers[place], self.names[place]
        parts = self._per_tile(place, 0)
        if len(names) > 1:
            self.edges.append(Edge(names[0], names[1], 1, parts, 0, self.depth * parts))
        readers = [(self.names[at][step], self._per_tile(at, step)) for at, step in self._readers(layer.out)]
        if place == len(self.chain.layers) - 1:
            readers = [("store", 1)]
        consumed = parts if len(names) == 1 else 1
        for reader, times in readers:
            self.edges.append(Edge(names[-1], reader, times, consumed, 0, self.depth * max(times, consumed)))
            if len(names) > 1 and parts == 1:
                self.edges.append(Edge(reader, names[0], 1, times, self.depth * times, self.depth * times))

    def _store(self) -> Stage:
        last = self.chain.layers[-1]
        return Stage("store", self.port, self._moving(last.out, self.plan.tiling.bands[last.out], last.image_bytes, self.chip, self.dram))
