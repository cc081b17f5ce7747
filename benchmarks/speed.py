"""How fast the tool itself is: new processes beyond Python's own start, and warm calls with nothing cached between them.

    python benchmarks/speed.py

Per line: best and median wall-clock time, and the least processor time (user and system), which other work on the machine
disturbs less. Warm calls run with kernels compiled; the reading of a spec is kept by the process (it is checked against the file
each time), no graph, mapping or result is.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import cyclewright as cw

PROCESSES = {
    "cyclewright --help": ["--help"],
    "cyclewright specs list": ["specs", "list"],
    "cyclewright run resnet50 --hw edge-npu": ["run", "resnet50", "--hw", "edge-npu"],
    "cyclewright run resnet50 --hw nvidia-h100-sxm": ["run", "resnet50", "--hw", "nvidia-h100-sxm"],
}
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ResNet-50, edge-npu": ("resnet50", "edge-npu", {}),
    "ResNet-50, nvidia-h100-sxm": ("resnet50", "nvidia-h100-sxm", {}),
    "Llama-3-70B decode step, nvidia-h100-sxm": ("llama-3-70b", "nvidia-h100-sxm", {"phase": "decode", "batch": 8, "context": 4096}),
    "Llama-3-70B prefill, nvidia-h100-sxm": ("llama-3-70b", "nvidia-h100-sxm", {"phase": "prefill", "tokens": 2048}),
    "Mixtral-8x7B decode step, nvidia-a100-sxm-80gb": (
        "mixtral-8x7b",
        "nvidia-a100-sxm-80gb",
        {"phase": "decode", "batch": 4, "context": 1024},
    ),
}


Times = tuple[float, float]
"""Wall-clock seconds and processor seconds."""


def process_times(command: list[str]) -> Times:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def call_times(model: str, hardware: str, settings: dict[str, Any]) -> Times:
    wall, processor = time.perf_counter(), time.process_time()
    cw.run(model, hardware, **settings)
    return time.perf_counter() - wall, time.process_time() - processor


def figures(times: list[Times], bare: Times = (0.0, 0.0)) -> str:
    walls, processor = ([each[kind] - bare[kind] for each in times] for kind in (0, 1))
    return f"{1e3 * min(walls):8.1f} {1e3 * statistics.median(walls):8.1f} {1e3 * min(processor):8.1f}"


def main() -> None:
    tries = [process_times([sys.executable, "-c", "pass"]) for _ in range(5)]
    bare = min(wall for wall, _ in tries), min(processor for _, processor in tries)
    print(f"milliseconds; Python's own start of {1e3 * bare[0]:.0f} is taken off new processes")
    print(f"{'':<50} {'best':>8} {'median':>8} {'processor':>8}")
    for name, arguments in PROCESSES.items():
        command = [sys.executable, "-m", "cyclewright", *arguments]
        process_times(command)  # the first one may compile kernels and byte code
        print(f"{name:<50} {figures([process_times(command) for _ in range(5)], bare)}")
    for name, call in CALLS.items():
        call_times(*call)
        print(f"{name:<50} {figures([call_times(*call) for _ in range(15)])}")


if __name__ == "__main__":
    main()
