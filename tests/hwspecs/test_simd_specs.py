"""Faults of specs with SIMD cores: each names the leaf and what to write."""

from __future__ import annotations

import pytest

from hwspecs import load_hardware, validate_file

SPEC = """schema: 1
name: cores
default_format: fp32
clock: "1 GHz"
provenance: {source: derived, cite: "a test"}
unit:
  cpu: {kind: simd, count: 2, vector_bits: 128, arithmetic_per_cycle: 1, issue: 2, formats: [fp32], loads: {l1: "16 B/cycle"}}
memory:
  dram: {off_chip: true, size: "1 GB", bandwidth: "10 GB/s"}
  l1: {size: "32 KiB", bandwidth: "32 B/cycle"}
"""


def faults(tmp_path, old: str, new: str) -> str:
    assert old in SPEC
    path = tmp_path / "cores.yaml"
    path.write_text(SPEC.replace(old, new), encoding="utf-8")
    return " | ".join(str(error) for error in validate_file(path))


def test_the_spec_is_valid_and_rates_follow(tmp_path):
    path = tmp_path / "cores.yaml"
    path.write_text(SPEC, encoding="utf-8")
    assert validate_file(path) == ()
    unit = load_hardware(str(path)).primary
    assert unit.rates == {("fp32", "dense"): 2 * 2 * 4 * 1e9}
    assert unit.vector_rates == {"fp32": 2 * 4 * 1e9}
    assert load_hardware(str(path), {"unit.cpu.count": 1}).primary.rates["fp32", "dense"] == 8e9


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("vector_bits: 128, ", "", "unit.cpu.vector_bits"),
        ("issue: 2, ", "", "unit.cpu.issue"),
        ("issue: 2", "issue: 0", "unit.cpu.issue"),
        ("arithmetic_per_cycle: 1", "arithmetic_per_cycle: -1", "arithmetic_per_cycle"),
        ("formats: [fp32], ", "", "states no compute rate"),
        ("formats: [fp32]", "formats: [fp16]", "no rate for fp32"),
        ('loads: {l1: "16 B/cycle"}', "loads: {l1: 16}", "has no unit"),
        ("issue: 2", "issue: 2, efficiency: 1.2", "efficiency"),
        ("issue: 2", "issue: 2, overlap: 0.5", "overlap"),
        ("issue: 2", "issue: 2, loop_order: diagonal", "loop_order"),
        ("issue: 2", "issue: 2, lanes: 4", "lanes"),
        ("issue: 2", "issue: 2, tile: {rows: 6, columns: 8}", "columns"),
        ('  l1: {size: "32 KiB", bandwidth: "32 B/cycle"}\n', "", "a simd unit needs a cache"),
        ('loads: {l1: "16 B/cycle"}', 'loads: {l9: "16 B/cycle"}', "names no memory"),
    ],
)
def test_faults(tmp_path, old, new, message):
    assert message in faults(tmp_path, old, new)
