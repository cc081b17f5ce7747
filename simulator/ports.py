"""Memory ports at the cycle rung: the banked DRAM behind each off-chip memory, and what firings and operators owe it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from hwspecs.hardware import Hardware
from mappings.dataflow import Alternative
from simulator.dram import Commands, DramModel, Move, refresh_rate_per_s

Priced = tuple[float, Commands]


class Ports:
    """The off-chip memories of one hardware; remembers what equal firings cost, for one run."""

    def __init__(self, hardware: Hardware) -> None:
        self.clock_hz = hardware.clock_hz
        self.models = {name: DramModel(memory) for name, memory in hardware.memories.items() if memory.off_chip}
        self._priced: dict[tuple[str, tuple[Move, ...], bool], Priced] = {}

    def cost(self, memory: str, moves: Sequence[Move], alternating: bool) -> Priced:
        """Cycles (not rounded, of the device's clock) and commands of one firing's transfers on a memory.

        Raises:
            UnsupportedError: the spec does not describe the memory's DRAM.
        """
        key = (memory, tuple(moves), alternating)
        found = self._priced.get(key)
        if found is None:
            seconds, commands = self.models[memory].cost([move for move in moves if move.bytes], alternating)
            found = self._priced[key] = (seconds * self.clock_hz, commands)
        return found

    def read_by(self, alternative: Alternative, kept_reads: AbstractSet[str]) -> frozenset[str]:
        """Memories that the alternative reads; firings that only write them take turns with the reads."""
        return frozenset(
            move.source
            for stage in alternative.stages
            for segment in stage.segments
            for move in segment.transfers
            if move.source in self.models and move.tensor not in kept_reads and move.bytes and segment.repeat
        )


def overdriven(hardware: Hardware) -> tuple[str, ...]:
    """Warnings of memories whose bandwidth asks more of their data lines than the part is rated for (by more than 1 %)."""
    notes = []
    for name, memory in hardware.memories.items():
        dram = memory.dram
        if dram is None or not dram.rated_bits_per_s:
            continue
        rate = dram.clock_hz * dram.bits_per_clock
        if rate > 1.01 * dram.rated_bits_per_s:
            rated = f"the {dram.rated_bits_per_s / 1e9:g} Gb/s that {dram.part or 'its part'} is rated for"
            notes.append(f"{name}: its bandwidth needs {rate / 1e9:.3g} Gb/s per data line, above {rated}")
    return tuple(notes)


def command_joules(hardware: Hardware, commands: Mapping[str, Commands]) -> tuple[dict[str, float], frozenset[str]]:
    """Component (``hbm.activate``, ``hbm.read``, ``hbm.write``) to joules, and the memories that are priced so.

    A memory whose part states no energies is left out: its bytes are priced instead.
    """
    energy: dict[str, float] = {}
    priced = set()
    for name, count in commands.items():
        dram = hardware.memories[name].dram
        if dram is None or not dram.energy_j:
            continue
        priced.add(name)
        for what, number in (("activate", count.activates), ("read", count.reads), ("write", count.writes)):
            if number:
                energy[f"{name}.{what}"] = number * dram.energy_j[what]
    return energy, frozenset(priced)


def refresh_joules(hardware: Hardware, seconds: float) -> dict[str, float]:
    """``hbm.refresh`` to joules of keeping each memory's contents for ``seconds``, busy or idle."""
    energy = {}
    for name, memory in hardware.memories.items():
        if memory.dram is not None and memory.dram.energy_j and memory.dram.refresh != "none":
            energy[f"{name}.refresh"] = seconds * refresh_rate_per_s(memory.dram) * memory.dram.energy_j["refresh"]
    return energy


def summary(hardware: Hardware, commands: Mapping[str, Commands], nbytes: Mapping[str, int], seconds: float) -> dict[str, dict[str, float]]:
    """What the report says of each memory.

    Returns:
        Memory to ``activates``, ``reads``, ``writes`` (bursts), ``row_hit_rate``, ``turnarounds``, ``refreshes`` (of ranks, in
        ``seconds``), ``busy_s`` (time of the transfers) and ``efficiency`` (bytes over busy time at the data sheet's peak).
    """
    table: dict[str, dict[str, float]] = {}
    for name, count in commands.items():
        memory = hardware.memories[name]
        bursts = count.reads + count.writes
        if memory.dram is None or not bursts:
            continue
        table[name] = {
            "activates": count.activates,
            "reads": count.reads,
            "writes": count.writes,
            "row_hit_rate": 1.0 - count.activates / bursts,
            "turnarounds": count.turnarounds,
            "refreshes": seconds * refresh_rate_per_s(memory.dram),
            "busy_s": count.busy_s,
            "efficiency": nbytes.get(name, 0) / (count.busy_s * memory.bandwidth_bytes_per_s),
        }
    return table
