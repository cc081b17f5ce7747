"""Energy and time of liquid state machines on a 40 nm RRAM macro against an RTX 3090 Ti, over the box of what is assumed of either.

    python benchmarks/lsm.py                  # about half a minute

docs/liquid-state-machines.md lists the assumptions and says what the readings are. Published: 23.34 and 160 times (arXiv 2307.00771).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cyclewright as cw
from workloads.graph import OperatorGraph
from workloads.zoo.lsm import MACHINES, Machine, lsm

MACRO, GPU = "lsm-40nm", "nvidia-rtx-3090-ti"
BATCH = 1000
BOARD_W, PEAK = 450.0, 40e12
DENSITIES = ((0.02, 1e-4), (0.2, 0.2))
"""(input, spike) densities at either end of the box."""
NETWORKS = {"lsm-nmnist": 2, "lsm-ntidigits": 2, "lsm-zero-shot": 2, "lsm-eeg-emnist": 88}
"""Name to macros: two as the spec has it; the reservoirs of 2048 neurons take 40 and 48 of 512 x 512."""


@dataclass(frozen=True, slots=True)
class Span:
    """A value as the specs state it, and its ends over the box of assumptions."""

    value: float
    low: float
    high: float

    def over(self, other: Span) -> Span:
        """The quotient over both boxes."""
        return Span(self.value / other.value, self.low / other.high, self.high / other.low)

    def text(self, digits: int = 3) -> str:
        """``value (low to high)``."""
        return f"{self.value:.{digits}g} ({self.low:.{digits}g} to {self.high:.{digits}g})"


def graph(name: str, format: str, batch: int = 1, densities: tuple[float, float] | None = None) -> OperatorGraph:
    """A network, with other densities if asked."""
    machine = MACHINES[name]
    if densities is not None:
        entering, own = densities
        changed = {key: replace(item, input_density=entering, spike_density=own) for key, item in machine.reservoirs.items()}
        machine = Machine(changed, machine.outputs)
    return lsm(name, machine, batch, format)


def on_macro(name: str) -> tuple[cw.Result, Span, Span]:
    """(the run as stated, joules, seconds) of one inference on the macro; the spans are over spec and densities."""
    overrides = [f"array.count={NETWORKS[name]}"]
    runs = [cw.run(graph(name, "int8", densities=item), MACRO, overrides=overrides, interval=True) for item in (None, *DENSITIES)]
    stated = runs[0]
    spans = []
    for metric in ("energy_j", "latency_s"):
        bounds = [run.interval[metric] for run in runs]
        spans.append(Span(getattr(stated, metric), min(low for low, _ in bounds), max(high for _, high in bounds)))
    return stated, spans[0], spans[1]


def on_gpu(name: str) -> tuple[dict[str, Span], Span]:
    """(joules of one inference by reading, seconds) on the GPU."""
    one = cw.run(graph(name, "fp32"), GPU, interval=True)
    many = cw.run(graph(name, "fp32", BATCH), GPU, interval=True)
    work = {"static": 0.0, "operations": 0.0, "memory": 0.0}
    for part, joules in one.energy_by_component.items():
        work["static" if part == "static" else "operations" if part.startswith("sm.") else "memory"] += joules
    low, high = (share / one.energy_j for share in one.interval["energy_j"])
    operations = 2.0 * one.macs + one.vector_ops
    data_sheet = operations * BOARD_W / PEAK
    energies = {
        "power / peak": Span(data_sheet, data_sheet, data_sheet),
        "operations": Span(work["operations"], 0.5 * work["operations"], 1.8 * work["operations"]),  # the bounds that the spec states
        "dynamic": Span(*(share * (work["operations"] + work["memory"]) for share in (1.0, 0.5, 1.8))),
        "board": Span(one.energy_j, low * one.energy_j, high * one.energy_j),
        f"board, batch {BATCH}": Span(many.energy_j / BATCH, *(joules / BATCH for joules in many.interval["energy_j"])),
    }
    return energies, Span(one.latency_s, *one.interval["latency_s"])


def main() -> None:
    """Print both sides and their ratios."""
    for name in NETWORKS:
        stated, energy, seconds = on_macro(name)
        digital, gpu_seconds = on_gpu(name)
        print(f"{name}: {stated.macs:,} MACs, {NETWORKS[name]} macros")
        print(f"  macro  {1e6 * energy.value:.4g} uJ ({1e6 * energy.low:.3g} to {1e6 * energy.high:.3g}), {1e6 * seconds.value:.4g} us")
        for part, joules in sorted(stated.energy_by_component.items(), key=lambda item: -item[1]):
            print(f"    {part:24} {1e6 * joules:10.4g} uJ  {joules / stated.energy_j:6.1%}")
        print(f"  GPU    {1e6 * gpu_seconds.value:.4g} us; time ratio {gpu_seconds.over(seconds).text()}")
        arrays = sum(joules for part, joules in stated.energy_by_component.items() if part.startswith("array."))
        for reading, joules_of in digital.items():
            ratio, alone = joules_of.over(energy), joules_of.value / arrays
            print(f"    {reading:18} {1e6 * joules_of.value:10.4g} uJ   ratio {ratio.text():36} to arrays alone {alone:.4g}")
    print("published: 23.34 and 160 (161) times")


if __name__ == "__main__":
    main()
