"""What docs/specs.md shows is valid, and it names every key of the schema."""

import re
from pathlib import Path

import pytest

from hwspecs import load_hardware, validate_file
from hwspecs.attributes import Group
from hwspecs.hardware import SOURCES
from hwspecs.schema import HEADER, LINK, MEMORY, TOP
from hwspecs.unit_kinds import UNIT_COMMON, UNIT_KINDS

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


def test_there_are_two_gpus_and_an_array_to_copy():
    assert len(_examples()) == 3


def test_the_gddr_example_runs_on_its_own_memory(tmp_path):
    (text,) = (text for text in _examples() if "gddr6" in text)
    path = tmp_path / "example.yaml"
    path.write_text(text, encoding="utf-8")
    hardware = load_hardware(str(path))
    assert list(hardware.memories) == ["gddr6", "l2"]
    assert (hardware.dram.name, hardware.dram.size_bytes, hardware.dram.bandwidth_bytes_per_s) == ("gddr6", 48 * 10**9, 864e9)
    assert hardware.dram.unpriced == ()
    assert hardware.dram.dram is not None
    assert hardware.dram.dram.channels * hardware.dram.dram.bus_bits == 384
    restated = "NVIDIA L40S data sheet; Ada GPU architecture white paper, table 2 (AD102)"
    rates = [leaf for leaf_path, leaf in hardware.leaves.items() if "rates." in leaf_path]
    assert {leaf.cite for leaf in rates} == {restated}  # no rate of the parent is left


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
