"""``dataclass`` for the small records that a run makes by the thousand: frozen for the type checker and the tests, plain at run time.

A frozen dataclass sets each field through ``object.__setattr__``, which makes building one about four times as dear as a plain one with
slots; that was a fifth of the time of a warm run. Modules of such records import ``dataclass`` from here and write
``@dataclass(frozen=True, slots=True)`` as ever. mypy sees the standard decorator and refuses every assignment to a field. At run time
records have slots, equality and hash as if frozen, and nobody may assign to them; with the environment variable
``CYCLEWRIGHT_CHECKED`` set (the tests set it) they are frozen indeed.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

CHECKED = "CYCLEWRIGHT_CHECKED"

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """The decorator; both arguments must be True, they are there to be read."""
        assert frozen
        assert slots
        if os.environ.get(CHECKED):
            return dataclasses.dataclass(frozen=True, slots=True)
        return dataclasses.dataclass(slots=True, unsafe_hash=True)
