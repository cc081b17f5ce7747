"""What tiles hold on chip never exceeds what their mapping says that it needs, and a scratchpad never holds more than it has room for."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

import cyclewright as cw
from hwspecs.vocabulary.errors import CyclewrightError
from ilp import trivial_schedule
from mappings import map_graph
from simulator import simulate
from tests.mappings.builders import conv, gemm, graph, systolic

FLOWS = ("output_stationary", "weight_stationary", "input_stationary", "auto")


@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "c": st.integers(1, 9), "o": st.integers(1, 20), "h": st.integers(4, 20), "f": st.integers(1, 3),
            "stride": st.integers(1, 3), "pad": st.integers(0, 1), "batch": st.integers(1, 2),
        }
    ),
    st.sampled_from(FLOWS), st.sampled_from((600, 1500, 4000, 1 << 16)), st.booleans(),
)  # fmt: skip
def test_held_tiles_stay_within_the_working_set(shape, flow, room, double):
    hardware = systolic(4, 8, flow, scratchpad=room, double_buffered=double)
    try:
        mapped = map_graph(graph(conv("conv", **shape)), hardware)
    except CyclewrightError:
        assume(False)
    operator = mapped.blocks[0].operators[0]
    assume(operator.unit == "array")
    result = simulate(mapped, trivial_schedule(mapped))
    (used,) = [item for item in operator.alternatives if item.name == result.operators[0].alternative]
    assert max(result.over_time["held:scratchpad"]) <= used.working_set_bytes <= room


def test_rows_that_a_stride_skips_come_along():
    # 1x1, stride 2, 8 x 8 x 8 bytes: a tile of one output row brings two rows of the input, 128 bytes, though it touches one
    def mapped(ifmap):
        pair = conv("conv", c=8, o=4, h=8, f=1, stride=2)
        return map_graph(graph(pair), systolic(4, 4, scratchpad={"ifmap": ifmap, "filter": 64, "ofmap": 64})).blocks[0].operators[0]

    row = "output-stationary, tile 4x4x8, loops m-n-k"
    needs = {item.name: item.working_set_bytes for item in mapped(256).alternatives}
    assert needs[row] == 2 * 128 + 32 + 2 * 16
    refused = {item.name: item.reason for item in mapped(255).rejected}
    assert refused[row] == "needs 1 bytes more than the scratchpad's ifmap (255 bytes)"


def test_all_results_of_a_layer_have_room():
    # sums of a delta layer leave beside its activations: 157,440 bytes were held in 110,592 while tiles had room for one of the two
    result = cw.run("tc-resnet8", "eyeriss-v1", delta=0.5, batch=2)
    assert max(result.over_time["held:buffer"]) <= result.capacities["buffer"][0]


def test_transfers_of_a_tile_count_as_whole_cycles():
    # 4,096 steps, 14 of fill and drain; a load takes a cycle however fast the memory is: tiles of one step would take twice that
    mapped = map_graph(graph(gemm("gemm", 8, 8, 4096)), systolic(8, 8, scratchpad=1 << 20, bandwidth=1e15))
    result = simulate(mapped, trivial_schedule(mapped))
    assert 4096 + 14 < result.cycles <= 4096 + 14 + 16
    chosen = mapped.blocks[0].operators[0].alternatives[0]
    assert abs(chosen.cycles_estimate - result.cycles) <= 16
