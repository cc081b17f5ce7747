"""SpaRTAN (Pay et al., IJCNN 2025, arXiv 2507.10999): mixers of dilated convolutions, then channel mixers of waves.

Layers and sizes: github henry-pay/SpaRTAN, src/model/spartan.py and src/config (SpaRTAN-T; the other sizes are not in the release).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from workloads.graph import OperatorGraph
from workloads.nests import plain_axes, point_dims
from workloads.zoo.network import Network

_STAGES = ((3, 32, 4), (3, 64, 4), (12, 128, 2), (2, 256, 2))
"""Blocks, channels and expansion of the four stages; the first two mix space with full convolutions, the others channel by channel."""
_FULL_STAGES = 2


class _Layers(Network):
    def biased(self, x: str, name: str, channels: int) -> str:
        return self.conv(x, name, channels, 1, bias=True)

    def group_norm(self, x: str, name: str) -> str:
        """One group over channels and pixels, with a scale and a shift per channel."""
        builder, channels = self.builder, self.builder[x].shape[1]
        weight, bias = builder.weight(f"{name}.weight", (channels,)), builder.weight(f"{name}.bias", (channels,))
        return builder.norm("groupnorm", x, name, weight=weight, bias=bias)

    def dilated(self, x: str, name: str, groups: int, dilation: int) -> str:
        """3x3 convolution that keeps channels and size."""
        builder, channels = self.builder, self.builder[x].shape[1]
        weight = builder.weight(f"{name}.weight", (channels, channels // groups, 3, 3))
        return builder.conv(x, weight, name, pads=dilation, dilations=dilation, groups=groups)

    def activated(self, x: str, name: str) -> str:
        return self.builder.elementwise("gelu", (self.norm(x, f"{name}.norm"),), f"{name}.gelu")

    def gate(self, x: str, name: str, hidden: int) -> str:
        return self.squeeze_excite(x, name, hidden, "relu", "sigmoid")

    def scaled(self, x: str, name: str) -> str:
        builder = self.builder
        return builder.elementwise("mul", (x, builder.weight(name, (builder[x].shape[1], 1, 1))), f"{name}.product")

    def spatial(self, x: str, name: str, full: bool) -> str:
        """Half the channels twice: through a 3x3 convolution, and through two dilated ones."""
        builder, channels = self.builder, self.builder[x].shape[1]
        half = channels // 2
        groups = 1 if full else half
        y = self.biased(x, f"{name}.proj_in", half)
        mean = builder.reduce("add", y, f"{name}.mean", (2, 3), keep_dims=True, kind="pool")
        detail = self.scaled(builder.elementwise("sub", (y, mean), f"{name}.detail"), f"{name}.gamma")
        y = builder.elementwise("add", (y, detail), f"{name}.sharpened")
        near = self.activated(self.dilated(y, f"{name}.h_conv", groups, 1), f"{name}.h_conv")
        far = self.dilated(self.dilated(y, f"{name}.l_conv.0", groups, 2), f"{name}.l_conv.1", groups, 2)
        far = self.activated(far, f"{name}.l_conv.1")
        gated = (self.gate(near, f"{name}.h_attn", half // 4), self.gate(far, f"{name}.l_attn", half // 4))
        return self.biased(builder.concat(gated, f"{name}.concat", 1), f"{name}.proj_out", channels)

    def chosen(self, x: str, index: str, out: str) -> str:
        """Of each pixel the channel that ``index`` names."""
        builder = self.builder
        batch, _, rows, columns = builder[x].shape
        axes = list(plain_axes(point_dims(4)))
        axes[1] = plain_axes((None,))[0]
        read = builder[index].values * builder[x].stored_bytes // builder[x].values
        return builder.copy(x, out, (batch, 1, rows, columns), tuple(axes), read_bytes=read, attributes={"function": "gather"})

    def waves(self, x: str, name: str, expansion: int, full: bool) -> str:
        """Amplitude and phase, joined with those of the pixel's strongest channel, turned by a complex weight per pair of channels."""
        builder, channels = self.builder, self.builder[x].shape[1]
        wide = channels * expansion
        index = builder.reduce("max", x, f"{name}.argmax", (1,), keep_dims=True)
        theta = builder.elementwise("gelu", (self.biased(x, f"{name}.theta", wide),), f"{name}.theta.gelu")
        weight = self.biased(x, f"{name}.proj", wide)
        strongest = (self.chosen(weight, index, f"{name}.proj.max"), self.chosen(theta, index, f"{name}.theta.max"))
        product = builder.elementwise("mul", (weight, theta), f"{name}.product")
        joined = builder.elementwise("add", (product, builder.elementwise("mul", strongest, f"{name}.product.max")), f"{name}.joined")
        # a complex product of two numbers of a pair: four multiplications and two additions, three operations per number
        turned = builder.elementwise("mul", (joined, builder.weight(f"{name}.complex", (wide, 1, 1))), f"{name}.turned", vector_ops=3)
        groups = wide if full else channels
        mixed = self.activated(self.dilated(turned, f"{name}.conv", groups, 1), f"{name}.conv")
        return self.biased(self.gate(mixed, f"{name}.attn", channels // 4), f"{name}.proj_out", channels)

    def block(self, x: str, name: str, expansion: int, full: bool) -> str:
        builder = self.builder
        y = self.scaled(self.spatial(self.group_norm(x, f"{name}.norm_1"), f"{name}.smixer", full), f"{name}.scale_1")
        x = builder.elementwise("add", (x, y), f"{name}.add_1")
        y = self.scaled(self.waves(self.group_norm(x, f"{name}.norm_2"), f"{name}.cmixer", expansion, full), f"{name}.scale_2")
        return builder.elementwise("add", (x, y), f"{name}.add_2")

    def halve(self, x: str, name: str, channels: int) -> str:
        """2x2 convolution of stride 2, batch normalization, SiLU."""
        builder = self.builder
        weight = builder.weight(f"{name}.conv.weight", (channels, builder[x].shape[1], 2, 2))
        y = self.norm(builder.conv(x, weight, f"{name}.conv", strides=2), f"{name}.norm")
        return builder.elementwise("silu", (y,), f"{name}.silu")


def spartan_t(batch: int = 1, format: str = "fp32") -> OperatorGraph:
    """SpaRTAN-T, 224 x 224: 799.6 MMAC, 3.820 M parameters."""
    net = _Layers("spartan-t", batch, format)
    x = "image"
    for index, channels in enumerate((_STAGES[0][1] // 2, _STAGES[0][1])):
        x = net.conv_norm(x, f"conv.{index}.conv", f"conv.{index}.norm", channels, 3, stride=2, activation="gelu")
    for stage, (blocks, channels, expansion) in enumerate(_STAGES):
        if stage:
            x = net.halve(x, f"layers.{stage}.halve", channels)
        for block in range(blocks):
            x = net.block(x, f"layers.{stage}.{block}", expansion, stage < _FULL_STAGES)
    return net.classify(x, "linear")


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {"spartan-t": (spartan_t, "SpaRTAN-T, 224 x 224")}
)
"""Name to (builder of (batch, format), description)."""
