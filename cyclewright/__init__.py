"""cyclewright: what a neural network costs on a piece of hardware, and why.

    import cyclewright as cw

    result = cw.run("llama-3-8b", "nvidia-h100-sxm", phase="decode", batch=8, context=4096)
    print(result.latency_s, result.bound_by)

Public names are loaded on first use, so importing this package is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from cyclewright.siblings import require_siblings

if TYPE_CHECKING:
    from cyclewright.api import Result, load_hardware, load_model, run
    from cyclewright.compare import compare, compare_measured
    from cyclewright.ledger import claims
    from cyclewright.outputs import save
    from cyclewright.roofline import roofline
    from cyclewright.whatif import whatif

CYCLEWRIGHT_PACKAGE = "0.1.0"
__version__ = CYCLEWRIGHT_PACKAGE

__all__ = ["Result", "claims", "compare", "compare_measured", "load_hardware", "load_model", "roofline", "run", "save", "whatif"]

_HOME = {
    "Result": "cyclewright.api",
    "claims": "cyclewright.ledger",
    "compare": "cyclewright.compare",
    "compare_measured": "cyclewright.compare",
    "load_hardware": "cyclewright.api",
    "load_model": "cyclewright.api",
    "roofline": "cyclewright.roofline",
    "run": "cyclewright.api",
    "save": "cyclewright.outputs",
    "whatif": "cyclewright.whatif",
}

require_siblings(CYCLEWRIGHT_PACKAGE)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'cyclewright' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
