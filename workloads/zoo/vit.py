"""Vision transformers: ViT (Dosovitskiy et al. 2021) and DeiT (Touvron et al. 2021), patches of 16 x 16 pixels, 224 x 224 images
unless a shape says otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from workloads.builder import GraphBuilder
from workloads.graph import Nest, Operand, OperatorGraph
from workloads.nests import CONSTANT, axis, plain_axes
from workloads.transformer_config import TransformerConfig
from workloads.transformer_layers import Step, attention_block, linear, mlp_block, norm


@dataclass(frozen=True, slots=True)
class Shape:
    """Layers, width and heads of a transformer; ``widening``: of its MLP; ``image``: pixels a side, in patches of ``patch``."""

    title: str
    layers: int
    hidden: int
    heads: int
    widening: int = 4
    patch: int = 16
    image: int = 224
    classes: int = 1000
    qkv_bias: bool = True


_SHAPES = {
    "deit-ti-16": Shape("DeiT-Ti/16", 12, 192, 3),
    "deit-s-16": Shape("DeiT-S/16", 12, 384, 6),
    "vit-b-16": Shape("ViT-B/16 (DeiT-B/16)", 12, 768, 12),
    "vit-l-16": Shape("ViT-L/16", 24, 1024, 16),
}
"""ViT, table 1; DeiT, table 1."""


def vit(variant: str, batch: int = 1, format: str = "fp32", shape: Shape | None = None) -> OperatorGraph:
    """A vision transformer with a class token, learned positions and pre-norm layers (one folded repeat).

    ViT-B/16: 17.564 GMAC of patches, layers and attention, 0.77 MMAC of the head, 86.57 M parameters.

    Args:
        shape: sizes where ``variant`` is none of ``NETWORKS``.
    """
    shape = shape or _SHAPES[variant]
    layers, hidden, heads, image, classes = shape.layers, shape.hidden, shape.heads, shape.image, shape.classes
    tokens = (image // shape.patch) ** 2 + 1
    config = TransformerConfig(
        variant, "vit", layers, hidden, heads, heads, hidden // heads, shape.widening * hidden, classes,
        gated=False, activation="gelu", norm="layernorm", qkv_bias=shape.qkv_bias, output_bias=True, mlp_bias=True, positions="none",
        encoder=True, format=format,
    )  # fmt: skip
    step = Step(batch, tokens, tokens, 0)
    meta: dict[str, str | int | float] = {
        "phase": "inference", "batch": batch, "image_tokens": tokens, "format": format, "source": f"zoo:{variant}",
    }  # fmt: skip
    builder = GraphBuilder(variant, format, meta)
    x = _patches(builder, builder.input("image", (batch, 3, image, image)), step, hidden, shape.patch)
    body = GraphBuilder(f"{variant}.layer", format)
    inner = body.input("x", (step.rows, hidden))
    attended = attention_block(body, config, step, norm(body, config, inner, "attention_norm"))
    middle = body.elementwise("add", (inner, attended), "attention_residual")
    made = mlp_block(body, config, norm(body, config, middle, "mlp_norm"), "mlp_out", config.intermediate)
    result = body.elementwise("add", (middle, made), "y")
    body.output(result)
    builder.repeat("layers", body.build(), layers, carried=((result, inner),), inputs={inner: x}, outputs={result: "hidden"})
    first = builder.copy(
        "hidden", "class_row", (batch, hidden), (axis(("d0", tokens)), axis(("d1", 1))),
        read_bytes=builder["hidden"].stored_bytes // tokens, attributes={"function": "slice"},
    )  # fmt: skip
    builder.output(linear(builder, config, norm(builder, config, first, "final_norm"), "head", classes, bias=True))
    return builder.build()


def _patches(builder: GraphBuilder, image: str, step: Step, hidden: int, patch: int) -> str:
    """Patch embedding, class token in front and learned positions: (batch x tokens, hidden)."""
    weight = builder.weight("patches.weight", (hidden, 3, patch, patch))
    patches = builder.conv(image, weight, "patches", bias=builder.weight("patches.bias", (hidden,)), strides=patch)
    flat = builder.view(patches, "patches_flat", (step.batch, hidden, step.tokens - 1))
    token = builder.weight("class_token", (hidden,))
    sequence = builder.tensor("sequence", (step.batch, step.tokens, hidden))
    b, s, d = plain_axes(("b", "s", "d"))
    rows = (("b", step.batch), ("s", step.tokens - 1), ("d", hidden))
    first = Nest(
        (("b", step.batch), ("d", hidden)), "copy", (Operand(token, (d,)),), (Operand(sequence, (b, CONSTANT, d)),)
    )  # fmt: skip
    rest = Nest(rows, "copy", (Operand(flat, (b, d, s)),), (Operand(sequence, (b, axis(("s", 1), offset=1), d)),))
    builder.operator("copy", (token, flat), (sequence,), (first, rest), attributes={"function": "concat"})
    positions = builder.weight("positions", (1, step.tokens, hidden))
    embedded = builder.elementwise("add", (sequence, positions), "embedded")
    return builder.view(embedded, "tokens", (step.rows, hidden))


NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {name: (partial(vit, name), f"{shape.title}, 224 x 224") for name, shape in _SHAPES.items()}
)
"""Name to (builder of (batch, format), description)."""
