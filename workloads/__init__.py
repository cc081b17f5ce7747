"""Workloads: the operator graph, importers (ONNX, Hugging Face), the model zoo, lowering passes, counts.

Nothing here knows about hardware. The names below load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workloads.builder import GraphBuilder
    from workloads.counting import Counts, counts
    from workloads.graph import Operator, OperatorGraph, Repeat, Role, Tensor, as_matmul
    from workloads.loading import ModelInfo, list_models, load_model

CYCLEWRIGHT_PACKAGE = "0.1.0"

__all__ = [
    "Counts", "GraphBuilder", "ModelInfo", "Operator", "OperatorGraph", "Repeat", "Role", "Tensor", "as_matmul", "counts",
    "list_models", "load_model",
]  # fmt: skip

_HOME = {
    "Counts": "counting", "GraphBuilder": "builder", "ModelInfo": "loading", "Operator": "graph", "OperatorGraph": "graph",
    "Repeat": "graph", "Role": "graph", "Tensor": "graph", "as_matmul": "graph", "counts": "counting", "list_models": "loading",
    "load_model": "loading",
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_HOME[name]}")
    value = getattr(module, name)
    globals()[name] = value
    return value
