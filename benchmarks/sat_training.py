"""N:M sparse training on SAT (arXiv 2309.13015): methods and patterns over five networks, and what the assumed numbers of its spec do.

    python benchmarks/sat_training.py                  # networks, methods, units, sensitivity and the extreme corners (1 min)
    python benchmarks/sat_training.py --corners all    # every corner of the numbers that move the mean speed-up (20 min)
    python benchmarks/sat_training.py --layers resnet50 --only resnet50

Each network at batch 512, or at the largest power of two that fits the card's memory. GOPS are operations of the dense step (two per MAC of
FF, BP and WU) per second, so that methods compare; energy is all that the spec counts, static power included. The mean speed-up is that of
the networks' own, as the paper states it. Speed-ups are of one step; how many steps a method needs is not considered.

The box is the product of [low, high] of every assumed number of the spec. One at a time each goes to both ends; then all go, together, to
the ends that alone lower or raise the answer; with ``--corners all`` the answer is the least and largest over all corners.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cyclewright.api import Plan, Prepared, document_of, plan, play, prepare
from cyclewright.interval import assumed_leaves, bounds_of
from cyclewright.passes import busy_of, layers_of, passes_of
from cyclewright.variation import changes_energy_alone, vary
from hwspecs.hardware import Hardware, Leaf
from hwspecs.vocabulary.errors import CyclewrightError
from mappings.fpga import exceeded
from simulator.result import Result
from workloads.training_counts import macs_by_pass, operation_reduction

DEVICE = "xilinx-vcu1525-sat"
HAND = {
    "resnet9-cifar10": (379_261_952, 64 * 27 * 32**2, 0),
    "vgg19-cifar100": (398_182_400, 64 * 27 * 32**2, 0),
    "vit-cifar100": (640_999_424, 64 * 48 * 512, 6 * 2 * 65**2 * 512),
    "resnet18-tiny-imagenet": (148_148_224, 64 * 147 * 32**2, 0),
    "resnet50": (4_089_184_256, 64 * 147 * 112**2, 0),
}
"""Network to forward MACs, those of the first layer, and those of attention's products."""
PASSES = {"dense": 0, "sr-ste": 1, "sdgp": 1, "bdwp": 2}
"""Method to the number of passes that it prunes."""
PATTERNS = ((2, 4), (2, 8), (2, 16))
EARLIER = (
    ("F-CNN, ASAP 2016", "FP32, Maxeler", 62.06, None),
    ("Venkataramanaiah et al., FPL 2019 (arXiv 1908.06724)", "16-bit fixed, Stratix 10 GX", 479.0, None),
    ("EF-Train, 2022 (arXiv 2202.10935)", "FP32, edge FPGA", 46.99, 6.09),
    ("ETA, TNNLS 2023, CIFAR VGG-16", "8 bit, VC709", 610.98, None),
    ("ETA, TNNLS 2023, CIFAR ResNet-20", "8 bit, VC709", 658.64, None),
    ("ETA, TNNLS 2023, ResNet-18", "8 bit, VC709", 811.24, None),
)
"""FPGA accelerators of training: name, format and board, GOPS and GOPS/W as their abstracts state them."""
MOVES = 1e-3
"""Difference of the mean speed-up between both ends from which a number counts as moving it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One training step: ready to run on variations of the device, and as run on its own."""

    prepared: Prepared
    planned: Plan
    result: Result
    operations: int

    @property
    def document(self) -> dict[str, Any]:
        """The stored form of the result."""
        return document_of(self.result)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one point of the box gives, means over the networks.

    Attributes:
        fits: the resource model says that the design fits the FPGA.
        where: what differs from the spec.
    """

    speedup: float
    gops: float
    gops_per_w: float
    fits: bool
    where: str


def step_of(name: str, sparsity: str) -> Step:
    """A step at batch 512, or at the largest power of two that fits."""
    batch = 512
    while True:
        prepared = prepare(name, DEVICE, phase="train", batch=batch, sparsity=sparsity)
        planned = plan(prepared)
        result = play(prepared, planned)
        if result.fits or batch == 1:
            dense = macs_by_pass(prepared.graph)
            return Step(prepared, planned, result, 2 * sum(dense[word].dense for word in ("FF", "BP", "WU")))
        batch //= 2


def by_hand(name: str, method: str, n: int, m: int) -> float:
    """Share of the MACs that a method saves: passes x (F - f - a) (1 - N/M) of 3 F - f; dense stay WU, first layer f, attention a."""
    forward, first, attention = HAND[name]
    return PASSES[method] * (forward - first - attention) * (1 - n / m) / (3 * forward - first)


def ceiling(method: str, n: int, m: int) -> float:
    """Speed-up that no network exceeds: 3 over 1 a dense pass and N/M a pruned one."""
    return 3 / (3 - PASSES[method] * (1 - n / m))


def show_networks(steps: dict[tuple[str, str], Step], names: Sequence[str]) -> None:
    """The methods by network: time by pass, speed-up, energy, operations saved beside the hand count."""
    for name in names:
        dense = steps[name, "dense"]
        batch = dense.prepared.graph.meta["batch"]
        print(f"\n{name}, batch {batch}, peak memory {dense.result.peak_memory_bytes / 1e9:.2f} GB dense")
        print("| method | FF s | BP s | WU s | update s | step s | speed-up | ceiling | MACs saved | by hand | J | GOPS | W | GOPS/W |")
        print("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
        for (model, sparsity), step in steps.items():
            if model != name:
                continue
            method, n, m = read(sparsity)
            spent = {part.name: part.time_s for part in passes_of(step.document)}
            result, gops = step.result, step.operations / step.result.latency_s / 1e9
            watts = result.energy_j / result.latency_s
            cells = [
                sparsity, *(f"{spent.get(word, 0.0):.4g}" for word in ("FF", "BP", "WU", "update")), f"{result.latency_s:.4g}",
                f"{dense.result.latency_s / result.latency_s:.3f}", f"{ceiling(method, n, m):.3f}",
                f"{100 * operation_reduction(step.prepared.graph):.1f} %", f"{100 * by_hand(name, method, n, m):.1f} %",
                f"{result.energy_j:.4g}", f"{gops:.0f}", f"{watts:.2f}", f"{gops / watts:.1f}",
            ]  # fmt: skip
            print("| " + " | ".join(cells) + " |")


def show_units(steps: dict[tuple[str, str], Step], names: Sequence[str]) -> None:
    """How busy array, vector unit, memory port and sorters are, dense and at BDWP 2:8."""
    units = ("stce", "wuve", "ddr", "stce.reduction")
    print("\n| network | method | " + " | ".join(units) + " | products alone, speed-up |\n|---|---|" + "---|" * (len(units) + 1))
    for name in names:
        dense = _busy(steps[name, "dense"])
        for sparsity in ("dense", "bdwp-2:8", "sdgp-2:8"):
            busy = _busy(steps[name, sparsity])
            shares = (f"{100 * busy.get(unit, 0.0) / steps[name, sparsity].result.latency_s:.1f} %" for unit in units)
            print(f"| {name} | {sparsity} | " + " | ".join(shares) + f" | {dense['stce'] / busy['stce']:.3f} |")


def _busy(step: Step) -> dict[str, float]:
    return {unit: spent for unit, spent, _ in busy_of(step.document)}


def show_means(steps: dict[tuple[str, str], Step], names: Sequence[str]) -> None:
    """Means over the networks."""
    print("\n| method | mean speed-up | ceiling | mean operations saved | mean energy, dense = 1 | mean GOPS | mean GOPS/W |")
    print("|---|---|---|---|---|---|---|")
    for sparsity in dict.fromkeys(sparsity for _, sparsity in steps):
        found = [(steps[name, "dense"], steps[name, sparsity]) for name in names]
        faster = mean([dense.result.latency_s / step.result.latency_s for dense, step in found])
        saved = mean([operation_reduction(step.prepared.graph) for _, step in found])
        energy = mean([step.result.energy_j / dense.result.energy_j for dense, step in found])
        gops = mean([step.operations / step.result.latency_s / 1e9 for _, step in found])
        per_watt = mean([step.operations / step.result.energy_j / 1e9 for _, step in found])
        limit = ceiling(*read(sparsity))
        print(f"| {sparsity} | {faster:.3f} | {limit:.3f} | {100 * saved:.1f} % | {energy:.3f} | {gops:.0f} | {per_watt:.1f} |")


def show_layers(dense: Step, sparse: Step) -> None:
    """Seconds of each layer by pass, dense and sparse."""
    print("\n| layer | " + " | ".join(f"{word} dense s | {word} s | x" for word in ("FF", "BP", "WU")) + " |\n|---|" + "---|" * 9)
    after = {layer.name: layer for layer in layers_of(sparse.document)}
    for layer in layers_of(dense.document):
        cells = []
        for word in ("FF", "BP", "WU"):
            pair = layer.time_s.get(word), after[layer.name].time_s.get(word)
            cells += [f"{pair[0]:.4g}", f"{pair[1]:.4g}", f"{pair[0] / pair[1]:.2f}"] if pair[0] and pair[1] else ["", "", ""]
        print(f"| {layer.name} | " + " | ".join(cells) + " |")


class Box:
    """The networks dense and at BDWP 2:8 on variations of the device."""

    def __init__(self, steps: dict[tuple[str, str], Step], names: Sequence[str]) -> None:
        self.pairs = [(steps[name, "dense"], steps[name, "bdwp-2:8"]) for name in names]
        found = {leaf.path: leaf for _, step in self.pairs for leaf in assumed_leaves(step.prepared.hardware, step.result)}
        self.leaves = tuple(found.values())
        self.nominal = self.at(())

    def at(self, changes: Sequence[tuple[Leaf, float | int]]) -> Answer:
        """The answer at one point; what only energies change is played again as it was planned."""
        device = vary(self.pairs[0][0].prepared, [(leaf.path, value) for leaf, value in changes])
        planned = all(changes_energy_alone(leaf) for leaf, _ in changes)
        faster, gops, per_watt = [], [], []
        for dense, sparse in self.pairs:
            base, result = (run_on(step, device, planned) for step in (dense, sparse))
            faster.append(base.latency_s / result.latency_s)
            gops.append(sparse.operations / result.latency_s / 1e9)
            per_watt.append(sparse.operations / result.energy_j / 1e9)
        where = ", ".join(f"{leaf.path} {value:g}" for leaf, value in changes) or "as assumed"
        return Answer(mean(faster), mean(gops), mean(per_watt), not exceeded(device), where)

    def ends(self) -> dict[str, tuple[Answer, Answer]]:
        """Each number alone at its low and at its high."""
        found = {}
        for leaf in self.leaves:
            low, high = bounds_of(leaf)
            found[leaf.path] = self.at([(leaf, low)]), self.at([(leaf, high)])
        return found

    def extremes(self, ends: dict[str, tuple[Answer, Answer]], attribute: str) -> tuple[Answer, Answer]:
        """All numbers together at the ends that alone lower an attribute of the answer, and at those that raise it."""
        low_side, high_side = [], []
        for leaf in self.leaves:
            before, after = (getattr(answer, attribute) for answer in ends[leaf.path])
            if before != after:
                low, high = bounds_of(leaf)
                low_side.append((leaf, low if before < after else high))
                high_side.append((leaf, high if before < after else low))
        return self.at(low_side), self.at(high_side)

    def corners(self, ends: dict[str, tuple[Answer, Answer]]) -> Iterator[Answer]:
        """Every corner of the numbers that move the mean speed-up alone; the others stay."""
        moving = [leaf for leaf in self.leaves if abs(ends[leaf.path][0].speedup - ends[leaf.path][1].speedup) > MOVES]
        print(f"\n{2 ** len(moving)} corners of {', '.join(leaf.path for leaf in moving)}")
        for values in itertools.product(*[bounds_of(leaf) for leaf in moving]):
            yield self.at(list(zip(moving, values, strict=True)))


def run_on(step: Step, device: Hardware, planned: bool) -> Result:
    """A step on another device, mapped anew unless ``planned``."""
    kept = replace(step.planned, mapped=replace(step.planned.mapped, hardware=device)) if planned else None
    return play(step.prepared, kept or plan(step.prepared, device), timeline=False)


def show_box(box: Box, every: bool) -> None:
    """Sensitivity, and the answer over the box."""
    ends = box.ends()
    base = box.nominal
    print("\n| assumed number | low | value | high | speed-up at low | at high | GOPS at low | at high | GOPS/W at low | at high |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    order = sorted(box.leaves, key=lambda leaf: -abs(ends[leaf.path][0].speedup - ends[leaf.path][1].speedup))
    for leaf in order:
        before, after = ends[leaf.path]
        low, high = bounds_of(leaf)
        cells = [leaf.path, f"{low:g}", f"{leaf.value:g}", f"{high:g}", f"{before.speedup:.3f}", f"{after.speedup:.3f}"]
        cells += [f"{before.gops:.0f}", f"{after.gops:.0f}", f"{before.gops_per_w:.1f}", f"{after.gops_per_w:.1f}"]
        print("| " + " | ".join(cells) + " |")
    print(f"\nnominal: speed-up {base.speedup:.3f}, {base.gops:.0f} GOPS, {base.gops_per_w:.1f} GOPS/W; published speed-up 1.75")
    seen = [base, *(answer for pair in ends.values() for answer in pair)]
    show_range("one number at a time", seen)
    for attribute in ("speedup", "gops", "gops_per_w"):
        seen.extend(box.extremes(ends, attribute))
    show_range("and all at the ends that lower or raise the answer", seen)
    if every:
        for place, answer in enumerate(box.corners(ends), 1):
            seen.append(answer)
            if place % 64 == 0:
                print(f"  {place} corners, {time.strftime('%H:%M:%S')}", flush=True)
        show_range("and all corners", seen)


def show_range(title: str, answers: Sequence[Answer]) -> None:
    """Least and largest of each attribute, of all points and of those whose design fits the FPGA."""
    for note, found in (("", answers), (", designs that fit the FPGA", [answer for answer in answers if answer.fits])):
        parts = []
        for attribute, unit, digits in (("speedup", "x", 2), ("gops", " GOPS", 0), ("gops_per_w", " GOPS/W", 1)):
            values = [getattr(answer, attribute) for answer in found]
            parts.append(f"{min(values):.{digits}f} to {max(values):.{digits}f}{unit}")
        print(f"{title}{note} ({len(found)} points): " + ", ".join(parts))
        for word, answer in (("least", min(found, key=_speedup)), ("largest", max(found, key=_speedup))):
            print(f"  {word} speed-up {_speedup(answer):.3f} at {answer.where}")


def _speedup(answer: Answer) -> float:
    return answer.speedup


def show_earlier(steps: dict[tuple[str, str], Step], names: Sequence[str]) -> None:
    """SAT as predicted against what earlier accelerators publish."""
    for sparsity in ("dense", "bdwp-2:8"):
        gops = mean([steps[name, sparsity].operations / steps[name, sparsity].result.latency_s / 1e9 for name in names])
        watt = mean([steps[name, sparsity].operations / steps[name, sparsity].result.energy_j / 1e9 for name in names])
        print(f"\nSAT, {sparsity}, as predicted: {gops:.0f} GOPS, {watt:.1f} GOPS/W")
        print("| accelerator | | GOPS | SAT / it | GOPS/W | SAT / it |\n|---|---|---|---|---|---|")
        for name, board, throughput, efficiency in EARLIER:
            last = f"{efficiency:g} | {watt / efficiency:.2f}" if efficiency else "not found |"
            print(f"| {name} | {board} | {throughput:g} | {gops / throughput:.2f} | {last} |")


def read(sparsity: str) -> tuple[str, int, int]:
    """(method, N, M)."""
    if sparsity == "dense":
        return "dense", 1, 1
    method, _, pattern = sparsity.rpartition("-")
    n, _, m = pattern.partition(":")
    return method, int(n), int(m)


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean."""
    return sum(values) / len(values)


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description="N:M sparse training on SAT")
    parser.add_argument("--only", action="append", choices=list(HAND), help="networks (default: all five)")
    parser.add_argument("--corners", choices=("extreme", "all"), default="extreme", help="corners of the box of assumed numbers")
    parser.add_argument("--layers", choices=list(HAND), help="also the layers of this network, dense and BDWP 2:8")
    asked = parser.parse_args()
    names = asked.only or list(HAND)
    methods = ["dense", *(f"{method}-{n}:{m}" for method in ("sr-ste", "sdgp", "bdwp") for n, m in PATTERNS)]
    try:
        steps = {(name, sparsity): step_of(name, sparsity) for name in names for sparsity in methods}
        show_networks(steps, names)
        show_units(steps, names)
        show_means(steps, names)
        if asked.layers in names:
            show_layers(steps[asked.layers, "dense"], steps[asked.layers, "bdwp-2:8"])
        show_earlier(steps, names)
        show_box(Box(steps, names), asked.corners == "all")
    except CyclewrightError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
