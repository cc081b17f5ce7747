"""Training steps on devices: every pass is mapped and played, the roofline is below, folded layers hold what written out ones hold."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import cyclewright as cw
from cyclewright.cli.commands import main
from hwspecs.vocabulary.errors import ArgumentError
from workloads.passes.unroll import unrolled
from workloads.training_counts import macs_by_pass, training_memory

DEVICES = ("nvidia-a100-sxm-80gb", "edge-npu", "systolic-array")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("model", ["resnet18", "gpt2-small"])
def test_steps_run_above_their_roofline(model, device):
    """Latency of the played step against the bound from its compulsory work; all MACs of the graph are in the result."""
    asked = {"tokens": 64} if model == "gpt2-small" else {}
    tile, floor = (cw.run(model, device, phase="train", recompute="blocks", fidelity=rung, **asked) for rung in ("tile", "roofline"))
    assert 0 < floor.latency_s <= tile.latency_s
    assert tile.phase == "train"
    graph = cw.load_model(model, phase="train", training={"recompute": "blocks"}, **asked)
    assert tile.macs == sum(macs.dense for macs in macs_by_pass(graph).values())
    assert tile.peak_memory_bytes >= training_memory(graph).state - training_memory(graph).gradients
    assert tile.extra_bytes >= 0


def test_folded_layers_hold_what_written_out_ones_hold():
    """Three repeats over stacked tensors hold and move what 12 layers written out do, on an array that keeps nothing between operators."""
    graph = cw.load_model("gpt2-small", phase="train", tokens=128, training={"optimizer": "adam"})
    folded, flat = cw.run(graph, "systolic-array"), cw.run(unrolled(graph), "systolic-array")
    one_layer = training_memory(graph).saved_activations / 12
    assert folded.peak_memory_bytes == pytest.approx(flat.peak_memory_bytes, abs=2 * one_layer)
    assert folded.macs == flat.macs
    assert folded.dram_bytes == flat.dram_bytes
    assert folded.compulsory_bytes == flat.compulsory_bytes


@pytest.mark.parametrize(("model", "device"), [("vit-cifar100", "xilinx-vcu1525-sat"), ("gpt2-small", "edge-npu")])
def test_groups_of_operators_store_what_other_repeats_read(model, device):
    """Whole rounds may run as one group; the activations and gradients that they stack are read by other repeats and leave all the same
    (the replay checker counts them again). Played, no plan is slower."""
    asked = {"tokens": 64} if model == "gpt2-small" else {"batch": 64}
    plain, played = (cw.run(model, device, phase="train", search=search, **asked) for search in ("estimate", "play"))
    assert played.latency_s <= plain.latency_s
    assert played.compulsory_bytes == plain.compulsory_bytes
    assert any(".." in row.name for row in played.operators)


def test_what_does_not_fit_is_told():
    """16 bytes a parameter of 8 billion are more than 80 GB."""
    result = cw.run("llama-3-8b", "nvidia-h100-sxm", phase="train", tokens=128, optimizer="adam", recompute="blocks")
    assert not result.fits
    assert result.peak_memory_bytes > 16 * 8_030_261_248
    assert any("does not fit" in warning for warning in result.warnings)
    assert cw.run("llama-3-8b", "nvidia-h100-sxm", phase="train", tokens=128, optimizer="adam", lora=16).fits


def test_gradients_are_sorted_in_every_step():
    """SDGP on SAT, ResNet-9, 64 images: 32 lanes take one value a cycle each. 128 x 32 x 32 values of the second layer's gradient, twice
    128 x 16 x 16, 256 x 16 x 16, 512 x 8 x 8, twice 512 x 4 x 4 per image, and 64 gradients of 10 logits in two groups of 8; the first
    layer's gradient meets no weight. The products run in the array's 2:8 mode; the forward pass and the weights' gradients stay."""
    dense, sparse = (
        cw.run("resnet9-cifar10", "xilinx-vcu1525-sat", phase="train", batch=64, sparsity=word) for word in ("dense", "sdgp-2:8")
    )
    values = 128 * 32**2 + 2 * 128 * 16**2 + 256 * 16**2 + 512 * 8**2 + 2 * 512 * 4**2
    cycles = 64 * values // 32 + 64 * 2 // 32 * 8
    assert sparse.busy["compute:stce.reduction"] == pytest.approx(cycles / 200e6, rel=1e-9)
    spent = [{row.name: row.time_s for row in result.operators if row.training_pass in ("FF", "WU")} for result in (dense, sparse)]
    assert spent[0] == spent[1]
    products = [row for row in sparse.operators if row.training_pass == "BP" and row.macs]
    assert {row.pattern for row in products} == {"2:8"}
    assert len(products) == 8
    assert sparse.latency_s < dense.latency_s


def test_command_line():
    """Options of training reach the step; a graph takes none."""
    words = [
        "run",
        "resnet18",
        "--hw",
        "nvidia-a100-sxm-80gb",
        "--phase",
        "train",
        "--optimizer",
        "adam",
        "--sparsity",
        "bdwp-2:8",
        "--json",
    ]
    told = CliRunner().invoke(main, words)
    assert told.exit_code == 0, told.output
    assert '"optimizer": "adam"' in told.output
    assert '"sparsity": "bdwp-2:8"' in told.output
    wrong = CliRunner().invoke(main, [*words[:-4], "--optimizer", "adom"])
    assert wrong.exit_code != 0
    with pytest.raises(ArgumentError, match="does not apply to a graph"):
        cw.run(cw.load_model("resnet18"), "edge-npu", optimizer="adam")
