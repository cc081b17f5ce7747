"""Other tools' ways to count a layer, beside the tool's own: SCALE-Sim's."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.accounting.block import ACCOUNTINGS, account
    from simulator.accounting.layers import Layer, layers_of
    from simulator.accounting.scalesim import Array, Counts, array_of, count_layer

_HOME = {
    "ACCOUNTINGS": "simulator.accounting.block",
    "Array": "simulator.accounting.scalesim",
    "Counts": "simulator.accounting.scalesim",
    "Layer": "simulator.accounting.layers",
    "account": "simulator.accounting.block",
    "array_of": "simulator.accounting.scalesim",
    "count_layer": "simulator.accounting.scalesim",
    "layers_of": "simulator.accounting.layers",
}

__all__ = ["ACCOUNTINGS", "Array", "Counts", "Layer", "account", "array_of", "count_layer", "layers_of"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'simulator.accounting' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
