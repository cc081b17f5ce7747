"""Peak rate, power and area of a crossbar chip in use entirely, from the parts that its spec states.

Every array holds weights in all of its cells and takes one full vector after another: 2 x rows x weights per row operations each
interval. Power is what these products cost by component over the interval, plus the chip's ``special`` parts at their full ``power``
and what flows statically. Area is that of the arrays' parts, of other units that state one, and of ``special`` parts. So do the peak
figures of published chips come about (Shafiee et al., ISAAC, ISCA 2016, section 7: GOPS/s/mm2 and GOPS/W of a chip all of whose arrays
are busy).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwspecs.crossbar import KIND
from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.records import dataclass
from mappings.crossbar.costs import array_area, full_array, product_energy
from mappings.crossbar.machine import machine_of
from mappings.crossbar.timing import pace_of

STATIC = "static"


@dataclass(frozen=True, slots=True)
class Peak:
    """A crossbar unit with all of its arrays busy, and the chip around it.

    Attributes:
        unit: name of the unit.
        tops: 1e12 operations per second, two per multiply-accumulate.
        power_w, area_mm2: by component, watts and mm2; components that state none are absent.
        interval_s: seconds from one product of an array to its next.
        stated_area_mm2: of the whole device, where its spec states one, else None.
    """

    unit: str
    tops: float
    power_w: Mapping[str, float]
    area_mm2: Mapping[str, float]
    interval_s: float
    stated_area_mm2: float | None = None

    @property
    def total_power_w(self) -> float:
        """Watts of all components."""
        return sum(self.power_w.values())

    @property
    def total_area_mm2(self) -> float:
        """mm2 of all components; the stated area of the device where no part states one."""
        return sum(self.area_mm2.values()) or self.stated_area_mm2 or 0.0

    @property
    def tops_per_w(self) -> float | None:
        """TOPS per watt; None where no part states an energy."""
        return self.tops / self.total_power_w if self.total_power_w else None

    @property
    def tops_per_mm2(self) -> float | None:
        """TOPS per mm2; None where no area is stated."""
        return self.tops / self.total_area_mm2 if self.total_area_mm2 else None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "unit": self.unit, "tops": self.tops, "tops_per_w": self.tops_per_w, "tops_per_mm2": self.tops_per_mm2,
            "power_w": self.total_power_w, "area_mm2": self.total_area_mm2, "interval_s": self.interval_s,
            "power_by_component": dict(self.power_w), "area_by_component": dict(self.area_mm2),
        }  # fmt: skip


def peak_of(unit: ComputeUnit, hardware: Hardware) -> Peak:
    """The peak of a unit of kind ``crossbar`` and of the chip around it, inputs as wide as ``input_bits``.

    Raises:
        CyclewrightError: a component model that a part names cannot answer.
    """
    machine = machine_of(unit, hardware)
    layout, matrix = full_array(machine)
    interval = pace_of(matrix, layout, machine).interval / hardware.clock_hz
    operations = 2.0 * machine.rows * matrix.n * machine.arrays
    power = {name: joules * machine.arrays / interval for name, joules in product_energy(machine, layout, matrix).items()}
    area = {name: mm2 * machine.arrays for name, mm2 in array_area(machine).items()}
    for name, other in hardware.units.items():
        leaf = hardware.leaves.get(f"unit.{name}.area")
        if leaf is not None and (name == unit.name or other.kind != KIND):
            area[name] = area.get(name, 0.0) + float(leaf.value)
    counted = {name for name, _ in machine.beside}
    for name, part in hardware.specials.items():
        count = float(part.get("count", 1))
        for key, into in (("power", power), ("area", area)):
            if part.get(key) and not (key == "power" and name in counted):
                into[name] = into.get(name, 0.0) + count * float(part[key])
    if hardware.static_power_w:
        power[STATIC] = hardware.static_power_w
    return Peak(unit.name, operations / interval / 1e12, power, area, interval, hardware.area_mm2)


def peaks_of(hardware: Hardware) -> tuple[Peak, ...]:
    """The peak of each crossbar unit of a device, in the order of its spec."""
    return tuple(peak_of(unit, hardware) for unit in hardware.units.values() if unit.kind == KIND)
