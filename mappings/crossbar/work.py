"""Stages of one operator on a crossbar: vectors in, products on arrays, digital work on the results, results out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from itertools import pairwise
from math import ceil

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.records import dataclass
from mappings.dataflow import LINK, PORT, Alternative, Edge, Segment, Stage
from mappings.vector import even

ARRAYS, VECTOR, LOAD, STORE, WRITE, WEIGHTS, CROSS = "arrays", "vector", "load", "store", "write", "load weights", "between chips"
TILES = 16
"""Pieces that an operator's vectors are cut into, so that loads, products, digital work and stores overlap."""


@dataclass(frozen=True, slots=True)
class Work:
    """What an operator does, in cycles, bytes and joules.

    Attributes:
        array_cycles: of all products, one set of copies; ``turns``: vectors that the busiest copy takes.
        vector_cycles: of the digital unit; ``loads``, ``stores``: tensor to bytes off chip.
        passes: times that arrays are written anew; ``write_cycles``: of one of them; ``weights``: tensor to bytes written in all,
            each part of them in one pass.
        crossing_cycles: of the link between chips, all vectors.
        buffer: bytes that the on-chip memory gives arrays and takes from them, beside loads and stores.
        actions: as of ``Alternative``.
    """

    array_cycles: int
    turns: int
    vector_cycles: int = 0
    loads: Mapping[str, int] = field(default_factory=dict)
    stores: Mapping[str, int] = field(default_factory=dict)
    passes: int = 1
    write_cycles: int = 0
    weights: Mapping[str, int] = field(default_factory=dict)
    crossing_cycles: int = 0
    buffer: tuple[int, int] = (0, 0)
    actions: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def alternative_of(name: str, work: Work, unit: ComputeUnit, vector: ComputeUnit | None, link: str, hardware: Hardware) -> Alternative:
    """The dataflow graph of ``work``: tiles of vectors go from load to arrays to digital work to store."""
    dram, chip = hardware.dram, hardware.on_chip
    place = chip.name if chip is not None else unit.name
    loaded, stored = sum(work.loads.values()), sum(work.stores.values())
    buffered = ceil((sum(work.buffer) + loaded + stored) * hardware.clock_hz / chip.bandwidth_bytes_per_s) if chip is not None else 0
    array_cycles = max(work.array_cycles, 1)
    fitting = 0 if chip is None else -(-4 * (loaded + stored) // max(1, chip.size_bytes))  # two tiles in a half of the memory
    tiles = max(1, min(max(TILES, fitting), work.turns))
    held = 0 if chip is None else (2 if chip.double_buffered else 1) * -(-(loaded + stored) // tiles)
    again = work.passes if chip is not None and held + loaded > chip.size_bytes // 2 else 1  # times that the vectors come in
    stages: list[Stage] = []
    edges: list[Edge] = []
    chain: list[tuple[str, int]] = []
    if loaded:
        firings = tiles * again
        loads = {tensor: size * again for tensor, size in work.loads.items()}
        stages.append(Stage(LOAD, PORT + dram.name, even(loads, firings, dram.name, place)))
        chain.append((LOAD, firings))
    if work.crossing_cycles and link:
        stages.append(Stage(CROSS, LINK + link, even({"": work.crossing_cycles}, tiles)))
        chain.append((CROSS, tiles))
    firings = tiles * work.passes
    stages.append(Stage(ARRAYS, unit.name, even({"": max(array_cycles, buffered)}, firings)))
    chain.append((ARRAYS, firings))
    if work.vector_cycles and vector is not None:
        stages.append(Stage(VECTOR, vector.name, even({"": work.vector_cycles}, tiles)))
        chain.append((VECTOR, tiles))
    if stored:
        stages.append(Stage(STORE, PORT + dram.name, even(work.stores, tiles, place, dram.name)))
        chain.append((STORE, tiles))
    edges.extend(_joined(source, before, target, after) for (source, before), (target, after) in pairwise(chain))
    if work.write_cycles or any(work.weights.values()):
        _add_writing(work, unit, dram.name, tiles, stages, edges)
    actions = dict(work.actions)
    if chip is not None:
        read, written = work.buffer
        for action, size in ((f"{chip.name}.read.byte", read + stored), (f"{chip.name}.write.byte", written + loaded)):
            actions[action] = actions.get(action, 0.0) + float(size)
    rate = dram.achieved_bandwidth(float("inf")) / hardware.clock_hz
    moved = ceil((loaded * again + stored + sum(work.weights.values())) / rate)
    breakdown = {
        "arrays": array_cycles, "buffer": buffered, "vector": work.vector_cycles, "write": work.write_cycles * work.passes,
        "between chips": work.crossing_cycles, f"memory {dram.name}": moved,
    }  # fmt: skip
    longest = max(max(array_cycles, buffered) + work.write_cycles * work.passes, work.vector_cycles, moved, work.crossing_cycles)
    estimate = longest + (moved + work.vector_cycles) // max(1, tiles)
    shown = {part: cycles for part, cycles in breakdown.items() if cycles}
    need = min(held, chip.size_bytes) if chip is not None else 0
    return Alternative(name, tuple(reversed(stages)), tuple(edges), need, estimate, actions, shown, work.notes)


def _joined(source: str, before: int, target: str, after: int) -> Edge:
    """An edge between stages of ``before`` and ``after`` firings, of which one is a multiple of the other; room for two of the larger."""
    if before == after:
        return Edge(source, target)
    if after > before:
        times = after // before
        return Edge(source, target, times, 1, 0, 2 * times)
    times = before // after
    return Edge(source, target, 1, times, 0, 2 * times)


def _add_writing(work: Work, unit: ComputeUnit, dram: str, tiles: int, stages: list[Stage], edges: list[Edge]) -> None:
    """What is written comes from off chip and is written before each pass; the arrays are written when the pass before has ended."""
    stages.append(Stage(WRITE, unit.name, (Segment(work.passes, work.write_cycles),)))
    edges.append(Edge(WRITE, ARRAYS, tiles, 1, 0, tiles))
    if work.passes > 1:
        edges.append(Edge(ARRAYS, WRITE, 1, tiles, tiles, 2 * tiles))
    if any(work.weights.values()):
        stages.append(Stage(WEIGHTS, PORT + dram, even(work.weights, work.passes, dram, unit.name)))
        edges.append(Edge(WEIGHTS, WRITE))
