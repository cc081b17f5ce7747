"""Gradients of elementwise work, norms, softmax, pooling and reductions.

Operations per element follow ``hwspecs.vocabulary.functions``: one for an add, multiply or select, four for a special function.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hwspecs.vocabulary.errors import UnsupportedError
from hwspecs.vocabulary.functions import OPERATIONS
from workloads.graph import Nest, Operand, Operator
from workloads.passes.training.linear import products
from workloads.passes.training.tape import Part, Tape

SLOPES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "identity": ("", 0), "cast": ("", 1), "neg": ("", 1), "relu": ("y", 1), "leaky_relu": ("y", 2), "elu": ("y", 3),
        "thresholded_relu": ("y", 2), "clip": ("x", 2), "relu6": ("y", 2), "abs": ("x", 2), "square": ("x", 2), "relu2": ("x", 3),
        "sigmoid": ("y", 3), "tanh": ("y", 3), "exp": ("y", 1), "sqrt": ("y", 5), "rsqrt": ("y", 3), "reciprocal": ("y", 3),
        "log": ("x", 4), "erf": ("x", 7), "sin": ("x", 5), "cos": ("x", 5), "softplus": ("x", 8), "hard_sigmoid": ("x", 2),
        "hard_swish": ("x", 5), "silu": ("x", 12), "gelu": ("x", 15), "gelu_tanh": ("x", 20), "mish": ("x", 24),
        "tan": ("y", 3), "sinh": ("x", 11), "cosh": ("x", 11), "asin": ("x", 7), "acos": ("x", 8), "atan": ("x", 6), "asinh": ("x", 7),
        "acosh": ("x", 7), "atanh": ("x", 6), "softsign": ("x", 7), "selu": ("y", 3), "celu": ("y", 4), "shrink": ("x", 3),
        "pow": ("x", 11),
    }
)  # fmt: skip
"""Function to what its slope is made from (its result ``y``, its argument ``x`` or neither) and operations per element of g f'.

``silu``: s = sigmoid(x) 7, g s (1 + x (1 - s)) 5; ``gelu``: erf 4, density exp(-x^2/2) 6, three multiplies and two adds;
``sigmoid``, ``tanh``: g y (1 - y), g (1 - y^2); ``tan``: g (1 + y^2); ``atan``: g / (1 + x^2), ``asin``: g / sqrt(1 - x^2),
``sinh``: g cosh(x); ``softsign``: g / (1 + |x|)^2; ``pow``: g p x^(p - 1); ``selu``: l g or g (y + l a). Functions that are flat almost
everywhere (``sign``, ``round``) have no entry: nothing behind them could be trained."""

NORMS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"layernorm": (10, 4), "groupnorm": (10, 4), "instancenorm": (10, 4), "rmsnorm": (7, 3), "l2norm": (7, 0)}
)
"""Norm to operations per element of the input's and of the weights' gradient.

With xh = (x - mean) rstd (2) and h = g gamma (1) the input's is rstd (h - mean(h) - xh mean(h xh)): two sums over the row (1 and 2) and 4
more (Ba et al., arXiv 1607.06450); without a mean 7 in all. The weights': xh again, g xh and its sum (gamma), the sum of g (beta)."""


def elementwise(tape: Tape, node: Operator, given: dict[str, str]) -> None:
    """Pointwise operators of one nest per output."""
    for nest in node.nests:
        coming = given.get(nest.writes[0].tensor)
        if coming is not None:
            _pointwise(tape, node, nest, Operand(coming, nest.writes[0].axes))


def _pointwise(tape: Tape, node: Operator, nest: Nest, result: Operand) -> None:
    function = nest.function
    if node.attributes.get("function") == "combine":
        _combine(tape, node, nest, result)
    elif function in ("add", "sub", "interpolate", "rope"):
        for read in nest.reads:
            part = _shaped(nest, read, (result,), _PASSED[function] * (nest.vector_ops if function == "interpolate" else 1))
            if part.vector_ops == 0 and part.axes == result.axes and tape.tensors[read.tensor].shape == tape.tensors[result.tensor].shape:
                tape.give(read.tensor, result.tensor)
            else:
                tape.send(node, read.tensor, "elementwise", [part], {"function": function})
    elif function in ("mul", "affine", "div", "max", "min", "prelu", "select") or (function == "pow" and len(nest.reads) > 1):
        _several(tape, node, nest, result)
    elif len(nest.reads) == 2 and node.attributes.get("gated"):
        _gated(tape, node, nest, result)
    elif len(nest.reads) == 1 and function in SLOPES:
        kept, operations = SLOPES[function]
        saved = {"": (), "x": nest.reads, "y": (Operand(nest.writes[0].tensor, nest.writes[0].axes),)}[kept]
        part = Part(nest.dims, f"{function}_gradient", (result, *saved), nest.reads[0].axes, operations)
        tape.send(node, nest.reads[0].tensor, "elementwise", [part], {"function": f"{function}_gradient"})
    else:
        raise unknown(node, function)


_PASSED = {"add": 0, "sub": 0, "rope": OPERATIONS["rope"], "interpolate": 1}
"""Operations per element of passing a gradient on: none for a sum, the rotation back for rope, taps for an interpolation."""


def _shaped(nest: Nest, read: Operand, reads: tuple[Operand, ...], operations: int) -> Part:
    """A pointwise gradient; an input that was broadcast sums over its readers (one addition each)."""
    extents = dict(nest.dims)
    wide = any(extents[dim] > 1 and dim not in read.dims for dim in extents)
    return Part(nest.dims, "add" if wide else "mul" if operations else "copy", reads, read.axes, operations + wide)


def _several(tape: Tape, node: Operator, nest: Nest, result: Operand) -> None:
    """Products, quotients, maxima, choices of several inputs: an input's gradient needs the others (a maximum: itself and the result)."""
    for place, read in enumerate(nest.reads):
        others = tuple(item for at, item in enumerate(nest.reads) if at != place)
        if nest.function == "affine":  # a frozen normalization: x scale + shift
            others, operations = ((others[0],), 1) if place < 2 else ((), 0)
        elif nest.function == "mul":
            operations = len(others)
        elif nest.function == "prelu":  # g or a g by the sign of x; g x where x is negative
            others, operations = (nest.reads, 2) if place == 0 else ((nest.reads[0],), 2)
        elif nest.function == "pow":  # g c x^(c - 1); g y log x
            others, operations = (
                (nest.reads, 12) if place == 0 else ((Operand(nest.writes[0].tensor, nest.writes[0].axes), nest.reads[0]), 6)
            )
        elif nest.function == "select":  # the gradient or zero, by what was chosen
            others, operations = nest.reads[:1], 1
        elif nest.function == "div":
            others, operations = (others, 4) if place == 0 else ((Operand(nest.writes[0].tensor, nest.writes[0].axes), read), 6)
        else:
            others, operations = (read, Operand(nest.writes[0].tensor, nest.writes[0].axes)), 1
        part = _shaped(nest, read, (result, *others), operations)
        tape.send(node, read.tensor, "elementwise" if not _reduces(part) else "reduce", [part], {"function": nest.function})


def _reduces(part: Part) -> bool:
    return part.function == "add"


def _gated(tape: Tape, node: Operator, nest: Nest, result: Operand) -> None:
    """y = f(u) v of two halves of one tensor: du = g v f'(u), dv = g f(u), written side by side by one operator."""
    if nest.function not in SLOPES:
        raise unknown(node, nest.function)
    gate, value = nest.reads
    operations = SLOPES[nest.function][1]
    first = Part(nest.dims, f"{nest.function}_gradient", (result, gate, value), gate.axes, operations + 1)
    second = Part(nest.dims, "mul", (result, gate), value.axes, 2)  # f(u) comes with its slope
    tape.send(node, gate.tensor, "elementwise", [first, second], {"function": f"{nest.function}_gradient", "gated": True})


def _combine(tape: Tape, node: Operator, nest: Nest, result: Operand) -> None:
    """Weighted sum over experts: a row's gradient is scaled by its gate, a gate's is the product of row and gradient, summed."""
    rows, gates = nest.reads
    tape.send(node, rows.tensor, "elementwise", [Part(nest.dims, "mul", (result, gates), rows.axes, 1)], {"function": "combine"})
    tape.send(node, gates.tensor, "reduce", [Part(nest.dims, "add", (result, rows), gates.axes, 2)], {"function": "combine"})


def norm(tape: Tape, node: Operator, given: dict[str, str]) -> None:
    """Layer, group and RMS norms: the input's gradient, and one operator for the gradients of gamma and beta each.

    Local response normalization, y = x s^-b with s = k + a sum(x^2): s and its power again (size + 3 and 9), d = g s^-b (1), d x / s (5),
    its sum over the window (size), d - 2 a b x sum (3).
    """
    nest = node.nests[0]
    result = Operand(given[node.outputs[0]], nest.writes[0].axes)
    if nest.function == "lrn" and len(node.nests) == 1:
        part = Part(nest.dims, "lrn_gradient", (result, nest.reads[0]), nest.reads[0].axes, 2 * int(node.attributes["size"]) + 21)
        tape.send(node, nest.reads[0].tensor, "norm", [part], {name: node.attributes[name] for name in ("norm", "size")})
        return
    if nest.function not in NORMS or len(node.nests) != 1:
        raise unknown(node, nest.function)
    x, *weights = nest.reads
    operations, own = NORMS[nest.function]
    facts = {name: value for name, value in node.attributes.items() if name in ("norm", "axis")}
    reads = (result, x, *weights[:1])
    tape.send(node, x.tensor, "norm", [Part(nest.dims, f"{nest.function}_gradient", reads, x.axes, operations)], facts)
    for place, weight in enumerate(weights):
        part = Part(nest.dims, "add", (result,) if place else (result, x), weight.axes, 1 if place else own)
        tape.send(node, weight.tensor, "reduce", [part], {"function": "add"})


def softmax(tape: Tape, node: Operator, given: dict[str, str]) -> None:
    """y (g - sum g y): four operations per element, from the result alone."""
    nest = node.nests[0]
    if nest.function not in ("softmax", "log_softmax") or len(node.nests) != 1:
        raise unknown(node, nest.function)
    result = Operand(given[node.outputs[0]], nest.writes[0].axes)
    saved = Operand(node.outputs[0], nest.writes[0].axes)
    operations = 4 if nest.function == "softmax" else 7
    part = Part(nest.dims, f"{nest.function}_gradient", (result, saved), nest.reads[0].axes, operations)
    tape.send(node, nest.reads[0].tensor, "softmax", [part], dict(node.attributes))


def choice(tape: Tape, node: Operator, given: dict[str, str]) -> None:
    """Gates of the chosen experts: the softmax's gradient over all of them."""
    nest = node.nests[0]
    gates = nest.writes[0]
    if gates.tensor not in given:
        return
    reads = (Operand(given[gates.tensor], gates.axes), Operand(gates.tensor, gates.axes))
    tape.send(node, nest.reads[0].tensor, "softmax", [Part(nest.dims, "softmax_gradient", reads, nest.reads[0].axes, 4)])


def pool(tape: Tape, node: Operator, given: dict[str, str]) -> None:
    """Maxima: to the element that equals the result (a comparison and a sum per tap); sums and means: to all (one operation per tap)."""
    nest = node.nests[0]
    result = Operand(given[node.outputs[0]], nest.writes[0].axes)
    x = nest.reads[0]
    if len(node.nests) != 1 or nest.function not in ("max", "min", "add", "square_sum", "abs_sum", "logsumexp"):
        raise unknown(node, nest.function)
    if nest.function in ("max", "min"):
        saved: tuple[Operand, ...] = (x, Operand(node.outputs[0], nest.writes[0].axes))
        part = Part(nest.dims, "max", (*saved, result), x.axes, 2)
    elif nest.function == "add":
        part = Part(nest.dims, "mul" if nest.writes[0].dims < x.dims else "add", (result,), x.axes, 1)
    elif nest.function == "logsumexp":  # g exp(x - y)
        saved = (x, Operand(node.outputs[0], nest.writes[0].axes))
        part = Part(nest.dims, "mul", (result, *saved), x.axes, 2 + OPERATIONS["exp"])
    else:
        part = Part(nest.dims, "mul", (result, x), x.axes, 2)
    tape.send(
        node, x.tensor, "pool" if node.kind == "pool" and nest.function != "add" else "elementwise", [part], {"function": nest.function}
    )


def copies(tape: Tape, node: Operator, given: dict[str, str]) -> None:
    """Movement: the same way back; an element that was read by several takes their sum.

    Raises:
        UnsupportedError: new keys and values are appended to a cache.
    """
    if node.attributes.get("function") == "kv_append":
        raise UnsupportedError("appending to a key-value cache has no gradient", where=node.name, hint="load the model with phase train")
    products(tape, node, given)


def unknown(node: Operator, function: str) -> UnsupportedError:
    """The error for an operator whose gradient is not known."""
    return UnsupportedError(
        f"operators of kind {node.kind!r} ({function}) have no known gradient", where=node.name,
        hint="train a graph without it, or freeze the weights in front of it",
    )  # fmt: skip


__all__ = ["choice", "copies", "elementwise", "norm", "pool", "softmax", "unknown"]
