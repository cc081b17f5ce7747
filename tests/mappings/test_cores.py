"""Several cores: slices that cover an operator once, cycles and bytes by hand, and plans that more cores never make slower."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs import load_hardware
from hwspecs.hardware import Hardware, Link
from hwspecs.vocabulary.errors import CyclewrightError
from mappings import map_graph
from mappings.cores import cores_of, one_core, with_cores
from mappings.cores.joining import joined, noc_of
from mappings.cores.slicing import chunks, cuttable, sliced
from mappings.dataflow import PORT, Alternative, Edge, Segment, Stage, Transfer
from simulator import search, simulate
from simulator.lowering import Lowering
from simulator.play import play
from tests.mappings.builders import conv, elementwise, gemm, graph, mac, operand, softmax, systolic, tensor
from workloads.graph import Axis, Operand, Operator

SIZES = st.integers(1, 40)


def many(cores: int, *, noc: float = 64e9, latency: float = 0.0, multicast: bool = True, **rest) -> Hardware:
    """``cores`` copies of the small array of the builders, joined by a link of ``noc`` bytes/s."""
    link = Link("noc", noc, latency, 1e-12, "bus", multicast)
    return with_cores(replace(systolic(**rest), links={"noc": link}), cores)


def bytes_of(alternative, memory="dram"):
    moved = {}
    for stage in alternative.stages:
        for segment in stage.segments:
            for move in segment.transfers:
                if memory in (move.source, move.target):
                    moved[move.tensor] = moved.get(move.tensor, 0) + segment.repeat * move.bytes
    return moved


def split(mapped, cores):
    """The alternatives of the only operator that compute on ``cores`` cores."""
    return [one for one in mapped.blocks[0].operators[0].alternatives if len(cores_of(one)) == cores]


def busy(alternative):
    found = {}
    for stage in alternative.stages:
        found[stage.unit] = found.get(stage.unit, 0) + stage.cycles
    return found


# 32 x 16 results of 64 products each on an 8 x 8 output-stationary array, vector unit idle: a fold streams k + 8 + 8 - 2 cycles
# (the array's fill and drain), and one core has 4 x 2 of them.
M, N, K = 32, 16, 64


def test_two_cores_halve_the_cycles_of_the_array_and_share_the_weights():
    single = map_graph(graph(gemm("g", M, N, K)), many(1, bandwidth=64e9)).blocks[0].operators[0].alternatives[0]
    mapped = map_graph(graph(gemm("g", M, N, K)), many(2, bandwidth=64e9))
    along_m = [one for one in split(mapped, 2) if "along m" in one.name]
    assert along_m
    chosen = along_m[0]
    assert busy(chosen)["array.0"] == busy(chosen)["array.1"] == busy(single)["array"] // 2
    # the rows of x and y are dealt out, w goes to both at once: every byte leaves or enters the DRAM once
    assert bytes_of(chosen) == {"x": M * K, "w": K * N, "y": M * N}
    # over the link go: w to core 1, and core 1's halves of x and y
    assert chosen.actions["noc.byte"] == K * N + M * K // 2 + M * N // 2
    assert chosen.actions["array.mac.int8"] == M * N * K


def test_without_multicast_each_core_loads_its_own_copy():
    mapped = map_graph(graph(gemm("g", M, N, K)), many(2, bandwidth=64e9, multicast=False))
    chosen = next(one for one in split(mapped, 2) if "along m" in one.name)
    assert bytes_of(chosen) == {"x": M * K, "w": 2 * K * N, "y": M * N}


def one_tile(work, x=1024, w=1024, y=256):
    """A slice in one tile: two loads, ``work`` cycles of the array, a store."""
    stages = (
        Stage("store", PORT + "dram", (Segment(1, 0, (Transfer("y", y, "scratchpad", "dram"),)),)),
        Stage("load x", PORT + "dram", (Segment(1, 0, (Transfer("x", x, "dram", "scratchpad"),)),)),
        Stage("load w", PORT + "dram", (Segment(1, 0, (Transfer("w", w, "dram", "scratchpad"),)),)),
        Stage("array", "array", (Segment(1, work),)),
    )
    edges = (Edge("load x", "array"), Edge("load w", "array"), Edge("array", "store"))
    return Alternative("one tile", stages, edges, x + w + y, work)


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        # Port 64 B/cycle. Core 0 loads its x over the port (cycles 0 to 16), then the link, with the port, carries core 1's x (16 to 32)
        # and w to both (32 to 48). Both work 312 cycles from there, and 256 bytes of each leave, one after the other, in 4: 368.
        (64.0, 48 + 312 + 4 + 4),
        # a link of half the speed: core 1's x until 48, w until 80, the results of core 1 in 8 after those of core 0
        (32.0, 80 + 312 + 4 + 8),
    ],
)
def test_makespan_of_two_slices_by_hand(link, expected):
    hardware = many(2, bandwidth=64e9, noc=link * 1e9)
    chosen = joined("two", [one_tile(312), one_tile(312)], {"w"}, noc_of(hardware), lambda nbytes: nbytes / 64, "dram")
    flow = Lowering(hardware).lower("g", chosen).flow
    assert play([flow], ["g"])[0].cycles == expected


def test_the_last_slice_may_be_smaller():
    # 35 rows on four cores: 9, 9, 9 and 8, and eight rows are one fold of the array, nine are two
    mapped = map_graph(graph(gemm("g", 35, 8, 32)), many(4, bandwidth=1e12))
    chosen = next(one for one in split(mapped, 4) if "along m" in one.name)
    work = busy(chosen)
    assert work["array.0"] == work["array.1"] == work["array.2"]
    assert 0 < work["array.3"] < work["array.0"]
    assert chosen.actions["array.mac.int8"] == 35 * 8 * 32
    assert bytes_of(chosen)["x"] == 35 * 32
    assert bytes_of(chosen)["y"] == 35 * 8


def test_a_convolution_cut_along_rows_reads_its_halo_twice():
    # 16 x 16 image, 3 x 3 window, padding 1: two halves of 8 rows read 9 rows each, 8 channels
    operator, tensors = conv("c", c=8, o=16, h=16, f=3, pad=1)
    parts = [sliced(operator, tensors, 0, "p", part) for part in chunks(16, 2)]
    assert [part.tensors["x"].shape for part in parts] == [(1, 8, 9, 16), (1, 8, 9, 16)]
    assert parts[0].operator.nests[0].reads[0].axes[2].offset == -1
    assert parts[1].operator.nests[0].reads[0].axes[2].offset == 0
    assert all(part.whole == {"w"} for part in parts)


@settings(max_examples=60)
@given(
    st.integers(1, 6), st.integers(1, 6), st.integers(3, 12), st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.integers(2, 5),
    st.sampled_from([1, 2, 3]),
)  # fmt: skip
def test_slices_cover_an_operator_once_and_read_no_less(c, o, h, f, stride, pad, parts, groups):
    operator, tensors = conv("c", c=c * groups, o=o * groups, h=h, f=f, stride=stride, pad=pad, groups=groups)
    for place, dim, extent in cuttable(operator, tensors):
        found = [sliced(operator, tensors, place, dim, part) for part in chunks(extent, parts)]
        if len(found) < 2:
            continue
        if groups > 1 and dim == "o":  # the channels of one group lie between those of the others
            assert None in found or o == 1
            continue
        assert all(one is not None for one in found), dim
        assert sum(one.operator.macs for one in found) == operator.macs
        assert sum(one.tensors["y"].values for one in found) == tensors["y"].values
        for name in ("x", "w"):
            assert sum(one.tensors[name].values for one in found) >= tensors[name].values
        for part, one in zip(chunks(extent, parts), found, strict=True):
            check_same_reads(operator, tensors, one, dim, part)


def check_same_reads(operator, tensors, one, dim, part):
    """Every point of a slice reads what the same point of the whole operator reads, shifted by where the tensor of the slice begins."""
    begins = {}
    for whole, own in zip(operator.nests[0].reads, one.operator.nests[0].reads, strict=True):
        for place, (axis, cut) in enumerate(zip(whole.axes, own.axes, strict=True)):
            begin = axis.offset + part[0] * dict(axis.terms).get(dim, 0) - cut.offset
            assert begins.setdefault((whole.tensor, place), begin) == begin
            extents = dict(one.operator.nests[0].dims)
            highest = cut.offset + sum(step * (extents[name] - 1) for name, step in cut.terms)
            size, all_of_it = one.tensors[whole.tensor].shape[place], tensors[whole.tensor].shape[place]
            assert 0 <= begin <= all_of_it - size
            assert highest < size or begin + size == all_of_it  # what lies beyond is padding


def test_a_cut_of_an_image_is_named_by_what_it_cuts():
    names = [one.name for one in split(map_graph(graph(conv("c", c=4, o=2, h=34, f=3)), many(2)), 2)]
    assert any(name.startswith("2 cores along rows: ") for name in names)
    assert all(name.startswith(("2 cores along rows: ", "2 cores along channels: ", "2 cores along c, sums")) for name in names)
    names = [one.name for one in split(map_graph(graph(gemm("g", M, N, K)), many(2)), 2)]
    assert names
    assert all(name.startswith(("2 cores along m: ", "2 cores along n: ", "2 cores along k, sums")) for name in names)


def test_a_slice_that_reads_a_whole_tensor_still_reads_its_own_part_of_it():
    # y = x x^T by rows: the left operand of a slice starts at its own row, though the tensor is there entire for the right one
    axes = (Axis((("m", 1),)), Axis((("k", 1),)))
    nest = mac({"m": 12, "n": 12, "k": 8}, Operand("x", axes), operand("x", "n", "k"), operand("y", "m", "n"))
    tensors = {"x": tensor("x", 12, 8), "y": tensor("y", 12, 12)}
    part = sliced(Operator("g", "gemm", ("x",), ("y",), (nest,)), tensors, 0, "m", (6, 12))
    assert part.tensors["x"].shape == (12, 8)
    assert part.whole == {"x"}
    assert part.operator.nests[0].reads[0].axes[0].offset == 6
    assert part.operator.nests[0].reads[1].axes[0].offset == 0


def test_rows_of_a_softmax_stay_whole():
    operator, tensors = softmax("s", "x", "y", 12, 64)
    mapped = map_graph(graph((operator, tensors)), many(2))
    assert all("along w" not in one.name for one in mapped.blocks[0].operators[0].alternatives)


def test_one_core_is_the_single_core():
    device = load_hardware("quad-core-npu", ["cores=1"])
    plain = one_core(load_hardware("quad-core-npu"))
    assert dict(device.units) == dict(plain.units)
    assert dict(device.memories) == dict(plain.memories)
    pair = gemm("g", 100, 90, 80)
    first = map_graph(graph(pair), many(1)).blocks[0].operators[0]
    assert first == map_graph(graph(pair), systolic()).blocks[0].operators[0]


@settings(max_examples=12)
@given(SIZES, SIZES, SIZES, st.sampled_from([(1, 2), (2, 4), (1, 3)]), st.sampled_from([2e9, 64e9]), st.booleans())
def test_more_cores_are_never_slower_when_played(m, n, k, cores, bandwidth, multicast):
    few, more = (many(count, bandwidth=bandwidth, multicast=multicast, latency=5e-9, scratchpad=4096) for count in cores)
    if cores == (1, 3):
        few = with_cores(more, 1)
    net = graph(gemm("g", 4 * m, n, k), elementwise("e", "y", "z", 4 * m, n), outputs=("z",))
    slow, fast = search(map_graph(net, few)), search(map_graph(net, more))
    assert fast.cycles <= slow.cycles
    result = simulate(fast.mapped, fast.schedule)
    assert result.cycles == fast.cycles
    assert result.macs == 4 * m * n * k
    assert result.roofline_s <= result.latency_s * (1 + 1e-9)
    assert result.dram_bytes >= result.compulsory_bytes


def test_a_memory_bound_operator_gains_nothing():
    # one row times a matrix: 2 MB of weights at 1 B/cycle, a few thousand cycles of arithmetic
    net = graph(gemm("g", 1, 1024, 2048))
    cycles = [search(map_graph(net, many(cores, bandwidth=1e9))).cycles for cores in (1, 4)]
    assert 1024 * 2048 <= cycles[1] <= cycles[0] <= 1.02 * cycles[1]


def test_a_slow_link_hurts_until_one_core_is_best():
    net = graph(gemm("g", 256, 64, 256))
    links = (1e12, 16e9, 2e9, 1e6)
    found = [search(map_graph(net, many(4, bandwidth=64e9, noc=noc))) for noc in links]
    cycles = [one.cycles for one in found]
    assert cycles == sorted(cycles)
    assert cycles[0] < 0.5 * cycles[-1]
    alone = search(map_graph(net, many(1, bandwidth=64e9))).cycles
    assert cycles[-1] == alone
    assert cores_of(found[-1].mapped.blocks[0].operators[0].alternatives[0]) == {0}


def test_core_0_reaches_the_memory_directly_and_the_others_over_the_link():
    mapped = map_graph(graph(gemm("g", M, N, K)), many(2))
    for one in split(mapped, 2):
        for stage in one.stages:
            if "(core 1)" in stage.name and any(segment.transfers for segment in stage.segments):
                assert stage.unit == "link:noc"
            if stage.unit.startswith(PORT):
                assert "(core" not in stage.name


def test_a_spec_of_several_cores_needs_a_link_between_them():
    with pytest.raises(CyclewrightError, match="several cores need a link named noc"):
        load_hardware("edge-npu", ["cores=2"])


def test_rates_and_scratchpads_of_a_device_are_those_of_all_its_cores():
    device = load_hardware("quad-core-npu")
    assert device.units["array"].rates["int8", "dense"] == 4 * 2 * 64 * 64 * 1e9
    assert device.on_chip.size_bytes == 4 << 20
    assert device.dram.bandwidth_bytes_per_s == load_hardware("edge-npu").dram.bandwidth_bytes_per_s


def test_a_product_of_one_fold_is_cut_along_k_and_its_sums_added():
    # n is one fold of a weight-stationary array and m streams, so k is what can be shared: 256 of 512 folds each; the 64 sums of core 1, 4
    # bytes each, cross the link
    operator, tensors = gemm("g", 8, 8, 4096)
    hardware = many(2, dataflow="weight_stationary", bandwidth=64e9, noc=64e9, scratchpad=1 << 20)
    mapped = map_graph(graph((operator, tensors)), hardware)
    chosen = next(one for one in split(mapped, 2) if "sums added" in one.name)
    single = map_graph(graph((operator, tensors)), one_core(hardware)).blocks[0].operators[0].alternatives[0]
    work, alone = busy(chosen), busy(single)["array"]
    assert work["array.0"] == work["array.1"] == alone // 2
    assert bytes_of(chosen) == {"x": 8 * 4096, "w": 8 * 4096, "y": 64}
    assert chosen.actions["array.mac.int8"] == operator.macs
    # half of x, half of w, the sums
    assert chosen.actions["noc.byte"] == 2 * 8 * 2048 + 64 * 4
    found = search(mapped)
    assert "sums added" in found.mapped.blocks[0].operators[0].alternatives[0].name
    result = simulate(found.mapped, found.schedule)
    assert result.cycles == found.cycles < search(map_graph(graph((operator, tensors)), one_core(hardware))).cycles
    assert result.energy_by_component["noc"] == pytest.approx((2 * 8 * 2048 + 64 * 4) * 1e-12)


def test_channels_of_a_convolution_are_a_reduced_dimension_too():
    operator, tensors = conv("c", c=64, o=4, h=4, f=3, pad=1)
    mapped = map_graph(graph((operator, tensors)), many(4, bandwidth=1e12, noc=1e12, scratchpad=1 << 20))
    ways = [one for one in mapped.blocks[0].operators[0].alternatives if "along c, sums added" in one.name]
    assert ways
    assert all(one.actions["array.mac.int8"] == operator.macs for one in ways)
    assert all(bytes_of(one)[name] >= tensors[name].stored_bytes for one in ways for name in ("x", "w", "y"))


@settings(max_examples=15)
@given(
    st.integers(1, 6), st.integers(1, 12), st.integers(5, 20), st.sampled_from([1, 3, 5]), st.integers(1, 2), st.booleans(), st.booleans()
)
def test_every_alternative_does_all_the_work_and_moves_no_less_than_it_must(c, o, h, f, stride, multicast, tight):
    operator, tensors = conv("c", c=2 * c, o=2 * o, h=h, f=f, stride=stride, pad=f // 2)
    hardware = many(4, multicast=multicast, scratchpad=8192 if tight else 131072, dataflow="auto")
    item = map_graph(graph((operator, tensors)), hardware).blocks[0].operators[0]
    assert any(cores_of(one) == {0} for one in item.alternatives)
    for one in item.alternatives:
        assert sum(count for action, count in one.actions.items() if ".mac." in action) == operator.macs
        moved = bytes_of(one)
        assert all(moved[name] >= size for name, size in {**item.reads, **item.writes}.items())
        rate = hardware.units["array"].rates["int8", "dense"] / hardware.cores
        work = [cycles for unit, cycles in busy(one).items() if unit.startswith("array.")]
        assert sum(work) >= 2 * operator.macs * hardware.clock_hz / rate
