"""What a run should say of the layers on arrays: converters too narrow for their sums, arrays that are hardly used. One line for a unit.

And what a change of a spec leaves as it was: a stated energy, power or area of a converter whose resolution changes.
"""

from __future__ import annotations

from collections.abc import Iterator

from hwspecs.crossbar import KIND, RAMPS
from hwspecs.hardware import ComputeUnit, Hardware
from mappings.crossbar.allocation import Allocation
from mappings.crossbar.machine import ADC, DAC, Machine
from mappings.crossbar.slicing import Layout, Matrix, bits_needed, layout_of
from mappings.mapping import several

POOR_USE = 0.1
"""Use of a matrix's arrays below which a report says so."""


def remarks(allocation: Allocation, unit: ComputeUnit) -> tuple[str, ...]:
    """At most two lines: the operators whose sums need a wider converter, with the worst of them, and those that leave arrays empty."""
    narrow: dict[str, tuple[int, int]] = {}
    empty: dict[str, None] = {}
    machine = allocation.machine
    for name, matrix, layout in _laid(allocation):
        needed = _bits_missing(matrix, layout, machine)
        if needed:
            narrow[name] = max(narrow.get(name, (0, 0)), (needed, layout.deepest))
        if layout.cells < POOR_USE * layout.arrays * machine.cells:
            empty[name] = None
    lines = []
    if narrow:
        worst = max(narrow, key=lambda name: narrow[name])
        needed, rows = narrow[worst]
        text = f"sums of {rows} rows need a converter of {needed} bits, it has {machine.reading.resolution}"
        if len(narrow) > 1:
            text = f"{several(list(narrow))} on unit {unit.name!r} have sums wider than its converters; the widest is {worst}: {text}"
        lines.append(text if len(narrow) > 1 else f"{worst}: {text}")
    if empty:
        lines.append(f"poor use: the weights of {several(list(empty))} fill less than {100 * POOR_USE:.0f} % of the cells of their arrays")
    return tuple(lines)


def _laid(allocation: Allocation) -> Iterator[tuple[str, Matrix, Layout]]:
    """(operator, or the computed operand that is written; matrix; layout)."""
    for use in allocation.uses:
        yield use.operator, use.matrix, allocation.classes[use.matrix.key].layout
    for matrix, _ in allocation.computed if allocation.free else ():
        yield matrix.weight, matrix, layout_of(matrix, allocation.machine)


def _bits_missing(matrix: Matrix, layout: Layout, machine: Machine) -> int:
    """Bits that the widest sums need; 0 if the converter has them, or is a ramp that gives the bits that the graph asks of the result."""
    reading = machine.reading
    if not reading.converter or reading.converter == "nonlinear_ramp":
        return 0
    if reading.converter in RAMPS and reading.resolution >= matrix.output_bits and layout.row_parts == 1:
        return 0
    needed = bits_needed(machine, layout.deepest, matrix.input_format.bits)
    return needed if needed > reading.resolution else 0


def left_as_stated(before: Hardware, after: Hardware) -> tuple[str, ...]:
    """A line per converter whose resolution differs between two specs while an energy, power or area that both state does not."""
    lines = []
    for name, unit in after.units.items():
        if unit.kind != KIND or name not in before.units:
            continue
        old, new = before.units[name].parameters, unit.parameters
        for part in (ADC, DAC):
            if old.get(f"{part}.resolution") == new.get(f"{part}.resolution"):
                continue
            costs = [
                key for key in ("energy", "power", "area") if f"{part}.{key}" in new and old.get(f"{part}.{key}") == new[f"{part}.{key}"]
            ]
            if costs:
                does = "is stated in the spec and does" if len(costs) == 1 else "are stated in the spec and do"
                lines.append(
                    f"the {' and '.join(costs)} of unit.{name}.{part} {does} not follow its resolution: "
                    "a component model in place of what is stated would (docs/crossbar-parts.md)"
                )
    return tuple(lines)
