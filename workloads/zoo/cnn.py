"""Convolutional networks of the zoo, 224 x 224 inputs, as torchvision releases them (weights in fp32)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from workloads.builder import GraphBuilder
from workloads.graph import OperatorGraph

NATIVE_FORMAT = "fp32"


class _Network:
    """Layers in the order of the forward pass; names follow torchvision's modules."""

    def __init__(self, name: str, batch: int, format: str) -> None:
        self.builder = GraphBuilder(name, format, {"phase": "inference", "batch": batch, "format": format, "source": f"zoo:{name}"})
        self.builder.input("image", (batch, 3, 224, 224))

    def conv(self, x: str, name: str, channels: int, window: int, *, stride: int = 1, groups: int = 1, bias: bool = False) -> str:
        """Convolution with "same" padding for odd windows."""
        builder = self.builder
        weight = builder.weight(f"{name}.weight", (channels, builder[x].shape[1] // groups, window, window))
        added = builder.weight(f"{name}.bias", (channels,)) if bias else None
        return builder.conv(x, weight, name, bias=added, strides=stride, pads=window // 2, groups=groups)

    def norm(self, x: str, name: str) -> str:
        """Batch normalization at inference: a scale and a shift per channel."""
        builder, channels = self.builder, self.builder[x].shape[1]
        return builder.batchnorm(x, name, builder.weight(f"{name}.weight", (channels,)), builder.weight(f"{name}.bias", (channels,)))

    def conv_norm(
        self, x: str, conv: str, norm: str, channels: int, window: int, *, stride: int = 1, groups: int = 1, activation: str = ""
    ) -> str:
        """Convolution, batch normalization and an activation if one is named."""
        y = self.norm(self.conv(x, conv, channels, window, stride=stride, groups=groups), norm)
        return self.builder.elementwise(activation, (y,), f"{norm}.{activation}") if activation else y

    def linear(self, x: str, name: str, features: int) -> str:
        """Fully connected layer with bias; the weight is (out, in)."""
        builder = self.builder
        weight = builder.weight(f"{name}.weight", (features, builder[x].shape[-1]))
        return builder.gemm(x, weight, name, bias=builder.weight(f"{name}.bias", (features,)), transpose_b=True)

    def flatten(self, x: str) -> str:
        """(N, C, H, W) as (N, C H W)."""
        tensor = self.builder[x]
        return self.builder.view(x, "flatten", (tensor.shape[0], tensor.values // tensor.shape[0]))

    def finish(self, x: str) -> OperatorGraph:
        """The graph with ``x`` as its output."""
        self.builder.output(x)
        return self.builder.build()


def resnet50(batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """ResNet-50 v1.5 (He et al. 2016; stride in the 3x3 as torchvision): 4.089 GMAC, 25.557 M parameters."""
    net = _Network("resnet50", batch, format)
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
    net = _Network("vgg19", batch, format)
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


def mobilenet_v2(batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """MobileNetV2, width 1.0 (Sandler et al. 2018): 300.8 MMAC, 3.505 M parameters."""
    net = _Network("mobilenet-v2", batch, format)
    x = net.conv_norm("image", "features.0.0", "features.0.1", 32, 3, stride=2, activation="relu6")
    index, channels = 0, 32
    settings = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, width, repeats, first_stride in settings:
        for repeat in range(repeats):
            index += 1
            stride, hidden = (first_stride if repeat == 0 else 1), channels * expansion
            at, y, place = f"features.{index}.conv", x, 0
            if expansion != 1:
                y = net.conv_norm(y, f"{at}.0.0", f"{at}.0.1", hidden, 1, activation="relu6")
                place = 1
            y = net.conv_norm(y, f"{at}.{place}.0", f"{at}.{place}.1", hidden, 3, stride=stride, groups=hidden, activation="relu6")
            y = net.conv_norm(y, f"{at}.{place + 1}", f"{at}.{place + 2}", width, 1)
            x = net.builder.elementwise("add", (y, x), f"features.{index}.add") if stride == 1 and channels == width else y
            channels = width
    x = net.conv_norm(x, "features.18.0", "features.18.1", 1280, 1, activation="relu6")
    x = net.builder.reduce("add", x, "avgpool", (2, 3), keep_dims=True, kind="pool")
    return net.finish(net.linear(net.flatten(x), "classifier.1", 1000))


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {
        "resnet50": (resnet50, "ResNet-50 v1.5, 224 x 224"),
        "vgg19": (vgg19, "VGG-19, 224 x 224"),
        "mobilenet-v2": (mobilenet_v2, "MobileNetV2 1.0, 224 x 224"),
    }
)
"""Name to (builder of (batch, format), description)."""
