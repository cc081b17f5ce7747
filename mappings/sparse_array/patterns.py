"""Which operand of a product is N:M sparse along the reduction, and the mode of the array that takes its pattern."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwspecs.vocabulary.records import dataclass
from mappings.systolic.problem import Product
from workloads.graph import Operator, Tensor


@dataclass(frozen=True, slots=True)
class Kept:
    """The sparse operand of a product, as the array's mode ``n``:``m`` takes it.

    Attributes:
        operand: ``a`` or ``b``.
        dim: the reduced dimension that its groups lie along; ``extent``: of it, or of all reduced ones together where M divides only these
            (``across``: groups then go on from channel to channel over all taps); ``outer``: the outermost reduced dimension.
        own: the tensor's own pattern, which may keep fewer values than the mode.
    """

    operand: str
    dim: str
    extent: int
    outer: tuple[str, int]
    n: int
    m: int
    own: str
    across: bool = False

    @property
    def mode(self) -> str:
        """The array's mode."""
        return f"{self.n}:{self.m}"

    @property
    def padded(self) -> bool:
        """Whether the last group is filled up."""
        return self.extent % self.m != 0

    @property
    def ratio(self) -> tuple[int, int]:
        """(steps, points): so many steps that so many points of the reduction take; the last group takes as long as a full one."""
        return (-(-self.extent // self.m) * self.n, self.extent) if self.padded else (self.n, self.m)

    @property
    def grain(self) -> tuple[str, int]:
        """The dimension and the points of it that no tile may cut."""
        if self.across:
            return self.outer
        return self.dim, self.extent if self.padded else self.m


def kept_of(product: Product, operator: Operator, tensors: Mapping[str, Tensor], modes: Sequence[tuple[int, int]]) -> Kept | str:
    """The sparse operand of ``product`` that the array can exploit (the second one if both can be); or why there is none, empty if all
    operands are dense.

    A pattern runs in the mode of the smallest share that holds it: n:m fits N:M where m divides M and n M / m <= N.
    """
    reason = ""
    extents = dict(product.dims["k"])
    for word, read in (("b", product.nest.reads[1]), ("a", product.nest.reads[0])):
        tensor = operator.internal.get(read.tensor) or tensors[read.tensor]
        pattern = tensor.sparsity
        if pattern.kind == "dense":
            continue
        if pattern.kind != "nm":
            reason = reason or f"{pattern.pattern} zeros run dense: the array skips N:M patterns only"
            continue
        terms = read.axes[pattern.axis].terms if -len(read.axes) <= pattern.axis < len(read.axes) else ()
        if len(terms) != 1 or terms[0][1] != 1 or terms[0][0] not in extents:
            reason = reason or f"{pattern.pattern} groups that do not lie along the reduction run dense"
            continue
        fitting = [(n / m, n, m) for n, m in modes if m % pattern.m == 0 and pattern.n * m <= n * pattern.m]
        if not fitting:
            shown = ", ".join(f"{n}:{m}" for n, m in modes) or "none"
            reason = reason or f"{pattern.pattern} operands run dense: no mode of the array holds them (it has {shown})"
            continue
        _, n, m = min(fitting)
        extent, reduced = extents[terms[0][0]], product.size("k")
        across = extent % m != 0 and reduced % m == 0
        outer = next((item for item in product.dims["k"] if item[1] > 1), (terms[0][0], extent))
        return Kept(word, terms[0][0], reduced if across else extent, outer, n, m, pattern.pattern, across)
    return reason
