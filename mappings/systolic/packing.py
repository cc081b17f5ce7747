"""Grouped and depthwise convolutions: which they are, and how many groups an array takes side by side.

One group after the other leaves most of an array idle: a depthwise convolution has one output channel and R S taps per channel. *Packed*,
G groups make one block-diagonal product of M x G N x G K: of its weights only the G blocks on the diagonal are not zero. Where outputs stay
it takes G groups' time for G K, so that only fill and drain are saved; where weights or inputs stay, G groups share a fold.
"""

from __future__ import annotations

from math import prod

from mappings.systolic.folds import INPUT, OUTPUT, Flow
from mappings.systolic.problem import Product
from mappings.systolic.tiles import Array


def is_depthwise(product: Product) -> bool:
    """Whether each group has one input channel (what is reduced are the taps of a window), and there are several groups."""
    if product.batch == 1 or not product.a.held_whole:
        return False
    return prod(extent for dim, extent in product.dims["k"] if dim not in product.a.held_whole) == 1


def side_by_side(product: Product, flow: Flow, array: Array) -> int:
    """Groups that share one fold: as many as rows and columns hold, evened out over the turns that the batch takes; 1: none.

    ======== ==================================
    dataflow groups
    ======== ==================================
    OS       columns / N
    WS       min(rows / K, columns / N)
    IS       rows / K (columns hold M)
    ======== ==================================
    """
    n, k = product.size("n"), product.size("k")
    if flow.name == OUTPUT:
        most = array.columns // n
    elif flow.name == INPUT:
        most = array.rows // k
    else:
        most = min(array.rows // k, array.columns // n)
    most = max(1, min(most, product.batch))
    return -(-product.batch // -(-product.batch // most))
