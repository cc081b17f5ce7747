"""A module of the user's own that hides one of ours is named, without running it and without a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python in ``folder`` that also finds our packages."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("room", ["simulator", "workloads", "hwspecs"])
def test_a_shadowing_file_is_named_by_the_command(tmp_path: Path, room: str) -> None:
    (tmp_path / f"{room}.py").write_text("print('this must not run')\n", encoding="utf-8")
    done = python(tmp_path, "-m", "cyclewright", "specs", "list")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert str(tmp_path / f"{room}.py") in done.stderr
    assert "rename" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_shadowing_file_is_named_at_import(tmp_path: Path) -> None:
    (tmp_path / "simulator.py").write_text("raise RuntimeError('this must not run')\n", encoding="utf-8")
    done = python(tmp_path, "-c", "import cyclewright")
    assert done.returncode == 1
    assert "ShadowedPackageError" in done.stderr
    assert str(tmp_path / "simulator.py") in done.stderr
    assert "this must not run" not in done.stderr


def test_a_foreign_package_and_a_bare_folder_are_named(tmp_path: Path) -> None:
    package = tmp_path / "foreign" / "ilp"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    done = python(package.parent, "-m", "cyclewright", "specs", "list")
    assert str(package) in done.stderr
    old = tmp_path / "old" / "ilp"
    old.mkdir(parents=True)
    (old / "__init__.py").write_text('CYCLEWRIGHT_PACKAGE = "0.0.1"\n', encoding="utf-8")
    done = python(old.parent, "-m", "cyclewright", "specs", "list")
    assert "of version 0.0.1" in done.stderr
    assert done.returncode == 1
