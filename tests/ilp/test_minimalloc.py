"""Files of buffers: read, written with offsets, and refused with the line of each fault."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import ErrorList, ModelError
from ilp.minimalloc import csv_text, parse_buffers, read_buffers
from ilp.placement import Buffer, allocate

FIVE = "id,lower,upper,size\nweights,0,9,5\nx,0,3,2\ny,3,6,2\nz,2,9,1\nlast,6,9,2\n"


def test_a_file_is_read_placed_and_written(tmp_path):
    path = tmp_path / "five.csv"
    path.write_text(FIVE)
    read = read_buffers(path)
    assert read.offsets is None
    assert read.buffers[1] == Buffer("x", 0, 3, 2)
    found = allocate(read.buffers, 8)  # 5 + 2 + 1 bytes are alive from moment 2 on
    assert found.offsets is not None
    again = parse_buffers(csv_text(read.buffers, found.offsets))
    assert (again.buffers, again.offsets) == (read.buffers, found.offsets)
    assert allocate(read.buffers, 7).infeasible


def test_columns_in_another_order_blank_lines_and_a_mark_at_the_start(tmp_path):
    path = tmp_path / "other.csv"
    path.write_bytes("\ufeffsize, id ,upper,lower\r\n\r\n7,a,5,-2\r\n".encode())
    assert read_buffers(path).buffers == (Buffer("a", -2, 5, 7),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("id,lower,upper\n", "f:1: no column 'size'"),
        ("id,lower,uper,size\n", "f:1: unknown column 'uper'; did you mean upper?"),
        ("id,lower,upper,size,size\n", "f:1: column 'size' is given twice"),
    ],
)
def test_headers_that_are_refused(text, words):
    with pytest.raises(ModelError) as caught:
        parse_buffers(text, "f")
    assert words in str(caught.value)


def test_every_fault_is_told_with_its_line():
    text = "id,lower,upper,size\na,0,3,-4\nb,5,5,1\na,1,2,1\nc,1,2\nd,one,2,1.5\ne,0,1,99999999999999999999\n"
    with pytest.raises(ErrorList) as caught:
        parse_buffers(text, "f")
    told = [str(error) for error in caught.value.errors]
    expected = (
        "f:2: size -4 is negative", "f:3: lower 5 is not below upper 5", "f:4: id 'a' is that of line 2", "f:5: 3 cells of 4",
        "f:6: lower 'one' is no whole number", "f:6: size '1.5' is no whole number", "f:7: size 99999999999999999999 is beyond",
    )  # fmt: skip
    assert len(told) == len(expected)
    assert all(words in line for words, line in zip(expected, told, strict=True))


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        read_buffers(tmp_path / "nothing.csv")
    with pytest.raises(ModelError, match="cannot be read"):
        read_buffers(tmp_path)
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="UTF-8"):
        read_buffers(tmp_path / "bytes.csv")


rows = st.lists(st.tuples(st.integers(-99, 99), st.integers(1, 99), st.integers(0, 10**12), st.integers(0, 10**12)), max_size=9)


@given(rows)
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read(rows):
    buffers = tuple(Buffer(f'b "{number}", x', lower, lower + width, size) for number, (lower, width, size, _) in enumerate(rows))
    offsets = tuple(row[3] for row in rows)
    read = parse_buffers(csv_text(buffers, offsets))
    assert (read.buffers, read.offsets) == (buffers, offsets)
