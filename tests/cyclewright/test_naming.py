"""What runs are called, what they make, and what is said of those that do not fit: the same in every place."""

import dataclasses

import pytest
from click.testing import CliRunner

import cyclewright as cw
from cyclewright.api import document_of
from cyclewright.cli.commands import main
from cyclewright.cli.text import title
from cyclewright.metrics import metric_value
from cyclewright.naming import kinds_of, lengths_of, things_of
from cyclewright.plots import wording
from simulator import to_json

GPU = "nvidia-h100-sxm"


@pytest.fixture(scope="module")
def step():
    return cw.run("resnet18", GPU, phase="train", batch=4, precision="bf16-mixed", sparsity="bdwp-2:4", optimizer="adam")


def told(*words):
    return CliRunner().invoke(main, words).output


def test_both_titles_say_what_makes_runs_differ(step):
    for words in (title(document_of(step)), wording.title(step)):
        assert all(word in words for word in ("train", "batch 4", "bf16-mixed", "bdwp-2:4", "adam"))


@pytest.mark.parametrize(
    ("model", "asked", "things", "made"),
    [
        ("resnet18", {"phase": "train", "batch": 4}, "samples", 4),
        ("resnet18", {"batch": 4}, "inferences", 4),
        ("mamba-130m", {"tokens": 64}, "tokens", 64),
        ("gpt2-small", {"phase": "train", "batch": 2, "tokens": 64}, "tokens", 128),
        ("gpt2-small", {"phase": "decode", "batch": 2}, "tokens", 2),
    ],
)
def test_throughput_is_of_one_kind_in_terminal_report_and_gates(model, asked, things, made):
    result = cw.run(model, GPU, **asked)
    document = document_of(result)
    assert things_of(document["phase"], document["settings"]) == things
    assert wording.throughput(result) == (pytest.approx(made / result.latency_s), f"{things}/s")
    assert metric_value(document, "throughput_per_s") == pytest.approx(made / result.latency_s)


def test_lengths_that_follow_from_others_are_left_out():
    assert lengths_of("train", {"batch": 2, "context": 64, "tokens": 64}) == ["batch 2", "tokens 64"]
    assert lengths_of("decode", {"batch": 2, "context": 64, "tokens": 1}) == ["batch 2", "context 64"]
    assert lengths_of("prefill", {"batch": 2, "context": 96, "tokens": 64}) == ["batch 2", "context 96", "tokens 64"]
    assert kinds_of({"format": "fp16", "precision": "fp16", "recompute": "none"}) == ["fp16"]


def test_mfu_counts_no_work_twice():
    """Recomputation makes a step longer and no more useful: MFU x latency stays."""
    plain, again = (cw.run("resnet18", GPU, phase="train", batch=64, recompute=how) for how in ("none", "blocks"))
    assert again.flops > plain.flops
    assert again.mfu * again.latency_s == pytest.approx(plain.mfu * plain.latency_s)


def test_columns_of_methods_are_told_apart_by_the_method_alone():
    others = [cw.run("resnet18", GPU, phase="train", batch=4, sparsity=rule) for rule in ("dense", "sdgp-2:4", "bdwp-2:4")]
    assert cw.compare(*others).labels == ("sparsity=dense", "sparsity=sdgp-2:4", "sparsity=bdwp-2:4")
    online = cw.run("resnet18", GPU, phase="train", batch=4, sparsity="bdwp-2:4", reduction="online")
    assert cw.compare(others[2], online).labels == ("pregenerate=1", "pregenerate=0")


def test_comparisons_name_the_column_that_does_not_fit(tmp_path):
    fits = cw.run("gpt2-xl", GPU, phase="train", lora=4)
    large = cw.run("gpt2-xl", GPU, phase="train", batch=64)
    assert (fits.fits, large.fits) == (True, False)
    paths = []
    for name, result in (("fits", fits), ("large", large)):
        (path := tmp_path / f"{name}.json").write_text(to_json(result))
        paths.append(str(path))
    lines = [line for line in told("compare", *paths, "--top", "0").splitlines() if "does not fit" in line]
    assert len(lines) == 1
    assert "batch=64" in lines[0]


def test_changes_that_no_device_holds_are_told():
    """64 x 64 cells of SAT take 12,554 DSPs of 6,840."""
    told_ = told("whatif", "resnet9-cifar10", "--hw", "xilinx-vcu1525-sat", "--set", "unit.stce.rows=64", "--set", "unit.stce.columns=64")
    assert "the design does not fit the device: about 12,554 DSP of 6,840" in told_
    same = told("whatif", "resnet9-cifar10", "--hw", "xilinx-vcu1525-sat", "--set", "unit.stce.rows=16")
    assert "does not fit" not in same


def test_advice_leaves_out_what_is_done_already():
    output = told("run", "gpt2-xl", "--hw", GPU, "--phase", "train", "--batch", "512", "--lora", "4", "--no-interval")
    advice = output.rpartition("error:")[2]
    assert "--recompute blocks, --frozen" in advice
    assert "--lora" not in advice


def test_precision_is_not_confused_with_format(step):
    pure = dataclasses.replace(step, settings={**step.settings, "precision": "bf16"})
    assert wording.title(pure) != wording.title(step)
