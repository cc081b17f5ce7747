"""``GraphBuilder``: writes an operator graph operator by operator.

Each constructor takes tensor names, derives the output's shape, adds the output tensor (unless ``out`` is already defined) and the
operator, and returns the output's name; the operator carries the output's name unless ``name`` says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwspecs.vocabulary.errors import ArgumentError
from workloads import nests as nest
from workloads.builder_core import NO_ATTRIBUTES, Attributes, per_axis
from workloads.builder_vector import VectorBuilder
from workloads.graph import Nest, Operand, Tensor


class GraphBuilder(VectorBuilder):
    """A graph under construction; ``build`` freezes it.

    Args:
        name: the model's name.
        format: number format of tensors for which none is stated.
        meta: see ``OperatorGraph.meta``.
    """

    def gemm(
        self, a: str, b: str, out: str, *, bias: str | None = None, transpose_a: bool = False, transpose_b: bool = False,
        name: str | None = None, attributes: Attributes = NO_ATTRIBUTES, read_bytes: Mapping[str, int] | None = None, origin: str = "",
    ) -> str:  # fmt: skip
        """out[..., n] = sum_k a[..., k] b[k, n] (+ bias[n]); ``a`` may have any number of leading axes, ``b`` two."""
        ta, tb = self[a], self[b]
        leading = ta.shape[1:] if transpose_a else ta.shape[:-1]
        shape = (*leading, tb.shape[0] if transpose_b else tb.shape[1])
        result, inner, internal = self._with_bias(out, shape, ta, bias)
        steps = [nest.gemm_nest(ta, tb, inner, transpose_a=transpose_a, transpose_b=transpose_b)]
        return self._finish("gemm", (a, b), result, inner, internal, steps, bias, len(shape) - 1, name, attributes, read_bytes, origin)

    def matmul(
        self, a: str, b: str, out: str, *, name: str | None = None, attributes: Attributes = NO_ATTRIBUTES,
        read_bytes: Mapping[str, int] | None = None, origin: str = "",
    ) -> str:  # fmt: skip
        """NumPy's ``a @ b`` for operands of two or more axes, batch axes broadcast; kind ``gemm``."""
        ta, tb = self[a], self[b]
        if len(tb.shape) == 2:
            return self.gemm(a, b, out, name=name, attributes=attributes, read_bytes=read_bytes, origin=origin)
        batch = nest.broadcast_shape(ta.shape[:-2], tb.shape[:-2])
        result = self._result(out, (*batch, ta.shape[-2], tb.shape[-1]), ta)
        self.operator(
            "gemm",
            (a, b),
            (out,),
            (nest.matmul_nest(ta, tb, result),),
            name=name,
            attributes=attributes,
            read_bytes=read_bytes,
            origin=origin,
        )
        return out

    def conv(
        self, x: str, w: str, out: str, *, bias: str | None = None, strides: Sequence[int] | int = 1,
        pads: Sequence[tuple[int, int]] | int = 0, dilations: Sequence[int] | int = 1, groups: int = 1, transposed: bool = False,
        output_padding: Sequence[int] | int = 0, name: str | None = None, attributes: Attributes = NO_ATTRIBUTES, origin: str = "",
    ) -> str:  # fmt: skip
        """Convolution in one, two or three dimensions (cross-correlation, as networks use the word).

        Args:
            x: (N, C, *spatial).
            w: (K, C/groups, *window); if ``transposed``: (C, K/groups, *window).
            bias: (K,) or None.
            strides, dilations: one number, or one per spatial axis.
            pads: one number, or (begin, end) per spatial axis.
            output_padding: extra rows at the end of a transposed convolution's output.

        Raises:
            ArgumentError: the channels do not match the weight and groups, or the window exceeds the padded input.
        """
        tx, tw = self[x], self[w]
        rank = len(tx.shape) - 2
        step, dilation = per_axis(strides, rank), per_axis(dilations, rank)
        pad = ((pads, pads),) * rank if isinstance(pads, int) else tuple(pads)
        begins = tuple(begin for begin, _ in pad)
        spans = [(size - 1) * d + 1 for size, d in zip(tw.shape[2:], dilation, strict=True)]
        channels, features = (tw.shape[0], tw.shape[1] * groups) if transposed else (tw.shape[1] * groups, tw.shape[0])
        if channels != tx.shape[1] or tw.shape[0] % groups:
            raise ArgumentError(
                f"convolution of {tx.shape[1]} channels with a weight of shape {tw.shape} in {groups} groups", where=name or out,
                hint="the weight is (K, C/groups, *window), for a transposed convolution (C, K/groups, *window)",
            )  # fmt: skip
        if transposed:
            extra = per_axis(output_padding, rank)
            sizes = [(tx.shape[2 + i] - 1) * step[i] - sum(pad[i]) + spans[i] + extra[i] for i in range(rank)]
        else:
            sizes = [(tx.shape[2 + i] + sum(pad[i]) - spans[i]) // step[i] + 1 for i in range(rank)]
        if min(sizes, default=1) < 1:
            raise ArgumentError(
                f"window {tw.shape[2:]} does not fit the input {tx.shape[2:]}", where=name or out, hint="pad more or shrink the window"
            )
        result, inner, internal = self._with_bias(out, (tx.shape[0], features, *sizes), tx, bias)
        make = nest.conv_transposed_nest if transposed else nest.conv_nest
        steps = [make(tx, tw, inner, strides=step, begins=begins, dilations=dilation, groups=groups)]
        return self._finish("conv", (x, w), result, inner, internal, steps, bias, 1, name, attributes, None, origin)

    def _with_bias(self, out: str, shape: Sequence[int], like: Tensor, bias: str | None) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        result = self._result(out, shape, like)
        if bias is None:
            return result, result, {}
        inner = Tensor(f"{out}.sum", result.shape, result.format)
        return result, inner, {inner.name: inner}

    def _finish(
        self, kind: str, inputs: tuple[str, ...], result: Tensor, inner: Tensor, internal: dict[str, Tensor], steps: list[Nest],
        bias: str | None, channel: int, name: str | None, attributes: Attributes, read_bytes: Mapping[str, int] | None, origin: str,
    ) -> str:  # fmt: skip
        if bias is not None:
            dims = nest.point_dims(len(result.shape))
            added = self[bias]
            if len(added.shape) == 1:
                read = nest.operand(added, (dims[channel] if added.shape[0] != 1 else None,))
            else:
                read = nest.broadcast_operand(added, dims, result.shape)
            whole = nest.plain_axes(dims)
            steps.append(
                Nest(
                    tuple(zip(dims, result.shape, strict=True)), "add", (Operand(inner.name, whole), read),
                    (Operand(result.name, whole),), nest.VECTOR_OPS["add"],
                )
            )  # fmt: skip
            inputs = (*inputs, bias)
        self.operator(
            kind, inputs, (result.name,), steps, name=name, internal=internal, attributes=attributes, read_bytes=read_bytes, origin=origin
        )
        return result.name

    # -- attention -------------------------------------------------------------------------------------------------

    def attention(
        self, q: str, k: str, v: str, out: str, *, batch: int, heads: int, kv_heads: int, queries: int, keys: int, head_dim: int,
        value_dim: int | None = None, causal: bool = False, mask: str | None = None, layouts: tuple[str, str, str, str] | None = None,
        name: str | None = None, attributes: Attributes = NO_ATTRIBUTES, read_bytes: Mapping[str, int] | None = None, origin: str = "",
    ) -> str:  # fmt: skip
        """Fused attention: the nests ``qk`` (mac), ``softmax`` and ``pv`` (mac) with internal scores and probabilities.

        Query head h = j * (heads / kv_heads) + g reads key-value head j, so the keys of one head are the shared operand of
        ``g`` x queries rows: as a matrix product M = g x queries, N = keys (head_dim for ``pv``), batch = batch x kv_heads.
        The iteration space is the full rectangle queries x keys, causal or not: that is the dense-equivalent count
        (4 x heads x head_dim x queries x keys FLOPs) that papers state; ``attributes["causal"]`` lets mappers skip.

        Args:
            layouts: of q, k, v and out: the letters b (batch), s (sequence), h (head), d (head dimension) in storage order, in
                parentheses where they share one axis: ``bhsd``, ``bshd``, ``bs(hd)``, ``(bs)(hd)``. Default by rank:
                4 ``bhsd``, 3 ``bs(hd)``, 2 ``(bs)(hd)``.
            mask: a tensor added to the scores, broadcast to (batch, heads, queries, keys), or None.

        Raises:
            ArgumentError: ``kv_heads`` does not divide ``heads``, or a tensor's shape contradicts the sizes.
        """
        from workloads.attention import attention_operator

        for tensor in (q, k, v, *((mask,) if mask else ())):
            self[tensor]
        operator = attention_operator(
            self.tensors, (q, k, v, out), mask, self.format, batch=batch, heads=heads, kv_heads=kv_heads, queries=queries, keys=keys,
            head_dim=head_dim, value_dim=value_dim or head_dim, causal=causal, layouts=layouts, name=name or out, attributes=attributes,
            read_bytes=read_bytes or {}, origin=origin,
        )  # fmt: skip
        self.nodes.append(operator)
        return out
