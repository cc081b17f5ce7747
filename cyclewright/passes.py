"""A training step by pass: forward, input gradients, weight gradients, update; by layer; and how busy each unit and memory is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ORDER = ("FF", "recompute", "BP", "WU", "update")
TITLES = {"FF": "forward", "recompute": "recompute", "BP": "input gradients", "WU": "weight gradients", "update": "update", "": "other"}


@dataclass(frozen=True, slots=True)
class PassTotal:
    """All operators of one pass.

    Attributes:
        name: ``FF``, ``BP``, ``WU``, ``update``, ``recompute``; empty for operators that belong to none.
        share: of the whole latency; ``energy_j``: dynamic.
    """

    name: str
    time_s: float
    share: float
    macs: int
    executed_macs: int
    dram_bytes: int
    energy_j: float

    @property
    def title(self) -> str:
        """For tables: ``FF, forward``."""
        meaning = TITLES.get(self.name, "")
        return f"{self.name}, {meaning}" if self.name and meaning not in ("", self.name) else self.name or meaning


def passes_of(document: Mapping[str, Any]) -> tuple[PassTotal, ...]:
    """The passes of a stored run in the order of a step; empty where no operator belongs to one."""
    rows = document["operators"]
    names = {str(row.get("training_pass", "")) for row in rows}
    if names <= {""}:
        return ()
    latency = float(document["latency_s"])
    found = []
    for name in sorted(names, key=lambda one: (ORDER.index(one) if one in ORDER else len(ORDER), one)):
        own = [row for row in rows if str(row.get("training_pass", "")) == name]
        time = sum(float(row["time_s"]) for row in own)
        energy = sum(sum(row["energy_j"].values()) for row in own)
        macs, executed, moved = (sum(int(row[key]) for row in own) for key in ("macs", "executed_macs", "dram_bytes"))
        if time or macs:
            found.append(PassTotal(name, time, time / latency if latency else 0.0, macs, executed, moved, energy))
    return tuple(found)


def memory_of(document: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    """What a training step holds in memory: (name, bytes) of weights, optimizer, gradients, N:M copies and saved activations that are
    not zero; empty for other runs and for results that another program stored."""
    held = document["meta"].get("training_memory") or {}
    names = {
        "weights": "weights", "optimizer": "optimizer", "gradients": "gradients", "copies": "N:M copies",
        "saved_activations": "saved activations",
    }  # fmt: skip
    return tuple([(title, int(held[key])) for key, title in names.items() if held.get(key)])


def busy_of(document: Mapping[str, Any]) -> tuple[tuple[str, float, float], ...]:
    """(unit or memory, busy seconds, share of the latency), the busiest first."""
    latency = float(document["latency_s"])
    named = [(name.partition(":")[2] or name, float(spent)) for name, spent in document["busy"].items()]
    return tuple([(name, spent, spent / latency if latency else 0.0) for name, spent in sorted(named, key=lambda item: -item[1])])


@dataclass(frozen=True, slots=True)
class LayerTotal:
    """The products of one layer in each pass.

    Attributes:
        name: of the layer's product in the forward pass.
        time_s: pass to seconds, with what is fused into its products and all rounds of a repeat; macs: pass to MACs.
    """

    name: str
    time_s: Mapping[str, float]
    macs: Mapping[str, int]


def layers_of(document: Mapping[str, Any]) -> tuple[LayerTotal, ...]:
    """The layers of a stored run of a training step, in the order of the forward pass: what multiplies, and the gradients of it."""
    times: dict[str, dict[str, float]] = {}
    macs: dict[str, dict[str, int]] = {}
    for row in document["operators"]:
        phase = str(row.get("training_pass", ""))
        if phase in ORDER and int(row["macs"]):
            name = str(row["name"]).removeprefix("again.").partition(".gradient.")[0]
            own, count = times.setdefault(name, {}), macs.setdefault(name, {})
            own[phase] = own.get(phase, 0.0) + float(row["time_s"])
            count[phase] = count.get(phase, 0) + int(row["macs"])
    return tuple([LayerTotal(name, own, macs[name]) for name, own in times.items()])
