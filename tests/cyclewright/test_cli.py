"""The command line on real runs: what it prints, writes and returns."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import cyclewright as cw
from cyclewright.api import document_of
from cyclewright.cli.commands import main
from cyclewright.plots.formatting import percent

ROOT = Path(__file__).parents[2]
GEMM = "gemm:256x256x256"
RUN = ("run", GEMM, "--hw", "edge-npu")


def cli(*arguments: str) -> Result:
    done = CliRunner().invoke(main, list(arguments))
    assert "internal error" not in done.stderr, done.stderr
    return done


def process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cyclewright", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, **options)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_command_and_the_function_give_the_same_document() -> None:
    done = cli("run", "mobilenet-v2", "--hw", "edge-npu", "--batch", "2", "--set", "clock=800 MHz", "--json")
    assert done.exit_code == 0
    theirs = json.loads(done.stdout)
    ours = document_of(cw.run("mobilenet-v2", "edge-npu", batch=2, overrides=["clock=800 MHz"], interval=True))
    ours = json.loads(json.dumps(ours))
    for document in (theirs, ours):
        document.pop("meta")
    assert theirs == ours
    assert list(theirs)[:9] == [
        "latency_s",
        "cycles",
        "energy_j",
        "macs",
        "flops",
        "dram_bytes",
        "roofline_s",
        "bound_by",
        "peak_memory_bytes",
    ]


def test_files_hold_what_json_prints(tmp_path: Path) -> None:
    done = cli(*RUN, "--json", "-o", "a.json", "-o", "a.csv", "-o", "a.html", "-o", "a.svg", "-o", "a.trace.json")
    assert done.exit_code == 0
    assert (tmp_path / "a.json").read_text("utf-8") == done.stdout
    document = json.loads(done.stdout)
    assert len(list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text("utf-8"))))) == len(document["operators"])
    assert json.loads((tmp_path / "a.trace.json").read_text("utf-8"))["traceEvents"]
    assert "wrote a.json" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "a.html", "a.json", "a.svg", "a.trace.json"]


def test_the_command_in_the_report_makes_the_same_run(tmp_path: Path) -> None:
    (tmp_path / "my specs").mkdir()
    (tmp_path / "my specs" / "wide.yaml").write_text(
        'schema: 1\nname: wide\nextends: edge-npu\nmemory: {dram: {bandwidth: {value: "80 GB/s", source: paper, cite: a test}}}\n', "utf-8"
    )
    done = cli("run", GEMM, "--hw", "my specs/wide.yaml", "--format", "int8", "--set", "clock=800 MHz", "-o", "a.html", "-o", "a.json")
    assert done.exit_code == 0, done.stderr
    text = (tmp_path / "a.html").read_text("utf-8")
    printed = unescape(text.partition("<pre")[2].partition("<code>")[2].partition("</code>")[0])
    assert cli(*shlex.split(printed)[1:], "-o", "b.json").exit_code == 0
    first, second = (json.loads((tmp_path / name).read_text("utf-8")) for name in ("a.json", "b.json"))
    assert first["digest"] == second["digest"]
    assert first["meta"]["asked"]["hardware"] == "my specs/wide.yaml"


def test_terminal_and_page_write_shares_and_sizes_alike(tmp_path: Path) -> None:
    done = cli("run", "llama-3-8b", "--hw", "nvidia-h200-sxm", "--phase", "decode", "--top", "99", "-o", "a.json", "-o", "a.html")
    document = json.loads((tmp_path / "a.json").read_text("utf-8"))
    page = unescape((tmp_path / "a.html").read_text("utf-8"))
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("  ") and line.split()}
    for row in document["operators"]:
        shares = [row["share"], row["roof_s"] / row["time_s"]] if row["time_s"] else [row["share"]]
        for share in shares:
            assert percent(share) in lines[row["name"]]
            assert percent(share) in page
    assert "< 0.1 %" in lines["attention_norm"]
    assert lines["split_heads"].split() == ["split_heads", "view", "sm", "32", "0", "s", "0", "%"]
    assert "iB" not in done.stdout
    assert "tokens 1" not in done.stdout


def test_the_table_names_the_headline_numbers() -> None:
    done = cli(*RUN)
    assert done.exit_code == 0
    for word in ("latency", "bound by", "MFU", "energy", "memory", "roofline", "over the assumed numbers", "gemm"):
        assert word in done.stdout
    assert "\x1b[" not in done.stdout
    assert "over the assumed" not in cli(*RUN, "--no-interval").stdout


def test_a_gate_exits_with_3_after_the_result_is_out(tmp_path: Path) -> None:
    done = cli(*RUN, "--fail-if", "latency > 1 ns", "--fail-if", "energy > 1 kJ", "-o", "a.json")
    assert done.exit_code == 3
    assert "latency" in done.stdout
    assert "error: --fail-if: 'latency > 1 ns' holds: latency_s is" in done.stderr
    assert "kJ" not in done.stderr
    assert (tmp_path / "a.json").exists()
    assert cli(*RUN, "--fail-if", "latency > 1 s").exit_code == 0


def test_explain_says_where_time_and_bytes_go() -> None:
    done = cli(*RUN, "--explain", "gemm")
    assert done.exit_code == 0
    for word in ("bound by", "compulsory", "MACs", "ways to run it", "chosen"):
        assert word in done.stdout


def test_roofline_whatif_compare_in_text_and_json(tmp_path: Path) -> None:
    assert "roofs" in cli("roofline", GEMM, "--hw", "edge-npu", "-o", "roof.svg").stdout
    assert json.loads(cli("roofline", GEMM, "--hw", "edge-npu", "--json").stdout)["roofs"]
    done = cli("whatif", GEMM, "--hw", "edge-npu", "-o", "tornado.svg", "-o", "w.html", "-o", "w.csv", "-o", "w.json")
    assert "the limiting one first" in done.stdout
    stored = json.loads((tmp_path / "w.json").read_text("utf-8"))
    assert len(list(csv.DictReader(io.StringIO((tmp_path / "w.csv").read_text("utf-8"))))) == len(stored["leaves"])
    done = cli("whatif", GEMM, "--hw", "edge-npu", "--set", "array.rows=64", "--json")
    assert json.loads(done.stdout)["change"]["overrides"] == ["unit.array.rows=64"]
    done = cli("whatif", GEMM, "--hw", "edge-npu", "--set", "array.rows=64")
    assert "with unit.array.rows=64" in done.stdout


def test_compare_files_devices_and_timings(tmp_path: Path) -> None:
    assert cli(*RUN, "-o", "a.json").exit_code == 0
    assert cli(*RUN, "--set", "clock=500 MHz", "-o", "b.json").exit_code == 0
    files = cli("compare", "a.json", "b.json", "--json")
    assert files.exit_code == 0
    stored = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert json.loads(files.stdout)["metrics"]["latency_s"]["values"][0] == stored["latency_s"]
    devices = cli("compare", GEMM, "--hw", "edge-npu", "--hw", "tpu-v1-like", "-o", "c.csv")
    assert "tpu-v1-like" in devices.stdout
    assert (tmp_path / "c.csv").read_text("utf-8").startswith("metric,")
    (tmp_path / "t.csv").write_text("operator,time_us\ngemm,100\nother,3\n", encoding="utf-8")
    for what in (("a.json",), (GEMM, "--hw", "edge-npu")):
        done = cli("compare", *what, "--measured", "t.csv")
        assert done.exit_code == 0, done.stderr
        assert "total of both" in done.stdout
        assert "not in the result: other" in done.stdout
    found = json.loads(cli("compare", "a.json", "--measured", "t.csv", "--json").stdout)
    assert found["total"]["error"] == pytest.approx(found["total"]["ours_s"] / 100e-6 - 1)


def test_a_stored_result_that_was_changed_is_refused(tmp_path: Path) -> None:
    assert cli(*RUN, "-o", "a.json").exit_code == 0
    text = (tmp_path / "a.json").read_text("utf-8")
    document = json.loads(text)
    document["latency_s"] *= 0.5
    (tmp_path / "b.json").write_text(json.dumps(document), encoding="utf-8")
    done = cli("compare", "a.json", "b.json")
    assert done.exit_code == 2
    assert "b.json" in done.stderr
    assert "changed after it was written" in done.stderr


def test_specs_and_models() -> None:
    assert "edge-npu" in cli("specs", "list").stdout.split()
    assert "edge-npu" in [row["name"] for row in json.loads(cli("specs", "list", "--json").stdout)["specs"]]
    shown = cli("specs", "show", "edge-npu", "--set", "array.rows=64")
    assert shown.exit_code == 0
    assert "unit.array.rows" in shown.stdout
    leaves = json.loads(cli("specs", "show", "edge-npu", "--json").stdout)["leaves"]
    assert all(leaf["source"] and leaf["cite"] for leaf in leaves)
    library = ROOT / "hwspecs" / "library" / "npu" / "edge-npu.yaml"
    assert "is a valid spec" in cli("specs", "validate", str(library)).stdout
    assert "properties" in json.loads(cli("specs", "schema").stdout)
    models = {row["name"]: row for row in json.loads(cli("models", "--json").stdout)["models"]}
    assert models["resnet50"]["macs"] == pytest.approx(4.089e9, rel=1e-3)
    assert models["llama-3-8b"]["parameters"] == 8_030_261_248
    assert models["llama-3-8b"]["phases"] == ["prefill", "decode", "train"]
    assert models["training-resnet18"]["phases"] == ["inference"]
    assert "resnet50" in cli("models").stdout


LEDGER = """
defaults: {kind: identity, source: arithmetic, tolerance: {relative: 0, reason: exact}, run: {model: "gemm:4x5x6", hardware: edge-npu}}
claims:
  - {id: macs-of-a-product, title: MACs, metric: macs, value: 120}
  - {id: wrong-and-known, title: MACs, metric: macs, value: 121, expect: miss, note: one too many}
"""


def test_claims_exit_with_1_only_if_an_outcome_is_not_as_expected(tmp_path: Path) -> None:
    (tmp_path / "rows.yaml").write_text(LEDGER, encoding="utf-8")
    done = cli("claims", "--folder", ".", "--json", "-o", "claims.csv")
    assert done.exit_code == 0
    first, second = json.loads(done.stdout)["claims"]
    assert (first["ours"], first["published"], first["error"], first["pass"]) == (120, 120, 0, True)
    assert (second["pass"], second["as_expected"], second["expect"]) == (False, True, "miss")
    assert second["error"] == pytest.approx(-1 / 121)
    assert "2 of 2 as expected" in cli("claims", "--folder", ".").stdout
    assert len(json.loads(cli("claims", "--folder", ".", "--filter", "wrong", "--json").stdout)["claims"]) == 1
    (tmp_path / "rows.yaml").write_text(LEDGER.replace("value: 120", "value: 119"), encoding="utf-8")
    done = cli("claims", "--folder", ".")
    assert done.exit_code == 1
    assert "miss, expected pass" in done.stdout
    (tmp_path / "rows.yaml").write_text(LEDGER.replace("gemm:4x5x6", "no-such-net"), encoding="utf-8")
    done = cli("claims", "--folder", ".")
    assert done.exit_code == 1
    assert "unknown model 'no-such-net'" in done.stdout


def unserved(folder: Path) -> str:
    """A spec of a kind that no mapper serves."""
    path = folder / "strange.yaml"
    path.write_text("schema: 1\nname: strange\nextends: systolic-array\nunit:\n  array: {kind: photonic}\n", encoding="utf-8")
    return str(path)


def test_unsupported_hardware_exits_with_1_and_names_the_kind(tmp_path: Path) -> None:
    done = cli("run", GEMM, "--hw", unserved(tmp_path), "-o", "a.html")
    assert done.exit_code == 1
    assert "photonic" in done.stderr
    assert os.listdir(tmp_path) == ["strange.yaml"]


def test_exit_codes_and_streams_of_a_process(tmp_path: Path) -> None:
    done = process(*RUN, "--fail-if", "latency > 1 ns")
    assert done.returncode == 3
    assert "latency" in done.stdout
    assert done.stderr.startswith("error: --fail-if")
    done = process("run", "resnet5O", "--hw", "edge-npu")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean resnet50" in done.stderr
    assert process("run", GEMM, "--hw", unserved(tmp_path)).returncode == 1
    assert process("--version").stdout == f"cyclewright {cw.__version__}\n"


def test_a_closed_pipe_is_no_error_to_talk_about() -> None:
    script = f"{sys.executable} -m cyclewright specs show nvidia-h100-sxm --json | head -c 10"
    done = subprocess.run(["sh", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert len(done.stdout) == 10
    assert done.stderr == ""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_an_interrupt_exits_with_130_and_without_a_traceback() -> None:
    code = "import cyclewright.api as api, os, signal; api.prepare = lambda *a, **k: os.kill(os.getpid(), signal.SIGINT)"
    arguments = ["cyclewright", *RUN]
    main_code = f"{code}; import sys; sys.argv = {arguments!r}; from cyclewright.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", main_code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


def test_colour_only_on_a_terminal_and_never_with_no_color() -> None:
    done = CliRunner(env={"NO_COLOR": "1"}).invoke(main, ["rnu"], color=True)
    assert "\x1b[" not in done.stderr
    done = CliRunner(env={"NO_COLOR": ""}).invoke(main, [*RUN, "--top", "0"], color=True)
    assert "\x1b[" in done.stdout
    done = CliRunner(env={"NO_COLOR": "1"}).invoke(main, [*RUN, "--top", "0"], color=True)
    assert "\x1b[" not in done.stdout


def test_specs_whose_kinds_no_mapper_serves_are_marked(tmp_path: Path) -> None:
    (line,) = (line for line in cli("specs", "list").stdout.splitlines() if line.split()[:1] == ["isaac"])
    assert "no mapper" not in line
    rows = {row["name"]: row["unserved"] for row in json.loads(cli("specs", "list", "--json").stdout)["specs"]}
    assert not any(rows.values())
    done = cli("specs", "validate", unserved(tmp_path))
    assert done.exit_code == 0
    assert "is a valid spec\nnote: no mapper serves kind 'photonic' here yet (unit 'array')" in done.stdout
    assert "note" not in cli("specs", "validate", str(ROOT / "hwspecs/library/npu/edge-npu.yaml")).stdout


def test_a_folder_is_no_spec(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["specs", "validate", str(tmp_path)], standalone_mode=True)
    assert done.exit_code == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_said_plainly() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cyclewright", "run", "gemm:8x8x8", "--hw", "edge-npu"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert "cannot write the output" in done.stderr
    assert "defect" not in done.stderr


def test_an_explanation_has_a_json_form() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cyclewright", "run", "gemm:8x8x8", "--hw", "edge-npu", "--explain", "gemm", "--json", "--no-interval"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["operator"] == "gemm"
    assert found["sections"]["time"]["bound by"] == "compute:array"
