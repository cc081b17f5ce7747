"""What a training step counts to: MACs by pass, state and activations in memory, operations that N:M pruning saves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from workloads.counting import executed_macs, stored_tensors
from workloads.graph import Operator, OperatorGraph, Repeat, Role

PASSES = ("FF", "BP", "WU", "update", "recompute")


@dataclass(frozen=True, slots=True)
class PassMacs:
    """MACs of one pass: ``dense`` as if all operands were dense, ``executed`` with the zeros of N:M operands left out."""

    dense: int
    executed: int


def macs_by_pass(graph: OperatorGraph) -> dict[str, PassMacs]:
    """Pass to its MACs; products that the backward pass of fused attention does again count as ``recompute``."""
    dense, executed = dict.fromkeys(PASSES, 0), dict.fromkeys(PASSES, 0)
    for node, holder, times in graph.walk():
        phase = str(node.attributes.get("pass", "FF"))
        done = sum(executed_macs(nest, node, holder.tensors) for nest in node.nests if nest.function == "mac")
        again = int(node.attributes.get("recomputed_macs", 0))
        for where, all_, left in ((phase, node.macs - again, done - again), ("recompute", again, again)):
            dense[where] += all_ * times
            executed[where] += left * times
    return {name: PassMacs(dense[name], executed[name]) for name in PASSES}


def operation_reduction(graph: OperatorGraph) -> float:
    """Share of the MACs of FF, BP and WU that N:M operands save; recomputation is left out on both sides."""
    passes = [macs for name, macs in macs_by_pass(graph).items() if name != "recompute"]
    dense = sum(macs.dense for macs in passes)
    return 1 - sum(macs.executed for macs in passes) / dense if dense else 0.0


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Bytes that a training step holds, by what they are.

    Attributes:
        weights: weights that products read, frozen ones included; ``copies``: their pregenerated N:M views, indices included.
        optimizer: master weights and states of the optimizer.
        gradients: gradients of all trained weights.
        saved_activations: what the forward pass makes (or takes in) and the backward pass reads, logits included.
        state: weights, optimizer and gradients without copies; ``trained``: parameters that are updated.
    """

    weights: int
    copies: int
    optimizer: int
    gradients: int
    saved_activations: int
    trained: int

    @property
    def state(self) -> int:
        """Bytes of weights, optimizer states and gradients."""
        return self.weights + self.optimizer + self.gradients

    def as_dict(self) -> dict[str, int]:
        """Name to bytes (``trained``: parameters)."""
        return {**asdict(self), "state": self.state}


def training_memory(graph: OperatorGraph) -> TrainingMemory:
    """Count the memory of a training step (``passes.training``)."""
    weights = copies = optimizer = 0
    for tensor, times in stored_tensors(graph):
        size = tensor.stored_bytes * times
        if tensor.role is Role.OPTIMIZER_STATE:
            optimizer += size
        elif tensor.view_of is not None:
            copies += size
        elif tensor.role is Role.WEIGHT:
            weights += size
    gradients = trained = 0
    for node, holder, times in graph.walk():
        if node.kind == "update":
            (gradient,) = (holder.tensors[name] for name in node.inputs if holder.tensors[name].role is Role.GRADIENT)
            gradients += gradient.stored_bytes * times
            trained += gradient.values * times
    return TrainingMemory(weights, copies, optimizer, gradients, sum(saved_activations(graph).values()), trained)


def saved_activations(graph: OperatorGraph) -> Mapping[str, int]:
    """Tensors that the backward pass reads of the forward pass, with their bytes; those of a repeat as stacks of all rounds."""
    behind = {
        output: node.inputs[0] for node in graph.nodes if isinstance(node, Operator) and node.kind == "view" for output in node.outputs
    }

    def root(name: str) -> str:
        while name in behind:
            name = behind[name]
        return name

    made, read = set(graph.inputs), set[str]()
    for node in graph.nodes:
        if _phase(node) == "FF":
            made.update(node.written if isinstance(node, Repeat) else node.outputs)
        elif isinstance(node, Repeat) or node.kind != "view":
            read.update(root(name) for name in (node.read if isinstance(node, Repeat) else node.inputs))
    repeats = [node for node in graph.nodes if isinstance(node, Repeat)]
    slices = {outer for node in repeats for inner, outer in node.outputs.items() if inner in node.stacked}  # the last one of a stack
    kept = [name for name in graph.tensors if name in made and name in read and name not in slices]
    return {name: graph.tensors[name].stored_bytes for name in kept if graph.tensors[name].role is not Role.GRADIENT}


def _phase(node: Operator | Repeat) -> str:
    if isinstance(node, Repeat):
        return "FF" if any(operator.attributes.get("pass") == "FF" for operator, _, _ in node.body.walk()) else "BP"
    return str(node.attributes.get("pass", "FF"))
