"""Digital logic: adders, adder trees, shift-and-add, registers, decoders, vector lanes; memories; wires."""

from __future__ import annotations

from math import ceil, log2, sqrt

from mappings.crossbar.components.converters import NAND2_NODE, NAND2_UM2, NODE, SUPPLY
from mappings.crossbar.components.model import ComponentModel, Cost, Parameter, Values
from mappings.crossbar.components.nodes import area_scale, energy_scale, log_interpolate, supply_of

_ADD_J_PER_BIT, _ADD_UM2_PER_BIT, _NODE, _VOLTAGE = 0.1e-12 / 32, 137.0 / 32, 45.0, 0.9
"""Integer add of 32 bits: 0.1 pJ, 137 um2 (Horowitz, ISSCC 2014, 45 nm, 0.9 V)."""
_MULTIPLY_J_PER_BIT2, _MULTIPLY_UM2_PER_BIT2 = 3.1e-12 / 1024, 3495.0 / 1024
"""Integer multiply of 32 bits: 3.1 pJ, 3495 um2 (the same table); of 8 bits this gives 0.19 of its 0.2 pJ and 218 of its 282 um2."""
_REGISTER_J, _REGISTER_UM2, _REGISTER_NODE, _REGISTER_V = 9e-15, 5.98, 40.0, 0.9
"""Of one bit (Shao et al., Aladdin, ISCA 2014, 40 nm)."""
_GATE_J = 1e-15
"""One gate that toggles, at 45 nm and 0.9 V: an adder of 32 bits is about 100 such toggles."""
_SRAM_J, _SRAM_BYTES, _SRAM_BITS = 10e-12, 8192.0, 64
"""Read of 64 bits from 8 KiB (Horowitz, ISSCC 2014); the square root of the size meets its 20 pJ at 32 KiB; at
1 MiB it gives 113 of the table's 100 pJ."""
_CELL_UM2 = {7.0: 0.027, 10.0: 0.0312, 14.0: 0.0588, 22.0: 0.092, 32.0: 0.171, 45.0: 0.346, 65.0: 0.57, 90.0: 1.0}
"""Six-transistor cells as published by the foundries at IEDM and VLSI."""
WIRE_F_PER_MM = 0.2e-12
"""Wires of a length need about this at every node (Ho, Mai and Horowitz, The Future of Wires, Proc. IEEE 89(4), 2001)."""

BITS = Parameter("bits", "width of an operand or access", low=1, high=4096)
ACTIVITY = Parameter("activity", "share of bits that toggle", default=0.5, high=1.0)


def _logic(values: Values) -> tuple[float, float]:
    """Scales of energy and area from 45 nm and 0.9 V to the part's node and supply."""
    node = values["node_nm"]
    supply = values["supply"] or supply_of(node)
    return energy_scale(node, supply, _NODE, _VOLTAGE), area_scale(node, _NODE)


def _register(values: Values) -> Cost:
    node = values["node_nm"]
    supply = values["supply"] or supply_of(node)
    energy = _REGISTER_J * energy_scale(node, supply, _REGISTER_NODE, _REGISTER_V)
    return Cost(values["bits"] * energy, values["bits"] * _REGISTER_UM2 * area_scale(node, _REGISTER_NODE) * 1e-6)


def _adder(values: Values) -> Cost:
    energy, area = _logic(values)
    bits = values["bits"]
    # Horowitz's figures are of random operands, which toggle half of the bits
    return Cost(bits * _ADD_J_PER_BIT * energy * 2 * values["activity"], bits * _ADD_UM2_PER_BIT * area * 1e-6)


def _multiplier(values: Values) -> Cost:
    energy, area = _logic(values)
    cells = values["bits"] * values["bits"]
    return Cost(cells * _MULTIPLY_J_PER_BIT2 * energy * 2 * values["activity"], cells * _MULTIPLY_UM2_PER_BIT2 * area * 1e-6)


def tree_bits(inputs: int, bits: int) -> int:
    """Bits of all adders of a tree over ``inputs`` operands: pairs at each level, a bit wider from level to level, odd ones pass."""
    total = 0
    while inputs > 1:
        total += inputs // 2 * bits
        inputs -= inputs // 2
        bits += 1
    return total


def _tree(values: Values) -> Cost:
    energy, area = _logic(values)
    bits = tree_bits(int(values["inputs"]), int(values["bits"]))
    return Cost(bits * _ADD_J_PER_BIT * energy * 2 * values["activity"], bits * _ADD_UM2_PER_BIT * area * 1e-6)


def _shift_add(values: Values) -> Cost:
    adder, register = _adder(values), _register(values)
    return Cost(adder.energy_j + register.energy_j, adder.area_mm2 + register.area_mm2)


def _decoder(values: Values) -> Cost:
    energy, _ = _logic(values)
    rows = values["rows"]
    stages = max(1, ceil(log2(rows)))
    # one word line per access: its address bits, their complements and the chosen gate toggle; every row has a gate of its own
    return Cost((2 * stages + 1) * _GATE_J * energy, (rows + 2 * stages) * NAND2_UM2 * area_scale(values["node_nm"], NAND2_NODE) * 1e-6)


def _gates(values: Values) -> Cost:
    energy, area = _logic(values)
    return Cost(values["gates"] * values["activity"] * _GATE_J * energy, values["gates"] * NAND2_UM2 * area * 1e-6)


def _sram(values: Values) -> Cost:
    energy, _ = _logic(values)
    size, node = values["size"], values["node_nm"]
    access = _SRAM_J * sqrt(size / _SRAM_BYTES) * values["bits"] / _SRAM_BITS
    area_um2 = 8 * size * log_interpolate(node, _CELL_UM2) / values["array_efficiency"]
    return Cost(access * energy, area_um2 * 1e-6)


def _wire(values: Values) -> Cost:
    supply = values["supply"] or supply_of(values["node_nm"])
    return Cost(values["bits"] * values["activity"] * WIRE_F_PER_MM * values["length_mm"] * supply * supply, 0.0)


def _charge(values: Values) -> Cost:
    share = values["supply"] / values["reference_supply"]
    return Cost(values["energy"] * values["activity"] * share * share, values["area"])


def _h_tree(values: Values) -> Cost:
    side, total = sqrt(values["span_mm2"]), 0.0
    # from the root to one leaf: halves of the side, then of that, turn by turn
    for level in range(max(1, ceil(log2(max(2.0, values["leaves"]))))):
        total += side / 2 ** (level // 2 + 2)
    return _wire({**values, "length_mm": total})


_HOROWITZ = "Horowitz, Computing's Energy Problem (and what we can do about it), ISSCC 2014, 45 nm; nodes by Stillmaker and Baas, 2017"
_ALADDIN = "Shao et al., Aladdin, ISCA 2014 (40 nm); nodes by Stillmaker and Baas, 2017"
_ROWS = Parameter("rows", "rows that are decoded", low=1, high=1 << 20)

REGISTER = ComponentModel("register", "E = 9 fJ, area = 5.98 um2 per bit at 40 nm", _ALADDIN, (BITS, NODE, SUPPLY), _register)
ADDER = ComponentModel("adder", "E = 3.1 fJ, area = 4.3 um2 per bit at 45 nm", _HOROWITZ, (BITS, NODE, SUPPLY, ACTIVITY), _adder)
MULTIPLIER = ComponentModel(
    "multiplier", "E = 3.0 fJ, area = 3.4 um2 per bit x bit at 45 nm", _HOROWITZ, (BITS, NODE, SUPPLY, ACTIVITY), _multiplier
)
ADDER_TREE = ComponentModel(
    "adder_tree",
    "adders of every level, N/2 of b bits, N/4 of b+1, ...; each as adder",
    _HOROWITZ,
    (Parameter("inputs", "operands that are summed", low=1, high=1 << 20), BITS, NODE, SUPPLY, ACTIVITY),
    _tree,
)
SHIFT_ADD = ComponentModel(
    "shift_add", "adder + register of the same width", f"{_HOROWITZ}; {_ALADDIN}", (BITS, NODE, SUPPLY, ACTIVITY), _shift_add
)
DECODER = ComponentModel(
    "decoder",
    "E = (2 log2 rows + 1) toggles of 1 fJ at 45 nm; area = rows + 2 log2 rows NAND2 gates",
    _HOROWITZ,
    (_ROWS, NODE, SUPPLY),
    _decoder,
)
LOGIC = ComponentModel(
    "logic",
    "E = gates x activity x 1 fJ, area = gates x 0.798 um2 at 45 nm",
    f"{_HOROWITZ}; Nangate 45 nm cell library",
    (Parameter("gates", "two-input gates", low=0, high=1e9), ACTIVITY, NODE, SUPPLY),
    _gates,
)
SRAM = ComponentModel(
    "sram",
    "E = 10 pJ x sqrt(size / 8 KiB) per 64 bits at 45 nm; area = 8 size x cell(node) / array efficiency",
    f"{_HOROWITZ}; the square root of the size as in CACTI; "
    "cells of Intel's and TSMC's IEDM and VLSI papers (65 nm 0.57 um2 to 7 nm 0.027 um2)",
    (
        Parameter("size", "bytes", low=1.0, high=2.0**40),
        Parameter("bits", "width of an access", default=8.0, low=1, high=4096),
        NODE,
        SUPPLY,
        Parameter("array_efficiency", "share of the area that is cells", default=0.5, low=0.05, high=1.0),
    ),
    _sram,
)
WIRE = ComponentModel(
    "wire",
    "E = bits x activity x 0.2 pF/mm x length x V^2",
    "Ho, Mai and Horowitz, The Future of Wires, Proc. IEEE 89(4), 2001",
    (Parameter("bits", "wires", default=8.0, low=1, high=4096), Parameter("length_mm", "length in mm", high=1e3), ACTIVITY, NODE, SUPPLY),
    _wire,
)
CHARGE = ComponentModel(
    "charge",
    "E = energy x activity x (supply / reference supply)^2: a circuit measured at one supply, at another; the area is stated",
    "dynamic energy C V^2 of CMOS (Weste and Harris, CMOS VLSI Design, section 5.2)",
    (
        Parameter("energy", "joules of one action at the reference supply"),
        Parameter("reference_supply", "supply that the energy was measured at, in V", low=0.1, high=5.0),
        Parameter("supply", "supply in V", low=0.1, high=5.0),
        Parameter("activity", "share of the charge that moves; 1 if absent", default=1.0, high=1.0),
        Parameter("area", "area of one part, in mm2", default=0.0),
    ),
    _charge,
)
H_TREE = ComponentModel(
    "h_tree",
    "length = sqrt(span) x (1/4 + 1/4 + 1/8 + 1/8 + ...), one term per level; E as wire",
    "Ho, Mai and Horowitz, The Future of Wires, Proc. IEEE 89(4), 2001; an H-tree's halves of the side",
    (
        Parameter("bits", "wires", default=8.0, low=1, high=4096),
        Parameter("leaves", "leaves of the tree", low=1, high=1 << 24),
        Parameter("span_mm2", "area that the tree spans, in mm2", high=1e5),
        ACTIVITY,
        NODE,
        SUPPLY,
    ),
    _h_tree,
)
