"""FPGA resources: counts by hand, and designs that their device does not hold."""

from __future__ import annotations

import pytest

from cyclewright import run
from hwspecs import load_hardware
from hwspecs.vocabulary.errors import CyclewrightError
from mappings.fpga import exceeded, resources_of

SAT = "xilinx-vcu1525-sat"


def test_counts_by_hand():
    """1024 PEs, 32 lanes each of reduction and update, 8 MiB of buffers; groups of 16 values of 16 bits, 4 sums of 32 bits per PE."""
    used = {part: count for part, (count, _) in resources_of(load_hardware(SAT)).items()}
    assert used == {
        "dsp": 1024 * 3 + 32 * 8 + 10,
        "lut": 1024 * 350 + 32 * 150 + 32 * 1500 + 100_000 + 1024 * 16 * 15 // 3,
        "ff": 1024 * 500 + 32 * 250 + 32 * 2000 + 130_000 + 1024 * (16 * 16 + 4 * 32),
        "bram": 2048 + 100,
        "uram": 0,
    }


def test_registers_of_groups_only_where_an_operand_may_stay():
    stays, leaves = (load_hardware(SAT, {"unit.stce.dataflow": flow}) for flow in ("weight_stationary", "output_stationary"))
    assert resources_of(stays)["ff"][0] - resources_of(leaves)["ff"][0] == 1024 * 16 * 16


def test_buffers_that_block_ram_cannot_hold_go_to_ultraram():
    used = resources_of(load_hardware(SAT, {"memory.bram.size": "16 MiB"}))
    assert used["bram"][0] == 2160
    assert used["uram"][0] == -(-(16 * 2**20 - 2060 * 4096) // 32768)


def test_a_design_too_large_says_what_exceeds_what():
    large = load_hardware(SAT, {"unit.stce.rows": 64, "unit.stce.columns": 64})
    assert exceeded(large)[0] == "the design does not fit the device: about 12,554 DSP of 6,840"
    result = run("gemm:64x64x64", large, interval=False)
    assert any("12,554 DSP of 6,840" in warning for warning in result.warnings)
    assert result.resources["dsp"] == (12_554, 6_840)


def test_stated_resources_go_before_the_model_and_may_not_exceed_the_device():
    assert resources_of(load_hardware(SAT, {"unit.stce.resources.dsp": 4000}))["dsp"] == (4000, 6840)
    with pytest.raises(CyclewrightError, match="uses more DSP than the device has"):
        load_hardware(SAT, {"unit.stce.resources.dsp": 7000})


def test_other_hardware_has_none():
    assert resources_of(load_hardware("edge-npu")) == {}
    assert exceeded(load_hardware("edge-npu")) == ()
