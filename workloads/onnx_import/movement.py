"""Handlers of operators that move or rename bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hwspecs.vocabulary.errors import ModelError
from workloads.graph import Axis, Nest, Operand, Tensor
from workloads.nests import CONSTANT, axis, copy_nest, plain_axes, point_dims
from workloads.onnx_import.node import Context, Node


def _same(context: Context, node: Node) -> None:
    for name in node.outputs[1:]:
        if name:
            raise ModelError(
                "its second output (the mask) is used, which only training needs", where=node.where, hint="export for inference"
            )
    context.same(node.outputs[0], node.input(0))


def _view(context: Context, node: Node) -> None:
    source, out = context.tensor(node.input(0)), node.outputs[0]
    if context.shape(out) == context.shape(node.input(0)):
        context.same(out, node.input(0))
        return
    context.builder.view(source, out, context.shape(out), name=context.operator_name(node), origin=node.origin)


def _transpose(context: Context, node: Node) -> None:
    source = context.tensor(node.input(0))
    rank = len(context.shape(node.input(0)))
    order = node.attribute("perm", list(range(rank))[::-1])
    context.builder.transpose(source, node.outputs[0], order, name=context.operator_name(node), origin=node.origin)


def _concat(context: Context, node: Node) -> None:
    reads = [context.tensor(name, keep_scalars=True) for name in node.inputs if name and 0 not in context.shape(name)]
    along = node.attribute("axis", 0)
    context.output(node.outputs[0])
    context.builder.concat(reads, node.outputs[0], along, name=context.operator_name(node), origin=node.origin)


def _read(context: Context, node: Node, axes: Sequence[Axis], read_bytes: int | None, function: str, extra: Sequence[str] = ()) -> None:
    """One copy nest over the points of the first output that reads the first input at ``axes``."""
    builder, out = context.builder, context.output(node.outputs[0])
    x = builder[context.tensor(node.input(0))]
    reads = {} if read_bytes is None else {x.name: min(read_bytes, x.stored_bytes)}
    others = tuple(context.tensor(name) for name in extra if name and not context.is_scalar(name))
    builder.operator(
        "copy", tuple(dict.fromkeys((x.name, *others))), (out.name,), (copy_nest(x, out, tuple(axes)),), name=context.operator_name(node),
        attributes={"function": function}, read_bytes=reads, origin=node.origin,
    )  # fmt: skip


def _bytes(context: Context, name: str, like: str) -> int:
    """Bytes of the tensor ``name`` in the format of ``like``."""
    return Tensor(name, context.shape(name), context.builder[context.tensor(like)].format).stored_bytes


def _slice(context: Context, node: Node) -> None:
    shape, target = context.shape(node.input(0)), context.shape(node.outputs[0])
    if shape == target:
        context.same(node.outputs[0], node.input(0))
        return
    rank = len(shape)
    if len(node.inputs) > 1:
        starts = context.value(node.input(1), node, "the list of starts")
        axes = context.value(node.input(3), node, "the list of axes") if node.input(3) else tuple(range(len(starts)))
        steps = context.value(node.input(4), node, "the list of steps") if node.input(4) else (1,) * len(starts)
    else:
        starts = tuple(node.attribute("starts", []))
        axes = tuple(node.attribute("axes", range(len(starts))))
        steps = (1,) * len(starts)
    dims = point_dims(rank)
    read = list(plain_axes(dims))
    for start, along, step in zip(starts, axes, steps, strict=True):
        along %= rank
        size = shape[along]
        first = max(0, min(start + size if start < 0 else start, size - (1 if step < 0 else 0)))
        read[along] = axis((dims[along], step), offset=first)
    _read(context, node, read, _bytes(context, node.outputs[0], node.input(0)), "slice")


def _split(context: Context, node: Node) -> None:
    builder, x = context.builder, context.builder[context.tensor(node.input(0))]
    along = node.attribute("axis", 0) % len(x.shape)
    dims = point_dims(len(x.shape))
    whole = plain_axes(dims)
    steps, outputs, start = [], [], 0
    for name in node.outputs:
        if not name:
            raise ModelError("one of its outputs has no name, so that the sizes of the others are unknown", where=node.where)
        out = context.output(name)
        read = (*whole[:along], axis((dims[along], 1), offset=start), *whole[along + 1 :])
        steps.append(Nest(tuple(zip(dims, out.shape, strict=True)), "copy", (Operand(x.name, read),), (Operand(out.name, whole),)))
        outputs.append(name)
        start += out.shape[along]
    builder.operator(
        "copy", (x.name,), outputs, steps, name=context.operator_name(node), attributes={"function": "split"}, origin=node.origin
    )


def _pad(context: Context, node: Node) -> None:
    shape = context.shape(node.input(0))
    rank = len(shape)
    flat = context.value(node.input(1), node, "the padding") if node.input(1) else tuple(node.attribute("pads", [0] * 2 * rank))
    axes = context.value(node.input(3), node, "the list of axes") if node.input(3) else tuple(range(rank))
    if not any(flat):
        context.same(node.outputs[0], node.input(0))
        return
    dims = point_dims(rank)
    read = list(plain_axes(dims))
    for index, along in enumerate(axes):
        read[along % rank] = axis((dims[along % rank], 1), offset=-flat[index])
    _read(context, node, read, None, "pad")


def _expand(context: Context, node: Node) -> None:
    source, target = context.shape(node.input(0)), context.shape(node.outputs[0])
    if source == target:
        context.same(node.outputs[0], node.input(0))
        return
    dims = point_dims(len(target))
    offset = len(target) - len(source)
    read = plain_axes(tuple(dims[offset + i] if size == target[offset + i] else None for i, size in enumerate(source)))
    _read(context, node, read, None, node.op.lower())


def _gather(context: Context, node: Node) -> None:
    data, indices, out = node.input(0), node.input(1), node.outputs[0]
    shape, chosen = context.shape(data), context.shape(indices)
    along = node.attribute("axis", 0) % len(shape)
    if along == 0 and indices not in context.constants:
        context.output(out)
        context.builder.embedding(context.tensor(indices), context.tensor(data), out, name=context.operator_name(node), origin=node.origin)
        return
    dims = point_dims(len(context.shape(out)))
    known = context.arrays.get(indices)
    row = CONSTANT
    if known is not None and known.size == 1:
        row = axis(offset=int(known.reshape(-1)[0]) % shape[along])
    read = (*plain_axes(dims[:along]), row, *plain_axes(dims[along + len(chosen) :]))
    _read(context, node, read, _bytes(context, out, data), "gather", (indices,) if indices not in context.constants else ())


def _by_data(context: Context, node: Node) -> None:
    """Movement whose source depends on data or is not affine: every byte of the output is moved once."""
    rank = len(context.shape(node.input(0)))
    _read(context, node, (CONSTANT,) * rank, _bytes(context, node.outputs[0], node.input(0)), node.op.lower(), node.inputs[1:])


def _scatter(context: Context, node: Node) -> None:
    """A copy of the data in which some values are exchanged: all of the data is read and written."""
    dims = point_dims(len(context.shape(node.outputs[0])))
    _read(context, node, plain_axes(dims), None, node.op.lower(), node.inputs[1:])


def _blocks(context: Context, node: Node) -> None:
    """DepthToSpace and SpaceToDepth: the affine exchange between channels and pixels."""
    builder, b = context.builder, node.attribute("blocksize", 1)
    x, out = builder[context.tensor(node.input(0))], context.output(node.outputs[0])
    deep, wide = (x, out) if node.op == "DepthToSpace" else (out, x)
    n, c, h, w = wide.shape
    dims = (("n", n), ("c", c), ("h", h // b), ("i", b), ("w", w // b), ("j", b))
    crd = node.attribute("mode", "DCR") == "CRD"
    channel = axis(("c", b * b), ("i", b), ("j", 1)) if crd else axis(("i", b * c), ("j", c), ("c", 1))
    packed = Operand(deep.name, (axis(("n", 1)), channel, axis(("h", 1)), axis(("w", 1))))
    spread = Operand(wide.name, (axis(("n", 1)), axis(("c", 1)), axis(("h", b), ("i", 1)), axis(("w", b), ("j", 1))))
    reads, writes = (packed, spread) if deep is x else (spread, packed)
    builder.operator(
        "copy", (x.name,), (out.name,), (Nest(dims, "copy", (reads,), (writes,)),), name=context.operator_name(node),
        attributes={"function": node.op.lower()}, origin=node.origin,
    )  # fmt: skip


def _one_hot(context: Context, node: Node) -> None:
    """Each index compared with every class."""
    builder, out = context.builder, context.output(node.outputs[0])
    dims = point_dims(len(out.shape))
    along = node.attribute("axis", -1) % len(dims)
    ids = builder[context.tensor(node.input(0))]
    read = Operand(ids.name, plain_axes(tuple(dim for i, dim in enumerate(dims) if i != along)))
    step = Nest(tuple(zip(dims, out.shape, strict=True)), "compare", (read,), (Operand(out.name, plain_axes(dims)),), 1)
    builder.operator(
        "elementwise",
        (ids.name,),
        (out.name,),
        (step,),
        name=context.operator_name(node),
        attributes={"function": "compare"},
        origin=node.origin,
    )


HANDLERS: Mapping[str, Callable[[Context, Node], None]] = {
    "Identity": _same, "Dropout": _same, "Reshape": _view, "Flatten": _view, "Squeeze": _view, "Unsqueeze": _view, "Transpose": _transpose,
    "Concat": _concat, "Slice": _slice, "Split": _split, "Pad": _pad, "Expand": _expand, "Tile": _expand, "Gather": _gather,
    "GatherElements": _by_data, "GatherND": _by_data, "ReverseSequence": _by_data, "ScatterElements": _scatter, "ScatterND": _scatter,
    "Scatter": _scatter,
    "Trilu": _scatter, "DepthToSpace": _blocks, "SpaceToDepth": _blocks, "OneHot": _one_hot, "ConstantOfShape": _same, "Range": _same,
}  # fmt: skip
