"""The functions of vector units: what one element of each costs by convention, and the elementary steps that it is made of.

Graphs count elementary operations by this table; specs price functions by the same names (``unit.<name>.functions``), so that an
exponential priced there also changes the price of every softmax.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

OPERATIONS: Mapping[str, int] = {
    "copy": 0, "mac": 0, "identity": 0, "cast": 1,
    "add": 1, "sub": 1, "mul": 1, "max": 1, "min": 1, "neg": 1, "abs": 1, "relu": 1, "sign": 1, "compare": 1, "logic": 1, "select": 1,
    "floor": 1, "ceil": 1, "round": 1, "shift": 1, "affine": 2, "clip": 2, "relu6": 2, "leaky_relu": 2, "prelu": 2, "square": 1,
    "thresholded_relu": 2, "relu2": 2, "shrink": 3, "abs_sum": 2, "mod": 6, "square_sum": 2,
    "div": 4, "reciprocal": 4, "sqrt": 4, "rsqrt": 4, "exp": 4, "log": 4, "sin": 4, "cos": 4, "tan": 12, "tanh": 4, "erf": 4,
    "asin": 12, "acos": 12, "atan": 12, "sinh": 10, "cosh": 10, "asinh": 10, "acosh": 10, "atanh": 10,
    "pow": 9, "sigmoid": 7, "silu": 8, "gelu": 8, "gelu_tanh": 12, "softplus": 9, "softsign": 6, "mish": 14, "logsumexp": 6,
    "hard_sigmoid": 4, "hard_swish": 5, "elu": 7, "selu": 8, "celu": 11, "rope": 3, "quantize": 4, "dequantize": 2, "random": 8,
    "softmax": 8, "log_softmax": 8, "layernorm": 5, "rmsnorm": 3, "groupnorm": 5, "instancenorm": 5, "l2norm": 3,
    "lif": 5,
}  # fmt: skip
"""Elementary vector operations per element. The convention: one for an add, multiply, maximum, comparison or select; four for a
special function that hardware evaluates by table or iteration (division, square root, exponential, logarithm, sine, tanh, erf);
the rest is the sum over the usual formula. ``sigmoid``: 0.5 tanh(x/2) + 0.5 = 3 + 4; ``silu``: 7 + 1; ``gelu``: 0.5 x (1 + erf(x/sqrt 2))
= 4 + 4; ``gelu_tanh``: 8 + 4; ``softplus``: exp, add, log; ``softmax``: max 1, subtract 1, exp 4, sum 1, scale 1;
``layernorm``: sum and sum of squares 3, subtract 1, scale 1 (gamma and beta one more each); ``rmsnorm``: sum of squares 2, scale 1
(gamma one more); ``rope``: two multiplies and an add; ``lif`` (a leaky integrate-and-fire neuron): leak, reset, current, threshold,
counter. Work per row (one square root, one division) is in ``ROW_STEPS``."""

_LAYERNORM = {"add": 2, "mul": 2, "sub": 1}
STEPS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "affine": {"mul": 1, "add": 1}, "clip": {"max": 1, "min": 1}, "relu": {"max": 1}, "relu6": {"max": 1, "min": 1},
        "relu2": {"relu": 1, "square": 1}, "square": {"mul": 1}, "leaky_relu": {"mul": 1, "select": 1}, "prelu": {"mul": 1, "select": 1},
        "thresholded_relu": {"compare": 1, "select": 1}, "abs_sum": {"abs": 1, "add": 1}, "square_sum": {"mul": 1, "add": 1},
        "reciprocal": {"div": 1}, "tan": {"sin": 1, "cos": 1, "div": 1}, "sinh": {"exp": 2, "sub": 1, "mul": 1},
        "cosh": {"exp": 2, "add": 1, "mul": 1}, "pow": {"log": 1, "mul": 1, "exp": 1}, "sigmoid": {"tanh": 1, "mul": 2, "add": 1},
        "silu": {"sigmoid": 1, "mul": 1}, "gelu": {"erf": 1, "mul": 3, "add": 1}, "gelu_tanh": {"tanh": 1, "mul": 6, "add": 2},
        "softplus": {"exp": 1, "add": 1, "log": 1}, "softsign": {"abs": 1, "add": 1, "div": 1},
        "mish": {"softplus": 1, "tanh": 1, "mul": 1}, "logsumexp": {"max": 1, "exp": 1, "add": 1},
        "hard_sigmoid": {"mul": 1, "add": 1, "max": 1, "min": 1}, "hard_swish": {"hard_sigmoid": 1, "mul": 1},
        "elu": {"exp": 1, "sub": 1, "mul": 1, "select": 1}, "selu": {"elu": 1, "mul": 1},
        "celu": {"div": 1, "exp": 1, "sub": 1, "mul": 1, "select": 1}, "rope": {"mul": 2, "add": 1},
        "quantize": {"mul": 1, "round": 1, "clip": 1}, "dequantize": {"sub": 1, "mul": 1},
        "softmax": {"max": 1, "sub": 1, "exp": 1, "add": 1, "mul": 1}, "log_softmax": {"max": 1, "sub": 2, "exp": 1, "add": 1},
        "layernorm": _LAYERNORM, "groupnorm": _LAYERNORM, "instancenorm": _LAYERNORM, "rmsnorm": {"mul": 2, "add": 1},
        "l2norm": {"mul": 2, "add": 1}, "lif": {"mul": 1, "select": 1, "add": 2, "compare": 1},
    }
)  # fmt: skip
"""Function to its steps per element. The steps' operations add up to the function's own; a function that is not here is one step."""

_MOMENTS = {"mul": 3, "sub": 1, "add": 1, "rsqrt": 1}
ROW_STEPS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "softmax": {"reciprocal": 1}, "log_softmax": {"log": 1}, "rmsnorm": {"mul": 1, "add": 1, "rsqrt": 1}, "l2norm": {"rsqrt": 1},
        "layernorm": _MOMENTS, "groupnorm": _MOMENTS, "instancenorm": _MOMENTS,
    }
)  # fmt: skip
"""Functions of whole rows: steps per row. ``layernorm``: mean, mean of squares and square of the mean (3 multiplies), variance,
epsilon, root."""

FUNCTIONS = frozenset((*OPERATIONS, "lrn", "cell", "interpolate"))
"""Names that a spec may price: those above, and functions whose operations depend on an operator's attributes."""


def priced(function: str, prices: Mapping[str, float | int | str]) -> float | None:
    """Cycles of one element on one lane under a spec's ``prices`` (``functions.<name>`` to cycles): the function's own price, else the
    sum over its steps, each at its price or its conventional operations. None for a function outside the table without a price.
    """
    stated = prices.get(f"functions.{function}")
    if stated is not None:
        return float(stated)
    steps = STEPS.get(function)
    if steps is None:
        operations = OPERATIONS.get(function)
        return None if operations is None else float(operations)
    return sum_of(steps, prices)


def sum_of(steps: Mapping[str, int], prices: Mapping[str, float | int | str]) -> float:
    """Cycles of ``steps`` (function to how many) on one lane."""
    total = 0.0
    for step, count in steps.items():
        cost = priced(step, prices)
        assert cost is not None  # steps are functions of the table
        total += count * cost
    return total
