"""Checks of the arguments of the transformer graph builders."""

from __future__ import annotations

from hwspecs.vocabulary.errors import ArgumentError, UnsupportedError
from workloads.transformer_config import TransformerConfig
from workloads.transformer_layers import Step

DEFAULT_PROMPT = 2048
"""Tokens of a prompt, and positions attended in a decode step, where none are stated."""
DEFAULT_ENCODED = 512
"""Tokens of an encoder call where none are stated."""
_LARGEST = 1 << 31


def decoder_step(config: TransformerConfig, phase: str, batch: int, tokens: int | None, context: int | None) -> Step:
    """The sizes of a decoder call, defaults filled in; see ``transformer.decoder_graph``."""
    if config.encoder:
        raise ArgumentError(f"{config.name} is an encoder and has no phase {phase!r}", where="phase", hint="use phase encode")
    if phase not in ("prefill", "decode", "train"):
        raise ArgumentError(f"unknown phase {phase!r} of {config.name}", where="phase", hint="prefill, decode or train")
    longest = config.max_positions if config.positions == "learned" else 0
    default = min(DEFAULT_PROMPT, longest) if longest else DEFAULT_PROMPT
    if phase == "decode":
        tokens = 1 if tokens is None else tokens
        context = max(default, tokens) if context is None else context
    else:
        tokens = (default if context is None else context) if tokens is None else tokens
        context = tokens if context is None else context
    _check_sizes(config, batch=batch, tokens=tokens, context=context)
    if context < tokens:
        raise ArgumentError(
            f"context {context} is shorter than the {tokens} new tokens", where="context", hint="the context counts the new tokens too"
        )
    window = config.sliding_window
    if 0 < window < context and 1 < tokens < context:
        raise UnsupportedError(
            f"{tokens} new tokens behind a full sliding window of {window}", where="tokens",
            hint="give the whole prompt at once, or one token at a time",
        )  # fmt: skip
    if phase == "train":
        if context != tokens:
            raise ArgumentError(f"context {context} does not apply to training", where="context", hint="give the tokens of a sequence")
        return Step(batch, tokens, context, 0)
    return Step(batch, tokens, context, min(context, window) if window else context)


def encoder_step(config: TransformerConfig, batch: int, tokens: int | None) -> Step:
    """The sizes of an encoder call; see ``transformer.encoder_graph``."""
    if not config.encoder:
        raise ArgumentError(f"{config.name} is a decoder and has no phase 'encode'", where="phase", hint="use phase prefill or decode")
    if tokens is None:
        tokens = min(DEFAULT_ENCODED, config.max_positions or DEFAULT_ENCODED)
    _check_sizes(config, batch=batch, tokens=tokens, context=tokens)
    return Step(batch, tokens, tokens, 0)


def _check_sizes(config: TransformerConfig, **sizes: int) -> None:
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size < _LARGEST:
            raise ArgumentError(f"{name} is {size!r}", where=name, hint=f"it must be a whole number from 1 to {_LARGEST - 1}")
    if config.positions == "learned" and sizes["context"] > config.max_positions:
        raise ArgumentError(
            f"{sizes['context']} positions, but {config.name} has learned {config.max_positions}", where="context",
            hint=f"ask for at most {config.max_positions}",
        )  # fmt: skip
