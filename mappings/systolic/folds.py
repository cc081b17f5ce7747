"""Cycles and scratchpad accesses of a systolic array of R rows and C columns, fold by fold.

A product of M x K by K x N is cut into folds of at most R x C of its two spatial dimensions; the third one streams through.
Every fold pays its full fill and drain, and a fold at the edge costs as much as a full one (no pipelining between folds):
the exact counts of SCALE-Sim's demand lines (Samajdar et al., ISPASS 2020), which its reports call cycles, less one.

================== ============ ============ ======== ====================
dataflow           rows hold    columns hold streams  cycles per fold
================== ============ ============ ======== ====================
output-stationary  M            N            K        K + R + C - 2
weight-stationary  K            N            M        M + 2R + C - 2
input-stationary   K            M            N        N + 2R + C - 2
================== ============ ============ ======== ====================
"""

from __future__ import annotations

from dataclasses import dataclass

OUTPUT, WEIGHT, INPUT = "output_stationary", "weight_stationary", "input_stationary"


@dataclass(frozen=True, slots=True)
class Flow:
    """A dataflow: which of ``m``, ``n``, ``k`` lies along the rows, along the columns, and streams.

    ``loads``: an operand is loaded into the array before the others stream through.
    """

    name: str
    rows: str
    columns: str
    time: str
    loads: bool

    def ramp(self, rows: int, columns: int) -> int:
        """Cycles of a fold beyond its streaming: fill and drain, and R more to load the stationary operand."""
        return (2 if self.loads else 1) * rows + columns - 2


FLOWS = {
    OUTPUT: Flow(OUTPUT, "m", "n", "k", False),
    WEIGHT: Flow(WEIGHT, "k", "n", "m", True),
    INPUT: Flow(INPUT, "k", "m", "n", True),
}


@dataclass(frozen=True, slots=True)
class SramCounts:
    """Words that the array reads from and writes to the scratchpad: honest ones, every output once and every partial sum read back."""

    ifmap_reads: int
    filter_reads: int
    ofmap_writes: int
    partial_sum_reads: int


def folds(flow: Flow, m: int, n: int, k: int, rows: int, columns: int) -> int:
    """Number of folds of an M x N x K product."""
    size = {"m": m, "n": n, "k": k}
    return -(-size[flow.rows] // rows) * -(-size[flow.columns] // columns)


def fold_cycles(flow: Flow, m: int, n: int, k: int, rows: int, columns: int) -> int:
    """Cycles of an M x N x K product on one array, all folds one after the other."""
    size = {"m": m, "n": n, "k": k}
    return folds(flow, m, n, k, rows, columns) * (size[flow.time] + flow.ramp(rows, columns))


def sram_counts(flow: Flow, m: int, n: int, k: int, rows: int, columns: int) -> SramCounts:
    """Scratchpad words of an M x N x K product that is not tiled further.

    ======== ================= ================= ============== ======================
    dataflow ifmap reads       filter reads      ofmap writes   partial sums read back
    ======== ================= ================= ============== ======================
    OS       M K ceil(N/C)     K N ceil(M/R)     M N            0
    WS       M K ceil(N/C)     K N               M N ceil(K/R)  M N (ceil(K/R) - 1)
    IS       M K               K N ceil(M/C)     M N ceil(K/R)  M N (ceil(K/R) - 1)
    ======== ================= ================= ============== ======================
    """
    if flow.name == OUTPUT:
        return SramCounts(m * k * -(-n // columns), k * n * -(-m // rows), m * n, 0)
    turns = -(-k // rows)
    if flow.name == WEIGHT:
        return SramCounts(m * k * -(-n // columns), k * n, m * n * turns, m * n * (turns - 1))
    return SramCounts(m * k, k * n * -(-m // columns), m * n * turns, m * n * (turns - 1))
