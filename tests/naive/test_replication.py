"""The replication kernel equals its plain twin, and what both promise holds."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.kernels.replication import balance
from tests.naive.replication import balance_twin

LAYERS = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 60), st.integers(1, 50)), min_size=1, max_size=8)


@settings(max_examples=300, deadline=None)
@given(LAYERS, st.integers(0, 200))
def test_the_kernel_equals_its_twin_and_keeps_to_the_room(layers, room):
    arrays, products, cycles = (list(column) for column in zip(*layers, strict=True))
    found = balance(*(np.array(column, np.int64) for column in (arrays, products, cycles)), room).tolist()
    assert found == balance_twin(arrays, products, cycles, room)
    assert sum((copies - 1) * size for copies, size in zip(found, arrays, strict=True)) <= room
    assert all(1 <= copies <= most for copies, most in zip(found, products, strict=True))


@settings(max_examples=100, deadline=None)
@given(LAYERS, st.integers(0, 100), st.integers(0, 100))
def test_more_room_never_slows_the_slowest_layer(layers, room, more):
    columns = [np.array(column, np.int64) for column in zip(*layers, strict=True)]

    def slowest(size):
        copies = balance(*columns, size)
        return max(columns[2] * -(-columns[1] // copies))

    assert slowest(room + more) <= slowest(room)
