"""Energy: on-chip actions that the mapper counted, off-chip bytes that the schedule left, static power over the latency.

Components: ``<unit>.<first word of the action>`` (``sm.mac``, ``sm.vector``), ``<unit>.<part>`` of actions that are joules, the name of
each memory and link, and ``static``. The bytes that the schedule keeps on chip cost one read (or write) of the on-chip memory each,
beside the mapper's own count: an upper estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hwspecs.hardware import Hardware, Memory
from hwspecs.vocabulary.errors import ContractError
from mappings.dataflow import Alternative
from simulator.lowering import Lowered

STATIC = "static"
JOULE = ".joule"
"""Ending of actions that a mapper prices itself, from parts of the unit: the count is the energy."""


@dataclass(slots=True)
class EnergyModel:
    """Prices actions and bytes on one hardware.

    Attributes:
        missing: actions that the spec gives no energy for; they count as zero and the result says so.
        counted: bytes by memory and joules by component of the steps priced so far, by the identities of what they run.
    """

    hardware: Hardware
    missing: dict[str, None] = field(default_factory=dict)
    counted: dict[object, tuple[dict[str, tuple[int, int]], dict[str, float]]] = field(default_factory=dict)
    _prices: dict[str, tuple[str, float]] = field(default_factory=dict)

    def price(self, operator: str, action: str) -> tuple[str, float]:
        """Component and joules of one ``action``.

        Raises:
            ContractError: the action names no unit, memory or link of the hardware.
        """
        found = self._prices.get(action)
        if found is not None:
            return found
        owner, _, what = action.partition(".")
        joules: float | None
        if owner in self.hardware.units and what.endswith(JOULE):
            joules, component = 1.0, f"{owner}.{what[: -len(JOULE)]}"
        elif owner in self.hardware.units:
            joules = self.hardware.units[owner].energy_j.get(what)
            component = f"{owner}.{what.partition('.')[0]}"
        elif owner in self.hardware.memories and what in ("read.byte", "write.byte"):
            memory = self.hardware.memories[owner]
            self._note_unpriced(memory, what.partition(".")[0])
            joules = memory.read_energy_j_per_byte if what == "read.byte" else memory.write_energy_j_per_byte
            component = owner
        elif owner in self.hardware.links and what == "byte":
            joules = self.hardware.links[owner].energy_j_per_byte
            component = owner
        else:
            raise ContractError(f"counts action {action!r}, which no unit, memory or link of {self.hardware.name!r} has", where=operator)
        if joules is None:
            self.missing[action] = None
        self._prices[action] = (component, joules or 0.0)
        return self._prices[action]

    def actions(self, operator: str, alternative: Alternative) -> dict[str, float]:
        """Component to joules of the alternative's on-chip actions, one round."""
        energy: dict[str, float] = {}
        for action, count in alternative.actions.items():
            component, joules = self.price(operator, action)
            energy[component] = energy.get(component, 0.0) + count * joules
        return energy

    def traffic(self, reads: Mapping[str, int], writes: Mapping[str, int]) -> dict[str, float]:
        """Memory to joules of bytes read and written."""
        energy: dict[str, float] = {}
        for name, nbytes in reads.items():
            memory = self.hardware.memories[name]
            energy[name] = energy.get(name, 0.0) + nbytes * memory.read_energy_j_per_byte
            self._note_unpriced(memory, "read" if nbytes else "")
        for name, nbytes in writes.items():
            memory = self.hardware.memories[name]
            energy[name] = energy.get(name, 0.0) + nbytes * memory.write_energy_j_per_byte
            self._note_unpriced(memory, "write" if nbytes else "")
        return energy

    def _note_unpriced(self, memory: Memory, word: str) -> None:
        if word in memory.unpriced:
            self.missing[f"{memory.name}.{word}.byte"] = None

    def kept(self, lowered: Lowered) -> tuple[dict[str, int], dict[str, int]]:
        """On-chip bytes (read, written by memory) that stand in for the off-chip transfers that the schedule saved."""
        if not lowered.kept_read_bytes and not lowered.kept_written_bytes:
            return {}, {}
        memory = self.hardware.on_chip
        if memory is None:
            return {}, {}
        reads = {memory.name: lowered.kept_read_bytes} if lowered.kept_read_bytes else {}
        writes = {memory.name: lowered.kept_written_bytes} if lowered.kept_written_bytes else {}
        return reads, writes


def add(total: dict[str, float], part: Mapping[str, float], times: float = 1.0) -> None:
    """Add ``times`` x ``part`` to ``total``, by component."""
    for component, joules in part.items():
        total[component] = total.get(component, 0.0) + times * joules


def static_power(hardware: Hardware) -> float:
    """Watts that flow as long as a run lasts: the device's static power, and special parts with ``drawn: device``."""
    parts = (part for part in hardware.specials.values() if part.get("drawn") == "device")
    return hardware.static_power_w + sum(float(part.get("count", 1)) * float(part.get("power", 0.0)) for part in parts)


def energy_leaf(action: str, hardware: Hardware) -> str:
    """The path of the spec's leaf that would price ``action``: ``vector.vector.int8`` is ``unit.vector.energy.vector.int8``."""
    owner, _, what = action.partition(".")
    if owner in hardware.units:
        return f"unit.{owner}.energy.{what}"
    if owner in hardware.links:
        return f"link.{owner}.energy"
    return f"memory.{owner}.{what.partition('.')[0]}_energy"
