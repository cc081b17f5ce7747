"""Environments of their own for the tools that benchmarks compare with."""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path


def environment(folder: Path, packages: Sequence[str]) -> Path:
    """The Python of an environment in ``folder`` that holds ``packages`` from PyPI; made if it is not there."""
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"installing {', '.join(packages)} ...", flush=True)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python
