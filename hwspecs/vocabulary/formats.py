"""Number formats: how a value is computed with and how it is stored.

A format has *bits* (what the arithmetic sees) and a packing (how many values share one storage word), because
formats whose width does not divide the word waste bits: ten 3-bit values fill a 32-bit word, 3.2 bits each.
Group-quantized formats carry one scale and one zero point for each group of ``group_size`` values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from hwspecs.vocabulary.errors import UnknownNameError
from hwspecs.vocabulary.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """A number format.

    Attributes:
        name: canonical name, such as ``bf16`` or ``int4g128``.
        family: ``float`` or ``int``.
        bits: width of one value in arithmetic.
        word_bits: width of the storage word that values are packed into.
        values_per_word: how many values one word holds.
        group_size: values that share one scale and zero point; 0 means no group metadata.
        scale_bits: bits of the scale of one group.
        zero_bits: bits of the zero point of one group.
    """

    name: str
    family: str
    bits: int
    word_bits: int
    values_per_word: int
    group_size: int = 0
    scale_bits: int = 0
    zero_bits: int = 0

    @property
    def rate_name(self) -> str:
        """Name under which specs list compute rates: the format without its group suffix."""
        return self.name.split("g")[0] if self.group_size else self.name

    @property
    def stored_bits(self) -> float:
        """Average stored bits of one value, packing included, group metadata excluded."""
        return self.word_bits / self.values_per_word

    def payload_bytes(self, values: int) -> int:
        """Bytes of the packed values alone, whole words."""
        words = -(-values // self.values_per_word)
        return -(-words * self.word_bits // 8)

    def metadata_bytes(self, values: int) -> int:
        """Bytes of scales and zero points, rounded up to a byte."""
        if not self.group_size:
            return 0
        groups = -(-values // self.group_size)
        return -(-groups * (self.scale_bits + self.zero_bits) // 8)

    def stored_bytes(self, values: int) -> int:
        """Bytes that ``values`` numbers take in memory, metadata included."""
        return self.payload_bytes(values) + self.metadata_bytes(values)


def _plain(name: str, family: str, bits: int, word_bits: int = 0, values_per_word: int = 1) -> NumberFormat:
    return NumberFormat(name, family, bits, word_bits or bits, values_per_word)


_FORMATS: dict[str, NumberFormat] = {
    f.name: f
    for f in (
        _plain("fp64", "float", 64),
        _plain("fp32", "float", 32),
        _plain("tf32", "float", 19, 32),
        _plain("bf16", "float", 16),
        _plain("fp16", "float", 16),
        _plain("fp8", "float", 8),
        _plain("fp4", "float", 4, 8, 2),
        _plain("int64", "int", 64),
        _plain("int32", "int", 32),
        _plain("int16", "int", 16),
        _plain("int8", "int", 8),
        _plain("int6", "int", 6, 32, 5),
        _plain("int5", "int", 5, 32, 6),
        _plain("int4", "int", 4, 32, 8),
        _plain("int3", "int", 3, 32, 10),
        _plain("int2", "int", 2, 32, 16),
        _plain("int1", "int", 1, 32, 32),
    )
}
_ALIASES = {
    "float64": "fp64", "double": "fp64", "float32": "fp32", "float": "fp32", "bfloat16": "bf16", "float16": "fp16", "half": "fp16",
    "fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "float8_e4m3fn": "fp8", "uint8": "int8", "bool": "int8", "uint32": "int32", "uint64": "int64",
    "uint16": "int16", "uint4": "int4",
}  # fmt: skip
_GROUPED = re.compile(r"^(?P<base>[a-z]+\d+)g(?P<group>\d+)$")


@lru_cache(maxsize=256)
def number_format(name: str) -> NumberFormat:
    """The format called ``name``: a plain name (``bf16``), an alias (``float32``) or ``<int format>g<group size>`` (``int3g128``).

    A grouped format has a 16-bit scale and a zero point of the format's own width per group (GPTQ / EfficientQAT layout).

    Raises:
        UnknownNameError: the name is none of these.
    """
    key = name.lower()
    key = _ALIASES.get(key, key)
    if key in _FORMATS:
        return _FORMATS[key]
    match = _GROUPED.match(key)
    if match and match["base"] in _FORMATS and int(match["group"]) > 0:
        base = _FORMATS[match["base"]]
        return replace(base, name=key, group_size=int(match["group"]), scale_bits=16, zero_bits=base.bits)
    raise UnknownNameError(f"unknown number format {name!r}", hint=did_you_mean(key, format_names()))


def format_names() -> tuple[str, ...]:
    """All plain format names, for messages and for the schema."""
    return tuple(_FORMATS)
