from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cyclewright.outputs import check_outputs, json_bytes, render_run, save, suffix_of, table_csv
from hwspecs.vocabulary.errors import ArgumentError
from simulator.stored import from_json, to_json
from tests.cyclewright.sample_documents import sample_result


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.json", ".json"), ("a.trace.json", ".trace.json"), ("my.report.HTML", ".html"), ("a.b.csv", ".csv"), ("roof.svg", ".svg")],
)
def test_the_suffix_picks_the_form(name: str, suffix: str) -> None:
    assert suffix_of(Path("folder") / name, "run") == suffix


@pytest.mark.parametrize("name", ["report", "report.pdf", ".json", "report.html.gz", "json"])
def test_other_suffixes_are_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ArgumentError, match=r"use one of \.html"):
        suffix_of(name, "run")


def test_paths_are_checked_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    for path, words in (
        (tmp_path / "folder.json", "is a folder"),
        (tmp_path / "nowhere" / "a.json", "there is no folder"),
    ):
        with pytest.raises(ArgumentError, match=words):
            check_outputs([path], "run")
    with pytest.raises(ArgumentError, match="given twice"):
        check_outputs([tmp_path / "a.json", tmp_path / "a.json"], "run")
    assert check_outputs([tmp_path / "a.json", str(tmp_path / "b.html")], "run") == (tmp_path / "a.json", tmp_path / "b.html")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ArgumentError, match="cannot be written"):
            check_outputs([tmp_path / "a.json"], "run")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("name", ["a.html", "a.json", "a.csv", "a.svg", "a.png", "a.trace.json"])
def test_every_form_is_made_and_made_alike_twice(name: str) -> None:
    result = sample_result(12)
    first = render_run(result, Path(name))
    assert first == render_run(result, Path(name))
    start = {"html": b"<!", "json": b"{", "csv": b"name,", "svg": b"<", "png": b"\x89PNG"}[name.rsplit(".")[-1]]
    assert first.lstrip().lower().startswith(start.lower())


def test_saved_json_is_the_stored_form(tmp_path: Path) -> None:
    result = sample_result(12)
    save(result, tmp_path / "a.json", tmp_path / "a.csv")
    text = (tmp_path / "a.json").read_text("utf-8")
    assert text == to_json(result)
    assert to_json(from_json(text)) == text
    assert len((tmp_path / "a.csv").read_text("utf-8").splitlines()) == 13
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.json"]


def test_nothing_is_written_if_one_form_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(document: object) -> str:
        raise ArgumentError("no report today")

    monkeypatch.setattr("cyclewright.report.render", broken)
    with pytest.raises(ArgumentError, match="no report today"):
        save(sample_result(3), tmp_path / "a.json", tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []


def test_tables_hold_scalars_and_leave_gaps_empty() -> None:
    rows = [{"a": 1, "b": None, "c": [1]}, {"a": 2.5, "d": "x, y"}]
    assert table_csv(rows).decode() == 'a,b,d\n1,,\n2.5,,"x, y"\n'


def test_json_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        json_bytes({"a": float("nan")})
    assert json.loads(json_bytes({"a": "µ"})) == {"a": "µ"}
