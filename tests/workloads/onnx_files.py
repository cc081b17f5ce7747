"""Small ONNX files made in tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FLOAT, UINT8, INT32, INT64, STRING, BOOL, FLOAT16 = 1, 2, 6, 7, 8, 9, 10


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(op, list(inputs), list(outputs), **attributes)


def write(
    folder: Path, nodes: Sequence[Any], inputs: Mapping[str, Sequence[Any] | None], outputs: Sequence[str],
    constants: Mapping[str, np.ndarray] | None = None, *, opset: int = 21, types: Mapping[str, int] | None = None,
    domains: Sequence[str] = (), stated: Mapping[str, Sequence[int]] | None = None,
) -> str:  # fmt: skip
    """Write a model and return its path; tensors are float unless ``types`` says otherwise; outputs have no stated shape."""
    import onnx
    from onnx import helper, numpy_helper

    kinds = types or {}

    def info(name: str, shape: Sequence[Any] | None) -> Any:
        return helper.make_tensor_value_info(name, kinds.get(name, FLOAT), shape)

    held = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(
        list(nodes), "g", [info(name, shape) for name, shape in inputs.items()],
        [info(name, (stated or {}).get(name)) for name in outputs], held,
    )  # fmt: skip
    versions = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=versions)
    model.ir_version = 10
    path = folder / "model.onnx"
    onnx.save(model, str(path))
    return str(path)
