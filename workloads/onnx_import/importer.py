"""Walking an ONNX graph: shapes, constants and one handler per operator."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from hwspecs.vocabulary.errors import CyclewrightError, ModelError, UnsupportedError
from hwspecs.vocabulary.suggest import did_you_mean
from workloads.builder import GraphBuilder
from workloads.graph import OperatorGraph, Role
from workloads.onnx_import.folding import FOLD_LIMIT, fold
from workloads.onnx_import.node import Context, Node
from workloads.onnx_import.reading import default_opset, ordered_nodes, pin_inputs, place, read_proto
from workloads.onnx_import.table import CONTROL_FLOW, HANDLERS

_STANDARD = ("", "ai.onnx")
_ONE_TO_ONE = frozenset(("Identity", "Reshape", "Transpose", "Unsqueeze", "Squeeze", "Flatten", "Cast", "Dropout"))


def import_onnx(path: str | Path, *, dims: Mapping[str, int] | None = None, batch: int = 1, unknown_op: str = "refuse") -> OperatorGraph:
    """The graph of an ONNX file.

    Shapes come from one inference per node, with every value that is known by then (shape arithmetic is folded as the walk goes).
    What depends on initializers alone is a constant: weights in the end, whatever nodes made them; nothing of it runs.

    Args:
        dims: sizes of open axes by symbol, or by ``input.axis``.
        batch: first axis of the inputs where it is open.
        unknown_op: ``refuse``, or ``bytes-only``: an operator without a handler becomes one of kind ``unknown`` that moves its bytes.

    Raises:
        ModelError: the file cannot be read or is inconsistent, with the node.
        UnsupportedError: an operator without a handler, control flow or a foreign domain, by name and node.
        ArgumentError, UnknownNameError: ``dims`` or ``batch`` do not fit the file.
    """
    where = str(path)
    model = read_proto(Path(path))
    pinned, notes = pin_inputs(model, dims, batch, where)
    first = next((shape for _, shape in pinned.values() if len(shape) > 1), (batch,))
    shown: dict[str, str | int | float] = {"phase": "inference", "batch": first[0], "format": "fp32", "source": Path(path).name}
    shown.update({f"dim.{name}": size for name, size in (dims or {}).items()})
    context = Context(GraphBuilder(Path(path).stem, "fp32", shown), default_opset(model), model.opset_import)
    context.builder.notes.extend(notes)
    context.leaving = frozenset(value.name for value in model.graph.output)
    _enter(model, pinned, context, where)
    _stated_types(model, context)
    nodes = ordered_nodes(model, where)
    used = {name for proto in nodes for name in proto.input} | {value.name for value in model.graph.output}
    indices = {id(node): index for index, node in enumerate(model.graph.node)}
    for proto in nodes:
        index = indices[id(proto)]
        node = Node(proto, place(proto, index, where), index, used)
        try:
            _import_node(node, context, unknown_op)
        except CyclewrightError as error:
            if error.where and error.where.startswith(where):
                raise
            kind = UnsupportedError if isinstance(error, UnsupportedError) else ModelError
            raise kind(error.what, where=node.where, hint=error.hint) from error
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, ZeroDivisionError) as error:
            raise ModelError(
                f"inputs or attributes do not fit the operator ({error})", where=node.where, hint="check the export"
            ) from error
    return _finish(model, context, where)


def _enter(model: Any, pinned: Mapping[str, tuple[int, tuple[int, ...]]], context: Context, where: str) -> None:
    """Register initializers and define the graph inputs."""
    from onnx import numpy_helper

    for proto in model.graph.initializer:
        array = None
        values = prod(proto.dims)
        if values <= FOLD_LIMIT and proto.data_location == 0:
            try:
                array = numpy_helper.to_array(proto)
            except Exception:  # data left out of the file: the shape is enough
                array = None
        context.learn_constant(proto.name, proto.data_type, tuple(proto.dims), array)
    for proto in model.graph.sparse_initializer:
        context.learn_constant(proto.values.name, proto.values.data_type, tuple(proto.dims), None)
    for name, (element, shape) in pinned.items():
        context.learn(name, element, shape)
        try:
            stored = context.format(name)
        except UnsupportedError as error:
            raise UnsupportedError(error.what, where=where, hint=error.hint) from error
        context.builder.input(name, shape, format=stored, role=Role.INDEX if stored.startswith("int") else Role.ACTIVATION)


def _stated_types(model: Any, context: Context) -> None:
    """Shapes that the file states for inner tensors: used where inference cannot tell."""
    for value in (*model.graph.value_info, *model.graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(axis.HasField("dim_value") and axis.dim_value > 0 for axis in tensor.shape.dim):
            context.stated[value.name] = tensor.elem_type, tuple(axis.dim_value for axis in tensor.shape.dim)


def _import_node(node: Node, context: Context, unknown_op: str) -> None:
    node.inputs = tuple(context.resolve(name) for name in node.inputs)
    if node.domain in _STANDARD and node.op == "Constant":
        _constant(node, context)
        return
    if node.domain in _STANDARD and _folded(node, context):
        return
    handler = HANDLERS.get(node.op) if node.domain in _STANDARD else None
    context.infer(node, strict=handler is not None)
    constant = all(not name or name in context.constants for name in node.inputs) and (node.inputs or node.op == "ConstantOfShape")
    if constant and handler is not None:
        sources = [name for name in node.inputs if name]
        for name in node.outputs:
            if name:
                element, shape = context.types[name]
                context.learn_constant(name, element, shape, None)
                if node.op in _ONE_TO_ONE and sources:
                    context.origins[name] = context.origins.get(sources[0], sources[0])
                if node.op == "DequantizeLinear":
                    context.stored_as[name] = context.types[sources[0]][0]
                elif node.op in _ONE_TO_ONE and sources and sources[0] in context.stored_as and node.op != "Cast":
                    context.stored_as[name] = context.stored_as[sources[0]]
        return
    if handler is None:
        _unknown(node, context, unknown_op)
        return
    handler(context, node)


def _constant(node: Node, context: Context) -> None:
    import onnx

    for attribute in node.proto.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if attribute.name == "value":
            array = onnx.numpy_helper.to_array(value) if prod(value.dims) <= FOLD_LIMIT and value.data_location == 0 else None
            context.learn_constant(node.outputs[0], value.data_type, tuple(value.dims), array)
            return
        if attribute.name in ("value_int", "value_ints", "value_float", "value_floats"):
            array = np.asarray(value, np.int64 if "int" in attribute.name else np.float32)
            element = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            context.learn_constant(node.outputs[0], element, array.shape, array)
            return
    raise UnsupportedError("a constant of this kind (sparse or text) is not covered", where=node.where)


def _folded(node: Node, context: Context) -> bool:
    """Evaluate ``node`` if all that it reads is known and small; True if its outputs are known now."""
    if node.op in ("Shape", "Size"):
        shape = context.types[node.inputs[0]][1]
        array = np.asarray(shape, np.int64)[node.attribute("start", 0) : node.attribute("end", None)]
        if node.op == "Size":
            array = np.asarray(prod(shape), np.int64)
        context.learn_constant(node.outputs[0], 7, array.shape, array)
        return True
    if not node.inputs or any(name and name not in context.arrays for name in node.inputs):
        return False
    from onnx import helper

    arrays = [context.arrays[name] if name else None for name in node.inputs]
    try:
        made = fold(node.op, arrays, node.arrays_and_numbers(), helper.tensor_dtype_to_np_dtype)
    except ValueError:
        return False
    if made is None or sum(array.size for array in made) > FOLD_LIMIT:
        return False
    for name, array in zip(node.outputs, made, strict=False):
        if name:
            context.learn_constant(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape, array)
            if node.op in _ONE_TO_ONE:
                context.origins[name] = context.origins.get(node.inputs[0], node.inputs[0])
    return True


def _unknown(node: Node, context: Context, unknown_op: str) -> None:
    """Refuse an operator without a handler, or let it move its bytes."""
    what = f"operator {node.domain + '.' if node.domain not in _STANDARD else ''}{node.op}"
    if node.domain not in _STANDARD:
        reason = f"{what} is of a foreign domain"
    elif node.op in CONTROL_FLOW:
        reason = f"{what} is control flow, which has no fixed cost"
    else:
        reason = f"{what} is not covered"
    if unknown_op != "bytes-only":
        near = did_you_mean(node.op, HANDLERS) if node.domain in _STANDARD and node.op not in CONTROL_FLOW else ""
        hint = "let it only move its bytes: --unknown-op bytes-only"
        raise UnsupportedError(reason, where=node.where, hint=f"{near} Or {hint}" if near.startswith("did") else hint)
    outputs = [name for name in node.outputs if name]
    for name in outputs:
        if name not in context.types:
            raise ModelError(
                f"{reason}, and the file states no shape for its output {name!r}", where=node.where,
                hint="run the exporter's shape inference so that the file holds the shapes",
            )  # fmt: skip
        context.output(name)
    inputs = tuple(dict.fromkeys(context.tensor(name, keep_scalars=True) for name in node.inputs if name))
    context.builder.operator("unknown", inputs, outputs, name=context.operator_name(node), attributes={"op": node.op}, origin=node.origin)
    context.builder.notes.append(f"{context.operator_name(node)}: {reason}; it only moves its bytes")


def _finish(model: Any, context: Context, where: str) -> OperatorGraph:
    builder = context.builder
    for value in model.graph.output:
        name = context.resolve(value.name)
        if name not in context.types:
            raise ModelError(f"the output {value.name!r} is made by no node", where=where, hint="export the model again")
        if name not in context.constants and name not in builder.outputs:
            builder.output(name)
    if not builder.nodes:
        builder.notes.append("no node of this file does anything at run time")
    context.tie_weights()
    formats = [tensor.format.name for tensor in builder.tensors.values() if tensor.role in (Role.ACTIVATION, Role.WEIGHT)]
    builder.meta["format"] = max(set(formats), key=formats.count) if formats else "fp32"
    return builder.build(check=True)
