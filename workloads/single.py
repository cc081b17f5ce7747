"""Single operators as models, from a short text: ``gemm:MxNxK``, ``conv:...``, ``attention:...``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from hwspecs.vocabulary.errors import ArgumentError, UnknownNameError
from hwspecs.vocabulary.suggest import did_you_mean
from workloads.builder import GraphBuilder
from workloads.graph import OperatorGraph, Role

_LARGEST = 1 << 31
_MOST_POINTS = 1 << 62

GEMM_SYNTAX = "gemm:MxNxK, such as gemm:4096x4096x4096"
CONV_SYNTAX = "conv:N1xC64xH56xW56,K64,R3x3[,S1][,P1][,D1][,G1][,T], such as conv:N1xC3xH224xW224,K64,R7,S2,P3"
ATTENTION_SYNTAX = "attention:[bB,]hH[,kvKV][,qQ],kK,dD[,vV][,causal], such as attention:b8,h32,kv8,q1,k4096,d128"


def single_operator(text: str, format: str = "bf16") -> OperatorGraph:
    """The graph of one operator.

    * ``gemm:MxNxK``: C[M, N] = A[M, K] B[K, N], B a weight.
    * ``conv:N1xC64xH56xW56,K64,R3x3,S1,P1,D1,G1``: input sizes (``N1xC64xW100`` in one dimension, ``N1xC3xD8xH56xW56`` in three),
      K output channels, R window, S stride, P padding at both ends, D dilation, G groups (``G64`` with C64: depthwise), ``T``: transposed.
      R, S, P and D take one number for all axes or one per axis (``R3x5``); S, P, D, G default to 1, 0, 1, 1.
    * ``attention:b8,h32,kv8,q1,k4096,d128[,v128][,causal]``: batch, query heads, key-value heads (default h), queries (default k), keys,
      head dimension, value dimension (default d); keys and values lie in the KV cache.

    Raises:
        ArgumentError: the text cannot be read or a size is out of range; ``where`` gives the column.
        UnknownNameError: the part before the colon is no such operator.
    """
    kind, _, rest = text.partition(":")
    if kind not in _PARSERS:
        raise UnknownNameError(f"unknown operator {kind!r}", where=_column(text, 0), hint=did_you_mean(kind, SYNTAX))
    builder = GraphBuilder(text, format, {"phase": "inference", "batch": 1, "format": format, "source": text})
    _PARSERS[kind](builder, text, rest, len(kind) + 1)
    graph = builder.build()
    points = max(nest.points for node, _, _ in graph.walk() for nest in node.nests)
    if points >= _MOST_POINTS or max(tensor.values for tensor in graph.tensors.values()) >= _MOST_POINTS // 64:
        raise ArgumentError(f"the operator is too large to count ({points:.3g} points)", where=_column(text, len(kind) + 1))
    return graph


def _column(text: str, offset: int) -> str:
    return f"{text!r}, column {offset + 1}"


def _fields(rest: str, start: int) -> Iterator[tuple[str, int]]:
    """Comma-separated fields with their offset."""
    for match in re.finditer(r"[^,]*(?:,|$)", rest):
        field = match[0].rstrip(",")
        if match[0] or match.start() == 0:
            yield field, start + match.start()


def _size(text: str, digits: str, offset: int, syntax: str, minimum: int = 1) -> int:
    """A whole number of at least ``minimum`` written at ``offset`` of ``text``."""
    if not re.fullmatch(r"[0-9]{1,12}", digits):
        raise ArgumentError(f"{digits!r} is not a whole number", where=_column(text, offset), hint=f"write {syntax}")
    value = int(digits)
    if not minimum <= value < _LARGEST:
        raise ArgumentError(
            f"size {digits} is out of range", where=_column(text, offset), hint=f"sizes go from {minimum} to {_LARGEST - 1}"
        )
    return value


def _gemm(builder: GraphBuilder, text: str, rest: str, start: int) -> None:
    parts = rest.split("x")
    if len(parts) != 3:
        raise ArgumentError(f"a gemm has three sizes, this has {len(parts)}", where=_column(text, start), hint=f"write {GEMM_SYNTAX}")
    sizes, offset = [], start
    for part in parts:
        sizes.append(_size(text, part, offset, GEMM_SYNTAX))
        offset += len(part) + 1
    m, n, k = sizes
    builder.input("a", (m, k))
    builder.weight("b", (k, n))
    builder.output(builder.gemm("a", "b", "c", name="gemm"))


_CONV_FIELDS = {"K": "output channels", "R": "window", "S": "stride", "P": "padding", "D": "dilation", "G": "groups"}
_SPATIAL = {1: "W", 2: "HW", 3: "DHW"}


def _conv(builder: GraphBuilder, text: str, rest: str, start: int) -> None:
    fields = list(_fields(rest, start))
    sizes = _conv_input(text, *fields[0])
    rank = len(sizes) - 2
    found: dict[str, tuple[int, ...]] = {}
    transposed = False
    for field, offset in fields[1:]:
        letter, digits = field[:1], field[1:]
        if field == "T":
            transposed = True
            continue
        if letter not in _CONV_FIELDS:
            known = ", ".join(f"{key} ({meaning})" for key, meaning in _CONV_FIELDS.items())
            raise ArgumentError(f"unknown field {field!r} of a convolution", where=_column(text, offset), hint=f"fields are {known}, T")
        if letter in found:
            raise ArgumentError(f"{letter} ({_CONV_FIELDS[letter]}) is given twice", where=_column(text, offset), hint="give it once")
        values = [_size(text, item, offset + 1, CONV_SYNTAX, 0 if letter == "P" else 1) for item in digits.split("x")]
        wanted = 1 if letter in "KG" else rank
        if len(values) not in (1, wanted):
            raise ArgumentError(
                f"{field!r} has {len(values)} numbers for {rank} axes", where=_column(text, offset), hint="give one or one per axis"
            )
        found[letter] = tuple(values * wanted if len(values) == 1 else values)
    for letter in "KR":
        if letter not in found:
            raise ArgumentError(
                f"{letter} ({_CONV_FIELDS[letter]}) is missing", where=_column(text, len(text)), hint=f"write {CONV_SYNTAX}"
            )
    channels, outputs, groups = sizes[1], found["K"][0], found.get("G", (1,))[0]
    if channels % groups or outputs % groups:
        where = _column(text, next(offset for field, offset in fields if field.startswith("G")))
        raise ArgumentError(
            f"{groups} groups do not divide {channels} input and {outputs} output channels", where=where, hint="G divides C and K"
        )
    builder.input("x", sizes)
    first, second = (channels, outputs // groups) if transposed else (outputs, channels // groups)
    builder.weight("w", (first, second, *found["R"]))
    pads = [(pad, pad) for pad in found.get("P", (0,) * rank)]
    builder.conv(
        "x", "w", "y", strides=found.get("S", (1,) * rank), pads=pads, dilations=found.get("D", (1,) * rank), groups=groups,
        transposed=transposed, name="conv",
    )  # fmt: skip
    builder.output("y")


def _conv_input(text: str, field: str, offset: int) -> tuple[int, ...]:
    parts = field.split("x")
    rank = len(parts) - 2
    if rank not in _SPATIAL:
        raise ArgumentError(f"{field!r} is not an input of a convolution", where=_column(text, offset), hint=f"write {CONV_SYNTAX}")
    sizes = []
    for letter, part in zip("NC" + _SPATIAL[rank], parts, strict=True):
        if not part.startswith(letter):
            raise ArgumentError(f"expected {letter} and a size, found {part!r}", where=_column(text, offset), hint=f"write {CONV_SYNTAX}")
        sizes.append(_size(text, part[1:], offset + 1, CONV_SYNTAX))
        offset += len(part) + 1
    return tuple(sizes)


_ATTENTION_FIELDS = ("b", "h", "kv", "q", "k", "d", "v")


def _attention(builder: GraphBuilder, text: str, rest: str, start: int) -> None:
    found: dict[str, int] = {}
    causal = False
    for field, offset in _fields(rest, start):
        if field == "causal":
            causal = True
            continue
        match = re.fullmatch(r"([a-z]+)(.*)", field)
        if match is None or match[1] not in _ATTENTION_FIELDS:
            hint = did_you_mean(field, ("causal",)) if "ca" in field else f"write {ATTENTION_SYNTAX}"
            raise ArgumentError(f"unknown field {field!r} of an attention", where=_column(text, offset), hint=hint)
        if match[1] in found:
            raise ArgumentError(f"{match[1]} is given twice", where=_column(text, offset), hint="give it once")
        found[match[1]] = _size(text, match[2], offset + len(match[1]), ATTENTION_SYNTAX)
    for letter, meaning in (("h", "query heads"), ("k", "keys"), ("d", "head dimension")):
        if letter not in found:
            raise ArgumentError(f"{letter} ({meaning}) is missing", where=_column(text, len(text)), hint=f"write {ATTENTION_SYNTAX}")
    batch, heads, keys, dim = found.get("b", 1), found["h"], found["k"], found["d"]
    kv_heads, queries, value_dim = found.get("kv", heads), found.get("q", keys), found.get("v", dim)
    if heads % kv_heads:
        raise ArgumentError(f"{kv_heads} key-value heads do not divide {heads} heads", where=_column(text, start), hint="kv divides h")
    if causal and queries > keys:
        raise ArgumentError(
            f"causal attention of {queries} queries over {keys} keys", where=_column(text, start), hint="give k of at least q"
        )
    builder.input("q", (batch, heads, queries, dim))
    builder.tensor("k", (batch, kv_heads, keys, dim), role=Role.KV_CACHE)
    builder.tensor("v", (batch, kv_heads, keys, value_dim), role=Role.KV_CACHE)
    builder.attention(
        "q", "k", "v", "out", batch=batch, heads=heads, kv_heads=kv_heads, queries=queries, keys=keys, head_dim=dim,
        value_dim=value_dim, causal=causal, name="attention", attributes={"phase": "decode" if queries < keys else "prefill"},
    )  # fmt: skip
    builder.output("out")


SYNTAX: Mapping[str, str] = MappingProxyType({"gemm": GEMM_SYNTAX, "conv": CONV_SYNTAX, "attention": ATTENTION_SYNTAX})
"""Operator to how its text is written."""
_PARSERS: Mapping[str, Callable[[GraphBuilder, str, str, int], None]] = {"gemm": _gemm, "conv": _conv, "attention": _attention}
