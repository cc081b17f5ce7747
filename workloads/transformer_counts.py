"""Counts of language models that papers state beside the parameters: idle experts, cache bytes per token."""

from __future__ import annotations

from hwspecs.vocabulary.formats import number_format
from workloads.graph import Operator, OperatorGraph, Repeat, Role
from workloads.transformer_config import TransformerConfig


def inactive_parameters(graph: OperatorGraph, times: int = 1) -> int:
    """Parameters of the routed experts that one token does not visit.

    An operator whose attributes state ``experts`` and ``experts_per_token`` reads weights with the expert as first axis.
    """
    idle = 0
    for node in graph.nodes:
        if isinstance(node, Repeat):
            idle += inactive_parameters(node.body, times * node.count)
        else:
            idle += times * _idle(node, graph)
    return idle


def _idle(operator: Operator, graph: OperatorGraph) -> int:
    experts, visited = operator.attributes.get("experts"), operator.attributes.get("experts_per_token")
    if not isinstance(experts, int) or not isinstance(visited, int):
        return 0
    weights = [graph.tensors[name] for name in operator.inputs if graph.tensors[name].role is Role.WEIGHT]
    return sum(tensor.values // experts * (experts - visited) for tensor in weights if tensor.shape[0] == experts)


def kv_bytes_per_token(config: TransformerConfig, format: str | None = None) -> int:
    """Bytes of cache that one position of one sequence takes: keys and values of all layers, in ``format`` (default: the config's).

    2 x layers x kv_heads x head_dim values; 0 for an encoder.
    """
    if config.encoder:
        return 0
    return number_format(format or config.format).stored_bytes(2 * config.layers * config.kv_width)
