"""Banked DRAMs: the library's parts, put under the memories that name one; from leaves to ``Dram``; what must hold between them.

A part is a file of ``library/dram`` with the groups ``geometry``, ``timing``, ``controller`` and ``command_energy``. A memory with
``part: hbm3`` takes all of them; what the memory states itself goes before the part's. The command clock is not stated: it follows
from the memory's bandwidth, ``bandwidth = channels x bus_bits x bits_per_clock x clock``, so that the cycle rung and the data sheet
can never disagree on the peak. Times become whole clocks by the rounding of JESD79-4: up, forgiving 2.5 % of a clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from math import ceil
from pathlib import Path

from hwspecs.drafting import Draft, located
from hwspecs.drafting import draft as draft_of
from hwspecs.hardware import Dram, Leaf
from hwspecs.reading import read_leaves
from hwspecs.schema import DRAM_FIELDS, DRAM_GROUPS, DRAM_TIMINGS
from hwspecs.vocabulary.errors import SpecError, UnknownNameError
from hwspecs.vocabulary.located_yaml import load_yaml
from hwspecs.vocabulary.suggest import did_you_mean

PARTS = Path(__file__).parent / "library" / "dram"
MAPPING = "row:rank:bank:column:bank_group:channel"
_DEFAULT_CYCLES = {"trtw": 2, "trtrs": 2}
_REQUIRED = ("geometry.channels", "timing.trcd")


@lru_cache(maxsize=1)
def dram_parts() -> dict[str, Path]:
    """Name to file of the library's DRAM parts."""
    return {path.stem: path for path in sorted(PARTS.glob("*.yaml"))}


def expand_parts(whole: Draft, files: list[Path]) -> None:
    """Put each named part's leaves under its memory, behind the memory's own; an unknown part is noted as an error."""
    for path, leaf in list(whole.leaves.items()):
        if len(path) != 3 or path[0] != "memory" or path[2] != "part" or leaf.value.value is None:
            continue
        name = str(leaf.value.value)
        file = dram_parts().get(name)
        if file is None:
            whole.fail(leaf.value.mark, leaf.path, f"unknown DRAM part {name!r}", did_you_mean(name, dram_parts()))
            continue
        files.append(file)
        part = _draft_part(file)
        whole.errors.extend(part.errors)
        for group, mark in part.groups.items():
            whole.groups.setdefault((*path[:2], *group), mark)
        for parts, below in part.leaves.items():
            whole.leaves.setdefault((*path[:2], *parts), replace(below, parts=(*path[:2], *parts)))


def _draft_part(file: Path) -> Draft:
    return draft_of(load_yaml(file, shown=str(file.relative_to(PARTS.parent.parent.parent))))


def swap_part(leaves: dict[str, Leaf], start: str) -> None:
    """Replace what the old part of the memory at ``start`` (``memory.dram.``) gave by what its leaf ``part`` names now.

    Raises:
        UnknownNameError: the library has no such part.
    """
    name = str(leaves[start + "part"].value)
    if name not in dram_parts():
        raise UnknownNameError(f"unknown DRAM part {name!r}", hint=did_you_mean(name, dram_parts()))
    drop_part(leaves, start)
    part = _draft_part(dram_parts()[name])
    below = tuple(start.split(".")[:2])
    moved = {(*below, *parts): replace(leaf, parts=(*below, *parts)) for parts, leaf in part.leaves.items()}
    for path, leaf in read_leaves(Draft(part.root, leaves=moved))[0].items():
        leaves.setdefault(path, leaf)


def drop_part(leaves: dict[str, Leaf], start: str) -> None:
    """Remove what the part of the memory at ``start`` (``memory.dram.``) gave; what the spec states itself stays."""
    shown = str(PARTS.relative_to(PARTS.parent.parent.parent))
    for path in [path for path, leaf in leaves.items() if path.startswith(start) and leaf.where.startswith(shown)]:
        del leaves[path]


def is_dram_leaf(path: str) -> bool:
    """The leaf is read by the cycle rung alone."""
    parts = path.split(".")
    return len(parts) > 2 and parts[0] == "memory" and (parts[2] in DRAM_GROUPS or parts[2] in ("part", "part_count"))


def build_dram(leaves: Mapping[str, Leaf], bandwidth_bytes_per_s: float) -> Dram | None:
    """The ``Dram`` of a memory's leaves (paths below the memory); None where they do not describe one."""
    if not all(key in leaves for key in _REQUIRED):
        return None

    def whole(key: str, default: int = 1) -> int:
        return int(leaves[key].value) if key in leaves else default

    channels = whole("geometry.channels") * whole("part_count")
    bus, per_clock = whole("geometry.bus_bits"), whole("geometry.bits_per_clock")
    burst = bus * whole("geometry.burst_length") // 8
    clock = bandwidth_bytes_per_s * 8 / (channels * bus * per_clock)
    timing = {key: cycles(leaves[f"timing.{key}"], clock) for key in DRAM_TIMINGS if f"timing.{key}" in leaves}
    for key, count in _DEFAULT_CYCLES.items():
        timing.setdefault(key, count)
    timing.setdefault("trcdwr", timing["trcd"])
    energy = {
        key: float(leaves[f"command_energy.{key}"].value)
        for key in ("activate", "read", "write", "refresh")
        if f"command_energy.{key}" in leaves
    }
    return Dram(
        part=str(leaves["part"].value) if "part" in leaves else "",
        channels=channels,
        ranks=whole("geometry.ranks"),
        bank_groups=whole("geometry.bank_groups"),
        banks_per_group=whole("geometry.banks_per_group"),
        row_bytes=whole("geometry.row_bytes"),
        bus_bits=bus,
        burst_length=whole("geometry.burst_length"),
        bits_per_clock=per_clock,
        clock_hz=clock,
        rated_bits_per_s=8 * float(leaves["geometry.data_rate"].value) if "geometry.data_rate" in leaves else 0.0,
        timing=timing,
        mapping=tuple(str(leaves["controller.mapping"].value if "controller.mapping" in leaves else MAPPING).split(":")),
        interleave_bytes=whole("controller.interleave", burst),
        window=whole("controller.window", 32),
        refresh=str(leaves["controller.refresh"].value) if "controller.refresh" in leaves else "all_bank",
        energy_j=energy,
    )


def cycles(leaf: Leaf, clock_hz: float) -> int:
    """Whole command clocks of a time, at least 1: ceil(time / clock period - 0.025), JESD79-4 section 13.5 (rounding algorithms)."""
    count = float(leaf.value) if leaf.unit == "cycle" else float(leaf.value) * clock_hz
    return max(1, ceil(count - 0.025))


def check_dram(leaves: Mapping[str, Leaf], start: str) -> Iterator[SpecError]:
    """Faults between the DRAM leaves of the memory at ``start`` (``memory.dram.``)."""
    own = {path[len(start) :]: leaf for path, leaf in leaves.items() if path.startswith(start)}
    for one, other in (("geometry", "timing"), ("timing", "geometry")):
        first = next((leaf for path, leaf in own.items() if path.startswith(one + ".")), None)
        if first is not None and not any(path.startswith(other + ".") for path in own):
            yield located(first.where, f"{start}{other}", f"missing beside {one}", "give both, or name a part")
            return
    if not all(key in own for key in _REQUIRED) or "bandwidth" not in own:
        return
    dram = build_dram(own, _bandwidth(own["bandwidth"], leaves))
    assert dram is not None
    geometry = own["geometry.burst_length"].where
    if dram.burst_length % dram.bits_per_clock or (dram.bus_bits * dram.burst_length) % 8:
        yield located(
            geometry, f"{start}geometry.burst_length", "is no whole number of clocks and bytes", "it is a multiple of bits_per_clock"
        )
    elif dram.row_bytes % dram.burst_bytes:
        yield located(
            own["geometry.row_bytes"].where,
            f"{start}geometry.row_bytes",
            "is no whole number of bursts",
            f"one burst is {dram.burst_bytes} bytes",
        )
    elif dram.row_bytes % dram.interleave_bytes or dram.interleave_bytes % dram.burst_bytes:
        where = own.get("controller.interleave", own["geometry.row_bytes"]).where
        yield located(
            where, f"{start}controller.interleave", "does not divide a row into whole bursts", f"a multiple of {dram.burst_bytes} bytes"
        )
    if sorted(dram.mapping) != sorted(DRAM_FIELDS) or dram.mapping[0] != "row":
        hint = f"name each of {', '.join(DRAM_FIELDS)} once, joined by colons, row first"
        yield located(own["controller.mapping"].where, f"{start}controller.mapping", f"cannot read {':'.join(dram.mapping)!r}", hint)
    if dram.refresh == "per_bank" and "trfc_pb" not in dram.timing:
        yield located(
            own["controller.refresh"].where, f"{start}timing.trfc_pb", "missing for refresh bank by bank", "give the time one bank takes"
        )
    t = dram.timing
    longest = (
        max(t["trfc"], t.get("trfc_pb", 0))
        + t["tras"]
        + 2 * t["trp"]
        + t["trcd"]
        + t["twr"]
        + t["tcwl"]
        + t["tfaw"]
        + 2 * dram.burst_cycles
    )
    if dram.refresh != "none" and t["trefi"] <= longest:
        yield located(
            own["timing.trefi"].where,
            f"{start}timing.trefi",
            "leaves no time between two refreshes",
            "it is the average interval, such as 7.8 us",
        )


def _bandwidth(leaf: Leaf, leaves: Mapping[str, Leaf]) -> float:
    value = float(leaf.value)
    return value * float(leaves["clock"].value) if leaf.unit == "byte/cycle" else value
