"""What a graph counts to, independent of any hardware: MACs, parameters, stored bytes, peak activation memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from workloads.graph import Nest, Operand, Operator, OperatorGraph, Repeat, Role, Tensor
from workloads.transformer_counts import inactive_parameters


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of one graph, repeats unfolded.

    Attributes:
        macs: multiply-accumulates as if every operand were dense; causal attention counts its full rectangle.
        flops: 2 x ``macs``; elementwise work is not in it.
        executed_macs: MACs left when the zeros of sparse operands are skipped (macs x density of each operand of the nest).
        vector_ops: elementary vector operations (``nests.VECTOR_OPS``).
        parameters: values of all weights, zeros and stored constants included, a shared or tied weight once.
        weight_bytes: bytes that the weights take in memory: packing, scales and zero points, sparse indices.
        kv_cache_bytes: bytes of the key-value cache, new tokens included.
        state_bytes: bytes of recurrent and optimizer states.
        peak_activation_bytes: most bytes of activations alive at once in program order, views and aliases not counted twice.
        active_parameters: parameters that one token uses: all but the routed experts it does not visit.
        operators: operators run (a body of a repeat ``count`` times); ``distinct_operators``: as stored, repeats folded.
    """

    macs: int
    flops: int
    executed_macs: int
    vector_ops: int
    parameters: int
    weight_bytes: int
    kv_cache_bytes: int
    state_bytes: int
    peak_activation_bytes: int
    operators: int
    distinct_operators: int
    active_parameters: int = 0

    def as_dict(self) -> dict[str, int]:
        """Name to count."""
        return asdict(self)


_MEMORY_ROLES = {
    Role.WEIGHT: "weight",
    Role.KV_CACHE: "kv",
    Role.STATE: "state",
    Role.OPTIMIZER_STATE: "state",
}
_ALIVE_ROLES = frozenset((Role.ACTIVATION, Role.GRADIENT, Role.INDEX))


def counts(graph: OperatorGraph) -> Counts:
    """Count ``graph``."""
    macs = executed = vector_ops = operators = distinct = 0
    for operator, holder, times in graph.walk():
        distinct += 1
        operators += times
        for nest in operator.nests:
            if nest.function == "mac":
                macs += nest.macs * times
                executed += executed_macs(nest, operator, holder.tensors) * times
            elif nest.vector_ops:
                vector_ops += nest.points * nest.vector_ops * times
    parameters, stored = stored_counts(graph)
    return Counts(
        macs, 2 * macs, executed, vector_ops, parameters, stored["weight"], stored["kv"], stored["state"],
        peak_activation_bytes(graph), operators, distinct, parameters - inactive_parameters(graph),
    )  # fmt: skip


def stored_counts(graph: OperatorGraph) -> tuple[int, dict[str, int]]:
    """(parameters, bytes of ``weight``, ``kv`` and ``state``) that the graph finds in memory."""
    parameters = 0
    stored = {"weight": 0, "kv": 0, "state": 0}
    for tensor, times in stored_tensors(graph):
        kind = _MEMORY_ROLES[tensor.role]
        stored[kind] += tensor.stored_bytes * times
        if kind == "weight" and tensor.view_of is None:
            parameters += tensor.values * times
    return parameters, stored


def executed_macs(nest: Nest, operator: Operator, tensors: Mapping[str, Tensor]) -> int:
    """MACs of ``nest`` with the zeros of its sparse operands skipped (operands' zeros taken as independent)."""
    density = 1.0
    for operand in nest.reads:
        tensor = operator.internal.get(operand.tensor) or tensors.get(operand.tensor)
        if tensor is not None and tensor.sparsity.kind != "dense":
            density *= tensor.sparsity.kept(tensor.values) / tensor.values if tensor.values else 0.0
            if tensor.view_of is not None:
                density *= _padding(nest, operand, tensor)
    return nest.macs if density == 1.0 else round(nest.macs * density)


def _padding(nest: Nest, operand: Operand, view: Tensor) -> float:
    """Extent of the pruned axis of an N:M view over what the nest reads of it: 1 unless the view is padded to whole groups."""
    extents = dict(nest.dims)
    index = operand.axes[view.sparsity.axis]
    return view.shape[view.sparsity.axis] / (1 + sum(abs(step) * (extents[dim] - 1) for dim, step in index.terms))


def stored_tensors(graph: OperatorGraph, times: int = 1) -> Iterator[tuple[Tensor, int]]:
    """Weights, caches and states with how many such tensors there are.

    Left out are tensors that an operator produces, views and aliases of another tensor, and inputs of a body that the
    enclosing graph holds (shared weights, carried states, slices of stacked tensors).
    """
    produced: set[str] = set()
    for node in graph.nodes:
        produced.update(node.written if isinstance(node, Repeat) else node.outputs)
        if isinstance(node, Repeat):
            entering = {*node.inputs, *node.stacked}
            for tensor, count in stored_tensors(node.body, times * node.count):
                if tensor.name in entering:
                    continue
                yield tensor, times if tensor.name in node.shared and count == times * node.count else count
    for tensor in graph.tensors.values():
        if tensor.role in _MEMORY_ROLES and tensor.alias_of is None and tensor.name not in produced:
            yield tensor, times


def peak_activation_bytes(graph: OperatorGraph) -> int:
    """Most bytes of activations alive at once when operators run in program order and each tensor is freed after its last use."""
    roots = _alias_roots(graph.tensors)
    last: dict[str, int] = {}
    for step, node in enumerate(graph.nodes):
        for name in _touched(node):
            last[roots[name]] = step
    for name in graph.outputs:
        last[roots[name]] = len(graph.nodes)
    dying: list[list[str]] = [[] for _ in range(len(graph.nodes) + 1)]
    for name, step in last.items():
        dying[step].append(name)

    size = {name: tensor.stored_bytes for name, tensor in graph.tensors.items() if tensor.role in _ALIVE_ROLES}
    alive: set[str] = {roots[name] for name in graph.inputs}
    now = sum(size.get(name, 0) for name in alive)
    peak = now
    for step, node in enumerate(graph.nodes):
        for name in node.written if isinstance(node, Repeat) else node.outputs:
            root = roots[name]
            if root not in alive:
                alive.add(root)
                now += size.get(root, 0)
        inside = _inside(node) if isinstance(node, Repeat) else 0
        peak = max(peak, now + inside)
        for name in dying[step]:
            if name in alive:
                alive.remove(name)
                now -= size.get(name, 0)
    return peak


def _inside(repeat: Repeat) -> int:
    """Activation bytes of a body beyond its inputs and outputs, which the enclosing graph counts."""
    seen = {*repeat.inputs, *repeat.outputs, *repeat.stacked}
    shared = sum(
        tensor.stored_bytes for name in seen if (tensor := repeat.body.tensors.get(name)) is not None and tensor.role in _ALIVE_ROLES
    )
    return max(0, peak_activation_bytes(repeat.body) - shared)


def _touched(node: Operator | Repeat) -> Iterator[str]:
    if isinstance(node, Repeat):
        yield from node.read
        yield from node.written
    else:
        yield from node.inputs
        yield from node.outputs


def _alias_roots(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Each tensor to the one whose storage it uses."""
    roots: dict[str, str] = {}
    for name in tensors:
        path = name
        for _ in range(len(tensors)):
            target = tensors[path].alias_of
            if target is None or target not in tensors:
                break
            path = target
        roots[name] = path
    return roots
