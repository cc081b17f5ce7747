"""Which component model answers to which name: those of this package, of plug-ins, of this process."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.errors import ArgumentError, ContractError, UnknownNameError
from hwspecs.vocabulary.plug_ins import loaded, plug_ins
from hwspecs.vocabulary.suggest import did_you_mean
from mappings.crossbar.components import converters, digital
from mappings.crossbar.components.model import ComponentModel, Cost, Model

COMPONENT_GROUP = "cyclewright.components"

BUILT_IN: Mapping[str, ComponentModel] = {
    each.name: each
    for each in (
        converters.ADC_SURVEY, converters.ADC_MERIT, converters.ADC_RAMP, converters.ROW_DRIVER, digital.REGISTER, digital.ADDER,
        digital.MULTIPLIER, digital.ADDER_TREE, digital.SHIFT_ADD, digital.DECODER, digital.LOGIC, digital.SRAM, digital.WIRE,
        digital.H_TREE, digital.CHARGE,
    )
}  # fmt: skip

_registered: dict[str, Model] = {}


def register_component(name: str, model: Model) -> None:
    """Let ``model`` answer to ``name`` in this process.

    Raises:
        ArgumentError: a model of this package has the name, or ``model`` has no method ``cost``.
    """
    if not name or not isinstance(model, Model):
        raise ArgumentError(f"register_component takes a name and an object with a method `cost`, not {name!r} and {model!r}")
    if name in BUILT_IN:
        raise ArgumentError(f"the component model {name!r} of this package cannot be replaced", hint="give yours a name of its own")
    _registered[name] = model


def component_names() -> tuple[str, ...]:
    """Names of all models that can be used here, sorted."""
    return tuple(sorted({*BUILT_IN, *_registered, *plug_ins(COMPONENT_GROUP)}))


def find_component(name: str, *, where: str | None = None) -> Model:
    """The model that answers to ``name``.

    Raises:
        UnknownNameError: nothing does.
        UnsupportedError: a plug-in does, but it cannot be loaded.
        ContractError: what it loads is no model.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    if name in _registered:
        return _registered[name]
    point = plug_ins(COMPONENT_GROUP).get(name)
    if point is None:
        raise UnknownNameError(f"no component model {name!r}", where=where, hint=did_you_mean(name, component_names()))
    model = loaded(point, f"component plug-in {point.value!r}")
    if not isinstance(model, Model):
        raise ContractError(f"the component plug-in {point.value!r} has no method `cost`", where=f"entry point {COMPONENT_GROUP}")
    return model


def cost_of(name: str, values: Mapping[str, float | int | str], *, where: str | None = None) -> Cost:
    """What one part costs by the model ``name``.

    Args:
        values: SI numbers of the part (and of its unit: ``node_nm``, ``supply``); words and what the model does not know are ignored.
        where: the part's place in the spec, for errors.

    Raises:
        UnknownNameError, UnsupportedError, ContractError: see ``find_component``; or a plug-in that fails or answers with nonsense.
        ArgumentError: a parameter of the model is missing or out of its range.
    """
    model = find_component(name, where=where)
    numbers = {key: float(value) for key, value in values.items() if not isinstance(value, str)}
    try:
        cost = model.cost(numbers)
    except ArgumentError as error:
        raise ArgumentError(error.what, where=where, hint=error.hint) from error
    except Exception as error:  # the plug-in's own code
        raise ContractError(f"the component model {name!r} raised {type(error).__name__}: {error}", where=where) from error
    if not all(isfinite(each) and each >= 0 for each in (cost.energy_j, cost.area_mm2, cost.latency_s)):
        raise ContractError(f"the component model {name!r} answers {cost}, which is not finite and at least zero", where=where)
    return cost


def filled(unit: ComputeUnit, hardware: Hardware) -> dict[str, float | int | str]:
    """The parameters of ``unit`` with the energies and areas that its parts leave to their component models.

    A model sees the part's own numbers and ``parameters``, and of the unit: ``node_nm``, ``supply``, ``rows``, ``cells`` (columns),
    ``inputs`` (rows) and, as ``rate``, its clock. What a part states wins; a part that states power or energy takes no energy of a model.

    Raises:
        UnknownNameError, UnsupportedError, ContractError, ArgumentError: see ``cost_of``; located at the part.
    """
    values = dict(unit.parameters)
    context: dict[str, float | int | str] = {"cells": values["columns"], "inputs": values["rows"], "rate": unit.clock_hz}
    context |= {str(key): values[key] for key in ("node_nm", "supply", "rows") if key in values}
    for key in [key for key in values if key.endswith(".model")]:
        part = key.removesuffix(".model")
        path = f"unit.{unit.name}.{part}"
        leaf = hardware.leaves.get(f"{path}.model")
        own = unit.group(part)
        given = {name.removeprefix("parameters."): value for name, value in own.items()}
        where = f"{leaf.where}: {path}" if leaf is not None and leaf.where else path
        cost = cost_of(str(values[key]), {**context, **given}, where=where)
        if "energy" not in own and "power" not in own:
            values[f"{part}.energy"] = cost.energy_j
        if "area" not in own:
            values[f"{part}.area"] = cost.area_mm2
    return values
