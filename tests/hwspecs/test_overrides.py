"""Overrides: what is set is what is read, by any unambiguous suffix, and nothing else moves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs import list_hardware, load_hardware, resolve_leaf
from hwspecs.vocabulary.errors import ArgumentError, ErrorList, InvalidInput, SpecError, UnitError, UnknownNameError
from hwspecs.vocabulary.units import format_quantity
from tests.hwspecs.specs import GOOD, write

H100 = "nvidia-h100-sxm"
_NUMBERS = [
    (name, path)
    for name in list_hardware()
    for path, leaf in load_hardware(name).leaves.items()
    if isinstance(leaf.value, (int, float)) and not isinstance(leaf.value, bool)
]


def test_text_with_a_unit():
    hardware = load_hardware(H100, ["memory.hbm.bandwidth=4 TB/s"])
    leaf = hardware.leaves["memory.hbm.bandwidth"]
    assert hardware.dram.bandwidth_bytes_per_s == leaf.value == leaf.low == leaf.high == 4e12
    assert (leaf.source, leaf.cite, leaf.where, leaf.text) == ("assumed", "set by the user", "--set", "4 TB/s")


def test_quotes_and_spaces_are_forgiven():
    assert load_hardware(H100, [' hbm.bandwidth = "4 TB/s" ']) == load_hardware(H100, ["memory.hbm.bandwidth=4 TB/s"])


def test_the_cached_spec_is_not_touched():
    before = load_hardware(H100)
    load_hardware(H100, {"memory.hbm.bandwidth": 1e12})
    after = load_hardware(H100)
    assert after is before
    assert after.dram.bandwidth_bytes_per_s == 3.35e12


_REASONS = (
    "out of range", "below the dense rate", "board limit", "sum of its parts", "inverted", "whole number of", "into whole bursts",
    "no time between two refreshes",
)  # fmt: skip


def _load(name, overrides):
    """The hardware, or None and the message of the refusal."""
    try:
        return load_hardware(name, overrides), ""
    except InvalidInput as error:
        return None, str(error)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_NUMBERS), st.floats(0.5, 2.0))
def test_a_number_set_is_the_number_read_and_nothing_else_moves(which, factor):
    name, path = which
    base = load_hardware(name)
    old = base.leaves[path]
    value = old.value * factor
    if isinstance(old.value, int):
        value = max(1, round(value))
    changed, message = _load(name, {path: value})
    if changed is None:
        assert any(reason in message for reason in _REASONS)
        return
    assert changed.leaves[path].value == value
    moved = {key for key in base.leaves if base.leaves[key] != changed.leaves[key]} - {path}
    assert all("rates." in key for key in moved)
    assert not moved or path.rpartition(".")[2] in ("count", "clock")
    assert list(changed.leaves) == list(base.leaves)
    assert (changed.digest == base.digest) == (
        changed.leaves[path].value == old.value and old.low == old.high == value and old.source == "assumed"
    )


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(_NUMBERS))
def test_setting_the_text_of_a_leaf_keeps_its_value(which):
    name, path = which
    leaf = load_hardware(name).leaves[path]
    text = format_quantity(leaf.value, leaf.unit, digits=17)
    assert load_hardware(name, [f"{path}={text}"]).leaves[path].value == pytest.approx(leaf.value, rel=1e-14)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(_NUMBERS), st.integers(0, 5))
def test_every_unambiguous_suffix_resolves(which, cut):
    name, path = which
    hardware = load_hardware(name)
    suffix = ".".join(path.split(".")[cut:]) or path
    ending = [known for known in hardware.leaves if known == suffix] or [known for known in hardware.leaves if known.endswith("." + suffix)]
    if len(ending) == 1:
        assert resolve_leaf(hardware, suffix) == ending[0]
    elif len(ending) > 1:
        with pytest.raises(UnknownNameError) as caught:
            resolve_leaf(hardware, suffix)
        assert all(known in str(caught.value) for known in ending)


def test_suffixes_as_the_documents_write_them():
    array = load_hardware("systolic-array")
    for path in (
        "array.rows",
        "array.columns",
        "array.dataflow",
        "scratchpad.ifmap.size",
        "scratchpad.filter.size",
        "scratchpad.ofmap.size",
    ):
        assert resolve_leaf(array, path) in (f"unit.{path}", f"memory.{path}")
    assert resolve_leaf(array, "clock") == "clock"


def test_rates_of_an_array_follow_its_rows_and_clock():
    base = load_hardware("systolic-array").primary
    double = load_hardware("systolic-array", ["array.rows=64", "clock=2 GHz"]).primary
    assert double.rates["int8", "dense"] == 4 * base.rates["int8", "dense"]


def test_numbers_per_cycle_follow_the_clock():
    slow, fast = load_hardware("systolic-array"), load_hardware("systolic-array", {"clock": 2e9})
    assert fast.memories["scratchpad"].bandwidth_bytes_per_s == 2 * slow.memories["scratchpad"].bandwidth_bytes_per_s
    assert load_hardware("systolic-array", {"scratchpad.bandwidth": 64}).memories["scratchpad"].bandwidth_bytes_per_s == 64e9
    assert (
        load_hardware("systolic-array", ["scratchpad.bandwidth=50 GB/s", "clock=2 GHz"]).memories["scratchpad"].bandwidth_bytes_per_s
        == 50e9
    )


def test_words_and_lists():
    assert load_hardware("systolic-array", ["dataflow=ws"]).primary.parameters["dataflow"] == "weight_stationary"
    assert set(load_hardware("systolic-array", ["array.formats=int8, int4", "default_format=int4"]).primary.rates) == {
        ("int8", "dense"),
        ("int4", "dense"),
    }
    assert load_hardware("systolic-array", ["scratchpad.double_buffered=false"]).memories["scratchpad"].double_buffered is False
    assert load_hardware("systolic-array", ["array.fallback=null"]).primary.fallback is None


def test_a_leaf_that_the_schema_allows_may_be_added():
    hardware = load_hardware("systolic-array", ["memory.dram.write_energy=5 pJ/bit", "array.clock=500 MHz"])
    assert hardware.dram.write_energy_j_per_byte == pytest.approx(40e-12)
    assert hardware.primary.clock_hz == 5e8
    assert hardware.primary.rates["int8", "dense"] == 2 * 32 * 32 * 5e8


@pytest.mark.parametrize(
    ("override", "kind", "message"),
    [
        ("bandwidth=4 TB/s", UnknownNameError, "'bandwidth' is ambiguous; it may be memory.hbm.bandwidth or memory.l2.bandwidth"),
        ("hbm.bandwith=4 TB/s", UnknownNameError, "no leaf 'hbm.bandwith'; did you mean memory.hbm.bandwidth"),
        ("memory.hbm2.bandwidth=4 TB/s", UnknownNameError, "did you mean memory.hbm.bandwidth"),
        ("zzz=1", UnknownNameError, "no leaf 'zzz'"),
        ("hbm.bandwidth=4", UnitError, '4 has no unit; write a bandwidth like "3.35 TB/s"'),
        ("hbm.bandwidth=-4 TB/s", SpecError, "out of range"),
        ("sm.count=0", SpecError, "must be at least 1"),
        ("sm.count=1.5", UnitError, "not a whole number"),
        ("hbm.achieved=2", SpecError, "must be at most 1"),
        ("memory.hbm.bandwidth", ArgumentError, "cannot read the override"),
        ("=3", ArgumentError, "cannot read the override"),
        ("sm.fallback=vector", SpecError, "names no unit of this spec"),
        ("power.static=800 W", SpecError, "static power above the board limit"),
        ("memory.hbm.bandwidth=null", ArgumentError, "cannot be removed"),
        ("default_format=bf17", UnknownNameError, "did you mean bf16"),
        ("sm.fallbak=sm", UnknownNameError, "did you mean unit.sm.fallback"),  # allowed, though the spec does not state it
        ("sm.energie.mac.bf16=1 pJ", UnknownNameError, "did you mean unit.sm.energy.mac.bf16"),
        ("hbm=null", UnknownNameError, "'hbm' is a part of the spec, not a number; --set changes one leaf, such as memory.hbm.achieved"),
        ("link=null", UnknownNameError, "'link' is a part of the spec, not a number; --set changes one leaf, such as link."),
    ],
)
def test_bad_overrides(override, kind, message):
    with pytest.raises(kind) as caught:
        load_hardware(H100, [override])
    assert message in str(caught.value)
    assert "--set" in str(caught.value)
    assert caught.value.hint


def test_bad_values_of_a_mapping():
    for value in ([1], float("nan"), float("inf"), None, object()):
        with pytest.raises(InvalidInput):
            load_hardware(H100, {"memory.hbm.bandwidth": value})


def test_all_bad_overrides_at_once():
    with pytest.raises(ErrorList) as caught:
        load_hardware(H100, ["hbm.bandwidth=4", "zzz=1"])
    assert len(caught.value.errors) == 2


def test_an_edited_file_is_read_again(tmp_path):
    path = write(tmp_path, GOOD)
    assert load_hardware(path).primary.parameters["rows"] == 16
    write(tmp_path, GOOD.replace("rows: 16", "rows: 128"))
    assert load_hardware(path).primary.parameters["rows"] == 128


def test_an_edited_base_is_read_again(tmp_path):
    write(tmp_path, GOOD, "base.yaml")
    child = write(tmp_path, "schema: 1\nname: child\nextends: base.yaml\n", "child.yaml")
    assert load_hardware(child).primary.parameters["rows"] == 16
    write(tmp_path, GOOD.replace("rows: 16", "rows: 128"), "base.yaml")
    assert load_hardware(child).primary.parameters["rows"] == 128


def test_stated_rates_follow_the_count_and_the_clock_unless_they_are_set_too() -> None:
    """Rates of a GPU are of all copies at the stated clock: half the copies at the same clock do half as much."""
    full = load_hardware("nvidia-h100-sxm").primary
    half = load_hardware("nvidia-h100-sxm", ["sm.count=66"]).primary
    assert half.rates["bf16", "dense"] == full.rates["bf16", "dense"] / 2
    assert half.vector_rates["fp32"] == full.vector_rates["fp32"] / 2
    stated = load_hardware("nvidia-h100-sxm", ["sm.count=66", "rates.bf16.dense=900 TFLOP/s"])
    assert stated.primary.rates["bf16", "dense"] == 900e12
    slow = load_hardware("nvidia-h100-sxm", {"clock": load_hardware("nvidia-h100-sxm").clock_hz / 2})
    assert slow.primary.rates["bf16", "dense"] == full.rates["bf16", "dense"] / 2
    leaf = slow.leaves["unit.sm.rates.bf16.dense"]
    assert leaf.source == "derived"
    assert "clock" in leaf.cite
    same = load_hardware("nvidia-h100-sxm", ["sm.count=132"]).primary
    assert same.rates == full.rates


@pytest.mark.parametrize("path", ["rates.bf16", "sm.rates.bf16", "unit.sm.rates.bf16", "unit.sm.rates.bf16.dense"])
def test_a_plain_rate_is_the_dense_one(path):
    rates = load_hardware(H100, [f"{path}=500 TFLOP/s"]).primary.rates
    assert rates["bf16", "dense"] == 500e12
    assert rates["bf16", "2:4"] == load_hardware(H100).primary.rates["bf16", "2:4"]


def test_hyphens_are_as_good_as_underscores_in_words():
    for word in ("weight-stationary", "weight_stationary", "ws"):
        assert load_hardware("systolic-array", [f"dataflow={word}"]).primary.parameters["dataflow"] == "weight_stationary"


def test_a_what_if_may_ask_for_what_a_file_may_not():
    assert load_hardware(H100, ["l2.bandwidth=1 TB/s", "l2.size=100 GB"]).on_chip.size_bytes == 10**11


def test_a_removed_dram_part_takes_its_numbers_along():
    assert load_hardware("edge-npu").dram.dram is not None
    without = load_hardware("edge-npu", ["dram.part=null"])
    assert without.dram.dram is None
    assert not [path for path in without.leaves if ".timing." in path or ".geometry." in path]


def test_an_array_that_nobody_builds_is_out_of_range():
    with pytest.raises(SpecError, match="must be at most 65536"):
        load_hardware("systolic-array", ["array.rows=1e9"])
