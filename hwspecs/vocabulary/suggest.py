"""Did-you-mean suggestions for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], limit: int = 3) -> str:
    """A hint that names the nearest known names, or lists what is known when nothing is near."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=limit, cutoff=0.5)
    if not near:
        lowered = name.lower()
        near = [candidate for candidate in names if lowered and lowered in candidate.lower()][:limit]
    if near:
        return "did you mean " + " or ".join(near) + "?"
    if not names:
        return "nothing of that kind is known here"
    shown = ", ".join(sorted(names)[:12])
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"known: {shown}{more}"
