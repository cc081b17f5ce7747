"""What an array has to do, seen as matrix products: one per ``mac`` nest, with the vector work before and after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from hwspecs.vocabulary.records import dataclass
from mappings.compulsory import compulsory_reads, compulsory_writes
from mappings.systolic.splits import Split, axis_counts
from workloads.graph import Axis, Nest, Operand, Operator, Role, Tensor, as_matmul

ROW_FUNCTIONS = frozenset(("softmax", "log_softmax", "layernorm", "rmsnorm", "groupnorm", "instancenorm", "l2norm", "logsumexp"))
"""Functions that need a whole row before they give its first element."""

Dims = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """The axes of an operand that one group of dimensions accounts for.

    Attributes:
        axes: (axis, its size) each; ``extents``: of all dimensions that move the operand, batch aside.
        plain: each dimension moves one axis of its own from end to end (no window, padding or stride), so that a tile touches
            as many elements as it has points of the group.
    """

    axes: tuple[tuple[Axis, int], ...]
    extents: Mapping[str, int]
    plain: bool

    def touched(self, found: Sequence[Split]) -> list[tuple[int, int]]:
        """(elements of a full tile, elements of all tiles together) along these axes, per split."""
        cuts = [split.tiles for split in found]
        counts = [axis_counts(axis, self.extents, cuts, size) for axis, size in self.axes if axis.terms]
        touched = []
        for place in range(len(found)):
            tile = total = 1
            for row in counts:
                tile *= row[place][0]
                total *= row[place][1]
            touched.append((tile, total))
        return touched


@dataclass(frozen=True, slots=True)
class Use:
    """An operand of a product.

    Attributes:
        parts: of the two groups that move it, first ``m`` or ``n``, whose axes include those that both move (windows).
        held_whole: dimensions of the second group that share an axis with the first (taps of a window) and so are never cut.
        sources: tensors that are really moved for it, with their shares of its bytes (itself, or what a prologue makes it from).
        bytes_per_value: stored bytes per dense value: packing, group metadata and sparsity included.
        least_bytes: compulsory bytes; tiles never move less in total.
    """

    name: str
    parts: Mapping[str, Part]
    held_whole: frozenset[str]
    sources: tuple[tuple[str, float], ...]
    bytes_per_value: float
    least_bytes: int
    axes: tuple[Axis, ...] = ()
    shape: tuple[int, ...] = ()
    """Of the tensor, where its order in DRAM matters: not of weights, which are stored tile by tile ahead of time, nor of what a prologue
    makes; else empty."""

    def contiguous_bytes(self, tiles: Mapping[str, int]) -> int:
        """Length of one contiguous piece of a tile in DRAM; 0 where it is all of the tensor, or where the order does not matter.

        Tensors lie row by row, channels (axis 1) outside or inside of the spatial axes, whichever gives the longer pieces.

        Args:
            tiles: extent in the tile of each dimension that is cut or stepped through; others stand still.
        """
        pairs = [
            (min(size, 1 + sum([abs(step) * (tiles.get(dim, 1) - 1) for dim, step in axis.terms])), size)
            for axis, size in zip(self.axes, self.shape, strict=True)
        ]
        if all(span == size for span, size in pairs):
            return 0
        longest = _run(pairs)
        if len(pairs) > 2:
            longest = max(longest, _run([pairs[0], *pairs[2:], pairs[1]]))
        return max(1, int(longest * self.bytes_per_value))


def _run(pairs: Sequence[tuple[int, int]]) -> int:
    """Neighbouring elements of a box of (span, size) per axis, the last axis innermost."""
    length = 1
    for span, size in reversed(pairs):
        length *= span
        if span < size:
            break
    return length


def _parts(operand: Operand, shape: tuple[int, ...], groups: Mapping[str, Dims]) -> tuple[dict[str, Part], frozenset[str]]:
    """An operand's axes by the group that accounts for them, and the dimensions that must stay whole."""
    (first, own), (second, other) = groups.items()
    first_extents, second_extents = dict(own), dict(other)
    extents = {**first_extents, **second_extents}
    axes: tuple[list[tuple[Axis, int]], list[tuple[Axis, int]]] = ([], [])
    plain = [True, True]
    moved = [0, 0]
    whole: set[str] = set()
    for axis, size in zip(operand.axes, shape, strict=True):
        terms = axis.terms
        if len(terms) == 1:
            ((dim, step),) = terms
            place = 0 if dim in first_extents else 1
            if dim in extents:
                plain[place] = plain[place] and step == 1 and axis.offset == 0 and extents[dim] == size
                moved[place] += 1
        else:
            dims = [dim for dim, _ in terms]
            place = 1 if first_extents.keys().isdisjoint(dims) else 0
            if place == 0:
                whole.update([dim for dim in dims if dim in second_extents])
            if terms:
                plain[place] = False
        axes[place].append((axis, size))
    plain[0] = plain[0] and moved[0] == len(own)
    plain[1] = plain[1] and moved[1] == len(other)
    return {
        first: Part(tuple(axes[0]), extents, plain[0]),
        second: Part(tuple(axes[1]), extents, plain[1]),
    }, frozenset(whole)


@dataclass(frozen=True, slots=True)
class VectorWork:
    """Vector nests before or after a product.

    Attributes:
        nests: (nest, share of its points that goes with this product).
        reads: further tensors read from outside, with bytes; ``whole_rows``: a nest needs all of n at once.
    """

    nests: tuple[tuple[Nest, float], ...] = ()
    reads: Mapping[str, int] = field(default_factory=dict)
    whole_rows: bool = False


@dataclass(frozen=True, slots=True)
class Product:
    """``batch`` products M x N x K and what comes with them.

    Attributes:
        dims: ``m``, ``n``, ``k`` to their dimensions, outermost first.
        stores: tensors that leave, with bytes, where an epilogue makes them; empty: the product's own output leaves.
        pack: products of the batch that the array works on side by side, as one block-diagonal product.
        grain: a dimension of k and the points of it that a tile holds a multiple of (or all); None: tiles cut k anywhere.
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
    stores: Mapping[str, int]
    pack: int = 1
    grain: tuple[str, int] | None = None

    @property
    def packs(self) -> int:
        """Turns of ``pack`` products that the batch takes."""
        return -(-self.batch // self.pack)

    @property
    def extra_bytes(self) -> int:
        """Bytes that the epilogue reads from outside."""
        return sum(self.epilogue.reads.values())

    def size(self, group: str) -> int:
        """M, N or K."""
        total = 1
        for _, extent in self.dims[group]:
            total *= extent
        return total


def products(
    operator: Operator, tensors: Mapping[str, Tensor], reads: Mapping[str, int] | None = None, writes: Mapping[str, int] | None = None
) -> list[Product] | str:
    """The products of an operator in order; or the reason why it has none (or one of another form).

    Args:
        reads, writes: its compulsory bytes, where the caller has them.
    """
    macs = [place for place, nest in enumerate(operator.nests) if nest.function == "mac"]
    if not macs:
        return f"{operator.kind} holds no matrix product"
    for place in macs:
        nest = operator.nests[place]
        if len(nest.reads) != 2 or len(nest.writes) != 1:
            return f"its multiply-accumulate nest has {len(nest.reads)} operands and {len(nest.writes)} results, an array takes two and one"
    reads = reads if reads is not None else compulsory_reads(operator, tensors)
    writes = writes if writes is not None else compulsory_writes(operator, tensors)
    return _Reader(operator, tensors, macs, reads, writes).products()


class _Reader:
    """Sorts the nests of one operator: which vector nests feed which product and which follow it."""

    def __init__(
        self, operator: Operator, tensors: Mapping[str, Tensor], macs: list[int], reads: Mapping[str, int], writes: Mapping[str, int]
    ) -> None:
        self.operator, self.tensors, self.macs = operator, tensors, macs
        self.reads, self.writes = reads, writes
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
            self._use(nest.reads[0], {"m": dims["m"], "k": dims["k"]}, sources_a, self.mac_reads, self.reads),
            self._use(nest.reads[1], {"n": dims["n"], "k": dims["k"]}, sources_b, self.mac_reads, self.reads),
            self._use(nest.writes[0], {"m": dims["m"], "n": dims["n"]}, (), self.writer, self.writes),
            work_a,
            work_b,
            epilogue,
            stores,
        )

    def _use(
        self,
        operand: Operand,
        groups: Mapping[str, Dims],
        sources: tuple[tuple[str, float], ...],
        users: Mapping[str, list[int]],
        least: Mapping[str, int],
    ) -> Use:
        tensor = self._tensor(operand.tensor)
        alone = len(users.get(operand.tensor, ())) <= 1
        compulsory = 0
        stored = tensor.stored_bytes
        if sources:
            stored = sum(self._tensor(name).stored_bytes for name, _ in sources)
            compulsory = sum(least.get(name, 0) for name, _ in sources)
        elif alone:
            compulsory = least.get(operand.tensor, 0)
        parts, whole = _parts(operand, tensor.shape, groups)
        shares = sources or ((operand.tensor, 1.0),)
        compulsory = compulsory if alone else 0
        if sources or tensor.role == Role.WEIGHT:
            return Use(operand.tensor, parts, whole, shares, stored / max(1, tensor.values), compulsory)
        return Use(operand.tensor, parts, whole, shares, stored / max(1, tensor.values), compulsory, operand.axes, tensor.shape)

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

    def _epilogue(self, place: int) -> tuple[VectorWork, dict[str, int]]:
        nests: list[tuple[Nest, float]] = []
        reads: dict[str, int] = {}
        stores: dict[str, int] = {}
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
                    reads[operand.tensor] = round(self.reads.get(operand.tensor, 0) * share)
            for operand in nest.writes:
                name = operand.tensor
                if name not in self.operator.internal:
                    stores[name] = round(self.writes.get(name, 0) * share)
                elif name in used_by_product:
                    stores[name] = round(self._tensor(name).stored_bytes * share)
        rows = any(nest.function in ROW_FUNCTIONS for nest, _ in nests)
        return VectorWork(tuple(nests), reads, rows), stores

    def _last_writers(self, before: tuple[int, ...]) -> tuple[int, ...]:
        """Of the products that a vector nest follows, the ones that write the same tensor as the last of them."""
        target = self.operator.nests[max(before)].writes[0].tensor
        return tuple(mac for mac in before if self.operator.nests[mac].writes[0].tensor == target)
