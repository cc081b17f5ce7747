"""Kinds of convolution and product on an array: what is multiplied, what is moved, how groups are packed; by hand and by walking tiles."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.loading import load_hardware, validate_file
from hwspecs.vocabulary.errors import CyclewrightError
from mappings import map_graph
from mappings.systolic.folds import FLOWS
from mappings.systolic.packing import is_depthwise, side_by_side
from mappings.systolic.problem import products
from mappings.systolic.tiles import TileSearch, parameters_of
from tests.mappings.builders import conv, elementwise, gemm, graph, systolic
from tests.mappings.test_systolic import array, check_graph, every_choice, moved
from tests.naive.systolic_tiles import score_twin, walk
from workloads.single import single_operator

OS, WS, IS = "output_stationary", "weight_stationary", "input_stationary"


def operator_of(text):
    made = single_operator(text, "int8")
    (node,) = made.nodes
    return node, made.tensors


def mapped(text, hardware):
    return map_graph(single_operator(text, "int8"), hardware).blocks[0].operators[0]


def packing(hardware, mode):
    unit = hardware.units["array"]
    return replace(hardware, units={**hardware.units, "array": replace(unit, parameters={**unit.parameters, "depthwise": mode})})


def fewest(operator):
    return min(item.breakdown["array"] for item in operator.alternatives)


# -- kinds by hand -------------------------------------------------------------------------------------------------------------
# text, MACs, bytes of the input that windows touch, of the weights, of the output, cycles on 4 x 4 output-stationary where all fits

KINDS = [
    # 4x4 image, stride 2, 3x3 taps: 16 input pixels x 9 taps x 2 x 3; 9x9 outputs; folds ceil(16/4) x ceil(27/4) of 2 + 6 cycles
    ("conv:N1xC2xH4xW4,K3,R3,S2,T", 16 * 9 * 2 * 3, 32, 54, 243, 4 * 7 * 8),
    # 3-D: 3x4x4 image, 2x3x3 taps: 2x2x2 outputs, k = 2 x 18 = 36; folds ceil(8/4) x ceil(5/4) of 36 + 6
    ("conv:N1xC2xD3xH4xW4,K5,R2x3x3", 8 * 36 * 5, 96, 180, 40, 2 * 2 * 42),
    # dilation 2: 3 taps span 5 of 6: 2x2 outputs
    ("conv:N1xC2xH6xW6,K4,R3,D2", 4 * 18 * 4, 72, 72, 16, 1 * 1 * 24),
    # 2 groups of 2 channels to 3 filters: 9 outputs each
    ("conv:N1xC4xH5xW5,K6,R3,G2", 2 * 9 * 18 * 3, 100, 108, 54, 2 * 3 * 1 * 24),
    # strides 2 and 1, padding 1 and 0: rows -1..7 step 2: 4; columns 6: 24 outputs
    ("conv:N1xC1xH8xW8,K4,R3,S2x1,P1x0", 24 * 9 * 4, 64, 36, 96, 6 * 1 * 15),
    # one dimension, stride longer than the window: 4 windows of 2 touch 8 of 11 points, but rows of 1-D are loaded whole
    ("conv:N1xC1xW11,K4,R2,S3", 4 * 2 * 4, 11, 8, 16, 1 * 1 * 8),
]  # fmt: skip


@pytest.mark.parametrize(("text", "macs", "image", "weights", "result", "cycles"), KINDS)
def test_kinds_of_convolution_by_hand(text, macs, image, weights, result, cycles):
    operator = mapped(text, systolic(4, 4, scratchpad=1 << 20, bandwidth=1e15))
    assert operator.unit == "array"
    assert operator.macs == macs
    assert fewest(operator) == cycles
    best = min(operator.alternatives, key=lambda item: sum(moved(item).values()))
    total = moved(best)
    assert [total[key] for key in sorted(total)] == sorted_bytes(total, image, weights, result)


def sorted_bytes(total, image, weights, result):
    """The bytes by hand in the order of the transfers' names: the result goes out, of the two inputs one is the weights."""
    names = sorted(total)
    loads = [name for name in names if name[1] == "in"]
    assert len(loads) == 2
    weight = max(loads, key=lambda item: total[item] == weights)
    return [result if name[1] == "out" else weights if name == weight else image for name in names]


def test_batched_products_share_nothing():
    # 3 products of 8 x 8 x 16 on 8 x 8: three folds of 16 + 14
    nest, tensors = operator_of("attention:b1,h3,q8,k8,d16")
    assert nest.macs == 2 * 3 * 8 * 8 * 16
    operator = mapped("attention:b1,h3,q8,k8,d16", systolic(8, 8, scratchpad=1 << 20, formats=("int8", "fp16", "bf16")))
    # scores: 3 x (16 + 14); sums: k is the 8 keys, 16 columns are two folds: 3 x 2 x (8 + 14)
    assert operator.unit == "array"
    assert fewest(operator) == 3 * 30 + 3 * 2 * 22
    assert len(tensors) >= 3


TEXTS = [text for text, *_ in KINDS] + [
    "conv:N2xC3xH7xW5,K4,R3x2,S2x1,P1,D1x2",
    "conv:N1xC4xH5xW4,K4,R4,S2,P1,T",
    "conv:N1xC6xH5xW5,K6,R3,G6",
]


@settings(max_examples=60)
@given(st.sampled_from(TEXTS), st.sampled_from(list(FLOWS)), st.tuples(st.integers(1, 7), st.integers(1, 7)), st.data())
def test_tiles_cover_every_kind_once(text, flow, size, data):
    """Walked tile by tile, firings multiply every point of the nest once, and move what the mapper says."""
    operator, tensors = operator_of(text)
    (product,) = products(operator, tensors)
    choice = data.draw(st.sampled_from(list(every_choice(product, FLOWS[flow], array(*size)))))
    nest = product.nest
    names = [nest.reads[0].tensor, nest.reads[1].tensor, nest.writes[0].tensor]
    batch = [(name, extent) for name, extent in nest.dims if name == "g"]
    counted = walk(nest, [tensors[name].shape for name in names], product.dims, batch, choice, *size)
    assert counted["macs"] == operator.macs
    assert choice.moved["b"] == counted["b"]
    assert choice.moved["a"] >= product.a.least_bytes
    if ",T" in text:  # results that neighbouring tiles share leave as partial sums and come back
        if not choice.moved["spill"]:
            assert choice.moved["out"] == tensors[names[2]].stored_bytes + 2 * 4 * (counted["out"] - tensors[names[2]].stored_bytes)
    else:
        assert (choice.moved["out"], choice.moved["spill"]) == (counted["out"], counted["spill"])
    if not choice.streamed:
        assert choice.cycles == counted["cycles"]


def test_transposed_convolution_inserts_no_zeros():
    """With zeros between its pixels the 4x4 image would be 7x7, padded to 11x11: 81 outputs x 18 x 3 multiplications, 5 times as many."""
    operator, _ = operator_of("conv:N1xC2xH4xW4,K3,R3,S2,T")
    assert operator.macs == 16 * 9 * 2 * 3 < 81 * 18 * 3 / 5 + 1


# -- groups side by side -------------------------------------------------------------------------------------------------------


def test_groups_that_fit_by_hand():
    (product,) = products(*conv("d", c=6, o=6, h=5, f=3, groups=6))
    assert is_depthwise(product)
    wide = array(32, 8)
    # columns hold 8 channels, 32 rows hold 3 x 9 taps: 6 channels at once, or two turns of 3
    assert [side_by_side(product, FLOWS[name], wide) for name in (OS, WS, IS)] == [6, 3, 3]
    (grouped,) = products(*conv("g", c=8, o=12, h=5, f=1, groups=4))
    assert not is_depthwise(grouped)
    # 3 filters per group in 8 columns, 2 channels in 32 rows
    assert [side_by_side(grouped, FLOWS[name], wide) for name in (OS, WS, IS)] == [2, 2, 4]
    assert not is_depthwise(products(*gemm("m", 4, 4, 4))[0])


@pytest.mark.parametrize(
    ("dataflow", "alone", "packed"),
    [
        (OS, 6 * 1 * (9 + 38), 6 * 9 + 38),  # one fold of 32 rows holds all 9 pixels: channels still follow each other, one ramp is left
        (WS, 6 * (9 + 70), 2 * (9 + 70)),  # 3 channels share a fold
        (IS, 6 * 2 * (1 + 70), 2 * 2 * (3 + 70)),  # 9 pixels on 8 columns: 2 folds; 3 filters stream through
    ],
)
def test_depthwise_convolution_side_by_side(dataflow, alone, packed):
    pair = conv("d", c=6, o=6, h=5, f=3, groups=6)
    hardware = systolic(32, 8, dataflow, scratchpad=1 << 16, bandwidth=1e15)
    assert fewest(map_graph(graph(pair), hardware).blocks[0].operators[0]) == alone
    operator = map_graph(graph(pair), packing(hardware, "diagonal")).blocks[0].operators[0]
    assert fewest(operator) == packed
    best = min(operator.alternatives, key=lambda item: (sum(moved(item).values()), item.breakdown["array"]))
    assert "side by side" in best.name
    # the zeros off the diagonal are neither moved nor multiplied
    assert moved(best) == {("x", "in"): 150, ("w", "in"): 54, ("y", "out"): 54}
    assert best.actions["array.mac.int8"] == operator.macs == 54 * 9
    check_graph(best)


def test_a_last_pack_of_fewer_channels_streams_less():
    # 5 channels on 4 columns: 3 and 2; three folds of rows: 3 x (5 x 9 + 2 x 6)
    pair = conv("d", c=5, o=5, h=5, f=3, groups=5)
    operator = map_graph(graph(pair), packing(systolic(4, 4, scratchpad=1 << 16, bandwidth=1e15), "diagonal")).blocks[0].operators[0]
    assert fewest(operator) == 3 * (45 + 12)


@settings(max_examples=30)
@given(
    st.integers(2, 9), st.integers(1, 2), st.integers(3, 8), st.integers(1, 3), st.tuples(st.integers(1, 40), st.integers(1, 12)),
    st.sampled_from([OS, WS, IS, "auto"]), st.integers(200, 4000),
)  # fmt: skip
def test_packing_is_never_worse_and_keeps_the_laws(groups, per_group, side, window, size, dataflow, room):
    pair = conv("d", c=groups * per_group, o=groups * per_group, h=side, f=window, groups=groups)
    hardware = systolic(*size, dataflow, scratchpad=room)
    plain = map_graph(graph(pair), hardware).blocks[0].operators[0]
    packed = map_graph(graph(pair), packing(hardware, "diagonal")).blocks[0].operators[0]
    if plain.unit == "array":
        assert packed.unit == "array"
        assert fewest(packed) <= fewest(plain) or packed.alternatives[0].cycles_estimate <= plain.alternatives[0].cycles_estimate
    for alternative in packed.alternatives if packed.unit == "array" else ():
        check_graph(alternative)
        total = moved(alternative)
        assert all(total[name, "in"] >= bytes_ for name, bytes_ in packed.reads.items())
        assert alternative.breakdown["array"] * size[0] * size[1] >= packed.macs
        assert sum(stage.cycles for stage in alternative.stages if stage.unit == "array") == alternative.breakdown["array"]
        assert alternative.working_set_bytes <= room


@settings(max_examples=25)
@given(st.integers(2, 9), st.integers(3, 7), st.sampled_from(list(FLOWS)), st.integers(100, 3000))
def test_packed_scores_equal_the_twin(groups, side, flow, room):
    from simulator.kernels import systolic_tiles as kernel

    (product,) = products(*conv("d", c=groups, o=groups, h=side, f=2, groups=groups))
    machine = array(12, 5, {"all": room})
    product = replace(product, pack=side_by_side(product, FLOWS[flow], machine))
    search = TileSearch()
    fitting, failing = search.search(product, [FLOWS[flow]], machine)
    import numpy as np

    number = list(FLOWS).index(flow)
    cuts = [search.candidates(product, g, (4, 4)) for g in "mnk"]
    tables = [np.array(search.table(product, g, cut, machine)) for g, cut in zip("mnk", cuts, strict=True)]
    parameters = parameters_of(product, machine)
    row = np.zeros(16)
    for order in range(3):
        for m in tables[0]:
            kernel._score(number, order, m, tables[1][0], tables[2][0], np.array(parameters), 0.0, row)
            twin = score_twin(number, order, m, tables[1][0], tables[2][0], parameters)
            assert tuple(row[:5]) == tuple(float(item) for item in twin[:5])
    assert fitting or failing


def test_depthwise_on_the_vector_unit():
    pair = conv("d", c=6, o=6, h=5, f=3, groups=6)
    operator = map_graph(graph(pair), packing(systolic(8, 8), "vector")).blocks[0].operators[0]
    assert (operator.unit, operator.fell_back_from) == ("vector", "array")
    # two operations per multiplication
    assert operator.alternatives[0].actions["vector.vector.int8"] == 2 * 54 * 9
    dense = map_graph(graph(conv("c", c=6, o=6, h=5, f=3)), packing(systolic(8, 8), "vector")).blocks[0].operators[0]
    assert dense.unit == "array"
    assert map_graph(graph(elementwise("e", "x", "y", 8)), packing(systolic(8, 8), "vector")).blocks[0].operators[0].unit == "vector"


def test_a_spec_that_says_nothing_of_depthwise_convolutions_is_told_what_it_may_say():
    def notes(pair, hardware):
        return map_graph(graph(pair), hardware).blocks[0].operators[0].alternatives[0].notes

    depthwise = conv("d", c=6, o=6, h=5, f=3, groups=6)
    assert ["`depthwise: diagonal`" in note for note in notes(depthwise, systolic(8, 8))] == [True]
    for mode in ("per_channel", "diagonal", "vector"):  # stated: nothing to say
        assert notes(depthwise, packing(systolic(8, 8), mode)) == ()
    for pair in (conv("c", c=6, o=6, h=5, f=3), conv("g", c=6, o=6, h=5, f=3, groups=2), gemm("m", 4, 4, 4)):
        assert notes(pair, systolic(8, 8)) == ()


def test_what_a_spec_must_state_besides(tmp_path):
    assert load_hardware("systolic-array", {"array.depthwise": "diagonal"}).units["array"].parameters["depthwise"] == "diagonal"
    text = """schema: 1
name: bare
extends: systolic-array
description: an array without its vector unit
family: systolic
unit: {array: {depthwise: vector, dataflow: rs, fallback: null}}
"""
    path = tmp_path / "bare.yaml"
    path.write_text(text)
    found = " ".join(str(error) for error in validate_file(path))
    assert "needs a vector unit" in found
    assert "needs the registers of the cells" in found


@pytest.mark.parametrize(
    ("leaves", "message"),
    [
        ({"array.skipping.operand": "weights"}, "lacks lanes"),
        ({"array.registers.psum.size": "24 B"}, "lacks filter.size, filter.bandwidth"),
    ],
)
def test_half_stated_groups_are_refused(leaves, message):
    with pytest.raises(CyclewrightError, match=message):
        load_hardware("systolic-array", leaves)
