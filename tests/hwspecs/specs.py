"""A small good spec, and the means to break it one way at a time."""

from pathlib import Path

from hwspecs import validate_file

GOOD = """\
schema: 1
name: small
description: a small array
family: systolic
default_format: int8
clock: "1 GHz"
provenance: {source: derived, cite: "a choice of this test"}
unit:
  array:
    kind: systolic
    rows: 16
    columns: 8
    dataflow: os
    formats: [int8]
    fallback: vector
    energy: {mac.int8: "0.3 pJ/MAC"}
  vector:
    kind: vector
    lanes: 8
    formats: [int8, fp32]
memory:
  dram:
    off_chip: true
    size: "1 GiB"
    bandwidth: "10 GB/s"
    achieved: "80 %"
  scratchpad:
    ifmap: {size: "64 KiB"}
    filter: {size: "32 KiB"}
    ofmap: {size: "16 KiB"}
    bandwidth: "32 B/cycle"
power: {static: "1 W", max: "5 W"}
"""


def write(folder: Path, text: str, name: str = "small.yaml") -> str:
    """Write a spec and give its path as text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def changed(old: str, new: str, text: str = GOOD) -> str:
    """``text`` with ``old``, which it must hold once, replaced."""
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the spec"
    return text.replace(old, new)


def faults(folder: Path, text: str) -> list[str]:
    """The messages of a broken spec, without the folder."""
    path = write(folder, text)
    return [str(error).replace(str(folder) + "/", "") for error in validate_file(path)]
