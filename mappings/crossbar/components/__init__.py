"""Component models: what a converter, buffer, driver, adder or wire costs, by formulas with their sources (``docs/crossbar-parts.md``).

A part of a crossbar's spec may name one (``model: adc_survey``) in place of the numbers that nobody published; a number that the spec
states always wins. Others join by an entry point of the group ``cyclewright.components`` (``my-model = "my_package:my_model"``, an
object with a method ``cost(values)``), or within one process by ``register_component``.
"""

from mappings.crossbar.components.model import ComponentModel, Cost, Model, Parameter
from mappings.crossbar.components.registry import COMPONENT_GROUP, component_names, cost_of, filled, find_component, register_component

__all__ = [
    "COMPONENT_GROUP",
    "ComponentModel",
    "Cost",
    "Model",
    "Parameter",
    "component_names",
    "cost_of",
    "filled",
    "find_component",
    "register_component",
]
