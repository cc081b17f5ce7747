"""Operator name to handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from workloads.onnx_import import linear, movement, recurrent, vector
from workloads.onnx_import.node import Context, Node

Handler = Callable[[Context, Node], None]

HANDLERS: Mapping[str, Handler] = {**linear.HANDLERS, **vector.HANDLERS, **movement.HANDLERS, **recurrent.HANDLERS}
"""Every operator of the standard domain that is costed."""
CONTROL_FLOW = frozenset(("If", "Loop", "Scan", "SequenceMap"))
