"""One training step of a plain convolutional network, written out: forward pass, gradients of activations, gradients of weights.

For schedulers: activations are read again far behind where they are made. It is no training system: the gradient of the loss enters as an
input, batch normalization is frozen (a scale and a shift that are not trained), there is no optimizer, and nothing is recomputed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from hwspecs.vocabulary.errors import ModelError
from workloads.builder import GraphBuilder
from workloads.graph import Nest, Operand, Operator, OperatorGraph, Role
from workloads.zoo.network import NATIVE_FORMAT, Network
from workloads.zoo.resnet import resnet


def with_gradients(graph: OperatorGraph, name: str) -> OperatorGraph:
    """``graph`` followed by its reverse: the gradients of its weights leave beside its outputs.

    Handled are convolutions and matrix products (with a bias), frozen batch normalization, ReLU, sums of activations, max pooling, means
    and views. In the loop nest of a product each operand's gradient is the product of the other two over the same iteration space
    (Rumelhart, Hinton and Williams 1986), so MACs of the step are three times those of the forward pass, less the gradient of the input.

    Raises:
        ModelError: names the operator that is not handled.
    """
    reverse = _Reverse(graph, name)
    for node in reversed(graph.nodes):
        if not isinstance(node, Operator):
            raise ModelError("a repeat has no written out gradient", where=node.name, hint="unroll it first")
        reverse.operator(node)
    return reverse.builder.build()


class _Reverse:
    """The reverse of a graph under construction: per tensor the gradients that its readers have sent."""

    def __init__(self, graph: OperatorGraph, name: str) -> None:
        meta = {**graph.meta, "phase": "training", "source": f"zoo:{name}"}
        self.builder = builder = GraphBuilder(name, next(iter(graph.tensors.values())).format, meta)
        builder.tensors, builder.nodes = dict(graph.tensors), list(graph.nodes)
        builder.inputs, builder.outputs = list(graph.inputs), list(graph.outputs)
        self.wanted = {out for node in graph.nodes if isinstance(node, Operator) for out in node.outputs}
        self.sent: dict[str, list[str]] = {}
        for out in graph.outputs:
            self.sent[out] = [builder.input(f"{out}.gradient", graph.tensors[out].shape, role=Role.GRADIENT)]

    def operator(self, node: Operator) -> None:
        """Send gradients from the output of ``node`` to its inputs."""
        out = node.outputs[0]
        parts = self.sent.get(out, [])
        if not parts:
            return
        given = parts[0]
        if len(parts) > 1:
            given = self.builder.elementwise("add", parts, self._tensor(out, f"{out}.gradient"))
        function = node.nests[0].function if node.nests else node.kind
        handler = _HANDLERS.get("mean" if node.kind == "pool" and function == "add" else function)
        if handler is None:
            raise ModelError(f"operators of kind {node.kind!r} ({function}) have no gradient here", where=node.name)
        handler(self, node, given)

    def _tensor(self, like: str, name: str) -> str:
        return self.builder.tensor(name, self.builder[like].shape, role=Role.GRADIENT)

    def _send(self, node: Operator, place: int, kind: str, reads: tuple[str, ...], nest: Nest) -> None:
        """Add the operator that makes the gradient of input ``place`` with ``nest``, whose write says where each element lies."""
        x = node.inputs[place]
        made = self._tensor(x, f"{node.name}.gradient{place}")
        nest = replace(nest, writes=(Operand(made, nest.writes[0].axes),))
        self.builder.operator(kind, reads, (made,), (nest,), attributes={"gradient": nest.function})
        if self.builder[x].role is Role.WEIGHT:
            self.builder.output(made)
        else:
            self.sent.setdefault(x, []).append(made)

    def product(self, node: Operator, given: str) -> None:
        """Convolution or matrix product; a bias is the second nest."""
        step = node.nests[0]
        a, b = step.reads
        coming = Operand(given, step.writes[0].axes)
        if self.builder[b.tensor].role is not Role.WEIGHT:
            raise ModelError("a product of two activations has no gradient here", where=node.name)
        if a.tensor in self.wanted:
            self._send(node, 0, node.kind, (given, b.tensor), Nest(step.dims, "mac", (coming, b), (a,)))
        self._send(node, 1, node.kind, (a.tensor, given), Nest(step.dims, "mac", (a, coming), (b,)))
        if len(node.nests) > 1:
            add = node.nests[1]
            self._send(node, 2, "reduce", (given,), Nest(add.dims, "add", (Operand(given, add.writes[0].axes),), (add.reads[1],), 1))

    def pointwise(self, node: Operator, given: str) -> None:
        """ReLU: passed where the output is not zero, which is why the output is kept; a frozen normalization: its scale."""
        step, out = node.nests[0], node.outputs[0]
        factor = Operand(out, step.writes[0].axes) if step.function == "relu" else step.reads[1]
        made = Nest(step.dims, "mul", (Operand(given, step.writes[0].axes), factor), (step.reads[0],), 1)
        self._send(node, 0, "elementwise", (given, factor.tensor), made)

    def add(self, node: Operator, given: str) -> None:
        """Each addend takes the gradient as it is."""
        for x in node.inputs:
            self.sent.setdefault(x, []).append(given)

    def largest(self, node: Operator, given: str) -> None:
        """Max pooling: to the element of each window that equals the result; one comparison and one sum a tap."""
        step, out = node.nests[0], node.outputs[0]
        x, written = step.reads[0], step.writes[0].axes
        made = Nest(step.dims, "max", (x, Operand(out, written), Operand(given, written)), (x,), 2)
        self._send(node, 0, "pool", (x.tensor, out, given), made)

    def mean(self, node: Operator, given: str) -> None:
        """The same share to every element."""
        step = node.nests[0]
        self._send(node, 0, "elementwise", (given,), Nest(step.dims, "mul", (Operand(given, step.writes[0].axes),), (step.reads[0],), 1))

    def view(self, node: Operator, given: str) -> None:
        """The gradient in the shape of the input."""
        x = node.inputs[0]
        made = self.builder.view(given, f"{node.name}.gradient0", self.builder[x].shape)
        self.sent.setdefault(x, []).append(made)


_HANDLERS: Mapping[str, Callable[[_Reverse, Operator, str], None]] = MappingProxyType(
    {
        "mac": _Reverse.product, "relu": _Reverse.pointwise, "affine": _Reverse.pointwise, "add": _Reverse.add,
        "max": _Reverse.largest, "mean": _Reverse.mean, "view": _Reverse.view,
    }
)  # fmt: skip


def chain(layers: int, batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """A training step of ``layers`` 3x3 convolutions with ReLU, 64 channels, 56 x 56 pixels, no shortcuts."""
    net = Network(f"chain-{layers}", batch, format, shape=(64, 56, 56))
    x = "image"
    for layer in range(layers):
        x = net.activate("relu", net.conv(x, f"conv{layer}", 64, 3), f"relu{layer}")
    return with_gradients(net.finish(x), f"training-chain-{layers}")


def residual(batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """A training step of ResNet-18, 224 x 224, batch normalization frozen."""
    return with_gradients(resnet("resnet18", batch, format), "training-resnet18")


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {
        "training-chain-16": (partial(chain, 16), "training step of 16 convolutions, 64 x 56 x 56, no optimizer"),
        "training-chain-64": (partial(chain, 64), "training step of 64 convolutions, 64 x 56 x 56, no optimizer"),
        "training-resnet18": (residual, "training step of ResNet-18, frozen batch normalization, no optimizer"),
    }
)
"""Name to (builder of (batch, format), description)."""
