"""Which rate a product runs at: number format, sparsity pattern, and what of the operands' sparsity the tensor cores exploit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwspecs.hardware import ComputeUnit
from hwspecs.vocabulary.errors import UnknownNameError
from hwspecs.vocabulary.formats import NumberFormat, number_format
from workloads.graph import Tensor


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a product is computed.

    Attributes:
        format: rate name of the arithmetic; ``pattern``: pattern exploited; ``rate``: operations per second, dense-equivalent.
        share: share of the dense MACs that are issued.
        notes: what a report must show (sparsity that gives no speed, formats that are widened).
    """

    format: str
    pattern: str
    rate: float
    share: float = 1.0
    notes: tuple[str, ...] = ()


def wider(a: NumberFormat, b: NumberFormat) -> NumberFormat:
    """The format with more bits; of two equally wide ones the float."""
    return max(a, b, key=lambda item: (item.bits, item.family == "float"))


SPARSE_EFFICIENCY = "kernels.gemm.sparse_efficiency"
"""Share of a sparse pattern's data-sheet rate that its kernels reach where dense ones reach theirs; 1 where the spec does not say."""


def arithmetic_of(a: Tensor, b: Tensor, unit: ComputeUnit, *, along: bool = True) -> Arithmetic | None:
    """How ``unit`` multiplies ``a`` by ``b``; None if it has no rate for their format or a wider one of the family.

    Only N:M sparsity of one operand alone is exploited (weights, or gradients: a product can be done on transposed operands), at the rate
    that the unit states for the pattern.

    Args:
        along: its groups lie along the reduction, as the tensor cores need them.
    """
    wanted = wider(a.format, b.format)
    name = _rate_name(wanted, unit.rates)
    if name is None:
        return None
    notes: list[str] = []
    if name != wanted.rate_name:
        notes.append(f"{wanted.rate_name} products run at the rate of {name}")
    dense = unit.rates[name, "dense"]
    one, other = (b.sparsity, a.sparsity) if b.sparsity.kind == "nm" else (a.sparsity, b.sparsity)
    if along and one.kind == "nm" and other.kind == "dense" and (name, one.pattern) in unit.rates:
        rate = max(dense, unit.rates[name, one.pattern] * min(1.0, float(unit.parameters.get(SPARSE_EFFICIENCY, 1.0))))
        return Arithmetic(name, one.pattern, rate, one.n / one.m, tuple(notes))
    sparse = next((item.sparsity.pattern for item in (b, a) if item.sparsity.kind != "dense"), None)
    if sparse is not None:
        notes.append(f"{sparse} sparsity saves bytes but no arithmetic: the tensor cores compute dense {name}")
    return Arithmetic(name, "dense", dense, 1.0, tuple(notes))


def _rate_name(wanted: NumberFormat, rates: Mapping[tuple[str, str], float]) -> str | None:
    """The narrowest format of the family that is at least as wide and has a dense rate (``wanted`` itself if it has one)."""
    if (wanted.rate_name, "dense") in rates:
        return wanted.rate_name
    fitting: list[tuple[int, int, str]] = []
    for place, (name, pattern) in enumerate(rates):
        if pattern != "dense":
            continue
        try:
            candidate = number_format(name)
        except UnknownNameError:
            continue
        if candidate.family == wanted.family and candidate.bits >= wanted.bits:
            fitting.append((candidate.bits, place, name))
    return min(fitting)[2] if fitting else None


def element_bytes(tensor: Tensor) -> float:
    """Stored bytes per element, packing, metadata and sparsity included."""
    return tensor.stored_bytes / tensor.values if tensor.values else 0.0
