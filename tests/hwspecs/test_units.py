"""Units: hand-derived conversions, refusals with hints, and round trips."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import UnitError
from hwspecs.vocabulary.units import dimensions, example, format_quantity, parse_quantity, read_any, read_quantity, unit_names


@pytest.mark.parametrize(
    ("text", "dimension", "expected"),
    [
        ("3.35 TB/s", "bandwidth", 3.35e12),
        ("1 TiB/s", "bandwidth", 2.0**40),
        ("100 Gb/s", "bandwidth", 12.5e9),
        ("50 MiB", "bytes", 52428800),
        ("80 GB", "bytes", 80_000_000_000),
        ("256 Kb", "bytes", 32_000),
        ("256 Kib", "bytes", 32 * 1024),
        ("8 bit", "bytes", 1),
        ("8 Mb", "bytes", 1_000_000),
        ("8 MB", "bytes", 8_000_000),
        ("1.83 GHz", "frequency", 1.83e9),
        ("2.7 us", "time", 2.7e-6),
        ("2.7 \u00b5s", "time", 2.7e-6),
        ("2.7 \u03bcs", "time", 2.7e-6),
        ("989.4 TFLOP/s", "rate", 989.4e12),
        ("92 TOPS", "rate", 92e12),
        ("1 TMAC/s", "rate", 2e12),
        ("4 pJ/bit", "energy_per_byte", 32e-12),
        ("62 pJ/B", "energy_per_byte", 62e-12),
        ("0.76 pJ/FLOP", "energy_per_op", 0.76e-12),
        ("0.3 pJ/MAC", "energy_per_op", 0.15e-12),
        ("0.76 pJ/FLOP", "energy_per_mac", 1.52e-12),
        ("0.3 pJ/MAC", "energy_per_mac", 0.3e-12),
        ("28 fJ", "energy", 28e-15),
        ("700 W", "power", 700.0),
        ("0.27 mW", "power", 0.27e-3),
        ("814 mm2", "area", 814.0),
        ("814 mm\u00b2", "area", 814.0),
        ("25 um2", "area", 25e-6),
        ("150 uS", "conductance", 150e-6),
        ("0.2 V", "voltage", 0.2),
        ("10 k\u03a9", "resistance", 1e4),
        ("72 %", "ratio", 0.72),
        ("0.72", "ratio", 0.72),
        (132, "count", 132),
        ("1e3", "count", 1000),
        ("300 K", "temperature", 300),
        ("-.5 V", "voltage", -0.5),
    ],
)
def test_hand_derived_values(text, dimension, expected):
    assert parse_quantity(text, dimension) == pytest.approx(expected, rel=1e-15)


def test_decimal_text_is_rounded_once():
    assert parse_quantity("10 us", "time") == 1e-5
    assert parse_quantity("66.9 TFLOP/s", "rate") == 66.9e12
    assert parse_quantity("0.1 pJ", "energy") == 1e-13


def test_per_cycle_units_need_the_clock():
    assert parse_quantity("64 B/cycle", "bandwidth", clock_hz=1e9) == 64e9
    assert parse_quantity("16 MAC/cycle", "rate", clock_hz=2e9) == 64e9
    assert parse_quantity("200 cycles", "time", clock_hz=1e9) == 200e-9
    with pytest.raises(UnitError, match="no clock is known"):
        parse_quantity("64 B/cycle", "bandwidth")


@pytest.mark.parametrize(
    ("text", "dimension", "message"),
    [
        ("3.35", "bandwidth", 'has no unit; write a bandwidth like "3.35 TB/s"'),
        (700, "power", 'has no unit; write a power like "700 W"'),
        ("3 GHz", "bandwidth", "is a frequency, not a bandwidth"),
        ("3 TB", "bandwidth", "is a size, not a bandwidth"),
        ("3 mb/s", "bandwidth", "did you mean MB/s or Mb/s?"),
        ("3 TB/sec", "bandwidth", "unknown unit 'TB/sec'; did you mean TB/s"),
        ("fast", "bandwidth", "does not begin with a number"),
        ("", "bandwidth", "does not begin with a number"),
        ("nan W", "power", "does not begin with a number"),
        ("1e999 W", "power", "not a finite number"),
        (float("nan"), "ratio", "not a finite number"),
        (float("inf"), "number", "not a finite number"),
        ("2.5", "count", "not a whole number"),
        ("3 s", "count", "a unit where a plain number is due"),
        (True, "count", "is not a quantity"),
        (None, "time", "is not a quantity"),
        ("1 Mm2", "area", "unknown unit"),
    ],
)
def test_refusals_say_what_to_write(text, dimension, message):
    with pytest.raises(UnitError) as caught:
        parse_quantity(text, dimension)
    assert message in str(caught.value)


def test_bits_and_bytes_are_told_apart():
    assert parse_quantity("8 Gb/s", "bandwidth") == parse_quantity("1 GB/s", "bandwidth")


def test_read_any_infers_the_dimension():
    assert read_any("2.7 us").base == "s"
    assert read_any(0.8).base == ""
    assert read_any("64 B/cycle").clock == 1
    assert read_any("flash_attention_2") is None
    assert read_any("3 qq") is None


def test_every_example_is_right():
    for dimension in dimensions():
        read_quantity(example(dimension), dimension)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3.35e12, "byte/s", "3.35 TB/s"),
        (52428800, "byte", "50 MiB"),
        (80e9, "byte", "80 GB"),
        (1.52e-12, "J/MAC", "1.52 pJ/MAC"),
        (0.0, "s", "0 s"),
        (999.99999, "W", "1 kW"),
        (4096, "op/cycle", "4096 OP/cycle"),
        (3.35e12, "GB/s", "3350 GB/s"),
        (132, "", "132"),
        (0.72, "", "0.72"),
        (-2e-3, "V", "-2 mV"),
    ],
)
def test_formatting(value, unit, text):
    assert format_quantity(value, unit) == text


def test_formatting_an_unknown_unit_is_refused():
    with pytest.raises(UnitError, match="unknown unit"):
        format_quantity(1.0, "parsec")


_UNITS = [(dimension, unit) for dimension in dimensions() for unit in unit_names(dimension) if dimension not in ("count",)]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(_UNITS), st.floats(1e-9, 1e12))
def test_text_survives_reading_and_writing(pair, number):
    dimension, unit = pair
    quantity = read_quantity(f"{number!r} {unit}", dimension)
    again = read_quantity(format_quantity(quantity.value, quantity.base, digits=17), dimension)
    assert again.value == pytest.approx(quantity.value, rel=1e-14)
    assert again.base == quantity.base


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=12), st.sampled_from(dimensions()))
def test_any_text_is_read_or_refused_never_worse(text, dimension):
    try:
        read_quantity(text, dimension)
    except UnitError as error:
        hint = error.hint
    else:
        hint = "none needed"
    assert hint
