"""What a crossbar does to the numbers of a model's layers: the guard beside every gain that narrower converters promise.

The arithmetic is in ``mappings.crossbar.precision``; here are the layers of a model that arrays hold, each distinct one drawn once. It is
no accuracy simulation: an error of 1 % in a layer says nothing certain of the network's accuracy, 30 % says that something is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

from cyclewright.api import prepare
from hwspecs.crossbar import KIND, has_crossbar
from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.errors import ArgumentError, UnknownNameError
from hwspecs.vocabulary.suggest import did_you_mean
from mappings.crossbar.allocation import fits
from mappings.crossbar.machine import machine_of
from mappings.crossbar.precision import CONVERSIONS, Arithmetic, Precision, arithmetic_of, check
from mappings.crossbar.slicing import bits_needed, event_density, layout_of, matrices_of
from workloads.graph import OperatorGraph

LEAVES = (
    "adc.resolution", "adc.saved_bits", "dac.resolution", "bits_per_cell", "weight_bits", "input_bits", "read_noise", "rows_per_read",
    "rows",
)  # fmt: skip
"""Leaves of a crossbar, below the unit, that change what its arrays compute."""
_SHORT = 40_000
"""Conversions per layer where many variations are looked at."""
_LARGEST = 3
"""Distinct layers with the most multiply-accumulates that a variation is judged by."""


@dataclass(frozen=True, slots=True)
class LayerPrecision:
    """One distinct layer of a model on arrays.

    Attributes:
        operators: names of the operators that it stands for; ``macs``: of all of them.
        k, n: rows and columns of its matrix in weights; ``density``: share of its inputs that are not zero.
        bits_needed: bits that tell all sums of a column apart; ``converter_bits``: that there are, 0 where sums are digital.
    """

    operators: tuple[str, ...]
    macs: int
    k: int
    n: int
    density: float
    bits_needed: int
    converter_bits: int
    precision: Precision

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        found = self.precision
        return {
            "operators": list(self.operators), "macs": self.macs, "rows": self.k, "columns": self.n, "density": self.density,
            "bits_needed": self.bits_needed, "converter_bits": self.converter_bits, "error": found.error, "snr_db": found.snr_db,
            "quantization_error": found.quantization_error, "array_error": found.array_error, "clipped": found.clipped,
            "conversions": found.conversions,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Layer:
    operators: tuple[str, ...]
    macs: int
    k: int
    n: int
    density: float
    bits: int
    needed: int
    arithmetic: Arithmetic


@dataclass(frozen=True, slots=True)
class ModelPrecision:
    """The layers of a model on the arrays of a device, those of most multiply-accumulates first."""

    model: str
    hardware: str
    seed: int
    layers: tuple[LayerPrecision, ...]

    @property
    def error(self) -> float:
        """Root of the mean square of the layers' relative errors, weighted by multiply-accumulates."""
        return _mean([(layer.macs, layer.precision.error) for layer in self.layers])

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        layers = [layer.as_dict() for layer in self.layers]
        return {
            "schema": 1, "command": "precision", "model": self.model, "hardware": self.hardware, "seed": self.seed, "error": self.error,
            "layers": layers,
        }  # fmt: skip


def check_precision(model: Any, hardware: Any, *, operator: str | None = None, seed: int = 0, **settings: Any) -> ModelPrecision:
    """How far the products of ``model`` on the arrays of ``hardware`` are from the exact ones, on drawn numbers.

    Args:
        model, hardware, settings: as in ``run``.
        operator: this operator alone.
        seed: draws weights, inputs and noise.

    Raises:
        ArgumentError: the device has no crossbar, or none of the model's products fits its arrays.
        UnknownNameError: no such operator on arrays.
        CyclewrightError: as ``run``.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ArgumentError(f"seed is {seed!r}", where="seed", hint="give a whole number of at least 0")
    prepared = prepare(model, hardware, **settings)
    found = _layers(prepared.graph, prepared.hardware)
    if operator is not None:
        names = [name for layer in found for name in layer.operators]
        if operator not in names:
            raise UnknownNameError(f"no operator {operator!r} on arrays", where="operator", hint=did_you_mean(operator, names))
        found = [layer for layer in found if operator in layer.operators]
    if not found:
        raise ArgumentError("none of the model's products runs on the arrays", where="model", hint="give a format of integers: int8, w8a8")
    return ModelPrecision(prepared.graph.name, prepared.hardware.name, seed, _checked(found, seed, CONVERSIONS))


def quick_error(graph: OperatorGraph, hardware: Hardware) -> float | None:
    """``ModelPrecision.error`` of the largest layers, from fewer numbers; None where no product runs on arrays."""
    if not has_crossbar(hardware):
        return None
    found = _layers(graph, hardware)[:_LARGEST]
    return _mean([(layer.macs, layer.precision.error) for layer in _checked(found, 0, _SHORT)]) if found else None


def changes_numbers(hardware: Hardware, path: str) -> bool:
    """Whether the leaf at ``path`` changes what arrays compute."""
    return any(path == f"unit.{name}.{leaf}" for name, unit in hardware.units.items() if unit.kind == KIND for leaf in LEAVES)


def _layers(graph: OperatorGraph, hardware: Hardware) -> list[_Layer]:
    unit = _crossbar(hardware)
    machine = machine_of(unit, hardware)
    names: dict[tuple[int, int, int, float], list[str]] = {}
    macs: dict[tuple[int, int, int, float], int] = {}
    needed: dict[tuple[int, int, int, float], int] = {}
    for operator, holder, times in graph.walk():
        matrices = matrices_of(operator, holder.tensors)
        for matrix in () if isinstance(matrices, str) else matrices:
            if not fits(matrix, machine) or not (matrix.static or machine.write_dynamic):
                continue
            source = operator.internal.get(matrix.source) or holder.tensors[matrix.source]
            key = matrix.k, matrix.n, matrix.input_format.bits, event_density(operator, source)
            names.setdefault(key, []).append(operator.name)
            macs[key] = macs.get(key, 0) + matrix.macs * times
            needed[key] = bits_needed(machine, layout_of(matrix, machine).deepest, matrix.input_format.bits)
    order = sorted(names, key=lambda key: (-macs[key], key))
    return [
        _Layer(tuple(names[key]), macs[key], key[0], key[1], key[3], key[2], needed[key], arithmetic_of(unit, hardware, key[2]))
        for key in order
    ]


def _crossbar(hardware: Hardware) -> ComputeUnit:
    for unit in hardware.units.values():
        if unit.kind == KIND:
            return unit
    raise ArgumentError(
        f"{hardware.name} has no crossbar", where="hardware", hint="`cyclewright specs list` names those of family crossbar"
    )


def _checked(layers: list[_Layer], seed: int, conversions: int) -> tuple[LayerPrecision, ...]:
    return tuple(
        [
            LayerPrecision(
                layer.operators, layer.macs, layer.k, layer.n, layer.density, layer.needed, layer.arithmetic.resolution,
                check(layer.k, layer.n, layer.arithmetic, density=layer.density, seed=seed, conversions=conversions),
            )
            for layer in layers
        ]
    )  # fmt: skip


def _mean(errors: list[tuple[int, float]]) -> float:
    whole = sum(macs for macs, _ in errors)
    return sqrt(sum(macs * error * error for macs, error in errors) / whole) if whole else 0.0
