"""``accounting=`` from the API and the command line: the block's keys, sums, notes, errors, and that the other numbers stay."""

from __future__ import annotations

import dataclasses
import json

import pytest
from click.testing import CliRunner

import cyclewright as cw
from cyclewright.cli.commands import main
from hwspecs.vocabulary.errors import ArgumentError, UnsupportedError
from simulator.stored import digest, from_json, to_json

KEYS = {
    "demand_lines", "total_cycles", "stall_cycles", "sram_ifmap_reads", "sram_filter_reads", "sram_ofmap_writes",
    "dram_ifmap_reads", "dram_filter_reads", "dram_ofmap_writes",
}  # fmt: skip
SMALL = ("array.rows=8", "array.columns=8", "array.dataflow=ws")


@pytest.fixture
def topology(tmp_path):
    path = tmp_path / "net.csv"
    header = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"
    path.write_text(f"{header}\na,9,9,3,3,4,8,2,\nb,4,4,3,3,8,8,1,\nDPc,5,5,2,2,6,1,1,\na,9,9,3,3,4,8,2,\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("mode", ["calc", "user"])
def test_the_block_sums_its_layers(topology, mode):
    block = cw.run(topology, "systolic-array", overrides=SMALL, accounting=f"scalesim:{mode}").scalesim
    assert set(block) >= KEYS
    assert [layer["name"] for layer in block["layers"]] == ["a", "b", "DPc", "a#2"]
    assert [layer["count"] for layer in block["layers"]] == [1, 1, 6, 1]
    for key in KEYS:
        assert block[key] == sum(layer[key] for layer in block["layers"])
    for layer in block["layers"]:
        assert layer["total_cycles"] - layer["stall_cycles"] == layer["demand_lines"] - layer["count"] or mode == "user"
    assert block["accounting"] == f"scalesim:{mode}"
    assert block["configuration"]["dataflow"] == "ws"
    assert ("ofmap_words_per_cycle" in block["configuration"]) is (mode == "user")
    assert block["macs"] == sum(layer["count"] * layer["m"] * layer["n"] * layer["k"] for layer in block["layers"])


def test_depthwise_channels_are_layers(topology):
    """DPc: six layers of 4 x 4 pixels, 4 taps, one filter; on 8 x 8 cells under ws one fold of 16 + 2 * 8 + 8 - 2 = 38 lines each."""
    layer = cw.run(topology, "systolic-array", overrides=SMALL, accounting="scalesim:calc").scalesim["layers"][2]
    assert (layer["m"], layer["n"], layer["k"]) == (16, 1, 4)
    assert layer["demand_lines"] == 6 * 38
    assert layer["sram_ifmap_reads"] == 6 * 16 * 4
    assert layer["dram_ifmap_reads"] == 6 * 25


def test_other_numbers_stay(topology):
    plain = cw.run(topology, "systolic-array", overrides=SMALL)
    counted = cw.run(topology, "systolic-array", overrides=SMALL, accounting="scalesim:user")
    assert plain.scalesim is None
    assert dataclasses.replace(counted, scalesim=None, meta=plain.meta) == plain
    assert counted.meta["timings_s"]["accounting"] > 0


def test_repeats_fold_and_attention_is_products():
    """Heads are separate products; layers of a repeat count as often as they run."""
    block = cw.run("attention:h4,q8,k8,d16", "systolic-array", accounting="scalesim:calc").scalesim
    assert [(layer["m"], layer["n"], layer["k"], layer["count"]) for layer in block["layers"]] == [(8, 8, 16, 4), (8, 16, 8, 4)]
    one = cw.run("llama-3-8b", "systolic-array", phase="decode", context=16, accounting="scalesim:calc").scalesim
    assert max(layer["count"] for layer in one["layers"]) >= 32


def test_notes_say_what_is_left_out():
    block = cw.run("resnet50", "systolic-array", accounting="scalesim:calc").scalesim
    text = "\n".join(block["notes"])
    assert "maxpool" in text
    assert "conv1 (12100 output pixels counted for 12544)" in text


@pytest.mark.parametrize(
    "model", ["conv:N1xC4xH9xW9,K4,R3,D2", "conv:N1xC4xD5xH9xW9,K4,R3", "conv:N1xC4xH9xW9,K4,R3,T", "conv:N1xC4xH2xW2,K4,R3,P1"]
)
def test_models_without_a_layer_are_refused(model):
    with pytest.raises(UnsupportedError, match="no layer that SCALE-Sim knows"):
        cw.run(model, "systolic-array", accounting="scalesim:calc")


def test_one_dimension_and_groups():
    block = cw.run("conv:N2xC4xW9,K8,R3,S2,G2", "systolic-array", accounting="scalesim:calc").scalesim
    layer = block["layers"][0]
    assert (layer["m"], layer["n"], layer["k"], layer["count"]) == (4, 4, 6, 4)


def test_bandwidths_come_from_the_spec():
    def stalls(*overrides):
        return cw.run("gemm:100x40x90", "systolic-array", overrides=[*SMALL, *overrides], accounting="scalesim:user").scalesim

    small = [f"scratchpad.{part}.size=1 KiB" for part in ("ifmap", "filter", "ofmap")]
    block = stalls(*small, "dram.bandwidth=3 B/cycle", "ifmap.bank_bandwidth=2 B/cycle", "filter.bank_bandwidth=7 GB/s")
    assert [block["configuration"][f"{name}_words_per_cycle"] for name in ("ifmap", "filter", "ofmap")] == [2, 7, 3]
    assert block["stall_cycles"] > stalls(*small)["stall_cycles"] > 0
    clocked = stalls(
        *small, "clock=500 MHz", "dram.bandwidth=1.5 GB/s", "ifmap.bank_bandwidth=2 B/cycle", "filter.bank_bandwidth=7 B/cycle"
    )
    assert clocked["stall_cycles"] == block["stall_cycles"]


@pytest.mark.parametrize(
    ("hardware", "overrides", "pattern"),
    [
        ("nvidia-h100-sxm", (), "has no systolic array"),
        ("tpu-v1-like", ("array.dataflow=ws",), "needs a scratchpad split into ifmap, filter and ofmap"),
        ("edge-npu", (), "SCALE-Sim has the dataflows os, ws and is"),
        ("systolic-array", ("array.count=2",), "SCALE-Sim knows one array"),
        ("systolic-array", ("dram.bandwidth=19.2 GB/s",), r"memory.dram.bandwidth: 19.2 bytes per cycle.*--set memory.dram.bandwidth"),
        ("systolic-array", ("scratchpad.filter.size=64 B",), r"memory.scratchpad.filter.size: 64 bytes are less"),
    ],
)
def test_devices_that_it_does_not_know(hardware, overrides, pattern):
    with pytest.raises((UnsupportedError, ArgumentError), match=pattern):
        cw.run("gemm:8x8x8", hardware, overrides=overrides, accounting="scalesim:user")


def test_bad_names():
    with pytest.raises(ArgumentError, match="unknown accounting 'scalesim'"):
        cw.run("gemm:8x8x8", "systolic-array", accounting="scalesim")


def test_too_large_to_walk():
    with pytest.raises(UnsupportedError, match="too large to be walked"):
        cw.run("gemm:100000x64x100000", "systolic-array", accounting="scalesim:user")


def test_stored_form_and_older_results(topology):
    result = cw.run(topology, "systolic-array", overrides=SMALL, accounting="scalesim:calc")
    text = to_json(result)
    assert from_json(text) == result
    assert json.loads(text)["scalesim"]["demand_lines"] == result.scalesim["demand_lines"]
    older = json.loads(to_json(cw.run(topology, "systolic-array", overrides=SMALL)))
    del older["scalesim"]
    older["digest"] = digest(older)
    assert from_json(json.dumps(older)).scalesim is None


def test_command_line(topology, tmp_path):
    out = tmp_path / "result.json"
    arguments = ["run", topology, "--hw", "systolic-array", "--no-interval", "--accounting", "scalesim:user", "-o", str(out)]
    for text in (*SMALL, 'scratchpad.ifmap.size="2 KiB"'):
        arguments += ["--set", text]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    block = json.loads(out.read_text(encoding="utf-8"))["scalesim"]
    assert block["configuration"]["ifmap_bytes"] == 2048
    assert "as SCALE-Sim counts (user" in done.output
    assert f"{block['total_cycles']:,} for {block['demand_lines']:,} lines" in done.output
