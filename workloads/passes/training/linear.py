"""Gradients of what is linear in its inputs: products, convolutions, biases, copies, embeddings, views."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from hwspecs.vocabulary.errors import UnsupportedError
from workloads.graph import Axis, Nest, Operand, Operator, Tensor
from workloads.nests import axis, plain_axes, point_dims
from workloads.passes.training.tape import Part, Tape


def products(tape: Tape, node: Operator, given: dict[str, str]) -> None:
    """Gradients of an operator whose nests multiply, add or copy: per input one operator that holds a nest for each nest that reads it.

    In a product each operand's gradient is the product of the other two over the same iteration space (Rumelhart, Hinton and
    Williams 1986), so its MACs are those of the forward nest; a strided convolution sends gradients to the pixels that it read and
    multiplies no inserted zeros. Sums within the operator (a bias) pass gradients on.
    """
    passed = dict(given)
    parts: dict[str, list[Part]] = {}
    for nest in reversed(node.nests):
        coming = passed.get(nest.writes[0].tensor)
        if coming is None:
            continue
        result = Operand(coming, nest.writes[0].axes)
        if nest.function == "mac":
            for place, read in enumerate(nest.reads):
                parts.setdefault(read.tensor, []).append(_factor(tape, node, nest, place, result))
        elif nest.function in ("add", "copy"):
            for read in nest.reads:
                if read.tensor in node.internal and read.axes == nest.writes[0].axes:
                    passed[read.tensor] = coming
                else:
                    parts.setdefault(read.tensor, []).append(moved(nest, read, result))
        else:
            raise UnsupportedError(
                f"a product fused with {nest.function!r} has no gradient", where=node.name, hint="train an unfused graph"
            )
    for target, found in parts.items():
        mac = any(part.function == "mac" for part in found)
        kind = node.kind if mac else "copy" if all(part.function == "copy" for part in found) else "reduce"
        kept = {name: node.attributes[name] for name in _KEPT if name in node.attributes}
        tape.send(node, target, kind, found[::-1], {**kept, **({} if mac else {"function": found[0].function})})


_KEPT = ("lm_head", "experts", "experts_per_token", "experts_hit", "rows_per_expert", "groups")


def _factor(tape: Tape, node: Operator, nest: Nest, place: int, result: Operand) -> Part:
    """The gradient of factor ``place`` of a product."""
    read, other = nest.reads[place], nest.reads[1 - place]
    if place == 1:
        return Part(nest.dims, "mac", (other, result), read.axes)
    as_conv = _correlation(tape, nest, result) if node.kind == "conv" else None
    return as_conv or Part(nest.dims, "mac", (result, other), read.axes)


def _correlation(tape: Tape, nest: Nest, result: Operand) -> Part | None:
    """The input's gradient of a convolution of stride 1 that keeps its extents, as a convolution with the window turned round.

    Its MACs are those of the forward nest, and sums over channels and taps stay in one accumulator. None for other convolutions, whose
    gradient goes out tap by tap (a transposed convolution that inserts no zeros).
    """
    read, weight = nest.reads
    extents = dict(nest.dims)
    coming, image, filters = list(result.axes), list(read.axes), list(weight.axes)
    shape = tape.tensors[read.tensor].shape
    for place in range(2, len(image)):
        window = image[place]
        if len(window.terms) != 2 or window.terms[0][1] != 1 or len(coming[place].terms) != 1:
            return None
        (p, _), (r, dilation) = window.terms
        taps = [at for at, found in enumerate(filters) if found.terms == ((r, 1),)]
        if coming[place].terms[0][0] != p or extents[p] != shape[place] or len(taps) != 1:
            return None
        last = extents[r] - 1  # tap r of the turned window is tap last - r
        coming[place] = Axis(((p, 1), (r, dilation)), -window.offset - last * dilation)
        image[place] = axis((p, 1))
        filters[taps[0]] = Axis(((r, -1),), last)
    if len(image) == 2:
        return None
    return Part(nest.dims, "mac", (Operand(result.tensor, tuple(coming)), Operand(weight.tensor, tuple(filters))), tuple(image))


def moved(nest: Nest, read: Operand, result: Operand) -> Part:
    """Back along a copy or a sum: what was read once takes the gradient as it is, what was read often sums (one addition per reader)."""
    extents = dict(nest.dims)
    often = any(extents[dim] > 1 and dim not in read.dims for dim in extents)
    overlapping = any(len(item.terms) > 1 for item in read.axes) and nest.function != "copy"
    if often or overlapping:
        return Part(nest.dims, "add", (result,), read.axes, 1)
    return Part(nest.dims, "copy", (result,), read.axes)


def lookup(tape: Tape, node: Operator, given: dict[str, str]) -> None:
    """Embedding: each row's gradient is added to the row of the table that was looked up; the table's gradient is a dense tensor."""
    nest = node.nests[0]
    table = nest.reads[-1]
    result = Operand(given[node.outputs[0]], nest.writes[0].axes)
    tape.send(
        node, table.tensor, "embedding", [Part(nest.dims, "add", (result, *nest.reads[:-1]), table.axes, 1)], {"function": "scatter_add"}
    )


def views(tape: Tape, node: Operator, given: dict[str, str]) -> None:
    """The gradient in the shape of the input; parts of a split are laid side by side again.

    Raises:
        UnsupportedError: the outputs are not parts of the input one behind the other along an axis.
    """
    source = node.inputs[0]
    if len(node.inputs) > 1:
        _joined(tape, node, given[node.outputs[0]])
        return
    if source not in tape.wants:
        return
    tensor = tape.tensors[source]
    if len(node.outputs) == 1 and tape.tensors[node.outputs[0]].values == tensor.values:
        made = tape.new(f"{node.name}.gradient", tensor)
        coming = given[node.outputs[0]]
        tape.tensors[made] = _aliased(tape, made, coming)
        tape.operator("view", (coming,), (made,), (), "BP", {})
        tape.give(source, made)
        return
    parts = []
    start = 0
    for output in node.outputs:
        shape = tape.tensors[output].shape
        split = _split_axis(tensor.shape, shape)
        if split is None:
            raise UnsupportedError(f"the view {output!r} is no part of {source!r} along one axis", where=node.name)
        at, width = split
        if output in given:
            dims = point_dims(len(shape))
            index = _part_axes(dims, shape, tensor.shape, at, start)
            reads = (Operand(given[output], plain_axes(dims)),)
            parts.append(Part(tuple(zip(dims, shape, strict=True)), "copy", reads, index))
        start += width
    tape.send(node, source, "copy", parts, {"function": "concat"})


def _joined(tape: Tape, node: Operator, coming: str) -> None:
    """A view of several tensors as one: its gradient, seen as theirs."""
    made = [tape.new(f"{node.name}.gradient.{name}", tape.tensors[name]) for name in node.inputs]
    for name in made:
        tape.tensors[name] = _aliased(tape, name, coming)
    tape.operator("view", (coming,), made, (), "BP", {})
    for name, gradient in zip(node.inputs, made, strict=True):
        tape.give(name, gradient)


def _aliased(tape: Tape, name: str, root: str) -> Tensor:
    return replace(tape.tensors[name], alias_of=root)


def _split_axis(whole: tuple[int, ...], part: tuple[int, ...]) -> tuple[int, int] | None:
    """(axis of the whole, extent of the part along it); the part may have that axis in several."""
    if len(part) == len(whole):
        differing = [at for at, (a, b) in enumerate(zip(whole, part, strict=True)) if a != b]
        return (differing[0], part[differing[0]]) if len(differing) == 1 else None
    last = len(whole) - 1
    if len(part) > len(whole) and part[:last] == whole[:last]:
        return last, prod(part[last:])
    return None


def _part_axes(dims: tuple[str, ...], shape: tuple[int, ...], whole: tuple[int, ...], at: int, start: int) -> tuple[Axis, ...]:
    if len(shape) == len(whole):
        return tuple(axis((dim, 1), offset=start if place == at else 0) for place, dim in enumerate(dims))
    terms = tuple((dims[place], prod(shape[place + 1 :])) for place in range(at, len(shape)))
    return (*plain_axes(dims[:at]), Axis(terms, start))
