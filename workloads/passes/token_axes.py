"""Which axes of a tensor count tokens, and operators with fewer of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from hwspecs.vocabulary.errors import UnsupportedError
from workloads.graph import Axis, Nest, Operand, Operator, Tensor
from workloads.nests import axis

Marks = Mapping[int, int]
"""Axis to the sequences that share it with the tokens: 1 for an axis of tokens alone, the batch for rows of batch x tokens."""


@dataclass(frozen=True, slots=True)
class Count:
    """Tokens of a sequence in the graph as it was and as it will be."""

    before: int
    after: int


def query_marks(operator: Operator) -> tuple[int, dict[int, int]]:
    """Tokens that an ``attention`` operator has, and the marks of its output.

    Raises:
        UnsupportedError: its queries and keys are not the same tokens.
    """
    queries, keys = int(operator.attributes.get("queries", 0)), int(operator.attributes.get("keys", 0))
    if queries < 2 or queries != keys:
        what = f"has {queries} queries and {keys} keys, so no token can be left out of both"
        raise refusal(operator, what, "reduce tokens in encode or prefill, without a cached context")
    nest = [nest for nest in operator.nests if nest.function == "mac"][-1]
    extents, keyed = dict(nest.dims), {dim for operand in nest.reads[1:] for dim in operand.dims}
    query = [dim for dim in nest.writes[0].dims if extents[dim] == queries and dim not in keyed and dim in nest.reads[0].dims]
    score = nest.reads[0].axes
    query = [dim for dim in query if any(place.terms == ((dim, 1),) for place in score)]
    if len(query) != 1:
        raise refusal(operator, "does not show which of its dimensions are the queries", "write it with GraphBuilder.attention")
    return queries, _written(operator, nest.writes[0], {query[0]: 1}, extents, Count(queries, queries))


def shrink(
    operator: Operator, marks: Mapping[str, Marks], tensors: Mapping[str, Tensor], count: Count
) -> tuple[Operator, dict[str, Tensor], dict[str, Marks]]:
    """``operator`` on ``count.after`` tokens.

    Args:
        marks: of its inputs, as far as they have tokens; ``tensors``: as they were before.

    Returns:
        The operator, its outputs (and storages that they alias) in their new shape, and the marks of its outputs.

    Raises:
        UnsupportedError: it mixes tokens and something else in a way that a smaller number of tokens does not fit.
    """
    if operator.kind == "view":
        return _shrunk_view(operator, marks, tensors, count)
    known: dict[str, Marks] = {name: found for name, found in marks.items() if found}
    if not operator.nests:
        raise refusal(operator, "states no loop nest, so its tokens are not known", "reduce tokens behind it")
    nests = []
    single: set[str] = set()
    for nest in operator.nests:
        made, written = _nest(operator, nest, known, tensors, count, single)
        nests.append(made)
        known.update(written)
    renewed: dict[str, Tensor] = {}
    for name in operator.outputs:
        if known.get(name):
            renewed[name] = resized(tensors[name], known[name], count)
            base = tensors[name].alias_of
            if base is not None and base in operator.inputs and base not in marks:
                renewed[base] = resized(tensors[base], known[name], count)
    internal = {name: resized(tensor, known[name], count) if known.get(name) else tensor for name, tensor in operator.internal.items()}
    reads = dict(operator.read_bytes)
    for name in reads:
        if name in known and name not in single:
            reads[name] = -(-reads[name] * count.after // count.before)
    facts = dict(operator.attributes)
    facts.update({key: count.after for key in ("queries", "keys") if facts.get(key) == count.before})
    result = replace(operator, nests=tuple(nests), internal=internal, read_bytes=reads, attributes=facts)
    return result, renewed, {name: known[name] for name in operator.outputs if name in known}


def resized(tensor: Tensor, marks: Marks, count: Count) -> Tensor:
    """``tensor`` with the new number of tokens along its marked axes; the region of an alias shrinks with it."""
    if count.before == count.after:
        return tensor
    shape = tuple(marks[place] * count.after if place in marks else size for place, size in enumerate(tensor.shape))
    region = -(-tensor.region_bytes * prod(shape) // max(1, tensor.values))
    return Tensor(tensor.name, shape, tensor.format, tensor.role, tensor.sparsity, tensor.alias_of, region)


def _nest(
    operator: Operator, nest: Nest, known: Mapping[str, Marks], tensors: Mapping[str, Tensor], count: Count, single: set[str]
) -> tuple[Nest, dict[str, dict[int, int]]]:
    extents = dict(nest.dims)
    outer: dict[str, int] = {}
    """Dimension that counts tokens to the sequences it runs over."""
    reads = []
    for operand in nest.reads:
        axes = list(operand.axes)
        for place, sequences in known.get(operand.tensor, {}).items():
            axes[place] = _read_axis(operator, operand, axes[place], sequences, extents, count, outer, single)
        reads.append(Operand(operand.tensor, tuple(axes)))
    if count.before != count.after:
        for operand in nest.reads:
            if operand.tensor not in known and operand.dims & outer.keys():
                raise refusal(operator, f"reads {operand.tensor!r} by the place of a token", "reduce tokens behind it")
    written = {operand.tensor: _written(operator, operand, outer, extents, count) for operand in nest.writes}
    writes = tuple(
        Operand(operand.tensor, tuple(_renewed(part, count) if place in written[operand.tensor] else part
                                      for place, part in enumerate(operand.axes)))
        for operand in nest.writes
    )  # fmt: skip
    dims = tuple((dim, outer[dim] * count.after if dim in outer else extent) for dim, extent in nest.dims)
    return Nest(dims, nest.function, tuple(reads), writes, nest.vector_ops), written


def _read_axis(
    operator: Operator, operand: Operand, part: Axis, sequences: int, extents: Mapping[str, int], count: Count, outer: dict[str, int],
    single: set[str],
) -> Axis:  # fmt: skip
    """One marked axis of a read on the new number of tokens; notes the dimensions that count tokens."""
    terms = dict(part.terms)
    if len(terms) == 1:
        ((dim, step),) = terms.items()
        if step == 1 and part.offset == 0 and extents[dim] == sequences * count.before:
            outer[dim] = sequences
            return part
        if step == count.before and extents[dim] == sequences and part.offset in (0, count.before - 1):
            single.add(operand.tensor)
            return axis((dim, count.after), offset=min(part.offset, count.after - 1) if part.offset else 0)
    if not terms and sequences == 1 and part.offset in (0, count.before - 1):
        single.add(operand.tensor)
        return axis(offset=count.after - 1 if part.offset else 0)
    if len(terms) == 2 and part.offset == 0:
        batch = [dim for dim, step in terms.items() if step == count.before and extents[dim] == sequences]
        token = [dim for dim, step in terms.items() if step == 1 and extents[dim] == count.before]
        if len(batch) == len(token) == 1:
            outer[token[0]] = 1
            return _renewed(part, count)
    raise refusal(operator, f"takes part of the tokens of {operand.tensor!r}", "reduce tokens behind it")


def _renewed(part: Axis, count: Count) -> Axis:
    """(sequence, tokens)(token, 1) with the new number of tokens; any other axis as it is."""
    if len(part.terms) != 2:
        return part
    return axis(*((dim, count.after if step == count.before else step) for dim, step in part.terms))


def _written(operator: Operator, operand: Operand, outer: Mapping[str, int], extents: Mapping[str, int], count: Count) -> dict[int, int]:
    """Marks of a written tensor."""
    marks = {}
    for place, part in enumerate(operand.axes):
        terms = dict(part.terms)
        tokens = [dim for dim in terms if dim in outer]
        if not tokens:
            continue
        others = [dim for dim in terms if dim not in outer]
        plain = len(tokens) == 1 and terms[tokens[0]] == 1 and part.offset == 0
        if plain and not others:
            marks[place] = outer[tokens[0]]
        elif plain and len(others) == 1 and outer[tokens[0]] == 1 and terms[others[0]] == count.before:
            marks[place] = extents[others[0]]
        else:
            raise refusal(operator, f"lays the tokens of {operand.tensor!r} out with something else", "reduce tokens behind it")
    return marks


def _shrunk_view(
    operator: Operator, marks: Mapping[str, Marks], tensors: Mapping[str, Tensor], count: Count
) -> tuple[Operator, dict[str, Tensor], dict[str, Marks]]:
    source = next(name for name in operator.inputs if marks.get(name))
    before = tensors[source].shape
    renewed: dict[str, Tensor] = {}
    found: dict[str, Marks] = {}
    for name in operator.outputs:
        after = tensors[name].shape
        made = {}
        for place in marks[source]:
            rows = prod(before[: place + 1])
            fitting = [at for at, size in enumerate(after) if size % count.before == 0 and prod(after[: at + 1]) == rows]
            if not fitting:
                raise refusal(operator, "merges tokens and features", "reduce tokens behind it")
            made[fitting[0]] = after[fitting[0]] // count.before
        found[name] = made
        renewed[name] = resized(tensors[name], made, count)
    return operator, renewed, found


def refusal(operator: Operator, what: str, hint: str) -> UnsupportedError:
    """An error that names the operator at which tokens cannot become fewer."""
    return UnsupportedError(f"{what}: tokens cannot be reduced here", where=operator.name, hint=hint)
