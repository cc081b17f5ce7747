"""Networks that a search or a random generator has found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from workloads.graph import OperatorGraph
from workloads.zoo import nas_cells, nas_darts, nas_random

NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {**nas_darts.NETWORKS, **nas_cells.NETWORKS, **nas_random.NETWORKS}
)
"""Name to (builder of (batch, format), description)."""
