"""Records are frozen where the tests look, and plain, hashable and comparable where a run builds them by the thousand."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from hwspecs.vocabulary import records


def made():
    @records.dataclass(frozen=True, slots=True)
    class Point:
        x: int
        y: int = 2

    return Point


def test_the_tests_see_frozen_records():
    with pytest.raises(FrozenInstanceError):
        made()(1).x = 3


@pytest.mark.parametrize("checked", ["", "1"])
def test_records_compare_hash_and_hold_no_other_fields(monkeypatch, checked):
    monkeypatch.setenv(records.CHECKED, checked)
    point = made()
    assert point(1) == point(1, 2) != point(2)
    assert len({point(1), point(1, 2), point(2)}) == 2
    assert replace(point(1), y=5) == point(1, 5)
    assert [item.name for item in fields(point)] == ["x", "y"]
    with pytest.raises((AttributeError, TypeError)):
        point(1).z = 3
