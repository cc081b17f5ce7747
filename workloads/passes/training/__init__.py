"""Training steps: forward pass, gradients and the optimizer's update as one graph."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

from hwspecs.vocabulary.errors import ArgumentError, ModelError
from hwspecs.vocabulary.suggest import did_you_mean
from workloads.graph import Operator, OperatorGraph, Repeat, Role, Tensor
from workloads.passes.training.blocks import cross_entropy
from workloads.passes.training.options import ATTENTION, OPTIMIZERS, PRECISIONS, RECOMPUTE, read_settings
from workloads.passes.training.prepare import prepared
from workloads.passes.training.reverse import Reverse, segments_of
from workloads.passes.training.tape import Tape
from workloads.passes.training.update import updates
from workloads.passes.training.wants import wanted

__all__ = ["ATTENTION", "OPTIMIZERS", "PRECISIONS", "RECOMPUTE", "training"]

_LINEAR = frozenset(("gemm", "conv"))


def training(
    graph: OperatorGraph, *, optimizer: str = "sgd-momentum", precision: str = "fp16-mixed", gradients: str | None = None,
    recompute: str = "none", frozen: str | tuple[str, ...] = (), attention: str = "flash",
) -> OperatorGraph:  # fmt: skip
    """One training step of ``graph``: forward (``attributes["pass"]`` FF), input gradients (BP), weight gradients (WU), ``update``.

    What the backward pass reads of the forward pass stays alive until then, as the edges of the graph say. A repeat becomes three: its
    rounds, their reverse and their updates, over the same stacked tensors. Logits (outputs of a product) end in a cross-entropy
    loss whose labels are an input; the gradients of other outputs enter as inputs. Batch normalization uses the batch's statistics.

    Args:
        graph: a forward graph; fused operators are taken apart again.
        optimizer: ``sgd``, ``sgd-momentum`` or ``adam``.
        precision: ``fp16-mixed`` or ``bf16-mixed`` (16-bit compute and gradients, FP32 master weights and optimizer states), ``fp32``,
            ``bf16``, ``fp16`` (one format for all).
        gradients: format of the weights' gradients, if not that of compute.
        recompute: ``none``, or ``blocks``: of each round of a repeat only its input is kept; a graph without repeats is cut into about
            the root of its operators' number of segments.
        frozen: patterns of weights that are not trained, as in file names; ``!pattern``: all but these are frozen.
        attention: ``flash``: fused attention keeps queries, keys and values and makes the scores again; ``split``: scores are tensors.

    Raises:
        UnknownNameError, ArgumentError: an argument is not known, or a pattern of ``frozen`` is of no weight.
        UnsupportedError: an operator has no known gradient; names it.
        ModelError: nothing in the graph is trained, or it is a training step already.
    """
    if "optimizer" in graph.meta or graph.meta.get("phase") == "training":
        raise ModelError("is a training step already", where=graph.name, hint="leave the phase out, or name the network that it trains")
    settings = read_settings(optimizer, precision, gradients, recompute, frozen, attention)
    _check_patterns(graph, settings.frozen)
    graph = prepared(graph, settings)
    tape = Tape(graph.name, dict(graph.tensors), wanted(graph, settings.trains), settings.precision.gradient)
    if not any(name in tape.wants for name in graph.outputs):
        raise ModelError("no output depends on a trained weight", where=graph.name, hint="freeze fewer weights")
    nodes, inputs = list(graph.nodes), list(graph.inputs)
    outputs: list[str] = []
    for name in graph.outputs:
        axis = _classes(graph, name)
        if name not in tape.wants:
            outputs.append(name)
        elif axis is None:
            inputs.append(tape.new(f"{name}.loss_gradient", tape.tensors[name]))
            tape.sent[name] = [inputs[-1]]
            outputs.append(name)
        else:
            labels = f"{name}.labels"
            operator, loss = cross_entropy(tape, name, labels, axis)
            nodes.append(operator)
            inputs.append(labels)
            outputs.append(loss)
    reverse = Reverse(settings, tape)
    straight = not any(isinstance(node, Repeat) for node in graph.nodes)
    reverse.run(graph.nodes, segments_of(graph) if settings.recompute and straight else ())
    nodes = [reverse.forward.get(node.name, node) if isinstance(node, Repeat) else node for node in nodes]
    reversed_ = {node.name: node.body for node in tape.nodes if isinstance(node, Repeat)}
    steps: list[Operator | Repeat] = updates(tape.tensors, reverse.weights[""], None, None, settings)
    for name, repeat in reverse.forward.items():
        steps.extend(updates(tape.tensors, reverse.weights[name], repeat, reversed_[f"{name}.backward"], settings))
    meta = {**graph.meta, "phase": "train", "optimizer": optimizer, "precision": precision, "recompute": recompute}
    meta["format"] = settings.precision.compute.name
    step = OperatorGraph(
        graph.name,
        tape.tensors,
        (*nodes, *tape.nodes, *steps),
        tuple(inputs),
        tuple(outputs),
        (*graph.notes, *_notes(graph, outputs)),
        meta,
    )
    return replace(step, tensors=_used(step))


def _classes(graph: OperatorGraph, name: str) -> int | None:
    """The axis of ``name`` along which classes lie: the last, of images (N, classes, ...) the second; None if it is no product's result."""
    makers = {output: node for node in graph.nodes if isinstance(node, Operator) for output in node.outputs}
    rank = len(graph.tensors[name].shape)
    if rank < 2:
        return None
    node = makers.get(name)
    while node is not None and (node.kind == "view" or node.attributes.get("function") == "resize" or node.attributes.get("adapted")):
        node = makers.get(node.inputs[0])
    if node is None or node.kind not in _LINEAR:
        return None
    return 1 if rank > 3 else rank - 1


def _check_patterns(graph: OperatorGraph, patterns: tuple[str, ...]) -> None:
    """Raise where a pattern of ``frozen`` is of no weight: a slip of the pen would train or freeze what nobody meant."""
    names = _weights(graph) if patterns else set()
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern.removeprefix("!")) for name in names):
            hint = did_you_mean(pattern.removeprefix("!"), sorted(names))
            raise ArgumentError(f"no weight of {graph.name} is meant by {pattern!r}", where="frozen", hint=hint)


def _weights(graph: OperatorGraph) -> set[str]:
    """Names of the weights, inside repeats and out."""
    found = {name for name, tensor in graph.tensors.items() if tensor.role is Role.WEIGHT}
    return found.union(*(_weights(node.body) for node in graph.nodes if isinstance(node, Repeat)))


def _notes(graph: OperatorGraph, outputs: list[str]) -> list[str]:
    notes = []
    entering = [name for name in graph.outputs if name in outputs]
    if entering:
        notes.append(f"training: no loss is known for {', '.join(entering)}; the gradient of it enters as an input")
    return notes


def _used(graph: OperatorGraph) -> dict[str, Tensor]:
    touched = {*graph.inputs, *graph.outputs}
    for node in graph.nodes:
        touched.update((*node.read, *node.written) if isinstance(node, Repeat) else (*node.inputs, *node.outputs))
    touched.update(alias for name in [*touched] if (alias := graph.tensors[name].alias_of) is not None)
    return {name: tensor for name, tensor in graph.tensors.items() if name in touched}
