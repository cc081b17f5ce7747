"""What docs/specs.md shows is valid, and it names every key of the schema."""

import re
from pathlib import Path

import pytest

from hwspecs import load_hardware, validate_file
from hwspecs.hardware import SOURCES
from hwspecs.schema import HEADER, LINK, MEMORY, TOP, UNIT_COMMON, UNIT_KINDS, Group

PAGE = Path(__file__).parents[2] / "docs" / "specs.md"
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the documents are not here (installed package)")


def _examples():
    return re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL) if PAGE.exists() else []


@pytest.mark.parametrize("text", _examples())
def test_examples_are_valid(text, tmp_path):
    path = tmp_path / "example.yaml"
    path.write_text(text, encoding="utf-8")
    assert validate_file(path) == ()
    hardware = load_hardware(str(path))
    assert hardware.primary.rates
    assert hardware.dram.bandwidth_bytes_per_s > 0


def test_there_is_a_gpu_and_an_array_to_copy():
    assert len(_examples()) == 2


def _keys(entries):
    for key, entry in entries.items():
        yield key
        if isinstance(entry, Group):
            yield from _keys(entry.keys)
            if isinstance(entry.each, Group):
                yield from _keys(entry.each.keys)


def test_every_key_is_on_the_page():
    words = set(re.findall(r"[a-z_]+", PAGE.read_text(encoding="utf-8")))
    tables = (TOP.keys, UNIT_COMMON, MEMORY.keys, LINK.keys, *UNIT_KINDS.values())
    wanted = {key for table in tables for key in _keys(table)} | set(HEADER) | set(SOURCES) | set(UNIT_KINDS)
    assert wanted <= words, wanted - words
