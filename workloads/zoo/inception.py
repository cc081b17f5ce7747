"""The Inception family: V1 (Szegedy et al. 2015) and V3 (Szegedy et al. 2016) as torchvision releases them, V2 (Ioffe and Szegedy 2015).

A block is a set of branches that read one map and are joined along the channels. Auxiliary classifiers, which only training uses, are
left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from workloads.graph import OperatorGraph
from workloads.zoo.network import NATIVE_FORMAT, Network

V1_BLOCKS = {  # 1x1; 3x3 after a 1x1; second 3x3 after a 1x1 (5x5 in the paper); 1x1 after pooling
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64), "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}  # fmt: skip
"""Szegedy et al. 2015, table 1; also the channels of S3D's blocks."""

_V2_BLOCKS = {  # 1x1; 3x3 after a 1x1; two 3x3 after a 1x1; 1x1 after pooling. No 1x1: the block halves the map and passes its pooled input
    "3a": (64, 64, 64, 64, 96, 32), "3b": (64, 64, 96, 64, 96, 64), "3c": (0, 128, 160, 64, 96, 0),
    "4a": (224, 64, 96, 96, 128, 128), "4b": (192, 96, 128, 96, 128, 128), "4c": (160, 128, 160, 128, 160, 96),
    "4d": (96, 128, 192, 160, 192, 96), "4e": (0, 128, 192, 192, 256, 0), "5a": (352, 192, 320, 160, 224, 128),
    "5b": (352, 192, 320, 192, 224, 128),
}  # fmt: skip
"""Ioffe and Szegedy 2015, figure 5. (A widespread Caffe model has 128 channels behind the pooling of 4c and 4d: 11,295,240 parameters.)"""

Units = tuple[tuple[int, int | tuple[int, int]], ...]
"""(channels, window) of units that follow one another."""


class _Layers(Network):
    """Convolution, batch normalization and ReLU as one unit."""

    def unit(
        self, x: str, name: str, channels: int, window: int | tuple[int, int] = 1, *, stride: int = 1, pads: int | None = None
    ) -> str:  # fmt: skip
        return self.conv_norm(x, f"{name}.conv", f"{name}.bn", channels, window, stride=stride, activation="relu", pads=pads)

    def chain(self, x: str, name: str, units: Units, *, last_stride: int = 1, last_pads: int | None = None) -> str:
        """Units of (channels, window) one after the other; the last may have a stride and its own padding."""
        for place, (channels, window) in enumerate(units):
            last = place == len(units) - 1
            stride, pads = (last_stride, last_pads) if last else (1, None)
            x = self.unit(x, f"{name}.{place}", channels, window, stride=stride, pads=pads)
        return x


def inception_v1(batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """Inception V1 (GoogLeNet) as torchvision: batch normalization, 3x3 for the paper's 5x5; 1.498 GMAC, 6,624,904 parameters."""
    net = _Layers("inception-v1", batch, format)
    x = net.unit("image", "conv1", 64, 7, stride=2)
    x = net.pool(x, "maxpool1", "max", 3, stride=2, ceil=True)
    x = net.unit(net.unit(x, "conv2", 64), "conv3", 192, 3)
    x = net.pool(x, "maxpool2", "max", 3, stride=2, ceil=True)
    for block, (one, three_in, three, five_in, five, pooled) in V1_BLOCKS.items():
        at = f"inception{block}"
        parts = (
            net.unit(x, f"{at}.branch1", one),
            net.chain(x, f"{at}.branch2", ((three_in, 1), (three, 3))),
            net.chain(x, f"{at}.branch3", ((five_in, 1), (five, 3))),
            net.unit(net.pool(x, f"{at}.branch4.pool", "max", 3, pads=1), f"{at}.branch4", pooled),
        )
        x = net.concat(parts, at)
        if block in ("3b", "4e"):
            x = net.pool(x, f"maxpool{block}", "max", 3 if block == "3b" else 2, stride=2, ceil=True)
    return net.classify(x, "fc")


def inception_v2(batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """Inception V2 (BN-Inception): 2.019 GMAC, 11,194,984 parameters."""
    net = _Layers("inception-v2", batch, format)
    x = net.unit("image", "conv1", 64, 7, stride=2)
    x = net.pool(x, "pool1", "max", 3, stride=2, ceil=True)
    x = net.unit(net.unit(x, "conv2_reduce", 64), "conv2", 192, 3)
    x = net.pool(x, "pool2", "max", 3, stride=2, ceil=True)
    for block, (one, three_in, three, double_in, double, pooled) in _V2_BLOCKS.items():
        at, stride = f"inception_{block}", 1 if one else 2
        parts = [
            net.chain(x, f"{at}.3x3", ((three_in, 1), (three, 3)), last_stride=stride),
            net.chain(x, f"{at}.double_3x3", ((double_in, 1), (double, 3), (double, 3)), last_stride=stride),
        ]
        if one:
            kind = "max" if block == "5b" else "add"
            parts.insert(0, net.unit(x, f"{at}.1x1", one))
            parts.append(net.unit(net.pool(x, f"{at}.pool", kind, 3, pads=1), f"{at}.pool_proj", pooled))
        else:
            parts.append(net.pool(x, f"{at}.pool", "max", 3, stride=2, ceil=True))
        x = net.concat(parts, at)
    return net.classify(x, "fc")


def inception_v3(batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """Inception V3, 299 x 299: 5.713 GMAC, 23,834,568 parameters (27,161,264 with the auxiliary classifier of training)."""
    net = _Layers("inception-v3", batch, format, 299)
    x = net.unit(net.unit("image", "1a", 32, 3, stride=2, pads=0), "2a", 32, 3, pads=0)
    x = net.pool(net.unit(x, "2b", 64, 3), "maxpool1", "max", 3, stride=2)
    x = net.unit(net.unit(x, "3b", 80), "4a", 192, 3, pads=0)
    x = net.pool(x, "maxpool2", "max", 3, stride=2)
    for block, pooled in (("5b", 32), ("5c", 64), ("5d", 64)):
        at = f"mixed_{block}"
        parts = (
            net.unit(x, f"{at}.1x1", 64),
            net.chain(x, f"{at}.5x5", ((48, 1), (64, 5))),
            net.chain(x, f"{at}.3x3dbl", ((64, 1), (96, 3), (96, 3))),
            net.unit(net.pool(x, f"{at}.pool", "add", 3, pads=1), f"{at}.pool_proj", pooled),
        )
        x = net.concat(parts, at)
    x = _v3_halving(net, x, "mixed_6a", ((384, 3),), ((64, 1), (96, 3), (96, 3)))
    for block, c in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        at = f"mixed_{block}"
        wide, tall = (1, 7), (7, 1)
        parts = (
            net.unit(x, f"{at}.1x1", 192),
            net.chain(x, f"{at}.7x7", ((c, 1), (c, wide), (192, tall))),
            net.chain(x, f"{at}.7x7dbl", ((c, 1), (c, tall), (c, wide), (c, tall), (192, wide))),
            net.unit(net.pool(x, f"{at}.pool", "add", 3, pads=1), f"{at}.pool_proj", 192),
        )
        x = net.concat(parts, at)
    x = _v3_halving(net, x, "mixed_7a", ((192, 1), (320, 3)), ((192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)))
    for block in ("7b", "7c"):
        x = _v3_split(net, x, f"mixed_{block}")
    return net.classify(x, "fc")


def _v3_halving(net: _Layers, x: str, at: str, first: Units, second: Units) -> str:
    """Two branches whose last unit halves the map, and the pooled input."""
    parts = (
        net.chain(x, f"{at}.first", first, last_stride=2, last_pads=0),
        net.chain(x, f"{at}.second", second, last_stride=2, last_pads=0),
        net.pool(x, f"{at}.pool", "max", 3, stride=2),
    )
    return net.concat(parts, at)


def _v3_split(net: _Layers, x: str, at: str) -> str:
    """The widest block: a 3x3 is a 1x3 beside a 3x1, joined."""
    single = net.unit(x, f"{at}.3x3", 384)
    double = net.chain(x, f"{at}.3x3dbl", ((448, 1), (384, 3)))
    joined = []
    for name, y in (("3x3", single), ("3x3dbl", double)):
        parts = (net.unit(y, f"{at}.{name}.wide", 384, (1, 3)), net.unit(y, f"{at}.{name}.tall", 384, (3, 1)))
        joined.append(net.concat(parts, f"{at}.{name}.join"))
    pooled = net.unit(net.pool(x, f"{at}.pool", "add", 3, pads=1), f"{at}.pool_proj", 192)
    return net.concat((net.unit(x, f"{at}.1x1", 320), *joined, pooled), at)


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {
        "inception-v1": (inception_v1, "Inception V1 (GoogLeNet as torchvision releases it), 224 x 224"),
        "inception-v2": (inception_v2, "Inception V2 (BN-Inception), 224 x 224"),
        "inception-v3": (inception_v3, "Inception V3, 299 x 299"),
    }
)
"""Name to (builder of (batch, format), description)."""
