"""Crossbars built by hand, for the tests of this folder."""

from __future__ import annotations

from hwspecs.crossbar import peak_rates
from hwspecs.hardware import ComputeUnit, Hardware, Link, Memory
from ilp import trivial_schedule
from mappings import map_graph
from mappings.crossbar.machine import machine_of
from mappings.crossbar.slicing import layout_of, matrices_of
from simulator import simulate

CLOCK = 1e9
PLAIN = {
    "rows": 16, "columns": 16, "cell": "rram", "bits_per_cell": 8, "weight_bits": 8, "input_bits": 8, "read_pulse": 10e-9,
    "dac.type": "multi_bit", "dac.resolution": 8,
}  # fmt: skip
"""One cell per weight, one phase of 10 cycles, digital sums: a product takes 10 cycles."""
SERIAL = {
    "rows": 128, "columns": 128, "cell": "rram", "bits_per_cell": 2, "weight_bits": 8, "input_bits": 8, "read_pulse": 100e-9,
    "read_voltage": 0.2, "conductance.off": 0.0, "conductance.on": 1e-4,
    "dac.type": "bit_serial", "dac.resolution": 1, "dac.energy": 1e-15,
    "adc.type": "sar", "adc.resolution": 8, "adc.rate": 1e9, "adc.sharing": 128, "adc.energy": 2e-12, "adc.area": 1e-3,
    "parts.sample_hold.area": 1e-6, "parts.shift_add.energy": 1e-13,
}  # fmt: skip
"""ISAAC-like at 8 bit: four cells a weight, eight phases, one converter for 128 columns."""
RAMP = {
    "rows": 72, "columns": 128, "cell": "rram", "bits_per_cell": 5, "weight_bits": 5, "input_bits": 5,
    "dac.type": "pulse_width", "dac.rate": 1e9, "adc.type": "nonlinear_ramp", "adc.resolution": 5, "adc.rate": 1e9,
    "adc.functions": "sigmoid, tanh", "adc.energy": 1e-12,
}  # fmt: skip
"""A nonlinear ramp of 5 bits: an input of 32 steps, a ramp of 32 steps."""


def crossbar(
    values: dict | None = None, *, arrays: int = 64, bandwidth: float = 16e9, buffer: int = 1 << 20, vector: bool = True, lanes: int = 4096,
    **changes,
) -> Hardware:  # fmt: skip
    """A chip of ``arrays`` arrays with a buffer, DRAM at ``bandwidth`` bytes/s, a link and, if asked, a vector unit.

    ``changes`` are parameters of the unit, dots as double underscores.
    """
    parameters = {**(PLAIN if values is None else values), **{name.replace("__", "."): value for name, value in changes.items()}}
    rates = peak_rates(parameters, arrays, CLOCK)
    array = ComputeUnit("array", "crossbar", arrays, CLOCK, rates, {}, {}, "vector" if vector else None, parameters)
    simd = ComputeUnit(
        "vector", "vector", 1, CLOCK, {}, dict.fromkeys(("int8", "int16", "int32", "fp32"), lanes * CLOCK),
        {f"vector.{name}": 1e-13 for name in ("int8", "int16", "int32", "fp32")}, None, {"lanes": lanes},
    )  # fmt: skip
    memories = {
        "dram": Memory("dram", True, 1 << 33, bandwidth, read_energy_j_per_byte=1e-11, write_energy_j_per_byte=1e-11),
        "buffer": Memory("buffer", False, buffer, 1e15, read_energy_j_per_byte=1e-13, write_energy_j_per_byte=1e-13),
    }
    units = {"array": array, "vector": simd} if vector else {"array": array}
    links = {"board": Link("board", 1e9, energy_j_per_byte=1e-11)}
    return Hardware(
        "hand-built", "a small crossbar", "crossbar", CLOCK, "int8", units, memories, links, {}, 0.0, 0.0, 0.0, None, None, {}, "none"
    )  # fmt: skip


def machine(values=None, **changes):
    hardware = crossbar(values, **changes)
    return machine_of(hardware.primary, hardware)


def laid(part, values=None, **changes):
    """(matrix, layout) of the only product of an operator."""
    (matrix,) = matrices_of(*part)
    return matrix, layout_of(matrix, machine(values, **changes))


def played(net, hardware):
    mapped = map_graph(net, hardware)
    return mapped, simulate(mapped, trivial_schedule(mapped))
