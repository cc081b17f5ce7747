"""The edges of an operator graph, as a networkx graph."""

from __future__ import annotations

from typing import Any

from workloads.graph import OperatorGraph, Repeat


def to_networkx(graph: OperatorGraph) -> Any:
    """A ``networkx.MultiDiGraph`` of the graph's operators and repeats (bodies stay folded).

    Nodes are names with ``kind`` (``repeat`` for a repeat) and ``macs`` (one round of a body times its count); an edge leads from the
    maker of a tensor to each reader, with the tensor's name as its key and ``bytes``. Weights and graph inputs make no edges.
    """
    import networkx as nx

    result: Any = nx.MultiDiGraph(name=graph.name)
    maker: dict[str, str] = {}
    for node in graph.nodes:
        if isinstance(node, Repeat):
            result.add_node(node.name, kind="repeat", macs=sum(operator.macs * times for operator, _, times in node.body.walk(node.count)))
            inputs, outputs = node.read, node.written
        else:
            result.add_node(node.name, kind=node.kind, macs=node.macs)
            inputs, outputs = node.inputs, node.outputs
        for name in dict.fromkeys(inputs):
            if name in maker:
                result.add_edge(maker[name], node.name, key=name, bytes=graph.tensors[name].stored_bytes)
        maker.update((name, node.name) for name in outputs)
    return result
