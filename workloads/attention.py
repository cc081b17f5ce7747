"""The fused attention operator: three nests with internal scores and probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from hwspecs.vocabulary.errors import ArgumentError
from hwspecs.vocabulary.formats import NumberFormat
from workloads.graph import Axis, Nest, Operand, Operator, Tensor
from workloads.nests import VECTOR_OPS, axis, plain_axes

_DEFAULT_LAYOUT = {4: "bhsd", 3: "bs(hd)", 2: "(bs)(hd)"}


def layout_axes(
    layout: str, terms: Mapping[str, tuple[tuple[str, int], ...]], extents: Mapping[str, int]
) -> tuple[tuple[Axis, ...], tuple[int, ...]]:
    """Axes and shape of a tensor whose storage order is ``layout`` (``bs(hd)``: head and head dimension share the last axis).

    Args:
        terms: letter to the (dimension, coefficient) terms of its index; a head index may be a sum of two dimensions.
        extents: letter to extent.

    Raises:
        ArgumentError: the layout uses another letter than these.
    """
    groups: list[list[str]] = []
    inside = False
    for letter in layout:
        if letter in "()":
            inside = letter == "("
            if inside:
                groups.append([])
        elif letter not in terms:
            raise ArgumentError(
                f"layout {layout!r} has the letter {letter!r}", hint="use b, s, h, d, in parentheses where they share an axis"
            )
        elif inside:
            groups[-1].append(letter)
        else:
            groups.append([letter])
    axes = []
    for group in groups:
        index: tuple[tuple[str, int], ...] = ()
        for place, letter in enumerate(group):
            stride = prod(extents[later] for later in group[place + 1 :])
            index += tuple((dim, coefficient * stride) for dim, coefficient in terms[letter])
        axes.append(axis(*index))
    return tuple(axes), tuple(prod(extents[letter] for letter in group) for group in groups)


def _operand(
    tensors: Mapping[str, Tensor],
    name: str,
    layout: str | None,
    terms: Mapping[str, tuple[tuple[str, int], ...]],
    extents: Mapping[str, int],
) -> Operand:
    tensor = tensors[name]
    chosen = layout or _DEFAULT_LAYOUT.get(len(tensor.shape), "bhsd")
    axes, shape = layout_axes(chosen, terms, extents)
    if shape != tensor.shape:
        raise ArgumentError(
            f"attention reads {name!r} of shape {tensor.shape} as {chosen}, which makes {shape}", where=name,
            hint="check batch, heads, queries, keys and head_dim, or state the layouts",
        )  # fmt: skip
    return Operand(name, axes)


def attention_operator(
    tensors: dict[str, Tensor], names: tuple[str, str, str, str], mask: str | None, format: NumberFormat, *, batch: int, heads: int,
    kv_heads: int, queries: int, keys: int, head_dim: int, value_dim: int, causal: bool,
    layouts: tuple[str, str, str, str] | None, name: str, attributes: Mapping[str, int | float | str | bool],
    read_bytes: Mapping[str, int], origin: str,
) -> Operator:  # fmt: skip
    """See ``GraphBuilder.attention``; defines the output tensor in ``tensors`` where it is missing."""
    if kv_heads < 1 or heads % kv_heads:
        raise ArgumentError(
            f"attention with {heads} query heads over {kv_heads} key-value heads", where=name, hint="kv_heads must divide heads"
        )
    q, k, v, out = names
    group = heads // kv_heads
    chosen: tuple[str | None, ...] = layouts or (None,) * 4
    head = (("h", group), ("g", 1)) if group > 1 else (("h", 1),)
    one = {letter: ((letter, 1),) for letter in "bhqsdv"}
    query = {"b": one["b"], "h": head, "s": one["q"]}
    stored = {"b": one["b"], "h": one["h"], "s": one["s"]}
    q_sizes = {"b": batch, "h": heads, "s": queries}
    kv_sizes = {"b": batch, "h": kv_heads, "s": keys}
    if out not in tensors:
        layout = chosen[3] or chosen[0] or _DEFAULT_LAYOUT.get(len(tensors[q].shape), "bhsd")
        _, shape = layout_axes(layout, {**query, "d": one["v"]}, {**q_sizes, "d": value_dim})
        tensors[out] = Tensor(out, shape, tensors[q].format)
        chosen = (*chosen[:3], layout)
    read_q = _operand(tensors, q, chosen[0], {**query, "d": one["d"]}, {**q_sizes, "d": head_dim})
    read_k = _operand(tensors, k, chosen[1], {**stored, "d": one["d"]}, {**kv_sizes, "d": head_dim})
    read_v = _operand(tensors, v, chosen[2], {**stored, "d": one["v"]}, {**kv_sizes, "d": value_dim})
    write = _operand(tensors, out, chosen[3], {**query, "d": one["v"]}, {**q_sizes, "d": value_dim})

    outer: tuple[tuple[str, int], ...] = (("b", batch), ("h", kv_heads), ("g", group), ("q", queries))
    score_axes = (*plain_axes(("b",)), axis(*head), *plain_axes(("q", "s")))
    shape = (batch, heads, queries, keys)
    scores = Tensor(f"{name}.scores", shape, tensors[q].format)
    probs = Tensor(f"{name}.probs", shape, tensors[q].format)
    score, prob = Operand(scores.name, score_axes), Operand(probs.name, score_axes)
    masked = _mask_operand(tensors[mask], shape, score_axes) if mask else ()
    ops = VECTOR_OPS["softmax"] + 1 + len(masked)  # one more for the scale 1/sqrt(head_dim), one for a mask
    nests = (
        Nest((*outer, ("s", keys), ("d", head_dim)), "mac", (read_q, read_k), (score,)),
        Nest((*outer, ("s", keys)), "softmax", (score, *masked), (prob,), ops),
        Nest((*outer, ("v", value_dim), ("s", keys)), "mac", (prob, read_v), (write,)),
    )
    facts = {
        "batch": batch, "heads": heads, "kv_heads": kv_heads, "queries": queries, "keys": keys, "head_dim": head_dim,
        "value_dim": value_dim, "causal": causal, **attributes,
    }  # fmt: skip
    inputs = (q, k, v, mask) if mask else (q, k, v)
    return Operator(name, "attention", inputs, (out,), nests, {scores.name: scores, probs.name: probs}, facts, read_bytes, origin)


def _mask_operand(mask: Tensor, shape: tuple[int, ...], axes: tuple[Axis, ...]) -> tuple[Operand, ...]:
    offset = len(shape) - len(mask.shape)
    read = []
    for index, size in enumerate(mask.shape):
        if size not in (1, shape[offset + index]):
            raise ArgumentError(f"mask of shape {mask.shape} does not broadcast to scores {shape}", where=mask.name)
        read.append(axes[offset + index] if size != 1 else Axis(()))
    return (Operand(mask.name, tuple(read)),)
