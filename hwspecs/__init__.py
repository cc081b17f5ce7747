"""Hardware specs: the library, loading with overrides, and the vocabulary that all rooms share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwspecs.export import json_schema
    from hwspecs.loading import describe_hardware, find_spec, list_hardware, load_hardware, resolve_leaf, validate_file

CYCLEWRIGHT_PACKAGE = "0.1.0"

_HOMES = {
    "load_hardware": "hwspecs.loading",
    "list_hardware": "hwspecs.loading",
    "describe_hardware": "hwspecs.loading",
    "find_spec": "hwspecs.loading",
    "resolve_leaf": "hwspecs.loading",
    "validate_file": "hwspecs.loading",
    "json_schema": "hwspecs.export",
}

__all__ = [
    "CYCLEWRIGHT_PACKAGE",
    "describe_hardware",
    "find_spec",
    "json_schema",
    "list_hardware",
    "load_hardware",
    "resolve_leaf",
    "validate_file",
]


def __getattr__(name: str) -> Any:
    """Import a public function where it is first used, so that importing the package is cheap."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
