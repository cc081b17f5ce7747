"""DARTS (Liu, Simonyan and Yang, ICLR 2019): the cells of the second order search, as quark0/darts evaluates them (genotype V2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from workloads.graph import OperatorGraph
from workloads.zoo.nas_blocks import Cell, factorized_reduction, relu_conv_norm, separable, separable_twice
from workloads.zoo.network import NATIVE_FORMAT, Network

NORMAL = Cell(
    (
        (("separable", 0), ("separable", 1)), (("separable", 0), ("separable", 1)), (("separable", 1), ("skip", 0)),
        (("skip", 0), ("dilated", 2)),
    ),
    (2, 3, 4, 5),
)  # fmt: skip
REDUCTION = Cell(
    ((("max", 0), ("max", 1)), (("skip", 2), ("max", 1)), (("max", 0), ("skip", 2)), (("skip", 2), ("max", 1))),
    (2, 3, 4, 5),
)


def _operation(net: Network, x: str, name: str, kind: str, stride: int) -> str:
    channels = net.channels(x)
    if kind == "separable":
        return separable_twice(net, x, name, channels, 3, stride=stride)
    if kind == "dilated":
        return separable(net, x, name, channels, 3, stride=stride, dilation=2)
    return net.pool(x, name, "max", 3, stride=stride, pads=1) if kind == "max" else x  # these cells skip from inner states only


def apply(net: Network, cell: Cell, older: str, newer: str, name: str, channels: int, stride: int = 1) -> str:
    """One cell on the outputs of the two cells before it; state 0 comes from the older, state 1 from the newer one."""
    if net.builder[older].shape[2:] == net.builder[newer].shape[2:]:
        first = relu_conv_norm(net, older, f"{name}.older", channels)
    else:
        first = factorized_reduction(net, net.activate("relu", older, f"{name}.older.relu"), f"{name}.older", channels)
    states = [first, relu_conv_norm(net, newer, f"{name}.newer", channels)]
    for step, pair in enumerate(cell.steps):
        made = [
            _operation(net, states[state], f"{name}.{step}.{side}", kind, stride if state < 2 else 1)
            for side, (kind, state) in zip(("left", "right"), pair, strict=True)
        ]
        states.append(net.add(made, f"{name}.{step}"))
    return net.concat([states[state] for state in cell.joined], name)


def _cells(net: Network, older: str, newer: str, channels: int, cells: int) -> str:
    """``cells`` cells, those after one and two thirds of them being reductions that double the channels."""
    for index in range(cells):
        reduces = index in (cells // 3, 2 * cells // 3)
        channels *= 2 if reduces else 1
        made = apply(net, REDUCTION if reduces else NORMAL, older, newer, f"cell{index}", channels, 2 if reduces else 1)
        older, newer = newer, made
    return newer


def cifar(name: str, cells: int, batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """32 x 32 images, ten classes, 36 channels; with 20 cells 3,349,342 parameters."""
    net = Network(name, batch, format, 32)
    stem = net.conv_norm("image", "stem.conv", "stem.norm", 3 * 36, 3)
    return net.classify(_cells(net, stem, stem, 36, cells), "classifier", 10)


def imagenet(name: str, cells: int, batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """224 x 224 images, 48 channels at 28 x 28; with 14 cells 574 MMAC, 4,718,752 parameters."""
    net = Network(name, batch, format)
    x = net.conv_norm("image", "stem0.0", "stem0.1", 24, 3, stride=2, activation="relu")
    older = net.conv_norm(x, "stem0.3", "stem0.4", 48, 3, stride=2)
    newer = relu_conv_norm(net, older, "stem1", 48, 3, stride=2)
    return net.classify(_cells(net, older, newer, 48, cells), "classifier")


def body(name: str, cells: int, batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """``cells`` normal cells of constant width 48 on 28 x 28 pixels; what enters has the channels of a cell's output, 4 x 48, and is both
    inputs of the first cell."""
    net = Network(name, batch, format, shape=(4 * 48, 28, 28))
    older = newer = "image"
    for index in range(cells):
        older, newer = newer, apply(net, NORMAL, older, newer, f"cell{index}", 48)
    return net.finish(newer)


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {
        **{f"darts-{n}": (partial(body, f"darts-{n}", n), f"{n} normal cells of DARTS, width 48, 28 x 28") for n in (6, 14)},
        **{f"darts-cifar-{n}": (partial(cifar, f"darts-cifar-{n}", n), f"DARTS, {n} cells, width 36, 32 x 32") for n in (6, 14, 20)},
        "darts-imagenet": (partial(imagenet, "darts-imagenet", 14), "DARTS, 14 cells, width 48, 224 x 224"),
    }
)
"""Name to (builder of (batch, format), description)."""
