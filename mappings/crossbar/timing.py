"""Cycles of products on arrays."""

from __future__ import annotations

from math import ceil

from hwspecs.vocabulary.records import dataclass
from mappings.crossbar.machine import Machine
from mappings.crossbar.slicing import Layout, Matrix

_EXACT = 1 - 1e-12
"""A whole number of cycles that the float missed by its rounding stays that number."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Cycles of the device's clock: from one product to the next, and from a product's first input to its last result."""

    interval: int
    latency: int

    def cycles(self, turns: int) -> int:
        """Cycles of ``turns`` products one after the other."""
        return self.latency + (turns - 1) * self.interval if turns > 0 else 0


def pace_of(matrix: Matrix, layout: Layout, machine: Machine) -> Pace:
    """The pace of the products of ``matrix``."""
    interval, latency = machine.reading.product_s(matrix.input_format.bits, layout.deepest, layout.widest)
    return Pace(whole_cycles(interval, machine), whole_cycles(latency, machine))


def whole_cycles(seconds: float, machine: Machine) -> int:
    """Whole cycles of the device's clock, rounded up."""
    return max(1, ceil(seconds * machine.clock_hz * _EXACT))


def turns(products: int, copies: int) -> int:
    """Products that the busiest of ``copies`` equal sets of arrays takes."""
    return -(-products // max(1, copies))


def write_cycles(layout: Layout, machine: Machine) -> int:
    """Cycles to program the matrix into free arrays: all arrays at once, each row by row."""
    return whole_cycles(layout.deepest * machine.write_s, machine) if machine.write_s > 0.0 else 0
