"""DenseNet-121 (Huang et al., "Densely Connected Convolutional Networks", CVPR 2017) in the two forms that exports of it have.

torchvision joins the outputs of all layers before it anew in each layer; Keras joins the running features with the new ones, and pads by
operators of their own. Work and parameters are the same, what has to be held at once is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from workloads import nests as nest
from workloads.graph import OperatorGraph
from workloads.zoo.network import NATIVE_FORMAT, Network

BLOCKS = (6, 12, 24, 16)
GROWTH = 32


def densenet121(batch: int = 1, format: str = NATIVE_FORMAT, *, keras: bool = False) -> OperatorGraph:
    """DenseNet-121: 2.834 GMAC, 7.979 M parameters; ``keras``: joined step by step, padding by operators."""
    net = Network("densenet121-keras" if keras else "densenet121", batch, format)
    builder = net.builder
    if keras:
        x = net.builder.conv(_padded(net, "image", "conv0.pad", 3), builder.weight("conv0.weight", (64, 3, 7, 7)), "conv0", strides=2)
        x = _norm_relu(net, x, "norm0")
        x = builder.pool(_padded(net, x, "pool0.pad", 1), "pool0", "max", window=3, strides=2)
    else:
        x = net.conv_norm("image", "conv0", "norm0", 64, 7, stride=2, activation="relu")
        x = builder.pool(x, "pool0", "max", window=3, strides=2, pads=1)
    for number, layers in enumerate(BLOCKS, start=1):
        features = [x]
        for layer in range(1, layers + 1):
            at = f"block{number}.layer{layer}"
            joined = features[0] if len(features) == 1 else builder.concat(features, f"{at}.join", 1)
            y = net.conv(_norm_relu(net, joined, f"{at}.norm1"), f"{at}.conv1", 4 * GROWTH, 1)
            y = net.conv(_norm_relu(net, y, f"{at}.norm2"), f"{at}.conv2", GROWTH, 3)
            features = [joined, y] if keras else [*features, y]
        x = builder.concat(features, f"block{number}", 1)
        if number < len(BLOCKS):
            at = f"transition{number}"
            x = net.conv(_norm_relu(net, x, f"{at}.norm"), f"{at}.conv", builder[x].shape[1] // 2, 1)
            x = builder.pool(x, f"{at}.pool", "add", window=2, strides=2)
    return net.classify(_norm_relu(net, x, "norm5"), "classifier")


def _norm_relu(net: Network, x: str, name: str) -> str:
    return net.builder.elementwise("relu", (net.norm(x, name),), f"{name}.relu")


def _padded(net: Network, x: str, out: str, by: int) -> str:
    """Zeros around each image, as an operator of its own."""
    batch, channels, height, width = net.builder[x].shape
    d = nest.point_dims(4)
    axes = (*(nest.axis((name, 1)) for name in d[:2]), *(nest.axis((name, 1), offset=-by) for name in d[2:]))
    shape = (batch, channels, height + 2 * by, width + 2 * by)
    return net.builder.copy(x, out, shape, axes, attributes={"function": "pad"})


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {
        "densenet121": (densenet121, "DenseNet-121, 224 x 224"),
        "densenet121-keras": (partial(densenet121, keras=True), "DenseNet-121 as Keras exports it: explicit padding, stepwise joins"),
    }
)
"""Name to (builder of (batch, format), description)."""
