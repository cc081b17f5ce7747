"""What a training step cannot be asked for: located errors and exit codes; the largest batch that fits."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import cyclewright as cw
from cyclewright.cli.commands import main
from cyclewright.fitting import _largest
from hwspecs.vocabulary.errors import ArgumentError, InfeasibleError
from tests.workloads.onnx_files import node, write, zeros
from workloads.training_counts import macs_by_pass

ARRAY = "xilinx-vcu1525-sat"


def told(capsys, *words):
    """(exit code, stderr) of ``cyclewright run``."""
    with pytest.raises(SystemExit) as left:
        main(["run", *words], prog_name="cyclewright")
    return left.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "where", "says"),
    [
        (["--sparsity", "bdwp-9:8"], "sparsity", "keeps 9 of 8"),
        (["--sparsity", "bdwp-0:8"], "sparsity", "keeps 0 of 8"),
        (["--sparsity", "bdwp-2"], "sparsity", "no N:M"),
        (["--sparsity", "2:8"], "sparsity", "does not say which passes see it"),
        (["--sparsity", "unstructured:0.5"], "sparsity", "does not say which passes see it"),
        (["--sparsity", "sr-stee-2:8"], "sparsity", "did you mean sr-ste"),
        (["--sparsity", "bdwp-2:4096"], "sparsity", "no weight of resnet18 can be pruned"),
        (["--sparsity", "bdwp-2:8", "--frozen", "!fc.bias"], "sparsity", "no weight of resnet18 can be pruned"),
        (["--optimizer", "adem"], "optimizer", "did you mean adam"),
        (["--recompute", "all"], "recompute", "none or blocks"),
        (["--precision", "fp9"], "precision", "unknown precision"),
        (["--frozen", "*"], "resnet18", "no output depends on a trained weight"),
        (["--format", "int8"], "format", "does not apply to training"),
        (["--reduction", "online"], "reduction", "give a sparsity"),
    ],
)
def test_bad_input_is_located_and_leaves_with_2(capsys, words, where, says):
    code, message = told(capsys, "resnet18", "--hw", ARRAY, "--phase", "train", *words)
    assert code == 2
    assert message.startswith(f"error: {where}: ")
    assert says in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("model", "code", "says"),
    [
        ("attention:b2,h4,k64,d16", 2, "attention:b2,h4,k64,d16: no output depends on a trained weight"),
        ("training-resnet18", 2, "training-resnet18: is a training step already"),
        ("lsm-nmnist", 1, "operators of kind 'elementwise' (lif) have no known gradient"),
    ],
)
def test_what_cannot_be_trained_is_named(capsys, model, code, says):
    found, message = told(capsys, model, "--hw", ARRAY, "--phase", "train")
    assert (found, says in message) == (code, True)


def test_sparsity_on_products_without_weights(capsys, tmp_path):
    """Two products of activations and one weight that is the first layer: nothing of it can be N:M."""
    pytest.importorskip("onnx")
    nodes = [node("MatMul", ["x", "w"], ["a"], name="first"), node("MatMul", ["a", "z"], ["y"], name="second")]
    path = write(tmp_path, nodes, {"x": [64, 64], "z": [64, 64]}, ["y"], {"w": zeros(64, 64)})
    code, message = told(capsys, path, "--hw", ARRAY, "--phase", "train", "--sparsity", "bdwp-2:8")
    assert code == 2
    assert "can be pruned 2:8" in message


def test_padding_is_warned_of_and_costed():
    """5 divides no axis of ResNet-18: each is padded to whole groups, told by pass with the weights, and its bytes and MACs are more."""
    padded, plain = (cw.run("resnet18", ARRAY, phase="train", batch=2, sparsity=f"bdwp-{rule}") for rule in ("2:5", "2:8"))
    warned = [line for line in padded.warnings if "5 does not divide the axis" in line]
    assert {line.partition(" reduces")[0].rpartition(" ")[2] for line in warned} == {"FF", "BP"}
    assert "layer1.0.conv1.weight (64)" in warned[0]
    assert not any("does not divide" in line for line in plain.warnings)
    macs = {rule: macs_by_pass(cw.load_model("resnet18", phase="train", sparsity=f"bdwp-{rule}"))["FF"] for rule in ("2:5", "4:5")}
    first = 64 * 147 * 112 * 112  # dense; of the others 13, 26, 52 and 103 groups hold 64, 128, 256 and 512 channels
    groups = {64: 13, 128: 26, 256: 52, 512: 103}
    layers = [
        (64, 64, 9, 56, 4),
        (64, 128, 9, 28, 1),
        (128, 128, 9, 28, 3),
        (64, 128, 1, 28, 1),
        (128, 256, 9, 14, 1),
        (256, 256, 9, 14, 3),
    ]
    layers += [(128, 256, 1, 14, 1), (256, 512, 9, 7, 1), (512, 512, 9, 7, 3), (256, 512, 1, 7, 1), (512, 1000, 1, 1, 1)]
    for n in (2, 4):
        kept = sum(groups[c] * n * out * taps * side**2 * times for c, out, taps, side, times in layers)
        assert macs[f"{n}:5"].executed == pytest.approx(first + kept, abs=len(layers))


def test_a_step_that_does_not_fit_leaves_with_1(capsys, tmp_path):
    """The costs are told all the same, and what would fit."""
    small = ["--hw", "edge-npu", "--set", "memory.dram.size=512 MiB", "--no-interval"]
    out = tmp_path / "r.json"
    with pytest.raises(SystemExit) as left:
        main(["run", "resnet18", *small, "--phase", "train", "--batch", "64", "-o", str(out)], prog_name="cyclewright")
    shown = capsys.readouterr()
    assert left.value.code == 1
    assert "DOES NOT FIT" in shown.out
    assert "\nerror: batch: a training step of batch 64 needs " in shown.err
    fitting = int(shown.err.partition("largest batch that fits is ")[2].partition(";")[0])
    assert not json.loads(out.read_text())["fits"]
    asked = {"phase": "train", "overrides": ["memory.dram.size=512 MiB"]}
    assert fitting == cw.largest_batch("resnet18", "edge-npu", **asked)
    assert cw.run("resnet18", "edge-npu", batch=fitting, **asked).fits
    assert not cw.run("resnet18", "edge-npu", batch=fitting + 1, **asked).fits


def test_no_batch_fits(capsys):
    """16 bytes for each of 8 billion parameters are more than 80 GiB, whatever the batch."""
    assert cw.largest_batch("llama-3-8b", "nvidia-h100-sxm", phase="train", optimizer="adam", tokens=128) == 0
    code, message = told(capsys, "llama-3-8b", "--hw", "nvidia-h100-sxm", "--phase", "train", "--tokens", "128", "--no-interval")
    assert code == InfeasibleError.exit_code == 1
    assert "no batch fits" in message
    inference = CliRunner().invoke(main, ["run", "llama-3-70b", "--hw", "nvidia-h100-sxm", "--phase", "decode", "--no-interval"])
    assert inference.exit_code == 0  # of inference it is a warning


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=200), st.integers(0, 100_000))
@settings(max_examples=200, deadline=None)
def test_the_search_for_a_batch_is_exact_where_memory_grows(steps, room):
    """Any course that never falls: the answer fits, and one more does not."""
    course = [sum(steps[:place]) for place in range(1, len(steps) + 1)]
    found = _largest(room, lambda batch: course[batch - 1], len(course))
    assert found == sum(size <= room for size in course[:-1])


def test_a_batch_needs_a_model_that_takes_one():
    with pytest.raises(ArgumentError, match="batch"):
        cw.largest_batch("gemm:8x8x8", "edge-npu", phase="train")
