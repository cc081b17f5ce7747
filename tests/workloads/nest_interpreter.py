"""Plays a mac or copy nest point by point on arrays: what a nest means, independent of the code that makes nests."""

from __future__ import annotations

import numpy as np

from workloads.graph import Nest, Operand


def _indices(operand: Operand, grid: dict[str, np.ndarray], points: int) -> np.ndarray:
    rows = []
    for axis in operand.axes:
        index = np.full(points, axis.offset)
        for dim, coefficient in axis.terms:
            index = index + coefficient * grid[dim]
        rows.append(index)
    return np.stack(rows) if rows else np.zeros((0, points), int)


def _gather(array: np.ndarray, index: np.ndarray) -> np.ndarray:
    inside = np.ones(index.shape[1], bool)
    for row, size in zip(index, array.shape, strict=True):
        inside &= (row >= 0) & (row < size)
    safe = np.where(inside, index, 0)
    return np.where(inside, array[tuple(safe)], 0.0)


def play(nest: Nest, arrays: dict[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The written tensor of a nest; reads outside a tensor are zero, writes outside are dropped."""
    names = [name for name, _ in nest.dims]
    flat = np.indices([extent for _, extent in nest.dims]).reshape(len(names), -1)
    grid = dict(zip(names, flat, strict=True))
    value = np.ones(flat.shape[1])
    for read in nest.reads:
        value = value * _gather(arrays[read.tensor], _indices(read, grid, flat.shape[1]))
    out = np.zeros(shape)
    index = _indices(nest.writes[0], grid, flat.shape[1])
    inside = np.ones(flat.shape[1], bool)
    for row, size in zip(index, shape, strict=True):
        inside &= (row >= 0) & (row < size)
    np.add.at(out, tuple(index[:, inside]), value[inside])
    return out
