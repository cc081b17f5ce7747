"""A mapping handed from one operator to an equal one changes names and nothing else."""

from __future__ import annotations

from dataclasses import fields

from mappings.dataflow import Alternative, Edge, MappedOperator, Rejected, Segment, Stage, Transfer
from mappings.memo import Numbers, handed_to
from workloads.graph import Axis


def operator(name: str, read: str, written: str) -> MappedOperator:
    moves = (Transfer(read, 8, "dram", "chip", 4), Transfer("partial sums", 2, "chip", "chip"), Transfer(written, 4, "chip", "dram"))
    stages = (Stage("work", "sm", (Segment(3, 7, moves), Segment(2, 1)), 1.5, {"memory:l2": 5}), Stage("idle", "sm", (Segment(1, 1),)))
    alternative = Alternative("tiles", stages, (Edge("work", "idle", 5, 1, 0, 9),), 96, 40, {"sm.mac.bf16": 6.0}, {"compute": 9}, ("note",))
    return MappedOperator(
        name, "gemm", "sm", (alternative,), (Rejected("large", "too large", 3),), "npu", 6, 5, 4, "bf16", "2:4", {read: 24}, {written: 12}
    )


def test_only_names_change():
    handed = handed_to(operator("a", "x", "y"), "b", {"x": "u", "y": "v"})
    wanted = operator("b", "u", "v")
    for field in fields(MappedOperator):
        if field.name != "alternatives":
            assert getattr(handed, field.name) == getattr(wanted, field.name)
    (one,), (other,) = handed.alternatives, wanted.alternatives
    for field in fields(Alternative):
        assert getattr(one, field.name) == getattr(other, field.name)
    assert one.stages is one.stages


def test_two_views_of_one_tensor_add_up():
    mapped = MappedOperator("a", "gemm", "sm", (Alternative("none", (), (), 0, 0),), reads={"x": 3, "y": 4})
    assert handed_to(mapped, "b", {"x": "u", "y": "u"}).reads == {"u": 7}


def test_equal_values_have_equal_numbers():
    numbers = Numbers()
    first, same, other = Axis((("m", 1),)), Axis((("m", 1),)), Axis((("n", 1),))
    assert numbers.of(first) == numbers.of(same) == numbers.of(first)
    assert numbers.of(other) != numbers.of(first)
