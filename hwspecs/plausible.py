"""Numbers of a file that fit no device one can buy: almost always a memory that was meant to be off chip.

Files are held to this, overrides are not: a what-if may ask for anything. ``off_chip: false`` says that a memory is meant to be as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hwspecs.building import si_value
from hwspecs.drafting import located
from hwspecs.hardware import Leaf
from hwspecs.vocabulary.errors import SpecError

Leaves = Mapping[str, Leaf]
LARGE_BYTES = 1 << 30
"""On-chip memories are smaller; wafers that are not say so."""
SLOWEST = 0.5
"""Caches that feed one core may lie a little below the peak of the DRAM, not this far."""
_HINT = "write off_chip: true if it is the DRAM (and NAME: null to drop an inherited one), off_chip: false if it is on chip indeed"


def check_plausible(leaves: Leaves) -> list[SpecError]:
    """Faults between memories; the leaves have passed ``checking.check``."""
    names = list(dict.fromkeys(path.split(".")[1] for path in leaves if path.startswith("memory.")))
    off_chip = [name for name in names if f"memory.{name}.off_chip" in leaves and leaves[f"memory.{name}.off_chip"].value]
    errors = [*_second(leaves, off_chip)]
    for name in names:
        if off_chip and f"memory.{name}.off_chip" not in leaves:
            errors += _on_chip(leaves, name, off_chip[0])
    return errors


def _second(leaves: Leaves, off_chip: list[str]) -> Iterator[SpecError]:
    for name in off_chip[1:]:
        leaf = leaves[f"memory.{name}.off_chip"]
        message = f"a second memory is off chip beside {off_chip[0]!r}, and only the first one is used"
        yield located(leaf.where, leaf.path, message, f"remove one of them ({off_chip[0]}: null drops an inherited one)")


def _on_chip(leaves: Leaves, name: str, dram: str) -> Iterator[SpecError]:
    own, outer = f"memory.{name}.", f"memory.{dram}."
    size, room = leaves.get(own + "size"), leaves.get(outer + "size")
    rate, outer_rate = leaves.get(own + "bandwidth"), leaves.get(outer + "bandwidth")
    hint = _HINT.replace("NAME", dram)
    if size is not None and room is not None and float(size.value) > float(room.value):
        yield located(size.where, size.path, f"an on-chip memory of {size.text} beside {room.text} in {dram!r} off chip", hint)
    elif size is not None and float(size.value) > LARGE_BYTES:
        yield located(size.where, size.path, f"an on-chip memory of {size.text}", hint)
    elif rate is not None and outer_rate is not None:
        clock = float(leaves["clock"].value)
        if float(si_value(rate, clock)) < SLOWEST * float(si_value(outer_rate, clock)):
            message = f"an on-chip memory of {rate.text}, less than half the bandwidth of {dram!r} off chip ({outer_rate.text})"
            yield located(rate.where, rate.path, message, hint)
