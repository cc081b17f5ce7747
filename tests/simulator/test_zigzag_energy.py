"""ZigZag's access counts through our engine: counts that follow by hand from its mappings must cost what ZigZag says they cost."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.zigzag_counts import Accesses, Layer, layer_of, mapped_graph, play
from hwspecs.hardware import Hardware
from hwspecs.loading import load_hardware
from hwspecs.vocabulary.errors import ContractError

SPEC = Path(__file__).parents[2] / "benchmarks" / "zigzag-tpu-like.yaml"
PRICES = {"dram": (64, 700.0, 750.0), "sram_2MB": (2048, 416.16, 378.4), "rf_128B": (8, 0.095, 0.095), "rf_2B": (16, 0.021, 0.021)}


@dataclass(frozen=True)
class Mapping:
    """An AlexNet layer as ZigZag maps it on 32 x 32 cells: sizes, input values it needs, cells used, rounds of partial sums."""

    layer: str
    groups: int
    filters: int
    channels: int
    pixels: int
    window: int
    inputs: int
    rows: int
    columns: Fraction
    rounds: int


# Columns take filters: 1000 filters are 32 turns of 31.25 columns. Rows take channels: 3, 24 (48 in two turns) or 32. The first
# convolution's windows reach 223 x 223 of its 224 x 224 inputs. ``rounds``: how often the partial sums of an output leave the cells.
MAPPINGS = (
    Mapping("Op0", 1, 96, 3, 54 * 54, 11 * 11, 3 * 223 * 223, 3, Fraction(32), 1),
    Mapping("Op4", 2, 128, 48, 26 * 26, 5 * 5, 96 * 26 * 26, 24, Fraction(32), 1),
    Mapping("Op8", 1, 384, 256, 12 * 12, 3 * 3, 256 * 12 * 12, 32, Fraction(32), 3),
    Mapping("Op10", 2, 192, 192, 12 * 12, 3 * 3, 384 * 12 * 12, 32, Fraction(32), 1),
    Mapping("Op12", 2, 128, 192, 12 * 12, 3 * 3, 384 * 12 * 12, 32, Fraction(32), 1),
    Mapping("Op16", 1, 4096, 9216, 1, 1, 9216, 32, Fraction(32), 1),
    Mapping("Op19", 1, 4096, 4096, 1, 1, 4096, 32, Fraction(32), 8),
    Mapping("Op22", 1, 1000, 4096, 1, 1, 4096, 32, Fraction(1000, 32), 16),
)


def words(values: int | Fraction, bits: int) -> int:
    """Accesses of 64 bits that ``values`` of ``bits`` take."""
    return -(-values * bits // 64)


def accesses(memory: str, operand: str, reads: int, writes: int) -> Accesses:
    bits, read_pj, write_pj = PRICES[memory]
    return Accesses(memory, operand, reads, writes, bits, bits, read_pj, write_pj)


def counted(mapping: Mapping) -> Layer:
    """Counts by hand. The SRAM counts accesses of 2048 bits in steps of 64, whole ones, cut off.

    Each multiplication reads a weight and a partial sum and writes a partial sum, all in its cell. A round ends when the sums of all
    rows leave for the adders: to the SRAM as 16 bits and back, where there are several rounds, else once as the 8-bit result. Weights
    come from DRAM straight into the cells. Each cycle reads one value per row from the SRAM.
    """
    outputs = mapping.groups * mapping.filters * mapping.pixels
    macs = outputs * mapping.channels * mapping.window
    weights = mapping.groups * mapping.filters * mapping.channels * mapping.window
    cycles = Fraction(macs, mapping.rows) / mapping.columns
    assert cycles.denominator == 1
    leaving = outputs * mapping.rows * mapping.rounds
    spilled = mapping.rounds > 1
    sums = int(outputs / mapping.columns) * words(mapping.columns, 16) * mapping.rounds * 64 // 2048 if spilled else 0
    results = words(outputs, 8) * 64 // 2048
    found = (
        accesses("rf_2B", "O", macs + leaving, macs + (leaving if spilled else 0)),
        accesses("sram_2MB", "O", results + sums, sums if spilled else results),
        accesses("dram", "O", 0, words(outputs, 8)),
        accesses("rf_128B", "W", macs, weights),
        accesses("dram", "W", words(weights, 8), 0),
        accesses("sram_2MB", "I", int(cycles) * words(mapping.rows, 8) * 64 // 2048, words(mapping.inputs, 8) * 64 // 2048),
        accesses("dram", "I", words(mapping.inputs, 8), 0),
    )
    return Layer(mapping.layer, macs, 0.04, 0.0, 0.0, int(cycles), 0.0, 0.0, 0.0, 0.0, found)


@pytest.fixture(scope="module")
def hardware() -> Hardware:
    return load_hardware(str(SPEC))


@pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda mapping: mapping.layer)
def test_energy_of_zigzags_counts_is_zigzags_energy(mapping: Mapping, hardware: Hardware, data_file: Callable[[str], Path]) -> None:
    with data_file("zigzag_layers.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["hardware"] == "tpu_like.yaml" and row["options"] == "lpf=4"]
    row = next(row for row in rows if row["layer"] == mapping.layer)
    layer = counted(mapping)
    assert layer.macs == int(row["macs"])
    assert layer.array_cycles == float(row["latency_ideal_temporal"])
    result = play(layer, hardware)
    assert result.energy_j == pytest.approx(float(row["energy_total"]) * 1e-12, rel=1e-12)
    assert result.energy_by_component["array.mac"] == pytest.approx(float(row["energy_mac"]) * 1e-12, rel=1e-12)


def test_one_multiplication_priced_by_hand(hardware: Hardware) -> None:
    layer = Layer("one", 1, 0.04, 0.0, 0.0, 1, 0.0, 0.0, 0.0, 0.0, (accesses("rf_128B", "W", 1, 1), accesses("dram", "W", 1, 0)))
    result = play(layer, hardware)
    assert result.energy_j == pytest.approx((0.04 + 0.095 + 0.095 + 700.0) * 1e-12, rel=1e-12)
    assert result.bytes_by_memory["dram"] == (8, 0)
    assert result.cycles == 1  # 8 bytes at 8 bytes per cycle


counts = st.integers(0, 10**9)


@settings(max_examples=40)
@given(
    macs=counts, cycles=st.integers(1, 10**8),
    table=st.lists(st.tuples(st.sampled_from(sorted(PRICES)), st.sampled_from("WIO"), counts, counts), max_size=12),
)  # fmt: skip
def test_energy_is_counts_times_prices_and_time_the_busiest(macs: int, cycles: int, table: list[tuple[str, str, int, int]]) -> None:
    # inputs are never written back to DRAM, and each operand is counted once per memory
    rows = {(memory, operand): (memory, operand, reads, 0 if operand != "O" and memory == "dram" else writes)
            for memory, operand, reads, writes in table}.values()  # fmt: skip
    layer = Layer("random", macs, 0.04, 0.0, 0.0, cycles, 0.0, 0.0, 0.0, 0.0, tuple(accesses(*row) for row in rows))
    expected = Fraction(macs) * Fraction("0.04")
    for memory, _, reads, writes in rows:
        _, read_pj, write_pj = PRICES[memory]
        expected += reads * Fraction(str(read_pj)) + writes * Fraction(str(write_pj))
    result = play(layer, load_hardware(str(SPEC)))
    assert result.energy_j == pytest.approx(float(expected) * 1e-12, rel=1e-12)
    port = sum(reads + writes for memory, _, reads, writes in rows if memory == "dram")
    assert result.cycles == max(cycles, port)


def test_a_price_that_the_spec_does_not_have_is_refused(hardware: Hardware) -> None:
    good = accesses("dram", "W", 1, 0)
    layer = Layer("odd", 1, 0.04, 0.0, 0.0, 1, 0.0, 0.0, 0.0, 0.0, (replace(good, read_pj=701.0),))
    with pytest.raises(ContractError, match="701"):
        mapped_graph(layer, hardware)
    with pytest.raises(ContractError, match="no memory 'l3'"):
        mapped_graph(replace(layer, accesses=(replace(good, memory="l3"),)), hardware)
    with pytest.raises(ContractError, match="whole bytes"):
        mapped_graph(replace(layer, accesses=(Accesses("dram", "W", 1, 0, 4, 4, 43.75, 46.875),)), hardware)


def test_what_the_driver_writes_is_read_or_refused() -> None:
    numbers = ("mac_pj", "energy_pj", "latency_cycles", "stall_cycles", "onload_cycles", "offload_cycles", "drain_cycles")
    row = {"name": "Op0", "macs": 2, "array_cycles": 1, "accesses": [], **dict.fromkeys(numbers, 1.0)}
    assert layer_of(row).macs == 2
    with pytest.raises(ContractError, match="two versions"):
        layer_of({key: value for key, value in row.items() if key != "macs"} | {"accesses": [{"memory": "dram"}]})
