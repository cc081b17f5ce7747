"""What must hold between the leaves of a spec; each fault is located at the leaf that an editor would change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hwspecs.drafting import located
from hwspecs.dram import check_dram
from hwspecs.hardware import Leaf
from hwspecs.vocabulary.errors import SpecError
from hwspecs.vocabulary.formats import number_format
from hwspecs.vocabulary.suggest import did_you_mean
from hwspecs.vocabulary.units import read_quantity

Leaves = Mapping[str, Leaf]
_PARTS = ("ifmap", "filter", "ofmap")


def check(leaves: Leaves, memories: str) -> list[SpecError]:
    """All faults between leaves; ``memories`` is the place of the ``memory`` mapping."""
    units = _names(leaves, "unit")
    errors = [*_units(leaves, units), *_memories(leaves, memories), *_caches(leaves, units)]
    for path, leaf in leaves.items():
        if path.startswith("special.") and path.endswith(".drawn") and leaf.value not in ("arrays", "device"):
            errors.append(located(leaf.where, path, f"unknown word {leaf.value!r}", "write arrays (while they work) or device (always)"))
    cores = leaves.get("cores")
    if cores is not None and float(cores.value) > 1 and "link.noc.bandwidth" not in leaves:
        hint = 'write link: {noc: {bandwidth: "64 B/cycle"}}'
        errors.append(located(cores.where, "cores", "several cores need a link named noc between them", hint))
    errors += _order(leaves, "power.static", "power.max", "static power above the board limit", "give the idle power")
    return errors


def _names(leaves: Leaves, head: str) -> list[str]:
    return list(dict.fromkeys(path.split(".")[1] for path in leaves if path.startswith(head + ".")))


def _order(leaves: Leaves, low: str, high: str, message: str, hint: str) -> Iterator[SpecError]:
    if low in leaves and high in leaves and float(leaves[low].value) > float(leaves[high].value):
        yield located(leaves[low].where, low, message, hint)


def _units(leaves: Leaves, units: list[str]) -> Iterator[SpecError]:
    for name in units:
        start = f"unit.{name}."
        kind = leaves.get(start + "kind")
        if kind is None:
            continue
        yield from _fallback(leaves, name, units)
        if kind.value in ("gpu", "systolic", "sparse_array", "vector", "simd") and not _has_rates(leaves, start):
            yield located(
                kind.where,
                f"unit.{name}",
                "states no compute rate",
                "give rates, or formats (such as [int8]) for an array, vector or simd unit to derive them",
            )
        yield from _order(
            leaves, start + "conductance.off", start + "conductance.on", "the conductance range is inverted", "off is the smaller one"
        )
        yield from _sparse_rates(leaves, start)
        if kind.value == "systolic":
            yield from _array(leaves, start)
        if kind.value == "crossbar":
            yield from _crossbar(leaves, start)
        for part in ("dsp", "lut", "ff", "bram", "uram"):
            yield from _order(
                leaves,
                f"{start}resources.{part}",
                f"{start}device.{part}",
                f"uses more {part.upper()} than the device has",
                "lower it or take a larger device",
            )
    if units:
        yield from _default_format(leaves, units[0])


def _has_rates(leaves: Leaves, start: str) -> bool:
    keys = ("formats", "rates.", "vector_rates.")
    return any(path.startswith(start + key) for path in leaves for key in keys)


def _caches(leaves: Leaves, units: list[str]) -> Iterator[SpecError]:
    """The innermost memory of a device with SIMD cores feeds their registers."""
    kinds = {name: leaf for name in units if (leaf := leaves.get(f"unit.{name}.kind")) is not None and leaf.value == "simd"}
    simd = next(iter(kinds.values()), None)
    names = _names(leaves, "memory")
    inner = [name for name in names if f"memory.{name}.off_chip" not in leaves or not leaves[f"memory.{name}.off_chip"].value]
    if simd is not None and names and not inner:
        yield located(simd.where, "memory", "a simd unit needs a cache", "state at least the first-level cache, inwards of the DRAM")
    for path, leaf in leaves.items():
        parts = path.split(".")
        if parts[0] == "unit" and parts[1] in kinds and parts[2] == "loads" and parts[3] not in inner:
            yield located(leaf.where, path, f"names no memory on chip: {parts[3]!r}", did_you_mean(parts[3], inner))


def _array(leaves: Leaves, start: str) -> Iterator[SpecError]:
    """What an array's dataflow and its depthwise mode need besides."""
    dataflow, depthwise = leaves.get(start + "dataflow"), leaves.get(start + "depthwise")
    if dataflow is not None and dataflow.value == "row_stationary" and f"{start}registers.filter.size" not in leaves:
        yield located(dataflow.where, dataflow.path, "needs the registers of the cells", "state registers: {filter, ifmap, psum}")
    parts = [f"{name}.{leaf}" for name in ("filter", "ifmap", "psum") for leaf in ("size", "bandwidth")]
    for group, needed in (("registers", parts), ("skipping", ["operand", "lanes"])):
        stated = next((leaf for path, leaf in leaves.items() if path.startswith(f"{start}{group}.")), None)
        missing = [name for name in needed if f"{start}{group}.{name}" not in leaves]
        if stated is not None and missing:
            yield located(stated.where, start + group, f"lacks {', '.join(missing)}", "state all of them")
    if depthwise is not None and depthwise.value == "vector" and start + "fallback" not in leaves:
        yield located(depthwise.where, depthwise.path, "needs a vector unit", "name one in fallback")


def _crossbar(leaves: Leaves, start: str) -> Iterator[SpecError]:
    """What an array's ways to read, convert and write need besides."""
    hint = "rows_per_read is at most rows"
    yield from _order(leaves, start + "rows_per_read", start + "rows", "more rows are read at once than an array has", hint)
    functions, converter = leaves.get(start + "adc.functions"), leaves.get(start + "adc.type")
    if functions is not None and (converter is None or converter.value != "nonlinear_ramp"):
        yield located(
            functions.where, functions.path, "only a nonlinear_ramp converter computes functions", "set adc.type, or remove the key"
        )
    if start + "write.latency" in leaves:
        return
    for key, value in (("reprogram", True), ("dynamic", "write")):
        leaf = leaves.get(start + key)
        if leaf is not None and leaf.value == value:
            yield located(leaf.where, leaf.path, "needs the time that writing takes", "state write: {latency, energy}")


def _fallback(leaves: Leaves, name: str, units: list[str]) -> Iterator[SpecError]:
    leaf = leaves.get(f"unit.{name}.fallback")
    if leaf is None:
        return
    if leaf.value not in units:
        others = [unit for unit in units if unit != name]
        hint = (
            did_you_mean(str(leaf.value), others) if others else f"{name!r} is its only unit: add a unit {leaf.value!r} or remove the key"
        )
        yield located(leaf.where, leaf.path, f"names no unit of this spec: {leaf.value!r}", hint)
        return
    seen, current = [name], str(leaf.value)
    while current not in seen and f"unit.{current}.fallback" in leaves:
        seen.append(current)
        current = str(leaves[f"unit.{current}.fallback"].value)
    if current == name:
        yield located(leaf.where, leaf.path, f"the fallbacks run in a circle: {' -> '.join([*seen, name])}", "remove one of them")


def _sparse_rates(leaves: Leaves, start: str) -> Iterator[SpecError]:
    """Skipping zeros never makes the dense-equivalent peak lower."""
    for path, leaf in leaves.items():
        if path.startswith(start + "rates.") and not path.endswith(".dense"):
            dense = leaves.get(path.rpartition(".")[0] + ".dense")
            if dense is not None and dense.unit == leaf.unit and float(leaf.value) < float(dense.value):
                yield located(leaf.where, path, "is below the dense rate", "rates are dense-equivalent: skipped zeros count")


def _default_format(leaves: Leaves, primary: str) -> Iterator[SpecError]:
    leaf = leaves.get("default_format")
    start = f"unit.{primary}."
    if leaf is None or f"{start}kind" not in leaves or leaves[f"{start}kind"].value not in ("gpu", "systolic", "sparse_array", "simd"):
        return
    known = [number_format(path[len(start) :].split(".")[1]).name for path in leaves if path.startswith(start + "rates.")]
    if f"{start}formats" in leaves:
        known += str(leaves[f"{start}formats"].value).split(", ")
    if known and leaf.value not in known:
        yield located(leaf.where, leaf.path, f"unit {primary!r} has no rate for {leaf.value}", did_you_mean(str(leaf.value), known))


def _memories(leaves: Leaves, place: str) -> Iterator[SpecError]:
    names = _names(leaves, "memory")
    if names and not any(leaves[f"memory.{name}.off_chip"].value for name in names if f"memory.{name}.off_chip" in leaves):
        yield located(place, "memory", "no memory is off chip", "mark the DRAM with off_chip: true")
    for name in names:
        start = f"memory.{name}."
        size = leaves.get(start + "size")
        parts = [leaves[f"{start}{part}.size"] for part in _PARTS if f"{start}{part}.size" in leaves]
        first = next(leaf for path, leaf in leaves.items() if path.startswith(start))
        if not size and not parts:
            yield located(first.where, f"memory.{name}.size", "missing", 'write a capacity like "50 MiB", or ifmap, filter and ofmap sizes')
        elif parts and len(parts) < 3:
            yield located(
                parts[0].where,
                f"memory.{name}",
                "a split scratchpad needs ifmap, filter and ofmap",
                "give all three sizes, or one size for a unified one",
            )
        elif parts and size and size.value != sum(float(part.value) for part in parts):
            yield located(size.where, size.path, "differs from the sum of its parts", "remove it: the parts give the size")
        yield from _curve(leaves, start)
        yield from check_dram(leaves, start)


def _curve(leaves: Leaves, start: str) -> Iterator[SpecError]:
    last = 0.0
    prefix = start + "bandwidth_curve."
    for path, leaf in leaves.items():
        if path.startswith(prefix):
            size = read_quantity(path[len(prefix) :], "bytes").value
            if size <= last:
                yield located(leaf.where, path, "access sizes are not ascending", "list the points from small to large accesses")
            last = size
