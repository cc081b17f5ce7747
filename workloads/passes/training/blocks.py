"""Attention, batch normalization and loss: operators whose backward pass has a form of its own."""

from __future__ import annotations

from dataclasses import replace

from hwspecs.vocabulary.errors import UnsupportedError
from hwspecs.vocabulary.formats import number_format
from workloads.graph import Nest, Operand, Operator, OperatorGraph, Repeat, Role, Tensor
from workloads.nests import plain_axes, point_dims
from workloads.passes.training.tape import Attribute, Part, Tape

BATCHNORM_STATISTICS = 3
"""Operations per element of mean and variance: a sum, a square and its sum."""
BATCHNORM_SUMS = 5
"""Operations per element of the gradients of gamma and beta: (x - mean) rstd 2, g xh 1, two sums."""
BATCHNORM_INPUT = 4
"""Operations per element of the input's gradient a g + b x + c, with a, b and c made once per channel (Ioffe and Szegedy, arXiv 1502.03167,
section 3)."""


def attention(tape: Tape, node: Operator, given: dict[str, str]) -> None:
    """Fused attention: five products where the forward pass has two, the scores made again from queries and keys.

    dV = P^T dO, dP = dO V^T, dS = P (dP - rowsum(P dP)), dQ = dS K, dK = dS^T Q (Dao et al., arXiv 2205.14135, algorithm 4). Only
    queries, keys and values are kept; ``attributes["recomputed_macs"]`` counts the product that is done twice.
    """
    if len(node.nests) != 3 or [nest.function for nest in node.nests] != ["mac", "softmax", "mac"]:
        raise UnsupportedError("attention fused with something else has no known gradient", where=node.name, hint="train an unfused graph")
    scores, weights, values = node.nests
    (score, prob), (query, key), value = (scores.writes[0], weights.writes[0]), scores.reads, values.reads[1]
    coming = Operand(given[node.outputs[0]], values.writes[0].axes)
    base = f"{node.name}.gradient"
    internal = dict(node.internal)
    held = {name: replace(internal[like.tensor], name=f"{base}.{name}") for name, like in (("probs", prob), ("scores", score))}
    internal.update({tensor.name: tensor for tensor in held.values()})
    d_prob, d_score = Operand(f"{base}.probs", prob.axes), Operand(f"{base}.scores", score.axes)
    made = {}
    for read in (query, key, value):
        made[read.tensor] = Operand(tape.new(f"{base}.{read.tensor}", tape.tensors[read.tensor]), read.axes)
    nests = (
        scores, weights,
        Nest(values.dims, "mac", (prob, coming), (made[value.tensor],)),
        Nest(values.dims, "mac", (coming, value), (d_prob,)),
        Nest(weights.dims, "softmax_gradient", (d_prob, prob), (d_score,), 5),
        Nest(scores.dims, "mac", (d_score, key), (made[query.tensor],)),
        Nest(scores.dims, "mac", (query, d_score), (made[key.tensor],)),
    )  # fmt: skip
    reads = [read.tensor for nest in nests for read in nest.reads if read.tensor not in internal]
    outputs = tuple(dict.fromkeys(operand.tensor for operand in made.values()))
    facts: dict[str, Attribute] = {"backward": True, "recomputed_macs": scores.macs, "causal": bool(node.attributes.get("causal", False))}
    facts.update({name: node.attributes[name] for name in ("queries", "keys") if name in node.attributes})
    tape.operator("attention", reads, outputs, nests, "BP", facts, internal)
    for name, operand in made.items():
        tape.give(name, operand.tensor)


def with_statistics(graph: OperatorGraph) -> OperatorGraph:
    """``graph`` with batch normalization as training has it: mean and variance of the batch, then scale and shift."""
    tensors = dict(graph.tensors)
    nodes: list[Operator | Repeat] = []
    for node in graph.nodes:
        if isinstance(node, Repeat):
            nodes.append(replace(node, body=with_statistics(node.body)))
        elif node.attributes.get("norm") == "batchnorm" and len(node.nests) == 1 and node.nests[0].function == "affine":
            nodes.extend(_batchnorm(node, tensors))
        else:
            nodes.append(node)
    return replace(graph, tensors=tensors, nodes=tuple(nodes))


def _batchnorm(node: Operator, tensors: dict[str, Tensor]) -> tuple[Operator, Operator]:
    nest = node.nests[0]
    x, scale, _ = nest.reads
    made = []
    for word in ("mean", "rstd"):
        name = f"{node.name}.{word}"
        tensors[name] = Tensor(name, tensors[scale.tensor].shape, number_format("fp32"))
        made.append(Operand(name, scale.axes))
    sums = Nest(nest.dims, "add", (x,), tuple(made), BATCHNORM_STATISTICS)
    names = tuple(operand.tensor for operand in made)
    first = Operator(f"{node.name}.statistics", "reduce", (x.tensor,), names, (sums,), attributes={"norm": "batchnorm", "function": "add"})
    second = replace(
        node, inputs=(x.tensor, *names, *node.inputs[1:]), nests=(replace(nest, reads=(x, *made, *nest.reads[1:])),),
        attributes={**node.attributes, "batch_statistics": True},
    )  # fmt: skip
    return first, second


def batchnorm(tape: Tape, node: Operator, given: dict[str, str]) -> None:
    """Batch normalization: the two sums over the batch, which are the gradients of beta and gamma, then the input's gradient."""
    nest = node.nests[0]
    x, mean, rstd, scale, shift = nest.reads
    result = Operand(given[node.outputs[0]], nest.writes[0].axes)
    sums = []
    for weight in (scale, shift):
        name = tape.new(f"{node.name}.gradient.{weight.tensor.removeprefix(node.name + '.')}", tape.tensors[weight.tensor], weight=True)
        sums.append(Operand(name, weight.axes))
    phase = "WU" if scale.tensor in tape.wants else "BP"
    names = tuple(operand.tensor for operand in sums)
    nests = (Nest(nest.dims, "add", (result, x, mean, rstd), tuple(sums), BATCHNORM_SUMS),)
    reads = (result.tensor, x.tensor, mean.tensor, rstd.tensor)
    tape.operator("reduce", reads, names, nests, phase, {"norm": "batchnorm", "function": "add"})
    for weight, operand in zip((scale, shift), sums, strict=True):
        tape.give(weight.tensor, operand.tensor)
    part = Part(nest.dims, "batchnorm_gradient", (result, x, mean, rstd, scale, *sums), x.axes, BATCHNORM_INPUT)
    tape.send(node, x.tensor, "elementwise", [part], {"norm": "batchnorm", "function": "batchnorm_gradient"})


def cross_entropy(tape: Tape, logits: str, labels: str, axis: int) -> tuple[Operator, str]:
    """The loss of ``logits`` and the operator of its gradient: (forward operator, name of the loss).

    Forward log(sum(exp(l))) - l[label]: maximum, subtract, exp, sum and the choice of the label, 8 operations per logit; backward
    (softmax(l) - one hot) / rows: 7 (subtract, exp, subtract, scale).
    """
    tensor = tape.tensors[logits]
    dims = point_dims(len(tensor.shape))
    extents = tuple(zip(dims, tensor.shape, strict=True))
    whole = Operand(logits, plain_axes(dims))
    rows = tuple(dim for place, dim in enumerate(dims) if place != axis)
    shape = tuple(size for place, size in enumerate(tensor.shape) if place != axis)
    tape.tensors[labels] = Tensor(labels, shape, number_format("int32"), Role.INDEX)
    loss = Tensor(f"{logits}.loss", shape, number_format("fp32"))
    tape.tensors[loss.name] = loss
    chosen = Operand(labels, plain_axes(rows))
    forward = Nest(extents, "cross_entropy", (whole, chosen), (Operand(loss.name, plain_axes(rows)),), 8)
    facts: dict[str, Attribute] = {"axis": axis, "pass": "FF", "loss": True}
    operator = Operator(loss.name, "softmax", (logits, labels), (loss.name,), (forward,), attributes=facts, origin="training")
    made = tape.new(f"{loss.name}.gradient", tensor)
    back = Nest(extents, "cross_entropy_gradient", (whole, chosen), (Operand(made, plain_axes(dims)),), 7)
    tape.operator("softmax", (logits, labels), (made,), (back,), "BP", {"axis": axis, "loss": True})
    tape.give(logits, made)
    return operator, loss.name


__all__ = ["attention", "batchnorm", "cross_entropy", "with_statistics"]
