"""Fused chains: hand-derived bytes, multiplications and buffers; rows of every tile against sets of rows; what may join a chain."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.hardware import Hardware
from ilp import trivial_schedule
from mappings import map_graph
from mappings.chains import chains
from mappings.chains.finding import ChainFinder
from mappings.chains.graph import alternative_of
from mappings.chains.layers import Layer, Reach
from mappings.chains.tiling import CACHED, RECOMPUTED, grid, tiling
from mappings.chains.weighing import Chain, Plan, weighed
from mappings.dataflow import Alternative, MappedGraph
from mappings.groups import Group, standing_for, stretches, with_groups
from simulator import Result, simulate
from simulator.selection import search
from tests.mappings.builders import systolic
from workloads.builder import GraphBuilder
from workloads.graph import OperatorGraph
from workloads.passes import sparsify

SPLIT = {"ifmap": 1 << 16, "filter": 1 << 16, "ofmap": 1 << 16}
"""Room for every tile, and nothing is kept between operators."""
SLOW = 0.1e9
"""Bytes per second at which no mapping of an operator by itself reads anything twice."""


def two_convs(width: int, channels: int = 2) -> OperatorGraph:
    """conv3x3 -> conv3x3 without padding: 2 -> 4 -> 2 channels."""
    build = GraphBuilder("two convs", "int8")
    build.input("x", (1, channels, width, width))
    build.weight("w1", (2 * channels, channels, 3, 3))
    build.weight("w2", (channels, 2 * channels, 3, 3))
    build.output(build.conv(build.conv("x", "w1", "y"), "w2", "z"))
    return build.build(check=True)


def inverted_residual(rows: int = 8) -> OperatorGraph:
    """pointwise 4 -> 8, depthwise 3x3, pointwise 8 -> 4, plus the input."""
    build = GraphBuilder("inverted residual", "int8")
    build.input("x", (1, 4, rows, 8))
    build.weight("w1", (8, 4, 1, 1))
    build.weight("w2", (8, 1, 3, 3))
    build.weight("w3", (4, 8, 1, 1))
    build.conv("x", "w1", "expanded")
    build.conv("expanded", "w2", "filtered", pads=1, groups=8)
    build.conv("filtered", "w3", "projected")
    build.output(build.elementwise("add", ("projected", "x"), "sum"))
    return build.build(check=True)


def chain_of(mapped: MappedGraph) -> Chain:
    """All operators of the only block as one chain."""
    (stretch,) = stretches(mapped)
    (chain, *_) = ChainFinder(stretch).chains(0, len(stretch.operators) - 1)
    return chain


def fused(mapped: MappedGraph, plan: Plan, chain: Chain) -> Result:
    """The whole block played as one group in the way of ``plan``."""
    (stretch,) = stretches(mapped)
    last = len(stretch.operators) - 1
    item = standing_for(stretch, 0, last, "fused chain", (alternative_of(chain, plan),))
    together = with_groups(mapped, {0: (Group(0, last, replace(item, executed_macs=plan.executed_macs)),)})
    return simulate(together, trivial_schedule(together))


def alone(mapped: MappedGraph) -> Result:
    return simulate(mapped, trivial_schedule(mapped))


def test_recomputed_halo_by_hand() -> None:
    """x 10x10x2 -> y 8x8x4 -> z 6x6x2 in tiles of 3x3 of z, four of them.

    A 3x3 tile of z needs 5x5 of y and 7x7 of x. Off chip: x 4 tiles x 49 x 2 = 392, weights 72 + 72, z 72: 608 bytes. Layer by layer:
    200 + 72 + 256, then 256 + 72 + 72 = 928. The saving, 320, is y written and read (2 x 256) less x read again (392 - 200).
    MACs: first layer 4 tiles x 25 pixels x 4 x 18 = 7200 (4608 without recomputation), second one 36 x 2 x 36 = 2592.
    Cycles on 8x8 cells, outputs stationary: m 25, n 4, k 18: 4 folds x (18 + 14) = 128 per tile; m 9, n 2, k 36: 2 x (36 + 14) = 100.
    Buffers: x 2 x 98, y 2 x 100, z 2 x 18, weights 144: 576 bytes.
    """
    mapped = map_graph(two_convs(10), systolic(scratchpad=SPLIT, vector=False, bandwidth=SLOW))
    chain = chain_of(mapped)
    cut = grid(tiling(chain.layers, 3, RECOMPUTED, 2), tiling(chain.across, 3, RECOMPUTED, 2), 2)
    plan = weighed(chain, cut)
    assert (cut.tiles, plan.name) == (4, "3x3 tiles, halo recomputed")
    assert (plan.working_set_bytes, plan.line_buffer_bytes, plan.excess) == (576, 0, 0)
    together, apart = fused(mapped, plan, chain), alone(mapped)
    least = sum(sum(item.reads.values()) + sum(item.writes.values()) for item in mapped.blocks[0].operators)
    assert (together.dram_bytes, least) == (608, 928)
    assert apart.dram_bytes >= least
    assert (together.macs, together.executed_flops) == (7200, 2 * (7200 + 2592))
    assert together.operators[0].breakdown["array"] == 4 * (128 + 100)
    assert together.operators[0].members == ("y", "z")


def test_cached_halo_by_hand() -> None:
    """The inverted residual in tiles of two rows, four of them: each tensor crosses the border once.

    x 8x8x4 = 256, weights 32 + 72 + 32, sum 256: 648 bytes. Layer by layer: (256 + 32 + 512) + (512 + 72 + 512) + (512 + 32 + 256) +
    (256 + 256 + 256) = 3464. The saving, 2816, is three intermediates written and read, 2 x (512 + 512 + 256), and x read once more.
    Lines: rows 2t and 2t + 1 of the depthwise layer need rows 2t - 1 to 2t + 2 before it, of which 2t - 1 and 2t were made by the tile
    before: two rows of 8 x 8 = 128 bytes. Of x, one row ahead of the addition, row 2t is still needed: 8 x 4 = 32 bytes.
    Buffers for two tiles: x 5 rows x 32, expanded 6 x 64, filtered 4 x 64, projected and sum 4 x 32 each, weights 136: 1192 bytes.
    """
    mapped = map_graph(inverted_residual(), systolic(scratchpad=SPLIT, bandwidth=SLOW))
    chain = chain_of(mapped)
    cut = tiling(chain.layers, 2, CACHED, 2)
    plan = weighed(chain, cut)
    assert cut.bands["expanded"].made == ((1, 3), (2, 2), (1, 1))
    assert (plan.name, plan.line_buffer_bytes, plan.working_set_bytes) == ("2 rows, halo cached", 128 + 32, 1192)
    together, apart = fused(mapped, plan, chain), alone(mapped)
    assert (together.dram_bytes, apart.dram_bytes) == (648, 3464)
    assert together.dram_bytes == together.compulsory_bytes
    assert (together.macs, together.executed_flops) == (apart.macs, 2 * apart.macs)
    assert together.vector_ops == apart.vector_ops


def test_strided_layers_cached_by_hand() -> None:
    """conv3x3 stride 2 pad 1 on 16 rows, then pool 2x2 stride 2: one row of four needs two of eight, and those five of x.

    Rows 2t, 2t + 1 need rows 4t - 1 to 4t + 3 of x: one line of 16 x 3 = 48 bytes, new rows 4 a tile.
    """
    build = GraphBuilder("strided", "int8")
    build.input("x", (1, 3, 16, 16))
    build.weight("w", (4, 3, 3, 3))
    build.output(build.pool(build.conv("x", "w", "y", strides=2, pads=1), "z", "max", window=2, strides=2))
    mapped = map_graph(build.build(check=True), systolic(scratchpad=SPLIT))
    chain = chain_of(mapped)
    cut = tiling(chain.layers, 1, CACHED, 2)
    assert cut.bands["x"].made == ((4, 4),)
    assert cut.bands["y"].made == ((4, 2),)
    assert weighed(chain, cut).line_buffer_bytes == 48
    assert fused(mapped, weighed(chain, cut), chain).dram_bytes == 768 + 108 + 64


def test_search_recomputes_where_lines_do_not_fit() -> None:
    """66x66x2 -> 64x64x4 -> 62x62x2 with 1,900 bytes on chip and little bandwidth.

    Lines of whole rows need 6 x 66 x 2 + 4 x 64 x 4 + 2 x 62 x 2 + 144 = 2,208 bytes at one row per tile. Tiles of 8x8 need 2 x 144 x 2 +
    2 x 100 x 4 + 2 x 64 x 2 + 144 = 1,776. They read x in 7 x 12 + 10 = 94 columns and rows: 94 x 94 x 2 = 17,672 bytes; with weights (144)
    and z (7,688) 25,504 bytes in place of at least 8,712 + 2 x 16,384 + 144 + 7,688 = 49,312.
    """
    mapped = map_graph(two_convs(66), systolic(scratchpad=1900, vector=False, bandwidth=0.25e9))
    found = search(mapped)
    assert found.cycles < found.layer_by_layer_cycles
    (item,) = found.mapped.blocks[0].operators
    assert (item.kind, item.alternatives[0].name) == ("fused chain", "8x8 tiles, halo recomputed")
    result = simulate(found.mapped, found.schedule)
    assert result.dram_bytes == 25_504
    assert item.executed_macs == 78 * 78 * 4 * 18 + 62 * 62 * 2 * 36
    assert sum(result.over_time["compute:array:int8"]) == item.executed_macs
    assert alone(mapped).dram_bytes >= 49_312


def test_weights_that_do_not_fit_are_reloaded_for_every_tile() -> None:
    """Two products of 64 x 64 weights and 64 rows in 9,300 bytes: the larger ones come in 8 chunks for each of 8 tiles.

    Two tiles each of x, y, z (3 x 1,024), y put together from its chunks (1,024), w2 (4,096) and two chunks of w1 and its bias
    (2 x 520): 9,232 bytes, where 3,072 + 4,096 + 4,160 would not fit. Off chip: x and z 4,096 each, w2 once, 8 x 4,160.
    """
    build = GraphBuilder("mlp", "int8")
    build.input("x", (64, 64))
    for name in ("w1", "w2"):
        build.weight(name, (64, 64))
    build.weight("b", (64,))
    build.output(build.gemm(build.gemm("x", "w1", "y", bias="b"), "w2", "z"))
    hardware = systolic(scratchpad=9300)
    mapped = map_graph(build.build(check=True), hardware)
    chain = chain_of(mapped)
    plan = weighed(chain, tiling(chain.layers, 8, CACHED, 2))
    assert (plan.chunks, plan.working_set_bytes) == ((8, 0), 9232)
    assert plan.name == "8 rows, weights of 1 layer reloaded per tile"
    result = fused(mapped, plan, chain)
    assert result.dram_bytes == 3 * 4096 + 8 * (4096 + 64)
    assert result.operators[0].breakdown["array"] == 2 * 8 * 8 * (64 + 14)
    roomy = weighed(chain_of(map_graph(build.build(), systolic(scratchpad=1 << 20))), tiling(chain.layers, 8, CACHED, 2))
    assert roomy.chunks == (0, 0)


def test_chunks_are_loaded_ahead_into_a_filter_buffer_of_its_own() -> None:
    """80 channels to 80 on 8 columns: 10 chunks of 80 x 8 = 640 bytes, of which 2 must fit and 4,000 // 640 = 6 do.

    Of the chain's two layers the second one (6,400 bytes as well) stays: 10,400 bytes hold it and 4,000 bytes of chunks.
    """
    build = GraphBuilder("chunks", "int8")
    build.input("x", (64, 80))
    build.weight("w1", (80, 80))
    build.weight("w2", (80, 80))
    build.output(build.elementwise("relu", (build.gemm(build.gemm("x", "w1", "y"), "w2", "z"),), "r"))
    build.nodes[1] = replace(build.nodes[1], name="second")
    mapped = map_graph(build.build(check=True), systolic(scratchpad={**SPLIT, "filter": 10_400}))
    (stretch,) = stretches(mapped)
    (chain, *_) = ChainFinder(stretch).chains(0, 1)
    plan = weighed(chain, tiling(chain.layers, 8, CACHED, 2))
    assert (plan.chunks, plan.buffered, plan.filter_bytes) == ((0, 10), (0, 6), 6400 + 6 * 640)
    (load,) = [edge for edge in alternative_of(chain, plan).edges if edge.source == "load second weights"]
    assert load.capacity == 6


def test_depthwise_channels_side_by_side_share_a_fold() -> None:
    """8 channels on 8 columns, 128 pixels a tile on 8 rows: 16 folds of 8 x 9 + 14 = 86 cycles, not 8 x 16 folds of 9 + 14 = 23."""
    build = GraphBuilder("depthwise", "int8")
    build.input("x", (1, 8, 32, 16))
    build.weight("w", (8, 1, 3, 3))
    build.output(build.elementwise("relu", (build.conv("x", "w", "y", pads=1, groups=8),), "z"))
    device = systolic(scratchpad=SPLIT)
    array = device.units["array"]
    diagonal = replace(device, units={**device.units, "array": replace(array, parameters={**array.parameters, "depthwise": "diagonal"})})
    for hardware, cycles in ((device, 8 * 16 * 23), (diagonal, 16 * 86)):
        chain = chain_of(map_graph(build.build(check=True), hardware))
        plan = weighed(chain, tiling(chain.layers, 8, CACHED, 2))
        assert cycles in [firing for _, firing in plan.done[0].steps[0]]


def test_a_chain_on_an_array_that_skips_zeros() -> None:
    """4 -> 8 -> 4 channels with 2:4 weights, outputs stationary: streams of 36 and 72 take 18 and 36 steps, half of the work is executed.

    Tiles of two rows of z, halo cached: the first makes 4 rows of y, then 2 and 2; 32 and 16 points are 4 and 2 folds of 18 + 14 cycles,
    12 points of z two folds of 36 + 14.
    """
    device = systolic(scratchpad=SPLIT, vector=False, bandwidth=SLOW)
    array = device.units["array"]
    skips = replace(array, parameters={**array.parameters, "skipping.operand": "weights", "skipping.lanes": 4})
    device = replace(device, units={**device.units, "array": skips})
    mapped = map_graph(sparsify(two_convs(10, 4), "2:4"), device)
    chain = chain_of(mapped)
    plan = weighed(chain, tiling(chain.layers, 2, CACHED, 2))
    assert [done.steps[0] for done in plan.done] == [((1, 4 * (18 + 14)), (2, 2 * (18 + 14))), ((3, 2 * (36 + 14)),)]
    together = fused(mapped, plan, chain)
    assert together.executed_flops == together.macs == 64 * 8 * 36 + 36 * 4 * 72
    executed = alternative_of(chain, plan).actions["array.mac.int8"]
    assert executed == together.macs / 2
    assert together.latency_s >= together.roofline_s


def test_images_follow_one_another() -> None:
    """Two images of ``inverted_residual``'s depthwise layer: twice the activations, weights once, lines begin anew."""
    build = GraphBuilder("batch", "int8")
    build.input("x", (2, 8, 8, 8))
    build.weight("w1", (8, 1, 3, 3))
    build.weight("w2", (4, 8, 1, 1))
    build.output(build.conv(build.conv("x", "w1", "y", pads=1, groups=8), "w2", "z"))
    mapped = map_graph(build.build(check=True), systolic(scratchpad=SPLIT))
    chain = chain_of(mapped)
    plan = weighed(chain, tiling(chain.layers, 2, CACHED, 2))
    result = fused(mapped, plan, chain)
    assert result.dram_bytes == 2 * 512 + 72 + 32 + 2 * 256
    assert result.executed_flops == 2 * result.macs
    load = next(stage for stage in alternative_of(chain, plan).stages if stage.name == "load x")
    assert [(part.repeat, sum(move.bytes for move in part.transfers)) for part in load.segments] == [
        (1, 192), (2, 128), (1, 64), (1, 192), (2, 128), (1, 64)
    ]  # fmt: skip


@st.composite
def layer_chains(draw: st.DrawFn) -> list[Layer]:
    """Layers with windows, backwards from the output's rows: each reads the one before, some also the one before that at equal stride."""
    count = draw(st.integers(1, 4))
    extent = draw(st.integers(6, 24))
    layers: list[Layer] = []
    for place in range(count):
        kernel, stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        pad = draw(st.integers(0, kernel - 1))
        span = (kernel - 1) * dilation
        rows = (extent + 2 * pad - span - 1) // stride + 1
        if extent + 2 * pad - span - 1 < 0 or rows < 1:
            break
        reaches = [Reach(f"t{place}", 2, extent, stride, -pad, span - pad, extent, frozenset((0,)))]
        if layers and layers[-1].rows == layers[-1].reaches[0].rows and draw(st.booleans()):  # a shortcut past a layer of equal size
            other = layers[-1].reaches[0]
            reaches.append(Reach(other.tensor, 2, extent, stride, -pad, span - pad, extent, frozenset((1,))))
        layers.append(Layer(None, None, {}, 1, f"t{place + 1}", 2, rows, rows, tuple(reaches), {}, None))  # type: ignore[arg-type]
        extent = rows
    return layers


def made_by_sets(layers: list[Layer], rows: int, mode: str) -> dict[str, list[range]]:
    """The rows that every tile makes of every tensor, from sets of rows."""
    last = layers[-1]
    tiles = -(-last.rows // rows)
    needed: dict[str, list[set[int]]] = {last.out: [set(range(t * rows, min(last.rows, (t + 1) * rows))) for t in range(tiles)]}
    extents = {reach.tensor: reach.rows for layer in layers for reach in layer.reaches} | {last.out: last.rows}
    made: dict[str, list[range]] = {}
    makers = {layer.out: layer for layer in layers}
    for name in [*reversed(makers), *[name for name in extents if name not in makers]]:
        done = 0
        row: list[range] = []
        for tile, wanted in enumerate(needed[name]):
            end = extents[name] if tile == tiles - 1 else max([done, *(item + 1 for item in wanted)])
            start = done if mode == CACHED else min([done, *wanted])
            row.append(range(start, end))
            done = end
        made[name] = row
        if name in makers:
            for reach in makers[name].reaches:
                reads = needed.setdefault(reach.tensor, [set() for _ in range(tiles)])
                for tile, part in enumerate(row):
                    for place in part:
                        window = range(max(0, reach.stride * place + reach.low), min(reach.rows, reach.stride * place + reach.high + 1))
                        reads[tile].update(window)
    return made


@given(layer_chains(), st.integers(1, 8), st.sampled_from((CACHED, RECOMPUTED)), st.sampled_from((1, 2)))
@settings(max_examples=150)
def test_every_row_is_made_and_at_hand_when_it_is_read(layers: list[Layer], rows: int, mode: str, depth: int) -> None:
    if not layers:
        return
    cut = tiling(layers, min(rows, layers[-1].rows), mode, depth)
    made = made_by_sets(layers, cut.rows, mode)
    for name, band in cut.bands.items():
        counts = [count for repeat, count in band.made for _ in range(repeat)]
        assert counts == [len(part) for part in made[name]]
        covered = [row for part in made[name] for row in part]
        assert set(covered) == set(range(band.whole))
        assert mode == RECOMPUTED or len(covered) == band.whole
        assert mode == CACHED or band.held == (depth if cut.tiles > 1 else 1) * max(counts)
    for layer in layers:
        for reach in layer.reaches:
            band, source = cut.bands[reach.tensor], made[reach.tensor]
            for tile, part in enumerate(made[layer.out]):
                read = {row for p in part for row in range(reach.stride * p + reach.low, reach.stride * p + reach.high + 1)}
                read &= set(range(reach.rows))
                if mode == CACHED:  # the buffer holds the last rows that were made, those of the next tile already among them
                    newest = source[min(tile + depth - 1, cut.tiles - 1)].stop
                    assert read <= set(range(newest - band.held, source[tile].stop))
                else:
                    assert read <= set(source[tile])


def work_of(alternative: Alternative, unit: str) -> int:
    return sum(stage.cycles for stage in alternative.stages if stage.unit == unit)


def test_graph_covers_each_loop_nest_once_plus_what_is_recomputed() -> None:
    """Actions and cycles of the array: multiplications as counted, never faster than all cells at work."""
    hardware = systolic(scratchpad=1 << 16, bandwidth=SLOW)
    for graph in (two_convs(20), inverted_residual(14)):
        groups = chains(stretches(map_graph(graph, hardware))[0])
        assert groups
        for group in groups:
            (alternative,) = group.mapped.alternatives
            multiplied = alternative.actions["array.mac.int8"]
            assert multiplied == group.mapped.executed_macs
            assert (multiplied > group.mapped.macs) == ("recomputed" in alternative.name)
            assert work_of(alternative, "array") >= multiplied / 64
            assert group.mapped.macs == sum(member.macs for member in group.mapped.members)


def names_of(groups: tuple[Group, ...]) -> set[str]:
    return {group.mapped.operator for group in groups}


def test_a_tensor_that_others_need_ends_a_chain() -> None:
    build = GraphBuilder("branches", "int8")
    build.input("x", (1, 4, 16, 16))
    for name in ("w1", "w2", "w3"):
        build.weight(name, (4, 4, 3, 3))
    build.conv("x", "w1", "a", pads=1)
    build.conv("a", "w2", "b", pads=1)
    build.conv("b", "w3", "c", pads=1)
    build.output("c", "a")
    hardware = systolic(scratchpad=1 << 16, bandwidth=0.2e9)
    assert names_of(chains(stretches(map_graph(build.build(check=True), hardware))[0])) == {"b .. c"}


def test_what_needs_all_rows_joins_no_chain() -> None:
    build = GraphBuilder("whole", "int8")
    build.input("x", (1, 4, 16, 16))
    build.weight("w", (4, 4, 3, 3))
    build.conv("x", "w", "a", pads=1)
    build.reduce("add", "a", "mean", (2, 3), keep_dims=True)
    build.output(build.elementwise("mul", ("a", "mean"), "y"))
    hardware = systolic(scratchpad=1 << 16, bandwidth=0.2e9)
    assert chains(stretches(map_graph(build.build(check=True), hardware))[0]) == ()


def test_products_over_a_sequence_and_norms_along_its_rows_join() -> None:
    build = GraphBuilder("mlp", "int8")
    build.input("x", (1, 64, 32))
    build.weight("up", (32, 128))
    build.weight("down", (128, 32))
    build.elementwise("gelu", (build.gemm("x", "up", "h"),), "g")
    build.elementwise("add", (build.gemm("g", "down", "o"), "x"), "r")
    build.output(build.norm("layernorm", "r", "y"))
    mapped = map_graph(build.build(check=True), systolic(scratchpad=1 << 15, bandwidth=0.5e9))
    assert "h .. y" in names_of(chains(stretches(mapped)[0]))
    found = search(mapped)
    result = simulate(found.mapped, found.schedule)
    assert found.cycles < found.layer_by_layer_cycles
    assert result.dram_bytes == 64 * 32 + 2 * 32 * 128 + 64 * 32


def test_equal_chains_are_planned_once_and_named_apart() -> None:
    build = GraphBuilder("twice", "int8")
    build.input("x", (1, 4, 16, 16))
    previous = "x"
    for block in range(2):
        for part in range(2):
            build.weight(f"w{block}{part}", (4, 4, 3, 3))
            previous = build.conv(previous, f"w{block}{part}", f"y{block}{part}", pads=1)
    build.output(previous)
    hardware = systolic(scratchpad=1 << 13, bandwidth=0.2e9)
    finder = ChainFinder(stretches(map_graph(build.build(check=True), hardware))[0])
    groups = {(first, last): finder.groups(first, last) for first, last in finder.runs()}
    assert len(groups) == 6
    assert finder.planned == 3  # of two, three and four layers
    (early, *_), (late, *_) = groups[0, 1], groups[2, 3]
    assert early.mapped.alternatives[0].cycles_estimate == late.mapped.alternatives[0].cycles_estimate
    moved = {move.tensor for stage in late.mapped.alternatives[0].stages for part in stage.segments for move in part.transfers}
    assert moved == {"y01", "w10", "w11", "y11"} == {*late.mapped.reads, *late.mapped.writes}


@pytest.mark.parametrize("double", [True, False])
def test_split_scratchpads_hold_each_tensor_in_one_buffer(double: bool) -> None:
    def hardware(**sizes: int) -> Hardware:
        return systolic(scratchpad={**SPLIT, **sizes}, double_buffered=double)

    mapped = map_graph(two_convs(10), hardware())
    chain = chain_of(mapped)
    cut = tiling(chain.layers, 2, CACHED, chain.depth)
    plan = weighed(chain, cut)
    x = cut.bands["x"].held * 20
    y, z = cut.bands["y"].held * 32, cut.bands["z"].held * 12
    assert plan.working_set_bytes == 144 + x + y + z
    for sizes, fits in (
        ({"filter": 143}, False), ({"filter": 144}, True), ({"ifmap": x, "ofmap": y + z}, True), ({"ifmap": x + y, "ofmap": z}, True),
        ({"ifmap": x + y - 1, "ofmap": z + y - 1}, False), ({"ifmap": x - 1}, False), ({"ofmap": z - 1}, False),
    ):  # fmt: skip
        assert (weighed(replace(chain, hardware=hardware(**sizes)), cut).excess == 0) is fits, sizes
