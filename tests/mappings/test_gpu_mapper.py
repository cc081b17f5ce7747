"""What the GPU mapper makes of formats, sparsity, narrow products, experts, elementwise work, and specs that lack a constant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwspecs.vocabulary.errors import SpecError
from hwspecs.vocabulary.sparsity import parse_sparsity
from mappings import map_graph
from mappings.gpu import GpuMapper
from mappings.gpu.stream import stream_class
from mappings.registry import Unmappable
from simulator.lowering import Lowering
from simulator.play import play
from tests.mappings.builders import conv, elementwise, gemm, graph, softmax
from tests.mappings.gpu_device import CONSTANTS, TYPICAL, gpu
from workloads.builder import GraphBuilder


def answer(pair, hardware=None):
    hardware = hardware or gpu(TYPICAL)
    operator, tensors = pair
    return GpuMapper().map(operator, tensors, hardware.primary, hardware)


def with_weights(m, n, k, **change):
    operator, tensors = gemm("g", m, n, k, format="bf16")
    return operator, {**tensors, "w": replace(tensors["w"], **change)}


def test_quantized_weights_compute_in_the_activation_format():
    dense, packed = answer(gemm("g", 8, 4096, 4096, format="bf16")), answer(gemm("g", 8, 4096, 4096, format="bf16", weights="int4g128"))
    assert packed.compute_format == dense.compute_format == "bf16"
    assert packed.reads["w"] < dense.reads["w"] / 3
    assert packed.alternatives[0].cycles_estimate < dense.alternatives[0].cycles_estimate / 2


def test_structured_sparsity_runs_at_its_rate():
    dense = answer(gemm("g", 4096, 4096, 4096, format="bf16"))
    sparse = answer(with_weights(4096, 4096, 4096, sparsity=replace(parse_sparsity("2:4"), axis=0)))
    assert (sparse.pattern, sparse.executed_macs) == ("2:4", dense.macs // 2)
    assert 1.5 < dense.alternatives[0].cycles_estimate / sparse.alternatives[0].cycles_estimate < 2.2
    values = 4096 * 4096
    assert sparse.reads["w"] == values // 2 * 2 + values // 2 * 2 // 8  # half the values of two bytes, two bits of place each


def test_groups_across_the_reduction_give_no_speed():
    """A weight pruned along k for the forward pass is transposed in the backward one: its groups then lie along n."""
    across = answer(with_weights(4096, 4096, 4096, sparsity=replace(parse_sparsity("2:4"), axis=1)))
    assert (across.pattern, across.executed_macs) == ("dense", across.macs)
    assert "saves bytes but no arithmetic" in across.alternatives[0].notes[0]


def test_sparse_kernels_reach_the_share_that_the_spec_states():
    """Of twice the dense rate 75 % is 1.5 times the dense rate; they never fall below it."""
    pair = with_weights(8192, 8192, 8192, sparsity=replace(parse_sparsity("2:4"), axis=0))
    dense, full = answer(gemm("g", 8192, 8192, 8192, format="bf16")), answer(pair)

    def stated(share):
        device = gpu(TYPICAL)
        unit = replace(device.primary, parameters={**device.primary.parameters, "kernels.gemm.sparse_efficiency": share})
        return answer(pair, replace(device, units={**device.units, unit.name: unit})).alternatives[0].cycles_estimate

    assert full.alternatives[0].cycles_estimate == stated(1.0) < stated(0.75) < stated(0.5) == stated(0.25)
    assert stated(0.5) <= dense.alternatives[0].cycles_estimate


def test_unstructured_sparsity_saves_bytes_only_and_says_so():
    sparse = answer(with_weights(4096, 4096, 4096, sparsity=parse_sparsity("unstructured:0.3")))
    assert (sparse.pattern, sparse.executed_macs) == ("dense", sparse.macs)
    assert "saves bytes but no arithmetic" in sparse.alternatives[0].notes[0]


def test_a_narrower_format_runs_at_the_next_wider_rate():
    wide = answer(gemm("g", 512, 512, 512, format="fp8"))
    assert wide.compute_format == "bf16"
    assert "fp8 products run at the rate of bf16" in wide.alternatives[0].notes
    assert answer(gemm("g", 512, 512, 512, format="int4")).compute_format == "int8"


def test_integers_wider_than_any_rate_are_declined():
    declined = answer(gemm("g", 64, 64, 64, format="int32"))
    assert isinstance(declined, Unmappable)
    assert "int32" in declined.reason


def test_a_depthwise_convolution_runs_on_the_vector_path():
    found = answer(conv("c", c=256, o=256, h=56, f=3, pad=1, groups=256, batch=8, format="bf16"))
    assert found.alternatives[0].name == "vector path"
    assert found.executed_macs == found.macs == 8 * 256 * 56 * 56 * 9


def test_experts_are_one_grouped_kernel():
    builder = GraphBuilder("moe", "bf16")
    builder.input("x", (10, 64))
    from workloads.graph import Axis, Nest, Operand, Operator

    builder.weight("w", (4, 32, 64))
    builder.tensor("y", (10, 32))
    steps = []
    for experts, rows, first, start in ((2, 3, 0, 0), (2, 2, 2, 6)):
        row = Axis((("e", rows), ("m", 1)), start)
        reads = (
            Operand("x", (row, Axis((("k", 1),)))),
            Operand("w", (Axis((("e", 1),), first), Axis((("n", 1),)), Axis((("k", 1),)))),
        )
        write = Operand("y", (row, Axis((("n", 1),))))
        steps.append(Nest((("e", experts), ("m", rows), ("n", 32), ("k", 64)), "mac", reads, (write,)))
    builder.add(Operator("experts", "gemm", ("x", "w"), ("y",), tuple(steps)))
    builder.output("y")
    built = builder.build(check=True)
    found = answer((built.nodes[0], built.tensors))
    assert found.macs == found.executed_macs == 10 * 32 * 64
    assert [stage.name for stage in found.alternatives[0].stages].count("main") == 1


def test_elementwise_work_takes_its_bytes_at_the_achieved_bandwidth():
    hardware = gpu(CONSTANTS, achieved=0.8)
    found = answer(elementwise("e", "x", "y", 1 << 20, 64, format="bf16"), hardware)
    moved = 2 * 2 * (1 << 26)
    assert found.alternatives[0].cycles_estimate == pytest.approx(1e3 + moved / 0.8e12 * 1e9, rel=1e-3)
    assert found.alternatives[0].actions["sm.vector.fp32"] == 1 << 26


def test_streaming_classes():
    assert stream_class(softmax("s", "x", "y", 4, 4)[0]) == "rowwise"
    assert stream_class(elementwise("e", "x", "y", 4)[0]) == "elementwise"
    assert stream_class(elementwise("e", "x", "y", 4, function="gelu", ops=8)[0]) == "activation"


def test_a_fused_epilogue_adds_its_bytes_and_its_work():
    builder = GraphBuilder("g", "bf16")
    builder.input("x", (512, 512))
    builder.weight("w", (512, 512))
    builder.weight("b", (512,))
    builder.output(builder.gemm("x", "w", "y", bias="b"))
    built = builder.build(check=True)
    found = answer((built.nodes[0], built.tensors))
    assert found.reads == {"x": 2 << 18, "w": 2 << 18, "b": 1024}
    assert found.vector_ops == 512 * 512
    assert found.alternatives[0].actions["sm.vector.fp32"] == 512 * 512


def test_two_products_in_one_operator_are_two_kernels_and_move_everything_once():
    first, tensors = gemm("a", 256, 512, 128, y="h", format="bf16")
    second, more = gemm("b", 256, 128, 512, x="h", w="v", y="y", format="bf16")
    operator = replace(first, inputs=("x", "w", "v"), outputs=("y",), nests=(*first.nests, *second.nests), internal={"h": tensors["h"]})
    hardware = gpu(TYPICAL)
    found = answer((operator, {**tensors, **more}), hardware)
    lowered = Lowering(hardware).lower("g", found.alternatives[0])
    assert sum(lowered.read_bytes.values()) == 2 * (256 * 128 + 128 * 512 + 512 * 128)
    assert sum(lowered.written_bytes.values()) == 2 * 256 * 128
    assert play([lowered.flow], ["g"])[0].cycles == found.alternatives[0].cycles_estimate
    assert [stage.name for stage in found.alternatives[0].stages if stage.name.startswith("main")] == ["main", "main 2"]


@pytest.mark.parametrize(("change", "message"), [
    ({"launch": None}, "must state this kernel constant"),
    ({"compute_efficiency": 1.5}, "outside"),
    ({"overlap": 0.5}, "outside"),
    ({"pull_share": 0.0}, "not positive"),
    ({"launch": "fast"}, "not a number"),
])  # fmt: skip
def test_a_bad_constant_is_named_with_its_path(change, message):
    gemm_constants = {name: value for name, value in {**TYPICAL["gemm"], **change}.items() if value is not None}
    hardware = gpu({**TYPICAL, "gemm": gemm_constants})
    with pytest.raises(SpecError, match=message) as caught:
        map_graph(graph(gemm("g", 64, 64, 64, format="bf16")), hardware)
    assert caught.value.where == f"hand-gpu: unit.sm.kernels.gemm.{next(iter(change))}"


def test_every_gpu_of_the_library_states_every_constant():
    from hwspecs import list_hardware, load_hardware

    served = 0
    for name in list_hardware():
        hardware = load_hardware(name)
        if hardware.primary.kind != "gpu":
            continue
        served += 1
        form = "bf16" if ("bf16", "dense") in hardware.primary.rates else "fp16"
        for pair in (gemm("g", 64, 64, 64, format=form), elementwise("e", "x", "y", 64, format=form), softmax("s", "x", "y", 4, 4)):
            assert answer(pair, hardware).alternatives[0].cycles_estimate > 0
    assert served >= 6
