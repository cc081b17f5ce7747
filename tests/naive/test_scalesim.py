"""The SCALE-Sim accounting equals its plain-Python twin on random small layers: all dataflows, both modes, odd arrays, tiny buffers."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.accounting import Array, Layer, count_layer
from tests.naive import scalesim as naive


@st.composite
def layers(draw) -> Layer:
    """Convolutions with windows that overlap, touch or lie apart and hang over the edge; products, thin ones included."""
    number = st.integers(1, 5)
    if draw(st.booleans()):
        return Layer.gemm(draw(st.integers(1, 30)), draw(st.integers(1, 20)), draw(st.integers(1, 30)))
    window = draw(number), draw(number)
    height, width = window[0] + draw(st.integers(0, 5)), window[1] + draw(st.integers(0, 5))
    return Layer(height, width, *window, draw(number), draw(st.integers(1, 20)), (draw(st.integers(1, 4)), draw(st.integers(1, 4))))


@st.composite
def arrays(draw) -> Array:
    """Scratchpads so small that every buffer turns over many times."""
    sizes = tuple(draw(st.one_of(st.integers(100, 260), st.integers(100, 2500))) for _ in range(3))
    rates = tuple(draw(st.one_of(st.integers(1, 12), st.integers(1, 300))) for _ in range(3)) if draw(st.booleans()) else None
    return Array(draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.sampled_from(("os", "ws", "is"))), sizes, rates)


@settings(max_examples=60)
@given(layers(), arrays())
def test_equals_the_twin(layer, array):
    assert asdict(count_layer(layer, array)) == naive.count(layer, array)


@pytest.mark.slow
@settings(max_examples=300)
@given(layers(), arrays())
def test_equals_the_twin_on_many(layer, array):
    assert asdict(count_layer(layer, array)) == naive.count(layer, array)
