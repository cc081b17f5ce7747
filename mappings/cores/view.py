"""Names and views of hardware with several cores.

Core 0 sits beside the memory controller; what any other core reads or writes crosses the link ``noc``. An operator on core 0 alone
therefore runs as on a single core, cycle by cycle. What a schedule keeps on chip between operators is dealt out evenly over the cores'
scratchpads, so of each there is as much left for tiles: a working set counts that of the neediest core times the number of cores.
"""

from __future__ import annotations

from dataclasses import replace

from hwspecs.building import memory_of_cores, unit_of_cores
from hwspecs.hardware import Hardware
from mappings.dataflow import LINK, PORT, Alternative

NOC = "noc"
"""The link that joins the cores; its bandwidth is what it carries in all."""


def with_cores(hardware: Hardware, cores: int) -> Hardware:
    """``hardware`` with only ``cores`` of its cores: rates in proportion, the same off-chip memory."""
    if cores == hardware.cores:
        return hardware
    of = hardware.cores
    units = {name: unit_of_cores(unit, cores, of) for name, unit in hardware.units.items()}
    memories = {name: memory_of_cores(memory, cores, of) for name, memory in hardware.memories.items()}
    return replace(hardware, units=units, memories=memories, cores=cores)


def one_core(hardware: Hardware) -> Hardware:
    """What the mapper of one core sees: its own units and on-chip memories, and the whole off-chip memory."""
    return with_cores(hardware, 1)


def on_core(unit: str, core: int) -> str:
    """The resource of a unit's copy on a core: ``array.2``."""
    return f"{unit}.{core}"


def cores_of(alternative: Alternative) -> frozenset[int]:
    """The cores on which an alternative computes (on hardware of several cores)."""
    found = set()
    for stage in alternative.stages:
        if not stage.unit.startswith((PORT, LINK)):
            core = stage.unit.rpartition(".")[2]
            if core.isdigit():
                found.add(int(core))
    return frozenset(found)
