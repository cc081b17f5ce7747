"""MobileViG (Munir et al., CVPR Workshops 2023): inverted residuals, then sparse graph attention by rolls and max-relative sums.

Configurations: github SLDGroup/MobileViG, models/mobilevig.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from workloads.graph import Axis, OperatorGraph
from workloads.nests import axis, plain_axes, point_dims
from workloads.zoo.network import Network

_HOP = 2
"""K: every K-th pixel of a row and of a column is a neighbour."""


@dataclass(frozen=True, slots=True)
class _Shape:
    local_blocks: tuple[int, int, int]
    local_channels: tuple[int, int, int]
    global_blocks: int
    global_channels: int
    head: int


_SHAPES = {
    "ti": _Shape((2, 2, 6), (42, 84, 168), 2, 256, 512),
    "s": _Shape((3, 3, 9), (42, 84, 176), 3, 256, 512),
    "m": _Shape((3, 3, 9), (42, 84, 224), 3, 400, 768),
    "b": _Shape((5, 5, 15), (42, 84, 240), 5, 464, 768),
}


class _Layers(Network):
    """The building blocks of the network; every convolution has a bias, as the release has it."""

    def unit(self, x: str, name: str, channels: int, window: int = 1, *, stride: int = 1, groups: int = 1, gelu: bool = False) -> str:
        y = self.norm(self.conv(x, f"{name}.conv", channels, window, stride=stride, groups=groups, bias=True), f"{name}.norm")
        return self.builder.elementwise("gelu", (y,), f"{name}.gelu") if gelu else y

    def residual(self, x: str, name: str) -> str:
        """Inverted residual of ratio 4 with a scale per channel on its branch."""
        builder, channels = self.builder, self.builder[x].shape[1]
        y = self.unit(x, f"{name}.fc1", 4 * channels, gelu=True)
        y = self.unit(y, f"{name}.mid", 4 * channels, 3, groups=4 * channels, gelu=True)
        y = self.unit(y, f"{name}.fc2", channels)
        y = builder.elementwise("mul", (y, builder.weight(f"{name}.layer_scale", (channels, 1, 1))), f"{name}.scaled")
        return builder.elementwise("add", (y, x), f"{name}.add")

    def rolled(self, x: str, out: str, spatial: int, shift: int) -> str:
        """``x`` rolled by ``shift`` pixels along a spatial axis: a copy whose index wraps around.

        The nest reads without wrapping (the first ``shift`` rows would come from the other end); points and bytes are the same.
        """
        shape = self.builder[x].shape
        axes: list[Axis] = list(plain_axes(point_dims(4)))
        axes[spatial] = axis((f"d{spatial}", 1), offset=-shift)
        return self.builder.copy(x, out, shape, tuple(axes), read_bytes=self.builder[x].stored_bytes, attributes={"function": "roll"})

    def grapher(self, x: str, name: str) -> str:
        """fc, max-relative graph convolution over the hops of each row and column, fc, residual."""
        builder, channels = self.builder, self.builder[x].shape[1]
        y = self.unit(x, f"{name}.fc1", channels)
        relative = builder.elementwise("sub", (y, y), f"{name}.zero")
        for spatial in (2, 3):
            for shift in range(_HOP, builder[y].shape[spatial], _HOP):
                at = f"{name}.hop{spatial}.{shift}"
                difference = builder.elementwise("sub", (y, self.rolled(y, f"{at}.roll", spatial, shift)), f"{at}.sub")
                relative = builder.elementwise("max", (relative, difference), f"{at}.max")
        y = builder.concat((y, relative), f"{name}.concat", 1)
        y = self.unit(y, f"{name}.graph", 2 * channels, gelu=True)
        return builder.elementwise("add", (self.unit(y, f"{name}.fc2", channels), x), f"{name}.add")

    def feed_forward(self, x: str, name: str) -> str:
        channels = self.builder[x].shape[1]
        y = self.unit(self.unit(x, f"{name}.fc1", 4 * channels, gelu=True), f"{name}.fc2", channels)
        return self.builder.elementwise("add", (y, x), f"{name}.add")


def mobilevig(variant: str, batch: int = 1, format: str = "fp32") -> OperatorGraph:
    """MobileViG ``ti``, ``s``, ``m`` or ``b`` at 224 x 224 with both classifier heads (their mean is the output)."""
    shape = _SHAPES[variant]
    net = _Layers(f"mobilevig-{variant}", batch, format)
    x = net.unit("image", "stem.0", shape.local_channels[0] // 2, 3, stride=2, gelu=True)
    x = net.unit(x, "stem.1", shape.local_channels[0], 3, stride=2, gelu=True)
    for stage, (blocks, channels) in enumerate(zip(shape.local_blocks, shape.local_channels, strict=True)):
        if stage:
            x = net.unit(x, f"local.{stage}.downsample", channels, 3, stride=2)
        for block in range(blocks):
            x = net.residual(x, f"local.{stage}.{block}")
    x = net.unit(x, "global.downsample", shape.global_channels, 3, stride=2)
    for block in range(shape.global_blocks):
        x = net.feed_forward(net.grapher(x, f"global.{block}.grapher"), f"global.{block}.ffn")
    builder = net.builder
    x = builder.reduce("add", x, "pool", (2, 3), keep_dims=True, kind="pool")
    x = net.unit(x, "prediction", shape.head, gelu=True)
    heads = [net.conv(x, name, 1000, 1, bias=True) for name in ("head", "dist_head")]
    return net.finish(builder.elementwise("add", heads, "mean", vector_ops=2))


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {f"mobilevig-{variant}": (partial(mobilevig, variant), f"MobileViG-{variant.title()}, 224 x 224") for variant in _SHAPES}
)
"""Name to (builder of (batch, format), description)."""
