"""When each operator runs and where each tensor lives: schedules, and the checker that accepts them.

The public functions are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ilp.mapped import optimal_schedule
    from ilp.schedule import BlockSchedule, Residency, Schedule
    from ilp.trivial import trivial_schedule

CYCLEWRIGHT_PACKAGE = "0.1.0"

_HOME = {
    "BlockSchedule": "ilp.schedule",
    "Residency": "ilp.schedule",
    "Schedule": "ilp.schedule",
    "optimal_schedule": "ilp.mapped",
    "trivial_schedule": "ilp.trivial",
}

__all__ = ["CYCLEWRIGHT_PACKAGE", "BlockSchedule", "Residency", "Schedule", "optimal_schedule", "trivial_schedule"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'ilp' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
