"""Nelder-Mead (1965) downhill simplex: a deterministic minimizer without gradients, enough for eight constants."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Vector = np.ndarray


def minimize(function: Callable[[Vector], float], start: Vector, *, step: float = 0.2, calls: int = 600, tolerance: float = 1e-5) -> Vector:
    """The point of the last simplex with the smallest value."""
    points = [np.asarray(start, float)] + [start + step * unit for unit in np.eye(len(start))]
    values = [function(point) for point in points]
    spent = len(values)
    while spent < calls:
        order = np.argsort(values, kind="stable")
        points, values = [points[i] for i in order], [values[i] for i in order]
        if values[-1] - values[0] < tolerance:
            break
        centre = np.mean(points[:-1], axis=0)
        reflected = 2 * centre - points[-1]
        value = function(reflected)
        spent += 1
        if value < values[0]:
            expanded = 3 * centre - 2 * points[-1]
            further = function(expanded)
            spent += 1
            points[-1], values[-1] = (expanded, further) if further < value else (reflected, value)
        elif value < values[-2]:
            points[-1], values[-1] = reflected, value
        else:
            contracted = 0.5 * (centre + (reflected if value < values[-1] else points[-1]))
            inner = function(contracted)
            spent += 1
            if inner < min(value, values[-1]):
                points[-1], values[-1] = contracted, inner
            else:
                points = [points[0]] + [0.5 * (points[0] + point) for point in points[1:]]
                values = [values[0]] + [function(point) for point in points[1:]]
                spent += len(points) - 1
    return points[int(np.argmin(values))]
