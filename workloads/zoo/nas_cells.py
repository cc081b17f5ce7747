"""NASNet-A (Zoph et al., CVPR 2018), PNASNet-5 (Liu et al., ECCV 2018) and AmoebaNet-D (Real et al., AAAI 2019; GPipe, NeurIPS 2019).

Cells, stems and channel rules are those of the released TensorFlow code (tensorflow/models research/slim/nets/nasnet, tensorflow/tpu
models/official/amoeba_net), without the auxiliary head, which inference leaves out; 1000 classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from workloads.graph import OperatorGraph
from workloads.zoo.nas_blocks import Cell, factorized_reduction, relu_conv_norm, separable_twice
from workloads.zoo.network import NATIVE_FORMAT, Network

NASNET_NORMAL = Cell(
    (
        (("separable5", 0), ("separable3", 1)), (("separable5", 1), ("separable3", 1)), (("avg3", 0), ("none", 1)),
        (("avg3", 1), ("avg3", 1)), (("separable3", 0), ("none", 0)),
    ),
    (1, 2, 3, 4, 5, 6),
)  # fmt: skip
NASNET_REDUCTION = Cell(
    (
        (("separable5", 0), ("separable7", 1)), (("max3", 0), ("separable7", 1)), (("avg3", 0), ("separable5", 1)),
        (("none", 3), ("avg3", 2)), (("separable3", 2), ("max3", 0)),
    ),
    (3, 4, 5, 6),
)  # fmt: skip
PNASNET = Cell(
    (
        (("separable5", 1), ("max3", 1)), (("separable7", 0), ("max3", 0)), (("separable5", 0), ("separable3", 0)),
        (("separable3", 4), ("max3", 0)), (("separable3", 1), ("none", 0)),
    ),
    (2, 3, 4, 5, 6),
)  # fmt: skip
AMOEBANET_NORMAL = Cell(
    (
        (("conv1", 1), ("max3", 1)), (("none", 1), ("conv7", 0)), (("conv1", 0), ("conv7", 0)), (("max3", 2), ("none", 2)),
        (("avg3", 1), ("conv1", 5)),
    ),
    (0, 3, 4, 6),
)  # fmt: skip
AMOEBANET_REDUCTION = Cell(
    (
        (("max2", 0), ("max3", 0)), (("none", 2), ("conv3", 1)), (("conv7", 2), ("max3", 2)), (("none", 3), ("max2", 1)),
        (("avg3", 2), ("conv1", 3)),
    ),
    (4, 5, 6),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Family:
    """The cells of one architecture.

    Attributes:
        reduction: the cell that halves the resolution; None: the normal cell with a stride, in place of a normal one.
    """

    title: str
    normal: Cell
    reduction: Cell | None


NASNET_A = Family("NASNet-A", NASNET_NORMAL, NASNET_REDUCTION)
PNASNET_5 = Family("PNASNet-5", PNASNET, None)
AMOEBANET_D = Family("AmoebaNet-D", AMOEBANET_NORMAL, AMOEBANET_REDUCTION)


def _bottleneck(net: Network, x: str, name: str, windows: tuple[tuple[int, int], ...], channels: int, stride: int) -> str:
    """1x1 to a quarter of the channels, convolutions (strided along the axes along which they are wide), 1x1 back."""
    narrow = channels // 4
    x = relu_conv_norm(net, x, f"{name}.before", narrow)
    for index, window in enumerate(windows):
        steps = tuple(stride if size > 1 else 1 for size in window)
        y = net.activate("relu", x, f"{name}.{index}.relu")
        x = net.conv_norm(y, f"{name}.{index}.conv", f"{name}.{index}.norm", narrow, window, stride=steps)
    return relu_conv_norm(net, x, f"{name}.after", channels)


def _pool(net: Network, x: str, name: str, kind: str, channels: int, stride: int) -> str:
    """Pooling with as much padding as keeps the size (divided by the stride, rounded up); 1x1 if the channels have to change."""
    function, window = ("add" if kind[:3] == "avg" else "max"), int(kind[3:])
    # a window of 2 reads one pixel behind the image, at stride 2 only if the image is odd
    pads = tuple((1, 1) if window == 3 else (0, 1 if stride == 1 else size % 2) for size in net.builder[x].shape[2:])
    y = net.builder.pool(x, name, function, window=window, strides=stride, pads=pads)
    return y if net.channels(y) == channels else net.conv_norm(y, f"{name}.conv", f"{name}.norm", channels, 1)


def _operation(net: Network, x: str, name: str, kind: str, channels: int, stride: int) -> str:
    if kind == "none":
        return x if stride == 1 and net.channels(x) == channels else relu_conv_norm(net, x, name, channels, stride=stride)
    if kind == "conv1":
        return relu_conv_norm(net, x, name, channels, stride=stride)
    if kind == "conv3":
        return _bottleneck(net, x, name, ((3, 3),), channels, stride)
    if kind == "conv7":
        return _bottleneck(net, x, name, ((1, 7), (7, 1)), channels, stride)
    if kind.startswith("separable"):
        return separable_twice(net, x, name, channels, int(kind[-1]), stride=stride)
    return _pool(net, x, name, kind, channels, stride)


def _matched(net: Network, x: str, name: str, channels: int, like: str) -> str:
    """The older input brought to ``channels`` and to the resolution of the newer input ``like``."""
    if net.builder[x].shape[2:] != net.builder[like].shape[2:]:
        return factorized_reduction(net, net.activate("relu", x, f"{name}.relu"), name, channels)
    return x if net.channels(x) == channels else relu_conv_norm(net, x, name, channels)


def apply(net: Network, cell: Cell, older: str | None, newer: str, name: str, channels: int, stride: int = 1) -> str:
    """One cell on the outputs of the two cells before it; state 0 comes from the newer, state 1 from the older one.

    ``older`` is None in the first cell of a network: state 1 is then its input as it is.
    """
    second = newer if older is None else _matched(net, older, f"{name}.older", channels, newer)
    states = [relu_conv_norm(net, newer, f"{name}.newer", channels), second]
    for step, pair in enumerate(cell.steps):
        made = [
            _operation(net, states[state], f"{name}.{step}.{side}", kind, channels, stride if state < 2 else 1)
            for side, (kind, state) in zip(("left", "right"), pair, strict=True)
        ]
        states.append(net.add(made, f"{name}.{step}"))
    size = net.builder[states[-1]].shape
    for state in cell.joined:
        if net.builder[states[state]].shape != size:
            states[state] = factorized_reduction(net, states[state], f"{name}.state{state}", channels)
    return net.concat([states[state] for state in cell.joined], name)


def _cells(net: Network, family: Family, outputs: list[str | None], channels: int, cells: int, past: bool) -> str:
    """``cells`` normal cells in three groups, with reductions that double the channels between them, on the last two ``outputs``."""
    reductions = (cells // 3, 2 * cells // 3)
    for index in range(cells):
        older, newer, stride = outputs[-2], outputs[-1], 1
        assert newer is not None
        if index in reductions:
            channels *= 2
            if family.reduction is None:
                stride = 2
            else:
                reduced = apply(net, family.reduction, older, newer, f"reduction{reductions.index(index)}", channels, 2)
                outputs.append(reduced)
                older, newer = (older if past else newer), reduced
        outputs.append(apply(net, family.normal, older, newer, f"cell{index}", channels, stride))
    last = outputs[-1]
    assert last is not None
    return last


def imagenet(
    family: Family, name: str, channels: int, cells: int, stem: int, size: int, past: bool, batch: int = 1, format: str = NATIVE_FORMAT
) -> OperatorGraph:
    """A strided convolution, two reductions with a quarter and half of the channels, ``cells`` normal cells.

    Args:
        channels: of the first group of normal cells.
        stem: channels of the first convolution, which has no padding.
        past: the normal cell behind a reduction has the same older input as the reduction itself.
    """
    net = Network(name, batch, format, size)
    outputs: list[str | None] = [None, net.conv_norm("image", "stem.conv", "stem.norm", stem, 3, stride=2, pads=0)]
    for index, width in enumerate((channels // 4, channels // 2)):
        newer = outputs[-1]
        assert newer is not None
        outputs.append(apply(net, family.reduction or family.normal, outputs[-2], newer, f"stem{index}", width, 2))
    return net.classify(net.activate("relu", _cells(net, family, outputs, channels, cells, past), "last.relu"), "fc")


def cifar(family: Family, name: str, channels: int, cells: int, batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """32 x 32 images, ten classes: a convolution to three times ``channels``, ``cells`` normal cells and two reductions."""
    net = Network(name, batch, format, 32)
    stem: list[str | None] = [None, net.conv_norm("image", "stem.conv", "stem.norm", 3 * channels, 3)]
    return net.classify(net.activate("relu", _cells(net, family, stem, channels, cells, False), "last.relu"), "fc", 10)


def body(family: Family, name: str, channels: int, cells: int, batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """``cells`` normal cells of constant width on 28 x 28 pixels; what enters has the channels of a cell's output and is both inputs
    of the first cell."""
    net = Network(name, batch, format, shape=(len(family.normal.joined) * channels, 28, 28))
    older = newer = "image"
    for index in range(cells):
        older, newer = newer, apply(net, family.normal, older, newer, f"cell{index}", channels)
    return net.finish(newer)


Builder = Callable[[int, str], OperatorGraph]

_IMAGENET = {  # family, channels, normal cells, channels of the stem, image, past, description
    "nasnet-a-mobile": (NASNET_A, 44, 12, 32, 224, False, "NASNet-A (4 @ 1056), 224 x 224"),
    "nasnet-a-large": (NASNET_A, 168, 18, 96, 331, True, "NASNet-A (6 @ 4032), 331 x 331"),
    "pnasnet-5-mobile": (PNASNET_5, 54, 9, 32, 224, True, "PNASNet-5 (N = 3, F = 54), 224 x 224"),
    "pnasnet-5-large": (PNASNET_5, 216, 12, 96, 331, True, "PNASNet-5 (N = 4, F = 216), 331 x 331"),
    "amoebanet-d": (AMOEBANET_D, 208, 18, 32, 224, False, "AmoebaNet-D (18, 208), 224 x 224"),
}
_BODIES = {  # the widths that the mobile networks have at 28 x 28; AmoebaNet-D has no such network: the same as NASNet-A
    "nasnet-a": (NASNET_A, 44), "pnasnet-5": (PNASNET_5, 54), "amoebanet-d": (AMOEBANET_D, 44),
}  # fmt: skip
_CIFAR = {
    "nasnet-a-cifar-6": (NASNET_A, 32, 6, "NASNet-A (N = 2, F = 32), 32 x 32"),
    "nasnet-a-cifar-18": (NASNET_A, 32, 18, "NASNet-A (6 @ 768), 32 x 32"),
}


def _table() -> dict[str, tuple[Builder, str]]:
    found: dict[str, tuple[Builder, str]] = {}
    for base, (family, channels) in _BODIES.items():
        for cells in (6, 14):
            name = f"{base}-{cells}"
            text = f"{cells} normal cells of {family.title}, width {channels}, 28 x 28"
            found[name] = (partial(body, family, name, channels, cells), text)
    for name, (family, channels, cells, text) in _CIFAR.items():
        found[name] = (partial(cifar, family, name, channels, cells), text)
    for name, (family, channels, cells, stem, size, past, text) in _IMAGENET.items():
        found[name] = (partial(imagenet, family, name, channels, cells, stem, size, past), text)
    return found


NETWORKS: Mapping[str, tuple[Builder, str]] = MappingProxyType(_table())
"""Name to (builder of (batch, format), description)."""
