"""Randomly wired networks, RandWire-WS (Xie, Kirillov, Girshick and He, ICCV 2019): stages wired by Watts and Strogatz's random graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from types import MappingProxyType

from workloads.graph import OperatorGraph
from workloads.zoo.nas_blocks import relu_conv_norm, separable
from workloads.zoo.network import NATIVE_FORMAT, Network

NEIGHBOURS, REWIRED = 4, 0.75
"""WS(4, 0.75), the generator that the paper's tables with ImageNet report."""


def wiring(nodes: int, random: Random) -> tuple[tuple[int, ...], ...]:
    """Per node the nodes that it reads, ascending, all before it.

    Section 3.2 of the paper: nodes on a ring, each with edges to its ``NEIGHBOURS`` / 2 next ones; in ``NEIGHBOURS`` / 2 rounds every edge
    from a node to its i-th next one is moved with probability ``REWIRED`` to a node chosen evenly from those to which there is no edge.
    Edges lead from the lower to the higher number.
    """
    reach = NEIGHBOURS // 2
    linked: list[set[int]] = [{(node + by) % nodes for by in range(-reach, reach + 1) if by} for node in range(nodes)]
    for by in range(1, reach + 1):
        for node in range(nodes):
            old = (node + by) % nodes
            if random.random() >= REWIRED:
                continue
            free = [other for other in range(nodes) if other != node and other not in linked[node]]
            if not free:
                continue
            new = free[int(random.random() * len(free))]
            linked[node].remove(old)
            linked[old].remove(node)
            linked[node].add(new)
            linked[new].add(node)
    return tuple(tuple(sorted(other for other in linked[node] if other < node)) for node in range(nodes))


def _stage(net: Network, x: str, name: str, nodes: int, channels: int, random: Random) -> str:
    """A random graph of nodes that sum what they read with learned positive weights and apply ReLU, separable 3x3 and normalization.

    Nodes that read no other node read the stage's input with stride 2; the output is the mean of the nodes that nobody reads. The
    weights of a sum are constants of its operator; that of a single edge is part of the convolution behind it (ReLU is homogeneous).
    """
    builder, wires = net.builder, wiring(nodes, random)
    made: list[str] = []
    for node, read in enumerate(wires):
        at = f"{name}.{node}"
        if not read:
            made.append(separable(net, x, at, channels, 3, stride=2))
            continue
        parts = [made[other] for other in read]
        summed = builder.elementwise("add", parts, f"{at}.sum", vector_ops=2 * len(parts) - 1) if len(parts) > 1 else parts[0]
        made.append(separable(net, summed, at, channels, 3))
    read_by_some = {other for read in wires for other in read}
    last = [made[node] for node in range(nodes) if node not in read_by_some]
    return builder.elementwise("add", last, f"{name}.mean", vector_ops=len(last)) if len(last) > 1 else last[0]


def randwire(name: str, nodes: int, channels: int, seed: int, regular: bool, batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """RandWire-WS, 224 x 224 (table 1 of the paper).

    Args:
        nodes: of a stage.
        channels: C of the paper: 78 in its small regime, 109 and 154 in its regular one.
        seed: of the wiring; the same seed gives the same network.
        regular: the second stage is wired too, with half as many nodes, and the channels go up to 8 C instead of 4 C.
    """
    net, random = Network(name, batch, format), Random(seed)
    x = net.conv_norm("image", "conv1", "norm1", channels // 2, 3, stride=2)
    x = _stage(net, x, "conv2", nodes // 2, channels, random) if regular else relu_conv_norm(net, x, "conv2", channels, 3, stride=2)
    for stage in range(3):
        x = _stage(net, x, f"conv{stage + 3}", nodes, channels << (stage + regular), random)
    return net.classify(relu_conv_norm(net, x, "classifier", 1280), "fc")


_SHAPES = {  # nodes of a stage, C, seed, regular regime
    **{f"randwire-ws16-s{seed}": (16, 78, seed, False) for seed in (1, 2, 3)},
    **{f"randwire-ws32-s{seed}": (32, 78, seed, False) for seed in (1, 2, 3)},
    "randwire-ws32-c109-s1": (32, 109, 1, True),
}

NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {
        name: (partial(randwire, name, *shape), f"RandWire-WS, {shape[0]} nodes a stage, C = {shape[1]}, seed {shape[2]}, 224 x 224")
        for name, shape in _SHAPES.items()
    }
)
"""Name to (builder of (batch, format), description)."""
