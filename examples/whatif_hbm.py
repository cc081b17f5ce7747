"""Would faster memory help, and by how much? First which number limits, then the H200's bandwidth on an H100.

python examples/whatif_hbm.py
"""

from __future__ import annotations

import cyclewright as cw


def main() -> None:
    job = {"phase": "decode", "batch": 8, "context": 4096}
    answer = cw.whatif("llama-3-8b", "nvidia-h100-sxm", set=["memory.hbm.bandwidth=4.8 TB/s"], **job)

    print("the numbers of the spec that limit the step most")
    for effect in answer.leaves[:5]:
        print(f"  {effect.leaf.path:<44} {effect.leaf.text:<14} x{effect.best_factor:g} makes it {effect.gain:.2f} times as fast")

    assert answer.changed is not None
    before, after = 1e3 * answer.base.latency_s, 1e3 * answer.changed.latency_s
    print(f"\nwith {answer.overrides[0]}: {before:.2f} ms -> {after:.2f} ms, {before / after:.2f} times as fast")
    print(f"bandwidth grows {4.8 / 3.35:.2f} times; the difference is launches and arithmetic, which memory does not speed up")

    whole = cw.run("llama-3-8b", "nvidia-h200-sxm", **job)
    print(f"the whole H200: {1e3 * whole.latency_s:.2f} ms, bound by {whole.bound_by}")


if __name__ == "__main__":
    main()
