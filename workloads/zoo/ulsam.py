"""ULSAM (Saini et al., WACV 2020): MobileNets in which subspace attention takes the place of whole blocks.

The module: github Nandan91/ULSAM, ulsam.py. Which blocks it replaces is in the authors' slides only as counts, and these single the
blocks out up to blocks of equal shape: 569 - 517 M and 4.2 - 3.9 M are one 512-channel block of V1; of V2's 300 M and 3.4 M, 22.7 M and
0.12 M are one 96-channel block, 15.5 M and 0.32 M one 160-channel block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from workloads.graph import OperatorGraph
from workloads.zoo.mobile import mobilenet_v1, mobilenet_v2
from workloads.zoo.network import Network

SUBSPACES = 4
"""g: groups of channels with an attention map each; the counts of the slides do not depend on it."""


def subspace_attention(net: Network, x: str, name: str, subspaces: int = SUBSPACES) -> str:
    """Per group of channels one map: a 1x1 depthwise layer, 3x3 maxima, one value per pixel, softmax over the pixels; x + map x.

    All groups go through each step together: the point layer is a grouped one with one channel per group. 2 C H W
    multiply-accumulates for an input (N, C, H, W).
    """
    builder = net.builder
    batch, channels, height, width = builder[x].shape
    y = net.conv_norm(x, f"{name}.conv_dws", f"{name}.bn_dws", channels, 1, groups=channels, activation="relu", bias=True)
    y = net.pool(y, f"{name}.maxpool", "max", 3, pads=1)
    y = net.conv_norm(y, f"{name}.conv_point", f"{name}.bn_point", subspaces, 1, groups=subspaces, activation="relu", bias=True)
    y = builder.softmax(builder.view(y, f"{name}.flat", (batch, subspaces, height * width)), f"{name}.softmax")
    y = builder.view(y, f"{name}.map", (batch, subspaces, 1, height, width))
    split = builder.view(x, f"{name}.split", (batch, subspaces, channels // subspaces, height, width))
    y = builder.elementwise("add", (builder.elementwise("mul", (split, y), f"{name}.scaled"), split), f"{name}.add")
    return builder.view(y, f"{name}.out", (batch, channels, height, width))


def ulsam_v1(batch: int = 1, format: str = "fp32", *, width: float = 1.0) -> OperatorGraph:
    """MobileNet V1 with subspace attention for block 10, the last of the five of 512 channels."""
    name = "ulsam-mobilenet-v1" + ("" if width == 1.0 else f"-{width:g}")
    return mobilenet_v1(batch, format, width=width, name=name, replaced={10: subspace_attention})


def ulsam_v2(blocks: tuple[int, ...], batch: int = 1, format: str = "fp32") -> OperatorGraph:
    """MobileNetV2 with subspace attention for ``blocks``: 12 and 13 have 96 channels, 15 and 16 have 160."""
    name = "ulsam-mobilenet-v2-" + "-".join(map(str, blocks))
    return mobilenet_v2(batch, format, name=name, replaced=dict.fromkeys(blocks, subspace_attention))


_BLOCKS = ((13,), (16,), (13, 16), (15, 16), (12, 13, 15, 16))
NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {
        "ulsam-mobilenet-v1": (ulsam_v1, "MobileNet V1, a block replaced by subspace attention (ULSAM)"),
        "ulsam-mobilenet-v1-0.75": (partial(ulsam_v1, width=0.75), "MobileNet V1 0.75 with ULSAM"),
        "ulsam-mobilenet-v1-0.5": (partial(ulsam_v1, width=0.5), "MobileNet V1 0.5 with ULSAM"),
        **{
            "ulsam-mobilenet-v2-" + "-".join(map(str, blocks)): (
                partial(ulsam_v2, blocks),
                "MobileNetV2, block " + ", ".join(map(str, blocks)) + " replaced by subspace attention (ULSAM)",
            )
            for blocks in _BLOCKS
        },
    }
)
"""Name to (builder of (batch, format), description)."""
