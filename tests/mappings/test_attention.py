"""Attention as a chain of stages on the array and the vector unit."""

from __future__ import annotations

from dataclasses import replace

from mappings import map_graph
from mappings.registry import Unmappable
from mappings.systolic import SystolicMapper
from tests.mappings.builders import graph, systolic
from tests.mappings.test_systolic import check_graph, moved
from workloads.builder import GraphBuilder


def attention(batch, heads, kv_heads, queries, keys, dim, format="fp16"):
    """(operator, tensors) of grouped-query attention."""
    builder = GraphBuilder("a", format)
    builder.input("q", (batch, heads, queries, dim))
    builder.input("k", (batch, kv_heads, keys, dim))
    builder.input("v", (batch, kv_heads, keys, dim))
    builder.attention("q", "k", "v", "y", batch=batch, heads=heads, kv_heads=kv_heads, queries=queries, keys=keys, head_dim=dim)
    built = builder.build(check=True)
    (operator,) = built.nodes
    return operator, dict(built.tensors)


def mapped(pair, hardware):
    return map_graph(graph(pair, inputs=("q", "k", "v")), hardware).blocks[0].operators[0]


def test_scores_never_leave_the_chip_and_every_operand_moves_once_where_it_fits():
    operator = mapped(attention(2, 4, 2, 8, 16, 8), systolic(8, 8, scratchpad=1 << 18))
    (alternative, *_) = operator.alternatives
    check_graph(alternative)
    assert moved(alternative) == {
        ("q", "in"): 2 * 4 * 8 * 8 * 2, ("k", "in"): 2 * 2 * 16 * 8 * 2, ("v", "in"): 2 * 2 * 16 * 8 * 2, ("y", "out"): 2 * 4 * 8 * 8 * 2,
    }  # fmt: skip
    units = {stage.name: stage.unit for stage in alternative.stages}
    assert (units["scores"], units["softmax"], units["sum"]) == ("array", "vector", "array")


def test_array_cycles_by_hand():
    # 2 heads, each 8 rows x 8 keys x 8: one fold of 8 + 8 + 8 - 2 for the scores, one for the sum
    operator = mapped(attention(1, 2, 2, 8, 8, 8), systolic(8, 8, scratchpad=1 << 18))
    assert operator.alternatives[0].breakdown["array"] == 2 * 2 * 22
    assert operator.macs == 2 * 2 * 8 * 8 * 8


def test_grouped_heads_share_the_keys_of_one_load():
    operator = mapped(attention(1, 8, 1, 1, 64, 8), systolic(8, 8, scratchpad=1 << 18))
    assert moved(operator.alternatives[0])["k", "in"] == 64 * 8 * 2


def test_long_keys_are_cut_and_loaded_once_per_row_tile():
    operator = mapped(attention(1, 1, 1, 64, 512, 16), systolic(8, 8, scratchpad=8 * 1024))
    for alternative in operator.alternatives:
        check_graph(alternative)
        assert moved(alternative)["k", "in"] % (512 * 16 * 2) == 0
        assert alternative.working_set_bytes <= 8 * 1024


def test_without_a_vector_unit_it_cannot_run():
    hardware = systolic(8, 8, vector=False)
    answer = SystolicMapper().map(*attention(1, 1, 1, 8, 8, 8), hardware.primary, hardware)
    assert isinstance(answer, Unmappable)
    assert "vector unit" in answer.reason


def test_too_small_a_scratchpad_names_the_excess():
    hardware = systolic(8, 8, scratchpad=256)
    answer = SystolicMapper().map(*attention(1, 1, 1, 64, 64, 64), hardware.primary, hardware)
    assert isinstance(answer, Unmappable)
    assert "bytes more than" in answer.reason


def test_copies_of_the_array_share_folds():
    pair = attention(1, 2, 2, 32, 32, 8)
    one = systolic(8, 8, scratchpad=1 << 18)
    units = dict(one.units)
    units["array"] = replace(units["array"], count=2, rates={name: 2 * rate for name, rate in units["array"].rates.items()})
    two = replace(one, units=units)
    assert mapped(pair, two).alternatives[0].breakdown["array"] < mapped(pair, one).alternatives[0].breakdown["array"]
