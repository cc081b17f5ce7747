"""FPGA resources of a sparse array: a first-order model of what rows, columns, modes and buffers take of the device.

Per PE the spec states a multiplier and adder (``cost.pe``). Besides, of ``b`` bits per operand and M the longest group of the modes:

* a PE picks one of M values: a multiplexer of (M - 1) / 3 LUTs per bit (a six-input LUT is a 4:1 multiplexer; AMD UG574, chapter 2);
* where an operand may stay, the M values of a group pass through the registers of a PE: M b flip-flops, idle while outputs stay. This is
  what weight-stationary operation costs at high sparsity;
* interleaved, a PE holds L sums of 32 bits.

Buffers lie in block RAM (4 KiB of data in a block of 36 Kb; AMD UG573), what does not fit there in UltraRAM (32 KiB a block). Each lane of
the reduction engine, each lane of the vector unit and the rest of the design (memory controllers, host link, control) cost what the spec
states. What the spec states as ``resources`` goes before the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.formats import number_format

PARTS = ("dsp", "lut", "ff", "bram", "uram")
BRAM_BYTES, URAM_BYTES = 4096, 32768
SUM_BITS = 32
_MUX = 3
"""Inputs that each further six-input LUT adds to a multiplexer."""


def resources_of(hardware: Hardware) -> Mapping[str, tuple[int, int]]:
    """Part (``dsp``, ``lut``, ``ff``, ``bram``, ``uram``) to (used by the design, on the device); empty where the spec states no device
    or neither the design's resources nor the costs that make them up."""
    found: dict[str, tuple[int, int]] = {}
    for unit in hardware.units.values():
        device = unit.group("device")
        if not device:
            continue
        stated, modelled = unit.group("resources"), _modelled(unit, hardware)
        for part in PARTS:
            used = stated.get(part, modelled.get(part))
            if used is not None and part in device:
                found[part] = int(used), int(device[part])
    return found


def exceeded(hardware: Hardware) -> tuple[str, ...]:
    """A line for each part of which the design takes more than the device has."""
    return tuple(
        [
            f"the design does not fit the device: about {used:,} {part.upper()} of {most:,}"
            for part, (used, most) in resources_of(hardware).items()
            if used > most
        ]
    )


def _modelled(unit: ComputeUnit, hardware: Hardware) -> dict[str, int]:
    cost = unit.group("cost")
    if not cost:
        return {}
    cells = int(unit.parameters["rows"]) * int(unit.parameters["columns"]) * unit.count
    lanes = int(unit.parameters.get("reduction.lanes", 0))
    width = sum(int(other.parameters.get("lanes", 0)) * other.count for other in hardware.units.values() if other.kind == "vector")

    def total(part: str) -> float:
        pe, lane, vector, base = (float(cost.get(f"{name}.{part}", 0.0)) for name in ("pe", "lane", "vector_lane", "base"))
        return cells * pe + lanes * lane + width * vector + base

    modes = str(unit.parameters.get("modes", "")).replace(",", " ").split()
    longest = max((int(mode.partition(":")[2]) for mode in modes), default=1)
    bits = max((number_format(name).bits for name, _ in unit.rates), default=0)
    stays = str(unit.parameters.get("dataflow", "auto")) != "output_stationary"
    sums = int(unit.parameters.get("mac_latency", 1)) if unit.parameters.get("interleave", False) else 1
    registers = (bits * longest if stays and longest > 1 else 0) + SUM_BITS * sums
    used = {
        "dsp": ceil(total("dsp")),
        "lut": ceil(total("lut") + cells * bits * (longest - 1) / _MUX),
        "ff": ceil(total("ff") + cells * registers),
    }
    return used | _buffers(unit, hardware, ceil(total("bram")), ceil(total("uram")))


def _buffers(unit: ComputeUnit, hardware: Hardware, bram: int, uram: int) -> dict[str, int]:
    """Block RAM and UltraRAM of the on-chip memories, beside those of the rest of the design."""
    size = sum(memory.size_bytes for memory in hardware.memories.values() if not memory.off_chip)
    blocks = -(-size // BRAM_BYTES)
    room = max(0, int(unit.parameters.get("device.bram", blocks + bram)) - bram)
    if blocks <= room or "device.uram" not in unit.parameters:
        return {"bram": blocks + bram, "uram": uram}
    return {"bram": room + bram, "uram": uram + -(-(size - room * BRAM_BYTES) // URAM_BYTES)}
