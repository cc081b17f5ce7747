"""What choosing tokens costs: scores, ranking, and moving or averaging the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hwspecs.vocabulary.formats import number_format
from workloads.graph import Axis, Nest, Operand, Operator, Role, Tensor
from workloads.nests import VECTOR_OPS, axis, plain_axes

_SCALE_AND_ADD = 2


@dataclass(frozen=True, slots=True)
class Rows:
    """The tensor whose tokens become fewer: ``axis`` holds ``batch`` x ``before`` rows (or ``before``, with a batch axis of its own)."""

    tensor: Tensor
    axis: int
    batch: int
    before: int
    after: int

    def operand(self, name: str, tokens: int, *, count: str = "s", offset: int = 0) -> Operand:
        """A read or write of ``tokens`` rows per sequence: token ``count + offset`` of each, all features."""
        axes = []
        for place, size in enumerate(self.tensor.shape):
            if place == self.axis:
                terms = (("b", tokens), (count, 1)) if self.shared else ((count, 1),)
                axes.append(axis(*terms, offset=offset))
            else:
                axes.append(plain_axes(("b",))[0] if not self.shared and size == self.batch and place == 0 else axis((f"e{place}", 1)))
        return Operand(name, tuple(axes))

    @property
    def shared(self) -> bool:
        """Batch and tokens share the axis."""
        return self.tensor.shape[self.axis] == self.batch * self.before

    def dims(self, tokens: int) -> tuple[tuple[str, int], ...]:
        """Loops over ``tokens`` rows of each sequence."""
        features = [
            (f"e{place}", size) for place, size in enumerate(self.tensor.shape)
            if place != self.axis and (self.shared or place != 0 or size != self.batch)
        ]  # fmt: skip
        return (("b", self.batch), ("s", tokens), *features)

    def kept(self, name: str) -> Tensor:
        """The tensor behind the choice."""
        size = self.batch * self.after if self.shared else self.after
        shape = (*self.tensor.shape[: self.axis], size, *self.tensor.shape[self.axis + 1 :])
        return Tensor(name, shape, self.tensor.format, self.tensor.role)


@dataclass(frozen=True, slots=True)
class _Loops:
    """The dimensions of an attention's first nest: queries x keys x features, per sequence and head; ``sequence`` may be missing."""

    query: str
    token: str
    feature: str
    head: str | None
    sequence: str | None

    @classmethod
    def of(cls, attention: Operator, tokens: int, batch: int) -> _Loops:
        """Read from where the dimensions occur."""
        nest = attention.nests[0]
        asking, asked, score = nest.reads[0].dims, nest.reads[1].dims, nest.writes[0].axes
        scored = nest.writes[0].dims
        extents = dict(nest.dims)
        query = [dim for dim in extents if dim in asking and dim not in asked and dim in scored and extents[dim] == tokens]
        query = [dim for dim in query if any(part.terms == ((dim, 1),) for part in score)]
        token = [dim for dim in extents if dim in asked and dim not in asking and dim in scored and extents[dim] == tokens]
        feature = [dim for dim in extents if dim in asked and dim not in scored]
        both = [dim for dim in extents if dim in asked and dim in asking and dim in scored]
        heads = int(attention.attributes["kv_heads"])
        head = next((dim for dim in reversed(both) if extents[dim] == heads), None)
        sequence = next((dim for dim in both if dim != head and extents[dim] == batch), None)
        return cls(query[-1], token[-1], feature[-1], head, sequence)


def merging(rows: Rows, attention: Operator, key: Tensor) -> tuple[list[Operator], list[Tensor]]:
    """Bipartite soft matching of ToMe (Bolya et al., ICLR 2023, arXiv 2210.09461, section 3): keys, averaged over the heads and scaled
    to length 1, stand for tokens; every other token looks for the one most like it among the rest, and the r most alike pairs are
    averaged by size.

    MACs: ceil(n/2) floor(n/2) head_dim per sequence. Vector operations: n heads head_dim (mean) and 3 n head_dim (length), a
    comparison per score, ceil(log2 m) comparisons per candidate of m to rank them, and per value of the rows 1 for its size, 2 for each
    merged row, 4 for the division.
    """
    name, batch, even, odd = rows.tensor.name, rows.batch, -(-rows.before // 2), rows.before // 2
    metric, make_metric = _metric(rows, attention, key)
    scores = Tensor(f"{name}.likeness", (batch, even, odd), key.format)
    chosen = Tensor(f"{name}.pairs", (batch, even), number_format("int32"), Role.INDEX)
    b, d, i, j = plain_axes(("b", "d", "i", "j"))
    pairs = (("b", batch), ("i", even), ("j", odd))
    reads = tuple(Operand(metric.name, (b, along, d)) for along in (axis(("i", 2)), axis(("j", 2), offset=1)))
    product = Nest((*pairs, ("d", metric.shape[2])), "mac", reads, (Operand(scores.name, (b, i, j)),))
    into = (Operand(chosen.name, (b, i)),)
    best = Nest(pairs, "max", (Operand(scores.name, (b, i, j)),), into, 1)
    ranked = Nest(pairs[:2], "max", (Operand(scores.name, (b, i, Axis(()))),), into, _passes(even))
    facts: dict[str, int | float | str | bool] = {"k": rows.before - rows.after, "of": even}
    operators = [
        make_metric,
        Operator(scores.name, "gemm", (metric.name,), (scores.name,), (product,), origin="tome"),
        Operator(chosen.name, "topk", (scores.name,), (chosen.name,), (best, ranked), attributes=facts, origin="tome"),
        _averaged(rows),
    ]
    return operators, [metric, scores, chosen, rows.kept(f"{name}.kept")]


def _metric(rows: Rows, attention: Operator, key: Tensor) -> tuple[Tensor, Operator]:
    """Keys averaged over the heads and scaled to length 1: (batch, tokens, head_dim)."""
    name, batch, count, nest = rows.tensor.name, rows.batch, rows.before, attention.nests[0]
    loops = _Loops.of(attention, count, batch)
    width = dict(nest.dims)[loops.feature]
    mean = Tensor(f"{name}.mean_key", (batch, count, width), key.format)
    metric = replace(mean, name=f"{name}.metric")
    b, s, d = plain_axes(("b", "s", "d"))
    inner = tuple((dim, extent) for dim, extent in nest.dims if dim in nest.reads[1].dims)
    into = Operand(mean.name, plain_axes((loops.sequence, loops.token, loops.feature)))
    averaged = Nest(inner, "add", (nest.reads[1],), (into,), 1)
    scaled = Nest(
        (("b", batch), ("s", count), ("d", width)), "l2norm", (Operand(mean.name, (b, s, d)),), (Operand(metric.name, (b, s, d)),),
        VECTOR_OPS["l2norm"],
    )  # fmt: skip
    made = Operator(
        metric.name, "norm", (key.name,), (metric.name,), (averaged, scaled), {mean.name: mean}, {"norm": "l2norm"}, origin="tome"
    )
    return metric, made


def _averaged(rows: Rows) -> Operator:
    """Rows scaled by their sizes, merged rows added to their partners, sums divided."""
    name, merged = rows.tensor.name, rows.before - rows.after
    kept = rows.kept(f"{name}.kept")
    sums = replace(kept, name=f"{name}.weighted")
    scaled = Nest(rows.dims(rows.after), "mul", (rows.operand(name, rows.before),), (rows.operand(sums.name, rows.after),), 1)
    added = Nest(
        rows.dims(merged),
        "add",
        (rows.operand(name, rows.before, offset=rows.after),),
        (rows.operand(sums.name, rows.after),),
        _SCALE_AND_ADD,
    )
    divided = Nest(
        rows.dims(rows.after), "div", (rows.operand(sums.name, rows.after),), (rows.operand(kept.name, rows.after),), VECTOR_OPS["div"]
    )
    return Operator(
        kept.name,
        "elementwise",
        (name,),
        (kept.name,),
        (scaled, added, divided),
        {sums.name: sums},
        {"function": "merge_tokens"},
        origin="tome",
    )


def pruning(rows: Rows, attention: Operator, query: Tensor, key: Tensor, fuse: bool) -> tuple[list[Operator], list[Tensor]]:
    """Tokens ranked by what the first token pays to them, mean of the heads (Liang et al., EViT, ICLR 2022, arXiv 2202.07800, section 3).

    A fused attention does not keep its probabilities, so the first token's row of them is made once more: heads n head_dim MACs per
    sequence and a softmax. Ranking takes ceil(log2 n) comparisons per token. Kept rows are copied; with ``fuse`` the others are summed by
    their scores, two operations per value, into one more token.
    """
    name, count, batch, nest = rows.tensor.name, rows.before, rows.batch, attention.nests[0]
    loops = _Loops.of(attention, count, batch)
    extents = {dim: extent for dim, extent in nest.dims if dim != loops.query}
    first = tuple(axis(*(term for term in part.terms if term[0] != loops.query), offset=part.offset) for part in nest.reads[0].axes)
    left = tuple(part for part in nest.writes[0].axes if part.terms != ((loops.query, 1),))
    shape = tuple(1 + sum((extents[dim] - 1) * step for dim, step in part.terms) for part in left)
    scores = Tensor(f"{name}.first_row", shape, rows.tensor.format)
    probs = replace(scores, name=f"{name}.first_probs")
    mean = Tensor(f"{name}.mean_probs", (batch, count), rows.tensor.format)
    chosen = Tensor(f"{name}.chosen", (batch, rows.after), number_format("int32"), Role.INDEX)
    product = Nest(tuple(extents.items()), "mac", (Operand(query.name, first), nest.reads[1]), (Operand(scores.name, left),))
    points = tuple((dim, extent) for dim, extent in extents.items() if any(dim == other for part in left for other, _ in part.terms))
    row, weight = Operand(scores.name, left), Operand(probs.name, left)
    softmax = Nest(points, "softmax", (row,), (weight,), VECTOR_OPS["softmax"] + 1)
    averaged = Nest(points, "add", (weight,), (Operand(mean.name, plain_axes((loops.sequence, loops.token))),), 1)
    b, s = plain_axes(("b", "s"))
    into = (Operand(chosen.name, (b, Axis(()))),)
    ranked = Nest((("b", batch), ("s", count)), "max", (Operand(mean.name, (b, s)),), into, _passes(count))
    kept = rows.kept(f"{name}.kept")
    one_query = {query.name: max(1, query.stored_bytes // count)}
    facts: dict[str, int | float | str | bool] = {"k": rows.after, "of": count}
    nests = (softmax, averaged, ranked)
    operators = [
        Operator(scores.name, "gemm", (query.name, key.name), (scores.name,), (product,), read_bytes=one_query, origin="evit"),
        Operator(chosen.name, "topk", (scores.name,), (chosen.name, mean.name), nests, {probs.name: probs}, facts, origin="evit"),
        _gathered(rows, kept, mean if fuse else None),
    ]
    return operators, [scores, chosen, mean, kept]


def _gathered(rows: Rows, kept: Tensor, weights: Tensor | None) -> Operator:
    """Copies the rows that stay; ``weights``: scores by which the others are summed into one row."""
    name = rows.tensor.name
    staying = rows.after - (weights is not None)
    copied = Nest(rows.dims(staying), "copy", (rows.operand(name, rows.before),), (rows.operand(kept.name, rows.after),))
    if weights is None:
        read = -(-rows.tensor.stored_bytes * staying // rows.before)
        facts: dict[str, int | float | str | bool] = {"function": "gather_tokens"}
        return Operator(kept.name, "copy", (name,), (kept.name,), (copied,), attributes=facts, read_bytes={name: read}, origin="evit")
    others = rows.before - staying
    into = rows.operand(kept.name, rows.after, count="s", offset=staying)
    last = Operand(kept.name, tuple(
        axis(*((dim, step) for dim, step in part.terms if dim != "s"), offset=part.offset) for part in into.axes
    ))  # fmt: skip
    b = plain_axes(("b",))[0]
    summed = Nest(
        rows.dims(others), "add",
        (rows.operand(name, rows.before, offset=staying), Operand(weights.name, (b, axis(("s", 1), offset=staying)))), (last,),
        _SCALE_AND_ADD,
    )  # fmt: skip
    return Operator(
        kept.name,
        "elementwise",
        (name, weights.name),
        (kept.name,),
        (copied, summed),
        attributes={"function": "fuse_tokens"},
        origin="evit",
    )


def _passes(count: int) -> int:
    """Comparisons per value to sort ``count`` values: ceil(log2 count)."""
    return max(1, (count - 1).bit_length())
