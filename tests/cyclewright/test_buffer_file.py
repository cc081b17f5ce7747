"""Files of buffers: placed, written with their offsets, refused with line and reason."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cyclewright.buffer_file import place
from cyclewright.cli.commands import main
from hwspecs.vocabulary.errors import InfeasibleError
from ilp.minimalloc import read_buffers

# two of 3 bytes live one after the other beside one of 4, and one of 2 at the end: 7 bytes at most at one moment
FILE = "id,lower,upper,size\na,0,2,3\nb,0,4,4\nc,2,4,3\nd,4,5,2\n"


def cli(*arguments: str) -> Result:
    done = CliRunner().invoke(main, list(arguments))
    assert "internal error" not in done.stderr, done.stderr
    return done


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.csv").write_text(FILE, "utf-8")
    return tmp_path / "b.csv"


def test_buffers_lie_within_the_capacity_and_apart(path: Path) -> None:
    for capacity in (7, 100, None):
        found = place(path, capacity)
        assert found.found.offsets is not None
        rows = list(zip(found.buffers, found.found.offsets, strict=True))
        assert all(0 <= at <= found.scratchpad_bytes - buffer.size for buffer, at in rows)
        for one, at in rows:
            for other, place_of in rows:
                if one is not other and one.lower < other.upper and other.lower < one.upper:
                    assert at + one.size <= place_of or place_of + other.size <= at
    assert place(path).scratchpad_bytes == 7


def test_the_command_writes_offsets_in_the_same_format(path: Path) -> None:
    done = cli("schedule", "--buffers", "b.csv", "--scratchpad", "7 B", "--json", "-o", "out.csv")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    rows = list(csv.DictReader(io.StringIO((path.parent / "out.csv").read_text("utf-8"))))
    assert {row["id"]: int(row["offset"]) for row in rows} == document["offsets"]
    assert read_buffers("out.csv").buffers == read_buffers("b.csv").buffers
    assert "4, all placed within 7 bytes" in cli("schedule", "--buffers", "b.csv").stdout


def test_what_does_not_fit_is_refused_by_how_much(path: Path) -> None:
    with pytest.raises(InfeasibleError, match="7 bytes live at one moment, 1 more than the scratchpad of 6"):
        place(path, 6)
    done = cli("schedule", "--buffers", "b.csv", "--scratchpad", "6 B", "-o", "out.csv")
    assert done.exit_code == 1
    assert not (path.parent / "out.csv").exists()


@pytest.mark.parametrize("text", ["", "id,lower,size\na,0,1\n", "id,lower,upper,size\n", "id,lower,upper,size\na,0,x,1\n"])
def test_bad_files_are_refused(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    done = cli("schedule", "--buffers", "b.csv")
    assert (done.exit_code, "b.csv" in done.stderr) == (2, True)


def test_a_file_of_buffers_has_no_model(path: Path) -> None:
    assert cli("schedule", "resnet18", "--buffers", "b.csv").exit_code == 2
    assert cli("schedule", "--buffers", "none.csv").exit_code == 2


@pytest.mark.parametrize("option", [["--weights"], ["--budget", "M_P"], ["--hw", "edge-npu"], ["--seconds", "1"]])
def test_options_of_models_are_refused_beside_a_file_of_buffers(path: Path, option: list[str]) -> None:
    done = cli("schedule", "--buffers", "b.csv", *option)
    assert (done.exit_code, option[0] in done.stderr) == (2, True)
