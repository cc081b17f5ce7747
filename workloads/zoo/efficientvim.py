"""EfficientViM (Lee et al., CVPR 2025): state space duality with its channel mixing among a few hidden states.

Configurations: github mlvlab/EfficientViM, classification/models/EfficientViM.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from workloads.graph import OperatorGraph
from workloads.zoo.network import Network


@dataclass(frozen=True, slots=True)
class _Shape:
    widths: tuple[int, int, int]
    depths: tuple[int, int, int]
    states: tuple[int, int, int]
    size: int


_SHAPES = {
    "m1": _Shape((128, 192, 320), (2, 2, 2), (49, 25, 9), 224),
    "m2": _Shape((128, 256, 512), (2, 2, 2), (49, 25, 9), 224),
    "m3": _Shape((224, 320, 512), (2, 2, 2), (49, 25, 9), 224),
    "m4": _Shape((224, 320, 512), (3, 4, 2), (64, 32, 16), 256),
}
_CLASSES = 1000


class _Layers(Network):
    """The building blocks of the network. Projections that the release joins and then splits are written as one per part."""

    def unit(self, x: str, name: str, channels: int, window: int = 1, *, stride: int = 1, groups: int = 1, relu: bool = True) -> str:
        activation = "relu" if relu else ""
        return self.conv_norm(x, f"{name}.conv", f"{name}.norm", channels, window, stride=stride, groups=groups, activation=activation)

    def layer_norm(self, x: str, name: str) -> str:
        """Over the channels, axis 1."""
        builder, channels = self.builder, self.builder[x].shape[1]
        weight, bias = (builder.weight(f"{name}.{part}", (channels,)) for part in ("weight", "bias"))
        return builder.norm("groupnorm", x, name, weight=weight, bias=bias, attributes={"norm": "layernorm", "axis": 1})

    def blend(self, x: str, y: str, name: str) -> str:
        """(1 - alpha) x + alpha y with an alpha per channel."""
        builder = self.builder
        alpha = builder.weight(f"{name}.alpha", (builder[x].shape[1], 1, 1))
        parts = [builder.elementwise("mul", (value, alpha), f"{name}.{side}") for value, side in ((x, "old"), (y, "new"))]
        return builder.elementwise("add", parts, name)

    def mixer(self, x: str, name: str, states: int) -> tuple[str, str]:
        """Hidden-state mixer: the map as ``x``'s shape, and the hidden states (N, C, states)."""
        builder = self.builder
        batch, channels, height, width = builder[x].shape
        pixels = height * width
        parts = {}
        for part in ("b", "c", "dt"):
            y = self.conv(x, f"{name}.{part}_proj", states, 1)
            y = self.conv(y, f"{name}.{part}_dw", states, 3, groups=states)
            parts[part] = builder.view(y, f"{name}.{part}", (batch, states, pixels))
        step = builder.elementwise("add", (parts["dt"], builder.weight(f"{name}.a", (states, 1))), f"{name}.step")
        mixed = builder.elementwise("mul", (builder.softmax(step, f"{name}.softmax"), parts["b"]), f"{name}.ab")
        flat = builder.view(x, f"{name}.flat", (batch, channels, pixels))
        h = builder.matmul(flat, builder.transpose(mixed, f"{name}.ab_t", (0, 2, 1)), f"{name}.states")
        h, z = (self._project(h, f"{name}.{part}_proj", channels) for part in ("h", "z"))
        gated = builder.elementwise("mul", (h, builder.elementwise("silu", (z,), f"{name}.silu")), f"{name}.gated")
        skip = builder.elementwise("mul", (h, builder.weight(f"{name}.d", (1,))), f"{name}.skip")
        h = self._project(builder.elementwise("add", (gated, skip), f"{name}.mixed"), f"{name}.out_proj", channels)
        y = builder.matmul(h, parts["c"], f"{name}.map")
        return builder.view(y, f"{name}.image", (batch, channels, height, width)), h

    def _project(self, x: str, name: str, channels: int) -> str:
        weight = self.builder.weight(f"{name}.weight", (channels, self.builder[x].shape[1], 1))
        return self.builder.conv(x, weight, name)

    def block(self, x: str, name: str, states: int) -> tuple[str, str]:
        width = self.builder[x].shape[1]
        x = self.blend(x, self.unit(x, f"{name}.dw1", width, 3, groups=width, relu=False), f"{name}.blend1")
        y, h = self.mixer(self.layer_norm(x, f"{name}.norm"), f"{name}.mixer", states)
        x = self.blend(x, y, f"{name}.blend2")
        x = self.blend(x, self.unit(x, f"{name}.dw2", width, 3, groups=width, relu=False), f"{name}.blend3")
        y = self.unit(self.unit(x, f"{name}.fc1", 4 * width), f"{name}.fc2", width, relu=False)
        return self.blend(x, y, f"{name}.blend4"), h

    def merge(self, x: str, name: str, width: int) -> str:
        """Patch merging: half the pixels along each side, ``width`` channels."""
        builder, before = self.builder, self.builder[x].shape[1]
        x = builder.elementwise("add", (x, self.unit(x, f"{name}.dw1", before, 3, groups=before, relu=False)), f"{name}.add1")
        x = self.unit(self.unit(x, f"{name}.expand", 4 * width), f"{name}.dw", 4 * width, 3, stride=2, groups=4 * width)
        x = self.unit(self.squeeze_excite(x, f"{name}.se", width, "relu", "sigmoid"), f"{name}.project", width, relu=False)
        return builder.elementwise("add", (x, self.unit(x, f"{name}.dw2", width, 3, groups=width, relu=False)), f"{name}.add2")

    def head(self, x: str, name: str) -> str:
        """Norm, mean over all but the channels, classifier."""
        y = self.layer_norm(x, f"{name}.norm")
        batch, channels, *rest = self.builder[y].shape
        y = self.builder.reduce("add", y, f"{name}.mean", tuple(range(2, 2 + len(rest))), kind="pool")
        return self.linear(self.builder.view(y, f"{name}.row", (batch, channels)), name, _CLASSES)


def efficientvim(variant: str, batch: int = 1, format: str = "fp32") -> OperatorGraph:
    """EfficientViM ``m1`` to ``m4``: four classifiers, of the hidden states of each stage and of the last map, weighted."""
    shape = _SHAPES[variant]
    net = _Layers(f"efficientvim-{variant}", batch, format, shape.size)
    x = "image"
    for place, divisor in enumerate((8, 4, 2, 1)):
        x = net.unit(x, f"stem.{place}", shape.widths[0] // divisor, 3, stride=2, relu=divisor > 1)
    scores = []
    for stage, (depth, states) in enumerate(zip(shape.depths, shape.states, strict=True)):
        h = ""
        for block in range(depth):
            x, h = net.block(x, f"stages.{stage}.{block}", states)
        scores.append(net.head(h, f"heads.{stage}"))
        if stage + 1 < len(shape.widths):
            x = net.merge(x, f"stages.{stage}.merge", shape.widths[stage + 1])
    scores.append(net.head(x, "heads.3"))
    return net.finish(net.builder.elementwise("add", scores, "score", vector_ops=2 * len(scores) - 1))


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {
        f"efficientvim-{variant}": (partial(efficientvim, variant), f"EfficientViM-{variant.upper()}, {shape.size} x {shape.size}")
        for variant, shape in _SHAPES.items()
    }
)
"""Name to (builder of (batch, format), description)."""
