"""How the rows of an operator's operands follow from the rows of its output: what a depth-first tile needs of each tensor.

Rows lie along one axis of the output (the height of an image, the tokens of a sequence, m of a product). A loop nest writes row p and
reads, of a tensor whose axis is ``stride p + dilation r + offset``, the rows from ``stride p + low`` to ``stride p + high`` (its window;
rows outside the tensor are padding). Tensors that no output row moves (weights, biases) are *fixed*: every tile uses all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hwspecs.vocabulary.records import dataclass
from mappings.dataflow import MappedOperator
from mappings.systolic.problem import ROW_FUNCTIONS, Product, products
from workloads.graph import Axis, Nest, Operand, Operator, Tensor

KINDS = frozenset(("conv", "gemm", "pool", "elementwise", "norm", "softmax", "copy"))
"""Kinds of operators that may join a chain; whether one does depends on its loop nests."""
_WHOLE_IMAGE = frozenset(("groupnorm", "instancenorm"))


@dataclass(frozen=True, slots=True)
class Reach:
    """Rows of a tensor that output rows [first, last] need: [stride first + low, stride last + high], as far as the tensor has them.

    Attributes:
        axis: of the tensor along which its rows lie; ``rows``: its extent.
        image_bytes: stored bytes of all rows (of one image).
        steps: which steps of the layer read it: 0 the product (or all work of a layer without one), 1 the vector work after it.
    """

    tensor: str
    axis: int
    rows: int
    stride: int
    low: int
    high: int
    image_bytes: int
    steps: frozenset[int]


@dataclass(frozen=True, slots=True)
class Layer:
    """An operator seen as rows.

    Attributes:
        images: equal stacks of rows, one after the other (the batch).
        out: output tensor; ``axis``: along which its ``rows`` lie; ``image_bytes``: of one image.
        reaches: tensors read by rows; ``fixed``: tensors read whole, with bytes.
        product: the matrix product in it, or None where all of its work is vector work.
    """

    item: MappedOperator
    operator: Operator
    tensors: Mapping[str, Tensor]
    images: int
    out: str
    axis: int
    rows: int
    image_bytes: int
    reaches: tuple[Reach, ...]
    fixed: Mapping[str, int]
    product: Product | None

    @property
    def epilogue(self) -> bool:
        """Whether vector work follows the product."""
        return self.product is not None and bool(self.product.epilogue.nests)


def row_axes(rank: int) -> tuple[int, ...]:
    """Axes of a tensor along which rows may lie: rows of a matrix; of three axes the second (tokens) or the third (N, C, length); else
    the first one behind batch and channels.
    """  # fmt: skip
    return {0: (), 1: (), 2: (0,), 3: (1, 2)}.get(rank, (2,))


def column_axis(rank: int, rows: int) -> int | None:
    """The axis of columns where rows lie along axis ``rows``: the next one of an image."""
    return rows + 1 if rank > rows + 1 and rows == 2 else None


def layers_of(item: MappedOperator, operator: Operator, tensors: Mapping[str, Tensor], roots: Mapping[str, str]) -> tuple[Layer, ...]:
    """The operator by rows, once for each axis of its output along which it can be cut (columns count too); empty where it cannot.

    Args:
        roots: output of a view to the tensor whose bytes it names; the layer calls tensors by these.
    """
    if operator.kind not in KINDS or len(operator.outputs) != 1:
        return ()
    if tensors[operator.outputs[0]].alias_of is not None or operator.read_bytes:
        return ()
    rank = len(tensors[operator.outputs[0]].shape)
    columns = [column_axis(rank, axis) for axis in row_axes(rank)]
    axes = (*row_axes(rank), *[axis for axis in columns if axis is not None])
    found = (_Cut(item, operator, tensors, axis).layer(roots) for axis in axes)
    return tuple(layer for layer in found if layer is not None)


class _UncuttableError(Exception):
    """This operator cannot be cut along this axis."""


class _Cut:
    """One operator, cut along one axis of its output."""

    def __init__(self, item: MappedOperator, operator: Operator, tensors: Mapping[str, Tensor], axis: int) -> None:
        self.item, self.operator, self.tensors, self.axis = item, operator, tensors, axis
        self.out = tensors[operator.outputs[0]]
        self.images = self.out.shape[0] if axis > 0 else 1
        self.found: dict[str, Reach] = {}
        self.fixed: dict[str, int] = {}

    def layer(self, roots: Mapping[str, str]) -> Layer | None:
        """The layer, or None where the operator cannot be cut so."""
        try:
            self._read_nests()
            product = self._product()
        except _UncuttableError:
            return None
        names = [roots.get(name, name) for name in (*self.found, *self.fixed)]
        if not self.found or len(set(names)) < len(names):
            return None
        out = self.operator.outputs[0]
        reaches = tuple(
            Reach(roots.get(n, n), r.axis, r.rows, r.stride, r.low, r.high, r.image_bytes, r.steps) for n, r in self.found.items()
        )
        fixed = {roots.get(name, name): size for name, size in self.fixed.items()}
        size = -(-self.out.stored_bytes // self.images)
        return Layer(
            self.item, self.operator, self.tensors, self.images, roots.get(out, out), self.axis, self.out.shape[self.axis], size, reaches,
            fixed, product,
        )  # fmt: skip

    def _read_nests(self) -> None:
        if self.out.values == 0 or not self.operator.nests:
            raise _UncuttableError
        if str(self.operator.attributes.get("norm", "")) in _WHOLE_IMAGE:
            raise _UncuttableError
        macs = [place for place, nest in enumerate(self.operator.nests) if nest.function == "mac"]
        for place, nest in enumerate(self.operator.nests):
            self._read(nest, 1 if macs and place > macs[0] else 0)

    def _read(self, nest: Nest, step: int) -> None:
        if nest.function in ROW_FUNCTIONS and not self._row_stays_whole():
            raise _UncuttableError
        row, image = self._row_dim(nest)
        written = {dim for operand in nest.writes for dim in operand.dims}
        extents = dict(nest.dims)
        for operand in nest.reads:
            if operand.tensor in self.operator.internal:
                if _window(operand, row, extents, written)[1:] != (1, 0, 0):
                    raise _UncuttableError
            elif row in operand.dims:
                self._reach(operand, row, image, extents, written, step)
            else:
                if self.images > 1 and image in operand.dims:
                    raise _UncuttableError
                self.fixed[operand.tensor] = self.item_bytes(operand.tensor)
        if self.fixed.keys() & self.found.keys():
            raise _UncuttableError

    def item_bytes(self, name: str) -> int:
        """Compulsory bytes of an operand: all that is stored."""
        return self.tensors[name].stored_bytes

    def _row_stays_whole(self) -> bool:
        """Whether what a norm or softmax works on lies within one row: its axis is the last one, rows lie along another."""
        rank = len(self.out.shape)
        along = int(self.operator.attributes.get("axis", -1)) % rank
        return along == rank - 1 and self.axis != along

    def _row_dim(self, nest: Nest) -> tuple[str, str]:
        """(dimension that moves the output's rows, dimension that moves its images) of a nest; all that it writes agrees on them."""
        found = set()
        for operand in nest.writes:
            if len(operand.axes) != len(self.out.shape):
                raise _UncuttableError
            row = _plain(operand.axes[self.axis])
            if row is None or dict(nest.dims)[row] != self.out.shape[self.axis]:
                raise _UncuttableError
            image = _plain(operand.axes[0]) if self.images > 1 else ""
            if image is None or sum(row in dims for dims in _dims(operand)) > 1:
                raise _UncuttableError
            found.add((row, image))
        if len(found) != 1:
            raise _UncuttableError
        return found.pop()

    def _reach(self, operand: Operand, row: str, image: str, extents: Mapping[str, int], written: set[str], step: int) -> None:
        name = operand.tensor
        tensor = self.tensors[name]
        place, stride, low, high = _window(operand, row, extents, written)
        moved = self.images > 1 and image in operand.dims
        if moved and _plain(operand.axes[0]) != image:
            raise _UncuttableError
        size = -(-tensor.stored_bytes // self.images) if moved else tensor.stored_bytes
        new = Reach(name, place, tensor.shape[place], stride, low, high, size, frozenset((step,)))
        known = self.found.get(name)
        if known is not None:
            if (known.axis, known.stride, known.image_bytes) != (place, stride, size):
                raise _UncuttableError
            steps = known.steps | new.steps
            new = Reach(name, place, new.rows, stride, min(low, known.low), max(high, known.high), size, steps)
        self.found[name] = new

    def _product(self) -> Product | None:
        """The one matrix product, its m running over images and rows; None where there is none."""
        macs = [nest for nest in self.operator.nests if nest.function == "mac"]
        if not macs:
            return None
        found = products(self.operator, self.tensors)
        if isinstance(found, str) or len(found) != 1:
            raise _UncuttableError
        (product,) = found
        row, image = self._row_dim(macs[0])
        m_dims = dict(product.dims["m"])
        plain = not product.prologue_a.nests and not product.prologue_b.nests
        moved = {reach for reach in self.found if 0 in self.found[reach].steps}
        if (
            not plain
            or row not in m_dims
            or (image and image not in m_dims)
            or moved != {product.a.name}
            or product.b.name not in self.fixed
        ):
            raise _UncuttableError
        return product


def _plain(axis: Axis) -> str | None:
    """The dimension that moves an axis one to one from its beginning, or None."""
    if len(axis.terms) != 1 or axis.terms[0][1] != 1 or axis.offset:
        return None
    return axis.terms[0][0]


def _dims(operand: Operand) -> Iterator[set[str]]:
    return ({dim for dim, _ in axis.terms} for axis in operand.axes)


def _window(operand: Operand, row: str, extents: Mapping[str, int], written: set[str]) -> tuple[int, int, int, int]:
    """(axis, stride, low, high) of the rows that an output row reads of ``operand``."""
    places = [place for place, dims in enumerate(_dims(operand)) if row in dims]
    if len(places) != 1:
        raise _UncuttableError
    axis = operand.axes[places[0]]
    stride, low, high = 0, axis.offset, axis.offset
    for dim, step in axis.terms:
        if dim == row:
            stride = step
        elif dim in written:
            raise _UncuttableError
        else:
            low += min(0, step * (extents[dim] - 1))
            high += max(0, step * (extents[dim] - 1))
    if stride < 1:
        raise _UncuttableError
    return places[0], stride, low, high
