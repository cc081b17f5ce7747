"""Keyword spotting on audio: TC-ResNet8 (Choi et al., Interspeech 2019, arXiv 1904.03814): convolutions along time, MFCCs as channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from workloads.builder import GraphBuilder
from workloads.graph import OperatorGraph
from workloads.zoo.network import Network

_FRAMES, _COEFFICIENTS, _CLASSES = 98, 40, 12
"""One second in 30 ms windows every 10 ms; MFCCs of a window; ten words, silence, unknown."""


class _Temporal(Network):
    """Layers over (batch, channels, frames)."""

    def __init__(self, name: str, batch: int, format: str) -> None:
        meta: dict[str, str | int | float] = {"phase": "inference", "batch": batch, "format": format, "source": f"zoo:{name}"}
        self.builder = GraphBuilder(name, format, meta)

    def unit(self, x: str, name: str, channels: int, window: int, *, stride: int = 1, relu: bool = True) -> str:
        """Convolution along time with "same" padding, batch normalization, ReLU."""
        builder = self.builder
        weight = builder.weight(f"{name}.weight", (channels, builder[x].shape[1], window))
        y = self.norm(builder.conv(x, weight, name, strides=stride, pads=window // 2), f"{name}.norm")
        return builder.elementwise("relu", (y,), f"{name}.relu") if relu else y


def tc_resnet8(batch: int = 1, format: str = "fp32") -> OperatorGraph:
    """TC-ResNet8 on one second of audio (batch, 40 coefficients, 98 frames): 1.523 MMAC, 65,180 parameters."""
    net = _Temporal("tc-resnet8", batch, format)
    x = net.unit(net.builder.input("frames", (batch, _COEFFICIENTS, _FRAMES)), "conv0", 16, 3, relu=False)
    for block, channels in enumerate((24, 32, 48), start=1):
        at = f"block{block}"
        y = net.unit(net.unit(x, f"{at}.conv1", channels, 9, stride=2), f"{at}.conv2", channels, 9, relu=False)
        x = net.builder.elementwise("add", (y, net.unit(x, f"{at}.shortcut", channels, 1, stride=2)), f"{at}.add")
        x = net.builder.elementwise("relu", (x,), f"{at}.relu")
    x = net.builder.reduce("add", x, "avgpool", (2,), keep_dims=True, kind="pool")
    return net.finish(net.linear(net.flatten(x), "fc", _CLASSES))


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {"tc-resnet8": (tc_resnet8, "TC-ResNet8 keyword spotting, 98 frames of 40 MFCCs")}
)
"""Name to (builder of (batch, format), description)."""
