"""Arithmetic on arrays: exact where converters suffice, worse with fewer bits, and what a hand calculation says in between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.crossbar.precision import DIFFERENTIAL, OFFSET, SIGNED, UNSIGNED, Arithmetic, check, product

WIDE = 30  # bits that tell all sums of these tests apart


def arrays(**changes) -> Arithmetic:
    base = {
        "rows": 16, "rows_per_read": 16, "bits_per_cell": 2, "weight_bits": 8, "input_bits": 8, "scheme": OFFSET, "driver_bits": 1,
        "resolution": WIDE,
    }  # fmt: skip
    return Arithmetic(**{**base, **changes})


@settings(max_examples=60, deadline=None)
@given(
    scheme=st.sampled_from([DIFFERENTIAL, OFFSET, UNSIGNED, SIGNED]), weight_bits=st.integers(1, 9), input_bits=st.integers(1, 9),
    cell=st.integers(1, 8), driver=st.integers(1, 8), rows=st.integers(1, 20), read=st.integers(1, 20), k=st.integers(1, 50),
    n=st.integers(1, 6), resolution=st.sampled_from([0, WIDE]), seed=st.integers(0, 99),
)  # fmt: skip
def test_enough_bits_and_no_noise_give_the_integer_product(
    scheme, weight_bits, input_bits, cell, driver, rows, read, k, n, resolution, seed
):
    item = arrays(
        scheme=scheme, weight_bits=weight_bits, input_bits=input_bits, bits_per_cell=cell, driver_bits=driver, rows=rows,
        rows_per_read=min(read, rows), resolution=resolution,
    )  # fmt: skip
    draw = np.random.default_rng(seed)
    least, most = item.weight_range
    w = draw.integers(least, most + 1, size=(k, n)).astype(float)
    x = draw.integers(0, 2**input_bits, size=(3, k)).astype(float)
    given_, clipped, conversions = product(x, w, item, draw)
    assert np.array_equal(given_, x @ w)
    assert clipped == 0
    per_column = -(-weight_bits // cell) * (2 if scheme == DIFFERENTIAL else 1)
    reads = sum(-(-min(rows, k - start) // item.rows_per_read) for start in range(0, k, rows))
    assert item.sums(k) == per_column * -(-input_bits // driver) * reads
    assert conversions == (3 * n * item.sums(k) if resolution else 0)


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 64), cell=st.integers(1, 4), driver=st.integers(1, 4), seed=st.integers(0, 99))
def test_the_bits_that_the_mapper_asks_for_suffice(rows, cell, driver, seed):
    """log2(greatest sum + 1), rounded up, with every row driven at its most and the largest weights."""
    item = arrays(rows=rows, rows_per_read=rows, bits_per_cell=cell, driver_bits=driver)
    bits = int(item.greatest_sum).bit_length()
    draw = np.random.default_rng(seed)
    x = np.full((1, rows), 255.0)
    w = np.full((rows, 2), 127.0)
    enough, _, _ = product(x, w, replace(item, resolution=bits), draw)
    assert np.array_equal(enough, x @ w)


def test_a_converter_by_hand():
    """Four rows of 1-bit cells and 1-bit inputs, 2-bit converter (codes 0 to 3), sums 0, 2 and 4: steps of 4/3 read 2 as 8/3 (code 1.5
    is rounded to the even 2) and 4 as 4, squared error 4/9; the only other range, one step a code, reads 4 as 3, squared error 1."""
    item = arrays(rows=4, rows_per_read=4, bits_per_cell=1, weight_bits=1, input_bits=1, scheme=UNSIGNED, resolution=2)
    x = np.array([[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]], dtype=float)
    found, clipped, conversions = product(x, np.ones((4, 1)), item, np.random.default_rng(0))
    assert found.ravel().tolist() == pytest.approx([0.0, 2 * 4 / 3, 4.0])
    assert (clipped, conversions) == (0, 3)


def test_sums_beyond_the_range_are_clipped():
    """One large sum among many small ones: the calibrated range does not reach it."""
    item = arrays(rows=8, rows_per_read=8, bits_per_cell=1, weight_bits=1, input_bits=1, scheme=UNSIGNED, resolution=2)
    x = np.zeros((4000, 8))
    x[:, 0] = 1.0
    x[0] = 1.0
    found, clipped, conversions = product(x, np.ones((8, 1)), item, np.random.default_rng(0))
    assert (clipped, conversions) == (1, 4000)
    assert found[0, 0] == 3.0


def test_fewer_bits_are_never_free():
    """On a full array of ISAAC's kind: each bit that is taken away costs, down to nonsense."""
    base = arrays(rows=128, rows_per_read=128, weight_bits=8, resolution=9)
    errors = [check(512, 64, replace(base, resolution=bits), seed=3).array_error for bits in (9, 8, 7, 6, 5, 4, 3)]
    assert errors[0] == 0.0  # 128 x 3 = 384 sums
    assert errors == sorted(errors)
    assert errors[-1] > 5 * errors[3] > 0.0


def test_noise_adds_in_squares_over_the_rows():
    """Unsigned one-bit cells and inputs, no converter: the error of a sum of n driven cells is noise sqrt(n)."""
    item = arrays(
        rows=4096, rows_per_read=4096, bits_per_cell=1, weight_bits=1, input_bits=1, scheme=UNSIGNED, resolution=0, read_noise=0.1
    )
    x, w = np.ones((200, 1024)), np.ones((1024, 20))
    found, _, _ = product(x, w, item, np.random.default_rng(1))
    assert np.std(found - x @ w) == pytest.approx(0.1 * np.sqrt(1024), rel=0.05)
    assert abs(np.mean(found - x @ w)) < 0.2


def test_rounding_alone_follows_the_rule_of_six_decibels():
    """Each bit more of weights and inputs halves the error of rounding; the total is then that error."""
    shares = []
    for bits in (4, 6, 8):
        found = check(256, 32, arrays(rows=256, rows_per_read=256, weight_bits=bits, input_bits=bits), seed=1)
        assert found.array_error == 0.0
        assert found.error == pytest.approx(found.quantization_error)
        assert found.snr_db == pytest.approx(-20 * np.log10(found.error))
        shares.append(found.error)
    assert shares[0] / shares[1] == pytest.approx(4, rel=0.3)
    assert shares[1] / shares[2] == pytest.approx(4, rel=0.3)


def test_equal_seeds_draw_equal_numbers():
    item = arrays(resolution=3, read_noise=0.05)
    assert check(40, 8, item, seed=5) == check(40, 8, item, seed=5)
    assert check(40, 8, item, seed=5) != check(40, 8, item, seed=6)


def test_events_of_one_bit():
    found = check(100, 10, arrays(input_bits=1, rows=100, rows_per_read=100), density=0.05, seed=2)
    assert found.error == found.quantization_error < 0.02
    empty = check(10, 4, arrays(input_bits=1), density=0.0)
    assert (empty.error, empty.snr_db) == (0.0, None)
