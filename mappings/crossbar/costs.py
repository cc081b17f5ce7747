"""Joules of one matrix-vector product by component, and mm2 of an array.

What an action of each part is: ``mappings.crossbar.machine``. The cells' own read energy is ``V^2 G t`` of each driven cell that holds
weights (V read voltage, G mean conductance, t length of the phase, times the mean input), unless a part called ``array`` or ``cell`` states
it. Special parts of the chip with ``drawn: arrays`` (a tile's bus) draw their share of power per array while it works. Only events drive
rows, so drivers and cells scale with their density; converters convert every column in use whatever was driven.
"""

from __future__ import annotations

from collections.abc import Mapping

from hwspecs.vocabulary.formats import NumberFormat
from mappings.crossbar.machine import ADC, CELLS, DAC, Machine, Part
from mappings.crossbar.slicing import Layout, Matrix

CELL_PARTS = ("array", "cell")
"""Parts that state the cells' own energy, and count as the component ``cells``."""


def product_energy(machine: Machine, layout: Layout, matrix: Matrix, density: float = 1.0) -> dict[str, float]:
    """Joules by component of one product of all arrays of ``layout``: one vector streamed through each group.

    Args:
        density: share of the input values that drive their rows.
    """
    reading, bits = machine.reading, matrix.input_format.bits
    phases = reading.phases(bits)
    driven = layout.driven_rows * phases * density
    cells = layout.cells * phases * density
    actions: Mapping[str, float] = {
        "row": driven,
        "column": float(layout.column_sets * phases),
        "cell": cells,
        "conversion": float(layout.column_sets * phases),
        "phase": float(layout.array_sets * phases),
        "product": float(layout.arrays),
        "input": layout.driven_rows * bits / 8.0,
        "output": matrix.groups * matrix.n * layout.row_parts * matrix.output_bits / 8.0,
    }
    interval, _ = reading.product_s(bits, layout.deepest, layout.widest)
    energy: dict[str, float] = {}
    if machine.dac is not None:
        each = machine.dac.energy_j or machine.dac.power_w * reading.read_s(bits)
        energy[DAC] = each * actions["row"]
    if machine.adc is not None:
        energy[ADC] = machine.adc.energy_j * actions["conversion"]
    if not any(part.name in CELL_PARTS for part in machine.parts):
        energy[CELLS] = machine.cell_read_w * reading.read_s(bits) * machine.mean_input * cells
    for part in machine.parts:
        name = CELLS if part.name in CELL_PARTS else part.name
        copies = part.count if part.per in ("phase", "product") else 1.0
        spent = part.energy_j * copies * actions[part.per]
        if part.power_w:
            spent += part.power_w * part.count * interval * layout.arrays * _share(part, layout, machine, density)
        energy[name] = energy.get(name, 0.0) + spent
    for name, watts in machine.beside:
        energy[name] = energy.get(name, 0.0) + watts * interval * layout.arrays
    return {name: joules for name, joules in energy.items() if joules > 0.0}


def _share(part: Part, layout: Layout, machine: Machine, density: float) -> float:
    """Share of a part with power that is at work."""
    if part.per == "row":
        return density * layout.driven_rows / (layout.arrays * machine.rows)
    if part.per == "cell":
        return density * layout.cells / (layout.arrays * machine.cells)
    if part.per in ("column", "conversion"):
        return layout.columns / (layout.arrays * machine.columns)
    return 1.0


def write_energy(machine: Machine, layout: Layout) -> float:
    """Joules of programming the cells that hold weights, once."""
    return machine.write_j * layout.cells


def array_area(machine: Machine) -> dict[str, float]:
    """mm2 of one array by component."""
    area: dict[str, float] = {CELLS: machine.cell_area_mm2 * machine.cells}
    for part in (machine.adc, machine.dac, *machine.parts):
        if part is not None:
            name = CELLS if part.name in CELL_PARTS else part.name
            area[name] = area.get(name, 0.0) + part.area_mm2 * part.count
    return {name: mm2 for name, mm2 in area.items() if mm2 > 0.0}


def full_array(machine: Machine, input_bits: int | None = None) -> tuple[Layout, Matrix]:
    """An array in use entirely, and the matrix that it holds."""
    reading = machine.reading
    bits = reading.input_bits if input_bits is None else input_bits
    weights = max(1, machine.weights_per_row)
    form = NumberFormat(f"int{bits}", "int", bits, bits, 1)
    matrix = Matrix(0, "", "", "", machine.rows, weights, 1, 1, form, reading.weight_bits, bits, True)
    sets = reading.sets(machine.rows)
    used = weights * reading.cells_per_weight
    cells = machine.rows * used
    return Layout(1, 1, 1, 1, machine.rows, used, machine.rows, used, cells, used * sets, sets), matrix
