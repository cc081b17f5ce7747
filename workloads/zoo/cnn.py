"""Convolutional networks of the zoo, 224 x 224 inputs, as torchvision releases them (weights in fp32)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from workloads.graph import OperatorGraph
from workloads.zoo import densenet, efficientvim, keyword, mobile, mobilevig, spartan, vit
from workloads.zoo.network import NATIVE_FORMAT, Network

__all__ = ["NATIVE_FORMAT", "NETWORKS", "network"]


def resnet50(batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """ResNet-50 v1.5 (He et al. 2016; stride in the 3x3 as torchvision): 4.089 GMAC, 25.557 M parameters."""
    net = Network("resnet50", batch, format)
    x = net.conv_norm("image", "conv1", "bn1", 64, 7, stride=2, activation="relu")
    x = net.builder.pool(x, "maxpool", "max", window=3, strides=2, pads=1)
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=1):
        for block in range(blocks):
            at = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = net.conv_norm(x, f"{at}.conv1", f"{at}.bn1", width, 1, activation="relu")
            y = net.conv_norm(y, f"{at}.conv2", f"{at}.bn2", width, 3, stride=stride, activation="relu")
            y = net.conv_norm(y, f"{at}.conv3", f"{at}.bn3", 4 * width, 1)
            if block == 0:
                x = net.conv_norm(x, f"{at}.downsample.0", f"{at}.downsample.1", 4 * width, 1, stride=stride)
            x = net.builder.elementwise("relu", (net.builder.elementwise("add", (y, x), f"{at}.add"),), f"{at}.relu")
    x = net.builder.reduce("add", x, "avgpool", (2, 3), keep_dims=True, kind="pool")
    return net.finish(net.linear(net.flatten(x), "fc", 1000))


def vgg19(batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """VGG-19 without batch normalization (Simonyan and Zisserman 2015): 19.63 GMAC, 143.667 M parameters."""
    net = Network("vgg19", batch, format)
    x = "image"
    for stage, (layers, width) in enumerate(((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)), start=1):
        for layer in range(1, layers + 1):
            x = net.conv(x, f"conv{stage}_{layer}", width, 3, bias=True)
            x = net.builder.elementwise("relu", (x,), f"relu{stage}_{layer}")
        x = net.builder.pool(x, f"pool{stage}", "max", window=2, strides=2)
    x = net.flatten(x)
    for name, width in (("fc6", 4096), ("fc7", 4096)):
        x = net.builder.elementwise("relu", (net.linear(x, name, width),), f"{name}.relu")
    return net.finish(net.linear(x, "fc8", 1000))


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {
        "resnet50": (resnet50, "ResNet-50 v1.5, 224 x 224"),
        "vgg19": (vgg19, "VGG-19, 224 x 224"),
        **densenet.NETWORKS,
        **mobile.NETWORKS,
        **mobilevig.NETWORKS,
        **efficientvim.NETWORKS,
        **spartan.NETWORKS,
        **vit.NETWORKS,
        **keyword.NETWORKS,
    }
)
"""Name to (builder of (batch, format), description)."""


def network(name: str) -> Callable[[int, str], OperatorGraph] | None:
    """The builder of the network ``name``: one of ``NETWORKS``, or one of ``mobile.SCALED`` with a width behind it
    (``mobilenet-v2-1.4``); None if there is no such network."""
    if name in NETWORKS:
        return NETWORKS[name][0]
    base, _, text = name.rpartition("-")
    if base not in mobile.SCALED or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or not 0.05 <= float(text) <= 10:
        return None
    return partial(mobile.SCALED[base], width=float(text))
