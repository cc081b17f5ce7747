"""What SCALE-Sim would call the layers of an operator graph: unpadded convolutions of one image, and matrix products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workloads.graph import Axis, Nest, Operator, OperatorGraph, Tensor, as_matmul


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer in SCALE-Sim's terms: a convolution without padding, dilation or batch.

    A product of M x K by K x N is an M x K input under a 1 x K window with N filters (``gemm``), as SCALE-Sim reads it too.
    """

    height: int
    width: int
    filter_height: int
    filter_width: int
    channels: int
    filters: int
    stride: tuple[int, int] = (1, 1)

    @classmethod
    def gemm(cls, m: int, n: int, k: int) -> Layer:
        """M x N x K."""
        return cls(m, k, 1, k, 1, n)

    @property
    def output(self) -> tuple[int, int]:
        """Output rows and columns: ceil((H - FH + s) / s), so that the last windows may hang over the edge."""
        down, right = self.stride
        return -(-(self.height - self.filter_height + down) // down), -(-(self.width - self.filter_width + right) // right)

    @property
    def m(self) -> int:
        """Output pixels."""
        return self.output[0] * self.output[1]

    @property
    def n(self) -> int:
        """Filters."""
        return self.filters

    @property
    def k(self) -> int:
        """Taps of a window, all channels."""
        return self.filter_height * self.filter_width * self.channels

    @property
    def macs(self) -> int:
        """Multiply-accumulates, window positions outside the input included."""
        return self.m * self.n * self.k


@dataclass(frozen=True, slots=True)
class LayerOf:
    """A layer with the operator it stands for and how many times it runs (repeats, groups, batch entries, heads)."""

    operator: str
    layer: Layer
    count: int


def layers_of(graph: OperatorGraph) -> tuple[tuple[LayerOf, ...], tuple[str, ...]]:
    """The layers of every operator in program order, and notes on what is left out or counted otherwise.

    Groups of a convolution, batch entries and heads of a product are separate layers, as SCALE-Sim's own depthwise rows are.
    """
    layers: list[LayerOf] = []
    notes: list[str] = []
    skipped: list[str] = []
    padded: list[str] = []
    for operator, holder, times in graph.walk():
        products = [nest for nest in operator.nests if nest.function == "mac"]
        if not products and operator.kind != "view":
            skipped.append(operator.name)
        for nest in products:
            found = _layer(operator, nest, {**holder.tensors, **operator.internal})
            if isinstance(found, str):
                notes.append(f"{operator.name}: left out, {found}")
                continue
            layer, count, pixels = found
            layers.append(LayerOf(operator.name, layer, count * times))
            if pixels:
                padded.append(f"{operator.name} ({layer.m} output pixels counted for {pixels})")
    if padded:
        notes.append(f"padding left out, SCALE-Sim knows none: {_some(padded)}")
    if skipped:
        notes.append(f"left out, SCALE-Sim knows convolutions and matrix products alone: {_some(skipped)}")
    return tuple(layers), tuple(notes)


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _layer(operator: Operator, nest: Nest, tensors: Mapping[str, Tensor]) -> tuple[Layer, int, int] | str:
    """(layer, runs of it, output pixels if it is padded else 0) of a product, or why it has none."""
    if len(nest.reads) != 2 or len(nest.writes) != 1:
        return "its product does not have two operands and one result"
    if operator.kind == "conv":
        return _convolution(nest, tensors)
    product = as_matmul(nest)
    return Layer.gemm(product.m, product.n, product.k), product.batch, 0


def _convolution(nest: Nest, tensors: Mapping[str, Tensor]) -> tuple[Layer, int, int] | str:
    image, weight = nest.reads
    extents = dict(nest.dims)
    shape = tensors[image.tensor].shape
    rank = len(shape) - 2
    if not 1 <= rank <= 2:
        return f"SCALE-Sim has no convolution over {rank} axes"
    axes = image.axes[2:]
    windows = [_window(axis, place) for place, axis in enumerate(axes)]
    if any(window is None for window in windows):
        return "SCALE-Sim has no dilated and no transposed convolution"
    strides = [window for window in windows if window is not None]
    size, taps = list(shape[2:]), list(tensors[weight.tensor].shape[2:])
    if rank == 1:
        size, taps, strides = [1, *size], [1, *taps], [1, *strides]
    if taps[0] > size[0] or taps[1] > size[1]:
        return "its window is larger than its input, and SCALE-Sim knows no padding"
    layer = Layer(size[0], size[1], taps[0], taps[1], extents["c"], extents["k"], (strides[0], strides[1]))
    pixels = 1
    for place in range(rank):
        pixels *= extents[f"p{place}"]
    padded = any(axis.offset for axis in axes) or layer.m != pixels
    return layer, extents["n"] * extents.get("g", 1), pixels if padded else 0


def _window(axis: Axis, place: int) -> int | None:
    """The stride of a window axis; None where it is dilated or not a window (transposed)."""
    steps = dict(axis.terms)
    if set(steps) != {f"p{place}", f"r{place}"} or steps[f"r{place}"] != 1:
        return None
    return steps[f"p{place}"]
