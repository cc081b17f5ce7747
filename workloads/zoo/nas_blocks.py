"""What searched networks are made of: separable convolutions, reductions, and cells of five to ten operations.

A ReLU, a depthwise and a pointwise convolution and a batch normalization are operators of their own, and every operation has a ReLU of its
own, as the released code has them; passes may join them.
"""

from __future__ import annotations

from dataclasses import dataclass

from workloads.zoo.network import Network


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: each step adds the results of two operations.

    Attributes:
        steps: per step two (operation, state); states 0 and 1 are the inputs, state 2 + i is the result of step i.
        joined: states whose concatenation leaves the cell.
    """

    steps: tuple[tuple[tuple[str, int], tuple[str, int]], ...]
    joined: tuple[int, ...]


def relu_conv_norm(net: Network, x: str, name: str, channels: int, window: int | tuple[int, int] = 1, *, stride: int = 1) -> str:
    """ReLU, convolution, batch normalization."""
    return net.conv_norm(net.activate("relu", x, f"{name}.relu"), f"{name}.conv", f"{name}.norm", channels, window, stride=stride)


def separable(net: Network, x: str, name: str, channels: int, window: int, *, stride: int = 1, dilation: int = 1) -> str:
    """ReLU, depthwise convolution, pointwise convolution, batch normalization."""
    y = net.activate("relu", x, f"{name}.relu")
    y = net.conv(y, f"{name}.depthwise", net.channels(x), window, stride=stride, groups=0, dilation=dilation)
    return net.conv_norm(y, f"{name}.pointwise", f"{name}.norm", channels, 1)


def separable_twice(net: Network, x: str, name: str, channels: int, window: int, *, stride: int = 1) -> str:
    """Two separable convolutions in a row, the first one strided."""
    return separable(net, separable(net, x, f"{name}.0", channels, window, stride=stride), f"{name}.1", channels, window)


def factorized_reduction(net: Network, x: str, name: str, channels: int) -> str:
    """Half the resolution: two strided 1x1 convolutions, the second one on the grid one pixel further, joined and normalized.

    The second convolution reads that grid where it lies; a row or column beyond an odd image is padding.
    """
    builder, half = net.builder, channels // 2
    before, (height, width) = net.channels(x), builder[x].shape[2:]
    first = builder.weight(f"{name}.even.weight", (half, before, 1, 1))
    second = builder.weight(f"{name}.odd.weight", (channels - half, before, 1, 1))
    even = builder.conv(x, first, f"{name}.even", strides=2)
    odd = builder.conv(x, second, f"{name}.odd", strides=2, pads=((-1, height % 2), (-1, width % 2)))
    return net.norm(net.concat((even, odd), f"{name}.join"), f"{name}.norm")
