"""Plays graphs of linear layers, sums and ReLUs on arrays: whole, or step by step with states that live from step to step."""

from __future__ import annotations

import numpy as np

from tests.workloads.nest_interpreter import play
from workloads.graph import Nest, OperatorGraph, Role


def _value(nest: Nest, arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    writes = tuple(operand for operand in nest.writes if operand.tensor == name)

    def once(reads) -> np.ndarray:
        return play(Nest(nest.dims, "copy", tuple(reads), writes), arrays, shape)

    if nest.function == "add" and len(nest.reads) > 1:
        return sum(once((read,)) for read in nest.reads)
    if nest.function == "sub":  # the change of a tensor; what it was is kept beside it
        return once(nest.reads[:1]) - (0.0 if name.endswith("_new") else once(nest.reads[1:]))
    result = once(nest.reads)
    return np.maximum(result, 0.0) if nest.function == "relu" else result


def run(graph: OperatorGraph, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All tensors of ``graph``; an alias begins with what its storage holds."""
    arrays = dict(arrays)
    for operator in graph.nodes:
        if operator.kind == "view":
            for name in operator.outputs:
                arrays[name] = arrays[operator.inputs[0]].reshape(graph.tensors[name].shape)
            continue
        local = dict(arrays)
        for nest in operator.nests:
            for operand in nest.writes:
                name = operand.tensor
                tensor = operator.internal.get(name) or graph.tensors[name]
                made = _value(nest, local, name, tensor.shape)
                if name in operator.outputs and tensor.alias_of is not None and name.endswith(".span"):
                    ring = arrays[tensor.alias_of]
                    made[tuple(slice(size) for size in ring.shape)] += ring
                local[name] = made + (local[name] if name.endswith(".span") and name in local else 0.0)
        arrays.update({name: local[name] for name in operator.outputs})
    return arrays


def stream_through(step: OperatorGraph, weights: dict[str, np.ndarray], signal: np.ndarray, source: str, axis: int) -> list[np.ndarray]:
    """Outputs of ``step`` for each hop of ``signal``, states carried on from zeros."""
    hop = step.tensors[source].shape[axis]
    states = {
        name: np.zeros(tensor.shape) for name, tensor in step.tensors.items() if tensor.role is Role.STATE and tensor.alias_of is None
    }
    results = []
    for begin in range(0, signal.shape[axis] - hop + 1, hop):
        fresh = np.take(signal, range(begin, begin + hop), axis)
        arrays = run(step, {**weights, **states, source: fresh})
        for name in states:
            base = name.removesuffix(".ring")
            if f"{name}_new" in arrays:
                states[name] = arrays[f"{name}_new"]
                continue
            span = arrays[f"{base}.span"]
            (along,) = [i for i, (a, b) in enumerate(zip(span.shape, states[name].shape, strict=True)) if a != b]
            states[name] = np.take(span, range(span.shape[along] - states[name].shape[along], span.shape[along]), along)
        results.append(arrays[step.outputs[0]])
    return results
