"""Streams, delta activations and fewer tokens through ``run`` on an NPU, and what a unit that skips zeros makes of changes."""

from __future__ import annotations

from pathlib import Path

import pytest

import cyclewright as cw
from hwspecs.vocabulary.errors import ArgumentError

SKIPPING = """
schema: 1
name: skipping-npu
description: "edge-npu whose array skips zero activations"
extends: edge-npu
provenance: {source: assumed, cite: "a variation for tests", low: "-1 %", high: "+1 %"}
unit:
  array:
    skipping:
      operand: activations
      lanes: 1
"""


def invariants(result: cw.Result) -> None:
    assert result.latency_s >= result.roofline_s
    assert result.dram_bytes == result.compulsory_bytes + result.extra_bytes
    assert result.extra_bytes >= 0
    assert sum(row.macs for row in result.operators) == result.macs


def executed(result: cw.Result) -> int:
    return sum(row.executed_macs for row in result.operators)


def test_a_stream_moves_new_frames_and_rings() -> None:
    """A step of 8 of 98 frames: weights, 8 frames in, the rings read and their new rows written, 12 scores out, and nothing else."""
    whole, step = cw.run("tc-resnet8", "edge-npu"), cw.run("tc-resnet8", "edge-npu", stream="window=98,hop=8")
    for result in (whole, step):
        invariants(result)
    graph = cw.load_model("tc-resnet8", format="int8", stream="hop=8")
    rings = {name: tensor for name, tensor in graph.tensors.items() if name.endswith(".ring")}
    held = sum(ring.stored_bytes for ring in rings.values())
    written = sum(min(ring.stored_bytes, graph.tensors[name.removesuffix(".ring")].stored_bytes) for name, ring in rings.items())
    assert step.compulsory_bytes == step.stored_weight_bytes + 8 * 40 + held + written + 12
    assert step.macs * 12 < whole.macs < step.macs * 13
    assert step.energy_j < whole.energy_j
    assert any("rings hold" in text for text in step.warnings)


def test_changes_pay_where_zeros_are_skipped_and_cost_where_they_are_not(tmp_path: Path) -> None:
    """The plain array computes all of a sparse change and moves the states besides; the skipping one computes a tenth.

    The memory is fast enough for the array to be what takes time: else both wait for the states, and as long.
    """
    spec = tmp_path / "skipping-npu.yaml"
    spec.write_text(SKIPPING)
    model = "conv:N1xC256xH28xW28,K256,R3,P1"
    runs = {
        (name, delta): cw.run(model, hw, delta=delta, overrides=["dram.bandwidth=200 GB/s"])
        for name, hw in (("plain", "edge-npu"), ("skips", str(spec)))
        for delta in (None, 0.1)
    }
    for result in runs.values():
        invariants(result)
    plain, changed = runs["plain", None], runs["plain", 0.1]
    assert executed(changed) == executed(plain)
    assert changed.compulsory_bytes > plain.compulsory_bytes
    layer = runs["skips", 0.1]
    assert executed(layer) == pytest.approx(0.1 * plain.macs, rel=0.01)
    assert layer.latency_s < plain.latency_s < changed.latency_s
    assert runs["skips", None].cycles == plain.cycles


def test_fewer_tokens_are_faster() -> None:
    whole, merged, pruned = (cw.run("deit-s-16", "edge-npu", keep_tokens=text) for text in (None, "merge:13", "4=0.7,7=0.49"))
    for result in (whole, merged, pruned):
        invariants(result)
        assert result.stored_weight_bytes == whole.stored_weight_bytes
    assert merged.latency_s < whole.latency_s
    assert pruned.latency_s < whole.latency_s
    assert merged.macs < pruned.macs < whole.macs


def test_the_three_go_together_and_on_graphs() -> None:
    graph = cw.load_model("tc-resnet8", format="int8")
    by_graph = cw.run(graph, "edge-npu", stream="hop=8", delta={"block*": 0.2})
    by_name = cw.run("tc-resnet8", "edge-npu", stream="hop=8", delta={"block*": 0.2})
    assert by_graph.cycles == by_name.cycles
    assert executed(by_name) <= by_name.macs
    for faulty in ({"stream": ""}, {"keep_tokens": ""}, {"delta": ""}, {"stream": "hop"}, {"delta": 2}):
        with pytest.raises(ArgumentError):
            cw.run("tc-resnet8", "edge-npu", **faulty)
