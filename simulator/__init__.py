"""Plays a schedule: cycles, overlap, energy, and the result with its stored form.

The public functions are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.assemble import simulate
    from simulator.planning import fastest_schedule
    from simulator.result import OperatorResult, Result, Span
    from simulator.selection import search
    from simulator.stored import from_json, to_json
    from simulator.tables import operators_csv, trace_json

CYCLEWRIGHT_PACKAGE = "0.1.0"

_HOME = {
    "OperatorResult": "simulator.result",
    "Result": "simulator.result",
    "Span": "simulator.result",
    "fastest_schedule": "simulator.planning",
    "from_json": "simulator.stored",
    "operators_csv": "simulator.tables",
    "search": "simulator.selection",
    "simulate": "simulator.assemble",
    "to_json": "simulator.stored",
    "trace_json": "simulator.tables",
}

__all__ = [
    "CYCLEWRIGHT_PACKAGE",
    "OperatorResult",
    "Result",
    "Span",
    "fastest_schedule",
    "from_json",
    "operators_csv",
    "search",
    "simulate",
    "to_json",
    "trace_json",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'simulator' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
