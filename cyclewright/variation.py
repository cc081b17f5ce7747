"""Devices that differ from a prepared one in a few leaves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from cyclewright.api import Overrides, Plan, Prepared, overrides_of, plan, play
from hwspecs import load_hardware, resolve_leaf
from hwspecs.attributes import Attribute
from hwspecs.hardware import Hardware, Leaf
from hwspecs.reading import attribute_at
from hwspecs.vocabulary.errors import ArgumentError, InvalidInput, UnknownNameError
from simulator.result import Result


def numeric_leaves(hardware: Hardware) -> tuple[Leaf, ...]:
    """Leaves that are numbers above zero, in the order of the spec."""
    return tuple(leaf for leaf in hardware.leaves.values() if not isinstance(leaf.value, str) and leaf.value > 0)


def varied_value(leaf: Leaf, factor: float, highest: float | None = None) -> float | int:
    """``factor`` times the leaf's value, at most ``highest``; whole numbers are rounded and stay at least 1."""
    value = max(1, round(leaf.value * factor)) if isinstance(leaf.value, int) else float(leaf.value) * factor
    return value if highest is None or value <= highest else type(value)(highest)


def highest_value(hardware: Hardware, leaf: Leaf) -> float | None:
    """The largest value that the schema allows for a leaf, in SI units (1 for a share of the peak); None where it sets no limit."""
    kinds = {name: unit.kind for name, unit in hardware.units.items()}
    try:
        found = attribute_at(tuple(leaf.path.split(".")), kinds)
    except InvalidInput:
        return None  # a number that the schema does not name: checking the changed spec finds out
    return found.high if isinstance(found, Attribute) else None


def vary(prepared: Prepared, changes: Iterable[tuple[str, object]]) -> Hardware:
    """The prepared device with some leaves changed: full dotted path to text with a unit or SI number.

    Raises:
        ArgumentError: the caller gave a ``Hardware`` and no source to start from.
        CyclewrightError: the changed spec is not valid.
    """
    if prepared.hardware_source is None:
        raise ArgumentError("a loaded Hardware cannot be varied", where="hardware", hint="give its name or path instead")
    merged = {resolve_leaf(prepared.hardware, path): value for path, value in prepared.overrides.items()}
    merged.update(changes)
    return load_hardware(prepared.hardware_source, merged)


def changes_energy_alone(leaf: Leaf) -> bool:
    """Whether a leaf is an energy or a power: such a number moves no mapping, no schedule and no time."""
    return leaf.unit in ("J", "W") or leaf.unit.startswith("J/")


def run_varied(prepared: Prepared, planned: Plan, changes: Sequence[tuple[Leaf, object]]) -> Result:
    """The result with some leaves changed, without timeline and provenance.

    Energies and powers change no mapping and no schedule: mappers count actions, and the simulator alone turns them into joules.
    So where only such leaves change, the plan is played again as it is. (Not that of a crossbar: its mapper prices parts itself.)

    Raises:
        CyclewrightError: the changed spec is not valid, or cannot run the model.
    """
    device = vary(prepared, [(leaf.path, value) for leaf, value in changes])
    if planned.mapped.in_memory is None and all(changes_energy_alone(leaf) for leaf, _ in changes):
        return play(prepared, replace(planned, mapped=replace(planned.mapped, hardware=device)), timeline=False)
    return play(prepared, plan(prepared, device), timeline=False)


def with_overrides(prepared: Prepared, overrides: Overrides) -> tuple[Hardware, tuple[str, ...]]:
    """The prepared device with a user's changes on top, and each change as ``full.path=value``; one may state what the spec leaves out.

    Raises:
        UnknownNameError: no such leaf.
        CyclewrightError: a value does not fit its leaf.
    """
    changes = overrides_of(overrides)
    changed = vary(prepared, [(_resolved(prepared.hardware, path), value) for path, value in changes.items()])
    return changed, tuple(f"{_resolved(changed, path)}={value}" for path, value in changes.items())


def _resolved(hardware: Hardware, path: str) -> str:
    """The full path of a leaf that ``hardware`` has; of one that it may state, what the caller wrote."""
    try:
        return resolve_leaf(hardware, path)
    except UnknownNameError:
        return path
