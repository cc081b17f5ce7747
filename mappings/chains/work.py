"""What the layers of a chain cost tile by tile, kind of unit by kind.

A kind joins by a function in ``WORKS`` that gives a ``LayerWork`` for a layer which its mapper placed on a unit of that kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from typing import Protocol

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.records import dataclass
from mappings.chains.layers import Layer
from mappings.chains.tiling import Band, Runs
from mappings.rates import nest_format, vector_cycles, vector_format
from mappings.systolic.counting import vector_actions
from mappings.systolic.folds import INPUT, OUTPUT, WEIGHT, Flow, folds, sram_counts
from mappings.systolic.packing import side_by_side
from mappings.systolic.problem import Product
from mappings.systolic.setting import Setting, setting_of
from mappings.systolic.skipping import streams
from mappings.systolic.tiles import ACCUMULATOR_BYTES, NO_STREAMS, flows_for


@dataclass(frozen=True, slots=True)
class Done:
    """A layer's work over the tiles of one image.

    Attributes:
        steps: firings (repeat, cycles) of each step in order; the first fires once per tile and chunk of weights, the others per tile.
        sum_bytes: bytes per point of unfinished sums that lie in the scratchpad while a tile is made; 0 where there are none.
        executed: share of the multiplications that are executed.
    """

    steps: tuple[Runs, ...]
    sum_bytes: int
    executed: float = 1.0

    def cycles(self, step: int) -> int:
        """Cycles of a step over all tiles."""
        return sum(repeat * cycles for repeat, cycles in self.steps[step])


class LayerWork(Protocol):
    """The cost of one layer, whatever the tile."""

    @property
    def units(self) -> tuple[str, ...]:
        """The unit of each step: the product, the vector work after it (or all the work as one step)."""

    @property
    def chunks(self) -> int:
        """Chunks into which the weights can be cut where they are reloaded for every tile; 1 where they cannot."""

    def done(self, band: Band, chunks: int) -> Done:
        """The work of the tiles of ``band`` (of the layer's output), weights in ``chunks`` chunks."""

    def actions(self, band: Band, chunks: int) -> dict[str, float]:
        """On-chip actions of the tiles of one image, traffic with the off-chip memory left out."""


class VectorWork:
    """Work of a vector unit: its operands pass through the on-chip memory."""

    chunks = 1

    def __init__(self, layer: Layer, unit: ComputeUnit, hardware: Hardware) -> None:
        self.layer, self.unit = layer, unit
        self.units: tuple[str, ...] = (unit.name,)
        self._chip = hardware.on_chip.name if hardware.on_chip is not None else unit.name
        self._cycles = 0.0
        axis = int(layer.operator.attributes.get("axis", -1))
        for nest in layer.operator.nests:
            form = vector_format(nest_format(nest, layer.tensors, layer.operator.internal), unit)
            assert form is not None
            self._cycles += vector_cycles(nest, form, unit, hardware, axis)

    def done(self, band: Band, chunks: int) -> Done:
        """See ``LayerWork``."""
        return Done((_shared(self._cycles, band, self.layer),), 0)

    def actions(self, band: Band, chunks: int) -> dict[str, float]:
        """Operations; bytes read once per point made (as ``mappings.vector`` counts them), results written once."""
        layer = self.layer
        share = band.total / (layer.images * band.whole)
        actions = vector_actions([(nest, share) for nest in layer.operator.nests], layer.operator, layer.tensors, self.unit, self.unit.name)
        read = sum(reach.image_bytes for reach in layer.reaches) * band.total / band.whole
        actions[f"{self._chip}.read.byte"] = read + sum(layer.fixed.values()) / layer.images
        actions[f"{self._chip}.write.byte"] = layer.image_bytes * band.total / band.whole
        return actions


class ArrayWork:
    """Work of a systolic array, with the vector work after the product; cycles by the folds of ``mappings.systolic.folds``.

    A tile is a product of its share of M by N by K (``batch`` of them for groups, side by side where the spec packs them); it takes the
    dataflow of fewest cycles over all tiles. Where the array skips zeros of what streams, a stream takes its expected steps.
    """

    def __init__(self, layer: Layer, product: Product, setting: Setting, flows: tuple[Flow, ...]) -> None:
        self.layer, self.product, self.setting, self.flows = layer, product, setting, flows
        self.m = product.size("m") // layer.images
        self.n, self.k = product.size("n"), product.size("k")
        self.units: tuple[str, ...] = (setting.unit.name, *((setting.site.vector,) if layer.epilogue else ()))
        packed = setting.depthwise == "diagonal" and product.batch > 1 and layer.operator.kind == "conv"
        self._packs = {flow.name: side_by_side(product, flow, setting.array) if packed else 1 for flow in flows}
        self.chunks = -(-self.n // setting.array.columns) if product.batch == 1 else 1
        self.streams = streams(product, layer.operator, layer.tensors, setting.skipping) if setting.skipping else NO_STREAMS
        self._after = sum(setting.cycles(nest, layer.operator, layer.tensors) * share for nest, share in product.epilogue.nests)
        self._done: dict[tuple[int, Runs, int], tuple[Flow, Done]] = {}

    def done(self, band: Band, chunks: int) -> Done:
        """See ``LayerWork``."""
        return self._best(band, chunks)[1]

    def _best(self, band: Band, chunks: int) -> tuple[Flow, Done]:
        found = self._done.get((band.whole, band.made, chunks))
        if found is None:
            sizes = self._sizes(chunks)
            wide = self.k > self.setting.array.rows
            best: tuple[tuple[int, bool], Flow, Runs] | None = None
            for flow in self.flows:
                runs = self._runs(flow, band, sizes)
                rank = (sum([repeat * cycles for repeat, cycles in runs]), wide and flow.name != OUTPUT)
                if best is None or rank < best[0]:
                    best = rank, flow, runs
            assert best is not None
            steps = (best[2], _shared(self._after, band, self.layer)) if self.layer.epilogue else (best[2],)
            sums = ceil(self.product.batch * self.m * self.n * ACCUMULATOR_BYTES / band.whole) if best[0][1] else 0
            found = self._done[band.whole, band.made, chunks] = best[1], Done(steps, sums, self._executed(best[1]))
        return found

    def _executed(self, flow: Flow) -> float:
        """Share of the multiplications that are executed in a dataflow."""
        steps = self.streams.get(flow.time)
        return 1.0 if steps is None else steps.density

    def _sizes(self, chunks: int) -> list[int]:
        """n of each chunk: equal ones, the last one smaller."""
        each = -(-self.n // chunks)
        return [min(each, self.n - each * place) for place in range(chunks)]

    def _runs(self, flow: Flow, band: Band, sizes: list[int]) -> Runs:
        result: list[tuple[int, int]] = []
        known: dict[int, list[int]] = {}
        for tiles, points in band.made:
            one = known.get(points)
            if one is None:
                m = self.m * points // band.whole
                one = [self._cycles(flow, m, sizes[0])] * (len(sizes) - 1) + [self._cycles(flow, m, sizes[-1])]
                known[points] = one
            if len(set(one)) == 1:
                result.append((tiles * len(one), one[0]))
            else:
                result.extend([(len(one) - 1, one[0]), (1, one[-1])] * tiles)
        return tuple(result)

    def _cycles(self, flow: Flow, m: int, n: int) -> int:
        """Cycles of all groups of a tile of m x n x K; copies of the array share its folds."""
        if not m:
            return 0
        array, pack = self.setting.array, self._packs[flow.name]
        size = {"m": m, "n": n * pack, "k": self.k * pack}
        turns = -(-folds(flow, m, size["n"], size["k"], array.rows, array.columns) // array.count)
        packs = -(-self.product.batch // pack)
        steps = self.streams.get(flow.time)
        length = size[flow.time] if steps is None else steps.of(m) if flow.time == "m" else pack * steps.of(size[flow.time] // pack)
        return ceil(packs * turns * (length + flow.ramp(array.rows, array.columns)) * array.slowdown)

    def actions(self, band: Band, chunks: int) -> dict[str, float]:
        """Multiplications, operands into and results out of the array, partial sums back and forth, vector operations."""
        layer, product, array, setting = self.layer, self.product, self.setting.array, self.setting
        flow = self._best(band, chunks)[0]
        read = written = 0.0
        for tiles, points in band.made:
            m = self.m * points // band.whole
            for n in self._sizes(chunks):
                if m:
                    counts = sram_counts(flow, m, n, self.k, array.rows, array.columns)
                    times = tiles * product.batch
                    operands = counts.ifmap_reads * product.a.bytes_per_value + counts.filter_reads * product.b.bytes_per_value
                    read += times * (operands + counts.partial_sum_reads * ACCUMULATOR_BYTES)
                    written += times * (m * n * product.out.bytes_per_value + counts.partial_sum_reads * ACCUMULATOR_BYTES)
        share = band.total / (layer.images * band.whole)
        nests = [(nest, part * share) for nest, part in product.epilogue.nests]
        chip = setting.site.chip
        after = vector_actions(nests, layer.operator, layer.tensors, setting.vector or setting.unit, setting.site.vector)
        return {
            f"{setting.unit.name}.mac.{setting.format_name}": product.nest.macs * share * self._executed(flow),
            f"{chip}.read.byte": read,
            f"{chip}.write.byte": written,
            **after,
        }


def _shared(cycles: float, band: Band, layer: Layer) -> Runs:
    """``cycles`` of all images, by the points of each tile."""
    return tuple([(tiles, ceil(cycles * points / (layer.images * band.whole))) for tiles, points in band.made])


def systolic_work(layer: Layer, unit: ComputeUnit, hardware: Hardware) -> LayerWork | None:
    """Work of a layer on an array; None where its dataflow has no folds, its product is not one, or fewer multiplications are executed for
    another reason than the array's own skipping of zeros.
    """  # fmt: skip
    if layer.product is None or (layer.item.compute_format, "dense") not in unit.rates or layer.item.pattern != "dense":
        return None
    setting = setting_of(unit, hardware, layer.item.compute_format)
    flows = tuple(flow for flow in flows_for(setting.dataflow) if flow.name in (OUTPUT, WEIGHT, INPUT))
    if not flows:
        return None
    work = ArrayWork(layer, layer.product, setting, flows)
    return work if work.streams or layer.item.executed_macs == layer.item.macs else None


def vector_work(layer: Layer, unit: ComputeUnit, hardware: Hardware) -> LayerWork | None:
    """Work of a layer on a vector unit; None for multiply-accumulates, which it runs only for want of anything better."""
    return VectorWork(layer, unit, hardware) if layer.product is None and unit.vector_rates else None


WORKS: Mapping[str, Callable[[Layer, ComputeUnit, Hardware], LayerWork | None]] = {"systolic": systolic_work, "vector": vector_work}
"""Kind of unit to what makes a layer's work of it."""
