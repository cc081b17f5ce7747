"""What the convolutional networks of the zoo are written with."""

from __future__ import annotations

from collections.abc import Sequence

from workloads.builder import GraphBuilder
from workloads.builder_core import per_axis
from workloads.graph import OperatorGraph

NATIVE_FORMAT = "fp32"

Window = int | Sequence[int]
"""One size for all spatial axes, or one per axis."""


class Network:
    """Layers in the order of the forward pass; names follow torchvision's modules.

    Args:
        size: height and width of the images (batch, 3, size, size).
        shape: channels and spatial extents of the input where it is no such image: (3, frames, height, width) of a video.
    """

    def __init__(self, name: str, batch: int, format: str, size: int = 224, *, shape: tuple[int, ...] | None = None) -> None:
        self.builder = GraphBuilder(name, format, {"phase": "inference", "batch": batch, "format": format, "source": f"zoo:{name}"})
        self.builder.input("image", (batch, *(shape or (3, size, size))))

    def channels(self, x: str) -> int:
        """Channels of ``x`` (N, C, ...)."""
        return self.builder[x].shape[1]

    def conv(
        self, x: str, name: str, channels: int, window: Window, *, stride: Window = 1, groups: int = 1, bias: bool = False,
        dilation: int = 1, pads: Window | None = None,
    ) -> str:  # fmt: skip
        """Convolution, in as many dimensions as ``x`` has behind its channels; without ``pads`` "same" padding for odd windows.

        ``groups=0`` is depthwise: as many groups as ``x`` has channels.
        """
        builder = self.builder
        rank, before = len(builder[x].shape) - 2, self.channels(x)
        taps = per_axis(window, rank)
        around = tuple(dilation * (size - 1) // 2 for size in taps) if pads is None else per_axis(pads, rank)
        groups = groups or before
        weight = builder.weight(f"{name}.weight", (channels, before // groups, *taps))
        added = builder.weight(f"{name}.bias", (channels,)) if bias else None
        both = tuple((side, side) for side in around)
        return builder.conv(x, weight, name, bias=added, strides=stride, pads=both, dilations=dilation, groups=groups)

    def norm(self, x: str, name: str) -> str:
        """Batch normalization at inference: a scale and a shift per channel."""
        builder, channels = self.builder, self.channels(x)
        return builder.batchnorm(x, name, builder.weight(f"{name}.weight", (channels,)), builder.weight(f"{name}.bias", (channels,)))

    def conv_norm(
        self, x: str, conv: str, norm: str, channels: int, window: Window, *, stride: Window = 1, groups: int = 1, activation: str = "",
        bias: bool = False, dilation: int = 1, pads: Window | None = None,
    ) -> str:  # fmt: skip
        """Convolution, batch normalization and an activation if one is named."""
        y = self.conv(x, conv, channels, window, stride=stride, groups=groups, bias=bias, dilation=dilation, pads=pads)
        y = self.norm(y, norm)
        return self.activate(activation, y, f"{norm}.{activation}") if activation else y

    def activate(self, function: str, x: str, name: str) -> str:
        """A pointwise function."""
        return self.builder.elementwise(function, (x,), name)

    def add(self, parts: Sequence[str], name: str) -> str:
        """The sum of branches of one shape."""
        return self.builder.elementwise("add", parts, name)

    def concat(self, parts: Sequence[str], name: str) -> str:
        """Branches joined along the channels; one branch is itself."""
        return parts[0] if len(parts) == 1 else self.builder.concat(parts, name, 1)

    def pool(self, x: str, name: str, function: str, window: Window, *, stride: Window = 1, pads: Window = 0, ceil: bool = False) -> str:
        """Pooling by ``max`` or ``add`` (the mean)."""
        rank = len(self.builder[x].shape) - 2
        both = tuple((side, side) for side in per_axis(pads, rank))
        return self.builder.pool(x, name, function, window=window, strides=stride, pads=both, ceil=ceil)

    def mean(self, x: str, name: str) -> str:
        """Mean over all spatial axes, which stay with extent 1."""
        return self.builder.reduce("add", x, name, tuple(range(2, len(self.builder[x].shape))), keep_dims=True, kind="pool")

    def shuffle(self, x: str, name: str, groups: int) -> str:
        """Channel shuffle (Zhang et al. 2018): channel j of group i becomes channel i of group j."""
        builder = self.builder
        batch, channels, *spatial = builder[x].shape
        y = builder.view(x, f"{name}.groups", (batch, groups, channels // groups, *spatial))
        order = (0, 2, 1, *range(3, 3 + len(spatial)))
        return builder.view(builder.transpose(y, f"{name}.transpose", order), name, (batch, channels, *spatial))

    def squeeze_excite(self, x: str, name: str, hidden: int, inner: str, gate: str) -> str:
        """Squeeze-and-excitation (Hu et al. 2018): mean over the image, two fully connected layers, a scale per channel."""
        builder = self.builder
        batch, channels = builder[x].shape[:2]
        y = builder.view(self.mean(x, f"{name}.mean"), f"{name}.flat", (batch, channels))
        y = builder.elementwise(inner, (self.linear(y, f"{name}.fc1", hidden),), f"{name}.{inner}")
        y = builder.elementwise(gate, (self.linear(y, f"{name}.fc2", channels),), f"{name}.{gate}")
        y = builder.view(y, f"{name}.gate", (batch, channels, 1, 1))
        return builder.elementwise("mul", (x, y), f"{name}.scale")

    def classify(self, x: str, name: str, classes: int = 1000) -> OperatorGraph:
        """Mean over the image and a fully connected layer, which end the graph."""
        return self.finish(self.linear(self.flatten(self.mean(x, "avgpool")), name, classes))

    def linear(self, x: str, name: str, features: int, *, bias: bool = True) -> str:
        """Fully connected layer; the weight is (out, in)."""
        builder = self.builder
        weight = builder.weight(f"{name}.weight", (features, builder[x].shape[-1]))
        added = builder.weight(f"{name}.bias", (features,)) if bias else None
        return builder.gemm(x, weight, name, bias=added, transpose_b=True)

    def flatten(self, x: str) -> str:
        """(N, C, H, W) as (N, C H W)."""
        tensor = self.builder[x]
        return self.builder.view(x, "flatten", (tensor.shape[0], tensor.values // tensor.shape[0]))

    def finish(self, x: str) -> OperatorGraph:
        """The graph with ``x`` as its output."""
        self.builder.output(x)
        return self.builder.build()
