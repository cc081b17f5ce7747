"""Graphs of transformers: decoder LLMs (prefill, decode) and encoders (encode), from a :class:`TransformerConfig`.

The layers are one ``Repeat`` that carries the hidden state, so the cost of building a graph does not grow with the depth.
"""

from __future__ import annotations

from workloads.builder import GraphBuilder
from workloads.graph import OperatorGraph, Role
from workloads.nests import axis
from workloads.transformer_checks import decoder_step, encoder_step
from workloads.transformer_config import MoE, TransformerConfig
from workloads.transformer_layers import Step, attention_block, distinct_experts, linear, mlp_block, moe_block, norm

__all__ = ["MoE", "TransformerConfig", "decoder_graph", "encoder_graph"]


def decoder_graph(
    config: TransformerConfig, *, phase: str = "prefill", batch: int = 1, tokens: int | None = None, context: int | None = None
) -> OperatorGraph:
    """One call of a decoder: a prompt (``prefill``) or the next token (``decode``) of every sequence of the batch.

    Args:
        phase: ``prefill``: ``tokens`` new positions (default 2048, or the longest learned position) of ``context`` (default: the same,
            so nothing is cached before; more means that the first part of the prompt is cached).
            ``train``: all positions of ``tokens``, no cache, logits of every position.
            ``decode``: ``tokens`` new positions (default 1) of ``context`` attended ones (default 2048), the last being the new.
        batch: sequences, all of the same length.

    Raises:
        ArgumentError: an unknown phase, sizes below 1, context shorter than tokens or longer than the learned positions, or an encoder.
        UnsupportedError: several new positions behind a sliding window that is already full.
    """
    step = decoder_step(config, phase, batch, tokens, context)
    builder = _builder(config, phase, step)
    x = _embed(builder, config, step)
    x = _layers(builder, config, step, x)
    x = norm(builder, config, x, "final_norm")
    _head(builder, config, step, x, last_only=phase == "prefill")
    _explain(builder, config, step, phase)
    return builder.build()


def encoder_graph(config: TransformerConfig, *, batch: int = 1, tokens: int | None = None) -> OperatorGraph:
    """One call of an encoder (BERT): ``tokens`` positions per sequence (default 512, or all positions where there are fewer).

    Raises:
        ArgumentError: sizes below 1, more tokens than learned positions, or a decoder.
    """
    step = encoder_step(config, batch, tokens)
    builder = _builder(config, "encode", step)
    x = _embed(builder, config, step)
    x = _layers(builder, config, step, x)
    builder.output(x)
    if config.pooler:
        first = builder.copy(
            x, "first_token", (step.batch, config.hidden), (axis(("d0", step.tokens)), axis(("d1", 1))),
            read_bytes=builder[x].stored_bytes // step.tokens, attributes={"function": "slice"},
        )  # fmt: skip
        dense = linear(builder, config, first, "pooler", config.hidden, bias=True)
        builder.output(builder.elementwise("tanh", (dense,), "pooled"))
    builder.notes.append("multi-head attention is bidirectional without padding; a task head is not included")
    return builder.build()


def _builder(config: TransformerConfig, phase: str, step: Step) -> GraphBuilder:
    meta: dict[str, str | int | float] = {
        "phase": phase, "batch": step.batch, "tokens": step.tokens, "context": step.context,
        "format": config.weight_format or config.format, "family": config.family, "source": config.citation,
    }  # fmt: skip
    return GraphBuilder(config.name, config.format, meta)


def _embed(builder: GraphBuilder, config: TransformerConfig, step: Step) -> str:
    """Rows of the token table, plus those of learned positions and token types; an encoder norms the sum."""
    ids = builder.input("token_ids", (step.rows,), role=Role.INDEX)
    table = builder.weight("embedding.weight", (config.vocab, config.hidden))
    x = builder.embedding(ids, table, "embedding")
    parts = [x]
    if config.positions == "learned":
        positions = builder.input("position_ids", (step.rows,), role=Role.INDEX)
        rows = builder.weight("position_embedding.weight", (config.max_positions, config.hidden))
        parts.append(builder.embedding(positions, rows, "position_embedding"))
    if config.type_vocab:
        types = builder.input("type_ids", (step.rows,), role=Role.INDEX)
        rows = builder.weight("type_embedding.weight", (config.type_vocab, config.hidden))
        parts.append(builder.embedding(types, rows, "type_embedding"))
    if len(parts) > 1:
        x = builder.elementwise("add", parts, "embedded")
    return norm(builder, config, x, "embedding_norm") if config.encoder else x


def _layers(builder: GraphBuilder, config: TransformerConfig, step: Step, x: str) -> str:
    body = GraphBuilder(f"{config.name}.layer", config.format)
    inner = body.input("x", (step.rows, config.hidden))
    result = _encoder_layer(body, config, step, inner) if config.encoder else _decoder_layer(body, config, step, inner)
    body.output(result)
    builder.repeat("layers", body.build(), config.layers, carried=((result, inner),), inputs={inner: x}, outputs={result: "hidden"})
    return "hidden"


def _decoder_layer(body: GraphBuilder, config: TransformerConfig, step: Step, x: str) -> str:
    """Pre-norm layer; with ``parallel`` attention and MLP read one normed input and are added together."""
    normed = norm(body, config, x, "attention_norm")
    attended = attention_block(body, config, step, normed)
    if config.parallel:
        return body.elementwise("add", (x, attended, _mlp(body, config, normed)), "y")
    x = body.elementwise("add", (x, attended), "attention_residual")
    normed = norm(body, config, x, "mlp_norm")
    return body.elementwise("add", (x, _mlp(body, config, normed)), "y")


def _encoder_layer(body: GraphBuilder, config: TransformerConfig, step: Step, x: str) -> str:
    """Post-norm layer (BERT): norm(x + attention(x)), then norm(x + mlp(x))."""
    attended = attention_block(body, config, step, x)
    x = norm(body, config, body.elementwise("add", (x, attended), "attention_residual"), "attention_norm")
    return norm(body, config, body.elementwise("add", (x, _mlp(body, config, x)), "mlp_residual"), "y")


def _mlp(body: GraphBuilder, config: TransformerConfig, x: str) -> str:
    if config.moe is not None:
        return moe_block(body, config, config.moe, x, "mlp_out")
    return mlp_block(body, config, x, "mlp_out", config.intermediate)


def _head(builder: GraphBuilder, config: TransformerConfig, step: Step, x: str, last_only: bool) -> None:
    """Logits of the new positions, or of the last one of each sequence; a tied head reads the embedding table."""
    if last_only and step.tokens > 1:
        x = builder.copy(
            x, "last_token", (step.batch, config.hidden), (axis(("d0", step.tokens), offset=step.tokens - 1), axis(("d1", 1))),
            read_bytes=builder[x].stored_bytes // step.tokens, attributes={"function": "slice"},
        )  # fmt: skip
    weight = "embedding.weight"
    if not config.tied:
        weight = builder.weight("lm_head.weight", (config.vocab, config.hidden), format=_head_format(config))
    facts = {"lm_head": True, "quantize": config.quantized_head}
    builder.output(builder.gemm(x, weight, "logits", transpose_b=True, name="lm_head", attributes=facts))


def _head_format(config: TransformerConfig) -> str | None:
    if not (config.quantized_head and config.weight_format):
        return None
    return config.weight_format.replace("g-1", f"g{config.hidden}")


def _explain(builder: GraphBuilder, config: TransformerConfig, step: Step, phase: str) -> None:
    """Notes on what is included, for reports."""
    builder.notes.append("query, key and value projections are one matrix product" + ("; so are gate and up" if config.gated else ""))
    if phase == "prefill":
        builder.notes.append("the head computes logits of the last position of each sequence only, as inference engines do")
    if phase != "train":
        builder.notes.append("choosing the next token from the logits is not included")
    if config.moe is not None:
        moe = config.moe
        hit = distinct_experts(moe.experts, moe.per_token, step.rows)
        builder.notes.append(
            f"experts: uniform routing assumed; {step.rows} tokens visit {hit} of {moe.experts} experts of a layer "
            "(expected number, rounded up), whose weights are read once"
        )
    if config.positions == "rope" and 0 < config.max_positions < step.context:
        builder.notes.append(f"context {step.context} is longer than the {config.max_positions} positions that the model was made for")
    if config.sliding_window and config.sliding_window < step.context:
        note = f"sliding window: a position attends to at most {config.sliding_window}; the cache keeps {step.cache}"
        builder.notes.append(note + (", but the scores outside the window are counted as work" if not step.reads_cache else ""))
