"""Barriers: where all orders have run the same operators and what follows reads all that crosses, the down-set program forgets the past."""

from __future__ import annotations

import pytest

from ilp.decompose import segments
from ilp.downset import _Layer, sweep
from ilp.problem import Item, Problem, Task, Way
from tests.naive.memory import least_extra_bytes

SIZES = (3, 5, 7, 4, 6)
"""Of the results of a block: of its three operators that read both tensors of the block before, and of its two last."""


def ladder(blocks: int) -> Problem:
    """Blocks of five operators: three read both results of the block before, two read two of these three each; no clean cut anywhere."""
    rows: list[tuple[tuple[int, ...], int]] = [((), 4), ((), 6)]  # (operators read, bytes made)
    for _ in range(blocks):
        x, y = len(rows) - 2, len(rows) - 1
        a = len(rows)
        rows += [((x, y), SIZES[0]), ((x, y), SIZES[1]), ((x, y), SIZES[2]), ((a, a + 1), SIZES[3]), ((a + 1, a + 2), SIZES[4])]
    rows += [((len(rows) - 2, len(rows) - 1), 1), ((len(rows) - 2, len(rows) - 1), 1)]
    users = [tuple(other for other, (read, _) in enumerate(rows) if index in read) for index in range(len(rows))]
    made = [index for index in range(len(rows)) if users[index]]
    number = {index: place for place, index in enumerate(made)}
    items = tuple(Item(f"t{index}", rows[index][1], index, users[index]) for index in made)
    tasks = []
    for index, (read, size) in enumerate(rows):
        way = Way(size + sum(rows[other][1] for other in read))
        tasks.append(Task(f"op{index}", tuple(number[i] for i in read), (number[index],) if index in number else (), (way,)))
    return Problem("ladder", items, tuple(tasks))


def states_by_layer(problem: Problem, capacity: int) -> tuple[list[int], int]:
    """(states that each layer keeps, extra bytes) of an exact sweep."""
    kept = []

    def layer(sets, parents, operators):
        kept.append(len(sets))
        return _Layer(sets, parents, operators)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ilp.downset._Layer", layer)
        found = sweep(problem, capacity, width=10**6)
    assert found.complete
    return kept, found.extra_bytes


@pytest.mark.parametrize("capacity", [18, 19, 21])
def test_states_collapse_at_a_barrier(capacity):
    assert len(segments(ladder(4))) == 1
    assert states_by_layer(ladder(1), capacity)[1] == least_extra_bytes(ladder(1), capacity)
    layers, extra = states_by_layer(ladder(4), capacity)
    assert extra > 0
    assert all(layers[layer] <= 2 for layer in range(1, 22, 5))  # of 2^2: which of the two that cross have a copy off chip
    assert max(layers) > 2
    blocks = [layers[first : first + 5] for first in range(2, 22, 5)]
    assert blocks == blocks[:1] * 4  # a block costs what the first one costs: sums, no products
