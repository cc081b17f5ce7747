"""An independent oracle for interleaved sums: one cell with a pipelined multiply-accumulate, played cycle by cycle."""

from __future__ import annotations


def cycles(steps: int, sums: int, latency: int) -> int:
    """Cycles until the last of ``sums`` sums of ``steps`` products each is ready; one product starts per cycle, in turn over the sums,
    and only when the sum that it adds to is ready."""
    ready = [0] * sums
    clock = 0
    for _ in range(steps):
        for which in range(sums):
            clock = max(clock, ready[which])
            ready[which] = clock + latency
            clock += 1
    return max(ready)
