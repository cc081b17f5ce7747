from __future__ import annotations

from pathlib import Path

import pytest

from cyclewright.measured import compare_measured, read_timings
from hwspecs.vocabulary.errors import ErrorList, InvalidInput
from tests.cyclewright.sample_documents import sample_document


def write(folder: Path, text: str) -> Path:
    path = folder / "timings.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("operator,time_us\na,12.5\n", 12.5e-6),
        ("operator,time [ms]\na,0.0125\n", 12.5e-6),
        ("layer,time (s)\na,12.5e-6\n", 12.5e-6),
        ("name,time\na,12.5 us\n", 12.5e-6),
        ("step,Operator,Latency_us,device\n1,a,12.5,x\n", 12.5e-6),
        ('\ufeffoperator,time_us\n\n"a", 12.5 \n', 12.5e-6),
    ],
)
def test_headers_and_units(tmp_path: Path, text: str, seconds: float) -> None:
    (row,) = read_timings(write(tmp_path, text))
    assert row.operator == "a"
    assert row.time_s == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("", ":1:1", "empty"),
        ("operator,time_us\n", "timings.csv", "no timing"),
        ("operator,power\na,1\n", ":1:1", "no column holds times"),
        ("operator,time_us,time_ms\na,1,1\n", ":1:1", "2 columns hold times"),
        ("kernel,time_us\na,1\n", ":1:1", "no column is called operator"),
        ("operator,time [weeks]\na,1\n", ":1:2", "unknown unit"),
        ("operator,time\na,1\n", ":2:2", "no unit"),
        ("operator,time_us\na,fast\n", ":2:2", "does not begin with a number"),
        ("operator,time_us\na,-1\n", ":2:2", "a time of -1"),
        ("operator,time_us\na,0\n", ":2:2", "a time of 0"),
        ("operator,time_us\na,1,2\n", ":2", "3 cells under 2"),
        ("operator,time_us\na,1\nb,2\na,3\n", ":4:1", "again, first at"),
    ],
)
def test_faults_are_located(tmp_path: Path, text: str, where: str, words: str) -> None:
    with pytest.raises(ErrorList) as caught:
        read_timings(write(tmp_path, text))
    assert where in str(caught.value)
    assert words in str(caught.value)


def test_all_faults_of_a_file_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(ErrorList) as caught:
        read_timings(write(tmp_path, "operator,time_us\na,x\nb,1\nc,0\nb,2\n"))
    assert [str(error.where).rsplit("timings.csv")[-1] for error in caught.value.errors] == [":2:2", ":4:2", ":5:1"]


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(ErrorList, match="cannot read the file"):
        read_timings(tmp_path / "nothing.csv")
    (tmp_path / "raw.csv").write_bytes(b"operator,time_us\n\xff\xfe,1\n")
    with pytest.raises(ErrorList, match="UTF-8"):
        read_timings(tmp_path / "raw.csv")


def test_errors_by_operator_and_in_total(tmp_path: Path) -> None:
    document = sample_document(10)
    first, second, third = document["operators"][:3]
    text = f"operator,time\n{second['name']},{2 * second['time_s']!r} s\n{first['name']},{first['time_s'] / 2!r} s\nunknown,1 ms\n"
    found = compare_measured(document, write(tmp_path, text))
    assert [name for name, _, _ in found.rows] == [first["name"], second["name"]]
    errors = [row["error"] for row in found.as_dict()["operators"]]
    assert errors == [pytest.approx(1.0), pytest.approx(-0.5)]
    assert found.mean_absolute_error == pytest.approx(0.75)
    ours, measured = first["time_s"] + second["time_s"], first["time_s"] / 2 + 2 * second["time_s"]
    assert found.total_error == pytest.approx(ours / measured - 1)
    assert found.only_measured == ("unknown",)
    assert third["name"] in found.only_ours


def test_a_file_about_something_else_is_refused_with_the_names_that_would_fit(tmp_path: Path) -> None:
    document = sample_document(10)
    with pytest.raises(InvalidInput, match="no operator of the file") as caught:
        compare_measured(document, write(tmp_path, "operator,time_us\na,1\n"))
    assert document["operators"][0]["name"] in str(caught.value)
