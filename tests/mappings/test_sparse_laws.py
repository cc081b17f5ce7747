"""Laws of sparse arrays: the same array without sparsity is a systolic one; fewer kept values, N = M, several cores, searched plans."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs import load_hardware
from hwspecs.hardware import Link
from mappings import map_graph
from mappings.cores import cores_of, with_cores
from simulator import search
from tests.mappings.builders import conv, gemm, graph, systolic
from tests.mappings.test_sparse_array import WIDE, array, busy, mapped, played
from tests.mappings.training_parts import product, prune, update
from workloads import GraphBuilder, load_model
from workloads.passes import nm_training, training

FLOWS = ("output_stationary", "weight_stationary", "input_stationary", "auto")
sizes = st.integers(1, 90)
shapes = st.tuples(st.integers(2, 16), st.integers(2, 16), st.sampled_from(FLOWS), st.sampled_from((4096, 1 << 15, 1 << 20)))

# -- without sparsity, MAC latency 1, interleave off ------------------------------------------------------------------------------


def same(net, shape):
    """Both arrays take the same mappings and, played, the same cycles, bytes and energy."""
    rows, columns, dataflow, scratchpad = shape
    one = array(rows, columns, dataflow, modes="2:4 2:8", scratchpad=scratchpad, feed=1e9)
    other = systolic(rows, columns, dataflow, formats=("fp16",), scratchpad=scratchpad)
    for here, there in zip(*(map_graph(net, device).blocks[0].operators for device in (one, other)), strict=True):
        assert [(item.name, item.stages, item.edges, item.actions, item.working_set_bytes) for item in here.alternatives] == [
            (item.name, item.stages, item.edges, item.actions, item.working_set_bytes) for item in there.alternatives
        ]
    a, b = played(net, one), played(net, other)
    assert (a.cycles, a.dram_bytes, a.energy_j) == (b.cycles, b.dram_bytes, b.energy_j)


@given(sizes, sizes, sizes, st.integers(1, 3), shapes)
@settings(max_examples=150, deadline=None)
def test_products_are_those_of_a_systolic_array(m, n, k, batch, shape):
    """Modes and a slow feed that dense operands do not ask for change nothing; ``batch`` products of activations, too."""
    if batch == 1:
        same(graph(gemm("fc", m, n, k, format="fp16")), shape)
        return
    builder = GraphBuilder("products", "fp16")
    builder.output(builder.matmul(builder.input("x", (batch, m, k)), builder.input("w", (batch, k, n)), "y"))
    same(builder.build(), shape)


@given(
    st.integers(1, 24), st.integers(1, 24), st.integers(3, 20), st.sampled_from((1, 2, 3, 5)), st.sampled_from((1, 2)),
    st.sampled_from(("plain", "grouped", "depthwise")), st.integers(1, 2), shapes,
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_convolutions_are_those_of_a_systolic_array(c, o, h, f, stride, kind, batch, shape):
    f = min(f, h)
    groups = {"plain": 1, "grouped": 2, "depthwise": c}[kind]
    c, o = (2 * c, 2 * o) if kind == "grouped" else (c, c if kind == "depthwise" else o)
    same(graph(conv("conv", c=c, o=o, h=h, f=f, stride=stride, pad=f // 2, groups=groups, batch=batch, format="fp16")), shape)


@pytest.mark.parametrize("dataflow", ["output_stationary", "auto"])
@pytest.mark.parametrize(("model", "train"), [("mobilenet-v2", False), ("squeezenet-1.1", True), ("gpt2-small", True)])
def test_networks_run_as_on_a_systolic_array(model, train, dataflow):
    """Whole networks, and whole training steps without sparsity: cycle for cycle, byte for byte."""
    asked = {"phase": "train"} if train else {"format": "fp16"}
    net = load_model(model, **asked, **({"tokens": 32} if model == "gpt2-small" else {}))
    one, other = (
        make(16, 16, dataflow, scratchpad=1 << 18, **more) for make, more in ((array, {"modes": "2:8"}), (systolic, {"formats": ("fp16",)}))
    )
    a, b = played(net, one), played(net, other)
    assert (a.cycles, a.dram_bytes) == (b.cycles, b.dram_bytes)


# -- fewer kept values ------------------------------------------------------------------------------------------------------------

eighths = st.integers(1, 16).map(lambda groups: 8 * groups)
EVERY = " ".join(f"{n}:8" for n in range(1, 9))


@given(
    sizes,
    sizes,
    eighths,
    st.sampled_from(("output_stationary", "weight_stationary")),
    st.integers(1, 4),
    st.sampled_from((30e9, 200e9, 1e12)),
)
@settings(max_examples=100, deadline=None)
def test_at_a_fixed_mapping_fewer_kept_values_are_never_slower(m, n, k, dataflow, latency, feed):
    """One dataflow, one tile, one shape of sums: exact, no slack. The reduction engine takes as long for any N."""
    device = array(dataflow=dataflow, modes=EVERY, latency=latency, use="always", **WIDE, feed=feed)
    spent = [busy(mapped(product(m, n, k, f"{kept}:8"), device)) for kept in range(1, 9)]
    assert spent == sorted(spent)
    sorting = {busy(mapped(prune(k, n, f"{kept}:8"), device), "array.reduction") for kept in range(1, 9)}
    assert len(sorting) == 1


@given(
    sizes,
    sizes,
    eighths,
    st.sampled_from(FLOWS),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from((20e9, 1e12)),
    st.sampled_from((4096, 1 << 20)),
)
@settings(max_examples=100, deadline=None)
def test_auto_is_dense_where_dense_is_better(m, n, k, dataflow, latency, interleave, feed, scratchpad):
    """``auto`` ranks sparse and dense candidates alike, so its best never ranks behind that of an array whose sparse mode is off."""
    facts = {"dataflow": dataflow, "modes": "2:8", "latency": latency, "interleave": interleave, "feed": feed, "scratchpad": scratchpad}
    pair = product(m, n, k, "2:8")
    auto, never, always = (mapped(pair, array(**facts, use=use)) for use in ("auto", "never", "always"))
    price = 1.05  # candidates are ranked by cycles and a twentieth of the cycles of their transfers and of the array
    assert auto.unit == never.unit == always.unit == "array"
    least = min(item.alternatives[0].cycles_estimate for item in (never, always))
    assert auto.alternatives[0].cycles_estimate <= price * least + 2
    assert always.pattern == ("dense" if dataflow == "input_stationary" else "2:8")  # weights cannot stream past inputs in groups
    if dataflow == "input_stationary":
        assert "the other operand stays" in always.alternatives[0].notes[0]


def layers(*widths, rows):
    builder = GraphBuilder("chain", "fp16")
    x = builder.input("x", (rows, widths[0]))
    for place, width in enumerate(widths[1:]):
        x = builder.gemm(x, builder.weight(f"w{place}", (width, widths[place])), f"y{place}", transpose_b=True)
    builder.output(x)
    return training(builder.build())


@given(
    st.lists(st.integers(2, 8).map(lambda size: 16 * size), min_size=3, max_size=4),
    st.sampled_from((8, 64, 300)),
    st.sampled_from((True, False)),
)
@settings(max_examples=20, deadline=None)
def test_steps_with_fewer_kept_values_are_never_slower(widths, rows, pregenerate):
    """A whole played step at fixed M, axes, dataflow, tiles and reduction scheme, from 1:8 to 8:8."""
    device = array(16, 16, "output_stationary", modes=EVERY, lanes=8, use="always", scratchpad=1 << 30, bandwidth=1e15)
    dense = layers(*widths, rows=rows)
    spent = [played(nm_training(dense, f"bdwp-{kept}:8", pregenerate=pregenerate), device).cycles for kept in range(1, 9)]
    assert spent == sorted(spent)


@given(sizes, sizes, eighths, st.sampled_from(("output_stationary", "weight_stationary")), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_forced_sparse_with_all_values_is_dense_and_the_bytes_of_places(m, n, k, dataflow, latency):
    """In one mapping: the same multiplications and cycles of the array, and three bits a weight more over the port."""
    device = array(dataflow=dataflow, modes="8:8", use="always", latency=latency, **WIDE)
    full, dense = (mapped(product(m, n, k, pattern), device) for pattern in ("8:8", "dense"))
    places = -(-k * n * 3 // 8)
    assert (full.pattern, full.executed_macs, busy(full)) == ("8:8", dense.macs, busy(dense))
    assert (full.reads["w"] - dense.reads["w"], full.reads["x"], full.writes) == (places, dense.reads["x"], dense.writes)
    if full.alternatives[0].name == f"{dense.alternatives[0].name}, 8:8":  # the search may like another tile better
        a, b = (played(graph(product(m, n, k, pattern)), device) for pattern in ("8:8", "dense"))
        assert a.cycles == b.cycles
        assert a.dram_bytes - b.dram_bytes >= places


def test_on_line_copies_make_a_step_slower_at_a_small_batch():
    """Forward and backward of a chain of 512 x 512 layers at batch 2 and 512, dense against BDWP 2:8 with copies made where they are read:
    64 groups x 512 rows of M = 8 sorted by 8 lanes are 64 x 512 x 8 / 8 = 32,768 cycles for each view, whatever the batch."""
    device = array(16, 16, modes="2:8", lanes=8, scratchpad=1 << 22, bandwidth=256e9)
    cycles = {}
    for rows in (2, 512):
        dense = layers(512, 512, 512, 512, rows=rows)
        for name in ("dense", "on line", "ahead"):
            net = dense if name == "dense" else nm_training(dense, "bdwp-2:8", pregenerate=name == "ahead")
            cycles[rows, name] = played(net, device).cycles
    assert cycles[2, "on line"] > cycles[2, "dense"]
    assert cycles[512, "on line"] < cycles[512, "dense"]
    assert cycles[2, "ahead"] < cycles[2, "on line"]
    assert busy(mapped(prune(512, 512, "2:8"), device), "array.reduction") == 32_768


# -- several cores, searched plans -------------------------------------------------------------------------------------------------


def many(cores, **rest):
    return with_cores(replace(array(**rest), links={"noc": Link("noc", 64e9, 0.0, 1e-12, "bus", True)}), cores)


def moved(alternative, name):
    return sum(
        segment.repeat * move.bytes
        for stage in alternative.stages
        for segment in stage.segments
        for move in segment.transfers
        if move.tensor == name
    )


@given(sizes, sizes, st.integers(1, 120), st.sampled_from(("dense", "2:8")), st.sampled_from((2, 3, 4)), st.sampled_from(FLOWS))
@settings(max_examples=60, deadline=None)
def test_cores_share_a_sparse_product(m, n, k, pattern, cores, dataflow):
    """The same multiplications in all, results leave once, and more cores are never estimated slower."""
    pair = product(m, n, k, pattern)
    one = map_graph(graph(pair), many(1, dataflow=dataflow, modes="2:8")).blocks[0].operators[0]
    more = map_graph(graph(pair), many(cores, dataflow=dataflow, modes="2:8")).blocks[0].operators[0]
    assert (more.executed_macs, more.pattern) == (one.executed_macs, one.pattern)
    assert more.alternatives[0].cycles_estimate <= one.alternatives[0].cycles_estimate
    for alternative in more.alternatives:
        if "sums added" not in alternative.name:
            assert moved(alternative, "y") == pair[1]["y"].stored_bytes
            assert alternative.actions["array.mac.fp16"] == pytest.approx(one.executed_macs, abs=cores)


@pytest.mark.parametrize(("size", "halves"), [(48, True), (24, False)])
def test_cores_do_not_cut_groups(size, halves):
    """Two cores halve 48 rows of groups of 8 at 24; 24 rows they would halve within a group, so the other axis is cut."""
    operator = map_graph(graph(prune(size, 40, "2:8"), outputs=("w.ff",)), many(2, modes="2:8")).blocks[0].operators[0]
    split = [one for one in operator.alternatives if len(cores_of(one)) == 2]
    assert split
    assert any("along d0" in one.name for one in split) == halves
    assert all(one.actions["array.reduction.value"] == size * 40 for one in split)


@pytest.mark.parametrize("reduction", ["pregenerated", "online"])
def test_a_training_step_on_several_cores(reduction):
    """Copies made ahead pass the engine of core 0, beside the update that runs there; no rung beats the roofline."""
    net = nm_training(layers(128, 256, 192, 64, rows=64), "bdwp-2:8", pregenerate=reduction == "pregenerated")
    found = {}
    for cores in (1, 2, 4):
        device = many(cores, rows=16, columns=16, modes="2:8", scratchpad=1 << 18, interleave=True)
        found[cores] = result = played(net, device)
        assert result.latency_s >= played(net, device, "roofline").latency_s
        engines = {name for name in result.busy if "reduction" in name}
        assert engines <= {f"compute:array.reduction{'' if cores == 1 else f'.{core}'}" for core in range(cores)}
    assert found[4].cycles < found[2].cycles < found[1].cycles
    assert found[1].executed_flops == found[2].executed_flops == found[4].executed_flops


def test_updates_split_over_cores_are_not_joined_with_copies():
    net = graph(update(64, 64), prune(64, 64, "2:8", source="w.new", out="w.ff", ahead=True), outputs=("w.new", "w.ff"))
    joined = next(item for item in map_graph(net, many(4, modes="2:8")).blocks[0].operators if item.members)
    assert all(cores_of(one) == {0} for one in joined.alternatives)


def test_searched_plans_hold_no_chains_of_sparse_arrays():
    """Fused chains are for systolic arrays: a searched plan of a sparse array runs layer by layer, and is never slower than the first."""
    net = load_model("resnet18", format="fp16", sparsity="2:8")
    hardware = load_hardware("xilinx-vcu1525-sat")
    found = search(map_graph(net, hardware))
    assert not any(item.kind == "fused chain" for block in found.mapped.blocks for item in block.operators)
    assert found.cycles <= found.layer_by_layer_cycles <= played(net, hardware).cycles


# -- the dataflow is chosen per layer and pass ------------------------------------------------------------------------------------


@given(sizes, sizes, sizes, st.sampled_from(("dense", "2:8")), st.integers(1, 4), st.booleans(), st.sampled_from((4096, 1 << 20)))
@settings(max_examples=60, deadline=None)
def test_the_best_dataflow_is_taken(m, n, k, pattern, latency, interleave, scratchpad):
    """``auto`` holds the candidates of each dataflow; ranks differ from estimates by a twentieth of their transfers and array cycles."""
    facts = {"modes": "2:8", "latency": latency, "interleave": interleave, "scratchpad": scratchpad}
    pair = product(m, n, k, pattern)
    fixed = [mapped(pair, array(dataflow=name, **facts)).alternatives[0].cycles_estimate for name in FLOWS[:3]]
    assert mapped(pair, array(dataflow="auto", **facts)).alternatives[0].cycles_estimate <= 1.05 * min(fixed) + 2


def test_passes_of_a_step_take_dataflows_of_their_own():
    """A network's products on SAT: at least two dataflows in a pass, and layers whose passes differ in theirs."""
    net = load_model("resnet18", phase="train", batch=16, sparsity="bdwp-2:8")
    rows = {item.operator: item for block in map_graph(net, load_hardware("xilinx-vcu1525-sat")).blocks for item in block.operators}
    flows = {}
    for node in net.nodes:
        if node.macs:
            name = node.name.partition(".gradient")[0]
            flows.setdefault(name, {})[node.attributes["pass"]] = rows[node.name].alternatives[0].name.partition(",")[0]
    by_pass = {phase: {found[phase] for found in flows.values() if phase in found} for phase in ("FF", "BP", "WU")}
    assert any(len(found) > 1 for found in by_pass.values())
    assert any(len(set(found.values())) > 1 for found in flows.values())
