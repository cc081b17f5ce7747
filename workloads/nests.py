"""Loop nests of the common operators, as pure functions of tensors.

Dimension names are short and fixed per operator: ``n g k p0 p1 c r0 r1`` for convolutions, ``m n k`` for matrix products
(``m0 m1 ...`` where A has several leading axes, ``b0 ...`` for batch axes), ``d0 d1 ...`` for pointwise operators.
The first read of a ``mac`` nest is the activation (A), the second the weight (B), so that ``as_matmul`` sees
M = pixels or tokens, N = output channels, K = what is reduced, batch = groups or heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from hwspecs.vocabulary.errors import ArgumentError
from hwspecs.vocabulary.functions import OPERATIONS
from workloads.graph import Axis, Nest, Operand, Tensor

VECTOR_OPS = OPERATIONS
"""Elementary vector operations per element by function: the convention of ``hwspecs.vocabulary.functions``."""


@lru_cache(maxsize=4096)
def axis(*terms: tuple[str, int], offset: int = 0) -> Axis:
    """An ``Axis`` with ``terms`` (dimension, coefficient); interned, because the same few occur everywhere."""
    return Axis(terms, offset)


CONSTANT = Axis(())
"""The axis that no dimension moves: broadcasting, or a row that the data choose."""


@lru_cache(maxsize=4096)
def plain_axes(dims: tuple[str | None, ...]) -> tuple[Axis, ...]:
    """One axis per name, moved by that dimension alone; ``None`` is an axis that nothing moves."""
    return tuple(CONSTANT if dim is None else axis((dim, 1)) for dim in dims)


def operand(tensor: Tensor, dims: tuple[str | None, ...]) -> Operand:
    """``tensor`` with one dimension (or None) per axis."""
    return Operand(tensor.name, plain_axes(dims))


@lru_cache(maxsize=1024)
def numbered(letter: str, count: int) -> tuple[str, ...]:
    """``("m",)`` for one dimension, ``("m0", "m1", ...)`` for several."""
    return (letter,) if count == 1 else tuple(f"{letter}{index}" for index in range(count))


@lru_cache(maxsize=1024)
def point_dims(rank: int) -> tuple[str, ...]:
    """Dimension names of a pointwise operator over ``rank`` axes: ``d0, d1, ...``."""
    return tuple(f"d{index}" for index in range(rank))


def broadcast_operand(tensor: Tensor, dims: Sequence[str], extents: Sequence[int]) -> Operand:
    """``tensor`` read under NumPy broadcasting by a nest over ``dims`` with ``extents``."""
    offset = len(dims) - len(tensor.shape)
    names = tuple(dims[offset + i] if size == extents[offset + i] else None for i, size in enumerate(tensor.shape))
    return Operand(tensor.name, plain_axes(names))


def broadcast_shape(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """NumPy's broadcast of ``shapes``.

    Raises:
        ArgumentError: they do not broadcast.
    """
    rank = max((len(shape) for shape in shapes), default=0)
    result = [1] * rank
    for shape in shapes:
        for index, size in enumerate(shape, start=rank - len(shape)):
            if size == 1 or size == result[index]:
                continue
            if result[index] != 1:
                raise ArgumentError(f"shapes {', '.join(map(str, shapes))} do not broadcast", hint="axes must be equal or 1")
            result[index] = size
    return tuple(result)


def gemm_nest(a: Tensor, b: Tensor, out: Tensor, *, transpose_a: bool = False, transpose_b: bool = False) -> Nest:
    """out[..., n] += a[..., k] b[k, n]: ``a`` has any leading axes (all of them m), ``b`` is a matrix."""
    leading = a.shape[:-1] if not transpose_a else a.shape[1:]
    m = numbered("m", len(leading))
    a_dims = ("k", *m) if transpose_a else (*m, "k")
    k = a.shape[0] if transpose_a else a.shape[-1]
    n, rows = (b.shape[0], b.shape[1]) if transpose_b else (b.shape[1], b.shape[0])
    if k != rows:
        raise ArgumentError(
            f"matrix product of {a.shape}{' transposed' if transpose_a else ''} and {b.shape}{' transposed' if transpose_b else ''}",
            where=out.name, hint="the inner extents must be equal",
        )  # fmt: skip
    return Nest(
        (*zip(m, leading, strict=True), ("n", n), ("k", k)), "mac",
        (operand(a, a_dims), operand(b, ("n", "k") if transpose_b else ("k", "n"))),
        (operand(out, (*m, "n")),),
    )  # fmt: skip


def matmul_nest(a: Tensor, b: Tensor, out: Tensor) -> Nest:
    """NumPy's ``a @ b`` with at least two axes each; leading axes broadcast.

    A batch axis that B lacks is one of the m dimensions (B is re-used over it), one that A lacks one of the n dimensions.
    """
    if a.shape[-1] != b.shape[-2]:
        raise ArgumentError(f"matrix product of {a.shape} and {b.shape}", where=out.name, hint="the inner extents must be equal")
    batch = broadcast_shape(a.shape[:-2], b.shape[:-2])
    names = numbered("b", len(batch)) if batch else ()
    m, n, k = a.shape[-2], b.shape[-1], a.shape[-1]

    def batched(tensor: Tensor, last: tuple[str, str]) -> Operand:
        offset = len(batch) - (len(tensor.shape) - 2)
        dims = tuple(names[offset + i] if size == batch[offset + i] else None for i, size in enumerate(tensor.shape[:-2]))
        return Operand(tensor.name, plain_axes((*dims, *last)))

    return Nest(
        (*zip(names, batch, strict=True), ("m", m), ("n", n), ("k", k)), "mac",
        (batched(a, ("m", "k")), batched(b, ("k", "n"))), (operand(out, (*names, "m", "n")),),
    )  # fmt: skip


@lru_cache(maxsize=2048)
def _window_axes(rank: int, strides: tuple[int, ...], begins: tuple[int, ...], dilations: tuple[int, ...]) -> tuple[Axis, ...]:
    return tuple(Axis(((f"p{i}", strides[i]), (f"r{i}", dilations[i])), -begins[i]) for i in range(rank))


@lru_cache(maxsize=2048)
def _image_axes(strides: tuple[int, ...], begins: tuple[int, ...], dilations: tuple[int, ...], group: int) -> tuple[Axis, ...]:
    """Axes of a convolution's input; ``group``: channels of a group, 0 if there is one group. One object for all equal convolutions."""
    n_axis, c_axis = plain_axes(("n", "c"))
    return (n_axis, _group_axis(group) if group else c_axis, *_window_axes(len(strides), strides, begins, dilations))


@lru_cache(maxsize=16)
def _window_names(rank: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(f"p{i}" for i in range(rank)), tuple(f"r{i}" for i in range(rank))


@lru_cache(maxsize=256)
def _group_axis(size: int) -> Axis:
    return Axis((("g", size), ("c", 1)))


@lru_cache(maxsize=256)
def _group_output_axis(size: int) -> Axis:
    return Axis((("g", size), ("k", 1)))


def conv_nest(
    x: Tensor, w: Tensor, out: Tensor, *, strides: tuple[int, ...], begins: tuple[int, ...], dilations: tuple[int, ...], groups: int = 1
) -> Nest:
    """Convolution: x (N, C, *spatial), w (K, C/groups, *window), out (N, K, *spatial).

    out[n, k, p] += x[n, c, p stride + r dilation - begin] w[k, c, r]. With several groups the dimension ``g`` numbers them
    and ``k``, ``c`` count within one group; depthwise is groups = C.
    """
    rank = len(strides)
    p, r = _window_names(rank)
    spatial = tuple(zip(p, out.shape[2:], strict=True))
    taps = tuple(zip(r, w.shape[2:], strict=True))
    c, k = w.shape[1], w.shape[0] // groups
    if groups == 1:
        dims = (("n", out.shape[0]), ("k", k), *spatial, ("c", c), *taps)
        filters, results = plain_axes(("k", "c", *r)), plain_axes(("n", "k", *p))
    else:
        dims = (("n", out.shape[0]), ("g", groups), ("k", k), *spatial, ("c", c), *taps)
        channel = _group_output_axis(k)
        filters, results = (channel, *plain_axes(("c", *r))), (*plain_axes(("n",)), channel, *plain_axes(p))
    image = _image_axes(strides, begins, dilations, c if groups > 1 else 0)
    return Nest(dims, "mac", (Operand(x.name, image), Operand(w.name, filters)), (Operand(out.name, results),))


def conv_transposed_nest(
    x: Tensor, w: Tensor, out: Tensor, *, strides: tuple[int, ...], begins: tuple[int, ...], dilations: tuple[int, ...], groups: int = 1
) -> Nest:
    """Transposed convolution: x (N, C, *spatial), w (C, K/groups, *window), out (N, K, *spatial).

    out[n, k, p stride + r dilation - begin] += x[n, c, p] w[c, k, r]: every input pixel meets every tap once, products that
    fall outside the output are dropped. As a matrix product: M = input pixels, N = K x taps, K = C.
    """
    rank = len(strides)
    p, r = _window_names(rank)
    c, k = w.shape[0] // groups, w.shape[1]
    n_axis, k_axis, c_axis = plain_axes(("n", "k", "c"))
    grouped = () if groups == 1 else (("g", groups),)
    channel = c_axis if groups == 1 else _group_axis(c)
    out_channel = k_axis if groups == 1 else _group_output_axis(k)
    dims = (
        ("n", x.shape[0]), *grouped, *zip(p, x.shape[2:], strict=True), ("k", k), *zip(r, w.shape[2:], strict=True), ("c", c),
    )  # fmt: skip
    return Nest(
        dims, "mac",
        (Operand(x.name, (n_axis, channel, *plain_axes(p))), Operand(w.name, (channel, k_axis, *plain_axes(r)))),
        (Operand(out.name, (n_axis, out_channel, *_window_axes(rank, strides, begins, dilations))),),
    )  # fmt: skip


def pool_nest(
    x: Tensor,
    out: Tensor,
    function: str,
    *,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    begins: tuple[int, ...],
    dilations: tuple[int, ...],
) -> Nest:
    """Pooling over windows of x (N, C, *spatial): one ``max`` or ``add`` per tap (scaling an average is not counted)."""
    rank = len(window)
    p, r = _window_names(rank)
    n_axis, c_axis = plain_axes(("n", "c"))
    return Nest(
        (("n", out.shape[0]), ("c", out.shape[1]), *zip(p, out.shape[2:], strict=True), *zip(r, window, strict=True)), function,
        (Operand(x.name, (n_axis, c_axis, *_window_axes(rank, strides, begins, dilations))),),
        (Operand(out.name, (n_axis, c_axis, *plain_axes(p))),), VECTOR_OPS[function],
    )  # fmt: skip


def pointwise_nest(function: str, reads: Sequence[Tensor], out: Tensor, vector_ops: int) -> Nest:
    """``function`` at every point of ``out``, its reads broadcast to it."""
    dims = point_dims(len(out.shape))
    return Nest(
        tuple(zip(dims, out.shape, strict=True)), function,
        tuple(broadcast_operand(tensor, dims, out.shape) for tensor in reads),
        (Operand(out.name, plain_axes(dims)),), vector_ops,
    )  # fmt: skip


def reduce_nest(function: str, x: Tensor, out: Tensor, axes: frozenset[int], vector_ops: int) -> Nest:
    """Reduce ``axes`` of ``x``; ``out`` keeps them with extent 1 if its rank is that of ``x``, else drops them."""
    dims = point_dims(len(x.shape))
    keep = len(out.shape) == len(x.shape)
    written = tuple(None if i in axes else dim for i, dim in enumerate(dims) if keep or i not in axes)
    return Nest(
        tuple(zip(dims, x.shape, strict=True)), function, (Operand(x.name, plain_axes(dims)),),
        (Operand(out.name, plain_axes(written)),), vector_ops,
    )  # fmt: skip


def copy_nest(x: Tensor, out: Tensor, axes: tuple[Axis, ...]) -> Nest:
    """Copy into every point of ``out`` (dims ``d0 ...``) the element of ``x`` at ``axes``."""
    dims = point_dims(len(out.shape))
    return Nest(tuple(zip(dims, out.shape, strict=True)), "copy", (Operand(x.name, axes),), (Operand(out.name, plain_axes(dims)),))
