"""Reuse from frame to frame, in the order in which the passes compose: fewer tokens, then a stream, then changes only."""

from __future__ import annotations

from collections.abc import Mapping

from workloads.graph import OperatorGraph
from workloads.passes.delta import delta as changes_only
from workloads.passes.stream import stream as step_of
from workloads.passes.tokens import keep_tokens as fewer_tokens

Delta = str | float | Mapping[str, float]
"""What ``passes.delta`` takes."""
Schedule = str | float | Mapping[int, float]
"""What ``passes.keep_tokens`` takes."""


def reuse(
    graph: OperatorGraph, *, stream: str | None = None, delta: Delta | None = None, keep_tokens: Schedule | None = None
) -> OperatorGraph:
    """``graph`` with the passes that are asked for; see ``passes.stream``, ``passes.delta`` and ``passes.keep_tokens``."""
    if keep_tokens is not None:
        graph = fewer_tokens(graph, keep_tokens)
    if stream is not None:
        graph = step_of(graph, stream)
    return graph if delta is None else changes_only(graph, delta)
