"""Fixtures that all rooms' tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["CYCLEWRIGHT_CHECKED"] = "1"  # records are frozen in tests (hwspecs.vocabulary.records)
settings.register_profile("cyclewright", deadline=None, derandomize=True)
settings.load_profile("cyclewright")


@pytest.fixture(scope="session")
def data_file() -> Callable[[str], Path]:
    """A function from a path below CYCLEWRIGHT_DATA to the file; skips where the variable is not set, fails where the file is missing."""

    def find(relative: str) -> Path:
        folder = os.environ.get("CYCLEWRIGHT_DATA")
        if not folder:
            pytest.skip("CYCLEWRIGHT_DATA is not set: measured data is not at hand")
        path = Path(folder) / relative
        if not path.exists():
            pytest.fail(f"CYCLEWRIGHT_DATA is set but holds no {relative}")
        return path

    return find
