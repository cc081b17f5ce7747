"""Weights on arrays, cell by cell: every bit slice gets an array, a row and a column, and everything is counted from there."""

from __future__ import annotations

from collections import defaultdict


def placed(k, n, groups, rows, columns, cells_per_weight, diagonal):
    """(array, row, column) of every cell: greedy, group by group, along rows and columns until an edge is met."""
    held = columns // cells_per_weight
    cells = []
    if diagonal and groups > 1 and held >= n and rows >= k:
        array, down, right = 0, 0, 0
        for _ in range(groups):
            if down + k > rows or right + n > held:
                array, down, right = array + 1, 0, 0
            for r in range(k):
                for c in range(n):
                    cells += [(array, down + r, (right + c) * cells_per_weight + part) for part in range(cells_per_weight)]
            down, right = down + k, right + n
        return cells
    for group in range(groups):
        for r in range(k):
            for c in range(n):
                for part in range(cells_per_weight):
                    if held:
                        across, column = c // held, c % held * cells_per_weight + part
                    else:
                        across, column = (c, part // columns), part % columns
                    cells.append(((group, r // rows, across), r % rows, column))
    return cells


def counts(cells, rows_per_read):
    """What a layout states, from the cells: arrays, fullest array, driven rows, columns in use, cells, columns and arrays times sets."""
    down, across = defaultdict(set), defaultdict(set)
    for array, row, column in cells:
        down[array].add(row)
        across[array].add(column)
    sets = {array: len({row // rows_per_read for row in used}) for array, used in down.items()}
    return {
        "arrays": len(down),
        "deepest": max(len(used) for used in down.values()),
        "widest": max(len(used) for used in across.values()),
        "driven_rows": sum(len(used) for used in down.values()),
        "columns": sum(len(used) for used in across.values()),
        "cells": len(cells),
        "column_sets": sum(len(across[array]) * sets[array] for array in down),
        "array_sets": sum(sets.values()),
    }
