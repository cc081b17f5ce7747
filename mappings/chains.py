"""chains of a block as groups."""

from __future__ import annotations

from mappings.groups import Group, Stretch


def chains(stretch: Stretch) -> tuple[Group, ...]:
    """None yet."""
    return ()
