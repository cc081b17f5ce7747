"""The registry of the zoo's networks (weights in fp32 unless asked otherwise), and VGG."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from workloads.graph import OperatorGraph
from workloads.zoo import (
    cifar,
    compact,
    densenet,
    efficientvim,
    inception,
    keyword,
    lsm,
    lstmp,
    mamba,
    mobile,
    mobilevig,
    nas,
    recurrent,
    resnet,
    segmentation,
    seq2seq,
    spartan,
    training,
    ulsam,
    video,
    vit,
)
from workloads.zoo.network import NATIVE_FORMAT, Network

__all__ = ["NATIVE_FORMAT", "NETWORKS", "SEQUENCES", "network"]


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
        **resnet.NETWORKS,
        "vgg19": (vgg19, "VGG-19, 224 x 224"),
        **densenet.NETWORKS,
        **inception.NETWORKS,
        **compact.NETWORKS,
        **mobile.NETWORKS,
        **mobilevig.NETWORKS,
        **efficientvim.NETWORKS,
        **spartan.NETWORKS,
        **ulsam.NETWORKS,
        **vit.NETWORKS,
        **cifar.NETWORKS,
        **segmentation.NETWORKS,
        **video.NETWORKS,
        **keyword.NETWORKS,
        **recurrent.NETWORKS,
        **lsm.NETWORKS,
        **nas.NETWORKS,
        **training.NETWORKS,
    }
)
"""Name to (builder of (batch, format), description)."""


SEQUENCES: Mapping[str, tuple[Callable[..., OperatorGraph], str]] = MappingProxyType(
    {**seq2seq.SEQUENCES, **mamba.SEQUENCES, **lstmp.SEQUENCES}
)
"""Networks that take a number of tokens: name to (builder of (batch, format, tokens), description)."""


def network(name: str, tokens: int | None = None, *, train: bool = False) -> Callable[[int, str], OperatorGraph] | None:
    """The builder of the network ``name``: one of ``NETWORKS``, one of ``SEQUENCES`` for so many ``tokens``, one of ``mobile.SCALED`` with
    a width behind it (``mobilenet-v2-1.4``), an LSTM of any size (``lstm-2x32``); None if there is no such network.

    Args:
        train: the graph of a training step's forward pass: logits of all positions.
    """
    if name in NETWORKS:
        return NETWORKS[name][0]
    if name in SEQUENCES:
        builder = mamba.TRAINED.get(name) if train else None
        return partial(builder or SEQUENCES[name][0], tokens=tokens)
    if (unrolled := recurrent.sized(name)) is not None:
        return unrolled
    base, _, text = name.rpartition("-")
    if base not in mobile.SCALED or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or not 0.05 <= float(text) <= 10:
        return None
    return partial(mobile.SCALED[base], width=float(text))
