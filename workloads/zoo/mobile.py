"""Networks for phones: MobileNet V1, V2 and V3, EfficientNet. Modules are named as torchvision names them (V1 has no such names)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from types import MappingProxyType

from workloads.graph import OperatorGraph
from workloads.zoo.network import Network


def divisible(channels: float, divisor: int = 8) -> int:
    """``channels`` rounded to a multiple of ``divisor``, never more than a tenth down (the MobileNets' rule)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def _named(base: str, width: float) -> str:
    return base if width == 1.0 else f"{base}-{width:g}"


Layer = Callable[[Network, str, str], str]
"""Adds layers behind a tensor, under a name, and gives their result."""
UNCHANGED: Mapping[int, Layer] = MappingProxyType({})


def mobilenet_v1(
    batch: int = 1, format: str = "fp32", *, width: float = 1.0, name: str = "", replaced: Mapping[int, Layer] = UNCHANGED
) -> OperatorGraph:
    """MobileNet V1 (Howard et al. 2017): 13 blocks of a depthwise 3x3 and a pointwise convolution; 569 MMAC, 4.23 M parameters.

    ``width`` multiplies the channels; they are cut to whole numbers, at least 8, and not rounded (TensorFlow-Slim's rule).
    ``replaced`` puts other layers of the same shape in the place of blocks (counted from 0).
    """
    net = Network(name or _named("mobilenet-v1", width), batch, format)

    def scaled(channels: int) -> int:
        return max(8, int(channels * width))

    x = net.conv_norm("image", "stem.conv", "stem.norm", scaled(32), 3, stride=2, activation="relu6")
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    widths = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    for index, (stride, channels) in enumerate(zip(strides, widths, strict=True)):
        at, before = f"blocks.{index}", net.builder[x].shape[1]
        if index in replaced:
            x = replaced[index](net, x, at)
            continue
        x = net.conv_norm(x, f"{at}.depthwise", f"{at}.norm0", before, 3, stride=stride, groups=before, activation="relu6")
        x = net.conv_norm(x, f"{at}.pointwise", f"{at}.norm1", scaled(channels), 1, activation="relu6")
    return net.classify(x, "classifier")


def mobilenet_v2(
    batch: int = 1, format: str = "fp32", *, width: float = 1.0, name: str = "", replaced: Mapping[int, Layer] = UNCHANGED
) -> OperatorGraph:
    """MobileNetV2 (Sandler et al. 2018): 300.8 MMAC, 3.505 M parameters at width 1; channels are rounded to multiples of 8.

    ``replaced`` puts other layers of the same shape in the place of blocks (``features.<index>``).
    """
    net = Network(name or _named("mobilenet-v2", width), batch, format)
    channels = divisible(32 * width)
    x = net.conv_norm("image", "features.0.0", "features.0.1", channels, 3, stride=2, activation="relu6")
    index = 0
    settings = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, base, repeats, first_stride in settings:
        made = divisible(base * width)
        for repeat in range(repeats):
            index += 1
            if index in replaced:
                x = replaced[index](net, x, f"features.{index}")
                continue
            stride, hidden = (first_stride if repeat == 0 else 1), channels * expansion
            at, y, place = f"features.{index}.conv", x, 0
            if expansion != 1:
                y = net.conv_norm(y, f"{at}.0.0", f"{at}.0.1", hidden, 1, activation="relu6")
                place = 1
            y = net.conv_norm(y, f"{at}.{place}.0", f"{at}.{place}.1", hidden, 3, stride=stride, groups=hidden, activation="relu6")
            y = net.conv_norm(y, f"{at}.{place + 1}", f"{at}.{place + 2}", made, 1)
            x = net.builder.elementwise("add", (y, x), f"features.{index}.add") if stride == 1 and channels == made else y
            channels = made
    x = net.conv_norm(x, "features.18.0", "features.18.1", divisible(1280 * max(1.0, width)), 1, activation="relu6")
    return net.classify(x, "classifier.1")


V3_LARGE = (  # window, expanded, out, squeeze-excite, activation, stride: Howard et al. 2019, table 1
    (3, 16, 16, False, "relu", 1), (3, 64, 24, False, "relu", 2), (3, 72, 24, False, "relu", 1), (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1), (5, 120, 40, True, "relu", 1), (3, 240, 80, False, "hard_swish", 2),
    (3, 200, 80, False, "hard_swish", 1), (3, 184, 80, False, "hard_swish", 1), (3, 184, 80, False, "hard_swish", 1),
    (3, 480, 112, True, "hard_swish", 1), (3, 672, 112, True, "hard_swish", 1), (5, 672, 160, True, "hard_swish", 2),
    (5, 960, 160, True, "hard_swish", 1), (5, 960, 160, True, "hard_swish", 1),
)  # fmt: skip
_V3_SMALL = (  # table 2
    (3, 16, 16, True, "relu", 2), (3, 72, 24, False, "relu", 2), (3, 88, 24, False, "relu", 1), (5, 96, 40, True, "hard_swish", 2),
    (5, 240, 40, True, "hard_swish", 1), (5, 240, 40, True, "hard_swish", 1), (5, 120, 48, True, "hard_swish", 1),
    (5, 144, 48, True, "hard_swish", 1), (5, 288, 96, True, "hard_swish", 2), (5, 576, 96, True, "hard_swish", 1),
    (5, 576, 96, True, "hard_swish", 1),
)  # fmt: skip


def v3_features(
    net: Network, settings: tuple[tuple[int, int, int, bool, str, int], ...], last: int, *, dilated: bool = False
) -> tuple[str, ...]:
    """The outputs of the stem, of the blocks, and of the last pointwise convolution (``last`` channels).

    ``dilated``: from the fourth halving on the map stays as large and the depthwise convolutions dilate instead (output stride 16), as
    segmentation heads want it.
    """
    x = net.conv_norm("image", "features.0.0", "features.0.1", 16, 3, stride=2, activation="hard_swish")
    made_so_far, halvings, dilation = [x], 1, 1
    for index, (window, hidden, made, squeeze, activation, stride) in enumerate(settings, start=1):
        at, channels, y, place = f"features.{index}.block", net.channels(x), x, 0
        halvings += stride == 2
        if dilated and halvings > 4:
            stride, dilation = 1, 2
        if hidden != channels:
            y = net.conv_norm(y, f"{at}.0.0", f"{at}.0.1", hidden, 1, activation=activation)
            place = 1
        y = net.conv_norm(
            y, f"{at}.{place}.0", f"{at}.{place}.1", hidden, window, stride=stride, groups=hidden, dilation=dilation, activation=activation
        )
        place += 1
        if squeeze:
            y = net.squeeze_excite(y, f"{at}.{place}", divisible(hidden // 4), "relu", "hard_sigmoid")
            place += 1
        y = net.conv_norm(y, f"{at}.{place}.0", f"{at}.{place}.1", made, 1)
        x = net.add((y, x), f"features.{index}.add") if stride == 1 and channels == made else y
        made_so_far.append(x)
    at = f"features.{len(settings) + 1}"
    return (*made_so_far, net.conv_norm(x, f"{at}.0", f"{at}.1", last, 1, activation="hard_swish"))


def _mobilenet_v3(
    name: str, settings: tuple[tuple[int, int, int, bool, str, int], ...], last: int, features: int, batch: int, format: str
) -> OperatorGraph:
    net = Network(name, batch, format)
    x = net.mean(v3_features(net, settings, last)[-1], "avgpool")
    x = net.builder.elementwise("hard_swish", (net.linear(net.flatten(x), "classifier.0", features),), "classifier.1")
    return net.finish(net.linear(x, "classifier.3", 1000))


def mobilenet_v3_large(batch: int = 1, format: str = "fp32") -> OperatorGraph:
    """MobileNetV3-Large 1.0 (Howard et al. 2019): 216.6 MMAC, 5.483 M parameters."""
    return _mobilenet_v3("mobilenet-v3-large", V3_LARGE, 960, 1280, batch, format)


def mobilenet_v3_small(batch: int = 1, format: str = "fp32") -> OperatorGraph:
    """MobileNetV3-Small 1.0 (Howard et al. 2019): 56.5 MMAC, 2.543 M parameters."""
    return _mobilenet_v3("mobilenet-v3-small", _V3_SMALL, 576, 1024, batch, format)


_EFFICIENT = (  # expansion, window, stride, out, repeats: Tan and Le 2019, table 1
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1),
)  # fmt: skip


def _efficientnet(name: str, depth: float, size: int, batch: int, format: str) -> OperatorGraph:
    """Width 1; ``depth`` multiplies the repeats, rounded up."""
    net = Network(name, batch, format, size)
    x = net.conv_norm("image", "features.0.0", "features.0.1", 32, 3, stride=2, activation="silu")
    for stage, (expansion, window, first_stride, made, repeats) in enumerate(_EFFICIENT, start=1):
        for repeat in range(ceil(repeats * depth)):
            at, channels, y, place = f"features.{stage}.{repeat}.block", net.builder[x].shape[1], x, 0
            hidden, stride = channels * expansion, first_stride if repeat == 0 else 1
            if expansion != 1:
                y = net.conv_norm(y, f"{at}.0.0", f"{at}.0.1", hidden, 1, activation="silu")
                place = 1
            y = net.conv_norm(y, f"{at}.{place}.0", f"{at}.{place}.1", hidden, window, stride=stride, groups=hidden, activation="silu")
            y = net.squeeze_excite(y, f"{at}.{place + 1}", max(1, channels // 4), "silu", "sigmoid")
            y = net.conv_norm(y, f"{at}.{place + 2}.0", f"{at}.{place + 2}.1", made, 1)
            x = net.builder.elementwise("add", (y, x), f"features.{stage}.{repeat}.add") if stride == 1 and channels == made else y
    x = net.conv_norm(x, "features.8.0", "features.8.1", 1280, 1, activation="silu")
    return net.classify(x, "classifier.1")


def efficientnet_b0(batch: int = 1, format: str = "fp32") -> OperatorGraph:
    """EfficientNet-B0 (Tan and Le 2019), 224 x 224: 386 MMAC, 5.289 M parameters."""
    return _efficientnet("efficientnet-b0", 1.0, 224, batch, format)


def efficientnet_b1(batch: int = 1, format: str = "fp32") -> OperatorGraph:
    """EfficientNet-B1 (Tan and Le 2019), 240 x 240: 687 MMAC, 7.794 M parameters."""
    return _efficientnet("efficientnet-b1", 1.1, 240, batch, format)


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {
        "mobilenet-v1": (mobilenet_v1, "MobileNet V1, 224 x 224; other widths: mobilenet-v1-0.75"),
        "mobilenet-v2": (mobilenet_v2, "MobileNetV2, 224 x 224; other widths: mobilenet-v2-1.4"),
        "mobilenet-v3-large": (mobilenet_v3_large, "MobileNetV3-Large 1.0, 224 x 224"),
        "mobilenet-v3-small": (mobilenet_v3_small, "MobileNetV3-Small 1.0, 224 x 224"),
        "efficientnet-b0": (efficientnet_b0, "EfficientNet-B0, 224 x 224"),
        "efficientnet-b1": (efficientnet_b1, "EfficientNet-B1, 240 x 240"),
    }
)
"""Name to (builder of (batch, format), description)."""

SCALED: Mapping[str, Callable[..., OperatorGraph]] = MappingProxyType({"mobilenet-v1": mobilenet_v1, "mobilenet-v2": mobilenet_v2})
"""Networks that take a width."""
