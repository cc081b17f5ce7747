"""What handlers see: a node, and the context of names, shapes and constants."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

from hwspecs.vocabulary.errors import ModelError, UnsupportedError
from workloads.builder import GraphBuilder
from workloads.graph import Role, Tensor
from workloads.onnx_import.folding import FOLD_LIMIT

_FORMATS = {
    1: "fp32", 2: "int8", 3: "int8", 4: "int16", 5: "int16", 6: "int32", 7: "int64", 9: "int8", 10: "fp16", 11: "fp64", 12: "int32",
    13: "int64", 16: "bf16", 17: "fp8", 18: "fp8", 19: "fp8", 20: "fp8", 21: "int4", 22: "int4", 23: "fp4", 24: "fp8",
    25: "int2", 26: "int2",
}  # fmt: skip
"""ONNX element type to number format (bool and unsigned types as the signed type of their width)."""
_INDEX_TYPES = frozenset((7, 9, 13))
_INTEGER_TYPES = frozenset((2, 3, 4, 5, 6, 7, 9, 12, 13))


class Node:
    """One ONNX node.

    Attributes:
        inputs, outputs: names; "" for one that is left out, and for a second or later output that nobody reads
            (except of ``Split``). ``inputs`` are resolved through identities.
        where: location for errors; origin: for reports.
    """

    def __init__(self, proto: Any, where: str, index: int, used: Container[str]) -> None:
        self.proto = proto
        self.op: str = proto.op_type
        self.domain: str = proto.domain
        self.inputs: tuple[str, ...] = tuple(proto.input)
        self.outputs: tuple[str, ...] = tuple(
            name if place == 0 or name in used or proto.op_type == "Split" else "" for place, name in enumerate(proto.output)
        )
        self.where = where
        self.index = index
        self.origin = f"onnx:{proto.op_type}:{proto.name or index}"
        self._attributes: dict[str, Any] | None = None

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Attributes as Python values."""
        if self._attributes is None:
            from onnx import helper

            self._attributes = {item.name: helper.get_attribute_value(item) for item in self.proto.attribute}
        return self._attributes

    def attribute(self, name: str, default: Any) -> Any:
        """One attribute; texts as ``str``, lists of numbers as they are."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def arrays_and_numbers(self) -> Mapping[str, Any]:
        """Attributes with tensors as arrays."""
        from onnx import TensorProto, numpy_helper

        return {name: numpy_helper.to_array(item) if isinstance(item, TensorProto) else item for name, item in self.attributes.items()}

    def input(self, index: int) -> str:
        """Name of an input, "" where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""


class Context:
    """Names, types and constants of the walk, and the builder that it fills.

    Attributes:
        types: element type and shape; arrays: values of small constants; constants: what does not depend on the inputs.
        origins: a constant to the one that it is a view of; stated: types that the file states for inner tensors.
        stored_as: element type of the integers behind a dequantized tensor; leaving: names of the graph's outputs.
    """

    def __init__(self, builder: GraphBuilder, opset: int, opset_imports: Any) -> None:
        self.builder = builder
        self.opset = opset
        self.opset_imports = list(opset_imports)
        self.types: dict[str, tuple[int, tuple[int, ...]]] = {}
        self.arrays: dict[str, Any] = {}
        self.constants: set[str] = set()
        self.origins: dict[str, str] = {}
        self.stated: dict[str, tuple[int, tuple[int, ...]]] = {}
        self.stored_as: dict[str, int] = {}
        self.leaving: frozenset[str] = frozenset()
        self._same: dict[str, str] = {}
        self._names: dict[int, str] = {}

    # -- what is known -----------------------------------------------------------------------------------------------

    def learn(self, name: str, element: int, shape: tuple[int, ...]) -> None:
        """Note type and shape of a tensor."""
        self.types[name] = element, shape

    def learn_constant(self, name: str, element: int, shape: tuple[int, ...], array: Any | None) -> None:
        """Note a tensor that does not depend on the graph's inputs, and its value where it is known and small."""
        self.types[name] = element, tuple(shape)
        self.constants.add(name)
        if array is not None and array.size <= FOLD_LIMIT:
            self.arrays[name] = array

    def same(self, name: str, source: str) -> None:
        """Let ``name`` be another name of ``source``."""
        self._same[name] = source
        self.types[name] = self.types[source]

    def resolve(self, name: str) -> str:
        """The name under which a tensor is kept."""
        while name in self._same:
            name = self._same[name]
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self.types[name][1]

    def format(self, name: str) -> str:
        """Number format that a tensor is stored in: that of its element type, or of the integers it was dequantized from."""
        element = self.stored_as.get(name, self.types[name][0])
        if element not in _FORMATS:
            raise UnsupportedError(f"tensor {name!r} has element type {element} (text, complex or unset)", hint="only numbers are covered")
        return _FORMATS[element]

    def value(self, name: str, node: Node, what: str) -> tuple[int, ...]:
        """The numbers in an input that must be constant."""
        if name not in self.arrays:
            raise ModelError(f"{what} is not constant", where=node.where, hint="export the model with fixed shapes, or pin its axes")
        return tuple(int(item) for item in self.arrays[name].reshape(-1))

    # -- tensors of the graph ------------------------------------------------------------------------------------------

    def is_scalar(self, name: str) -> bool:
        """True for a constant of one value: part of the instruction, not a tensor."""
        return name in self.constants and all(size == 1 for size in self.shape(name))

    def tensor(self, name: str, *, keep_scalars: bool = False) -> str:
        """The graph's tensor of ``name``; a constant becomes a weight (integer constants: indices) when it is first used."""
        if name not in self.builder.tensors:
            if name not in self.constants:
                raise ModelError(f"tensor {name!r} is used but never made")
            index = self.types[name][0] in _INTEGER_TYPES and self.types[name][0] not in (2, 3) and not keep_scalars
            role = Role.INDEX if index else Role.WEIGHT
            self.builder.tensor(name, self.shape(name), format=self.format(name), role=role)
        return name

    def output(self, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
        """Define an output in the type that inference found."""
        role = Role.INDEX if self.types[name][0] in _INDEX_TYPES else Role.ACTIVATION
        self.builder.tensor(name, shape or self.shape(name), format=self.format(name), role=role)
        return self.builder[name]

    def operator_name(self, node: Node) -> str:
        """A unique name for the node's operator: the node's own, or its first output's."""
        if node.index not in self._names:
            base = node.proto.name or next((name for name in node.outputs if name), f"{node.op}_{node.index}")
            name, number, taken = base, 1, set(self._names.values())
            while name in taken:
                number += 1
                name = f"{base}_{number}"
            self._names[node.index] = name
        return self._names[node.index]

    def tie_weights(self) -> None:
        """Weights that are one stored tensor in several views (transposed, reshaped) count once: the later ones alias the first."""
        first: dict[str, str] = {}
        for name, tensor in list(self.builder.tensors.items()):
            if tensor.role is not Role.WEIGHT:
                continue
            root = self.origins.get(name, name)
            if root in first:
                self.builder.tensors[name] = replace(tensor, alias_of=first[root])
            else:
                first[root] = name

    # -- shapes --------------------------------------------------------------------------------------------------------

    def infer(self, node: Node, *, strict: bool) -> None:
        """Find types and shapes of the node's outputs; with ``strict`` raise where one stays open.

        Raises:
            ModelError: inference fails, or an output has no fixed shape.
        """
        import onnx
        from onnx import helper, numpy_helper, shape_inference

        found: Mapping[str, Any] = {}
        try:
            schema = onnx.defs.get_schema(node.op, self.opset, node.domain if node.domain != "ai.onnx" else "")
        except onnx.defs.SchemaError:
            schema = None
        if schema is not None:
            proto = onnx.NodeProto()
            proto.CopyFrom(node.proto)
            proto.input[:] = node.inputs
            types = {name: helper.make_tensor_type_proto(*self.types[name]) for name in node.inputs if name}
            data = {name: numpy_helper.from_array(self.arrays[name], name) for name in node.inputs if name in self.arrays}
            try:
                found = shape_inference.infer_node_outputs(schema, proto, types, data, opset_imports=self.opset_imports)
            except Exception as error:
                if strict:
                    raise ModelError(f"shapes do not fit: {_short(error)}", where=node.where, hint="check the export") from error
        for name in node.outputs:
            if not name:
                continue
            known = _fixed(found.get(name)) or self.stated.get(name)
            if known is not None:
                self.types[name] = known
            elif strict:
                raise ModelError(
                    f"the shape of its output {name!r} cannot be found before the data are known", where=node.where,
                    hint="export the model with fixed shapes, or pin its axes with --dim NAME=SIZE",
                )  # fmt: skip


def _fixed(proto: Any | None) -> tuple[int, tuple[int, ...]] | None:
    if proto is None or not proto.HasField("tensor_type") or not proto.tensor_type.HasField("shape"):
        return None
    axes = proto.tensor_type.shape.dim
    if not all(axis.HasField("dim_value") and axis.dim_value >= 0 for axis in axes):
        return None
    return proto.tensor_type.elem_type, tuple(axis.dim_value for axis in axes)


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]
