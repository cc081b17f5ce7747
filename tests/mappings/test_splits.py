"""Candidate splits of a group of dimensions, by hand."""

from __future__ import annotations

from mappings.systolic.splits import finest_whole, splits


def test_one_image_is_among_the_tiles_that_cut_no_image():
    """70 images of 14 x 14 pixels on an array of 32: tiles of whole images have one or more, and the smallest comes second."""
    dims = [("n", 70), ("h", 14), ("w", 14)]
    found = [item for item in splits(dims, 32, 32) if item.tiles["h"] == 14 and item.tiles["w"] == 14]
    whole = finest_whole(dims, found, {"h", "w"}, 32)
    assert 14 * 14 in {item.size for item in whole}
    assert [item for item in whole if item.size != 14 * 14] == [item for item in found if item.size != 14 * 14]
    assert whole[0] == found[0]
    assert all(item.outer * ((item.trips - 1) * item.size + item.last) == 70 * 14 * 14 for item in whole)


def test_nothing_is_added_where_whole_dimensions_come_first_or_do_not_fill_the_array():
    dims = [("h", 4), ("w", 4), ("n", 8)]
    found = splits(dims, 32, 32)
    assert finest_whole(dims, found, {"h"}, 32) == found
    small = [("n", 8), ("h", 4), ("w", 4)]
    assert finest_whole(small, splits(small, 32, 32), {"h", "w"}, 32) == splits(small, 32, 32)
