"""How fast the tool itself is: new processes beyond Python's own start, and warm calls with nothing cached between them.

    python benchmarks/speed.py

Each figure is the best and the median of several tries. Warm calls run with kernels compiled; the reading of a spec is kept by
the process (it is checked against the file each time), no graph, mapping or result is.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import cyclewright as cw

PROCESSES = {
    "cyclewright --help": ["--help"],
    "cyclewright specs list": ["specs", "list"],
    "cyclewright run resnet50 --hw edge-npu": ["run", "resnet50", "--hw", "edge-npu"],
    "cyclewright run resnet50 --hw nvidia-h100-sxm": ["run", "resnet50", "--hw", "nvidia-h100-sxm"],
}
CALLS = {
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


def process_seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def figures(seconds: list[float]) -> str:
    return f"{1e3 * min(seconds):9.1f} ms best {1e3 * statistics.median(seconds):9.1f} ms median"


def main() -> None:
    bare = min(process_seconds([sys.executable, "-c", "pass"]) for _ in range(5))
    print(f"new processes, beyond Python's own start of {1e3 * bare:.0f} ms")
    for name, arguments in PROCESSES.items():
        command = [sys.executable, "-m", "cyclewright", *arguments]
        process_seconds(command)  # the first one may compile kernels and byte code
        print(f"  {name:<48} {figures([process_seconds(command) - bare for _ in range(5)])}")
    print("warm calls of cyclewright.run")
    for name, (model, hardware, settings) in CALLS.items():
        cw.run(model, hardware, **settings)
        seconds = []
        for _ in range(15):
            start = time.perf_counter()
            result = cw.run(model, hardware, **settings)
            seconds.append(time.perf_counter() - start)
        steps = ", ".join(f"{step} {1e3 * value:.1f}" for step, value in dict(result.meta["timings_s"]).items())
        print(f"  {name:<48} {figures(seconds)}   (last: {steps} ms)")


if __name__ == "__main__":
    main()
