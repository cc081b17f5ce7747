"""The replication of crossbar layers stated again in plain Python: one further copy at a time."""

from __future__ import annotations

from math import ceil


def balance_twin(arrays, products, cycles, room):
    """Copies of each layer: the slowest layer looks for the next number of copies that shortens it, and takes it if there is room."""
    copies = [1] * len(arrays)
    settled = [size == 0 for size in arrays]

    def time(layer, count):
        return cycles[layer] * ceil(products[layer] / count)

    while not all(settled):
        open_layers = [layer for layer in range(len(arrays)) if not settled[layer]]
        slowest = max(open_layers, key=lambda layer: (time(layer, copies[layer]), -layer))
        better = copies[slowest] + 1
        while better <= products[slowest] and time(slowest, better) >= time(slowest, copies[slowest]):
            better += 1
        need = (better - copies[slowest]) * arrays[slowest]
        if better > products[slowest] or need > room or not time(slowest, copies[slowest]):
            settled[slowest] = True
            continue
        room -= need
        copies[slowest] = better
    return copies
