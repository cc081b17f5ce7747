"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hwspecs.vocabulary.errors import ArgumentError


def write_atomic(path: str | Path, data: bytes | str) -> None:
    """Write ``data`` to ``path``: to a temporary file in the same folder first, then renamed over it.

    Raises:
        ArgumentError: the folder does not exist or cannot be written.
    """
    target = Path(path)
    payload = data.encode("utf-8") if isinstance(data, str) else data
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise ArgumentError(
            f"cannot write {target}: {error.strerror}", where=str(target), hint="give a path in a folder that exists and is writable"
        ) from error
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(payload)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, target)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise ArgumentError(
            f"cannot write {target}: {error.strerror}", where=str(target), hint="give the path of a file, not of a folder"
        ) from error
