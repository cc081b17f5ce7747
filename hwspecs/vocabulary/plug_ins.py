"""Plug-ins by entry points: which names a group has, and loading one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from hwspecs.vocabulary.errors import UnsupportedError


@cache
def plug_ins(group: str) -> Mapping[str, EntryPoint]:
    """Name to entry point of everything that is installed in ``group``."""
    return {point.name: point for point in entry_points(group=group)}


def loaded(point: EntryPoint, what: str) -> object:
    """What an entry point names.

    Args:
        what: it serves, for the message: ``mapper plug-in 'my_package:MyMapper' of kind 'my-kind'``.

    Raises:
        UnsupportedError: it cannot be imported.
    """
    try:
        found: object = point.load()
    except (ImportError, AttributeError) as error:
        raise UnsupportedError(
            f"the {what} cannot be loaded: {error}",
            where=f"entry point {point.group}",
            hint="reinstall or remove the package that registers it",
        ) from error
    return found
