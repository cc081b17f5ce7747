"""Tables of networks on in-memory chips, each from its own spec.

    python benchmarks/crossbar_chips.py             # keyword spotting and characters on the NL-ADC macros and the six chips of their paper
    python benchmarks/crossbar_chips.py --generality  # ResNet-50 ... LSTM-PTB on three kinds of crossbar
    python benchmarks/crossbar_chips.py --nonlinear   # what converters that compute the activation save, by part

The first table stands beside table 1 of Yang et al., Nat. Commun. 16, 2025 (arXiv 2411.18271), whose figures are peaks; these are of the
networks as they run: steps of an LSTM wait for each other, and what does not fit on a chip comes from outside.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

import cyclewright as cw
from hwspecs.hardware import Hardware
from hwspecs.vocabulary.errors import CyclewrightError

SEQUENCES = ("lstm-kws", "lstm-ptb-char")
CHIPS = {  # name: published TOPS, TOPS/W, TOPS/mm2 of the table
    "nl-adc-kws": (0.11, 31.0, 39.48),
    "nl-adc-kws-8bit": (0.02, 4.0, 6.1),
    "conventional-adc-kws": None,
    "nl-adc-nlp": (19.5, 47.9, 27.6),
    "nl-adc-nlp-8bit": (5.5, 7.2, 7.8),
    "conventional-adc-nlp": None,
    "analog-ai-14nm": (23.94, 6.94, 0.17),
    "hermes-64core": (4.9, 1.96, 0.32),
    "thinker": (0.38, 1.28, 0.02),
    "hcgs-lstm": (0.16, 2.45, 0.02),
    "dnpu-rnn": (0.025, 1.1, 0.01),
    "chipmunk": (0.03, 1.11, 0.02),
}
GENERAL = ("resnet50", "mobilenet-v2", "bert-base", "gpt2-small", "lstm-ptb-medium", "lstm-ptb-large", "lstm-ptb-char")
KINDS = ("isaac", "neurosim-rram", "dcim-22nm")
PAIRS = {"lstm-kws": ("nl-adc-kws", "conventional-adc-kws"), "lstm-ptb-char": ("nl-adc-nlp", "conventional-adc-nlp")}
BITS = ("bits_per_cell", "weight_bits", "input_bits", "adc.resolution", "dac.resolution")
TOKENS = {"bert-base": 128, "gpt2-small": 128}


def area_mm2(hardware: Hardware, result: cw.Result) -> float | None:
    """The chip's area as stated, else that of its arrays by components."""
    if hardware.area_mm2:
        return hardware.area_mm2
    found = (result.in_memory or {}).get("area_mm2")
    return sum(found.values()) if isinstance(found, dict) and found else None


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    for line in lines:
        print(
            "  ".join(
                cell.ljust(width) if place == 0 else cell.rjust(width) for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
        )


def chips() -> None:
    """The networks of the NL-ADC paper on its macros and on the six other chips."""
    for network in SEQUENCES:
        rows = []
        for name, published in CHIPS.items():
            hardware = cw.load_hardware(name)
            told = "/".join(f"{value:g}" for value in published) if published else "-"
            try:
                result = cw.run(network, name, schedule="optimal")
            except CyclewrightError as error:
                rows.append((name, *["-"] * 7, told, str(error).split(": ", 3)[-1].splitlines()[0][:60]))
                continue
            off_chip = sum(joules for part, joules in result.energy_by_component.items() if part == hardware.dram.name)
            area = area_mm2(hardware, result)
            operations = 2.0 * result.macs
            inside = result.energy_j - off_chip
            rows.append(
                (
                    name, f"{1e6 * result.latency_s:.4g}", f"{1e6 * result.energy_j:.4g}", f"{off_chip / result.energy_j:.0%}",
                    f"{operations / result.latency_s / 1e12:.3g}", f"{operations / result.energy_j / 1e12:.3g}",
                    f"{operations / inside / 1e12:.3g}" if inside else "-",
                    f"{operations / result.latency_s / 1e12 / area:.3g}" if area else "-", told, "",
                )
            )  # fmt: skip
        print(network)
        table(("chip", "us", "uJ", "off chip", "TOPS", "TOPS/W", "on chip", "TOPS/mm2", "peaks published", ""), rows)
        print()


def generality() -> None:
    """Networks of all kinds on an analog chip with 8-bit converters, one with few bits, and a digital SRAM macro."""
    rows = []
    for network in GENERAL:
        for name in KINDS:
            try:
                result = cw.run(network, name, tokens=TOKENS.get(network))
            except CyclewrightError as error:
                rows.append((network, name, *["-"] * 11, str(error).splitlines()[0][:70]))
                continue
            found: dict[str, Any] = dict(result.in_memory or {})
            share = found.get("adc_share") or {}
            use = f"{found['use']:.0%}" if found["used"] else "-"
            rows.append(
                (
                    network, name, f"{found['used']:,}", f"{found['chips']}", use, f"{1e3 * result.latency_s:.4g}",
                    f"{1e3 * float(found['interval_s']):.4g}", f"{1e3 * result.energy_j:.4g}",
                    *(f"{share[part]:.0%}" if share.get(part) is not None else "-" for part in ("energy", "time", "area")),
                    f"{2 * result.macs / result.energy_j / 1e12:.3g}",
                    f"{found['written_bytes'] / 1e6:.3g}", "",
                )
            )  # fmt: skip
    header = (
        "network",
        "chip",
        "arrays",
        "chips",
        "use",
        "ms",
        "interval",
        "mJ",
        "ADC of energy",
        "time",
        "area",
        "TOPS/W",
        "written MB",
        "",
    )
    table(header, rows)


def nonlinear() -> None:
    """The same arrays with a nonlinear ramp, and with a linear one and sigmoid and tanh on the digital unit: time, energy, area by part."""
    rows = []
    for network, pair in PAIRS.items():
        for bits in (5, 8):
            changes = [f"array.{leaf}={bits}" for leaf in BITS]
            ramp, linear = (cw.run(network, name, overrides=changes, format=f"int{bits}") for name in pair)
            times = [{row.name: row.time_s for row in result.operators} for result in (ramp, linear)]
            areas = [dict((result.in_memory or {})["area_mm2"]) for result in (ramp, linear)]  # type: ignore[call-overload]
            parts = (
                ("us", 1e6, times), ("nJ", 1e9, [ramp.energy_by_component, linear.energy_by_component]), ("mm2", 1.0, areas),
            )  # fmt: skip
            for unit, scale, (one, other) in parts:
                for part in ("", *one, *(part for part in other if part not in one)):
                    found = [sum(side.values()) if not part else side.get(part, 0.0) for side in (one, other)]
                    if not any(found):
                        continue
                    gain = f"{found[1] / found[0]:.3g}" if found[0] else "-"
                    rows.append((network, f"{bits}", unit, part or "all", *(f"{scale * value:.4g}" for value in found), gain))
    table(("network", "bits", "", "part", "nonlinear ramp", "linear ramp", "gain"), rows)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--generality", action="store_const", const=generality, dest="show", default=chips)
    chosen.add_argument("--nonlinear", action="store_const", const=nonlinear, dest="show")
    parser.parse_args().show()


if __name__ == "__main__":
    main()
