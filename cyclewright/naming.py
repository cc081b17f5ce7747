"""What a run is called and what it makes, the same in the terminal, in reports and in figures."""

from __future__ import annotations

from collections.abc import Mapping

_OF_TOKENS = ("decode", "prefill", "encode")


def things_of(phase: str, settings: Mapping[str, object]) -> str:
    """What comes out of a run: ``tokens`` where sequences have them, ``samples`` of other training steps, else ``inferences``."""
    if phase in _OF_TOKENS or settings.get("tokens"):
        return "tokens"
    return "samples" if phase == "train" else "inferences"


def lengths_of(phase: str, settings: Mapping[str, object]) -> list[str]:
    """``batch 8``, ``context 4096``, ``tokens 512`` as far as they say something: a prefill, an encoder and a training step have as many
    positions as tokens, a decode step makes one token if nothing else is said.
    """
    lengths = {name: settings[name] for name in ("batch", "context", "tokens") if settings.get(name)}
    if phase == "decode" and lengths.get("tokens") == 1:
        del lengths["tokens"]
    if phase in ("prefill", "encode", "train") and lengths.get("context") == lengths.get("tokens"):
        lengths.pop("context", None)
    return [f"{name} {length}" for name, length in lengths.items()]


def kinds_of(settings: Mapping[str, object]) -> list[str]:
    """What kind of run it is: precision of a training step or format, sparsity, reuse of frames, adapters, optimizer, recomputation."""
    words = [str(settings.get("precision") or settings.get("format") or ""), str(settings.get("sparsity") or "")]
    words += [f"{name.replace('_', ' ')} {settings[name]}" for name in ("stream", "delta", "keep_tokens", "lora") if settings.get(name)]
    words.append(str(settings.get("optimizer") or ""))
    if settings.get("recompute") not in (None, "", "none"):
        words.append(f"recompute {settings['recompute']}")
    return [word for word in words if word]
