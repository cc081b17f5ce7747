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
    from cyclewright.comparison import compare, compare_measured
    from cyclewright.fitting import largest_batch
    from cyclewright.ledger import claims
    from cyclewright.outputs import save
    from cyclewright.precision import check_precision
    from cyclewright.roofs import roofline
    from cyclewright.scheduling import Scheduled, schedule
    from cyclewright.sensitivity import whatif
    from hwspecs.vocabulary.errors import CyclewrightError, InfeasibleError, InvalidInput, UnsupportedError

CYCLEWRIGHT_PACKAGE = "0.1.0"
__version__ = CYCLEWRIGHT_PACKAGE

__all__ = [
    "CyclewrightError",
    "InfeasibleError",
    "InvalidInput",
    "Result",
    "Scheduled",
    "UnsupportedError",
    "check_precision",
    "claims",
    "compare",
    "compare_measured",
    "largest_batch",
    "load_hardware",
    "load_model",
    "roofline",
    "run",
    "save",
    "schedule",
    "whatif",
]

# no module of this package may bear the name of a public function: importing it would put the module in the function's place
_HOME = {
    "CyclewrightError": "hwspecs.vocabulary.errors",
    "InfeasibleError": "hwspecs.vocabulary.errors",
    "InvalidInput": "hwspecs.vocabulary.errors",
    "UnsupportedError": "hwspecs.vocabulary.errors",
    "Result": "cyclewright.api",
    "Scheduled": "cyclewright.scheduling",
    "check_precision": "cyclewright.precision",
    "claims": "cyclewright.ledger",
    "compare": "cyclewright.comparison",
    "compare_measured": "cyclewright.comparison",
    "largest_batch": "cyclewright.fitting",
    "load_hardware": "cyclewright.api",
    "load_model": "cyclewright.api",
    "roofline": "cyclewright.roofs",
    "run": "cyclewright.api",
    "save": "cyclewright.outputs",
    "schedule": "cyclewright.scheduling",
    "whatif": "cyclewright.sensitivity",
}

require_siblings(CYCLEWRIGHT_PACKAGE)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'cyclewright' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
