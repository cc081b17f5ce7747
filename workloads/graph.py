"""The operator graph: a DAG in single-assignment form.

An operator is one or more loop nests over named dimensions with typed operands; a fused operator (attention, MLP) is an
ordered list of nests with internal tensors. ``Repeat`` stands for n equal layers and stays folded.
Nothing here knows about hardware.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from enum import StrEnum
from math import prod

from hwspecs.vocabulary.errors import ModelError
from hwspecs.vocabulary.formats import NumberFormat
from hwspecs.vocabulary.records import dataclass
from hwspecs.vocabulary.sparsity import DENSE, Sparsity


class Role(StrEnum):
    """What a tensor is for; decides where it starts and what it counts towards."""

    ACTIVATION = "activation"
    WEIGHT = "weight"
    KV_CACHE = "kv_cache"
    STATE = "state"
    GRADIENT = "gradient"
    OPTIMIZER_STATE = "optimizer_state"
    INDEX = "index"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor; its elements are written once.

    Attributes:
        shape: sizes, all >= 0 and known.
        format: how values are stored.
        sparsity: how its zeros lie.
        role: what it is for.
        alias_of: the tensor whose storage this one re-uses (KV append, optimizer update), or None.
        region_bytes: for an alias: bytes of the storage that are new; 0 means all.
        view_of: the dense tensor that a ``prune`` operator derives this one from (an N:M copy of a weight), or None; its values are no
            parameters of their own.
    """

    name: str
    shape: tuple[int, ...]
    format: NumberFormat
    role: Role = Role.ACTIVATION
    sparsity: Sparsity = DENSE
    alias_of: str | None = None
    region_bytes: int = 0
    view_of: str | None = None
    _stored: int = field(default=-1, init=False, repr=False, compare=False)

    @property
    def values(self) -> int:
        """Number of elements, zeros included."""
        return prod(self.shape)

    @property
    def stored_bytes(self) -> int:
        """Bytes in memory: kept values packed, group metadata, sparse indices."""
        if self._stored < 0:  # asked for many times in a run, so it is worked out once per tensor
            values = self.values
            stored = self.format.stored_bytes(self.sparsity.kept(values)) + self.sparsity.index_bytes(values)
            object.__setattr__(self, "_stored", stored)
        return self._stored


@dataclass(frozen=True, slots=True)
class Axis:
    """Index of one axis of a tensor: ``offset + sum(coefficient * dimension)``. Points outside the axis read padding (zero)."""

    terms: tuple[tuple[str, int], ...]
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor as a nest reads or writes it, one ``Axis`` per axis of the tensor."""

    tensor: str
    axes: tuple[Axis, ...]

    @property
    def dims(self) -> frozenset[str]:
        """All dimensions that move this operand."""
        return frozenset(dim for axis in self.axes for dim, _ in axis.terms)


@dataclass(frozen=True, slots=True)
class Nest:
    """A loop nest: for every point of ``dims`` the function is applied to the reads and reduced into the write.

    Attributes:
        dims: (name, extent) outermost first.
        function: ``mac``, ``copy`` (data movement, no arithmetic), or the name of a vector function (``add``, ``exp``, ``gelu``, ...).
        vector_ops: elementary vector operations per point (0 for ``mac`` and ``copy``).
    """

    dims: tuple[tuple[str, int], ...]
    function: str
    reads: tuple[Operand, ...]
    writes: tuple[Operand, ...]
    vector_ops: int = 0
    _points: int = field(default=-1, init=False, repr=False, compare=False)

    @property
    def points(self) -> int:
        """Size of the iteration space."""
        if self._points < 0:
            object.__setattr__(self, "_points", prod([extent for _, extent in self.dims]))
        return self._points

    @property
    def macs(self) -> int:
        """Multiply-accumulates, as if every operand were dense."""
        return self.points if self.function == "mac" else 0


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator.

    Attributes:
        name: unique in its graph.
        kind: ``gemm``, ``conv``, ``attention``, ``elementwise``, ``norm``, ``softmax``, ``pool``, ``reduce``, ``embedding``,
            ``copy`` (transpose, concat, slice that moves bytes), ``view`` (moves nothing), ``topk``, ``scan``, ``prune`` (an N:M view of a
            weight), ``update`` (one step of an optimizer), ``unknown``.
        inputs, outputs: tensor names of the graph, in order.
        nests: loop nests in order; empty for ``view`` and ``unknown``.
        internal: tensors that live only inside this operator (scores of a fused attention).
        attributes: what mappers and reports may want (``causal``, ``heads``, ``kv_heads``, ``activation``, ``experts``, ...; in a
            training step ``pass``: ``FF``, ``BP``, ``WU``, ``update`` or ``recompute``).
        read_bytes: input name to bytes actually read where that is less or more than the whole tensor
            (embedding rows, chosen experts, a cache read with an extra new token); absent means all stored bytes.
        origin: where it came from (ONNX node name, config key, pass).
        fused: names of the operators that passes merged into this one, in order.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nests: tuple[Nest, ...] = ()
    internal: Mapping[str, Tensor] = field(default_factory=dict)
    attributes: Mapping[str, int | float | str | bool] = field(default_factory=dict)
    read_bytes: Mapping[str, int] = field(default_factory=dict)
    origin: str = ""
    fused: tuple[str, ...] = ()

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates of all nests."""
        return sum(nest.macs for nest in self.nests)

    @property
    def vector_ops(self) -> int:
        """Elementary vector operations of all nests."""
        return sum(nest.points * nest.vector_ops for nest in self.nests)


@dataclass(frozen=True, slots=True)
class Repeat:
    """``count`` equal copies of ``body``, run one after the other (80 layers, 200 LSTM steps).

    Attributes:
        carried: (output of the body, input of the body it becomes in the next copy).
        shared: inputs of the body that are the same tensor in every copy (LSTM weights, rotary tables).
        All other weights, caches and states of the body stand for ``count`` different tensors of equal shape.
        inputs: input of the body to tensor of the enclosing graph, for carried (first copy) and shared inputs.
        outputs: output of the body to tensor of the enclosing graph (last copy).
        stacked: tensor of the body to a tensor of the enclosing graph with one more, leading axis of extent ``count``: round i reads or
            makes slice i of it. So the rounds of two repeats share weights, and what one keeps of each round the other reads.
        reverse: rounds run from the last slice of the stacked tensors to the first.
        shifted: stacked tensors that a round reads from the slice before its own; before the first slice lies the tensor of ``inputs``
            (what a layer takes in is what the layer before has made).
    """

    name: str
    body: OperatorGraph
    count: int
    carried: tuple[tuple[str, str], ...] = ()
    shared: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    stacked: Mapping[str, str] = field(default_factory=dict)
    reverse: bool = False
    shifted: tuple[str, ...] = ()

    @property
    def read(self) -> tuple[str, ...]:
        """Tensors of the enclosing graph that the rounds read, slices of stacked ones too."""
        if not self.stacked:
            return tuple(self.inputs.values())
        made = self._made()
        return (*self.inputs.values(), *(outer for inner, outer in self.stacked.items() if inner not in made))

    @property
    def written(self) -> tuple[str, ...]:
        """Tensors of the enclosing graph that the rounds make, slice by slice or in the last round."""
        if not self.stacked:
            return tuple(self.outputs.values())
        made = self._made()
        return (*self.outputs.values(), *(outer for inner, outer in self.stacked.items() if inner in made))

    def _made(self) -> set[str]:
        return {name for node in self.body.nodes for name in (node.written if isinstance(node, Repeat) else node.outputs)}


@dataclass(frozen=True, slots=True)
class OperatorGraph:
    """A model in one phase.

    Attributes:
        name: the model's name.
        tensors: name to tensor, for every tensor that crosses operators of this graph (bodies of repeats hold their own).
        nodes: operators and repeats in a valid program order.
        inputs, outputs: names of the tensors that enter (activations, tokens; weights and caches are not listed) and leave.
        notes: warnings of importers and passes that a report must show.
        meta: what was asked (``phase``, ``batch``, ``context``, ``tokens``, ``format``, ``source``) for reports.
    """

    name: str
    tensors: Mapping[str, Tensor]
    nodes: tuple[Operator | Repeat, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...] = ()
    meta: Mapping[str, str | int | float] = field(default_factory=dict)

    def walk(self, times: int = 1) -> Iterator[tuple[Operator, OperatorGraph, int]]:
        """Every operator with the graph that holds its tensors and how many times it runs, in program order, repeats folded."""
        for node in self.nodes:
            if isinstance(node, Repeat):
                yield from node.body.walk(times * node.count)
            else:
                yield node, self, times

    def check(self) -> None:
        """Check single assignment, program order, known tensors and operand ranks.

        Raises:
            ModelError: naming the operator and tensor at fault.
        """
        produced: set[str] = set()
        written: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, Repeat):
                node.body.check()
                outputs, inputs = node.written, node.read
            else:
                outputs, inputs = node.outputs, node.inputs
                self._check_nests(node)
            for name in inputs:
                if name not in self.tensors:
                    raise ModelError(f"reads tensor {name!r} that the graph does not define", where=node.name)
            for name in outputs:
                if name not in self.tensors:
                    raise ModelError(f"writes tensor {name!r} that the graph does not define", where=node.name)
                if name in written:
                    raise ModelError(f"writes tensor {name!r}, which {written[name]!r} has written", where=node.name)
                written[name] = node.name
            produced.update(outputs)
        seen: set[str] = set()
        for node in self.nodes:
            reads = node.read if isinstance(node, Repeat) else node.inputs
            for name in reads:
                if name in produced and name not in seen:
                    raise ModelError(f"reads tensor {name!r} before it is produced", where=node.name)
            seen.update(node.written if isinstance(node, Repeat) else node.outputs)

    def _check_nests(self, node: Operator) -> None:
        for nest in node.nests:
            dims = {name for name, _ in nest.dims}
            for operand in (*nest.reads, *nest.writes):
                tensor = node.internal.get(operand.tensor) or self.tensors.get(operand.tensor)
                if tensor is None:
                    raise ModelError(f"a nest uses tensor {operand.tensor!r} that is neither internal nor of the graph", where=node.name)
                if len(operand.axes) != len(tensor.shape):
                    raise ModelError(f"operand {operand.tensor!r} has {len(operand.axes)} axes for shape {tensor.shape}", where=node.name)
                if unknown := operand.dims - dims:
                    raise ModelError(
                        f"operand {operand.tensor!r} uses dimensions {sorted(unknown)} that its nest does not have", where=node.name
                    )


@dataclass(frozen=True, slots=True)
class Matmul:
    """A ``mac`` nest seen as ``batch`` independent products C[m, n] += A[m, k] B[k, n] (a convolution as its im2col).

    Attributes:
        a, b, out: tensor names; ``b`` is the operand that does not depend on the m dimensions (the weights, or K / V).
        m_dims, n_dims, k_dims, batch_dims: the nest's dimensions behind each extent.
    """

    batch: int
    m: int
    n: int
    k: int
    a: str
    b: str
    out: str
    m_dims: tuple[str, ...]
    n_dims: tuple[str, ...]
    k_dims: tuple[str, ...]
    batch_dims: tuple[str, ...]


def as_matmul(nest: Nest) -> Matmul:
    """Classify the dimensions of a two-operand ``mac`` nest.

    In the output and A only: m; in the output and B only: n; reduced: k; everywhere: batch. The first read is A, the second B.

    Raises:
        ModelError: the nest is not a mac nest with two reads and one write.
    """
    if nest.function != "mac" or len(nest.reads) != 2 or len(nest.writes) != 1:
        raise ModelError("only a mac nest with two reads and one write is a matrix product")
    a, b, out = nest.reads[0], nest.reads[1], nest.writes[0]
    groups: dict[str, list[str]] = {"m": [], "n": [], "k": [], "batch": []}
    extents = dict(nest.dims)
    out_dims, a_dims, b_dims = out.dims, a.dims, b.dims
    for dim in extents:
        if dim not in out_dims:
            key = "k"
        elif dim in a_dims and dim in b_dims:
            key = "batch"
        else:
            key = "m" if dim in a_dims else "n"
        groups[key].append(dim)
    size = {key: prod(extents[dim] for dim in dims) for key, dims in groups.items()}
    return Matmul(
        size["batch"], size["m"], size["n"], size["k"], a.tensor, b.tensor, out.tensor,
        tuple(groups["m"]), tuple(groups["n"]), tuple(groups["k"]), tuple(groups["batch"]),
    )  # fmt: skip
