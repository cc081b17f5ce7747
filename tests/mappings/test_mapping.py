"""Blocks, fallback, memo, views and unknown operators of ``map_graph``, with a mapper made for the test."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwspecs.vocabulary.errors import ArgumentError, ContractError, UnsupportedError
from mappings import Unmappable, find_mapper, map_graph, mapper_kinds, register_mapper
from mappings.dataflow import Alternative, MappedOperator, Segment, Stage, Transfer
from mappings.flatten import flat_repeat
from tests.mappings.builders import elementwise, gemm, graph, systolic, tensor, with_kind
from workloads.graph import Operator, Repeat, Role

CALLS: list[str] = []


class CountingMapper:
    """Takes gemms only, one firing each."""

    def map(self, operator, tensors, unit, hardware):
        CALLS.append(operator.name)
        if operator.kind != "gemm":
            return Unmappable(f"takes only gemm, not {operator.kind}")
        loads = tuple(Transfer(name, tensors[name].stored_bytes, "dram", "scratchpad") for name in operator.inputs)
        stores = tuple(Transfer(name, tensors[name].stored_bytes, "scratchpad", "dram") for name in operator.outputs)
        stage = Stage("all", unit.name, (Segment(1, 10, (*loads, *stores)),))
        macs = operator.macs
        only = Alternative("only", (stage,), (), 0, 10)
        return MappedOperator(operator.name, operator.kind, unit.name, (only,), macs=macs, executed_macs=macs, compute_format="int8")


class AnyMapper(CountingMapper):
    def map(self, operator, tensors, unit, hardware):
        return super().map(replace(operator, kind="gemm"), tensors, unit, hardware)


class EmptyMapper:
    def map(self, operator, tensors, unit, hardware):
        return MappedOperator(operator.name, operator.kind, unit.name, ())


register_mapper("test-gemm-only", CountingMapper)
register_mapper("test-any", AnyMapper)
register_mapper("test-empty", EmptyMapper)


@pytest.fixture
def device():
    CALLS.clear()
    hardware = with_kind(systolic(), "test-gemm-only")
    units = dict(hardware.units)
    units["vector"] = replace(units["vector"], kind="test-any")
    return replace(hardware, units=units)


def chain(layers: int):
    return [gemm(f"fc{i}", 4, 4, 4, x=f"t{i}", w=f"w{i}", y=f"t{i + 1}") for i in range(layers)]


def test_equal_operators_are_mapped_once_and_renamed(device):
    mapped = map_graph(graph(*chain(5), inputs=("t0",), outputs=("t5",)), device)
    assert CALLS == ["fc0"]
    (block,) = mapped.blocks
    assert [op.operator for op in block.operators] == [f"fc{i}" for i in range(5)]
    third = block.operators[3]
    assert [move.tensor for move in third.alternatives[0].stages[0].segments[0].transfers] == ["t3", "w3", "t4"]
    assert third.reads == {"t3": 16, "w3": 16}
    assert third.writes == {"t4": 16}


def test_straight_graph_is_one_block_that_knows_what_enters_and_leaves(device):
    (block,) = map_graph(graph(*chain(2), inputs=("t0",), outputs=("t2",)), device).blocks
    assert block.count == 1
    assert set(block.entering) == {"t0", "w0", "w1"}
    assert block.leaving == {"t2": "t2"}


def test_fallback_is_marked_and_noted(device):
    mapped = map_graph(graph(*chain(1), elementwise("act", "t1", "y", 4, 4), inputs=("t0",)), device)
    first, second = mapped.blocks[0].operators
    assert first.fell_back_from is None
    assert (second.unit, second.fell_back_from) == ("vector", "array")
    assert "takes only gemm, not elementwise" in second.rejected[0].reason
    assert any("act" in note and "takes only gemm" in note for note in mapped.notes)


def test_no_unit_can_run_it(device):
    units = dict(device.units)
    units["array"] = replace(units["array"], fallback=None)
    with pytest.raises(UnsupportedError, match=r"act: no unit .*kind 'elementwise'.*takes only gemm.*--unknown-op bytes-only"):
        map_graph(graph(elementwise("act", "x", "y", 4, 4)), replace(device, units=units))


def test_fallback_in_a_circle_ends(device):
    units = {name: replace(unit, kind="test-gemm-only", fallback="array") for name, unit in device.units.items()}
    units["array"] = replace(units["array"], fallback="vector")
    with pytest.raises(UnsupportedError, match=r"on unit array: .*on unit vector: "):
        map_graph(graph(elementwise("act", "x", "y", 4, 4)), replace(device, units=units))


def test_kind_without_mapper_is_named():
    with pytest.raises(
        UnsupportedError, match=r"no mapper serves kind 'photonic' yet \(unit 'array' of spec 'hand-built'\); kinds served: .*systolic"
    ):
        map_graph(graph(gemm("fc", 4, 4, 4)), with_kind(systolic(), "photonic"))


def test_mapper_without_alternatives_breaks_the_contract():
    with pytest.raises(ContractError, match="fc: the mapper of kind 'test-empty'"):
        map_graph(graph(gemm("fc", 4, 4, 4)), with_kind(systolic(), "test-empty"))


def test_built_in_mapper_cannot_be_replaced():
    with pytest.raises(ArgumentError, match="cannot be replaced"):
        register_mapper("gpu", CountingMapper)
    assert find_mapper("no-such-kind") is None
    assert {"gpu", "systolic", "vector", "test-any"} <= set(mapper_kinds())


def test_views_move_nothing_and_their_users_name_the_source(device):
    view = Operator("flatten", "view", ("t1",), ("v",))
    tensors = {"t1": tensor("t1", 4, 4), "v": tensor("v", 16)}
    tail = gemm("fc", 4, 4, 4, x="v", w="w9", y="y")
    tail[1]["v"] = tensor("v", 4, 4)
    mapped = map_graph(graph(*chain(1), (view, tensors), tail, inputs=("t0",)), device)
    (block,) = mapped.blocks
    assert block.operators[1].alternatives[0].stages == ()
    assert block.operators[2].reads == {"t1": 16, "w9": 16}
    assert "t1" not in block.entering
    assert set(block.entering) == {"t0", "w0", "w9"}


def test_graph_output_that_is_a_view_lets_its_source_leave(device):
    view = (Operator("shape", "view", ("t1",), ("y",)), {"y": tensor("y", 16)})
    (block,) = map_graph(graph(*chain(1), view, inputs=("t0",)), device).blocks
    assert block.leaving == {"t1": "t1"}


def test_unknown_operator_moves_its_bytes_through_the_port(device):
    strange = Operator("strange", "unknown", ("x",), ("y",))
    mapped = map_graph(graph((strange, {"x": tensor("x", 100), "y": tensor("y", 50)})), device)
    (operator,) = mapped.blocks[0].operators
    (stage,) = operator.alternatives[0].stages
    assert stage.unit == "port:dram"
    assert {move.tensor: move.bytes for move in stage.segments[0].transfers} == {"x": 100, "y": 50}
    assert any("bytes only" in note for note in mapped.notes)


def test_append_in_place_reads_nothing_and_writes_its_region(device):
    append = Operator("append", "gemm", ("cache", "new"), ("grown",), gemm("z", 1, 8, 8, x="new", w="new", y="grown")[0].nests)
    tensors = {
        "cache": tensor("cache", 100, 8, role=Role.KV_CACHE),
        "new": tensor("new", 8, 8),
        "grown": tensor("grown", 101, 8, role=Role.KV_CACHE, alias_of="cache", region_bytes=8),
    }
    (operator,) = map_graph(graph((append, tensors), inputs=("new",), outputs=("grown",)), device).blocks[0].operators
    assert operator.reads == {"new": 64}
    assert operator.writes == {"grown": 8}


def layer(count: int, name: str = "layers", shared: tuple[str, ...] = ()) -> Repeat:
    body = graph(gemm("fc", 4, 4, 4, x="h", w="w", y="o"), inputs=("h",), outputs=("o",))
    inputs = {"h": "x", **{item: item for item in shared}}
    return Repeat(name, body, count, (("o", "h"),), shared, inputs, {"o": "y"})


def test_repeat_is_a_block_with_its_count(device):
    tensors = {"x": tensor("x", 4, 4), "y": tensor("y", 4, 4)}
    built = replace(graph(layer(80)), tensors=tensors)
    (block,) = map_graph(built, device).blocks
    assert (block.count, block.carried, block.entering, block.leaving) == (80, (("o", "h"),), {"h": "x"}, {"o": "y"})
    assert len(CALLS) == 1


def test_repeat_within_a_repeat_alone_multiplies(device):
    outer_body = replace(graph(layer(4)), tensors={"x": tensor("x", 4, 4), "y": tensor("y", 4, 4)})
    outer = Repeat("outer", outer_body, 10, (("y", "x"),), (), {"x": "a"}, {"y": "b"})
    flat = flat_repeat(outer)
    assert (flat.count, flat.carried, flat.inputs, flat.outputs) == (40, (("o", "h"),), {"h": "a"}, {"o": "b"})


def test_repeat_within_a_repeat_beside_others_unrolls(device):
    tail = gemm("tail", 4, 4, 4, x="y", w="w2", y="z")
    outer_body = graph(layer(3), tail, outputs=("z",))
    outer_body = replace(outer_body, tensors={**outer_body.tensors, "x": tensor("x", 4, 4)})
    outer = Repeat("outer", outer_body, 2, (("z", "x"),), (), {"x": "a"}, {"z": "b"})
    flat = flat_repeat(outer)
    flat.body.check()
    operators = flat.body.nodes
    assert [node.name for node in operators] == ["layers.0.fc", "layers.1.fc", "layers.2.fc", "tail"]
    assert operators[0].inputs == ("x", "layers.0.w")
    assert operators[1].inputs == ("layers.0.o", "layers.1.w")
    assert operators[2].outputs == ("y",)
    built = replace(graph(outer, inputs=("a",), outputs=("b",)), tensors={"a": tensor("a", 4, 4), "b": tensor("b", 4, 4)})
    (block,) = map_graph(built, device).blocks
    assert sum(op.macs for op in block.operators) * block.count == 2 * 4 * 64


def test_shared_tensors_of_an_unrolled_repeat_stay_one(device):
    inner = layer(3, shared=("w",))
    outer_body = graph(inner, gemm("tail", 4, 4, 4, x="y", w="w2", y="z"), outputs=("z",))
    tensors = {**outer_body.tensors, "x": tensor("x", 4, 4), "w": tensor("w", 4, 4, role=Role.WEIGHT)}
    flat = flat_repeat(Repeat("outer", replace(outer_body, tensors=tensors), 2, (), (), {"x": "a"}, {"z": "b"}))
    assert {node.inputs[1] for node in flat.body.nodes[:3]} == {"w"}


def test_too_long_an_unrolling_is_refused():
    inner = layer(30_000)
    outer_body = graph(inner, gemm("tail", 4, 4, 4, x="y", w="w2", y="z"), outputs=("z",))
    tensors = {**outer_body.tensors, "x": tensor("x", 4, 4)}
    with pytest.raises(UnsupportedError, match="layers: unrolling"):
        flat_repeat(Repeat("outer", replace(outer_body, tensors=tensors), 2))


def test_operator_without_points_costs_nothing(device):
    (operator,) = map_graph(graph(gemm("none", 0, 4, 4)), device).blocks[0].operators
    assert operator.alternatives[0].stages == ()
