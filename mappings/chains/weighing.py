"""What a chain cut into tiles needs and moves: working set, off-chip bytes, an estimate of its cycles.

The working set holds the weights of all layers (resident), or two and more chunks of those that are reloaded for every tile; for every
tensor that is read by rows what two consecutive tiles need of it (one where the scratchpad is not double-buffered), halo lines among them;
and two tiles of output. Unfinished sums are 32 bits wide where a dataflow writes them to the scratchpad. In a split scratchpad weights
lie in ``filter``; what enters lies in ``ifmap``, what leaves in ``ofmap``, and what stays inside in either of the two, each tensor whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil

from hwspecs.hardware import Hardware, Memory
from hwspecs.vocabulary.records import dataclass
from mappings.chains.layers import Layer, Reach
from mappings.chains.tiling import Tiling
from mappings.chains.work import Done, LayerWork


@dataclass(frozen=True, slots=True)
class Chain:
    """Consecutive layers whose intermediates stay inside.

    Attributes:
        entering: tensors read by rows that no layer makes.
        across: the same layers cut by columns, where they can be.
    """

    layers: tuple[Layer, ...]
    works: tuple[LayerWork, ...]
    entering: tuple[Reach, ...]
    hardware: Hardware
    across: tuple[Layer, ...] = ()

    @property
    def depth(self) -> int:
        """Tiles that a buffer holds."""
        memory = self.hardware.on_chip
        return 2 if memory is not None and memory.double_buffered else 1

    @property
    def images(self) -> int:
        """Images, one after the other."""
        return self.layers[0].images


@dataclass(frozen=True, slots=True)
class Plan:
    """A chain, cut.

    Attributes:
        chunks: per layer the chunks in which its weights are reloaded for every tile; 0: resident.
        buffered: per layer the chunks that lie on chip at once; 0: all of its weights.
        filter_bytes: buffers of weights; ``working_set_bytes``: all buffers.
        line_buffer_bytes: of these, halo rows kept from tile to tile.
        moved: tensor to off-chip bytes, loads and the store.
        busiest: cycles of the unit or memory port that works longest; ``estimate``: of the whole chain.
        excess: bytes by which the scratchpad is too small.
        executed_macs: recomputed ones counted again, skipped ones not.
    """

    tiling: Tiling
    chunks: tuple[int, ...]
    buffered: tuple[int, ...]
    done: tuple[Done, ...]
    filter_bytes: int
    working_set_bytes: int
    line_buffer_bytes: int
    moved: Mapping[str, int]
    busiest: int
    estimate: int
    excess: int
    executed_macs: int

    @property
    def bytes(self) -> int:
        """All off-chip bytes."""
        return sum(self.moved.values())

    @property
    def name(self) -> str:
        """For reports: the tiles, the mode, what is reloaded."""
        again = sum(1 for count in self.chunks if count)
        return self.tiling.name + (f", weights of {again} layer{'s' if again != 1 else ''} reloaded per tile" if again else "")


def weighed(chain: Chain, cut: Tiling) -> Plan:
    """The plan of ``cut`` with as many weights resident as the scratchpad holds; ``excess`` > 0 where none fits."""
    resident = (0,) * len(chain.layers)
    plan = _weighed(chain, cut, resident)
    if not plan.excess:
        return plan
    movable = [place for place, (layer, work) in enumerate(zip(chain.layers, chain.works, strict=True)) if _reloadable(chain, layer, work)]
    saved = {place: _saved(chain, place) for place in movable}
    if plan.excess > sum(saved.values()):
        return plan
    movable.sort(key=lambda place: -saved[place])
    chunks = list(resident)
    for place in movable:
        if not plan.excess:
            break
        chunks[place] = chain.works[place].chunks
        plan = _weighed(chain, cut, tuple(chunks))
    return plan if plan.excess else _ahead(chain, plan)


def _ahead(chain: Chain, plan: Plan) -> Plan:
    """Let chunks be loaded ahead into what is left of ``filter``, so that the memory port works while other layers do.

    What is left of a unified scratchpad is for tensors that stay between operators.
    """
    memory = chain.hardware.on_chip
    if memory is None or not is_split(memory):
        return plan
    room = memory.partitions["filter"] - plan.filter_bytes
    buffered = list(plan.buffered)
    more = 0
    for place, parts in enumerate(plan.chunks):
        size = chunk_bytes(chain.layers[place], parts) if parts else 0
        if size:
            added = min((room - more) // size, parts - buffered[place])
            buffered[place] += added
            more += added * size
    return replace(
        plan,
        buffered=tuple(buffered),
        filter_bytes=plan.filter_bytes + more,
        working_set_bytes=plan.working_set_bytes + more,
    )


def is_split(memory: Memory) -> bool:
    """Whether a scratchpad has buffers of its own for inputs, weights and outputs."""
    return {"ifmap", "filter", "ofmap"} <= memory.partitions.keys()


def chunk_bytes(layer: Layer, parts: int) -> int:
    """Bytes of the largest of ``parts`` chunks of what a layer reads whole."""
    return sum(-(-size // parts) for size in layer.fixed.values())


def _saved(chain: Chain, place: int) -> int:
    """Bytes of the scratchpad that reloading a layer's weights frees at most."""
    layer = chain.layers[place]
    return max(0, sum(layer.fixed.values()) - chain.depth * chunk_bytes(layer, chain.works[place].chunks))


def _reloadable(chain: Chain, layer: Layer, work: LayerWork) -> bool:
    """Whether a layer may take its weights in chunks: something must put the parts of its output tile together again."""
    return work.chunks > 2 and (layer.epilogue or layer is chain.layers[-1])


def _weighed(chain: Chain, cut: Tiling, chunks: tuple[int, ...]) -> Plan:
    tiles = cut.tiles * chain.images
    moved: dict[str, int] = {}
    rings: dict[str, int] = {}
    lines = filters = macs = 0
    done = []
    for reach in chain.entering:
        band = cut.bands[reach.tensor]
        moved[reach.tensor] = chain.images * sum(count * band.bytes(points, reach.image_bytes) for count, points in band.made)
        rings[reach.tensor] = band.bytes(band.held, reach.image_bytes)
        lines += band.bytes(band.lines, reach.image_bytes)
    for layer, work, parts in zip(chain.layers, chain.works, chunks, strict=True):
        band = cut.bands[layer.out]
        result = work.done(band, max(1, parts))
        done.append(result)
        for name, size in layer.fixed.items():
            moved[name] = moved.get(name, 0) + size * (tiles if parts else 1)
        filters += chain.depth * chunk_bytes(layer, parts) if parts else sum(layer.fixed.values())
        rings[layer.out] = _ring(chain, layer, cut, result, bool(parts))
        lines += band.bytes(band.lines, layer.image_bytes)
        macs += ceil(layer.item.macs * band.total // band.whole * result.executed)
    last = chain.layers[-1]
    band = cut.bands[last.out]
    moved[last.out] = chain.images * sum(count * band.bytes(points, last.image_bytes) for count, points in band.made)
    excess = _excess(chain, filters, rings)
    busiest, estimate = _estimate(chain, cut, done, moved)
    buffered = tuple(chain.depth if parts else 0 for parts in chunks)
    room = filters + sum(rings.values())
    return Plan(cut, chunks, buffered, tuple(done), filters, room, lines, moved, busiest, estimate, excess, macs)


def _ring(chain: Chain, layer: Layer, cut: Tiling, done: Done, parted: bool) -> int:
    """Bytes of a layer's output buffer, unfinished sums included; those of chunks are put together beside it."""
    band = cut.bands[layer.out]
    tiles = min(chain.depth, cut.tiles * chain.images)
    tile = band.bytes(band.most, layer.image_bytes)
    sums = max(tile, done.sum_bytes * band.most)
    beside = sums if parted and layer.epilogue else sums - tile
    return band.bytes(band.held, layer.image_bytes) + tiles * beside


def _excess(chain: Chain, filters: int, rings: Mapping[str, int]) -> int:
    memory = chain.hardware.on_chip
    assert memory is not None
    if not is_split(memory):
        return max(0, filters + sum(rings.values()) - memory.size_bytes)
    last = chain.layers[-1].out
    entering = {reach.tensor for reach in chain.entering}
    free = [memory.partitions["ifmap"] - sum(rings[name] for name in entering), memory.partitions["ofmap"] - rings[last]]
    for size in sorted((size for name, size in rings.items() if name not in entering and name != last), reverse=True):
        place = 0 if free[0] >= free[1] else 1
        free[place] -= size
    return max(0, filters - memory.partitions["filter"]) + max(0, -free[0]) + max(0, -free[1])


def _estimate(chain: Chain, cut: Tiling, done: Sequence[Done], moved: Mapping[str, int]) -> tuple[int, int]:
    """Cycles of the busiest of array, vector unit and memory port; and with the first loads and the last tile's way through the layers."""
    hardware = chain.hardware
    busy: dict[str, int] = {}
    way = 0
    for work, result in zip(chain.works, done, strict=True):
        for step, unit in enumerate(work.units):
            busy[unit] = busy.get(unit, 0) + chain.images * result.cycles(step)
            way += result.steps[step][-1][1]
    memory = hardware.dram
    rate = memory.achieved_bandwidth(float("inf")) / hardware.clock_hz
    first = sum(chain.layers[0].fixed.values())
    for reach in chain.entering:
        band = cut.bands[reach.tensor]
        first += band.bytes(band.made[0][1], reach.image_bytes)
    longest = max(max(busy.values()), ceil(sum(moved.values()) / rate))
    return longest, longest + ceil(first / rate) + (way if cut.tiles * chain.images > 1 else 0)
