"""Reading an ONNX file: the protocol buffer, its inputs pinned to sizes, its nodes in order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwspecs.vocabulary.errors import ArgumentError, ModelError, UnknownNameError
from hwspecs.vocabulary.suggest import did_you_mean

_OLDEST_OPSET = 7
_CONVERTED_OPSET = 8
_LARGEST = 1 << 31


def read_proto(path: Path) -> Any:
    """The ``ModelProto`` of ``path``; external data are not touched, model-local functions are expanded.

    Raises:
        ModelError: no such file, not an ONNX file, cut off, without a graph, or too old to convert.
    """
    import onnx

    where = str(path)
    if not path.is_file():
        raise ModelError("no such file", where=where, hint="give the path of an .onnx file")
    try:
        model = onnx.load(where, format="protobuf", load_external_data=False)
    except Exception as error:
        raise ModelError(
            "is not an ONNX file, or is cut off", where=where, hint="export the model again, or check that it is not a Git LFS pointer"
        ) from error
    if not model.graph.node and not model.graph.output:
        raise ModelError("holds no graph", where=where, hint="export the model again: the file is empty or of another kind")
    if default_opset(model) < _OLDEST_OPSET:
        model = _renewed(model, where)
    if model.functions:
        from onnx.inliner import inline_local_functions

        model = inline_local_functions(model)
    return model


def _renewed(model: Any, where: str) -> Any:
    """A model of an old opset, whose operators broadcast by other rules, in a newer one."""
    from onnx import version_converter

    try:
        return version_converter.convert_version(model, _CONVERTED_OPSET)
    except Exception as error:
        raise ModelError(
            f"is written in opset {default_opset(model)} and cannot be converted to a newer one", where=where,
            hint=f"export it again in opset {_OLDEST_OPSET} or later",
        ) from error  # fmt: skip


def default_opset(model: Any) -> int:
    """Version of the standard operator set that ``model`` uses."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def pin_inputs(
    model: Any, dims: Mapping[str, int] | None, batch: int, where: str
) -> tuple[dict[str, tuple[int, tuple[int, ...]]], list[str]]:
    """Element type and shape of every graph input that is not an initializer, open axes pinned; and notes on what was assumed.

    Args:
        dims: axis symbol, or ``input.axis`` (``x.0``) for an axis without one, to size.
        batch: size of the first axis of inputs where it is open and not in ``dims``.

    Raises:
        ModelError: an axis stays open, or an input is no tensor.
        UnknownNameError: ``dims`` names a symbol that no input has.
        ArgumentError: a size is out of range, or contradicts a fixed axis.
    """
    given = dict(dims or {})
    for name, size in given.items():
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size < _LARGEST:
            raise ArgumentError(f"axis {name} is {size!r}", where="dims", hint=f"it must be a whole number from 1 to {_LARGEST - 1}")
    held = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in held]
    symbols = {axis.dim_param for value in inputs for axis in value.type.tensor_type.shape.dim if axis.dim_param}
    numbered = {f"{value.name}.{i}" for value in inputs for i in range(len(value.type.tensor_type.shape.dim))}
    for name in given:
        if name not in symbols and name not in numbered:
            raise UnknownNameError(f"no input has an axis {name!r}", where=where, hint=did_you_mean(name, sorted(symbols | numbered)))
    _pin_batch(inputs, given, batch, where)
    notes: list[str] = []
    pinned: dict[str, tuple[int, tuple[int, ...]]] = {}
    for value in inputs:
        if not value.type.HasField("tensor_type"):
            kind = value.type.WhichOneof("value")
            raise ModelError(f"input {value.name!r} is no tensor but {kind}", where=where, hint="only tensors can enter a model here")
        if not value.type.tensor_type.HasField("shape"):
            raise ModelError(f"input {value.name!r} has no shape", where=where, hint="export the model with the shapes of its inputs")
        axes = value.type.tensor_type.shape.dim
        pinned[value.name] = (
            value.type.tensor_type.elem_type,
            tuple(_axis(axis, i, value.name, given, where) for i, axis in enumerate(axes)),
        )
    return pinned, notes


def _pin_batch(inputs: list[Any], given: dict[str, int], batch: int, where: str) -> None:
    """Enter the batch into ``given`` for the first axes that are open."""
    fixed = 0
    for value in inputs:
        axes = value.type.tensor_type.shape.dim
        if not axes:
            continue
        if axes[0].HasField("dim_value") and axes[0].dim_value > 0:
            fixed = fixed or axes[0].dim_value
            continue
        key = axes[0].dim_param or f"{value.name}.0"
        if key in given or f"{value.name}.0" in given:
            if batch != 1 and given.get(key, given.get(f"{value.name}.0")) != batch:
                raise ArgumentError(
                    f"batch is {batch} but axis {key} is pinned to {given.get(key)}", where="batch", hint="give one of them"
                )
            fixed = batch
        else:
            given[key] = batch
            fixed = batch
    if batch != 1 and fixed != batch:
        raise ArgumentError(
            f"batch is {batch} but the file fixes the first axis of its inputs to {fixed or 'nothing'}", where=where,
            hint="export the model with an open batch axis",
        )  # fmt: skip


def _axis(axis: Any, index: int, name: str, given: Mapping[str, int], where: str) -> int:
    if axis.HasField("dim_value") and axis.dim_value > 0:
        wanted = given.get(f"{name}.{index}", axis.dim_value)
        if wanted != axis.dim_value:
            raise ArgumentError(f"axis {index} of input {name!r} is fixed to {axis.dim_value}, not {wanted}", where=where)
        return int(axis.dim_value)
    for key in (f"{name}.{index}", axis.dim_param):
        if key and key in given:
            return given[key]
    key = axis.dim_param or f"{name}.{index}"
    raise ModelError(f"axis {index} ({key}) of input {name!r} is open", where=where, hint=f"pin it: --dim {key}=SIZE")


def ordered_nodes(model: Any, where: str) -> list[Any]:
    """The graph's nodes so that each follows those it reads from (files keep this order; some exporters do not).

    Raises:
        ModelError: a tensor that nothing makes, or a cycle, naming a node.
    """
    made = {value.name for value in model.graph.input} | {tensor.name for tensor in model.graph.initializer} | {""}
    made |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    waiting = list(model.graph.node)
    writers: dict[str, str] = {}
    for index, node in enumerate(waiting):
        for name in node.output:
            if name and name in writers:
                raise ModelError(f"writes tensor {name!r}, which {writers[name]} has written", where=place(node, index, where))
            writers[name] = f"node {node.name or index}"
    indices = {id(node): index for index, node in enumerate(waiting)}
    done: list[Any] = []
    while waiting:
        left = []
        for node in waiting:
            if all(name in made for name in node.input):
                made.update(node.output)
                done.append(node)
            else:
                left.append(node)
        if len(left) == len(waiting):
            node = left[0]
            missing = next(name for name in node.input if name not in made)
            what = f"reads tensor {missing!r}, which " + ("depends on its own result (a cycle)" if missing in writers else "nothing makes")
            raise ModelError(what, where=place(node, indices[id(node)], where), hint="export the model again")
        waiting = left
    return done


def place(node: Any, index: int, where: str) -> str:
    """``file: node 12 (Conv, 'conv1')``."""
    name = f", {node.name!r}" if node.name else ""
    return f"{where}: node {index} ({node.op_type}{name})"
