"""The mapper of ``simd`` units: cores with vector registers and caches, as the kernels of ``mappings.simd.kernels`` use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, prod

from hwspecs.hardware import ComputeUnit, Hardware
from mappings.compulsory import compulsory_reads, compulsory_writes
from mappings.dataflow import Alternative, Edge, MappedOperator, Segment, Stage, Transfer
from mappings.rates import nest_format, point_cost, vector_format
from mappings.registry import Unmappable
from mappings.simd.core import CACHE_SHARE, Core, compute_format, read_core
from mappings.simd.kernels import Cost, Product, dense, depthwise, sparse, sweep
from workloads.graph import Nest, Operator, Tensor, as_matmul

TILES = 16
"""Firings that a kernel is cut into, so that reports see it progress; each has its share of cycles and bytes."""
_FOLDED = frozenset(("affine", "relu", "relu6", "clip", "identity", "cast"))
"""Functions behind a product that cost nothing more: a scale per channel goes into the weights, bounds are in the kernel's end."""


class SimdMapper:
    """Serves kind ``simd``: ``count`` cores (threads) with vector registers, an issue width and caches.

    A kernel's time on the cores is that of its instructions (``Core.cycles``) and of the bytes through each cache, combined with power
    ``overlap``; the same power combines it with the off-chip transfers when it is played. Weights that do not stay in the outermost
    cache are read again for every tile of rows; with ``loop_order: best`` the other order is offered too.
    """

    def map(self, operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit, hardware: Hardware) -> MappedOperator | Unmappable:
        """See ``mappings.registry.Mapper``. Alternatives: the loop orders of a product."""
        if not operator.nests:
            return Unmappable(f"{operator.kind} states no loop nest, so its work is not known")
        if hardware.on_chip is None:
            return Unmappable("its spec states no cache")
        core = read_core(unit, hardware)
        run = _Run(operator, tensors, core, hardware)
        for nest in operator.nests:
            if nest.function == "mac":
                if len(nest.reads) != 2 or len(nest.writes) != 1:
                    return Unmappable("a product of more than two operands has no kernel")
                if compute_format(nest_format(nest, tensors, operator.internal), unit) is None:
                    return Unmappable(f"its spec states no rate for {nest_format(nest, tensors, operator.internal).name} products")
            elif not unit.vector_rates:
                return Unmappable("its spec states no vector rates")
        products = any(nest.function == "mac" for nest in operator.nests)
        orders = (core.loop_order == "columns",) if core.loop_order != "best" or not products else (False, True)
        alternatives = sorted((run.alternative(order) for order in orders), key=lambda item: item.cycles_estimate)
        if len(alternatives) > 1 and alternatives[0].cycles_estimate == alternatives[1].cycles_estimate:
            del alternatives[1:]
        first = next((nest for nest in operator.nests if nest.function == "mac"), operator.nests[0])
        wanted = nest_format(first, tensors, operator.internal)
        name = compute_format(wanted, unit) if products else vector_format(wanted, unit)
        return MappedOperator(
            operator.name,
            operator.kind,
            unit.name,
            tuple(alternatives),
            macs=operator.macs,
            executed_macs=run.executed_macs,
            vector_ops=operator.vector_ops,
            compute_format=name or "",
            pattern=run.pattern,
            reads=run.reads,
            writes=run.writes,
        )


@dataclass(frozen=True, slots=True)
class _Total:
    """Sum of the costs of an operator's nests."""

    cycles: float
    translation: float
    loaded: float
    through: tuple[float, ...]
    reads: Mapping[str, int]


class _Run:
    """One operator on one device."""

    def __init__(self, operator: Operator, tensors: Mapping[str, Tensor], core: Core, hardware: Hardware) -> None:
        self.operator, self.tensors, self.core, self.hardware = operator, tensors, core, hardware
        self.reads, self.writes = compulsory_reads(operator, tensors), compulsory_writes(operator, tensors)
        self.executed_macs, self.pattern = 0, "dense"
        for nest in operator.nests:
            if nest.function == "mac":
                self.executed_macs += self._executed(nest)
                kind = self._weight(nest).sparsity.kind
                self.pattern = kind if kind in ("unstructured", "block") else self.pattern

    def _executed(self, nest: Nest) -> int:
        """Products of kept weights."""
        weight = self._weight(nest)
        kept = min(weight.sparsity.kept(weight.values), weight.values)  # blocks over the edge are stored whole, their padding is not work
        return nest.points * kept // max(1, weight.values)

    def alternative(self, columns_outer: bool) -> Alternative:
        """One loop order, as stages."""
        core, unit, hardware = self.core, self.core.unit, self.hardware
        total = self._total(columns_outer)
        levels = [core.level_cycles(level, moved) for level, moved in enumerate(total.through, start=1)]
        at_unit = [total.cycles, total.translation, *levels]
        ratio = hardware.clock_hz / unit.clock_hz
        cycles = max(core.norm(at_unit) * ratio, self._floor())
        overhead = float(unit.parameters.get("operator_overhead", 0.0))
        if core.threads > 1:
            overhead += float(unit.parameters.get("thread_overhead", 0.0))
        stages, edges = self._stages(ceil(overhead * hardware.clock_hz), ceil(cycles), total.reads)
        moved = sum(total.reads.values()) + sum(self.writes.values())
        transfer = moved * hardware.clock_hz / hardware.dram.achieved_bandwidth(moved or 1)
        breakdown = {"overhead": ceil(overhead * hardware.clock_hz), "instructions": ceil(total.cycles * ratio)}
        breakdown |= {f"cache {cache.name}": ceil(part * ratio) for cache, part in zip(core.caches[1:], levels, strict=True)}
        if total.translation:
            breakdown["translation"] = ceil(total.translation * ratio)
        breakdown[f"memory {hardware.dram.name}"] = ceil(transfer)
        outer = core.caches[-1].size_bytes
        return Alternative(
            "columns outer" if columns_outer else "rows outer",
            stages,
            edges,
            int(min(outer * CACHE_SHARE, moved)),
            ceil(overhead * hardware.clock_hz) + ceil(core.norm((cycles, transfer))),
            self._actions(total),
            breakdown,
        )

    def _floor(self) -> float:
        """Cycles at data-sheet rates; the kernels are slower, except that folded functions cost them nothing."""
        unit = self.core.unit
        vector = self.operator.vector_ops / max(unit.vector_rates.values()) if unit.vector_rates else 0.0
        return max(vector, 0.0) * self.hardware.clock_hz

    def _total(self, columns_outer: bool) -> _Total:
        cycles = translation = loaded = 0.0
        through = [0.0] * (len(self.core.caches) - 1)
        reads = dict(self.reads)
        after_product = False
        for nest in self.operator.nests:
            if nest.function == "mac":
                cost = self._product(nest, columns_outer, reads)
                after_product = True
            elif after_product and self._folded(nest):
                continue
            else:
                cost = self._sweep(nest)
            cycles += cost.cycles
            translation += cost.translation
            loaded += cost.loaded
            for level in range(1, len(self.core.caches)):
                through[level - 1] += self.core.through(level, cost.streams)
        return _Total(cycles, translation, loaded, tuple(through), reads)

    def _folded(self, nest: Nest) -> bool:
        """Whether the product before does this on its way: a scale or bias per channel, bounds."""
        if nest.function in _FOLDED:
            return True
        small = [self._tensor(operand.tensor).values * 2 <= nest.points for operand in nest.reads[1:]]
        return nest.function == "add" and len(nest.reads) == 2 and all(small)

    def _tensor(self, name: str) -> Tensor:
        return self.operator.internal.get(name) or self.tensors[name]

    def _weight(self, nest: Nest) -> Tensor:
        return self._tensor(nest.reads[1].tensor)

    def _product(self, nest: Nest, columns_outer: bool, reads: dict[str, int]) -> Cost:
        found = as_matmul(nest)
        a, b, out = self._tensor(found.a), self._tensor(found.b), self._tensor(found.out)
        name = compute_format(nest_format(nest, self.tensors, self.operator.internal), self.core.unit)
        assert name is not None
        lanes = self.core.lanes(name)
        sizes = (reads.get(a.name, a.stored_bytes), reads.get(b.name, b.stored_bytes), out.stored_bytes)
        taps = prod(b.shape[2:]) if self.operator.kind == "conv" else 1
        if self.operator.kind == "conv" and found.batch > 1 and found.k == taps and b.sparsity.kind == "dense":
            return depthwise(found.m, found.batch * found.n, found.k, sizes, self.core, lanes)
        run = b.shape[1] if self.operator.kind == "conv" and found.k == b.shape[1] * taps else found.k
        product = Product(found.batch, found.m, found.n, found.k, run, *sizes)
        if b.sparsity.kind == "dense":
            cost = dense(product, self.core, lanes, columns_outer)
        else:
            block = b.sparsity.block if b.sparsity.kind == "block" else (1, 1)
            block = (min(block[0], found.n), min(block[1], found.k))
            kept = b.sparsity.kept(b.values)
            cost = sparse(replace(product, kept=kept, block=block), self.core, lanes)
        if b.name in reads:
            reads[b.name] = max(reads[b.name], cost.weight_bytes if b.sparsity.kind != "dense" else 0) * cost.weight_passes
        if a.name in reads:
            reads[a.name] *= cost.activation_passes
        return cost

    def _sweep(self, nest: Nest) -> Cost:
        unit = self.core.unit
        name = vector_format(nest_format(nest, self.tensors, self.operator.internal), unit)
        assert name is not None
        lanes = self.core.lanes(name) if (name, "dense") in unit.rates else 1
        whole = [2 * self._tensor(operand.tensor).values > nest.points for operand in nest.reads]
        stored = [2 * self._tensor(operand.tensor).values > nest.points for operand in nest.writes]
        operations = point_cost(nest, unit) if nest.function != "copy" else 0.0
        return sweep(nest.points, operations, max(1, sum(whole)), sum(stored), self.core, lanes)

    def _actions(self, total: _Total) -> dict[str, float]:
        unit, caches = self.core.unit, self.core.caches
        actions: dict[str, float] = {}
        for nest in self.operator.nests:
            wanted = nest_format(nest, self.tensors, self.operator.internal)
            if nest.function == "mac":
                key, amount = f"{unit.name}.mac.{compute_format(wanted, unit)}", self._executed(nest)
            else:
                key, amount = f"{unit.name}.vector.{vector_format(wanted, unit)}", nest.points * nest.vector_ops
            if amount:
                actions[key] = actions.get(key, 0.0) + amount
        actions[f"{caches[0].name}.read.byte"] = total.loaded
        for cache, moved in zip(caches[1:], total.through, strict=True):
            actions[f"{cache.name}.read.byte"] = moved
        filled = float(sum(total.reads.values()) + sum(self.writes.values()))
        actions[f"{caches[-1].name}.write.byte"] = actions.get(f"{caches[-1].name}.write.byte", 0.0) + filled
        return actions

    def _stages(self, overhead: int, cycles: int, reads: Mapping[str, int]) -> tuple[tuple[Stage, ...], tuple[Edge, ...]]:
        """A start and the kernel: firings that hold the cores and the memory's port together."""
        unit, dram, chip = self.core.unit.name, self.hardware.dram.name, self.core.caches[-1].name
        tiles = max(1, min(TILES, cycles))
        moves = [(name, size, dram, chip) for name, size in reads.items()]
        moves += [(name, size, chip, dram) for name, size in self.writes.items()]
        cuts = sorted({size % tiles for _, size, _, _ in moves} | {cycles % tiles, tiles})
        segments, start = [], 0
        for end in cuts:
            if end > start:
                shares = tuple(
                    Transfer(name, size // tiles + (start < size % tiles), source, target)
                    for name, size, source, target in moves
                    if size // tiles + (start < size % tiles)
                )
                segments.append(Segment(end - start, cycles // tiles + (start < cycles % tiles), shares))
                start = end
        work = Stage("kernel", unit, tuple(segments), self.core.overlap)
        if not overhead:
            return (work,), ()
        return (Stage("start", unit, (Segment(1, overhead),)), work), (Edge("start", "kernel", 0, 0, 0, 0),)
