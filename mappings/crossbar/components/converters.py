"""Converters: analog to digital (survey fit, figures of merit, ramp) and digital to analog (row drivers)."""

from __future__ import annotations

from math import ceil, exp, log, log10

from mappings.crossbar.components.model import ComponentModel, Cost, Parameter, Values
from mappings.crossbar.components.nodes import LARGEST_NM, SMALLEST_NM, area_scale, energy_scale, supply_of

NODE = Parameter("node_nm", "technology node in nm", low=SMALLEST_NM, high=LARGEST_NM)
RESOLUTION = Parameter("resolution", "bits of a conversion", low=1, high=16)
RATE = Parameter("rate", "conversions per second of one converter", low=1.0, high=1e11)
SUPPLY = Parameter("supply", "supply voltage in V; the node's nominal one if absent (0)", default=0.0, high=2.0)

_LINE = (213.7806687348118, -2.8719030399529957)
"""Schreier figure of merit (dB) of the best converters at high rates: intercept, slope per natural logarithm of the rate in Hz."""
_PLATEAU = (128.3068287398817, 3.2205225219734)
"""Its limit at low rates: intercept, slope per bit."""
_ENERGY_FIT = (26.0496215686518, 1.8800369206815004, -2.8291256050594527, -1.4702022133784405)
"""Logarithm of the correction, to pJ: intercept, slopes of ln(node in nm) and ln(bits), offset to the best designs."""
_AREA_FIT = (1.3461916439910742, 0.9932794744745022, 0.18071538424508238, 0.29912426192653485)
"""Logarithm of the area in um2: intercept, slopes of ln(node in nm), ln(rate in Hz), ln(energy in pJ)."""
COMPARATOR_J, COMPARATOR_UM2, _COMPARATOR_NODE, _COMPARATOR_V = 113e-15, 20.0, 90.0, 1.2
"""Of one decision of a double-tail latch (Schinkel et al., ISSCC 2007, 90 nm, 1.2 V); its area from the layout of such latches."""
_FLIP_FLOP_J, _FLIP_FLOP_UM2, _DIGITAL_NODE, _DIGITAL_V = 9e-15, 5.98, 40.0, 0.9


def sndr_db(bits: float) -> float:
    """Signal to noise and distortion of an ideal converter: 6.02 dB per bit and 1.76 dB."""
    return 20 * log10(2) * bits + 10 * log10(1.5)


def _survey(values: Values) -> Cost:
    bits, rate, node = values["resolution"], values["rate"], log(values["node_nm"])
    merit = min(_LINE[0] + _LINE[1] * log(rate), _PLATEAU[0] + _PLATEAU[1] * ceil(bits))
    bound_j = 0.5 / 10 ** ((merit - sndr_db(bits)) / 10)
    pico = bound_j * exp(_ENERGY_FIT[0] + _ENERGY_FIT[1] * node + _ENERGY_FIT[2] * log(bits) + _ENERGY_FIT[3])
    area_um2 = exp(_AREA_FIT[0] + _AREA_FIT[1] * node + _AREA_FIT[2] * log(rate) + _AREA_FIT[3] * log(pico))
    return Cost(pico * 1e-12, area_um2 * 1e-6, 1 / rate)


def _merit(values: Values) -> Cost:
    bits, rate = values["resolution"], values["rate"]
    walden = values["walden_j"] * 2**bits
    schreier = 0.5 / 10 ** ((values["schreier_db"] - sndr_db(bits)) / 10)
    return Cost(max(walden, schreier), values["area"], 1 / rate)


def _ramp(values: Values) -> Cost:
    bits, node = values["resolution"], values["node_nm"]
    supply = values["supply"] or supply_of(node)
    steps = 2**bits
    decision = COMPARATOR_J * energy_scale(node, supply, _COMPARATOR_NODE, _COMPARATOR_V)
    flip_flop = _FLIP_FLOP_J * energy_scale(node, supply, _DIGITAL_NODE, _DIGITAL_V)
    # the comparator decides at every step; the register of the count is written once, when it flips
    area_um2 = COMPARATOR_UM2 * area_scale(node, _COMPARATOR_NODE) + bits * _FLIP_FLOP_UM2 * area_scale(node, _DIGITAL_NODE)
    return Cost(steps * decision + bits * flip_flop, area_um2 * 1e-6, steps / values["rate"])


def _driver(values: Values) -> Cost:
    supply = values["supply"] or supply_of(values["node_nm"])
    line = values["cells"] * values["cell_capacitance"]
    gate_um2 = 4 * NAND2_UM2 * area_scale(values["node_nm"], NAND2_NODE)
    return Cost(values["activity"] * line * supply * supply, gate_um2 * 1e-6)


NAND2_UM2, NAND2_NODE = 0.798, 45.0
"""Smallest two-input NAND of the open 45 nm cell library (Nangate FreePDK45), as the unit of digital area."""

ADC_SURVEY = ComponentModel(
    "adc_survey",
    "SNDR = 6.02 b + 1.76 dB; M = min(213.78 - 2.872 ln f, 128.31 + 3.2205 b) dB; "
    "E = 10^((SNDR - M)/10) / 2 x exp(24.579 + 1.880 ln node - 2.829 ln b) pJ; "
    "area = exp(1.346 + 0.9933 ln node + 0.1807 ln f + 0.2991 ln E) um2",
    "fit to the best designs of Murmann's ADC Performance Survey: Andrulis et al., Modeling Analog-Digital-Converter Energy and Area for "
    "Compute-In-Memory Accelerator Design, arXiv 2404.06553; coefficients of hwcomponents-adc",
    (Parameter("resolution", "bits of a conversion", low=4, high=16), RATE, NODE),
    _survey,
)
ADC_MERIT = ComponentModel(
    "adc_merit",
    "E = max(W 2^b, 10^((SNDR - S)/10) / 2), with the Walden figure W (J per step) and the Schreier figure S (dB); the area is stated",
    "Walden, Analog-to-digital converter survey and analysis, IEEE JSAC 17(4), 1999; Schreier and Temes, Understanding Delta-Sigma Data "
    "Converters, 2005",
    (
        RESOLUTION,
        RATE,
        Parameter("walden_j", "energy of one conversion step, in J", low=1e-18, high=1e-6),
        Parameter("schreier_db", "Schreier figure of merit, in dB", default=180.0, low=100.0, high=200.0),
        Parameter("area", "area of one converter, in mm2", default=0.0),
    ),
    _merit,
)
ADC_RAMP = ComponentModel(
    "adc_ramp",
    "E = 2^b E_latch + b E_ff: one comparator per column decides at every step, the count is stored once; 2^b steps of 1/rate",
    "latch: Schinkel et al., A Double-Tail Latch-Type Voltage Sense Amplifier, ISSCC 2007 (113 fJ per decision, 90 nm); flip-flop: Shao et "
    "al., Aladdin, ISCA 2014 (9 fJ and 5.98 um2 per bit, 40 nm); nodes by Stillmaker and Baas, 2017",
    (RESOLUTION, RATE, NODE, SUPPLY),
    _ramp,
)
ROW_DRIVER = ComponentModel(
    "row_driver",
    "E = activity x cells x C_cell x V^2 (the row's wire and gates are charged once per pulse); area = 4 NAND2 gates",
    "charge of the row's capacitance; NAND2 of the Nangate 45 nm library (0.798 um2); nodes by Stillmaker and Baas, 2017",
    (
        NODE,
        SUPPLY,
        Parameter("cells", "cells along the row", low=1, high=1 << 20),
        Parameter("cell_capacitance", "capacitance of one cell's stretch of the row, in F", default=0.2e-15, high=1e-9),
        Parameter("activity", "share of pulses that are ones", default=0.5, high=1.0),
    ),
    _driver,
)
