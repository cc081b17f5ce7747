"""SCALE-Sim 3.0.0 and cyclewright on the same layers, in one go: cycles side by side and the ratio of CPU times.

    python benchmarks/npu_vs_scalesim.py            # about fifteen minutes, nearly all of it SCALE-Sim's
    python benchmarks/npu_vs_scalesim.py --quick    # one minute

SCALE-Sim is installed from PyPI in an environment of its own (``--venv``, a temporary one by default), with ``numpy<2.4``, which it needs.
Arrays of 128 x 128, scratchpads of 64 KiB, 10 words per cycle. Layers: SCALE-Sim's files of ResNet-18 (21 layers) in its estimated
bandwidth mode (calc) and of ViT-S (5 layers) with given bandwidths (user), each under three dataflows. Every count must be equal, or the
benchmark stops.

CPU seconds of SCALE-Sim: building the demand matrices and walking them. Ours: the whole ``cyclewright.run`` from the topology file on, per
file and dataflow, with kernels compiled and nothing kept between calls but the reading of the spec; the median of five.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cyclewright as cw
from benchmarks.environments import environment

ROWS = COLUMNS = 128
DATAFLOWS = ("os", "ws", "is")
PACKAGES = ("scalesim==3.0.0", "numpy<2.4", "setuptools<81")
CONV_HEADER = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"
RESNET18 = {
    "Conv1": (224, 224, 7, 7, 3, 64, 2),
    **dict.fromkeys(("Conv2_1a", "Conv2_1b", "Conv2_2a", "Conv2_2b"), (56, 56, 3, 3, 64, 64, 1)),
    "Conv3_1a": (56, 56, 3, 3, 64, 128, 2),
    "Conv3_s": (56, 56, 1, 1, 64, 128, 2),
    **dict.fromkeys(("Conv3_1b", "Conv3_2a", "Conv3_2b"), (28, 28, 3, 3, 128, 128, 1)),
    "Conv4_1a": (28, 28, 3, 3, 128, 256, 2),
    "Conv4_s": (28, 28, 1, 1, 128, 256, 2),
    **dict.fromkeys(("Conv4_1b", "Conv4_2a", "Conv4_2b"), (14, 14, 3, 3, 256, 256, 1)),
    "Conv5_1a": (14, 14, 3, 3, 256, 512, 2),
    "Conv5_s": (14, 14, 1, 1, 256, 512, 2),
    **dict.fromkeys(("Conv5_1b", "Conv5_2a", "Conv5_2b"), (7, 7, 3, 3, 512, 512, 1)),
    "FC": (1, 1, 1, 1, 512, 1000, 1),
}
VIT_S = {"L0": (196, 192, 384), "L1": (196, 1176, 64), "L2": (196, 64, 1176), "L3": (196, 1536, 384), "L4": (196, 384, 1536)}
CONFIGURATION = """[general]
run_name = benchmark
[architecture_presets]
ArrayHeight: {rows}
ArrayWidth: {cols}
IfmapSramSzkB: 64
FilterSramSzkB: 64
OfmapSramSzkB: 64
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Dataflow: {dataflow}
Bandwidth: 10
ReadRequestBuffer: 32
WriteRequestBuffer: 32
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
SparseRep: ellpack_block
OptimizedMapping: false
BlockSize: 8
RandomNumberGeneratorSeed: 40
[run_presets]
InterfaceBandwidth: {mode}
UseRamulatorTrace: False
"""


def conv_line(layer: Sequence[int]) -> list[int]:
    """A layer as SCALE-Sim keeps it: input, window, channels, filters, both strides."""
    if len(layer) == 3:
        m, n, k = layer
        return [m, k, 1, k, 1, n, 1, 1]
    return [*layer, layer[-1]]


def scalesim(python: Path, cases: list[dict[str, object]]) -> list[dict[str, float]]:
    driver = Path(__file__).with_name("scalesim_driver.py")
    task = json.dumps({"config": CONFIGURATION, "cases": cases})
    done = subprocess.run([python, "-I", driver], input=task, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"SCALE-Sim failed:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def topology(path: Path, layers: dict[str, tuple[int, ...]]) -> Path:
    header = "Layer, M, N, K," if len(next(iter(layers.values()))) == 3 else CONV_HEADER
    path.write_text("\n".join([header, *(f"{name}, {', '.join(map(str, sizes))}," for name, sizes in layers.items())]) + "\n")
    return path


def ours(path: Path, dataflow: str, accounting: str | None, tries: int = 5) -> tuple[cw.Result, float]:
    """The result and the median of the CPU seconds of ``tries`` whole runs; one more before them compiles the kernels."""
    overrides = [f"array.rows={ROWS}", f"array.columns={COLUMNS}", f"array.dataflow={dataflow}"]
    seconds = []
    for _ in range(tries + 1):
        start = time.process_time()
        result = cw.run(path, "systolic-array", overrides=overrides, accounting=accounting)
        seconds.append(time.process_time() - start)
    return result, statistics.median(seconds[1:])


def compare(python: Path, folder: Path, name: str, layers: dict[str, tuple[int, ...]], mode: str) -> tuple[float, float, float]:
    """Print one table; returns CPU seconds of SCALE-Sim, of ours with its accounting, of ours without."""
    path = topology(folder / f"{name}.csv", layers)
    theirs_s = compatible_s = default_s = 0.0
    print(f"\n{name}, {mode}, {ROWS} x {COLUMNS}\n")
    print("| layer | dataflow | SCALE-Sim, cycles | compatible | default | default on | SCALE-Sim, CPU s |")
    print("|---|---|---|---|---|---|---|")
    for dataflow in DATAFLOWS:
        fixed = {"rows": ROWS, "cols": COLUMNS, "dataflow": dataflow, "mode": mode.upper()}
        theirs = scalesim(python, [{**fixed, "layer": conv_line(sizes)} for sizes in layers.values()])
        result, seconds = ours(path, dataflow, f"scalesim:{mode}")
        default_s += ours(path, dataflow, None)[1]
        compatible_s += seconds
        assert result.scalesim is not None
        for row, counted, operator in zip(theirs, result.scalesim["layers"], result.operators, strict=True):  # type: ignore[call-overload]
            theirs_s += row["cpu_s"]
            different = {key: (row[key], counted[key]) for key in row if key != "cpu_s" and row[key] != counted[key]}
            if different:
                sys.exit(f"{counted['name']} {dataflow}: counts differ: {different}")
            cycles = round((operator.end_s - operator.start_s) * result.clock_hz)
            print(
                f"| {counted['name']} | {dataflow} | {row['total_cycles']:,} | {counted['total_cycles']:,} | {cycles:,} | {operator.unit} "
                f"| {row['cpu_s']:.1f} |",
                flush=True,
            )
    print(f"\nCPU: SCALE-Sim {theirs_s:.1f} s; compatible {compatible_s * 1e3:.1f} ms, {theirs_s / compatible_s:,.0f} times less; ", end="")
    print(f"default {default_s * 1e3:.1f} ms, {theirs_s / default_s:,.0f} times less")
    return theirs_s, compatible_s, default_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, help="environment to install SCALE-Sim in, or to find it in")
    parser.add_argument("--quick", action="store_true", help="a few light layers only")
    options = parser.parse_args()
    convolutions = {name: RESNET18[name] for name in ("Conv3_s", "Conv5_s", "FC")} if options.quick else RESNET18
    products = {"L1": VIT_S["L1"]} if options.quick else VIT_S
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        python = environment(options.venv or folder / "venv", PACKAGES)
        parts = [compare(python, folder, "ResNet-18", convolutions, "calc"), compare(python, folder, "ViT-S", products, "user")]
    theirs_s, compatible_s, default_s = (sum(part[place] for part in parts) for place in range(3))
    print(f"\nAll layers: SCALE-Sim {theirs_s:.1f} CPU s. Compatible: {theirs_s / compatible_s:,.0f} times less (asked: 200). ", end="")
    print(f"Default: {theirs_s / default_s:,.0f} times less (asked: 10,000).")


if __name__ == "__main__":
    main()
