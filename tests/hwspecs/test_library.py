"""The library: every spec loads, every number says where it comes from, and the headline numbers are the published ones."""

import pickle

import pytest

from hwspecs import describe_hardware, find_spec, list_hardware, load_hardware
from hwspecs.hardware import SOURCES
from hwspecs.vocabulary.located_yaml import load_yaml
from hwspecs.vocabulary.units import read_any

NAMES = (
    "edge-npu", "huawei-ascend-910b3", "isaac", "nvidia-a100-sxm-80gb", "nvidia-b200-sxm", "nvidia-h100-sxm", "nvidia-h200-sxm",
    "nvidia-v100-sxm2-32gb", "systolic-array", "tpu-v1-like", "xilinx-vcu1525-sat",
)  # fmt: skip
GPUS = [name for name in NAMES if name.startswith("nvidia")]


def test_the_library_holds_what_is_promised():
    assert set(NAMES) <= set(list_hardware())
    assert list(list_hardware()) == sorted(list_hardware())


@pytest.mark.parametrize("name", list_hardware())
def test_every_leaf_says_where_it_comes_from(name):
    hardware = load_hardware(name)
    assert hardware.name == name
    assert hardware.description
    assert hardware.family
    for path, leaf in hardware.leaves.items():
        assert leaf.path == path
        assert leaf.source in SOURCES
        assert leaf.cite, path
        assert leaf.where.startswith("hwspecs/library/"), path
        if isinstance(leaf.value, (int, float)) and not isinstance(leaf.value, bool):
            assert leaf.source != "assumed" or (leaf.low is not None and leaf.high is not None), path
            assert leaf.low is None or leaf.low <= leaf.value <= leaf.high, path
            assert read_any(leaf.text) is not None or leaf.text.replace(".", "").isdigit(), path


@pytest.mark.parametrize("name", list_hardware())
def test_hardware_travels_between_processes(name):
    hardware = load_hardware(name)
    assert pickle.loads(pickle.dumps(hardware)) == hardware


@pytest.mark.parametrize("name", list_hardware())
def test_no_lonely_units(name):
    hardware = load_hardware(name)
    assert hardware.dram.off_chip
    assert hardware.on_chip is not None
    assert not hardware.on_chip.off_chip
    for unit in hardware.units.values():
        assert unit.fallback is None or unit.fallback in hardware.units
        assert all(rate > 0 for rate in (*unit.rates.values(), *unit.vector_rates.values()))


@pytest.mark.parametrize(
    ("name", "rate", "count", "bandwidth", "size"),
    [
        ("nvidia-v100-sxm2-32gb", 125e12, 80, 900e9, 32 * 2**30),
        ("nvidia-rtx-3090-ti", 160e12, 84, 1008e9, 24 * 2**30),
        ("nvidia-a100-sxm-80gb", 312e12, 108, 2039e9, 80 * 2**30),
        ("nvidia-h100-sxm", 989.4e12, 132, 3.35e12, 80 * 2**30),
        ("nvidia-h200-sxm", 989.4e12, 132, 4.8e12, 141 * 2**30),
        ("nvidia-b200-sxm", 2250e12, 148, 8e12, 180 * 2**30),
        ("huawei-ascend-910b3", 294.9e12, 20, 1638e9, 64 * 2**30),
    ],
)
def test_published_peaks(name, rate, count, bandwidth, size):
    hardware = load_hardware(name)
    unit = hardware.primary
    assert unit.rates[hardware.default_format, "dense"] == pytest.approx(rate, rel=1e-12)
    assert unit.count == count
    assert hardware.dram.bandwidth_bytes_per_s == bandwidth
    assert hardware.dram.size_bytes == size


@pytest.mark.parametrize(
    ("name", "operations_per_cycle"),
    [
        ("nvidia-v100-sxm2-32gb", 1024),
        ("nvidia-rtx-3090-ti", 1024),
        ("nvidia-a100-sxm-80gb", 2048),
        ("nvidia-h100-sxm", 4096),
        ("nvidia-b200-sxm", 8192),
        ("huawei-ascend-910b3", 8192),
    ],
)
def test_the_clock_is_the_one_the_peak_is_stated_at(name, operations_per_cycle):
    hardware = load_hardware(name)
    unit = hardware.primary
    assert unit.rates[hardware.default_format, "dense"] == pytest.approx(unit.count * operations_per_cycle * hardware.clock_hz, rel=3e-3)


def test_derived_rates_of_arrays():
    tpu = load_hardware("tpu-v1-like").primary
    assert tpu.rates["int8", "dense"] == 2 * 256 * 256 * 700e6  # the paper's 92 TOPS
    sat = load_hardware("xilinx-vcu1525-sat").primary
    assert sat.rates["fp16", "dense"] == pytest.approx(409.6e9)
    assert sat.rates["fp16", "2:8"] == pytest.approx(1638.4e9)
    vector = load_hardware("edge-npu").units["vector"]
    assert vector.vector_rates["int8"] == 128e9


def test_the_energy_of_a_mac_is_two_operations():
    assert load_hardware("nvidia-h200-sxm").primary.energy_j["mac.bf16"] == pytest.approx(2 * 0.76e-12)
    assert load_hardware("tpu-v1-like").primary.energy_j["mac.int8"] == pytest.approx(0.18e-12)


def test_isaac_adds_up_to_its_published_chip():
    """Tiles of 12 x 8 arrays: the power and area of the parts of the array give ISAAC's in-situ unit of 24.08 mW within its rounding."""
    isaac = load_hardware("isaac").primary
    parts = isaac.group("parts")
    unit = 8 * (
        float(isaac.parameters["adc.power"])
        + 128 * float(isaac.parameters["dac.power"])
        + sum(float(parts[f"{name}.power"]) for name in ("array", "shift_add", "input_register", "output_register"))
        + 128 * float(parts["sample_hold.power"])
    )
    assert unit == pytest.approx(24.08e-3, rel=0.01)
    assert isaac.count == 168 * 12 * 8


def test_h200_is_an_h100_with_other_memory():
    h100, h200 = load_hardware("nvidia-h100-sxm"), load_hardware("nvidia-h200-sxm")
    assert h200.primary.rates == h100.primary.rates
    assert h200.leaves["unit.sm.rates.bf16.dense"].cite == h100.leaves["unit.sm.rates.bf16.dense"].cite
    assert "H200" in h200.leaves["memory.hbm.bandwidth"].cite


def test_the_split_scratchpad_of_the_textbook_array():
    pad = load_hardware("systolic-array").memories["scratchpad"]
    assert dict(pad.partitions) == {"ifmap": 65536, "filter": 65536, "ofmap": 65536}
    assert pad.size_bytes == 3 * 65536


@pytest.mark.parametrize("name", list_hardware())
def test_file_names_are_spec_names(name):
    path = find_spec(name)
    assert load_yaml(path).plain()["name"] == path.stem == name


def test_one_line_for_each_spec():
    lines = describe_hardware()
    assert [line.name for line in lines] == list(list_hardware())
    assert {kind for line in lines for kind in line.kinds} >= {"gpu", "systolic", "vector", "crossbar", "sparse_array"}
