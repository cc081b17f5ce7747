"""Handlers of convolutions and matrix products."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from hwspecs.vocabulary.errors import UnsupportedError
from workloads.graph import Nest, Operand, Operator, Role
from workloads.nests import plain_axes
from workloads.onnx_import.node import Context, Node


def windows(node: Node, rank: int, spans: Sequence[int], sizes: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """(begin, end) padding per spatial axis from ``pads`` or ``auto_pad``."""
    mode = node.attribute("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        pads = []
        for size, span, stride in zip(sizes, spans, strides, strict=True):
            total = max(0, (-(-size // stride) - 1) * stride + span - size)
            small, large = total // 2, total - total // 2
            pads.append((small, large) if mode == "SAME_UPPER" else (large, small))
        return pads
    flat = node.attribute("pads", [0] * (2 * rank)) if mode != "VALID" else [0] * (2 * rank)
    return [(flat[i], flat[i + rank]) for i in range(rank)]


def _conv(context: Context, node: Node) -> None:
    x, w = node.input(0), node.input(1)
    _convolve(context, node, x, w, node.input(2), node.outputs[0])


def _convolve(context: Context, node: Node, x: str, w: str, bias: str, out: str, *, define: bool = True) -> None:
    shape, window = context.shape(x), context.shape(w)[2:]
    rank = len(shape) - 2
    strides = node.attribute("strides", [1] * rank)
    dilations = node.attribute("dilations", [1] * rank)
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(window, dilations, strict=True)]
    if define:
        context.output(out)
    context.builder.conv(
        context.tensor(x), context.tensor(w, keep_scalars=True), out, bias=context.tensor(bias) if bias else None, strides=strides,
        pads=windows(node, rank, spans, shape[2:], strides), dilations=dilations, groups=node.attribute("group", 1),
        name=context.operator_name(node), origin=node.origin,
    )  # fmt: skip


def _conv_transpose(context: Context, node: Node) -> None:
    x, w, out = node.input(0), node.input(1), node.outputs[0]
    shape, window = context.shape(x), context.shape(w)[2:]
    rank = len(shape) - 2
    strides = node.attribute("strides", [1] * rank)
    dilations = node.attribute("dilations", [1] * rank)
    extra = node.attribute("output_padding", [0] * rank)
    sizes = context.shape(out)[2:]
    flat = node.attribute("pads", None)
    pads = []
    for i in range(rank):
        span = (window[i] - 1) * dilations[i] + 1
        total = (shape[2 + i] - 1) * strides[i] + span + extra[i] - sizes[i]
        begin = flat[i] if flat is not None else total // 2
        pads.append((begin, total - begin))
    context.output(out)
    bias = node.input(2)
    context.builder.conv(
        context.tensor(x), context.tensor(w), out, bias=context.tensor(bias) if bias else None, strides=strides, pads=pads,
        dilations=dilations, groups=node.attribute("group", 1), transposed=True, output_padding=extra,
        name=context.operator_name(node), origin=node.origin,
    )  # fmt: skip


def _gemm(context: Context, node: Node) -> None:
    a, b, c = node.input(0), node.input(1), node.input(2)
    out = node.outputs[0]
    context.output(out)
    context.builder.gemm(
        context.tensor(a), context.tensor(b), out, bias=context.tensor(c) if c else None, transpose_a=bool(node.attribute("transA", 0)),
        transpose_b=bool(node.attribute("transB", 0)), name=context.operator_name(node), origin=node.origin,
    )  # fmt: skip


def _matmul(context: Context, node: Node) -> None:
    _multiply(context, node, node.input(0), node.input(1), node.outputs[0])


def _multiply(context: Context, node: Node, a: str, b: str, out: str, *, define: bool = True) -> None:
    """NumPy's matmul; vectors become matrices by views, a weight on the left becomes the second read."""
    builder, name = context.builder, context.operator_name(node)
    left, right = context.tensor(a), context.tensor(b)
    if define:
        context.output(out)
    result = out
    if len(builder[left].shape) == 1 or len(builder[right].shape) == 1:
        if len(builder[left].shape) == 1:
            left = _as(context, left, (1, *builder[left].shape), name)
        if len(builder[right].shape) == 1:
            right = _as(context, right, (*builder[right].shape, 1), name)
        batch = builder[left].shape[:-2] if len(builder[left].shape) > 2 else builder[right].shape[:-2]
        result = builder.tensor(f"{out}.matrix", (*batch, builder[left].shape[-2], builder[right].shape[-1]), format=builder[out].format)
    builder.matmul(left, right, result, name=name, origin=node.origin)
    if builder[left].role is Role.WEIGHT and builder[right].role is not Role.WEIGHT:
        made = builder.nodes[-1]
        assert isinstance(made, Operator)
        builder.nodes[-1] = replace(made, nests=(replace(made.nests[0], reads=made.nests[0].reads[::-1]),))
    if result != out:
        builder.tensors[out] = replace(builder[out], alias_of=result)
        builder.operator("view", (result,), (out,), name=f"{name}.view")


def _as(context: Context, name: str, shape: tuple[int, ...], owner: str) -> str:
    return context.builder.view(name, f"{name}.as_matrix.{owner}", shape)


def _requantize(context: Context, node: Node, source: str, out: str) -> None:
    """The accumulator scaled and rounded to the output's integer format."""
    context.output(out)
    context.builder.elementwise("quantize", (source,), out, name=f"{context.operator_name(node)}.requantize", origin=node.origin)


def _accumulator(context: Context, node: Node) -> str:
    """An int32 tensor in the shape of the node's output."""
    return context.builder.tensor(f"{node.outputs[0]}.accumulator", context.shape(node.outputs[0]), format="int32")


def _qlinear_conv(context: Context, node: Node) -> None:
    inner = _accumulator(context, node)
    _convolve(context, node, node.input(0), node.input(3), node.input(8), inner, define=False)
    _requantize(context, node, inner, node.outputs[0])


def _qlinear_matmul(context: Context, node: Node) -> None:
    inner = _accumulator(context, node)
    _multiply(context, node, node.input(0), node.input(3), inner, define=False)
    _requantize(context, node, inner, node.outputs[0])


def _conv_integer(context: Context, node: Node) -> None:
    _convolve(context, node, node.input(0), node.input(1), "", node.outputs[0])


def _einsum(context: Context, node: Node) -> None:
    """A product of two tensors by subscripts, each letter at most once per tensor."""
    equation = node.attribute("equation", "").replace(" ", "")
    terms, arrow, result = equation.partition("->")
    parts = terms.split(",")
    if "." in equation or not arrow or len(parts) != 2 or any(len(set(part)) != len(part) for part in (*parts, result)):
        raise UnsupportedError(
            f"einsum {equation!r} is not covered",
            where=node.where,
            hint="covered: two tensors, an explicit result, no repeated letter, no ellipsis",
        )
    builder, out = context.builder, context.output(node.outputs[0])
    order = [0, 1]
    if node.input(0) in context.constants and node.input(1) not in context.constants:
        order = [1, 0]
    extents: dict[str, int] = {}
    reads = []
    for index in order:
        tensor = builder[context.tensor(node.input(index))]
        extents.update(
            (letter, size) for letter, size in zip(parts[index], tensor.shape, strict=True) if size != 1 or letter not in extents
        )
        reads.append(Operand(tensor.name, plain_axes(tuple(parts[index]))))
    dims = [(letter, extents[letter]) for letter in (*result, *(item for item in extents if item not in result))]
    step = Nest(tuple(dims), "mac", tuple(reads), (Operand(out.name, plain_axes(tuple(result))),))
    inputs = tuple(read.tensor for read in reads)
    builder.operator("gemm", inputs, (out.name,), (step,), name=context.operator_name(node), origin=node.origin)


def _attention(context: Context, node: Node) -> None:
    """The fused attention of opset 23 without cache outputs."""
    if any(node.input(i) for i in (4, 5)) or len([name for name in node.outputs if name]) > 1:
        raise UnsupportedError("Attention with a past or present cache is not covered", where=node.where)
    q, k, v = (context.tensor(node.input(i)) for i in range(3))
    shapes = [context.shape(node.input(i)) for i in range(3)]
    if len(shapes[0]) == 4:
        heads, kv_heads, queries, keys = shapes[0][1], shapes[1][1], shapes[0][2], shapes[1][2]
        dim, value_dim = shapes[0][3], shapes[2][3]
    else:
        heads, kv_heads = node.attribute("q_num_heads", 1), node.attribute("kv_num_heads", 1)
        queries, keys, dim, value_dim = shapes[0][1], shapes[1][1], shapes[0][2] // heads, shapes[2][2] // kv_heads
    out = context.output(node.outputs[0])
    mask = node.input(3)
    context.builder.attention(
        q, k, v, out.name, batch=shapes[0][0], heads=heads, kv_heads=kv_heads, queries=queries, keys=keys, head_dim=dim,
        value_dim=value_dim, causal=bool(node.attribute("is_causal", 0)), mask=context.tensor(mask) if mask else None,
        name=context.operator_name(node), origin=node.origin,
    )  # fmt: skip


HANDLERS: Mapping[str, Callable[[Context, Node], None]] = {
    "Conv": _conv, "ConvTranspose": _conv_transpose, "Gemm": _gemm, "MatMul": _matmul, "MatMulInteger": _matmul,
    "ConvInteger": _conv_integer, "QLinearConv": _qlinear_conv, "QLinearMatMul": _qlinear_matmul, "Einsum": _einsum,
    "Attention": _attention,
}  # fmt: skip
