"""Sparsity patterns of a tensor and what they store besides the values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil, log2

from hwspecs.vocabulary.errors import ArgumentError


@dataclass(frozen=True, slots=True)
class Sparsity:
    """How the zeros of a tensor lie.

    Attributes:
        kind: ``dense``, ``unstructured``, ``block`` or ``nm``.
        density: share of values kept, in (0, 1]; for ``nm`` it is n / m.
        n, m: for ``nm``: n values kept of every m along ``axis``.
        block: for ``block``: rows x columns of a block that is kept or dropped whole.
        axis: for ``nm``: the axis the groups lie along, counted from the end if negative.
    """

    kind: str = "dense"
    density: float = 1.0
    n: int = 0
    m: int = 0
    block: tuple[int, int] = (1, 1)
    axis: int = -1

    @property
    def pattern(self) -> str:
        """Key under which a spec lists rates for this pattern: ``dense``, ``unstructured``, ``block`` or ``N:M``."""
        return f"{self.n}:{self.m}" if self.kind == "nm" else self.kind

    def kept(self, values: int) -> int:
        """Number of values stored of ``values`` dense ones."""
        if self.kind == "nm":
            groups, rest = divmod(values, self.m)
            return groups * self.n + min(rest, self.n)
        if self.kind == "block":
            size = self.block[0] * self.block[1]
            return ceil(ceil(values / size) * self.density) * size
        return values if self.kind == "dense" else ceil(values * self.density)

    def index_bytes(self, values: int) -> int:
        """Bytes of position data: bitmap (unstructured), one index per kept value (N:M) or block (block), whichever the pattern needs."""
        if self.kind == "dense":
            return 0
        if self.kind == "nm":
            return -(-self.kept(values) * max(1, ceil(log2(self.m))) // 8)
        if self.kind == "block":
            size = self.block[0] * self.block[1]
            return -(-ceil(values / size) // 8)
        return -(-values // 8)


DENSE = Sparsity()


def parse_sparsity(text: str) -> Sparsity:
    """``dense``, ``unstructured:0.3`` (density), ``block:4x1:0.3`` or ``2:4`` (N:M).

    Raises:
        ArgumentError: the text is none of these, or N > M, or a density outside (0, 1].
    """
    if text == "dense":
        return DENSE
    if match := re.fullmatch(r"(\d+):(\d+)", text):
        n, m = int(match[1]), int(match[2])
        if not 0 < n <= m:
            raise ArgumentError(f"sparsity {text!r} keeps {n} of {m}", hint="N:M needs 0 < N <= M")
        return Sparsity("nm", n / m, n, m)
    if match := re.fullmatch(r"unstructured:([0-9.]+)", text):
        return Sparsity("unstructured", _density(text, match[1]))
    if match := re.fullmatch(r"block:(\d+)x(\d+):([0-9.]+)", text):
        rows, columns = int(match[1]), int(match[2])
        if rows < 1 or columns < 1:
            raise ArgumentError(f"sparsity {text!r} has an empty block", hint="write block:ROWSxCOLUMNS:DENSITY with sizes of at least 1")
        return Sparsity("block", _density(text, match[3]), block=(rows, columns))
    if re.fullmatch(r"[a-z-]+-\d+:\d+", text):
        hint = f"write {text.rpartition('-')[2]}; methods of training, such as bdwp-2:8, need phase train"
        raise ArgumentError(f"sparsity {text!r} is no pattern", hint=hint)
    raise ArgumentError(f"cannot read sparsity {text!r}", hint="write dense, 2:4, unstructured:DENSITY or block:4x1:DENSITY")


def _density(text: str, number: str) -> float:
    try:
        density = float(number)
    except ValueError:
        density = 0.0
    if not 0.0 < density <= 1.0:
        raise ArgumentError(f"sparsity {text!r} has a density outside (0, 1]", hint="density is the share of values kept")
    return density
