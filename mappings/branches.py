"""branches of a block as groups."""

from __future__ import annotations

from mappings.groups import Group, Stretch


def branches(stretch: Stretch) -> tuple[Group, ...]:
    """None yet."""
    return ()
