"""Residual networks as torchvision releases them: ResNet (He et al. 2016) and ResNeXt (Xie et al. 2017), stride in the 3x3 convolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from workloads.graph import OperatorGraph
from workloads.zoo.network import NATIVE_FORMAT, Network


@dataclass(frozen=True, slots=True)
class _Shape:
    """Blocks per stage; ``bottleneck``: 1x1, 3x3, 1x1 convolutions with four times the width at the end; groups and their base width."""

    title: str
    blocks: tuple[int, int, int, int]
    bottleneck: bool = True
    groups: int = 1
    width: int = 64


_SHAPES = {
    "resnet18": _Shape("ResNet-18", (2, 2, 2, 2), bottleneck=False),
    "resnet34": _Shape("ResNet-34", (3, 4, 6, 3), bottleneck=False),
    "resnet50": _Shape("ResNet-50 v1.5", (3, 4, 6, 3)),
    "resnet101": _Shape("ResNet-101 v1.5", (3, 4, 23, 3)),
    "resnext50-32x4d": _Shape("ResNeXt-50 32x4d", (3, 4, 6, 3), groups=32, width=4),
}
"""He et al. 2016, table 1; Xie et al. 2017, table 1."""


def resnet(
    variant: str, batch: int = 1, format: str = NATIVE_FORMAT, *, name: str = "", size: int = 224, classes: int = 1000
) -> OperatorGraph:
    """A classifier of 224 x 224 images. ResNet-50: 4.089 GMAC, 25.557 M parameters; ResNeXt-50 32x4d: 4.230 GMAC, 25.029 M.

    Args:
        name: of the graph, if not ``variant``; size: rows and columns of pixels.
    """
    net = Network(name or variant, batch, format, size)
    return net.classify(features(net, "image", variant)[-1], "fc", classes)


def features(net: Network, x: str, variant: str, *, dilated: bool = False) -> tuple[str, str, str, str]:
    """The outputs of the four stages.

    ``dilated``: the last two stages keep the resolution of the second, and dilate their 3x3 convolutions instead (torchvision's
    ``replace_stride_with_dilation=[False, True, True]``): the first block of such a stage still has the dilation of the stage before.
    """
    shape = _SHAPES[variant]
    x = net.conv_norm(x, "conv1", "bn1", 64, 7, stride=2, activation="relu")
    x = net.pool(x, "maxpool", "max", 3, stride=2, pads=1)
    stages, dilation = [], 1
    for stage, blocks in enumerate(shape.blocks, start=1):
        stride, first_dilation = (1 if stage == 1 else 2), dilation
        if dilated and stage > 2:
            dilation, stride = 2 * dilation, 1
        for block in range(blocks):
            at, first = f"layer{stage}.{block}", block == 0
            step, spread = (stride, first_dilation) if first else (1, dilation)
            x = _block(net, x, at, shape, 64 << (stage - 1), step, spread)
        stages.append(x)
    return stages[0], stages[1], stages[2], stages[3]


def _block(net: Network, x: str, at: str, shape: _Shape, planes: int, stride: int, dilation: int) -> str:
    made = 4 * planes if shape.bottleneck else planes
    if shape.bottleneck:
        width = planes * shape.width // 64 * shape.groups
        y = net.conv_norm(x, f"{at}.conv1", f"{at}.bn1", width, 1, activation="relu")
        y = net.conv_norm(
            y, f"{at}.conv2", f"{at}.bn2", width, 3, stride=stride, groups=shape.groups, dilation=dilation, activation="relu"
        )  # fmt: skip
        y = net.conv_norm(y, f"{at}.conv3", f"{at}.bn3", made, 1)
    else:
        y = net.conv_norm(x, f"{at}.conv1", f"{at}.bn1", made, 3, stride=stride, activation="relu")
        y = net.conv_norm(y, f"{at}.conv2", f"{at}.bn2", made, 3)
    if stride != 1 or net.channels(x) != made:
        x = net.conv_norm(x, f"{at}.downsample.0", f"{at}.downsample.1", made, 1, stride=stride)
    return net.activate("relu", net.add((y, x), f"{at}.add"), f"{at}.relu")


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {name: (partial(resnet, name), f"{shape.title}, 224 x 224") for name, shape in _SHAPES.items()}
)
"""Name to (builder of (batch, format), description)."""
