"""Two networks on two crossbars each: what they cost, which weights sit where, what the parts take, and when each layer works.

python examples/crossbar_tour.py [FOLDER]

ResNet-50 runs on ISAAC and on a chip of NeuroSim's default parts, with layers side by side; a character LSTM on a macro whose converter
computes the activations, and on its sibling that computes them digitally. With FOLDER, the figures are written there as SVG.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cyclewright as cw
from cyclewright.api import document_of
from cyclewright.arrays import read_arrays
from cyclewright.plots import write_arrays, write_parts, write_pipeline

PAIRS = {"resnet50": ("isaac", "neurosim-rram"), "lstm-ptb-char": ("nl-adc-nlp", "conventional-adc-nlp")}


def main(folder: Path | None = None) -> None:
    for model, devices in PAIRS.items():
        print(model)
        documents = []
        for device in devices:
            result = cw.run(model, device, interval=False)
            show(device, result)
            documents.append(document_of(result))
            if folder is not None:
                write_arrays(documents[-1], folder / f"{model}-{device}-arrays.svg")
                write_pipeline(documents[-1], folder / f"{model}-{device}-layers.svg")
        if folder is not None:
            write_parts(documents, folder / f"{model}-parts.svg")


def show(device: str, result: cw.Result) -> None:
    found = read_arrays(result.in_memory)
    if found is None:
        raise SystemExit(f"{device} is no crossbar")
    share = found.adc_share
    print(f"  {device}: {1e6 * result.latency_s:.4g} us alone, one every {1e6 * found.interval_s:.4g} us; {1e6 * result.energy_j:.4g} uJ")
    print(f"    {found.used:,} of {found.arrays:,} arrays, {100 * found.use:.0f} % of their cells in use")
    print(f"    converters take {100 * share.energy:.0f} % of the energy and {100 * share.area:.0f} % of {found.peak.area_mm2:.3g} mm2")
    for part, joules in sorted(found.energy_j.items(), key=lambda item: -item[1])[:3]:
        print(f"    {part:<16} {1e6 * joules:10.4g} uJ")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
