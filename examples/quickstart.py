"""What does a decode step of Llama 3 8B cost on an H100, and why?

python examples/quickstart.py
"""

from __future__ import annotations

import sys

import cyclewright as cw


def main() -> None:
    result = cw.run("llama-3-8b", "nvidia-h100-sxm", phase="decode", batch=8, context=4096, interval=True)
    low, high = result.interval.get("latency_s", (result.latency_s, result.latency_s))
    print(f"{result.model}, batch 8, 4096 positions, on {result.hardware}")
    print(f"  latency     {1e3 * result.latency_s:.2f} ms ({1e3 * low:.2f} to {1e3 * high:.2f} over the assumed numbers of the spec)")
    print(f"  roofline    {1e3 * result.roofline_s:.2f} ms, a lower bound")
    print(f"  bound by    {result.bound_by}")
    print(f"  throughput  {8 / result.latency_s:.0f} tokens/s")
    print(f"  energy      {result.energy_j / 8:.3f} J per token")

    print("\nwhere the time goes")
    for row in sorted(result.operators, key=lambda row: -row.time_s)[:5]:
        print(f"  {row.name:<16} {row.count:>3} times  {100 * row.share:5.1f} %  {row.bound_by}")

    # any of .html .json .csv .svg .png .trace.json
    for path in sys.argv[1:]:
        cw.save(result, path)


if __name__ == "__main__":
    main()
