"""What an array has to do, seen as matrix products: one per ``mac`` nest, with the vector work before and after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mappings.compulsory import compulsory_reads, compulsory_writes
from mappings.systolic.splits import Split, axis_span, axis_total
from workloads.graph import Axis, Nest, Operand, Operator, Tensor, as_matmul

ROW_FUNCTIONS = frozenset(("softmax", "log_softmax", "layernorm", "rmsnorm", "groupnorm", "instancenorm", "l2norm", "logsumexp"))
"""Functions that need a whole row before they give its first element."""

Dims = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Use:
    """An operand of a product.

    Attributes:
        first, second: the two of ``m``, ``n``, ``k`` that move it; axes that both move (windows) belong to ``first``.
        sources: tensors that are really moved for it, with their shares of its bytes (itself, or what a prologue makes it from).
        bytes_per_value: stored bytes per dense value: packing, group metadata and sparsity included.
        least_bytes: compulsory bytes; tiles never move less in total.
    """

    name: str
    axes: tuple[tuple[Axis, int], ...]
    first: str
    second: str
    sources: tuple[tuple[str, float], ...]
    bytes_per_value: float
    least_bytes: int

    def parts(self, group: str, dims: Mapping[str, Dims]) -> tuple[tuple[Axis, int], ...]:
        """The axes that ``group`` accounts for."""
        own = {name for name, _ in dims[self.first]}
        of_first = tuple(item for item in self.axes if any(dim in own for dim, _ in item[0].terms))
        return of_first if group == self.first else tuple(item for item in self.axes if item not in of_first)

    def touched(self, group: str, split: Split, dims: Mapping[str, Dims]) -> tuple[int, int]:
        """(elements of a full tile, elements of all tiles together) along the axes of ``group``."""
        extents = dict((*dims[self.first], *dims[self.second]))
        tiles = {**extents, **split.tiles}
        tile = total = 1
        for axis, size in self.parts(group, dims):
            tile *= axis_span(axis, tiles, size)
            total *= axis_total(axis, extents, tiles, size)
        return tile, total

    def held_whole(self, dims: Mapping[str, Dims]) -> frozenset[str]:
        """Dimensions of ``second`` that share an axis with ``first`` (taps of a window) and so are never cut."""
        second = {name for name, _ in dims[self.second]}
        return frozenset(dim for axis, _ in self.parts(self.first, dims) for dim, _ in axis.terms if dim in second)


@dataclass(frozen=True, slots=True)
class VectorWork:
    """Vector nests before or after a product.

    Attributes:
        nests: (nest, share of its points that goes with this product).
        reads: further tensors read from outside, with bytes; ``whole_rows``: a nest needs all of n at once.
    """

    nests: tuple[tuple[Nest, float], ...] = ()
    reads: Mapping[str, float] = field(default_factory=dict)
    whole_rows: bool = False


@dataclass(frozen=True, slots=True)
class Product:
    """``batch`` products M x N x K and what comes with them.

    Attributes:
        dims: ``m``, ``n``, ``k`` to their dimensions, outermost first.
        stores: tensors that leave, with bytes, where an epilogue makes them; empty: the product's own output leaves.
    """

    nest: Nest
    batch: int
    dims: Mapping[str, Dims]
    a: Use
    b: Use
    out: Use
    prologue_a: VectorWork
    prologue_b: VectorWork
    epilogue: VectorWork
    stores: Mapping[str, float]

    def size(self, group: str) -> int:
        """M, N or K."""
        total = 1
        for _, extent in self.dims[group]:
            total *= extent
        return total


def products(operator: Operator, tensors: Mapping[str, Tensor]) -> list[Product] | str:
    """The products of an operator in order; or the reason why it has none (or one of another form)."""
    macs = [place for place, nest in enumerate(operator.nests) if nest.function == "mac"]
    if not macs:
        return f"{operator.kind} holds no matrix product"
    for place in macs:
        nest = operator.nests[place]
        if len(nest.reads) != 2 or len(nest.writes) != 1:
            return f"its multiply-accumulate nest has {len(nest.reads)} operands and {len(nest.writes)} results, an array takes two and one"
    return _Reader(operator, tensors, macs).products()


class _Reader:
    """Sorts the nests of one operator: which vector nests feed which product and which follow it."""

    def __init__(self, operator: Operator, tensors: Mapping[str, Tensor], macs: list[int]) -> None:
        self.operator, self.tensors, self.macs = operator, tensors, macs
        self.reads, self.writes = compulsory_reads(operator, tensors), compulsory_writes(operator, tensors)
        self.writer: dict[str, list[int]] = {}
        for place, nest in enumerate(operator.nests):
            for operand in nest.writes:
                self.writer.setdefault(operand.tensor, []).append(place)
        self.after = {place: self._products_before(place) for place, nest in enumerate(operator.nests) if place not in macs}
        self.mac_reads: dict[str, list[int]] = {}
        for place in macs:
            for operand in operator.nests[place].reads:
                self.mac_reads.setdefault(operand.tensor, []).append(place)

    def products(self) -> list[Product]:
        return [self._product(place) for place in self.macs]

    def _tensor(self, name: str) -> Tensor:
        return self.operator.internal.get(name) or self.tensors[name]

    def _products_before(self, place: int) -> tuple[int, ...]:
        """The products whose results nest ``place`` works on, through other vector nests."""
        found: set[int] = set()
        todo = [operand.tensor for operand in self.operator.nests[place].reads]
        seen: set[str] = set()
        while todo:
            name = todo.pop()
            if name in seen or name not in self.operator.internal:
                continue
            seen.add(name)
            for writer in self.writer.get(name, ()):
                if writer >= place:
                    continue
                if writer in self.macs:
                    found.add(writer)
                else:
                    todo.extend(operand.tensor for operand in self.operator.nests[writer].reads)
        return tuple(sorted(found))

    def _product(self, place: int) -> Product:
        nest = self.operator.nests[place]
        view = as_matmul(nest)
        extents = dict(nest.dims)
        dims: dict[str, Dims] = {
            group: tuple((name, extents[name]) for name in names)
            for group, names in (("m", view.m_dims), ("n", view.n_dims), ("k", view.k_dims))
        }
        work_a, sources_a = self._prologue(nest.reads[0].tensor)
        work_b, sources_b = self._prologue(nest.reads[1].tensor)
        epilogue, stores = self._epilogue(place)
        return Product(
            nest,
            view.batch,
            dims,
            self._use(nest.reads[0], "m", "k", sources_a, self.mac_reads, self.reads),
            self._use(nest.reads[1], "n", "k", sources_b, self.mac_reads, self.reads),
            self._use(nest.writes[0], "m", "n", (), self.writer, self.writes),
            work_a,
            work_b,
            epilogue,
            stores,
        )

    def _use(
        self,
        operand: Operand,
        first: str,
        second: str,
        sources: tuple[tuple[str, float], ...],
        users: Mapping[str, list[int]],
        least: Mapping[str, int],
    ) -> Use:
        tensor = self._tensor(operand.tensor)
        axes = tuple(zip(operand.axes, tensor.shape, strict=True))
        alone = len(users.get(operand.tensor, ())) <= 1
        source_bytes = sum(self._tensor(name).stored_bytes for name, _ in sources)
        stored = source_bytes or tensor.stored_bytes
        compulsory = sum(least.get(name, 0) for name, _ in sources) if sources else least.get(operand.tensor, 0)
        shares = sources or ((operand.tensor, 1.0),)
        return Use(operand.tensor, axes, first, second, shares, stored / max(1, tensor.values), compulsory if alone else 0)

    def _prologue(self, name: str) -> tuple[VectorWork, tuple[tuple[str, float], ...]]:
        """The vector nests that make internal tensor ``name`` from outside tensors, and those tensors with their shares of the bytes."""
        nests: list[tuple[Nest, float]] = []
        outside: dict[str, int] = {}
        todo = [name]
        while todo:
            current = todo.pop()
            for place in self.writer.get(current, ()):
                if place in self.macs or self.after[place]:
                    continue
                nests.append((self.operator.nests[place], 1.0))
                for operand in self.operator.nests[place].reads:
                    if operand.tensor in self.operator.internal:
                        todo.append(operand.tensor)
                    else:
                        outside[operand.tensor] = self.reads.get(operand.tensor, 0)
        total = sum(outside.values())
        return VectorWork(tuple(nests)), tuple((source, size / total) for source, size in outside.items() if total)

    def _epilogue(self, place: int) -> tuple[VectorWork, dict[str, float]]:
        nests: list[tuple[Nest, float]] = []
        reads: dict[str, float] = {}
        stores: dict[str, float] = {}
        weight = {mac: max(1, self.operator.nests[mac].points) for mac in self.macs}
        used_by_product = set(self.mac_reads)
        for index, before in self.after.items():
            if not before or (max(before) != place and place not in self._last_writers(before)):
                continue
            nest = self.operator.nests[index]
            group = self._last_writers(before)
            share = weight[place] / sum(weight[mac] for mac in group)
            nests.append((nest, share))
            for operand in nest.reads:
                if operand.tensor not in self.operator.internal:
                    reads[operand.tensor] = self.reads.get(operand.tensor, 0) * share
            for operand in nest.writes:
                name = operand.tensor
                if name not in self.operator.internal:
                    stores[name] = self.writes.get(name, 0) * share
                elif name in used_by_product:
                    stores[name] = self._tensor(name).stored_bytes * share
        rows = any(nest.function in ROW_FUNCTIONS for nest, _ in nests)
        return VectorWork(tuple(nests), reads, rows), stores

    def _last_writers(self, before: tuple[int, ...]) -> tuple[int, ...]:
        """Of the products that a vector nest follows, the ones that write the same tensor as the last of them."""
        target = self.operator.nests[max(before)].writes[0].tensor
        return tuple(mac for mac in before if self.operator.nests[mac].writes[0].tensor == target)
