"""Bad arguments: exit code 2, one located message on stderr, no traceback, nothing written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cyclewright.cli.commands import main

GEMM = "gemm:64x64x64"
RUN = ("run", GEMM, "--hw", "edge-npu")


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


BAD = {
    "unknown command": (("rnu",), "unknown command 'rnu'; did you mean run"),
    "no model": (("run", "--hw", "edge-npu"), "missing argument 'MODEL'"),
    "no device": (("run", GEMM), "missing option '--hw'"),
    "unknown option": ((*RUN, "--bach", "8"), "no such option"),
    "unknown model": (("run", "resnet5O", "--hw", "edge-npu"), "unknown model 'resnet5O'; did you mean resnet50"),
    "unknown device": (("run", GEMM, "--hw", "nvidia-h10"), "unknown hardware 'nvidia-h10'; did you mean nvidia-h100-sxm"),
    "no such spec file": (("run", GEMM, "--hw", "mine.yaml"), "no such file: mine.yaml"),
    "no such model file": (("run", "nets/none.onnx", "--hw", "edge-npu"), "no such file"),
    "malformed operator": (("run", "gemm:64x64", "--hw", "edge-npu"), "gemm"),
    "batch of zero": ((*RUN, "--batch", "0"), "--batch"),
    "batch of words": ((*RUN, "--batch", "many"), "--batch"),
    "unknown phase": (("run", "llama-3-8b", "--hw", "edge-npu", "--phase", "decod"), "did you mean decode"),
    "phase of a CNN": (("run", "resnet50", "--hw", "edge-npu", "--phase", "decode"), "has no phase"),
    "context beside a CNN": (("run", "resnet50", "--hw", "edge-npu", "--context", "9"), "context"),
    "unknown format": ((*RUN, "--format", "in8"), "in8"),
    "unknown fidelity": ((*RUN, "--fidelity", "tiled"), "unknown fidelity 'tiled'; did you mean tile"),
    "malformed sparsity": ((*RUN, "--sparsity", "4:2"), "keeps 4 of 2"),
    "sparsity twice": ((*RUN, "--sparsity", "2:4", "--sparsity", "1:4"), "--sparsity is given 2 times; give it once"),
    "a device twice": ((*RUN, "--hw", "edge-npu"), "--hw is given 2 times; give it once"),
    "malformed dimension": ((*RUN, "--dim", "batch"), "--dim: cannot read the dimension 'batch'"),
    "dimension twice": ((*RUN, "--dim", "n=1", "--dim", "n=2"), "given twice"),
    "unknown policy": ((*RUN, "--unknown-op", "skip"), "bytes-only"),
    "override without a value": ((*RUN, "--set", "array.rows"), "--set: cannot read the override"),
    "override twice": ((*RUN, "--set", "array.rows=8", "--set", "array.rows=9"), "set twice"),
    "override of nothing": ((*RUN, "--set", "array.rowz=8"), "no leaf 'array.rowz'; did you mean"),
    "override without a unit": ((*RUN, "--set", "clock=1000"), "has no unit"),
    "override of another dimension": ((*RUN, "--set", "clock=1 GB"), "not a frequency"),
    "malformed condition": ((*RUN, "--fail-if", "latency"), "--fail-if: cannot read the condition"),
    "condition on an unknown metric": ((*RUN, "--fail-if", "latancy > 1 s"), "did you mean latency"),
    "condition without a unit": ((*RUN, "--fail-if", "latency > 1"), "has no unit"),
    "unknown suffix": ((*RUN, "-o", "a.pdf"), "names no form that run writes"),
    "no such folder": ((*RUN, "-o", "none/a.json"), "there is no folder none"),
    "output twice": ((*RUN, "-o", "a.json", "-o", "a.json"), "given twice"),
    "unknown operator to explain": ((*RUN, "--explain", "layer_77", "-o", "a.json"), "unknown operator 'layer_77'"),
    "unknown metric to rank by": (("whatif", GEMM, "--hw", "edge-npu", "--metric", "mood"), "unknown metric 'mood'"),
    "a metric that does not rank": (("whatif", GEMM, "--hw", "edge-npu", "--metric", "macs"), "cannot be ranked"),
    "what-if of an unknown leaf": (("whatif", GEMM, "--hw", "edge-npu", "--set", "array.rowz=8"), "no leaf"),
    "compare one": (("compare", "a.json"), "give two or more"),
    "compare a model on nothing": (("compare", "resnet50", "resnet50"), "give --hw"),
    "compare missing files": (("compare", "a.json", "b.json"), "a.json: cannot read the file"),
    "compare on one device": (("compare", GEMM, "--hw", "edge-npu"), "1 device is given"),
    "compare two models": (("compare", GEMM, "resnet50", "--hw", "edge-npu", "--hw", "edge-npu"), "2 models are given"),
    "compare a changed file": (("compare", "a.json", "b.json", "--set", "clock=1 GHz"), "no spec to change"),
    "no timings": (("compare", GEMM, "--hw", "edge-npu", "--measured", "none.csv"), "none.csv: cannot read the file"),
    "show an unknown spec": (("specs", "show", "h100"), "unknown hardware 'h100'"),
    "validate a missing file": (("specs", "validate", "none.yaml"), "none.yaml"),
    "unknown spec command": (("specs", "shw"), "shw"),
    "a ledger without a match": (("claims", "--filter", "no such word anywhere"), "no row of the ledger matches"),
    "a ledger that is not there": (("claims", "--folder", "none"), "no such folder"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_arguments_are_refused_with_a_message(case: str, tmp_path: Path) -> None:
    arguments, words = BAD[case]
    done = cli(*arguments)
    assert words in done.stderr, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.exit_code == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []


def test_stored_results_that_are_none(tmp_path: Path) -> None:
    for name, text, words in (
        ("a.json", '{"a": 1,\n "b" 2}', "a.json:2:6: not valid JSON"),
        ("a.json", "[1, 2]", "not a stored result"),
        ("a.json", '{"schema": 99}', "schema 99"),
        ("a.json", '{"schema": 1}', "keys missing"),
        ("a.json", "[" * 100_000, "a.json"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        done = cli("compare", name, name)
        assert done.exit_code == 2
        assert words in done.stderr
        assert "a.json" in done.stderr
        assert "internal error" not in done.stderr


def test_a_faulty_spec_lists_every_fault(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("schema: 1\nname: bad\nclock: 5\nunitt: {}\n", encoding="utf-8")
    for arguments in (("specs", "validate", "bad.yaml"), ("run", GEMM, "--hw", "bad.yaml")):
        done = cli(*arguments)
        assert done.exit_code == 2
        lines = [line for line in done.stderr.splitlines() if line.startswith("error: bad.yaml:")]
        assert len(lines) >= 2
        assert "did you mean unit" in done.stderr


def test_validate_as_json(tmp_path: Path) -> None:
    import json

    (tmp_path / "bad.yaml").write_text("schema: 1\nname: bad\nclock: 5\n", encoding="utf-8")
    done = cli("specs", "validate", "bad.yaml", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 2
    assert not found["valid"]
    assert all(error["where"] and error["what"] for error in found["errors"])


def test_a_defect_of_ours_is_told_from_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("cyclewright.api.run", broken)
    done = cli(*RUN)
    assert done.exit_code == 1
    assert "internal error: ZeroDivisionError: oops" in done.stderr
    assert "Traceback" not in done.stderr
