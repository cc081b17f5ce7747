"""Energy and area of digital CMOS by technology node.

Source: Stillmaker and Baas, Scaling equations for the accurate prediction of CMOS device performance from 180 nm to 7 nm, Integration
58, 2017: dynamic energy of a gate is a second-order polynomial of the supply voltage, fitted per node (table of coefficients, from
Spice); area per node relative to 130 nm (table of area factors). Nodes between two rows are interpolated on the logarithm of the node.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from math import exp, log

_ENERGY: Mapping[float, tuple[float, float, float]] = {
    7: (0.1776, -0.09097, 0.02447),
    10: (0.2068, -0.09311, 0.02375),
    14: (0.2363, -0.09675, 0.02239),
    16: (0.2958, -0.1241, 0.03024),
    20: (0.373, -0.1582, 0.04104),
    32: (0.9559, -0.7823, 0.471),
    45: (1.103, -0.362, 0.2767),
    65: (3.755, -4.398, 1.975),
    90: (4.762, -4.781, 2.092),
    130: (7.171, -6.709, 2.904),
}
_AREA: Mapping[float, float] = {
    7: 0.0092, 10: 0.016, 14: 0.027, 16: 0.03, 20: 0.033, 32: 0.072, 45: 0.16, 65: 0.23, 90: 0.44, 130: 1.0,
}  # fmt: skip
SMALLEST_NM, LARGEST_NM = 7.0, 130.0
SUPPLY_V: Mapping[float, float] = {7: 0.7, 10: 0.75, 14: 0.8, 16: 0.8, 20: 0.9, 32: 0.9, 45: 1.0, 65: 1.1, 90: 1.2, 130: 1.2}
"""Nominal supply by node, for parts that state none (ITRS and foundry platforms)."""


def supply_of(node_nm: float) -> float:
    """Nominal supply of a node, in volts."""
    return _interpolate(node_nm, tuple(SUPPLY_V), tuple(SUPPLY_V.values()))


def energy_scale(node_nm: float, voltage_v: float, from_node_nm: float, from_voltage_v: float) -> float:
    """Dynamic energy of a gate at (node, voltage) as a multiple of that at (from_node, from_voltage)."""
    return _gate_energy(node_nm, voltage_v) / _gate_energy(from_node_nm, from_voltage_v)


def area_scale(node_nm: float, from_node_nm: float) -> float:
    """Area of a digital block at a node as a multiple of that at ``from_node_nm``."""
    nodes, areas = tuple(_AREA), tuple(_AREA.values())
    return _interpolate(node_nm, nodes, areas) / _interpolate(from_node_nm, nodes, areas)


def log_interpolate(x: float, points: Mapping[float, float]) -> float:
    """Between the points of a table of positive values, straight on log-log axes; beyond its ends the nearest slope goes on."""
    return _interpolate(x, tuple(points), tuple(points.values()))


def _gate_energy(node_nm: float, voltage_v: float) -> float:
    energies = tuple(a * voltage_v * voltage_v + b * voltage_v + c for a, b, c in _ENERGY.values())
    return _interpolate(node_nm, tuple(_ENERGY), energies)


def _interpolate(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    right = min(max(bisect_left(xs, x), 1), len(xs) - 1)
    x0, x1, y0, y1 = xs[right - 1], xs[right], ys[right - 1], ys[right]
    share = (log(x) - log(x0)) / (log(x1) - log(x0))
    return exp(log(y0) + share * (log(y1) - log(y0)))
