"""Rows: how many rows of its inputs each row of an operator's result needs, for layers that work side by side.

The rows of a tensor are its axis 2 if it has four axes (N, C, H, W) and the last but one otherwise (tokens). A result row ``i`` that reads
input rows ``i s - p`` to ``i s - p + k - 1`` has stride s, window k and padding p, read off the axes of the operator's loop nests.
"""

from __future__ import annotations

from collections.abc import Mapping

from hwspecs.vocabulary.records import dataclass
from workloads.graph import Nest, Operand, Operator, Tensor


@dataclass(frozen=True, slots=True)
class Window:
    """Rows of an input of ``rows`` rows that result row i needs: up to ``i stride + size - padding``; ``size`` 0: all of them first."""

    rows: int
    size: int
    stride: int
    padding: int

    @property
    def whole(self) -> bool:
        """Whether the first result row needs the whole input."""
        return self.size == 0

    def initial(self) -> int:
        """Tokens that lie on the edge before anything is made, so that taking ``stride`` of them per result row waits for the window."""
        return self.stride - self.size + self.padding

    def taken(self, results: int) -> int:
        """Rows that must be made, those of padding below the input among them, for ``results`` result rows."""
        return max(self.rows, self.stride * results - self.initial())

    def left(self, results: int, made: int) -> int:
        """Of ``made`` rows those that no result row takes."""
        return max(0, made + self.initial() - self.stride * results)


def row_axis(tensor: Tensor) -> int:
    """Which axis of ``tensor`` its rows lie along; -1 if it has none."""
    rank = len(tensor.shape)
    return 2 if rank >= 4 else rank - 2 if rank >= 2 else -1


def rows_of(tensor: Tensor) -> int:
    """Rows of ``tensor``."""
    place = row_axis(tensor)
    return tensor.shape[place] if place >= 0 else 1


def windows_of(operator: Operator, tensors: Mapping[str, Tensor], results: int) -> dict[str, Window]:
    """Input tensor to the window of it that a row of the operator's ``results`` rows needs."""
    found: dict[str, Window] = {}
    for nest in operator.nests:
        for operand in nest.reads:
            tensor = tensors.get(operand.tensor)
            if operand.tensor in operator.internal or tensor is None:
                continue
            window = _window(nest, operand, operator, tensors, results)
            other = found.get(operand.tensor)
            if other is not None and other != window:
                window = Window(rows_of(tensor), 0, 0, 0)
            found[operand.tensor] = window
    for name in operator.inputs:
        found.setdefault(name, Window(rows_of(tensors[name]), 0, 0, 0))
    return found


def _window(nest: Nest, operand: Operand, operator: Operator, tensors: Mapping[str, Tensor], results: int) -> Window:
    tensor = tensors[operand.tensor]
    whole = Window(rows_of(tensor), 0, 0, 0)
    place = row_axis(tensor)
    if place < 0 or not nest.writes:
        return whole
    written = nest.writes[0]
    target = operator.internal.get(written.tensor) or tensors[written.tensor]
    dim = _row_dim(written, target, results)
    axis = operand.axes[place]
    steps = dict(axis.terms)
    elsewhere = {name for number, other in enumerate(operand.axes) if number != place for name, _ in other.terms}
    if dim is None or steps.get(dim, 0) < 1 or dim in elsewhere:
        return whole
    size = 1 + sum(step * (extent - 1) for name, extent in nest.dims if name != dim and (step := steps.get(name, 0)) > 0)
    if any(step < 0 for step in steps.values()):
        return whole
    return Window(rows_of(tensor), size, steps[dim], -axis.offset)


def _row_dim(written: Operand, target: Tensor, results: int) -> str | None:
    """The dimension that counts the rows of what a nest writes; None where they are not the operator's rows."""
    place = row_axis(target)
    if place < 0 or target.shape[place] != results:
        return None
    axis = written.axes[place]
    return axis.terms[0][0] if len(axis.terms) == 1 and axis.terms[0][1] == 1 and axis.offset == 0 else None
