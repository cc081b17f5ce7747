"""Cutting a product along a reduced dimension: each core makes partial sums of every result, and core 0 adds them up.

Cores send their sums over the link tile by tile; the vector unit of core 0 (its array where there is none) adds each to its own, one
addition a value, and does what follows the product. The sums stay in the scratchpad of core 0 meanwhile, 32 bits each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil

from hwspecs.hardware import Hardware
from hwspecs.vocabulary.errors import InfeasibleError, UnsupportedError
from hwspecs.vocabulary.formats import number_format
from mappings.cores.joining import Noc, joined, placed_stage, stage_name
from mappings.cores.slicing import Slice, chunks, input_slice
from mappings.cores.view import on_core
from mappings.dataflow import LINK, Alternative, Edge, MappedOperator, Segment, Stage
from mappings.rates import vector_format, vector_unit
from workloads.graph import Axis, Nest, Operand, Operator, Tensor, as_matmul

SUMS = "sums of the cores"
MapOne = Callable[[Operator, Mapping[str, Tensor]], MappedOperator]


class Reduction:
    """The two halves of an operator whose first nest is its only product: the product into sums, and what follows it.

    ``dim`` and ``extent`` are the reduced dimension of the largest extent. Use ``reduction_of``.
    """

    def __init__(self, operator: Operator, tensors: Mapping[str, Tensor]) -> None:
        first = operator.nests[0]
        view, extents = as_matmul(first), dict(first.dims)
        self.dim = max(view.k_dims, key=lambda dim: extents[dim])
        self.extent = extents[self.dim]
        made = operator.internal.get(view.out) or tensors[view.out]
        sums = Tensor(SUMS, made.shape, number_format("int32" if made.format.family == "int" else "fp32"))
        product = Nest(first.dims, first.function, first.reads, (Operand(SUMS, first.writes[0].axes),))
        reads = tuple(dict.fromkeys(operand.tensor for operand in first.reads))
        self.sums = sums
        self.product = Operator(
            operator.name, operator.kind, reads, (SUMS,), (product,),
            read_bytes={name: size for name, size in operator.read_bytes.items() if name in reads},
        )  # fmt: skip
        self.product_tensors = {**{name: tensors[name] for name in reads}, SUMS: sums}
        rest = operator.nests[1:] or (_copied(made, view.out),)
        self.rest = replace(
            operator,
            kind="elementwise",
            inputs=(SUMS, *(name for name in operator.inputs if any(o.tensor == name for nest in rest for o in nest.reads))),
            nests=tuple(replace(nest, reads=tuple(_renamed(operand, view.out) for operand in nest.reads)) for nest in rest),
            internal={name: tensor for name, tensor in operator.internal.items() if name != view.out},
        )
        self.rest_tensors = {**tensors, SUMS: sums}


def _copied(made: Tensor, name: str) -> Nest:
    """The results leave in their own format: one pass of the vector unit."""
    dims = tuple((f"d{place}", size) for place, size in enumerate(made.shape))
    axes = tuple(Axis(((dim, 1),)) for dim, _ in dims)
    return Nest(dims, "copy", (Operand(name, axes),), (Operand(name, axes),))


def _renamed(operand: Operand, made: str) -> Operand:
    return Operand(SUMS, operand.axes) if operand.tensor == made else operand


def reduction_of(operator: Operator, tensors: Mapping[str, Tensor]) -> Reduction | None:
    """The halves of an operator that may be cut so; None where its first nest is not its only product or has nothing to reduce."""
    products = [nest for nest in operator.nests if nest.function == "mac"]
    if len(products) != 1 or products[0] is not operator.nests[0] or operator.kind == "attention":
        return None
    first = operator.nests[0]
    outside = set(operator.inputs)
    if len(first.reads) != 2 or len(first.writes) != 1 or not all(operand.tensor in outside for operand in first.reads):
        return None
    view = as_matmul(first)
    if not any(dict(first.dims)[dim] > 1 for dim in view.k_dims):
        return None
    return Reduction(operator, tensors)


def reduced(
    halves: Reduction, count: int, best: int, map_one: MapOne, hardware: Hardware, noc: Noc, port_cycles: Callable[[int], float]
) -> Alternative | None:
    """The product on ``count`` cores along its reduced dimension; None where that does not work out or takes ``best`` cycles or more."""
    found = [input_slice(halves.product, halves.product_tensors, halves.dim, part) for part in chunks(halves.extent, count)]
    slices = [one for one in found if one is not None]
    if len(slices) < 2 or len(slices) < len(found):
        return None
    try:
        parts = [map_one(one.operator, one.tensors).alternatives[0] for one in slices]
        if max(part.cycles_estimate for part in parts) >= best:
            return None
        rest = map_one(halves.rest, halves.rest_tensors).alternatives[0]
    except (InfeasibleError, UnsupportedError):
        return None
    return _joined(halves, slices, parts, rest, hardware, noc, port_cycles)


def _joined(
    halves: Reduction, slices: Sequence[Slice], parts: Sequence[Alternative], rest: Alternative, hardware: Hardware, noc: Noc,
    port_cycles: Callable[[int], float],
) -> Alternative:  # fmt: skip
    sent = [_sending(part, core, noc) for core, part in enumerate(parts)]
    name = f"{len(parts)} cores along {halves.dim}, sums added: {parts[0].name}"
    whole = frozenset.intersection(*[one.whole for one in slices])
    base = joined(name, [part for part, _ in sent], whole, noc, port_cycles, hardware.dram.name)
    adder, additions = _adder(hardware, halves.sums)
    stages, edges = list(base.stages), list(base.edges)
    last = [stage for stage, _ in sent[0][1]]
    spent = 0
    for core, (_, stores) in enumerate(sent):
        for number, (stage, segments) in enumerate(stores if core else ()):
            added = tuple(Segment(repeat, ceil(nbytes * additions)) for repeat, nbytes in segments)
            stages.append(Stage(stage_name(f"add {number}" if number else "add", core), on_core(adder, 0), added))
            edges.append(Edge(stage_name(stage, core), stages[-1].name))
            spent += stages[-1].cycles
            last.append(stages[-1].name)
    stages.extend(placed_stage(_kept(stage), 0, noc) for stage in rest.stages)
    edges.extend(replace(edge, source=f"finish {edge.source}", target=f"finish {edge.target}") for edge in rest.edges)
    fed = {edge.target for edge in rest.edges}
    edges.extend(Edge(before, f"finish {stage.name}", 0, 0, 0, 0) for before in last for stage in rest.stages if stage.name not in fed)
    actions = dict(base.actions)
    for action, times in rest.actions.items():
        actions[action] = actions.get(action, 0.0) + times
    nbytes = halves.sums.stored_bytes
    actions[noc.action] += (len(parts) - 1) * nbytes
    chip = hardware.on_chip
    room = max(base.working_set_bytes, rest.working_set_bytes * noc.cores) + nbytes * noc.cores if chip is not None else 0
    breakdown = {**base.breakdown, "additions": spent, "finish": rest.cycles_estimate}
    estimate = max(base.cycles_estimate, spent) + rest.cycles_estimate
    return Alternative(name, tuple(stages), tuple(edges), room, estimate, actions, breakdown, base.notes, base.queues)


def _sending(part: Alternative, core: int, noc: Noc) -> tuple[Alternative, list[tuple[str, list[tuple[int, int]]]]]:
    """A slice that keeps its sums (core 0) or sends them over the link; and (stage, (firings, bytes)) of what it stored before."""
    stages = []
    stores = []
    for stage in part.stages:
        if not any(move.tensor == SUMS for segment in stage.segments for move in segment.transfers):
            stages.append(stage)
            continue
        runs = [(segment.repeat, sum(move.bytes for move in segment.transfers if move.tensor == SUMS)) for segment in stage.segments]
        stores.append((stage.name, runs))
        left = tuple(
            Segment(s.repeat, noc.cycles(nbytes) if core else 0, tuple(move for move in s.transfers if move.tensor != SUMS))
            for s, (_, nbytes) in zip(stage.segments, runs, strict=True)
        )
        stages.append(Stage(stage.name, LINK + "noc" if core else stage.unit, left))
    return (
        Alternative(
            part.name, tuple(stages), part.edges, part.working_set_bytes, part.cycles_estimate, part.actions, part.breakdown, part.notes
        ),
        stores,
    )


def _kept(stage: Stage) -> Stage:
    """A stage of what follows, under a name of its own, that finds the sums on chip."""
    segments = tuple(replace(s, transfers=tuple(move for move in s.transfers if move.tensor != SUMS)) for s in stage.segments)
    return Stage(f"finish {stage.name}", stage.unit, segments, stage.overlap, stage.work)


def _adder(hardware: Hardware, sums: Tensor) -> tuple[str, float]:
    """(unit that adds, cycles of one core's copy per byte of sums)."""
    unit = hardware.primary
    vector = unit if unit.vector_rates else vector_unit(unit, hardware)
    if vector is None:
        columns = int(unit.parameters.get("columns", 1)) * unit.count * unit.clock_hz / hardware.clock_hz
        return unit.name, sums.values / sums.stored_bytes / columns
    name = vector_format(sums.format, vector)
    assert name is not None
    rate = vector.vector_rates[name] / hardware.cores
    return vector.name, sums.values / sums.stored_bytes * hardware.clock_hz / rate
