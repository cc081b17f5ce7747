"""Handlers of elementwise operators, norms, softmax, pools and reductions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, log2

from hwspecs.vocabulary.errors import UnsupportedError
from workloads.graph import Nest, Operand, Tensor
from workloads.nests import VECTOR_OPS, broadcast_operand, plain_axes, point_dims, pool_nest, reduce_nest
from workloads.onnx_import.linear import windows
from workloads.onnx_import.node import Context, Node

_SIMPLE: Mapping[str, str] = {
    "Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Max": "max", "Min": "min", "Sum": "add", "Mean": "add", "Neg": "neg",
    "Abs": "abs", "Sign": "sign", "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Exp": "exp", "Log": "log", "Sqrt": "sqrt",
    "Reciprocal": "reciprocal", "Erf": "erf", "Floor": "floor", "Ceil": "ceil", "Round": "round", "Clip": "clip", "Pow": "pow",
    "Sin": "sin", "Cos": "cos", "Tan": "tan", "Asin": "asin", "Acos": "acos", "Atan": "atan", "Sinh": "sinh", "Cosh": "cosh",
    "Asinh": "asinh", "Acosh": "acosh", "Atanh": "atanh", "LeakyRelu": "leaky_relu", "PRelu": "prelu", "Elu": "elu", "Selu": "selu",
    "Celu": "celu", "ThresholdedRelu": "thresholded_relu", "Shrink": "shrink", "Softplus": "softplus", "Softsign": "softsign",
    "HardSigmoid": "hard_sigmoid", "HardSwish": "hard_swish", "Mish": "mish", "Swish": "silu", "Gelu": "gelu", "Where": "select",
    "Equal": "compare", "Greater": "compare", "Less": "compare", "GreaterOrEqual": "compare", "LessOrEqual": "compare",
    "IsNaN": "compare", "IsInf": "compare", "And": "logic", "Or": "logic", "Xor": "logic", "Not": "logic", "BitwiseAnd": "logic",
    "BitwiseOr": "logic", "BitwiseXor": "logic", "BitwiseNot": "logic", "BitShift": "shift", "Mod": "mod",
    "QuantizeLinear": "quantize",
}  # fmt: skip
_CHEAP_POWERS = {2.0: "square", 0.5: "sqrt", 1.0: "identity", -1.0: "reciprocal", -0.5: "rsqrt"}
_FOLDED = frozenset(("add", "mul", "max", "min", "logic"))


def _elementwise(context: Context, node: Node) -> None:
    function = _SIMPLE[node.op]
    if node.op in ("Clip", "QuantizeLinear"):
        reads = [node.input(0)]
    else:
        reads = [name for name in node.inputs if name and not context.is_scalar(name)]
    numbers = len([name for name in node.inputs if name])
    if node.op == "Gelu" and node.attribute("approximate", "none") == "tanh":
        function = "gelu_tanh"
    if node.op == "Div" and context.is_scalar(node.input(1)):
        function = "mul"
    if node.op == "Pow" and context.is_scalar(node.input(1)) and node.input(1) in context.arrays:
        function = _CHEAP_POWERS.get(float(context.arrays[node.input(1)].reshape(-1)[0]), "pow")
    if node.op == "Clip" and _bounds(context, node) == (0.0, 6.0):
        function = "relu6"
    ops = VECTOR_OPS[function] * (max(1, numbers - 1) if function in _FOLDED and node.op != "Not" else 1)
    emit(context, node, "elementwise", function, reads, ops)


def _bounds(context: Context, node: Node) -> tuple[float, float]:
    if len(node.inputs) > 2:
        low, high = (float(context.arrays[name].reshape(-1)[0]) if name in context.arrays else 0.5 for name in node.inputs[1:3])
        return low, high
    return float(node.attribute("min", 0.5)), float(node.attribute("max", 0.5))


def emit(
    context: Context, node: Node, kind: str, function: str, reads: list[str], ops: int,
    attributes: Mapping[str, int | float | str | bool] | None = None, channel: int | None = None,
) -> None:  # fmt: skip
    """One nest over the points of the first output; reads broadcast to it, vectors of ``channel`` values lie along that axis."""
    builder = context.builder
    out = context.output(node.outputs[0])
    dims = point_dims(len(out.shape))
    operands = []
    for name in reads:
        tensor = builder[context.tensor(name)]
        if channel is not None and len(tensor.shape) == 1 and name != reads[0]:
            along = dims[channel] if tensor.shape[0] == out.shape[channel] else None
            operands.append(Operand(tensor.name, plain_axes((along,))))
        else:
            operands.append(broadcast_operand(tensor, dims, out.shape))
    step = Nest(tuple(zip(dims, out.shape, strict=True)), function, tuple(operands), (Operand(out.name, plain_axes(dims)),), ops)
    inputs = tuple(dict.fromkeys(operand.tensor for operand in operands))
    builder.operator(
        kind, inputs, (out.name, *_others(context, node)), (step,), name=context.operator_name(node),
        attributes=attributes or {"function": function}, origin=node.origin,
    )  # fmt: skip


def _others(context: Context, node: Node) -> tuple[str, ...]:
    """Second and later outputs, defined in the shapes that inference found."""
    return tuple(context.output(name).name for name in node.outputs[1:] if name)


def _cast(context: Context, node: Node) -> None:
    if context.format(node.input(0)) == context.format(node.outputs[0]):
        element = context.types[node.outputs[0]][0]
        context.same(node.outputs[0], node.input(0))
        if context.types[node.input(0)][0] != element:
            context.types[node.outputs[0]] = element, context.shape(node.input(0))
        return
    emit(context, node, "elementwise", "cast", [node.input(0)], VECTOR_OPS["cast"])


def _dequantize(context: Context, node: Node) -> None:
    """The same integers, read with a scale by whoever reads them, as runtimes execute quantize-dequantize pairs."""
    source, out = node.input(0), node.outputs[0]
    if out in context.leaving:
        emit(context, node, "elementwise", "dequantize", [source], VECTOR_OPS["dequantize"])
        return
    context.stored_as[out] = context.types[source][0]
    context.builder.tensor(out, context.shape(out), format=context.format(out), alias_of=context.tensor(source))
    context.builder.operator("view", (source,), (out,), name=context.operator_name(node), origin=node.origin)


def _dynamic_quantize(context: Context, node: Node) -> None:
    emit(context, node, "elementwise", "quantize", [node.input(0)], VECTOR_OPS["quantize"] + 2)


def _batchnorm(context: Context, node: Node) -> None:
    if node.attribute("training_mode", 0) or len([name for name in node.outputs if name]) > 1:
        raise UnsupportedError(
            "BatchNormalization in training mode is not covered", where=node.where, hint="export the model for inference"
        )
    emit(context, node, "norm", "affine", list(node.inputs), 4, {"norm": "batchnorm"}, channel=1)


def _norm(context: Context, node: Node) -> None:
    functions = {
        "LayerNormalization": "layernorm", "RMSNormalization": "rmsnorm", "InstanceNormalization": "instancenorm",
        "GroupNormalization": "groupnorm", "LpNormalization": "l2norm", "MeanVarianceNormalization": "layernorm",
    }  # fmt: skip
    function = functions[node.op]
    reads = [name for name in node.inputs[:3] if name]
    rank = len(context.shape(node.input(0)))
    channel = 1 if function in ("instancenorm", "groupnorm") else rank - 1
    emit(context, node, "norm", function, reads, VECTOR_OPS[function] + len(reads) - 1, {"norm": function}, channel=channel)


def _softmax(context: Context, node: Node) -> None:
    rank = len(context.shape(node.input(0)))
    axis = node.attribute("axis", 1 if context.opset < 13 else -1) % max(rank, 1)
    function = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Hardmax": "max"}[node.op]
    ops = 2 if node.op == "Hardmax" else VECTOR_OPS[function]
    emit(context, node, "softmax", function, [node.input(0)], ops, {"axis": axis, "function": function})


def _lrn(context: Context, node: Node) -> None:
    """Square 1, window sum ``size``, scale and shift 2, power 9, product 1 per element."""
    size = node.attribute("size", 1)
    emit(context, node, "norm", "lrn", [node.input(0)], size + 13, {"norm": "lrn", "size": size})


def _pool(context: Context, node: Node) -> None:
    builder, x = context.builder, builder_tensor(context, node.input(0))
    rank = len(x.shape) - 2
    window = tuple(node.attribute("kernel_shape", []))
    strides = tuple(node.attribute("strides", [1] * rank))
    dilations = tuple(node.attribute("dilations", [1] * rank))
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(window, dilations, strict=True)]
    pads = windows(node, rank, spans, x.shape[2:], strides)
    out = context.output(node.outputs[0])
    function = "max" if node.op == "MaxPool" else "add"
    step = pool_nest(x, out, function, window=window, strides=strides, begins=tuple(begin for begin, _ in pads), dilations=dilations)
    builder.operator(
        "pool", (x.name,), (out.name, *_others(context, node)), (step,), name=context.operator_name(node),
        attributes={"function": function}, origin=node.origin,
    )  # fmt: skip


def builder_tensor(context: Context, name: str) -> Tensor:
    """The graph's tensor of an ONNX name."""
    return context.builder[context.tensor(name)]


def _global_pool(context: Context, node: Node) -> None:
    rank = len(context.shape(node.input(0)))
    _reduced(context, node, "max" if node.op == "GlobalMaxPool" else "add", frozenset(range(2, rank)), "pool", 1)


_REDUCTIONS: Mapping[str, tuple[str, int]] = {
    "ReduceMean": ("add", 1), "ReduceSum": ("add", 1), "ReduceMax": ("max", 1), "ReduceMin": ("min", 1), "ReduceProd": ("mul", 1),
    "ReduceL1": ("abs_sum", 2), "ReduceL2": ("square_sum", 2), "ReduceSumSquare": ("square_sum", 2), "ReduceLogSum": ("add", 1),
    "ReduceLogSumExp": ("logsumexp", 6), "ArgMax": ("max", 1), "ArgMin": ("min", 1),
}  # fmt: skip


def _reduce(context: Context, node: Node) -> None:
    function, ops = _REDUCTIONS[node.op]
    rank = len(context.shape(node.input(0)))
    if node.op.startswith("Arg"):
        axes = [node.attribute("axis", 0)]
    elif node.input(1):
        axes = list(context.value(node.input(1), node, "the list of axes"))
    else:
        axes = list(node.attribute("axes", []))
    if not axes:
        if node.attribute("noop_with_empty_axes", 0):
            context.same(node.outputs[0], node.input(0))
            return
        axes = list(range(rank))
    _reduced(context, node, function, frozenset(axis % rank for axis in axes), "reduce", ops)


def _reduced(context: Context, node: Node, function: str, axes: frozenset[int], kind: str, ops: int) -> None:
    x, out = builder_tensor(context, node.input(0)), context.output(node.outputs[0])
    step = reduce_nest(function, x, out, axes, ops)
    context.builder.operator(
        kind, (x.name,), (out.name,), (step,), name=context.operator_name(node), attributes={"function": function}, origin=node.origin
    )


def _topk(context: Context, node: Node) -> None:
    """The k largest along an axis: min(k, log2 n) comparisons per element."""
    x = builder_tensor(context, node.input(0))
    axis = node.attribute("axis", -1) % len(x.shape)
    k = context.shape(node.outputs[0])[axis]
    dims = point_dims(len(x.shape))
    outputs = [context.output(name) for name in node.outputs if name]
    written = plain_axes(tuple(None if i == axis else dim for i, dim in enumerate(dims)))
    step = Nest(
        tuple(zip(dims, x.shape, strict=True)), "max", (Operand(x.name, plain_axes(dims)),),
        tuple(Operand(out.name, written) for out in outputs), max(1, min(k, ceil(log2(max(2, x.shape[axis]))))),
    )  # fmt: skip
    context.builder.operator(
        "topk", (x.name,), [out.name for out in outputs], (step,), name=context.operator_name(node), attributes={"k": k}, origin=node.origin
    )


def _rotary(context: Context, node: Node) -> None:
    """Two multiplies and an add per element; the tables of sines and cosines are taken to stay on chip."""
    emit(context, node, "elementwise", "rope", [node.input(0)], VECTOR_OPS["rope"])


def _grid_sample(context: Context, node: Node) -> None:
    """As ``Resize``: a multiply and an add per tap (2 taps per spatial axis for linear, 4 for cubic), at points that the data choose."""
    rank = len(context.shape(node.input(0))) - 2
    taps = {"n": 0, "l": 2**rank, "b": 2**rank, "c": 4**rank}[node.attribute("mode", "linear")[0]]
    if node.attribute("mode", "linear") == "bicubic":
        taps = 4**rank
    builder, out = context.builder, context.output(node.outputs[0])
    dims = point_dims(len(out.shape))
    x, grid = builder_tensor(context, node.input(0)), builder_tensor(context, node.input(1))
    reads = (
        Operand(x.name, plain_axes((*dims[:2], *([None] * rank)))),
        Operand(grid.name, plain_axes((dims[0], *dims[2:], None))),
    )
    step = Nest(tuple(zip(dims, out.shape, strict=True)), "interpolate", reads, (Operand(out.name, plain_axes(dims)),), 2 * taps)
    builder.operator(
        "elementwise", (x.name, grid.name), (out.name,), (step,), name=context.operator_name(node), attributes={"function": "grid_sample"},
        origin=node.origin,
    )  # fmt: skip


def _cumsum(context: Context, node: Node) -> None:
    emit(context, node, "scan", "add", [node.input(0)], 1)


def _resize(context: Context, node: Node) -> None:
    mode = node.attribute("mode", "nearest")
    source, target = context.shape(node.input(0)), context.shape(node.outputs[0])
    if source == target:
        context.same(node.outputs[0], node.input(0))
        return
    known = {"nearest": "nearest", "linear": "linear", "bilinear": "linear", "cubic": "cubic"}
    if mode not in known:
        raise UnsupportedError(f"Resize in mode {mode!r} is not covered", where=node.where, hint="covered: nearest, linear, cubic")
    x, out = builder_tensor(context, node.input(0)), context.output(node.outputs[0])
    context.builder.resize(x.name, out.name, target, mode=known[mode], name=context.operator_name(node), origin=node.origin)


HANDLERS: Mapping[str, Callable[[Context, Node], None]] = {
    **dict.fromkeys(_SIMPLE, _elementwise), **dict.fromkeys(_REDUCTIONS, _reduce), "Cast": _cast, "CastLike": _cast,
    "DynamicQuantizeLinear": _dynamic_quantize, "DequantizeLinear": _dequantize,
    "BatchNormalization": _batchnorm, "LayerNormalization": _norm,
    "RMSNormalization": _norm, "InstanceNormalization": _norm, "GroupNormalization": _norm, "LpNormalization": _norm,
    "MeanVarianceNormalization": _norm, "Softmax": _softmax, "LogSoftmax": _softmax, "Hardmax": _softmax, "LRN": _lrn,
    "MaxPool": _pool, "AveragePool": _pool, "LpPool": _pool, "GlobalAveragePool": _global_pool, "GlobalMaxPool": _global_pool,
    "GlobalLpPool": _global_pool, "TopK": _topk, "CumSum": _cumsum, "Resize": _resize, "Upsample": _resize,
    "RotaryEmbedding": _rotary, "GridSample": _grid_sample,
}  # fmt: skip
