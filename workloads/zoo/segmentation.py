"""Networks that label every pixel: FCN and DeepLabV3 on a dilated ResNet-50, LR-ASPP on a dilated MobileNetV3-Large, U-Net.

The first three as torchvision releases them (21 classes), 224 x 224, without the auxiliary heads that only training uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from workloads.graph import OperatorGraph
from workloads.zoo import mobile, resnet
from workloads.zoo.network import NATIVE_FORMAT, Network

_CLASSES = 21
"""Pascal VOC with the background."""


def fcn_resnet50(batch: int = 1, format: str = NATIVE_FORMAT, *, size: int = 224, auxiliary: bool = False) -> OperatorGraph:
    """FCN (Long et al. 2015) on ResNet-50 of output stride 8: 26.48 GMAC, 32,957,013 parameters (35,322,218 with the auxiliary head)."""
    net = Network("fcn-resnet50", batch, format, size)
    stages = resnet.features(net, "image", "resnet50", dilated=True)
    if auxiliary:
        _enlarged_output(net, _fcn_head(net, stages[2], "aux_classifier"), "aux")
    return net.finish(_enlarged(net, _fcn_head(net, stages[3], "classifier"), "out", size))


def deeplabv3_resnet50(batch: int = 1, format: str = NATIVE_FORMAT, *, size: int = 224, auxiliary: bool = False) -> OperatorGraph:
    """DeepLabV3 (Chen et al. 2017) on ResNet-50 of output stride 8: 31.31 GMAC, 39,638,869 parameters (42,004,074 with the auxiliary
    head)."""
    net = Network("deeplabv3-resnet50", batch, format, size)
    stages = resnet.features(net, "image", "resnet50", dilated=True)
    if auxiliary:
        _enlarged_output(net, _fcn_head(net, stages[2], "aux_classifier"), "aux")
    x, at = stages[3], "classifier.0"
    parts = [net.conv_norm(x, f"{at}.convs.0.0", f"{at}.convs.0.1", 256, 1, activation="relu")]
    for place, rate in enumerate((12, 24, 36), start=1):
        parts.append(net.conv_norm(x, f"{at}.convs.{place}.0", f"{at}.convs.{place}.1", 256, 3, dilation=rate, activation="relu"))
    y = net.conv_norm(net.mean(x, f"{at}.convs.4.0"), f"{at}.convs.4.1", f"{at}.convs.4.2", 256, 1, activation="relu")
    parts.append(_enlarged(net, y, f"{at}.convs.4.out", net.builder[x].shape[-1]))
    x = net.concat(parts, f"{at}.join")
    x = net.conv_norm(x, f"{at}.project.0", f"{at}.project.1", 256, 1, activation="relu")
    x = net.conv_norm(x, "classifier.1", "classifier.2", 256, 3, activation="relu")
    return net.finish(_enlarged(net, net.conv(x, "classifier.4", _CLASSES, 1, bias=True), "out", size))


def lraspp_mobilenet_v3_large(batch: int = 1, format: str = NATIVE_FORMAT, *, size: int = 224) -> OperatorGraph:
    """LR-ASPP (Howard et al. 2019, section 6.4) on MobileNetV3-Large of output stride 16: 0.379 GMAC, 3,221,538 parameters."""
    net = Network("lraspp-mobilenet-v3-large", batch, format, size)
    stages = mobile.v3_features(net, mobile.V3_LARGE, 960, dilated=True)
    low, high = stages[4], stages[-1]
    x = net.conv_norm(high, "classifier.cbr.0", "classifier.cbr.1", 128, 1, activation="relu")
    scale = net.conv(net.mean(high, "classifier.scale.0"), "classifier.scale.1", 128, 1)
    x = net.builder.elementwise("mul", (x, net.activate("sigmoid", scale, "classifier.scale.2")), "classifier.scaled")
    x = _enlarged(net, x, "classifier.up", net.builder[low].shape[-1])
    fine = net.conv(low, "classifier.low_classifier", _CLASSES, 1, bias=True)
    x = net.add((fine, net.conv(x, "classifier.high_classifier", _CLASSES, 1, bias=True)), "classifier.add")
    return net.finish(_enlarged(net, x, "out", size))


def _fcn_head(net: Network, x: str, at: str) -> str:
    y = net.conv_norm(x, f"{at}.0", f"{at}.1", net.channels(x) // 4, 3, activation="relu")
    return net.conv(y, f"{at}.4", _CLASSES, 1, bias=True)


def _enlarged(net: Network, x: str, out: str, size: int) -> str:
    """Bilinear interpolation to ``size`` x ``size``."""
    return net.builder.resize(x, out, (*net.builder[x].shape[:2], size, size))


def _enlarged_output(net: Network, x: str, out: str) -> None:
    net.builder.output(_enlarged(net, x, out, net.builder["image"].shape[-1]))


_UNET_WIDTHS = (64, 128, 256, 512, 1024)


def unet(batch: int = 1, format: str = NATIVE_FORMAT, *, padded: bool = False, size: int = 0) -> OperatorGraph:
    """U-Net (Ronneberger et al. 2015), two classes.

    As published: one channel of 572 x 572 pixels, unpadded convolutions with bias, features cut to the middle before they are joined,
    388 x 388 labels; 150.4 GMAC, 31,030,658 parameters. ``padded``: the common form for RGB images of 256 x 256, "same" padding, batch
    normalization instead of the biases, nothing is cut; 48.17 GMAC, 31,037,698 parameters (github milesial/Pytorch-UNet).
    """
    size = size or (256 if padded else 572)
    net = Network("unet-256" if padded else "unet", batch, format, shape=(3 if padded else 1, size, size))

    def pair(x: str, name: str, channels: int) -> str:
        for place in (1, 2):
            if padded:
                x = net.conv_norm(x, f"{name}.conv{place}", f"{name}.bn{place}", channels, 3, activation="relu")
            else:
                x = net.conv(x, f"{name}.conv{place}", channels, 3, bias=True, pads=0)
                x = net.activate("relu", x, f"{name}.relu{place}")
        return x

    x, passed = "image", []
    for level, channels in enumerate(_UNET_WIDTHS):
        if level:
            passed.append(x)
            x = net.pool(x, f"down{level}.pool", "max", 2, stride=2)
        x = pair(x, f"down{level}", channels)
    for level in reversed(range(len(passed))):
        x = _joined(net, x, passed[level], f"up{level}", _UNET_WIDTHS[level])
        x = pair(x, f"up{level}", _UNET_WIDTHS[level])
    return net.finish(net.conv(x, "out", 2, 1, bias=True))


def _joined(net: Network, x: str, passed: str, at: str, channels: int) -> str:
    """``x`` enlarged by a transposed 2x2 convolution, behind the middle of the map that was passed over."""
    builder = net.builder
    weight = builder.weight(f"{at}.up.weight", (net.channels(x), channels, 2, 2))
    bias = builder.weight(f"{at}.up.bias", (channels,))
    y = builder.conv(x, weight, f"{at}.up", bias=bias, strides=2, transposed=True)
    shape = builder[y].shape
    border = (builder[passed].shape[-1] - shape[-1]) // 2
    if border:
        passed = builder.slice(passed, f"{at}.middle", (0, 0, border, border), (shape[0], channels, *shape[2:]))
    return net.concat((passed, y), f"{at}.join")


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {
        "fcn-resnet50": (fcn_resnet50, "FCN on ResNet-50, 224 x 224"),
        "deeplabv3-resnet50": (deeplabv3_resnet50, "DeepLabV3 on ResNet-50, 224 x 224"),
        "lraspp-mobilenet-v3-large": (lraspp_mobilenet_v3_large, "LR-ASPP on MobileNetV3-Large, 224 x 224"),
        "unet": (unet, "U-Net as published, 572 x 572 to 388 x 388"),
        "unet-256": (partial(unet, padded=True), "U-Net with padding and batch normalization, 256 x 256"),
    }
)
"""Name to (builder of (batch, format), description)."""
