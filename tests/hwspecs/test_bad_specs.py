"""Every kind of bad spec: one located message each, with what to do about it."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs import load_hardware, validate_file
from hwspecs.vocabulary.errors import ErrorList, InvalidInput, UnknownNameError
from tests.hwspecs.specs import GOOD, changed, faults, write

CASES = {
    # case: what is replaced in the good spec, by what, the located message, the hint
    "unit missing": ('"10 GB/s"', "10", "small.yaml:25:16: memory.dram.bandwidth: 10 has no unit", 'like "3.35 TB/s"'),
    "wrong dimension": ('"10 GB/s"', '"10 GHz"', "small.yaml:25:16: memory.dram.bandwidth: '10 GHz' is a frequency", 'like "3.35 TB/s"'),
    "unknown unit": (
        '"10 GB/s"',
        '"10 gb/s"',
        "small.yaml:25:16: memory.dram.bandwidth: '10 gb/s' has the unknown unit",
        "did you mean GB/s",
    ),
    "no number": ('"10 GB/s"', "fast", "small.yaml:25:16: memory.dram.bandwidth: 'fast' does not begin with a number", "write a bandwidth"),
    "list for a number": (
        '"10 GB/s"',
        "[1, 2]",
        "small.yaml:25:16: memory.dram.bandwidth: must be one value, not list",
        "write peak bandwidth",
    ),
    "true for a number": (
        "rows: 16",
        "rows: true",
        "small.yaml:11:11: unit.array.rows: must be a quantity, not true/false",
        "rows of the array",
    ),
    "null for a required number": (
        "rows: 16",
        "rows: null",
        "small.yaml:11:11: unit.array.rows: must be one value, not nothing",
        "rows of the array",
    ),
    "unknown key": (
        'bandwidth: "10',
        'bandwith: "10',
        "small.yaml:25:5: memory.dram.bandwith: unknown key 'bandwith'",
        "did you mean bandwidth",
    ),
    "unknown section": ("power: {", "powr: {", "small.yaml:32:1: powr: unknown key 'powr'", "did you mean power?"),
    "key of another kind": ("lanes: 8", "lanes: 8\n    rows: 4", "small.yaml:20:5: unit.vector.rows: unknown key 'rows'", "known:"),
    "duplicate key": ("columns: 8", "columns: 8\n    rows: 4", "small.yaml:13:5: duplicate key 'rows', first at line 11", "remove one"),
    "dotted duplicate": (
        "columns: 8",
        'columns: 8\n    energy.mac.int8: "1 pJ"',
        "small.yaml:17:14: unit.array.energy.mac.int8: given twice",
        "remove one",
    ),
    "tab": ("  dram:\n", "\tdram:\n", "small.yaml:22:1: not valid YAML", "spaces, not tabs"),
    "syntax": ("[int8]\n", "[int8\n", "small.yaml:15:13: not valid YAML", "check the indentation"),
    "leaf as mapping": (
        "rows: 16",
        "rows: {many: 16}",
        "small.yaml:11:5: unit.array.rows: 'rows' takes a value, not a mapping",
        "rows of the array",
    ),
    "mapping as leaf": (
        "    off_chip: true\n",
        "    off_chip: true\n    ifmap: 5\n",
        "small.yaml:24:12: memory.dram.ifmap: must be a mapping",
        "it holds size",
    ),
    "leaf without value": (
        "rows: 16",
        "rows: {source: derived, cite: x}",
        "small.yaml:11:5: unit.array.rows: has source, cite but no value",
        "write value",
    ),
    "missing key": ('    bandwidth: "10 GB/s"\n', "", "small.yaml:22:3: memory.dram.bandwidth: missing", 'like "3.35 TB/s"'),
    "missing kind": ("    kind: vector\n", "", "small.yaml:17:3: unit.vector.kind: missing", "names the mapper"),
    "missing clock": ('clock: "1 GHz"\n', "", "small.yaml:1:1: clock: missing", 'like "1.83 GHz"'),
    "missing name": ("name: small\n", "", "small.yaml:1:1: name: missing", "write name"),
    "name is a number": ("name: small\n", "name: 5\n", "small.yaml:2:7: name: must be text, not number", "quotes"),
    "missing schema": ("schema: 1\n", "", "small.yaml:1:1: schema: missing", "write schema: 1"),
    "schema of the future": ("schema: 1", "schema: 2", "small.yaml:1:9: schema: version 2 is not known", "reads schema: 1"),
    "missing source": (
        'provenance: {source: derived, cite: "a choice of this test"}\n',
        "",
        "small.yaml:6:8: clock: the number has no source",
        "write {value:",
    ),
    "unknown source": (
        "source: derived",
        "source: datashet",
        "small.yaml:7:22: provenance: unknown source 'datashet'",
        "did you mean datasheet?",
    ),
    "source without citation": (
        ', cite: "a choice of this test"',
        "",
        "small.yaml:7:14: provenance: source derived without a citation",
        "add cite",
    ),
    "provenance is text": (
        '{source: derived, cite: "a choice of this test"}',
        "me",
        "small.yaml:7:13: provenance: must be a mapping",
        "write {source",
    ),
    "unknown key in a leaf": (
        "rows: 16",
        "rows: {value: 16, sorce: derived}",
        "small.yaml:11:23: unit.array.rows: unknown key 'sorce'",
        "did you mean source",
    ),
    "assumed without bounds": (
        "rows: 16",
        "rows: {value: 16, source: assumed}",
        "small.yaml:11:19: unit.array.rows: an assumed number without low and high",
        "how far off",
    ),
    "assumed with one bound": (
        "rows: 16",
        "rows: {value: 16, source: assumed, low: 8}",
        "small.yaml:11:19: unit.array.rows: an assumed number without high",
        "how far off",
    ),
    "low above value": (
        "rows: 16",
        "rows: {value: 16, low: 20, high: 30}",
        "small.yaml:11:28: unit.array.rows: low: 20 lies above the value",
        "low <= value",
    ),
    "high below value": (
        "rows: 16",
        "rows: {value: 16, low: 2, high: 3}",
        "small.yaml:11:37: unit.array.rows: high: 3 lies below the value",
        "low <= value",
    ),
    "bound with a wrong unit": (
        '"10 GB/s"',
        '{value: "10 GB/s", low: "8 W", high: "9 W"}',
        "small.yaml:25:40: memory.dram.bandwidth: low: '8 W' is a power",
        "bandwidth",
    ),
    "negative size": ('"1 GiB"', '"-1 GiB"', "small.yaml:24:11: memory.dram.size: '-1 GiB' is out of range", "must be above 0 B"),
    "zero rows": ("rows: 16", "rows: 0", "small.yaml:11:11: unit.array.rows: 0 is out of range", "at least 1"),
    "fraction of a row": ("rows: 16", "rows: 1.5", "small.yaml:11:11: unit.array.rows: 1.5 is not a whole number", "write a count"),
    "achieved above one": ('"80 %"', '"180 %"', "small.yaml:26:15: memory.dram.achieved: '180 %' is out of range", "at most 1"),
    "bad fallback": (
        "fallback: vector",
        "fallback: vecter",
        "small.yaml:15:15: unit.array.fallback: names no unit of this spec: 'vecter'",
        "did you mean vector?",
    ),
    "fallback in a circle": (
        "lanes: 8",
        "lanes: 8\n    fallback: array",
        "small.yaml:15:15: unit.array.fallback: the fallbacks run in a circle",
        "remove one",
    ),
    "unknown dataflow": (
        "dataflow: os",
        "dataflow: output_stationery",
        "small.yaml:13:15: unit.array.dataflow: unknown word",
        "did you mean output_stationary",
    ),
    "misspelt kind": (
        "kind: systolic",
        "kind: sytolic",
        "small.yaml:10:11: unit.array.kind: unknown kind 'sytolic'",
        "did you mean systolic?",
    ),
    "unknown format": (
        "formats: [int8]\n",
        "formats: [int9]\n",
        "small.yaml:14:14: unit.array.formats: unknown number format 'int9'",
        "did you mean int",
    ),
    "unknown default format": (
        "default_format: int8",
        "default_format: int7",
        "small.yaml:5:17: default_format: unknown number format 'int7'",
        "did you mean int",
    ),
    "default format without a rate": (
        "default_format: int8",
        "default_format: bf16",
        "small.yaml:5:17: default_format: unit 'array' has no rate for bf16",
        "known: int8",
    ),
    "no compute rate": ("    formats: [int8]\n", "", "small.yaml:10:11: unit.array: states no compute rate", "give rates, or formats"),
    "unknown pattern": (
        "columns: 8",
        'columns: 8\n    rates: {int8: {half: "1 TOP/s"}}',
        "small.yaml:13:20: unit.array.rates.int8.half: unknown sparsity pattern",
        "2:4",
    ),
    "no off-chip memory": ("    off_chip: true\n", "", "small.yaml:21:1: memory: no memory is off chip", "off_chip: true"),
    "off_chip is text": (
        "off_chip: true",
        "off_chip: yes",
        "small.yaml:23:15: memory.dram.off_chip: must be true or false, not 'yes'",
        "write true",
    ),
    "no size": ('    size: "1 GiB"\n', "", "memory.dram.size: missing", "write a capacity"),
    "two of three buffers": (
        '    ofmap: {size: "16 KiB"}\n',
        "",
        "memory.scratchpad: a split scratchpad needs ifmap, filter and ofmap",
        "all three",
    ),
    "size and buffers differ": (
        'bandwidth: "32 B/cycle"',
        'bandwidth: "32 B/cycle"\n    size: "1 MiB"',
        "small.yaml:32:11: memory.scratchpad.size: differs",
        "the parts give",
    ),
    "fraction of a byte": ('"1 GiB"', '"3 bit"', "small.yaml:24:11: memory.dram.size: '3 bit' is not a whole number of bytes", "64 KiB"),
    "curve not ascending": (
        '"80 %"',
        '1\n    bandwidth_curve: {"1 MiB": 0.9, "64 KiB": 0.5}',
        "bandwidth_curve.64KiB: access sizes are not ascending",
        "small to large",
    ),
    "curve point without a unit": (
        '"80 %"',
        '1\n    bandwidth_curve: {"64": 0.9}',
        "small.yaml:27:23: memory.dram.bandwidth_curve.64: '64' has no unit",
        "MiB",
    ),
    "static above maximum": (
        'static: "1 W"',
        'static: "9 W"',
        "small.yaml:32:17: power.static: static power above the board limit",
        "idle",
    ),
    "unknown extends": (
        "name: small\n",
        "name: small\nextends: nvidia-h100\n",
        "small.yaml:3:10: extends: unknown hardware 'nvidia-h100'",
        "did you mean nvidia-h100-sxm",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_spec(case, tmp_path):
    old, new, message, hint = CASES[case]
    found = faults(tmp_path, changed(old, new))
    matching = [fault for fault in found if message in fault]
    assert matching, "\n".join(found)
    assert hint in matching[0]
    assert all(fault.startswith("small.yaml:") for fault in found), found


def test_there_are_many_kinds():
    assert len(CASES) >= 50


def test_the_good_spec_is_good(tmp_path):
    assert validate_file(write(tmp_path, GOOD)) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "small.yaml:1:1: the file is empty"),
        ("just words\n", "small.yaml:1:1: a spec is a mapping, this is a text"),
        ("- 1\n- 2\n", "small.yaml:1:1: a spec is a mapping, this is a list"),
        ("%PDF-1.4 \x07\n", "control character"),
        ("schema: 1\n", "small.yaml:1:1: unit: missing; it holds compute units"),
    ],
)
def test_not_a_spec(text, message, tmp_path):
    assert any(message in fault for fault in faults(tmp_path, text))


def test_all_faults_at_once_in_the_order_of_the_file(tmp_path):
    text = changed("rows: 16", "rows: 0", changed('"10 GB/s"', "10", changed("lanes: 8", "lane: 8")))
    found = faults(tmp_path, text)
    lines = [int(fault.split(":")[1]) for fault in found]
    assert lines == sorted(lines) == [11, 17, 19, 25]
    with pytest.raises(ErrorList) as caught:
        load_hardware(str(tmp_path / "small.yaml"))
    assert len(caught.value.errors) == 4
    assert all(isinstance(error, InvalidInput) and error.hint for error in caught.value.errors)


def test_inverted_conductance_range_and_other_parts_of_a_crossbar(tmp_path):
    text = changed(
        "kind: vector\n    lanes: 8\n    formats: [int8, fp32]",
        "kind: crossbar\n    rows: 64\n    columns: 64\n    cell: rram\n    bits_per_cell: 9\n"
        '    conductance: {off: "200 uS", on: "2 uS"}\n    adc: {resolution: 8, sharing: 0, rate: "1 ms"}',
    )
    found = faults(tmp_path, text)
    assert any("bits_per_cell: 9 is out of range; must be at most 8" in fault for fault in found)
    assert any("adc.sharing: 0 is out of range" in fault for fault in found)
    assert any("adc.rate: '1 ms' is a time, not a frequency" in fault for fault in found)
    mended = changed("bits_per_cell: 9", "bits_per_cell: 2", changed('sharing: 0, rate: "1 ms"', 'sharing: 8, rate: "1 MHz"', text))
    assert faults(tmp_path, mended) == [
        "small.yaml:23:24: unit.vector.conductance.off: the conductance range is inverted; off is the smaller one"
    ]


def test_special_parts_say_when_they_draw_power(tmp_path):
    text = changed("schema: 1", "schema: 1\nspecial: {bus: {drawn: always}}")
    (fault,) = [fault for fault in faults(tmp_path, text) if "drawn" in fault]
    assert fault == "small.yaml:2:24: special.bus.drawn: unknown word 'always'; write arrays (while they work) or device (always)"


def test_arrays_of_a_crossbar_that_cannot_be(tmp_path):
    def spec(rows, more):
        return changed(
            "kind: vector\n    lanes: 8\n    formats: [int8, fp32]",
            f"kind: crossbar\n    rows: {rows}\n    columns: 64\n    cell: rram\n    bits_per_cell: 2\n    {more}",
        )

    assert faults(tmp_path, spec(0, "rows_per_read: 1")) == ["small.yaml:19:11: unit.vector.rows: 0 is out of range; must be at least 1"]
    assert faults(tmp_path, spec(64, "rows_per_read: 65")) == [
        "small.yaml:23:20: unit.vector.rows_per_read: more rows are read at once than an array has; rows_per_read is at most rows"
    ]
    assert faults(tmp_path, spec(64, "adc: {type: ramp, resolution: 5, functions: [tanh]}")) == [
        "small.yaml:23:49: unit.vector.adc.functions: only a nonlinear_ramp converter computes functions; set adc.type, or remove the key"
    ]
    for line, column in (("reprogram: true", 16), ("dynamic: write", 14)):
        (fault,) = faults(tmp_path, spec(64, line))
        assert fault.startswith(f"small.yaml:23:{column}: unit.vector.{line.partition(':')[0]}: needs the time that writing takes")


def test_an_fpga_design_that_does_not_fit_its_device(tmp_path):
    text = changed("kind: systolic", "kind: sparse_array\n    resources: {dsp: 100}\n    device: {dsp: 50}")
    assert faults(tmp_path, text) == [
        "small.yaml:11:22: unit.array.resources.dsp: uses more DSP than the device has; lower it or take a larger device"
    ]


def test_sparse_rate_below_the_dense_one(tmp_path):
    text = changed("columns: 8", 'columns: 8\n    rates: {int8: {dense: "2 TOP/s", "2:4": "1 TOP/s"}}')
    assert any("unit.array.rates.int8.2:4: is below the dense rate" in fault for fault in faults(tmp_path, text))


def test_extends_in_a_circle(tmp_path):
    write(tmp_path, "schema: 1\nname: b\nextends: small.yaml\n", "b.yaml")
    found = faults(tmp_path, "schema: 1\nname: small\nextends: b.yaml\n")
    assert found == ["b.yaml:3:10: extends: the specs extend each other in a circle: small -> b -> small; remove one of the extends"]


def test_faults_of_the_base_are_located_in_the_base(tmp_path):
    write(tmp_path, changed("rows: 16", "rows: 0"), "base.yaml")
    found = faults(tmp_path, "schema: 1\nname: child\nextends: base.yaml\nunit.array.columns: {value: 4, source: derived, cite: test}\n")
    assert found == ["base.yaml:11:11: unit.array.rows: 0 is out of range; must be at least 1"]


def test_faults_in_sections_that_are_otherwise_good_are_told_together(tmp_path):
    text = changed("fallback: vector", "fallback: vecter", changed('"10 GB/s"', "10"))
    found = faults(tmp_path, text)
    assert [fault.split(": ")[1] for fault in found] == ["unit.array.fallback", "memory.dram.bandwidth"]


def test_a_child_needs_a_name_of_its_own(tmp_path):
    write(tmp_path, GOOD, "base.yaml")
    assert faults(tmp_path, "schema: 1\nextends: base.yaml\n") == ["small.yaml:1:1: name: missing; write name: my-chip"]


def test_missing_file_and_unknown_name(tmp_path):
    write(tmp_path, GOOD)
    with pytest.raises(UnknownNameError, match=r"no such file: .*smal.yaml; did you mean small.yaml"):
        load_hardware(str(tmp_path / "smal.yaml"))
    with pytest.raises(UnknownNameError, match="unknown hardware 'nvidia-h100'; did you mean nvidia-h100-sxm"):
        load_hardware("nvidia-h100")
    assert len(validate_file(tmp_path / "none.yaml")) == 1


LINES = GOOD.splitlines(keepends=True)
_WORDS = st.sampled_from(
    [
        "-1",
        "0",
        "1e400",
        "null",
        "true",
        "[]",
        "{}",
        '"3 TB/s"',
        '"5 s"',
        "abc",
        "{value: 3}",
        "{low: 1}",
        "&a 1",
        "*a",
        "'",
        "\t",
        ": x",
        "ä",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(LINES) - 1), st.sampled_from(["drop", "double", "value", "key", "indent"]), _WORDS)
def test_any_damage_is_read_or_refused_with_a_place(at, how, word):
    """A traceback, a NaN or a fault without a place would be a defect of ours, whatever the damage."""
    lines = list(LINES)
    key, colon, value = lines[at].partition(":")
    lines[at] = {
        "drop": "",
        "double": lines[at] * 2,
        "value": f"{key}: {word}\n" if colon else word,
        "key": f"{key}x{colon}{value}",
        "indent": " " + lines[at],
    }[how]
    with TemporaryDirectory() as folder:
        path = write(Path(folder), "".join(lines))
        found = validate_file(path)
        for fault in found:
            assert re.match(r".*small\.yaml:\d+:\d+$", fault.where or ""), fault
            assert fault.hint
        if not found:
            load_hardware(path)


def test_one_error_for_a_provenance_mapping_without_bounds(tmp_path):
    text = changed("source: derived", "source: assumed")
    (found,) = faults(tmp_path, text)
    assert found.startswith("small.yaml:7:14: provenance: assumed without low and high, for clock and ")
    assert 'more; state how far off it may be: low and high with a unit, or "-20 %"' in found
    assert faults(tmp_path, changed('test"}', 'test", low: "-10 %", high: "+10 %"}', text)) == []


def test_an_unknown_source_is_one_error(tmp_path):
    text = changed("rows: 16", "rows: {value: 16, source: guessed}")
    assert [fault.split("; ")[0] for fault in faults(tmp_path, text)] == ["small.yaml:11:31: unit.array.rows: unknown source 'guessed'"]


def test_a_fallback_where_there_is_one_unit_only(tmp_path):
    text = changed("  vector:\n    kind: vector\n    lanes: 8\n    formats: [int8, fp32]\n", "")
    (found,) = faults(tmp_path, text)
    assert "names no unit of this spec: 'vector'; 'array' is its only unit: add a unit 'vector' or remove the key" in found


def test_a_folder_is_called_one(tmp_path):
    write(tmp_path, GOOD)
    with pytest.raises(InvalidInput, match=r"is a folder, not a spec; it holds small\.yaml"):
        load_hardware(str(tmp_path))
    assert "/ is a folder, not a spec" in str(validate_file("/")[0])


GPU = "schema: 1\nname: child\nextends: nvidia-h100-sxm\nprovenance: {source: datasheet, cite: sheet}\nmemory:\n"


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        (
            '  gddr6: {size: "48 GB", bandwidth: "864 GB/s"}\n',
            "small.yaml:6:17: memory.gddr6.size: an on-chip memory of 48 GB; write off_chip: true if it is the DRAM (and hbm: null to drop",
        ),
        ('  gddr6: {size: "96 GB", bandwidth: "9 TB/s"}\n', "memory.gddr6.size: an on-chip memory of 96 GB beside 80 "),
        ('  l2: {size: "100 GB"}\n', "small.yaml:6:14: memory.l2.size: an on-chip memory of 100 GB beside 80 "),
        ('  l2: {bandwidth: "1.6 TB/s"}\n', "memory.l2.bandwidth: an on-chip memory of 1.6 TB/s, less than half the bandwidth of 'hbm'"),
        ('  l2: {bandwidth: "100 B/cycle"}\n', "memory.l2.bandwidth: an on-chip memory of 100 B/cycle, less than half"),
        (
            '  gddr6: {off_chip: true, size: "48 GB", bandwidth: "864 GB/s"}\n',
            "memory.gddr6.off_chip: a second memory is off chip beside 'hbm', and only the first one is used; remove one of them",
        ),
    ],
)
def test_memories_that_fit_no_device(memory, message, tmp_path):
    (found,) = faults(tmp_path, GPU + memory)
    assert message in found


@pytest.mark.parametrize(
    "memory",
    [
        '  hbm: null\n  gddr6: {off_chip: true, size: "48 GB", bandwidth: "864 GB/s"}\n',
        '  wafer: {off_chip: false, size: "44 GB", bandwidth: "21 PB/s"}\n',
        '  l2: {bandwidth: "1.7 TB/s"}\n',
    ],
)
def test_memories_that_are_meant(memory, tmp_path):
    assert faults(tmp_path, GPU + memory) == []
