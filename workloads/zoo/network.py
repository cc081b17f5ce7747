"""What the convolutional networks of the zoo are written with."""

from __future__ import annotations

from workloads.builder import GraphBuilder
from workloads.graph import OperatorGraph

NATIVE_FORMAT = "fp32"


class Network:
    """Layers in the order of the forward pass; names follow torchvision's modules."""

    def __init__(self, name: str, batch: int, format: str, size: int = 224) -> None:
        self.builder = GraphBuilder(name, format, {"phase": "inference", "batch": batch, "format": format, "source": f"zoo:{name}"})
        self.builder.input("image", (batch, 3, size, size))

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

    def squeeze_excite(self, x: str, name: str, hidden: int, inner: str, gate: str) -> str:
        """Squeeze-and-excitation (Hu et al. 2018): mean over the image, two fully connected layers, a scale per channel."""
        builder = self.builder
        batch, channels = builder[x].shape[:2]
        y = builder.reduce("add", x, f"{name}.mean", (2, 3), keep_dims=True, kind="pool")
        y = builder.view(y, f"{name}.flat", (batch, channels))
        y = builder.elementwise(inner, (self.linear(y, f"{name}.fc1", hidden),), f"{name}.{inner}")
        y = builder.elementwise(gate, (self.linear(y, f"{name}.fc2", channels),), f"{name}.{gate}")
        y = builder.view(y, f"{name}.gate", (batch, channels, 1, 1))
        return builder.elementwise("mul", (x, y), f"{name}.scale")

    def classify(self, x: str, name: str, classes: int = 1000) -> OperatorGraph:
        """Mean over the image and a fully connected layer, which end the graph."""
        x = self.builder.reduce("add", x, "avgpool", (2, 3), keep_dims=True, kind="pool")
        return self.finish(self.linear(self.flatten(x), name, classes))

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
