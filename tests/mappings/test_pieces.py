"""Contiguous pieces of tiles in DRAM, by hand, and what the cycle rung makes of them."""

from __future__ import annotations

import pytest

import cyclewright as cw
from mappings.systolic.problem import products
from tests.mappings.builders import conv, gemm, systolic
from tests.mappings.test_systolic import mapped


def test_pieces_of_a_matrix():
    (product,) = products(*gemm("g", 16, 8, 64))
    # 8 rows of 16 of the 64 columns: each row is a piece; whole rows follow each other; the whole is one stream
    assert product.a.contiguous_bytes({"m": 8, "k": 16}) == 16
    assert product.a.contiguous_bytes({"m": 8, "k": 64}) == 8 * 64
    assert product.a.contiguous_bytes({"m": 16, "k": 64}) == 0
    assert product.out.contiguous_bytes({"m": 4, "n": 4}) == 4
    # weights are stored tile by tile
    assert product.b.contiguous_bytes({"n": 4, "k": 16}) == 0


def test_pieces_of_an_image_lie_along_rows_or_along_channels():
    (product,) = products(*conv("c", c=4, o=6, h=8, f=3, format="fp16"))
    whole = {"n": 1, "c": 4, "r": 3, "s": 3}
    # 2 output rows need 4 image rows of 8 columns: channels inside, all 4 of them follow each other
    assert product.a.contiguous_bytes({**whole, "p": 2, "q": 6}) == 4 * 8 * 4 * 2
    # one channel of them: channels outside, 4 whole rows
    assert product.a.contiguous_bytes({**whole, "c": 1, "p": 2, "q": 6}) == 4 * 8 * 2
    # 2 output columns only: 4 columns of 4 channels, or of one
    assert product.a.contiguous_bytes({**whole, "p": 2, "q": 2}) == 4 * 4 * 2
    assert product.a.contiguous_bytes({**whole, "c": 1, "p": 2, "q": 2}) == 4 * 2
    # results: 3 of 6 channels, 2 of 6 rows
    assert product.out.contiguous_bytes({"n": 1, "o": 3, "p": 2, "q": 6}) == 2 * 6 * 2


def test_transfers_of_a_tiled_product_state_their_pieces():
    operator = mapped(gemm("g", 64, 64, 64), systolic(8, 8, scratchpad=2048))
    for alternative in operator.alternatives:
        for stage in alternative.stages:
            for move in (move for segment in stage.segments for move in segment.transfers):
                assert move.access_bytes == 0 if move.tensor == "w" else 0 <= move.access_bytes <= 64 * 64


@pytest.mark.parametrize("text", ["gemm:256x192x320", "conv:N1xC24xH14xW14,K40,R3,P1", "conv:N1xC32xH14xW14,K32,R3,P1,G32"])
def test_short_pieces_never_beat_the_roof_nor_long_ones(text):
    sizes = {"scratchpad.ifmap.size": "2 KiB", "scratchpad.filter.size": "4 KiB", "scratchpad.ofmap.size": "4 KiB"}
    roof, banked = (cw.run(text, "systolic-array", overrides=sizes, fidelity=rung).latency_s for rung in ("roofline", "cycle"))
    assert roof <= banked
