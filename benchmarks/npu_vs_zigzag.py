"""ZigZag 3.9.1 and cyclewright on AlexNet's layers, in one go: latency and energy side by side, and the ratio of CPU times.

    python benchmarks/npu_vs_zigzag.py    # two to four minutes, nearly all of it ZigZag's

ZigZag is installed from PyPI in an environment of its own (``--venv``, a temporary one by default), with ``six``, which it does not ask
for. It maps its own ``alexnet.onnx`` on its own ``tpu_like`` accelerator; ours runs the same eight layers, one by one, on
``zigzag-tpu-like.yaml``, which restates that accelerator.

Then our engine is given ZigZag's counts: accesses of each memory and multiplications, at prices that must be those of the spec. If its
energy differs from ZigZag's by more than rounding, or the layers are not the same, the benchmark stops.

CPU seconds of ZigZag: the whole call of its API, that is search and evaluation of mappings. Ours: the whole ``cyclewright.run`` of each
layer, with kernels compiled and nothing kept between calls but the reading of the spec; the median of five.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from math import isclose
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cyclewright as cw
from benchmarks.environments import environment
from benchmarks.zigzag_counts import Layer, layer_of, play
from hwspecs.hardware import Hardware
from hwspecs.loading import load_hardware

HERE = Path(__file__).parent
SPEC = HERE / "zigzag-tpu-like.yaml"
PACKAGES = ("zigzag-dse==3.9.1", "six")
ACCELERATOR = MAPPING = "tpu_like"
REGISTERS = ("rf_2B", "rf_128B")
SRAM = "sram_2MB"
PORT_BYTES = 8
LAYERS = {
    "Op0": "conv:N1xC3xH224xW224,K96,R11,S4",
    "Op4": "conv:N1xC96xH26xW26,K256,R5,P2,G2",
    "Op8": "conv:N1xC256xH12xW12,K384,R3,P1",
    "Op10": "conv:N1xC384xH12xW12,K384,R3,P1,G2",
    "Op12": "conv:N1xC384xH12xW12,K256,R3,P1,G2",
    "Op16": "gemm:1x4096x9216",
    "Op19": "gemm:1x4096x4096",
    "Op22": "gemm:1x1000x4096",
}


def zigzag(python: Path, lpf_limit: int) -> tuple[list[Layer], float]:
    """ZigZag's layers, and its CPU seconds."""
    task = json.dumps({"accelerator": ACCELERATOR, "mapping": MAPPING, "lpf_limit": lpf_limit})
    done = subprocess.run([python, "-I", HERE / "zigzag_driver.py"], input=task, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"ZigZag failed:\n{done.stderr[-2000:]}")
    told = json.loads(done.stdout)
    return [layer_of(row) for row in told["layers"]], told["cpu_s"]


def ours(model: str, tries: int = 5) -> tuple[cw.Result, float]:
    """The result and the median of the CPU seconds of ``tries`` whole runs; one more before them compiles the kernels."""
    seconds = []
    for _ in range(tries + 1):
        start = time.process_time()
        result = cw.run(model, SPEC)
        seconds.append(time.process_time() - start)
    return result, statistics.median(seconds[1:])


def repriced(layer: Layer, hardware: Hardware) -> cw.Result:
    """ZigZag's counts played by our engine; stops where the energy is not ZigZag's."""
    result = play(layer, hardware)
    if not isclose(result.energy_j, layer.energy_pj * 1e-12, rel_tol=1e-12):
        sys.exit(f"{layer.name}: our engine prices ZigZag's counts at {result.energy_j * 1e12!r} pJ, ZigZag at {layer.energy_pj!r}")
    return result


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def latency_table(theirs: list[Layer], counted: list[cw.Result], results: list[cw.Result]) -> None:
    columns = ["layer", "ZigZag, cycles", "its loops", "stalls", "load, unload, drain", "its words on the port"]
    columns += ["ours, cycles", "array", "port", "ours / ZigZag"]
    rows = []
    for layer, played, result in zip(theirs, counted, results, strict=True):
        ends = layer.onload_cycles + layer.offload_cycles + layer.drain_cycles
        parts = result.operators[0].breakdown
        port = sum(played.bytes_by_memory["dram"]) // PORT_BYTES
        cycles = (
            layer.latency_cycles,
            layer.array_cycles,
            layer.stall_cycles,
            ends,
            port,
            result.cycles,
            parts["array"],
            parts["memory dram"],
        )
        rows.append([layer.name, *(f"{item:,.0f}" for item in cycles), f"{result.cycles / layer.latency_cycles:.3f}"])
    both = sum(layer.latency_cycles for layer in theirs), sum(result.cycles for result in results)
    rows.append(["all", f"{both[0]:,.0f}", "", "", "", "", f"{both[1]:,}", "", "", f"{both[1] / both[0]:.3f}"])
    table(columns, rows)


def energy_table(theirs: list[Layer], counted: list[cw.Result], results: list[cw.Result]) -> None:
    columns = ["layer", "ZigZag, uJ", "MAC", "registers", "SRAM", "DRAM", "its counts in our engine", "difference"]
    columns += ["ours, uJ", "MAC", "SRAM", "DRAM", "ours / ZigZag"]
    rows = []
    for layer, played, result in zip(theirs, counted, results, strict=True):
        energy_j = layer.energy_pj * 1e-12
        split = (layer.energy_pj, layer.macs * layer.mac_pj, *(layer.component_pj(names) for names in (REGISTERS, (SRAM,), ("dram",))))
        own = (result.energy_j, *(result.energy_by_component.get(name, 0.0) for name in ("array.mac", SRAM, "dram")))
        energies = [*(item / 1e6 for item in split), played.energy_j * 1e6, *(item * 1e6 for item in own)]
        shown = [f"{item:.1f}" for item in energies]
        shown.insert(len(split) + 1, f"{abs(played.energy_j / energy_j - 1):.0e}")
        rows.append([layer.name, *shown, f"{result.energy_j / energy_j:.3f}"])
    both = sum(layer.energy_pj for layer in theirs) / 1e6, sum(result.energy_j for result in results) * 1e6
    again = sum(result.energy_j for result in counted) * 1e6
    rows.append(["all", f"{both[0]:.1f}", "", "", "", "", f"{again:.1f}", "", f"{both[1]:.1f}", "", "", "", f"{both[1] / both[0]:.3f}"])
    table(columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, help="environment to install ZigZag in, or to find it in")
    parser.add_argument("--lpf-limit", type=int, default=6, help="ZigZag's lpf_limit, the size of its search; 6 is its own default")
    options = parser.parse_args()
    hardware = load_hardware(str(SPEC))
    with tempfile.TemporaryDirectory() as temporary:
        theirs, theirs_s = zigzag(environment(options.venv or Path(temporary), PACKAGES), options.lpf_limit)
    if [layer.name for layer in theirs] != list(LAYERS):
        sys.exit(f"ZigZag's layers are {', '.join(layer.name for layer in theirs)}")
    counted = [repriced(layer, hardware) for layer in theirs]
    runs = [ours(model) for model in LAYERS.values()]
    results = [result for result, _ in runs]
    for layer, result in zip(theirs, results, strict=True):
        if layer.macs != result.macs:
            sys.exit(f"{layer.name}: ZigZag counts {layer.macs} multiplications, ours {result.macs}")
    latency_table(theirs, counted, results)
    energy_table(theirs, counted, results)
    ours_s = sum(seconds for _, seconds in runs)
    print(
        f"\nCPU: ZigZag {theirs_s:.1f} s (lpf_limit {options.lpf_limit}); ours {ours_s * 1e3:.1f} ms, {theirs_s / ours_s:,.0f} times less"
    )


if __name__ == "__main__":
    main()
