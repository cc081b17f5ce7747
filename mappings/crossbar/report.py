"""What a result says of the arrays: use, replication, steady interval, shares of the converters, peak figures."""

from __future__ import annotations

from dataclasses import replace

from hwspecs.building import memory_of_cores
from hwspecs.hardware import ComputeUnit, Hardware


def scaled(hardware: Hardware, unit: ComputeUnit, chips: int) -> Hardware:
    """``hardware`` as ``chips`` chips: units, on-chip memories, static power, area and power limit times as many, one off-chip memory."""
    if chips == 1:
        return hardware
    units = {
        name: replace(
            item,
            count=item.count * chips,
            rates={key: rate * chips for key, rate in item.rates.items()},
            vector_rates={key: rate * chips for key, rate in item.vector_rates.items()},
        )
        for name, item in hardware.units.items()
    }
    return replace(
        hardware,
        units=units,
        memories={name: memory_of_cores(memory, chips) for name, memory in hardware.memories.items()},
        static_power_w=hardware.static_power_w * chips,
        max_power_w=None if hardware.max_power_w is None else hardware.max_power_w * chips,
        area_mm2=None if hardware.area_mm2 is None else hardware.area_mm2 * chips,
    )
