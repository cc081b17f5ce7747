"""What a training step may be asked for: optimizers, precisions, what is frozen, what is recomputed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType

from hwspecs.vocabulary.errors import ArgumentError, UnknownNameError
from hwspecs.vocabulary.formats import NumberFormat, number_format
from hwspecs.vocabulary.functions import OPERATIONS
from hwspecs.vocabulary.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class Optimizer:
    """One optimizer.

    Attributes:
        states: tensors of the weight's shape that it keeps beside the weight.
        steps: functions of one weight's update (names of ``hwspecs.vocabulary.functions``) and how many of each.
    """

    name: str
    states: tuple[str, ...]
    steps: Mapping[str, int]

    @property
    def vector_ops(self) -> int:
        """Elementary operations per weight."""
        return sum(OPERATIONS[step] * count for step, count in self.steps.items())


OPTIMIZERS: Mapping[str, Optimizer] = MappingProxyType(
    {
        "sgd": Optimizer("sgd", (), {"mul": 1, "sub": 1}),
        "sgd-momentum": Optimizer("sgd-momentum", ("momentum",), {"mul": 2, "add": 1, "sub": 1}),
        "adam": Optimizer(
            "adam", ("mean", "variance"), {"mul": 5, "square": 1, "add": 3, "sqrt": 1, "div": 1, "sub": 1}
        ),
    }
)  # fmt: skip
"""Momentum: v = mu v + g, w = w - lr v (Polyak 1964). Adam: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, w = w - lr m / (sqrt(v) + eps),
bias corrections in lr and eps (Kingma and Ba, arXiv 1412.6980, section 2)."""


@dataclass(frozen=True, slots=True)
class Precision:
    """Formats of a training step.

    Attributes:
        compute: weights as they are multiplied by, activations and gradients of activations.
        master: the optimizer's weights and states; where it is ``compute`` there is one copy of each weight.
        gradient: gradients of weights.
    """

    compute: NumberFormat
    master: NumberFormat
    gradient: NumberFormat

    @property
    def mixed(self) -> bool:
        """Whether the optimizer keeps a copy of the weights of its own (Micikevicius et al., arXiv 1710.03740, section 3.1)."""
        return self.master is not self.compute


PRECISIONS = ("fp16-mixed", "bf16-mixed", "fp32", "bf16", "fp16")


def parse_precision(text: str, gradients: str | None = None) -> Precision:
    """``fp16-mixed``: 16-bit compute and gradients, FP32 master weights and states; ``fp32``: all in one format.

    Args:
        gradients: format of the weights' gradients, if not that of compute.

    Raises:
        UnknownNameError: no such precision or format.
    """
    if text not in PRECISIONS:
        raise UnknownNameError(f"unknown precision {text!r}", where="precision", hint=did_you_mean(text, PRECISIONS))
    name, _, mixed = text.partition("-")
    compute = number_format(name)
    return Precision(compute, number_format("fp32") if mixed else compute, number_format(gradients) if gradients else compute)


RECOMPUTE = ("none", "blocks")
ATTENTION = ("flash", "split")


@dataclass(frozen=True, slots=True)
class Settings:
    """Arguments of ``training``, read and checked."""

    optimizer: Optimizer
    precision: Precision
    recompute: bool
    frozen: tuple[str, ...]
    attention: str

    def trains(self, name: str) -> bool:
        """Whether the weight ``name`` is updated: no pattern takes it, and one with a ``!`` does where there are such."""
        only = [pattern[1:] for pattern in self.frozen if pattern.startswith("!")]
        if only and not any(fnmatchcase(name, pattern) for pattern in only):
            return False
        return not any(fnmatchcase(name, pattern) for pattern in self.frozen)


def read_settings(
    optimizer: str, precision: str, gradients: str | None, recompute: str, frozen: str | tuple[str, ...], attention: str
) -> Settings:
    """Check the arguments of ``training``.

    Raises:
        UnknownNameError: an optimizer, precision or format that is not known.
        ArgumentError: another argument that is not known.
    """
    if optimizer not in OPTIMIZERS:
        raise UnknownNameError(f"unknown optimizer {optimizer!r}", where="optimizer", hint=did_you_mean(optimizer, OPTIMIZERS))
    for name, value, known in (("recompute", recompute, RECOMPUTE), ("attention", attention, ATTENTION)):
        if value not in known:
            raise ArgumentError(f"unknown {name} {value!r}", where=name, hint=f"write {' or '.join(known)}")
    patterns = tuple(part.strip() for part in frozen.split(",") if part.strip()) if isinstance(frozen, str) else tuple(frozen)
    return Settings(OPTIMIZERS[optimizer], parse_precision(precision, gradients), recompute == "blocks", patterns, attention)
