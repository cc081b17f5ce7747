"""Vector work and data movement: the half of ``GraphBuilder`` without multiply-accumulates."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from hwspecs.vocabulary.errors import ArgumentError
from workloads import nests as nest
from workloads.builder_core import NO_ATTRIBUTES, Attributes, BuilderCore, per_axis
from workloads.graph import Axis, Nest, Operand, Tensor


class VectorBuilder(BuilderCore):
    """Constructors of elementwise, norm, softmax, pool, reduce, embedding, copy and view operators."""

    def elementwise(
        self, function: str, inputs: Sequence[str], out: str, *, vector_ops: int | None = None, kind: str = "elementwise",
        name: str | None = None, attributes: Attributes = NO_ATTRIBUTES, origin: str = "",
    ) -> str:  # fmt: skip
        """``function`` at every point of the broadcast inputs.

        ``vector_ops`` per point defaults to ``nests.VECTOR_OPS``, for add, mul, max, min and logic times (number of inputs - 1).
        """
        reads = [self[name_] for name_ in inputs]
        shape = nest.broadcast_shape(*(tensor.shape for tensor in reads))
        result = self._result(out, shape, reads[0])
        if vector_ops is None:
            vector_ops = nest.VECTOR_OPS[function]
            if function in ("add", "mul", "max", "min", "logic"):
                vector_ops *= max(1, len(reads) - 1)
        step = nest.pointwise_nest(function, reads, result, vector_ops)
        self.operator(kind, inputs, (out,), (step,), name=name, attributes=attributes or {"function": function}, origin=origin)
        return out

    def norm(
        self, function: str, x: str, out: str, *, weight: str | None = None, bias: str | None = None, name: str | None = None,
        attributes: Attributes = NO_ATTRIBUTES, origin: str = "",
    ) -> str:  # fmt: skip
        """``layernorm`` or ``rmsnorm`` over the last axis (or ``groupnorm``, ``instancenorm``: over channel groups of axis 1).

        ``weight`` and ``bias`` lie along the last axis (axis 1 for the latter two) and cost one more operation per element each.
        """
        tx = self[x]
        channel = 1 if function in ("groupnorm", "instancenorm") else len(tx.shape) - 1
        return self._normalized("norm", function, x, out, (weight, bias), channel, name, attributes or {"norm": function}, origin)

    def batchnorm(
        self, x: str, out: str, scale: str, shift: str, *, name: str | None = None, attributes: Attributes = NO_ATTRIBUTES, origin: str = ""
    ) -> str:
        """Batch normalization at inference, mean and variance folded: out = x scale[c] + shift[c], channels along axis 1."""
        return self._normalized(
            "elementwise", "affine", x, out, (scale, shift), 1, name, attributes or {"function": "affine", "norm": "batchnorm"}, origin
        )

    def _normalized(
        self, kind: str, function: str, x: str, out: str, affine: tuple[str | None, ...], channel: int, name: str | None,
        attributes: Attributes, origin: str,
    ) -> str:  # fmt: skip
        tx = self[x]
        result = self._result(out, tx.shape, tx)
        dims = nest.point_dims(len(tx.shape))
        extra = [item for item in affine if item is not None]
        whole = nest.plain_axes(dims)
        reads = [Operand(x, whole), *(Operand(item, nest.plain_axes((dims[channel],))) for item in extra)]
        ops = nest.VECTOR_OPS[function] + (len(extra) if function != "affine" else 0)
        step = Nest(tuple(zip(dims, tx.shape, strict=True)), function, tuple(reads), (Operand(result.name, whole),), ops)
        self.operator(kind, (x, *extra), (out,), (step,), name=name, attributes=attributes, origin=origin)
        return out

    def softmax(
        self, x: str, out: str, *, axis: int = -1, function: str = "softmax", name: str | None = None,
        attributes: Attributes = NO_ATTRIBUTES, origin: str = "",
    ) -> str:  # fmt: skip
        """Softmax along ``axis`` (8 vector operations per element)."""
        tx = self[x]
        result = self._result(out, tx.shape, tx)
        step = nest.pointwise_nest(function, (tx,), result, nest.VECTOR_OPS[function])
        self.operator("softmax", (x,), (out,), (step,), name=name, attributes=attributes or {"axis": axis % len(tx.shape)}, origin=origin)
        return out

    def pool(
        self, x: str, out: str, function: str, *, window: Sequence[int] | int, strides: Sequence[int] | int = 1,
        pads: Sequence[tuple[int, int]] | int = 0, dilations: Sequence[int] | int = 1, ceil: bool = False, name: str | None = None,
        attributes: Attributes = NO_ATTRIBUTES, origin: str = "",
    ) -> str:  # fmt: skip
        """Pooling with ``function`` ``max`` or ``add`` (average) over x (N, C, *spatial); ``ceil`` rounds output sizes up."""
        tx = self[x]
        rank = len(tx.shape) - 2
        size, step, dilation = per_axis(window, rank), per_axis(strides, rank), per_axis(dilations, rank)
        pad = ((pads, pads),) * rank if isinstance(pads, int) else tuple(pads)
        spare = [tx.shape[2 + i] + sum(pad[i]) - ((size[i] - 1) * dilation[i] + 1) for i in range(rank)]
        sizes = [(-(-rest // step[i]) if ceil else rest // step[i]) + 1 for i, rest in enumerate(spare)]
        if ceil:  # a window that would start in the padding behind the input is dropped
            sizes = [n - ((n - 1) * step[i] >= tx.shape[2 + i] + pad[i][0]) for i, n in enumerate(sizes)]
        if min(sizes, default=1) < 1:
            raise ArgumentError(
                f"window {size} does not fit the input {tx.shape[2:]}", where=name or out, hint="pad more or shrink the window"
            )
        result = self._result(out, (*tx.shape[:2], *sizes), tx)
        begins = tuple(begin for begin, _ in pad)
        made = nest.pool_nest(tx, result, function, window=size, strides=step, begins=begins, dilations=dilation)
        self.operator("pool", (x,), (out,), (made,), name=name, attributes=attributes or {"function": function}, origin=origin)
        return out

    def reduce(
        self, function: str, x: str, out: str, axes: Sequence[int], *, keep_dims: bool = False, kind: str = "reduce",
        name: str | None = None, attributes: Attributes = NO_ATTRIBUTES, origin: str = "",
    ) -> str:  # fmt: skip
        """Reduce ``axes`` of ``x`` with ``function`` (``add`` also stands for a mean)."""
        tx = self[x]
        chosen = frozenset(index % len(tx.shape) for index in axes)
        shape = [1 if i in chosen else size for i, size in enumerate(tx.shape) if keep_dims or i not in chosen]
        result = self._result(out, shape, tx)
        made = nest.reduce_nest(function, tx, result, chosen, nest.VECTOR_OPS[function])
        self.operator(kind, (x,), (out,), (made,), name=name, attributes=attributes or {"function": function}, origin=origin)
        return out

    # -- movement --------------------------------------------------------------------------------------------------

    def embedding(
        self, ids: str, table: str, out: str, *, name: str | None = None, attributes: Attributes = NO_ATTRIBUTES, origin: str = ""
    ) -> str:
        """Rows of ``table`` (V, D) chosen by ``ids`` (any shape); reads at most V rows."""
        ti, tt = self[ids], self[table]
        result = self._result(out, (*ti.shape, *tt.shape[1:]), tt)
        dims = nest.point_dims(len(result.shape))
        rank = len(ti.shape)
        row = (None, *dims[rank:])
        step = Nest(
            tuple(zip(dims, result.shape, strict=True)), "copy", (nest.operand(ti, dims[:rank]), nest.operand(tt, row)),
            (nest.operand(result, dims),),
        )  # fmt: skip
        rows = min(ti.values, tt.shape[0])
        read = {table: -(-tt.stored_bytes * rows // tt.shape[0])} if tt.shape[0] else {}
        self.operator("embedding", (ids, table), (out,), (step,), name=name, attributes=attributes, read_bytes=read, origin=origin)
        return out

    def copy(
        self, x: str, out: str, shape: Sequence[int], axes: tuple[Axis, ...], *, read_bytes: int | None = None, name: str | None = None,
        attributes: Attributes = NO_ATTRIBUTES, origin: str = "",
    ) -> str:  # fmt: skip
        """Move bytes: every point of ``out`` (dims ``d0 ...``) takes the element of ``x`` at ``axes`` (transpose, slice, pad, tile)."""
        tx = self[x]
        result = self._result(out, shape, tx)
        reads = {} if read_bytes is None else {x: read_bytes}
        made = nest.copy_nest(tx, result, axes)
        self.operator("copy", (x,), (out,), (made,), name=name, attributes=attributes, read_bytes=reads, origin=origin)
        return out

    def transpose(self, x: str, out: str, order: Sequence[int], *, name: str | None = None, origin: str = "") -> str:
        """``out`` axis i is axis ``order[i]`` of ``x``; a permutation that only moves axes of extent 1 is a view."""
        tx = self[x]
        shape = [tx.shape[index] for index in order]
        moved = [index for index in order if tx.shape[index] != 1]
        if moved == sorted(moved):
            return self.view(x, out, shape, name=name, origin=origin)
        dims = nest.point_dims(len(order))
        axes = nest.plain_axes(tuple(dims[list(order).index(i)] for i in range(len(order))))
        return self.copy(x, out, shape, axes, name=name, attributes={"function": "transpose"}, origin=origin)

    def concat(self, inputs: Sequence[str], out: str, axis: int, *, name: str | None = None, origin: str = "") -> str:
        """Join ``inputs`` along ``axis``: one copy nest per input."""
        parts = [self[item] for item in inputs]
        rank = len(parts[0].shape)
        axis %= rank
        shape = list(parts[0].shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        result = self._result(out, shape, parts[0])
        dims, start, steps = nest.point_dims(rank), 0, []
        whole = nest.plain_axes(dims)
        for part in parts:
            written = (*whole[:axis], nest.axis((dims[axis], 1), offset=start), *whole[axis + 1 :])
            steps.append(
                Nest(tuple(zip(dims, part.shape, strict=True)), "copy", (Operand(part.name, whole),), (Operand(result.name, written),))
            )
            start += part.shape[axis]
        self.operator("copy", inputs, (out,), steps, name=name, attributes={"function": "concat"}, origin=origin)
        return out

    def slice(
        self, x: str, out: str, starts: Sequence[int], shape: Sequence[int], *, steps: Sequence[int] | None = None, name: str | None = None,
        origin: str = "",
    ) -> str:  # fmt: skip
        """Copy the part of ``x`` that begins at ``starts``, every ``steps``-th element, and has ``shape``; reads that part alone.

        Raises:
            ArgumentError: the part does not lie within ``x``.
        """
        tx = self[x]
        strides = (1,) * len(tx.shape) if steps is None else tuple(steps)
        lasts = [start + (size - 1) * step for start, size, step in zip(starts, shape, strides, strict=True)]
        if min(starts) < 0 or any(last >= size for last, size in zip(lasts, tx.shape, strict=True)):
            raise ArgumentError(
                f"a part of shape {tuple(shape)} from {tuple(starts)} lies outside {tx.shape}", where=name or out, hint="check the starts"
            )
        dims = nest.point_dims(len(tx.shape))
        axes = tuple(nest.axis((dim, step), offset=start) for dim, step, start in zip(dims, strides, starts, strict=True))
        part = Tensor(out, tuple(shape), tx.format).stored_bytes
        return self.copy(x, out, shape, axes, read_bytes=part, name=name, attributes={"function": "slice"}, origin=origin)

    def pad(self, x: str, out: str, pads: Sequence[tuple[int, int]], *, name: str | None = None, origin: str = "") -> str:
        """Copy ``x`` with zeros around it: (begin, end) per axis."""
        tx = self[x]
        dims = nest.point_dims(len(tx.shape))
        shape = [begin + size + end for size, (begin, end) in zip(tx.shape, pads, strict=True)]
        axes = tuple(nest.axis((dim, 1), offset=-begin) for dim, (begin, _) in zip(dims, pads, strict=True))
        return self.copy(x, out, shape, axes, name=name, attributes={"function": "pad"}, origin=origin)

    def resize(self, x: str, out: str, shape: Sequence[int], *, mode: str = "linear", name: str | None = None, origin: str = "") -> str:
        """Interpolation to ``shape``: ``nearest`` copies; ``linear`` reads 2 taps per axis that changes, ``cubic`` 4, a multiply and an
        add per tap."""
        tx = self[x]
        result = self._result(out, shape, tx)
        dims = nest.point_dims(len(result.shape))
        scaled = sum(a != b for a, b in zip(tx.shape, result.shape, strict=True))
        taps = {"nearest": 0, "linear": 2**scaled, "cubic": 4**scaled}[mode]
        read = nest.plain_axes(tuple(dim if a == b else None for dim, a, b in zip(dims, tx.shape, result.shape, strict=True)))
        step = Nest(
            tuple(zip(dims, result.shape, strict=True)), "interpolate" if taps else "copy", (Operand(x, read),),
            (Operand(out, nest.plain_axes(dims)),), 2 * taps,
        )  # fmt: skip
        kind = "elementwise" if taps else "copy"
        self.operator(kind, (x,), (out,), (step,), name=name, attributes={"function": "resize", "mode": mode}, origin=origin)
        return out

    def split(self, x: str, outs: Sequence[str], axis: int, sizes: Sequence[int], *, name: str | None = None) -> tuple[str, ...]:
        """Parts of ``x`` along ``axis`` as views: one operator that moves nothing.

        Raises:
            ArgumentError: the sizes do not add up to that of the axis.
        """
        tx = self[x]
        axis %= len(tx.shape)
        if sum(sizes) != tx.shape[axis]:
            raise ArgumentError(f"parts of {tuple(sizes)} of axis {axis} of {tx.shape}", where=name or x, hint="they must add up")
        for out, size in zip(outs, sizes, strict=True):
            self.tensors[out] = Tensor(out, (*tx.shape[:axis], size, *tx.shape[axis + 1 :]), tx.format, tx.role, tx.sparsity, x)
        self.operator("view", (x,), tuple(outs), name=name)
        return tuple(outs)

    def view(self, x: str, out: str, shape: Sequence[int], *, name: str | None = None, origin: str = "") -> str:
        """The same bytes under another shape; moves nothing.

        Raises:
            ArgumentError: the number of elements differs.
        """
        tx = self[x]
        if prod(shape) != tx.values:
            raise ArgumentError(
                f"a view of {tx.shape} cannot have shape {tuple(shape)}", where=name or out, hint="element counts must agree"
            )
        if out not in self.tensors:
            self.tensors[out] = Tensor(out, tuple(shape), tx.format, tx.role, tx.sparsity, x)
        self.operator("view", (x,), (out,), name=name, origin=origin)
        return out
