"""How many tokens each layer of a transformer keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from hwspecs.vocabulary.errors import ArgumentError

_HINT = "write 0.5 (of the tokens, from layer 1 on), 4=0.7,7=0.49 (layer=share), merge:16 (ToMe) or evit:0.7@4,7,10"
_EVIT_LAYERS = (4, 7, 10)


@dataclass(frozen=True, slots=True)
class TokenSchedule:
    """Which tokens go on behind the attention of a layer (layers count from 1).

    Attributes:
        method: ``prune`` (the best by the first token's attention stay), ``fuse`` (as ``prune``, and the others become one
            token: EViT) or ``merge`` (the most alike are averaged: ToMe).
        shares: layer to the share kept: for ``prune`` of all tokens that entered the model, for ``fuse`` of the tokens that came to
            the layer, the first excepted.
        merged: for ``merge``: tokens that each layer loses.
    """

    method: str
    shares: tuple[tuple[int, float], ...] = ()
    merged: int = 0

    def behind(self, layer: int, tokens: int, entered: int) -> int:
        """Tokens behind the attention of ``layer``, to which ``tokens`` of the ``entered`` ones came.

        ``merge``: at most half of the tokens but the first are merged (ToMe, arXiv 2210.09461, section 3). ``fuse``: the first token,
        ceil(share x (tokens - 1)) others and the fused one (EViT, arXiv 2202.07800, section 3.3).
        """
        if self.method == "merge":
            return tokens - min(self.merged, (tokens - 1) // 2)
        share = dict(self.shares).get(layer)
        if share is None:
            return tokens
        if self.method == "fuse":
            return min(tokens, ceil(share * (tokens - 1)) + 2)
        return min(tokens, max(1, ceil(share * entered)))

    @property
    def last_layer(self) -> int:
        """The last layer that the schedule names; 0 where it names none."""
        return max((layer for layer, _ in self.shares), default=0)


def schedule_text(given: str | float | Mapping[int, float]) -> str:
    """A schedule as the command line takes it; a mapping is of layers to shares."""
    return ",".join(f"{layer}={share}" for layer, share in given.items()) if isinstance(given, Mapping) else str(given)


def parse_schedule(given: str | float | Mapping[int, float]) -> TokenSchedule:
    """Read a share, ``LAYER=SHARE,...`` (or a mapping of layers to shares), ``merge:R``, ``evit:SHARE`` or ``evit:SHARE@LAYER,...``.

    Raises:
        ArgumentError: another form, a share outside (0, 1], a layer twice or below 1, or shares that grow.
    """
    text = schedule_text(given)
    word = text.strip().lower()
    if match := re.fullmatch(r"merge:(\d{1,6})", word):
        if not int(match[1]):
            raise ArgumentError("merge:0 merges nothing", where="keep_tokens", hint=_HINT)
        return TokenSchedule("merge", merged=int(match[1]))
    if match := re.fullmatch(r"evit:([0-9.]+)(?:@([0-9, ]+))?", word):
        layers = [int(part) for part in match[2].split(",") if part.strip()] if match[2] else list(_EVIT_LAYERS)
        share = _share(text, match[1])
        return TokenSchedule("fuse", _ordered(text, [(layer, share) for layer in layers]))
    if "=" not in word:
        return TokenSchedule("prune", ((1, _share(text, word)),))
    pairs = []
    for part in word.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})\s*=\s*([0-9.]+)\s*", part)
        if match is None:
            raise ArgumentError(f"cannot read {part.strip()!r} in keep_tokens {text!r}", where="keep_tokens", hint=_HINT)
        pairs.append((int(match[1]), _share(text, match[2])))
    ordered = _ordered(text, pairs)
    for (layer, share), (later, after) in pairwise(ordered):
        if after > share:
            what = f"layer {later} keeps {after:g} of the tokens, but layer {layer} left {share:g}"
            raise ArgumentError(what, where="keep_tokens", hint="shares are of the tokens that enter the model, so they fall")
    return TokenSchedule("prune", ordered)


def _ordered(text: object, pairs: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    layers = [layer for layer, _ in pairs]
    if len(set(layers)) != len(layers) or min(layers, default=0) < 1:
        raise ArgumentError(f"keep_tokens {text!r} names a layer twice, or layer 0", where="keep_tokens", hint="layers count from 1")
    return tuple(sorted(pairs))


def _share(text: object, number: str) -> float:
    try:
        share = float(number)
    except ValueError:
        share = 0.0
    if not 0.0 < share <= 1.0:
        raise ArgumentError(f"keep_tokens {text!r} has no share in (0, 1]", where="keep_tokens", hint=_HINT)
    return share
