"""How operators land on compute units: stages, tiles, cycles and transfers.

The public functions are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mappings.mapping import map_graph
    from mappings.registry import Mapper, Unmappable, find_mapper, mapper_kinds, register_mapper

CYCLEWRIGHT_PACKAGE = "0.1.0"

_HOME = {
    "map_graph": "mappings.mapping",
    "Mapper": "mappings.registry",
    "Unmappable": "mappings.registry",
    "find_mapper": "mappings.registry",
    "mapper_kinds": "mappings.registry",
    "register_mapper": "mappings.registry",
}

__all__ = ["CYCLEWRIGHT_PACKAGE", "Mapper", "Unmappable", "find_mapper", "map_graph", "mapper_kinds", "register_mapper"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'mappings' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
