"""Checks that ``hwspecs``, ``workloads``, ``mappings``, ``ilp`` and ``simulator`` are ours.

Their names are ordinary words, so a user's own ``simulator.py`` beside the script, or another distribution, can stand before
them on ``sys.path``. Then nothing would work, with an error far from the cause; this check names the file instead.
Imports nothing of ours: the very first import may be the shadowed one.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import PurePath

ROOMS = ("hwspecs", "workloads", "mappings", "ilp", "simulator")
MARKER = "CYCLEWRIGHT_PACKAGE"


class ShadowedPackageError(ImportError):
    """One of the sibling packages is hidden by a module of the same name, missing, or of another version."""


def find_fault(version: str) -> str | None:
    """The first fault among the sibling packages as one sentence, or None if all are ours and of ``version``."""
    for room in ROOMS:
        if fault := _fault_of(room, version):
            return fault
    return None


def require_siblings(version: str) -> None:
    """Raise if a sibling package is not ours; a command line gets the message alone, without a traceback.

    Raises:
        ShadowedPackageError: the message names the file that stands before ours.
    """
    fault = find_fault(version)
    if fault is None:
        return
    if _is_command():
        sys.stderr.write(f"error: {fault}\n")
        raise SystemExit(1)
    raise ShadowedPackageError(fault)


def _fault_of(room: str, version: str) -> str | None:
    try:
        spec = importlib.util.find_spec(room)
    except ValueError:  # a module that somebody put into sys.modules without a spec
        return f"{sys.modules[room]!r} stands in place of cyclewright's own package {room!r}; rename it"
    if spec is None:
        return f"cyclewright's package {room!r} is missing; reinstall cyclewright"
    origin = spec.origin or ", ".join(spec.submodule_search_locations or ())
    advice = "rename that file or folder, or take its folder off PYTHONPATH"
    if spec.submodule_search_locations is None or spec.origin is None:
        # ours is a package with an __init__: a single file or a bare folder is never run to find out
        return f"{origin} hides cyclewright's own package {room!r}; {advice}"
    found = getattr(importlib.import_module(room), MARKER, None)
    if found is None:
        return f"{origin} hides cyclewright's own package {room!r}; {advice}"
    if found != version:
        return f"{origin} is of version {found}, cyclewright of {version}; reinstall cyclewright"
    return None


def _is_command() -> bool:
    """Whether the process is ``cyclewright ...`` or ``python -m cyclewright ...`` (runpy says ``-m`` while it imports the package)."""
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":
        return "cyclewright" in sys.orig_argv
    return PurePath(program).stem in {"cyclewright", "cyclewright-script"}
