"""What functions cost on a vector unit: steps, prices of a spec, rows that do not fill their vectors. Cycles counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs import load_hardware
from hwspecs.vocabulary.errors import CyclewrightError
from hwspecs.vocabulary.functions import FUNCTIONS, OPERATIONS, ROW_STEPS, STEPS, priced, sum_of
from mappings import map_graph
from mappings.promises import check_promises
from mappings.rates import lane_slots, point_cost, row_length, vector_cycles, vector_operations
from mappings.vector import VectorMapper
from tests.mappings.builders import systolic
from workloads.builder import GraphBuilder
from workloads.graph import Operator

LANES = 16


def device(count: int = 1, **functions: float):
    """A vector unit of 16 lanes at 1 GHz."""
    hardware = systolic()
    unit = hardware.units["vector"]
    prices = {f"functions.{name}": value for name, value in functions.items() if name != "row_overhead"}
    overhead = {"row_overhead": functions["row_overhead"]} if "row_overhead" in functions else {}
    rates = dict.fromkeys(unit.vector_rates, 1e9 * LANES * count)
    made = replace(unit, count=count, clock_hz=1e9, vector_rates=rates, parameters={"lanes": LANES, **prices, **overhead})
    return replace(hardware, clock_hz=1e9, units={**hardware.units, "vector": made})


def one(make, shape) -> Operator:
    """The operator that ``make(builder)`` adds for an input ``x`` of ``shape``."""
    builder = GraphBuilder("g", "fp16")
    builder.input("x", shape)
    make(builder)
    builder.output("y")
    return builder.build().nodes[-1]


def cycles(operator: Operator, hardware) -> float:
    unit, axis = hardware.units["vector"], int(operator.attributes.get("axis", -1))
    return sum(vector_cycles(nest, "fp16", unit, hardware, axis) for nest in operator.nests)


def softmax(*shape: int, axis: int = -1) -> Operator:
    return one(lambda b: b.softmax("x", "y", axis=axis), shape)


def norm(function: str, *shape: int) -> Operator:
    return one(lambda b: b.norm(function, "x", "y", weight=b.weight("w", shape[-1:])), shape)


@pytest.mark.parametrize("function", sorted({*STEPS, *ROW_STEPS}))
def test_steps_add_up_to_the_conventional_operations(function):
    """Without prices a function costs what graphs count of it."""
    assert priced(function, {}) == OPERATIONS[function]
    assert {*STEPS.get(function, ()), *ROW_STEPS.get(function, ())} <= set(OPERATIONS)


def test_prices_reach_the_functions_made_of_them():
    dear = {"functions.exp": 10, "functions.tanh": 1}
    assert priced("softmax", dear) == 1 + 1 + 10 + 1 + 1  # maximum, subtraction, exponential, sum, scale
    assert priced("sigmoid", dear) == 1 + 3
    assert priced("silu", dear) == 4 + 1
    assert priced("silu", {**dear, "functions.silu": 2}) == 2  # its own price goes before
    assert priced("reciprocal", {"functions.div": 7}) == 7
    assert priced("interpolate", {}) is None


def test_softmax_by_hand():
    """4 rows of 100: 7 vectors of 16 lanes each, 28 in all (side by side 100). Each 8 cycles; one reciprocal for all rows."""
    assert cycles(softmax(4, 100), device()) == 28 * 8 + 4
    assert cycles(softmax(4, 100), device(exp=10)) == 28 * 14 + 4
    assert cycles(softmax(4, 100), device(row_overhead=6)) == 28 * 8 + 4 + 4 * 6
    assert cycles(softmax(4, 100), device(count=2)) == 14 * 8 + 4


def test_short_rows_lie_side_by_side():
    """320 rows of 5: along the lanes 320 vectors of 5 in 16; side by side 5 x 20 full ones. 20 vectors of reciprocals."""
    assert cycles(softmax(320, 5), device()) == 100 * 8 + 20 * 4
    assert cycles(softmax(320, 5), device(row_overhead=6)) == 100 * 8 + 20 * 4  # no row lies along the lanes


def test_softmax_along_another_axis():
    """Along the first axis: 100 rows of 4, four vectors of 7 x 16 lanes side by side."""
    assert cycles(softmax(4, 100, axis=0), device()) == 4 * 7 * 8 + 7 * 4


@pytest.mark.parametrize(("function", "each", "once"), [("layernorm", 5 + 1, 3 + 2 + 4), ("rmsnorm", 3 + 1, 2 + 4)])
def test_norms_by_hand(function, each, once):
    """2 rows of 40: 3 vectors each; gamma is one more operation per element, means and root come once per row."""
    assert cycles(norm(function, 2, 40), device()) == 2 * 3 * each + once
    assert cycles(norm(function, 2, 40), device(rsqrt=12)) == 2 * 3 * each + once + 8


ACTIVATIONS = [("silu", {}, 8), ("gelu", {}, 8), ("gelu", {"erf": 9}, 13), ("tanh", {"tanh": 1}, 1)]


@pytest.mark.parametrize(("function", "price", "expected"), ACTIVATIONS)
def test_activations_fill_their_vectors(function, price, expected):
    """10 rows of 7 are 70 values in 5 vectors: an activation does not know rows."""
    assert cycles(one(lambda b: b.elementwise(function, ("x",), "y"), (10, 7)), device(**price)) == 5 * expected


def test_pooling_by_hand():
    """3 x 3 maxima of 2 channels at 5 x 5 places: 50 results in 4 vectors, 9 comparisons each."""
    pooled = one(lambda b: b.pool("x", "y", "max", window=3), (1, 2, 7, 7))
    assert cycles(pooled, device()) == 4 * 9
    assert cycles(pooled, device(max=2)) == 4 * 9 * 2


def test_a_mean_over_the_image_by_hand():
    """20 channels of 49 pixels: along the lanes 20 x 4 vectors, side by side 49 x 2."""
    assert cycles(one(lambda b: b.reduce("add", "x", "y", (2, 3)), (1, 20, 7, 7)), device()) == 80


def test_several_inputs_count_once_each():
    added = one(lambda b: b.elementwise("add", ("x", "x", "x"), "y"), (16,))
    assert point_cost(added.nests[0], device().units["vector"]) == 2
    assert point_cost(added.nests[0], device(add=3).units["vector"]) == 6


def test_a_copy_passes_the_lanes_once():
    copied = one(lambda b: b.transpose("x", "y", (1, 0)), (10, 10))
    assert cycles(copied, device()) == 7
    assert cycles(copied, device(copy=2)) == 14


def test_a_cheap_function_lowers_the_roof_with_it():
    """An exponential per lane and cycle: the mapper reports the work as priced, so that no bound stands above the time."""
    builder = GraphBuilder("g", "fp16")
    builder.input("x", (64, 100))
    builder.elementwise("exp", ("x",), "y")
    graph = builder.build()
    hardware = device(exp=1)
    operator = graph.nodes[0]
    mapped = VectorMapper().map(operator, graph.tensors, hardware.units["vector"], hardware)
    check_promises(mapped, operator, graph.tensors, "vector", hardware)
    assert operator.vector_ops == 4 * 6400
    assert mapped.vector_ops == 6400
    assert mapped.alternatives[0].breakdown["vector"] == 400


@settings(max_examples=60)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 64))
def test_vectors_hold_all_points_and_rows_never_cost_more_than_one_vector_too_many(rows, length, lanes):
    vectors, along = lane_slots(rows * length, length, lanes)
    assert vectors * lanes >= rows * length
    assert vectors <= rows * (length // lanes + 1)
    assert vectors <= length * (rows // lanes + 1)
    assert along in (0, rows)


@settings(max_examples=60)
@given(
    st.sampled_from(["softmax", "layernorm", "gelu", "max"]),
    st.integers(1, 40),
    st.integers(1, 200),
    st.integers(1, 4),
    st.floats(0.25, 20),
)
def test_no_time_below_the_priced_work_at_the_data_sheets_rate(kind, rows, width, count, price):
    hardware = device(count, exp=price, rsqrt=price, erf=price)
    unit = hardware.units["vector"]
    if kind == "softmax":
        operator = softmax(rows, width)
    elif kind == "layernorm":
        operator = norm("layernorm", rows, width)
    elif kind == "gelu":
        operator = one(lambda b: b.elementwise("gelu", ("x",), "y"), (rows, width))
    else:
        operator = one(lambda b: b.reduce("max", "x", "y", (1,)), (rows, width))
    nest = operator.nests[0]
    least = nest.points * point_cost(nest, unit) / (LANES * count)
    assert cycles(operator, hardware) >= least * (1 - 1e-12)
    assert vector_operations(nest, unit) >= nest.points * point_cost(nest, unit)
    assert row_length(nest) == (1 if kind == "gelu" else width)


def test_a_spec_names_functions_that_exist(tmp_path):
    path = tmp_path / "mine.yaml"
    text = "schema: 1\nname: mine\nextends: edge-npu\nunit.vector.functions: {NAME: {value: 4, source: derived, cite: t}}\n"
    path.write_text(text.replace("NAME", "expp"), encoding="utf-8")
    with pytest.raises(CyclewrightError, match="unknown function 'expp'") as caught:
        load_hardware(str(path))
    assert "did you mean exp" in str(caught.value)
    path.write_text(text.replace("NAME", "lrn"), encoding="utf-8")
    assert load_hardware(str(path)).units["vector"].parameters["functions.lrn"] == 4
    assert {"exp", "softmax", "lrn"} <= FUNCTIONS


def test_a_dearer_exponential_slows_an_attention_on_an_array():
    """The chain of an array takes its softmax from the vector unit, at that unit's prices."""
    builder = GraphBuilder("g", "int8")
    for name in "qkv":
        builder.input(name, (1, 4, 64, 32))
    builder.attention("q", "k", "v", "y", batch=1, heads=4, kv_heads=4, queries=64, keys=64, head_dim=32)
    builder.output("y")
    graph = builder.build()
    softmax_cycles = []
    for price in ("4", "40"):
        hardware = load_hardware("edge-npu", {"unit.vector.functions.exp": price})
        (item,) = (item for block in map_graph(graph, hardware).blocks for item in block.operators)
        softmax_cycles.append(item.alternatives[0].breakdown["vector"])
    # 4 x 64 rows of 64 points side by side: 64 x 2 full vectors of 128 lanes, 9 operations each with the scale, 2 vectors of reciprocals
    assert softmax_cycles == [64 * 2 * 9 + 2 * 4, 64 * 2 * 45 + 2 * 4]


def test_sum_of_counts_each_step():
    assert sum_of({"exp": 2, "add": 3}, {"functions.exp": 5}) == 13
