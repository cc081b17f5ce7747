"""Crossbars on the command line: what a run says of its arrays, comparisons, figures, conditions, and what-ifs over the arrays' numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cyclewright as cw
from cyclewright.cli.commands import main
from cyclewright.cli.run import _FIGURES
from cyclewright.metrics import ARRAY_METRICS
from cyclewright.plots import FIGURES
from simulator.result import Result

GEMM = "gemm:64x512x512"


def call(*words: str) -> str:
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code == 0, done.output
    return done.output


def fails(code: int, *words: str) -> str:
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code == code
    return done.output


def line(text: str, start: str) -> str:
    return next(found for found in text.splitlines() if found.strip().startswith(start))


def test_the_help_names_the_figures_that_there_are() -> None:
    assert set(_FIGURES) == set(FIGURES)
    assert _FIGURES[0] == "roofline"


def test_a_run_says_what_its_arrays_hold() -> None:
    text = call("run", GEMM, "--hw", "isaac", "--no-interval")
    # 512 / 128 row parts, 512 weights of 8 cells over 128 columns, 64 vectors: as many copies as there are vectors at most
    each = 4 * 32
    held = line(text, "arrays   ")
    copies = int(line(text, "copies").split()[1])
    assert f"{each * copies:,} of 16,128 hold weights, in 100 % of their cells" in held
    assert "arrays of 128 x 128 cells" in text
    assert "TOPS/W" in line(text, "chip")
    assert "pipelined" in text
    assert "arrays of" not in call("run", GEMM, "--hw", "edge-npu", "--no-interval")
    stored = json.loads(call("run", GEMM, "--hw", "isaac", "--no-interval", "--json"))
    assert stored["in_memory"]["used"] == each * copies


def test_figures_are_written_by_name(tmp_path: Path) -> None:
    for name in ("arrays", "parts", "pipeline"):
        target = tmp_path / f"{name}.svg"
        call("run", GEMM, "--hw", "isaac", "--no-interval", "--top", "0", "--plot", name, "-o", str(target))
        assert target.read_text("utf-8").startswith("<svg")
    assert (tmp_path / "arrays.svg").read_text("utf-8") != (tmp_path / "parts.svg").read_text("utf-8")


def test_a_figure_that_is_not_there_or_goes_nowhere_is_refused_before_the_run(tmp_path: Path) -> None:
    target = tmp_path / "x.svg"
    assert "did you mean arrays" in fails(2, "run", GEMM, "--hw", "isaac", "--plot", "aray", "-o", str(target))
    assert "give -o arrays.svg" in fails(2, "run", GEMM, "--hw", "isaac", "--plot", "arrays")
    assert "have no figure" in fails(2, "compare", GEMM, "--hw", "isaac", "--measured", "x.csv", "-o", str(target))
    assert not target.exists()


def test_compare_has_the_rows_of_arrays_where_a_device_has_them(tmp_path: Path) -> None:
    target, table = tmp_path / "parts.svg", tmp_path / "rows.csv"
    text = call("compare", GEMM, "--hw", "isaac", "--hw", "edge-npu", "-o", str(target), "-o", str(table))
    row = line(text, "cells in use").split()
    assert row[3:] == ["100", "%"]  # nothing in the column of the NPU
    assert ">edge-npu" in target.read_text("utf-8")
    cells = {words[0]: words[1:] for words in (text.split(",") for text in table.read_text("utf-8").splitlines())}
    assert cells["array_use"] == ["1.0", ""]
    other = call("compare", GEMM, "--hw", "edge-npu", "--hw", "quad-core-npu")
    assert "cells in use" not in other


def test_conditions_on_arrays_hold_of_crossbars_alone() -> None:
    assert "array_use is 100 %" in fails(3, "run", GEMM, "--hw", "isaac", "--no-interval", "--fail-if", "array_use > 50 %")
    call("run", GEMM, "--hw", "isaac", "--no-interval", "--fail-if", "interval > 1 s")
    assert "only crossbars have it" in fails(2, "run", GEMM, "--hw", "edge-npu", "--no-interval", "--fail-if", "interval > 1 s")


@pytest.fixture(scope="module")
def base() -> Result:
    return _run({})


def _run(changes: dict[str, str]) -> Result:
    return cw.run(GEMM, "neurosim-rram", interval=False, overrides={"unit.array.replicate": "none", **changes})


def _arrays(result: Result) -> dict[str, Any]:
    assert result.in_memory is not None
    return dict(result.in_memory)


def test_twice_the_sharing_halves_the_converters_and_costs_time(base: Result) -> None:
    changed = _run({"unit.array.adc.sharing": "16"})
    before, after = _arrays(base), _arrays(changed)
    assert after["area_mm2"]["adc"] == pytest.approx(before["area_mm2"]["adc"] / 2)
    assert changed.latency_s > base.latency_s
    assert after["layers"][0]["cycles_per_product"] > before["layers"][0]["cycles_per_product"]
    assert changed.energy_by_component["array.adc"] == pytest.approx(base.energy_by_component["array.adc"])


def test_a_bit_more_of_a_modelled_converter_costs_energy_and_area_but_no_arrays(base: Result) -> None:
    before, after = _arrays(base), _arrays(_run({"unit.array.adc.resolution": "6"}))
    assert after["energy_j"]["adc"] > before["energy_j"]["adc"]
    assert after["area_mm2"]["adc"] > before["area_mm2"]["adc"]
    assert after["energy_j"]["cells"] == before["energy_j"]["cells"]
    assert after["used"] == before["used"]


def test_a_bit_more_of_a_ramp_doubles_its_steps() -> None:
    def cycles(bits: int) -> int:
        result = cw.run("lstm-ptb-char", "nl-adc-nlp", interval=False, overrides={"unit.array.adc.resolution": str(bits)})
        return int(_arrays(result)["layers"][0]["cycles_per_product"])

    one, two, three = (cycles(bits) for bits in (5, 6, 7))
    assert two - one == 2**6 - 2**5  # steps of one cycle of the 1 GHz clock
    assert three - two == 2**7 - 2**6


def test_half_the_rows_take_twice_the_arrays_and_more_bits_a_cell_fewer(base: Result) -> None:
    used = _arrays(base)["used"]
    assert _arrays(_run({"unit.array.rows": "64"}))["used"] == 2 * used
    bits = _arrays(_run({"unit.array.bits_per_cell": "2"}))["used"]
    assert used % bits == 0
    assert used // bits in (2, 4)


def test_whatif_shows_the_arrays_of_base_and_change_and_ranks_their_numbers() -> None:
    change = cw.whatif(GEMM, "neurosim-rram", set=["unit.array.adc.sharing=16"], leaves=False).as_dict()["change"]
    assert change["metrics"]["area_mm2"]["ratio"] < 1
    assert change["metrics"]["interval_s"]["ratio"] >= 1
    assert set(ARRAY_METRICS) <= set(change["metrics"])
    text = call("whatif", GEMM, "--hw", "neurosim-rram", "--set", "array.adc.sharing=16")
    assert "area in mm2" in text
