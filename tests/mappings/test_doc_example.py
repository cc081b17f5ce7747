"""The plug-in of docs/adding-a-unit.md, taken from the page and run as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cyclewright as cw
from hwspecs import load_hardware
from hwspecs.vocabulary.errors import ContractError
from mappings import map_graph
from tests.mappings.builders import elementwise, gemm, graph
from tests.mappings.test_systolic import check_graph, moved
from workloads import load_model

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adding-a-unit.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("plugin")
    for text in re.findall(r"```(?:yaml|python)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        name = text.splitlines()[0].removeprefix("# ")
        (target / name).write_text(text, encoding="utf-8")
    return target


def test_the_page_holds_both_files(folder):
    assert {path.name for path in folder.iterdir()} >= {"dot-engine.yaml", "dot_engine.py"}


def test_it_prints_what_the_page_says(folder):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "dot_engine.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    promised = re.search(r"It prints `([^`]+)`", PAGE.read_text(encoding="utf-8"))
    assert promised is not None
    assert done.stdout.strip() == promised[1]


@pytest.fixture
def hardware(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)
    import dot_engine  # noqa: F401  (registers its mapper)

    return load_hardware("dot-engine.yaml")


def test_what_it_declines_goes_to_the_vector_unit(hardware):
    pair, act = gemm("g", 64, 64, 64, y="t"), elementwise("act", "t", "y", 64, 64)
    first, second = map_graph(graph(pair, act), hardware).blocks[0].operators
    assert (first.unit, second.unit, second.fell_back_from) == ("dots", "vector", "dots")


def test_the_mapping_keeps_the_promises_of_the_page(hardware):
    for m, n, k in ((512, 256, 256), (7, 33, 17), (5000, 64, 100)):
        (operator,) = map_graph(graph(gemm("g", m, n, k)), hardware).blocks[0].operators
        (alternative,) = operator.alternatives
        check_graph(alternative)
        assert moved(alternative) == {("x", "in"): m * k, ("w", "in"): k * n, ("y", "out"): m * n}
        assert alternative.breakdown["dots"] * 32 * 16 >= m * n * k


def test_it_runs_resnet50_with_nearly_everything_on_the_engine(hardware):
    result = cw.run("resnet50", "dot-engine.yaml")
    on_dots = [row for row in result.operators if row.unit == "dots" and row.kind != "view"]
    assert len(on_dots) == 54  # 53 convolutions and the classifier
    assert {row.kind for row in result.operators if row.unit == "vector"} == {"pool"}
    assert result.cycles >= 4_089_184_256 / (32 * 16)  # MACs over the engine's rate
    assert not any("no energy" in warning for warning in result.warnings)


def test_a_residual_sum_reads_both_sides(hardware):
    mapped = map_graph(load_model("resnet50", format="int8"), hardware)
    operator = next(item for item in mapped.blocks[0].operators if len(item.reads) == 5)  # rows, weights, scale, shift, residual
    (alternative,) = operator.alternatives
    check_graph(alternative)
    assert moved(alternative) == {
        **{(name, "in"): size for name, size in operator.reads.items()},
        **{(name, "out"): size for name, size in operator.writes.items()},
    }
    assert [stage.name for stage in alternative.stages][-1] == "finish"


def test_a_mapper_that_promises_too_much_is_refused_by_name(hardware, monkeypatch):
    import dot_engine

    monkeypatch.setattr(dot_engine, "ceil", lambda value: 1)
    with pytest.raises(ContractError, match=r"g: the mapper of kind 'dot-engine' (breaks its promises|raised)"):
        map_graph(graph(gemm("g", 512, 256, 256)), hardware)
