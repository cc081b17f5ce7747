"""Copies of layers in arrays that are left over, so that the slowest layer gets faster.

The plain-Python twin is in ``tests/naive/replication.py``.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@njit(cache=True)
def balance(arrays: Integers, products: Integers, cycles: Integers, room: int) -> Integers:
    """Copies of each layer, greedy on the slowest.

    A layer with r copies takes ``cycles ceil(products / r)``. Again and again the slowest layer (the first of equals) that is not settled
    gets the fewest further copies that make it faster, if ``arrays`` for each of them are left of ``room``; else it is settled.

    Args:
        arrays: of one further copy; a layer with 0 takes none and is never copied.
        products: vectors that stream through a layer one after the other; ``cycles``: of one of them, all uses of the layer.
        room: arrays that are left when every layer has one copy.
    """
    layers = len(arrays)
    copies = np.ones(layers, np.int64)
    settled = np.zeros(layers, np.bool_)
    while True:
        slowest, longest = -1, 0
        for layer in range(layers):
            spent = cycles[layer] * -(-products[layer] // copies[layer])
            if not settled[layer] and spent > longest:
                slowest, longest = layer, spent
        if slowest < 0:
            return copies
        turns = -(-products[slowest] // copies[slowest])
        if turns <= 1 or arrays[slowest] == 0:
            settled[slowest] = True
            continue
        wanted = -(-products[slowest] // (turns - 1))
        needed = (wanted - copies[slowest]) * arrays[slowest]
        if needed > room:
            settled[slowest] = True
            continue
        room -= needed
        copies[slowest] = wanted
