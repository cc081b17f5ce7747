"""From checked leaves to ``Hardware``. Derived numbers (rates of arrays from rows, columns and clock) are made here, after overrides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from hwspecs.crossbar import peak_rates
from hwspecs.dram import build_dram
from hwspecs.hardware import ComputeUnit, Hardware, Leaf, Link, Memory
from hwspecs.unit_kinds import UNIT_COMMON
from hwspecs.vocabulary.formats import number_format
from hwspecs.vocabulary.units import read_quantity

Value = float | int | str
_PARTITIONS = ("ifmap", "filter", "ofmap")
_PER_CLOCK = {"byte/cycle": 1, "op/cycle": 1, "cycle": -1}


def si_value(leaf: Leaf, clock_hz: float) -> Value:
    """The leaf's value in SI units; per-cycle values at ``clock_hz``."""
    if isinstance(leaf.value, str) or leaf.unit not in _PER_CLOCK:
        return leaf.value
    return leaf.value * clock_hz if _PER_CLOCK[leaf.unit] > 0 else leaf.value / clock_hz


def words(text: Value) -> tuple[str, ...]:
    """The words of a ``words`` leaf."""
    return tuple(word.strip() for word in str(text).split(",")) if text else ()


def build(header: Mapping[str, str], leaves: Mapping[str, Leaf]) -> Hardware:
    """The hardware that the leaves describe; the leaves are taken to be checked."""
    tree: dict[str, dict[str, dict[str, Leaf]]] = {"unit": {}, "memory": {}, "link": {}, "special": {}}
    single: dict[str, Leaf] = {}
    for path, leaf in leaves.items():
        head, _, rest = path.partition(".")
        if head in tree:
            name, _, below = rest.partition(".")
            tree[head].setdefault(name, {})[below] = leaf
        else:
            single[path] = leaf
    clock = float(single["clock"].value)
    cores = int(single["cores"].value) if "cores" in single else 1

    def number(path: str, default: float = 0.0) -> float:
        return float(si_value(single[path], clock)) if path in single else default

    memories = [memory_of_cores(_memory(name, below, clock), cores) for name, below in tree["memory"].items()]
    return Hardware(
        name=header["name"],
        description=header.get("description", ""),
        family=header.get("family", ""),
        clock_hz=clock,
        default_format=str(single["default_format"].value),
        units={name: unit_of_cores(_unit(name, below, clock), cores) for name, below in tree["unit"].items()},
        memories={memory.name: memory for memory in sorted(memories, key=lambda memory: not memory.off_chip)},
        links={name: _link(name, below, clock) for name, below in tree["link"].items()},
        specials={name: {key: si_value(leaf, clock) for key, leaf in below.items()} for name, below in tree["special"].items()},
        kernel_launch_s=number("fixed.kernel_launch"),
        layer_host_s=number("fixed.layer_host"),
        static_power_w=number("power.static"),
        max_power_w=number("power.max") if "power.max" in single else None,
        area_mm2=number("area") if "area" in single else None,
        leaves=leaves,
        digest=digest(header["name"], leaves),
        cores=cores,
    )


def unit_of_cores(unit: ComputeUnit, cores: int, of: int = 1) -> ComputeUnit:
    """A unit of ``of`` cores as one of ``cores`` cores: rates of all copies together."""
    if cores == of:
        return unit
    rates = {key: rate / of * cores for key, rate in unit.rates.items()}
    return replace(unit, rates=rates, vector_rates={key: rate / of * cores for key, rate in unit.vector_rates.items()})


def memory_of_cores(memory: Memory, cores: int, of: int = 1) -> Memory:
    """An on-chip memory of ``of`` cores as one of ``cores`` cores, each with a copy of its own; an off-chip one as it is."""
    if cores == of or memory.off_chip:
        return memory
    return replace(
        memory,
        size_bytes=memory.size_bytes // of * cores,
        bandwidth_bytes_per_s=memory.bandwidth_bytes_per_s / of * cores,
        banks=memory.banks // of * cores,
        partitions={name: size // of * cores for name, size in memory.partitions.items()},
        partition_bandwidths={name: rate / of * cores for name, rate in memory.partition_bandwidths.items()},
    )


def digest(name: str, leaves: Mapping[str, Leaf]) -> str:
    """sha256 over every leaf's path, value, bounds and source: two specs with the same digest give the same results and intervals."""
    lines = [f"{leaf.path}={leaf.value!r} {leaf.unit} {leaf.low!r} {leaf.high!r} {leaf.source}" for leaf in leaves.values()]
    return hashlib.sha256("\n".join([name, *lines]).encode()).hexdigest()


def _memory(name: str, leaves: Mapping[str, Leaf], clock: float) -> Memory:
    value = {key: si_value(leaf, clock) for key, leaf in leaves.items()}

    def number(key: str, default: float) -> float:
        return float(value.get(key, default))

    parts = {part: int(value[f"{part}.size"]) for part in _PARTITIONS if f"{part}.size" in value}
    prefix = "bandwidth_curve."
    curve = [(read_quantity(key[len(prefix) :], "bytes").value, float(share)) for key, share in value.items() if key.startswith(prefix)]
    read_energy = number("read_energy", 0.0)
    stated = {"read": "read_energy" in value, "write": "read_energy" in value or "write_energy" in value}
    return Memory(
        name=name,
        off_chip=bool(value.get("off_chip", False)),
        size_bytes=sum(parts.values()) if parts else int(value["size"]),
        bandwidth_bytes_per_s=number("bandwidth", 0.0),
        achieved=number("achieved", 1.0),
        bandwidth_curve=tuple(curve),
        latency_s=number("latency", 0.0),
        read_energy_j_per_byte=read_energy,
        write_energy_j_per_byte=number("write_energy", read_energy),
        banks=int(value.get("banks", 1)),
        partitions=parts,
        double_buffered=bool(value.get("double_buffered", True)),
        partition_bandwidths={part: number(f"{part}.bank_bandwidth", 0.0) for part in parts if f"{part}.bank_bandwidth" in value},
        dram=build_dram(leaves, number("bandwidth", 0.0)),
        unpriced=tuple(action for action, known in stated.items() if not known),
    )


def _link(name: str, leaves: Mapping[str, Leaf], clock: float) -> Link:
    value = {key: si_value(leaf, clock) for key, leaf in leaves.items()}
    return Link(
        name, float(value["bandwidth"]), float(value.get("latency", 0.0)), float(value.get("energy", 0.0)), str(value.get("topology", "")),
        bool(value.get("multicast", False)),
    )  # fmt: skip


def _unit(name: str, leaves: Mapping[str, Leaf], base_clock: float) -> ComputeUnit:
    clock = float(leaves["clock"].value) if "clock" in leaves else base_clock
    value = {key: si_value(leaf, clock) for key, leaf in leaves.items()}
    rates: dict[tuple[str, str], float] = {}
    vector_rates: dict[str, float] = {}
    energy: dict[str, float] = {}
    parameters: dict[str, Value] = {}
    for key, entry in value.items():
        head, _, rest = key.partition(".")
        if head == "rates":
            word, _, pattern = rest.partition(".")
            rates[number_format(word).name, pattern] = float(entry)
        elif head == "vector_rates":
            vector_rates[number_format(rest).name] = float(entry)
        elif head == "energy":
            energy[rest] = float(entry)
        elif head not in UNIT_COMMON or head in ("area", "formats"):
            parameters[key] = entry
    kind, count = str(value["kind"]), int(value.get("count", 1))
    for pair, rate in _derived_rates(kind, count, clock, value).items():
        rates.setdefault(pair, rate)
    if kind == "vector":
        for word in words(value.get("formats", "")):
            vector_rates.setdefault(word, count * int(value["lanes"]) * clock)
    if kind == "simd":
        for (word, _), rate in _derived_rates(kind, count, clock, value).items():
            vector_rates.setdefault(word, rate / 2.0)
    fallback = value.get("fallback")
    return ComputeUnit(name, kind, count, clock, rates, vector_rates, energy, str(fallback) if fallback else None, parameters)


def _derived_rates(kind: str, count: int, clock: float, value: Mapping[str, Value]) -> dict[tuple[str, str], float]:
    """Peak of an array: two operations per cell and cycle, for each of its ``formats``; an N:M mode is worth M/N of the dense rate.
    Peak of SIMD cores: two operations per lane and arithmetic instruction. Peak of crossbars: ``hwspecs.crossbar``.
    """
    if kind == "simd":
        width = int(value["vector_bits"]) * float(value["arithmetic_per_cycle"])
        return {(word, "dense"): 2.0 * count * clock * width / number_format(word).bits for word in words(value.get("formats", ""))}
    if kind == "crossbar":
        return peak_rates(value, count, clock)
    if kind not in ("systolic", "sparse_array"):
        return {}
    dense = 2.0 * count * int(value["rows"]) * int(value["columns"]) * clock
    rates: dict[tuple[str, str], float] = {}
    for word in words(value.get("formats", "")):
        rates[word, "dense"] = dense
        for mode in words(value.get("modes", "")):
            kept, _, group = mode.partition(":")
            rates[word, mode] = dense * int(group) / int(kept)
    return rates
