"""Constant folding: the small integer arithmetic with which files compute shapes, in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Array = Any
FOLD_LIMIT = 4096
"""Arrays of more values than this are not evaluated: only their shape matters."""


def _ints(value: Array) -> tuple[int, ...]:
    return tuple(int(item) for item in np.asarray(value).reshape(-1))


def _slice(data: Array, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None) -> Array:
    chosen = _ints(axes) if axes is not None else tuple(range(len(_ints(starts))))
    strides = _ints(steps) if steps is not None else (1,) * len(chosen)
    index: list[slice] = [slice(None)] * data.ndim
    for start, end, axis, step in zip(_ints(starts), _ints(ends), chosen, strides, strict=True):
        index[axis] = slice(start, None if step < 0 and end < -data.shape[axis] else end, step)
    return data[tuple(index)]


def _unsqueeze(data: Array, axes: Sequence[int]) -> Array:
    rank = data.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        data = np.expand_dims(data, axis)
    return data


def _reshape(data: Array, shape: Array, allow_zero: bool) -> Array:
    wanted = [data.shape[i] if size == 0 and not allow_zero else size for i, size in enumerate(_ints(shape))]
    return data.reshape(wanted)


def _divide(a: Array, b: Array) -> Array:
    if np.issubdtype(a.dtype, np.integer):
        return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)
    return a / b


_BINARY: Mapping[str, Callable[[Array, Array], Array]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": _divide, "Mod": np.mod, "Pow": np.power, "Equal": np.equal,
    "Greater": np.greater, "Less": np.less, "GreaterOrEqual": np.greater_equal, "LessOrEqual": np.less_equal,
    "And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor,
}  # fmt: skip
_UNARY: Mapping[str, Callable[[Array], Array]] = {
    "Identity": lambda x: x, "Neg": np.negative, "Abs": np.abs, "Floor": np.floor, "Ceil": np.ceil, "Round": np.round, "Sqrt": np.sqrt,
    "Not": np.logical_not, "Sign": np.sign, "Exp": np.exp, "Log": np.log, "Reciprocal": np.reciprocal, "Dropout": lambda x: x,
}  # fmt: skip
_REDUCTIONS: Mapping[str, Callable[..., Array]] = {
    "ReduceProd": np.prod, "ReduceSum": np.sum, "ReduceMax": np.max, "ReduceMin": np.min, "ReduceMean": np.mean,
}  # fmt: skip


def fold(op: str, inputs: Sequence[Array | None], attributes: Mapping[str, Any], cast: Callable[[int], Any]) -> list[Array] | None:
    """Values of the outputs of ``op``; None where it is not folded here.

    Args:
        inputs: arrays; None for an input that is left out.
        attributes: ONNX attributes by name.
        cast: ONNX element type to NumPy type.
    """
    if op in _BINARY and len(inputs) == 2:
        return [np.asarray(_BINARY[op](inputs[0], inputs[1]))]
    if op in _UNARY:
        return [np.asarray(_UNARY[op](inputs[0]))]
    if op in _REDUCTIONS:
        return _reduction(op, inputs, attributes)
    rule = _RULES.get(op)
    if rule is None:
        return None
    made = rule(list(inputs), attributes, cast)
    return made if isinstance(made, list) else [np.asarray(made)]


def _reduction(op: str, inputs: Sequence[Array | None], attributes: Mapping[str, Any]) -> list[Array] | None:
    axes = inputs[1] if len(inputs) > 1 else attributes.get("axes")
    if axes is None or not len(_ints(axes)):
        if attributes.get("noop_with_empty_axes"):
            return [np.asarray(inputs[0])]
        chosen = None
    else:
        chosen = _ints(axes)
    made = _REDUCTIONS[op](inputs[0], axis=chosen, keepdims=bool(attributes.get("keepdims", 1)))
    return [np.asarray(made, dtype=np.asarray(inputs[0]).dtype)]


def _constant_of_shape(inputs: list[Array], attributes: Mapping[str, Any], _cast: Any) -> Array:
    shape = _ints(inputs[0])
    value = attributes.get("value")
    if np.prod(shape, dtype=float) > FOLD_LIMIT:
        raise ValueError("too large to fold")
    return np.zeros(shape, np.float32) if value is None else np.full(shape, value.reshape(-1)[0], value.dtype)


def _split(inputs: list[Array], attributes: Mapping[str, Any], _cast: Any) -> list[Array]:
    data, axis = inputs[0], attributes.get("axis", 0)
    sizes = _ints(inputs[1]) if len(inputs) > 1 and inputs[1] is not None else attributes.get("split")
    if sizes is None:
        count = attributes["num_outputs"]
        whole = -(-data.shape[axis] // count)
        sizes = [whole] * (count - 1) + [data.shape[axis] - whole * (count - 1)]
    return list(np.split(data, np.cumsum(sizes)[:-1], axis))


def _old_slice(inputs: list[Array], attributes: Mapping[str, Any], _cast: Any) -> Array:
    if len(inputs) > 1:
        return _slice(*inputs)
    return _slice(inputs[0], attributes["starts"], attributes["ends"], attributes.get("axes"))


def _axes(inputs: list[Array], attributes: Mapping[str, Any]) -> tuple[int, ...] | None:
    if len(inputs) > 1 and inputs[1] is not None:
        return _ints(inputs[1])
    return tuple(attributes["axes"]) if "axes" in attributes else None


def _range(inputs: list[Array], _attributes: Mapping[str, Any], _cast: Any) -> Array:
    start, stop, step = (item.reshape(-1)[0] for item in inputs)
    if step == 0 or abs((stop - start) / step) > FOLD_LIMIT:
        raise ValueError("too large to fold")
    return np.arange(start, stop, step, dtype=inputs[0].dtype)


def _expand(inputs: list[Array], _attributes: Mapping[str, Any], _cast: Any) -> Array:
    shape = np.broadcast_shapes(inputs[0].shape, _ints(inputs[1]))
    if np.prod(shape, dtype=float) > FOLD_LIMIT:
        raise ValueError("too large to fold")
    return np.array(np.broadcast_to(inputs[0], shape))


_RULES: Mapping[str, Callable[[list[Array], Mapping[str, Any], Callable[[int], Any]], Array | list[Array]]] = {
    "Cast": lambda i, a, cast: i[0].astype(cast(a["to"])),
    "CastLike": lambda i, a, cast: i[0].astype(i[1].dtype),
    "Concat": lambda i, a, cast: np.concatenate(i, a["axis"]),
    "Gather": lambda i, a, cast: np.take(i[0], i[1].astype(np.int64), axis=a.get("axis", 0)),
    "Slice": _old_slice,
    "Split": _split,
    "Unsqueeze": lambda i, a, cast: _unsqueeze(i[0], _axes(i, a) or ()),
    "Squeeze": lambda i, a, cast: np.squeeze(i[0], _axes(i, a)),
    "Reshape": lambda i, a, cast: _reshape(i[0], i[1], bool(a.get("allowzero", 0))),
    "Flatten": lambda i, a, cast: i[0].reshape(int(np.prod(i[0].shape[: a.get("axis", 1)])), -1),
    "Transpose": lambda i, a, cast: np.transpose(i[0], a.get("perm")),
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Tile": lambda i, a, cast: np.tile(i[0], _ints(i[1])),
    "Range": _range,
    "Where": lambda i, a, cast: np.where(i[0], i[1], i[2]),
    "Max": lambda i, a, cast: np.maximum.reduce(i),
    "Min": lambda i, a, cast: np.minimum.reduce(i),
    "Sum": lambda i, a, cast: sum(i),
    "Clip": lambda i, a, cast: np.clip(i[0], *(i[1:3] if len(i) > 2 else (a.get("min"), a.get("max")))),
}
