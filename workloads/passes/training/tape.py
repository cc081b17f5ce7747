"""The backward half of a graph under construction: gradients that tensors have received, operators that send them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hwspecs.vocabulary.formats import NumberFormat
from workloads.graph import Axis, Nest, Operand, Operator, Repeat, Role, Tensor
from workloads.nests import plain_axes, point_dims

Attribute = int | float | str | bool


@dataclass(frozen=True, slots=True)
class Part:
    """One nest of an operator that makes a gradient, without its result.

    Attributes:
        dims, function, reads, vector_ops: as of ``Nest``.
        axes: where the gradient lies, per axis of the tensor that it belongs to.
    """

    dims: tuple[tuple[str, int], ...]
    function: str
    reads: tuple[Operand, ...]
    axes: tuple[Axis, ...]
    vector_ops: int = 0


@dataclass(slots=True)
class Tape:
    """The reverse of one graph or body.

    Attributes:
        name: of the graph, for errors.
        tensors: tensors of the scope; gradients are added.
        wants: tensors that need a gradient.
        gradient_format: of the gradients of weights; those of activations have the activation's.
        nodes: what has been written, in program order.
        sent: tensor to the gradients that its readers have sent; sums: tensor to the sum of them, once asked for.
        lifted: weights that all rounds of a body share, to what would make their gradients in a round: (kind, parts, attributes). No
            operator is written for them here.
    """

    name: str
    tensors: dict[str, Tensor]
    wants: set[str]
    gradient_format: NumberFormat
    nodes: list[Operator | Repeat] = field(default_factory=list)
    sent: dict[str, list[str]] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)
    lifted: dict[str, list[tuple[str, tuple[Part, ...], Mapping[str, Attribute]]]] = field(default_factory=dict)

    def gradient(self, name: str) -> str | None:
        """The gradient of tensor ``name``: what its readers have sent, summed; None if none of them did."""
        if name in self.sums:
            return self.sums[name]
        parts = self.sent.get(name)
        if not parts:
            return None
        self.sums[name] = total = self._sum(name, parts) if len(parts) > 1 else parts[0]
        return total

    def _sum(self, name: str, parts: Sequence[str]) -> str:
        """Several gradients of ``name`` added up."""
        tensor = self.tensors[name]
        total = self.new(f"{name}.gradient", tensor, weight=tensor.role is Role.WEIGHT)
        dims = point_dims(len(tensor.shape))
        whole = plain_axes(dims)
        reads = tuple(Operand(part, whole) for part in parts)
        nest = Nest(tuple(zip(dims, tensor.shape, strict=True)), "add", reads, (Operand(total, whole),), len(parts) - 1)
        self.operator("elementwise", parts, (total,), (nest,), self.phase(name), {"function": "add"})
        return total

    def phase(self, name: str) -> str:
        """``WU`` for a gradient of a weight, ``BP`` for that of anything else."""
        return "WU" if self.tensors[name].role is Role.WEIGHT else "BP"

    def new(self, name: str, like: Tensor, *, weight: bool = False) -> str:
        """Define a gradient of the shape of ``like``; returns its name, with strokes behind it where the name is taken."""
        while name in self.tensors:
            name += "'"
        format = self.gradient_format if weight else like.format
        self.tensors[name] = Tensor(name, like.shape, format, Role.GRADIENT)
        return name

    def operator(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], nests: Sequence[Nest], phase: str,
        attributes: Mapping[str, Attribute], internal: Mapping[str, Tensor] | None = None, read_bytes: Mapping[str, int] | None = None,
    ) -> None:  # fmt: skip
        """Append an operator of the backward pass."""
        facts = {**attributes, "pass": phase}
        names = tuple(dict.fromkeys(inputs))
        self.nodes.append(
            Operator(outputs[0], kind, names, tuple(outputs), tuple(nests), internal or {}, facts, read_bytes or {}, "training")
        )

    def send(
        self, node: Operator | Repeat, target: str, kind: str, parts: Sequence[Part], attributes: Mapping[str, Attribute] | None = None
    ) -> None:
        """Write the operator that makes, in ``parts``, the gradient that ``node`` sends to its input ``target``; nothing if it is not
        wanted."""
        if target not in self.wants or not parts:
            return
        if target in self.lifted:
            self.lifted[target].append((kind, tuple(parts), attributes or {}))
            return
        tensor = self.tensors[target]
        made = f"{node.name}.gradient.{target.removeprefix(node.name + '.')}"
        made = self.new(made, tensor, weight=tensor.role is Role.WEIGHT)
        nests = tuple(Nest(part.dims, part.function, part.reads, (Operand(made, part.axes),), part.vector_ops) for part in parts)
        inputs = [read.tensor for part in parts for read in part.reads]
        partly = node.read_bytes if isinstance(node, Operator) else {}  # of the experts' weights those that tokens visit
        read = {name: partly[name] for name in inputs if name in partly}
        self.operator(kind, inputs, (made,), nests, self.phase(target), attributes or {}, read_bytes=read)
        self.give(target, made)

    def give(self, target: str, gradient: str) -> None:
        """``gradient`` is one that a reader of ``target`` sends. Those of a weight (of many steps, say) are added as they come, so that no
        more than two of them are alive at a time."""
        if target in self.wants:
            parts = self.sent.setdefault(target, [])
            parts.append(gradient)
            if len(parts) > 1 and self.tensors[target].role is Role.WEIGHT:
                self.sent[target] = [self._sum(target, parts)]
