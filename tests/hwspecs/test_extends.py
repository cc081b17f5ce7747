"""Inheritance: deep merge, removal, and provenance that stays with its own file."""

import pytest

from hwspecs import load_hardware, validate_file
from hwspecs.vocabulary.units import parse_quantity
from tests.hwspecs.specs import GOOD, changed, write


def child(folder, text):
    write(folder, GOOD, "base.yaml")
    return load_hardware(write(folder, "schema: 1\nname: child\nextends: base.yaml\n" + text, "child.yaml"))


def test_an_empty_child_is_its_base_under_another_name(tmp_path):
    hardware = child(tmp_path, "")
    base = load_hardware(str(tmp_path / "base.yaml"))
    assert hardware.name == "child"
    assert hardware.leaves == base.leaves
    assert hardware.units == base.units


def test_deep_merge_replaces_leaves_and_keeps_the_rest(tmp_path):
    hardware = child(tmp_path, 'memory: {dram: {bandwidth: {value: "20 GB/s", source: paper, cite: "somebody"}}}\n')
    assert hardware.dram.bandwidth_bytes_per_s == 20e9
    assert hardware.dram.size_bytes == 2**30
    assert hardware.leaves["memory.dram.bandwidth"].cite == "somebody"
    assert hardware.leaves["memory.dram.size"].cite == "a choice of this test"


def test_the_childs_citation_is_not_lent_to_inherited_numbers(tmp_path):
    hardware = child(tmp_path, 'provenance: {source: datasheet, cite: "child sheet"}\nunit: {array: {rows: 32}}\n')
    assert hardware.leaves["unit.array.rows"].cite == "child sheet"
    assert hardware.leaves["unit.array.columns"].cite == "a choice of this test"


def test_null_removes_a_leaf_or_a_whole_part(tmp_path):
    hardware = child(tmp_path, "memory: {scratchpad: null, dram: {achieved: null}}\n")
    assert list(hardware.memories) == ["dram"]
    assert hardware.dram.achieved == 1.0
    assert not [path for path in hardware.leaves if path.startswith("memory.scratchpad")]


def test_a_part_may_be_added_and_the_order_of_units_is_the_bases(tmp_path):
    extra = "unit: {extra: {kind: vector, lanes: {value: 4, source: derived, cite: t}, formats: [int8]}}\n"
    assert list(child(tmp_path, extra).units) == ["array", "vector", "extra"]


def test_grandchildren(tmp_path):
    child(tmp_path, "unit.array.rows: {value: 32, source: derived, cite: c}\n")
    text = "schema: 1\nname: grandchild\nextends: child.yaml\nunit.array.columns: {value: 64, source: derived, cite: g}\n"
    hardware = load_hardware(write(tmp_path, text, "grandchild.yaml"))
    assert (hardware.primary.parameters["rows"], hardware.primary.parameters["columns"]) == (32, 64)


def test_a_library_spec_can_be_extended(tmp_path):
    text = 'schema: 1\nname: mine\nextends: nvidia-h100-sxm\nmemory.hbm.size: {value: "96 GB", source: datasheet, cite: "H100 96 GB"}\n'
    hardware = load_hardware(write(tmp_path, text))
    assert hardware.dram.size_bytes == 96e9
    assert hardware.primary == load_hardware("nvidia-h100-sxm").primary


def test_nearest_provenance_wins_and_bounds_are_inherited_with_their_source(tmp_path):
    text = changed(
        "lanes: 8",
        'lanes: 8\n    functions:\n      provenance: {source: assumed, cite: guess, low: "-50 %", high: "+100 %"}\n'
        "      exp: 4\n      log: {value: 6, low: 5, high: 7}\n      div: {value: 2, source: paper, cite: p}",
    )
    leaves = load_hardware(write(tmp_path, text)).leaves
    exp, log, div = (leaves[f"unit.vector.functions.{name}"] for name in ("exp", "log", "div"))
    assert (exp.source, exp.cite, exp.low, exp.high) == ("assumed", "guess", 2.0, 8.0)
    assert (log.source, log.low, log.high) == ("assumed", 5.0, 7.0)
    assert (div.source, div.cite, div.low, div.high) == ("paper", "p", None, None)


@pytest.mark.parametrize("text", ['"±20 %"', '"+-20 %"'])
def test_symmetric_bounds(text, tmp_path):
    spec = changed('"10 GB/s"', f'{{value: "10 GB/s", source: assumed, low: {text}, high: {text}}}')
    leaf = load_hardware(write(tmp_path, spec)).leaves["memory.dram.bandwidth"]
    assert (leaf.low, leaf.high) == pytest.approx((8e9, 12e9))


def test_a_percentage_without_a_sign_is_the_bound_itself(tmp_path):
    spec = changed('"80 %"', '{value: "80 %", source: assumed, low: "70 %", high: "+10 %"}')
    leaf = load_hardware(write(tmp_path, spec)).leaves["memory.dram.achieved"]
    assert (leaf.low, leaf.high) == pytest.approx((0.7, 0.88))


def test_a_plugins_kind_takes_free_parameters(tmp_path):
    text = changed(
        "kind: vector", 'kind: photonic_mesh\n    wavelengths: 16\n    laser: {power: "3 mW", note_to_self: hot}\n    warm_up: "100 cycles"'
    )
    unit = load_hardware(write(tmp_path, text)).units["vector"]
    assert unit.kind == "photonic_mesh"
    assert unit.parameters["wavelengths"] == 16
    assert unit.parameters["laser.power"] == pytest.approx(3e-3)
    assert unit.parameters["laser.note_to_self"] == "hot"
    assert unit.parameters["warm_up"] == parse_quantity("100 cycles", "time", clock_hz=1e9)
    assert unit.group("laser") == {"power": unit.parameters["laser.power"], "note_to_self": "hot"}


def test_bandwidth_curve_is_log_linear_between_its_points(tmp_path):
    text = changed('"80 %"', '1\n    bandwidth_curve: {"1 KiB": 0.2, "4 KiB": 0.4, "1 MiB": "90 %"}')
    memory = load_hardware(write(tmp_path, text)).dram
    assert memory.bandwidth_curve == ((1024, 0.2), (4096, 0.4), (2**20, 0.9))
    assert memory.achieved_bandwidth(512) == pytest.approx(2e9)
    assert memory.achieved_bandwidth(2048) == pytest.approx(3e9)
    assert memory.achieved_bandwidth(2**22) == pytest.approx(9e9)


def test_kernel_constants_land_flat(tmp_path):
    text = changed("formats: [int8]\n", 'formats: [int8]\n    kernels: {gemm: {launch: "2.7 us", overlap: 2.3, class: flash}}\n')
    assert load_hardware(write(tmp_path, text)).primary.group("kernels.gemm") == {"launch": 2.7e-6, "overlap": 2.3, "class": "flash"}


def test_validate_gives_nothing_for_a_good_child(tmp_path):
    child(tmp_path, "")
    assert validate_file(tmp_path / "child.yaml") == ()


@pytest.mark.parametrize(
    ("energies", "unpriced"),
    [("", ("read", "write")), ('read_energy: "4 pJ/bit"', ()), ('write_energy: "4 pJ/bit"', ("read",)), ('read_energy: "0 pJ/bit"', ())],
)
def test_a_memory_knows_which_energies_nobody_stated(energies, unpriced, tmp_path):
    text = changed('achieved: "80 %"\n', f'achieved: "80 %"\n    {energies}\n')
    assert load_hardware(write(tmp_path, text)).dram.unpriced == unpriced
