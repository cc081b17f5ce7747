"""Small classifiers: SqueezeNet (Iandola et al. 2016), ShuffleNet V1 (Zhang et al. 2018) and V2 (Ma et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from workloads.graph import OperatorGraph
from workloads.zoo.network import NATIVE_FORMAT, Network

_SQUEEZE = {  # window and channels of the first layer; layers before which the map is pooled (fires count from 0)
    "1.0": (7, 96, (0, 3, 7)),
    "1.1": (3, 64, (0, 2, 4)),
}
_FIRES = (16, 16, 32, 32, 48, 48, 64, 64)
"""Channels that a fire module squeezes to; it expands to four times as many in 1x1 and in 3x3."""


def squeezenet(version: str, batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """SqueezeNet 1.0: 0.819 GMAC, 1,248,424 parameters; 1.1: 0.349 GMAC, 1,235,496. No batch normalization."""
    net = Network(f"squeezenet-{version}", batch, format)
    window, channels, pooled = _SQUEEZE[version]

    def unit(x: str, name: str, channels: int, window: int, stride: int = 1, pads: int | None = None) -> str:
        return net.activate("relu", net.conv(x, name, channels, window, stride=stride, bias=True, pads=pads), f"{name}.relu")

    x = unit("image", "stem", channels, window, 2, 0)
    for fire, squeezed in enumerate(_FIRES):
        if fire in pooled:
            x = net.pool(x, f"pool{fire}", "max", 3, stride=2, ceil=True)
        at = f"fire{fire + 2}"
        y = unit(x, f"{at}.squeeze", squeezed, 1)
        x = net.concat((unit(y, f"{at}.expand1x1", 4 * squeezed, 1), unit(y, f"{at}.expand3x3", 4 * squeezed, 3)), at)
    x = net.mean(unit(x, "classifier", 1000, 1), "avgpool")
    return net.finish(net.flatten(x))


def shufflenet_v1(batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """ShuffleNet V1, 3 groups, width 1 (table 1 of the paper): 137 MMAC, 1,865,728 parameters."""
    net, groups = Network("shufflenet-v1", batch, format), 3
    x = net.conv_norm("image", "stem.conv", "stem.norm", 24, 3, stride=2, activation="relu")
    x = net.pool(x, "maxpool", "max", 3, stride=2, pads=1)
    for stage, (units, channels) in enumerate(((4, 240), (8, 480), (4, 960)), start=2):
        for unit in range(units):
            at, before, first = f"stage{stage}.{unit}", net.channels(x), unit == 0
            made = channels - before if first else channels
            # the paper leaves the first pointwise convolution of stage 2 ungrouped: its input has 24 channels only
            inward = 1 if stage == 2 and first else groups
            y = net.conv_norm(x, f"{at}.conv1", f"{at}.norm1", channels // 4, 1, groups=inward, activation="relu")
            y = net.shuffle(y, f"{at}.shuffle", groups)
            y = net.conv_norm(y, f"{at}.conv2", f"{at}.norm2", channels // 4, 3, stride=2 if first else 1, groups=0)
            y = net.conv_norm(y, f"{at}.conv3", f"{at}.norm3", made, 1, groups=groups)
            if first:
                y = net.concat((net.pool(x, f"{at}.pool", "add", 3, stride=2, pads=1), y), f"{at}.join")
            else:
                y = net.add((y, x), f"{at}.add")
            x = net.activate("relu", y, f"{at}.relu")
    return net.classify(x, "fc")


def shufflenet_v2(batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """ShuffleNet V2, width 1 (table 5 of the paper, modules as torchvision names them): 145 MMAC, 2,278,604 parameters."""
    net = Network("shufflenet-v2", batch, format)
    x = net.conv_norm("image", "conv1.0", "conv1.1", 24, 3, stride=2, activation="relu")
    x = net.pool(x, "maxpool", "max", 3, stride=2, pads=1)
    for stage, (units, channels) in enumerate(((4, 116), (8, 232), (4, 464)), start=2):
        half = channels // 2
        for unit in range(units):
            at = f"stage{stage}.{unit}"
            if unit == 0:
                kept = net.conv_norm(x, f"{at}.branch1.0", f"{at}.branch1.1", net.channels(x), 3, stride=2, groups=0)
                kept = net.conv_norm(kept, f"{at}.branch1.2", f"{at}.branch1.3", half, 1, activation="relu")
            else:
                kept, x = net.builder.split(x, (f"{at}.kept", f"{at}.worked"), 1, (half, half), name=f"{at}.split")
            y = net.conv_norm(x, f"{at}.branch2.0", f"{at}.branch2.1", half, 1, activation="relu")
            y = net.conv_norm(y, f"{at}.branch2.3", f"{at}.branch2.4", half, 3, stride=2 if unit == 0 else 1, groups=0)
            y = net.conv_norm(y, f"{at}.branch2.5", f"{at}.branch2.6", half, 1, activation="relu")
            x = net.shuffle(net.concat((kept, y), f"{at}.join"), f"{at}.shuffle", 2)
    x = net.conv_norm(x, "conv5.0", "conv5.1", 1024, 1, activation="relu")
    return net.classify(x, "fc")


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {
        "squeezenet-1.0": (partial(squeezenet, "1.0"), "SqueezeNet 1.0, 224 x 224"),
        "squeezenet-1.1": (partial(squeezenet, "1.1"), "SqueezeNet 1.1, 224 x 224"),
        "shufflenet-v1": (shufflenet_v1, "ShuffleNet V1, 3 groups, 224 x 224"),
        "shufflenet-v2": (shufflenet_v2, "ShuffleNet V2 x1.0, 224 x 224"),
    }
)
"""Name to (builder of (batch, format), description)."""
