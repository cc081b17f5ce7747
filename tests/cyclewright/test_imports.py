"""What ``--help`` and the cheap commands import: nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "numba", "matplotlib", "onnx", "pydantic", "pulp", "networkx", "highspy")


def imported_by(*statements: str) -> set[str]:
    """The heavy packages, and yaml, that a fresh interpreter holds after the statements."""
    names = (*HEAVY, "yaml")
    code = "\n".join(
        ("import sys, json", *statements, f"print(json.dumps([name for name in {names!r} if name in sys.modules]), file=sys.stderr)")
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def command(*arguments: str) -> str:
    """A statement that runs the command line and goes on."""
    imports = "from click.testing import CliRunner; from cyclewright.cli.commands import main"
    return f"{imports}; CliRunner().invoke(main, {list(arguments)!r}, catch_exceptions=False)"


@pytest.mark.parametrize(
    "statements",
    [
        ("import cyclewright, cyclewright.__main__",),
        (command("--help"),),
        (command("run", "--help"), command("whatif", "--help"), command("specs", "show", "--help")),
        (command("nonsense"),),
    ],
    ids=["import", "help", "help of commands", "unknown command"],
)
def test_help_imports_nothing_heavy(statements: tuple[str, ...]) -> None:
    assert imported_by(*statements) == set()


@pytest.mark.parametrize(
    "arguments",
    [("specs", "list"), ("specs", "show", "edge-npu"), ("specs", "validate", "none.yaml")],
    ids=lambda each: each[1],
)
def test_specs_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert imported_by(command(*arguments)) & set(HEAVY) == set()


def test_every_public_name_loads() -> None:
    import cyclewright

    assert all(getattr(cyclewright, name) is not None for name in cyclewright.__all__)
    assert set(cyclewright.__all__) <= set(dir(cyclewright))
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        _ = cyclewright.runn
