"""What a component model is: parameters with ranges, a formula, its source, and the cost that comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Protocol, runtime_checkable

from hwspecs.vocabulary.errors import ArgumentError

Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one part.

    Attributes:
        energy_j: of one action (a conversion, an access of ``bits``, an addition).
        area_mm2: of one part.
        latency_s: of one action; 0 where the model says nothing of it.
    """

    energy_j: float
    area_mm2: float
    latency_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Parameter:
    """One input of a model, in SI units (lengths in mm, nodes in nm, as the name says); ``default`` None: it must be given."""

    name: str
    text: str
    default: float | None = None
    low: float = 0.0
    high: float = float("inf")


@runtime_checkable
class Model(Protocol):
    """What a plug-in offers: numbers of the part by name (SI) to its cost; unknown names are to be ignored."""

    def cost(self, values: Values) -> Cost:
        """The cost of one part."""
        ...


@dataclass(frozen=True, slots=True)
class ComponentModel:
    """A model of this package.

    Attributes:
        formula: of energy and area, as the docs print it; ``source``: where it comes from.
        function: checked parameters to the cost.
    """

    name: str
    formula: str
    source: str
    parameters: tuple[Parameter, ...]
    function: Callable[[Values], Cost]

    def cost(self, values: Values) -> Cost:
        """The cost of one part.

        Raises:
            ArgumentError: a parameter is missing or out of range.
        """
        return self.function({each.name: self._checked(each, values) for each in self.parameters})

    def _checked(self, parameter: Parameter, values: Values) -> float:
        value = values.get(parameter.name, parameter.default)
        if value is None:
            raise ArgumentError(
                f"the component model {self.name!r} needs {parameter.name} ({parameter.text})", hint=f"add {parameter.name} to the part"
            )
        if not isfinite(value) or not parameter.low <= value <= parameter.high:
            raise ArgumentError(
                f"the component model {self.name!r} takes {parameter.name} from {parameter.low:g} to {parameter.high:g}, not {value:g}",
                hint="state energy and area instead where the model does not reach",
            )
        return float(value)
