"""``--explain``: a group answers for each of its members."""

from __future__ import annotations

import pytest

import cyclewright as cw
from cyclewright.api import document_of
from cyclewright.explain import explain, operator_of
from hwspecs.vocabulary.errors import UnknownNameError


def test_members_of_a_group_are_explained_by_its_row() -> None:
    document = document_of(cw.run("resnet18", "edge-npu", search="play"))
    groups = [row for row in document["operators"] if row["members"]]
    assert groups
    for row in groups:
        for member in row["members"]:
            assert operator_of(document, member) is row
            assert dict(explain(document, member))["operator"] == dict(explain(document, row["name"]))["operator"]
    with pytest.raises(UnknownNameError):
        operator_of(document, "nothing")
