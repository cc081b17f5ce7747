"""Linear models in whole numbers, before any solver: columns, rows and an objective to be made least.

The formulations write their rows here once; ``ilp.solver`` hands them to PuLP and ``ilp.cpsat`` to CP-SAT. Every coefficient is an
integer, so that a solution can be checked exactly and CP-SAT takes the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CONSTANT = -1
"""Key of an expression's constant."""

Expression = dict[int, int]
"""Column to coefficient; ``CONSTANT`` to the constant."""


def plus(target: Expression, other: Mapping[int, int], factor: int = 1) -> Expression:
    """Add ``factor`` times ``other`` to ``target``, which is returned."""
    for column, coefficient in other.items():
        target[column] = target.get(column, 0) + factor * coefficient
    return target


@dataclass(frozen=True, slots=True)
class Row:
    """``low <= sum of coefficients times columns <= high``; None: no limit on that side."""

    columns: tuple[int, ...]
    coefficients: tuple[int, ...]
    low: int | None
    high: int | None


class Rows:
    """A linear model that grows: columns from 0 to ``upper``, whole or continuous, and rows.

    Rows that hold for all values of their columns are left out; ``impossible`` becomes True where a row holds for none.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.names: list[str] = []
        self.cost: list[int] = []
        self.upper: list[int] = []
        self.whole: list[bool] = []
        self.rows: list[Row] = []
        self.offset = 0
        self.impossible = False

    def column(self, name: str, *, cost: int = 0, upper: int = 1, whole: bool = True) -> int:
        """A new column from 0 to ``upper`` with ``cost`` (not negative) in the objective; ``whole``: integers only. Its number."""
        self.names.append(name)
        self.cost.append(cost)
        self.upper.append(upper)
        self.whole.append(whole)
        return len(self.names) - 1

    def at_most(self, expression: Mapping[int, int], high: int) -> None:
        """``expression <= high``."""
        self._row(expression, None, high)

    def at_least(self, expression: Mapping[int, int], low: int) -> None:
        """``expression >= low``."""
        self._row(expression, low, None)

    def equal(self, expression: Mapping[int, int], value: int) -> None:
        """``expression = value``."""
        self._row(expression, value, value)

    def _row(self, expression: Mapping[int, int], low: int | None, high: int | None) -> None:
        constant = expression.get(CONSTANT, 0)
        terms = [(column, coefficient) for column, coefficient in expression.items() if column != CONSTANT and coefficient]
        low, high = (None if side is None else side - constant for side in (low, high))
        least = sum(coefficient * self.upper[column] for column, coefficient in terms if coefficient < 0)
        most = sum(coefficient * self.upper[column] for column, coefficient in terms if coefficient > 0)
        if (low is not None and most < low) or (high is not None and least > high):
            self.impossible = True
        if (low is None or least >= low) and (high is None or most <= high):
            return
        columns, coefficients = zip(*terms, strict=True) if terms else ((), ())
        self.rows.append(Row(columns, coefficients, low, high))

    def objective(self, values: Mapping[int, int] | list[int] | tuple[int, ...]) -> int:
        """The objective of whole values, offset included."""
        return self.offset + sum(cost * values[column] for column, cost in enumerate(self.cost))

    def violated(self, values: list[int] | tuple[int, ...]) -> Row | None:
        """The first row that ``values`` break, if any."""
        for row in self.rows:
            total = sum(coefficient * values[column] for column, coefficient in zip(row.columns, row.coefficients, strict=True))
            if (row.low is not None and total < row.low) or (row.high is not None and total > row.high):
                return row
        return None
