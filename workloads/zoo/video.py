"""Networks for video as torchvision releases them, 16 frames of 224 x 224: R(2+1)D-18 (Tran et al. 2018) and S3D (Xie et al. 2018).

A convolution over time and space is split into one over each frame and one along time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from workloads.graph import OperatorGraph
from workloads.zoo.inception import V1_BLOCKS
from workloads.zoo.network import NATIVE_FORMAT, Network

_CLASSES = 400
"""Kinetics-400."""


class _Split(Network):
    """Layers over (batch, channels, frames, height, width)."""

    def unit(self, x: str, name: str, channels: int, window: tuple[int, int, int] | int = 1, stride: tuple[int, int, int] | int = 1) -> str:
        return self.conv_norm(x, f"{name}.conv", f"{name}.bn", channels, window, stride=stride, activation="relu")

    def separable(self, x: str, name: str, channels: int, size: int, stride: int = 1) -> str:
        """Space, then time, each with batch normalization and ReLU."""
        x = self.unit(x, f"{name}.space", channels, (1, size, size), (1, stride, stride))
        return self.unit(x, f"{name}.time", channels, (size, 1, 1), (stride, 1, 1))


def r2plus1d_18(batch: int = 1, format: str = NATIVE_FORMAT, *, frames: int = 16, size: int = 224) -> OperatorGraph:
    """R(2+1)D-18: 162.1 GMAC, 31,505,325 parameters; at the 112 x 112 pixels of its training it is 40.52."""
    net = _Split("r2plus1d-18", batch, format, shape=(3, frames, size, size))
    x = net.unit("image", "stem.space", 45, (1, 7, 7), (1, 2, 2))
    x = net.unit(x, "stem.time", 64, (3, 1, 1))
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            at, before, step = f"layer{stage}.{block}", net.channels(x), 2 if stage > 1 and block == 0 else 1
            # as many channels between space and time as make the pair as large as a full 3x3x3 convolution
            middle = before * channels * 27 // (before * 9 + 3 * channels)
            y = net.unit(x, f"{at}.conv1.space", middle, (1, 3, 3), (1, step, step))
            y = net.unit(y, f"{at}.conv1.time", channels, (3, 1, 1), (step, 1, 1))
            y = net.unit(y, f"{at}.conv2.space", middle, (1, 3, 3))
            y = net.conv_norm(y, f"{at}.conv2.time.conv", f"{at}.conv2.time.bn", channels, (3, 1, 1))
            if step != 1:
                x = net.conv_norm(x, f"{at}.downsample.0", f"{at}.downsample.1", channels, 1, stride=step)
            x = net.activate("relu", net.add((y, x), f"{at}.add"), f"{at}.relu")
    return net.classify(x, "fc", _CLASSES)


def s3d(batch: int = 1, format: str = NATIVE_FORMAT, *, frames: int = 16, size: int = 224) -> OperatorGraph:
    """S3D: Inception V1 with every 3x3 convolution split into space and time; 17.98 GMAC, 8,320,048 parameters."""
    net = _Split("s3d", batch, format, shape=(3, frames, size, size))
    x = net.separable("image", "stem", 64, 7, 2)
    x = net.pool(x, "pool1", "max", (1, 3, 3), stride=(1, 2, 2), pads=(0, 1, 1))
    x = net.separable(net.unit(x, "conv2", 64), "conv3", 192, 3)
    x = net.pool(x, "pool2", "max", (1, 3, 3), stride=(1, 2, 2), pads=(0, 1, 1))
    for block, (one, three_in, three, five_in, five, pooled) in V1_BLOCKS.items():
        at = f"mixed{block}"
        parts = (
            net.unit(x, f"{at}.branch0", one),
            net.separable(net.unit(x, f"{at}.branch1.in", three_in), f"{at}.branch1", three, 3),
            net.separable(net.unit(x, f"{at}.branch2.in", five_in), f"{at}.branch2", five, 3),
            net.unit(net.pool(x, f"{at}.branch3.pool", "max", 3, pads=1), f"{at}.branch3", pooled),
        )
        x = net.concat(parts, at)
        if block == "3b":
            x = net.pool(x, "pool3", "max", 3, stride=2, pads=1)
        elif block == "4e":
            x = net.pool(x, "pool4", "max", 2, stride=2)
    x = net.pool(x, "avgpool", "add", (2, 7, 7))
    return net.finish(net.flatten(net.mean(net.conv(x, "classifier", _CLASSES, 1, bias=True), "mean")))


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {
        "r2plus1d-18": (r2plus1d_18, "R(2+1)D-18, video of 16 frames of 224 x 224"),
        "s3d": (s3d, "S3D, video of 16 frames of 224 x 224"),
    }
)
"""Name to (builder of (batch, format), description)."""
