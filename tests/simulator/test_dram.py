"""Banked DRAM: eight access patterns against bounds derived by hand, laws of the model, real parts."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from hwspecs import list_hardware, load_hardware
from hwspecs.dram import dram_parts
from hwspecs.hardware import Dram, Memory
from hwspecs.vocabulary.errors import ErrorList, SpecError, UnknownNameError, UnsupportedError
from simulator.dram import DramModel, Move, Stream, addresses, bank_numbers, burst_count, decode, sample, serve, timing_array
from simulator.kernels import dram as kernel

# DDR4-2400R, 8 Gb x8, in clocks of 0.833 ns (JESD79-4): one burst of 64 bytes takes 4 clocks on the bus.
TIMING = {
    "tcl": 17, "tcwl": 12, "trcd": 17, "trcdwr": 17, "trp": 17, "tras": 39, "tccd_s": 4, "tccd_l": 6, "trrd_s": 4, "trrd_l": 6, "tfaw": 26,
    "trtp": 9, "twr": 18, "twtr_s": 3, "twtr_l": 9, "trtw": 2, "trtrs": 2, "trefi": 9360, "trfc": 420, "trfc_pb": 200,
}  # fmt: skip
DDR4 = Dram(
    "", 1, 1, 4, 4, 8192, 64, 8, 2, 1.2e9, 2.4e9, TIMING, ("row", "rank", "bank", "column", "bank_group", "channel"), 64, 32, "all_bank",
    {"activate": 3e-9, "read": 2e-9, "write": 4e-9, "refresh": 700e-9},
)  # fmt: skip
CALM = replace(DDR4, refresh="none")
COUNT = 12_000


def share(banks, rows, writes=0, dram: Dram = CALM, window: int = 32, count: int = COUNT) -> tuple[float, np.ndarray]:
    """Share of the peak that a stream of bursts reaches, and the kernel's counts; bank = 4 x bank group + bank."""
    index = np.arange(count)
    lists = [np.broadcast_to(np.asarray(part), index.shape).astype(np.int64) for part in (banks, rows, writes)]
    counts, done = np.zeros(kernel.COUNTS, np.int64), np.full(count, -1, np.int64)
    groups = np.arange(16) // 4
    zeros = np.zeros(count, np.int64)
    end, served = kernel.serve(
        *lists, zeros, groups, np.zeros(16, np.int64), timing_array(dram), window, 4 * window, 1 << 60, counts, done
    )  # fmt: skip
    assert served == count
    return 4 * count / end, counts


INDEX = np.arange(COUNT)
SPREAD = (INDEX % 4) * 4 + INDEX // 512 % 4  # bank groups in turn, four banks at a time, 128 bursts per row
ROWS = INDEX // 2048


def test_sequential_read_reaches_what_refresh_leaves():
    # Row hits in alternating groups fill the bus (tCCD_S = burst = 4). From the last read before a refresh to the first after it pass
    # tRTP 9 + tRP 17 + tRFC 420 + tRCD 17 clocks instead of 4, once in every tREFI.
    reached, counts = share(SPREAD, ROWS, dram=DDR4)
    assert reached == pytest.approx(1 - (9 + 17 + 420 + 17 - 4) / 9360, rel=0.005)
    assert counts[kernel.REFRESHES] == pytest.approx(COUNT * 4 / reached / 9360, abs=1)
    assert counts[kernel.HITS] / COUNT > 0.98


def test_sequential_write_reaches_what_refresh_leaves():
    # As for reads, but the precharge waits tWR after the last data: tCWL 12 + 4 + tWR 18 instead of tRTP.
    reached, counts = share(SPREAD, ROWS, 1, dram=DDR4)
    assert reached == pytest.approx(1 - (12 + 4 + 18 + 17 + 420 + 17 - 4) / 9360, rel=0.005)
    assert counts[kernel.TURNAROUNDS] == 0


def test_sequential_without_refresh_reaches_the_peak():
    reached, counts = share(SPREAD, ROWS)
    assert reached == pytest.approx(1.0, rel=0.02)
    assert counts[kernel.REFRESHES] == 0


def test_one_bank_other_rows_is_bound_by_the_row_cycle():
    # Every burst activates: tRC = tRAS + tRP = 56 clocks for 4 of data.
    reached, counts = share(0, INDEX)
    assert reached == pytest.approx(4 / 56, rel=0.02)
    assert counts[kernel.ACTIVATES] == COUNT


def test_other_rows_over_all_banks_are_bound_by_the_activation_window():
    # Four activates, one burst each, per tFAW = 26 clocks (tRRD_S = 4 would allow 6.5); 16 banks / tRC = 56 would allow one per 3.5.
    reached, _ = share((INDEX % 4) * 4 + INDEX // 4 % 4, INDEX)
    assert reached == pytest.approx(4 * 4 / 26, rel=0.02)


def test_random_rows_and_banks_are_near_the_activation_window():
    # The same bound from above; a window of 32 finds a free bank nearly always.
    reached, _ = share(np.random.default_rng(1).integers(0, 16, COUNT), INDEX)
    assert 0.95 * 16 / 26 < reached <= 16 / 26 * 1.001


def test_activates_without_a_window_are_bound_by_trrd():
    # tFAW out of the way: activates to alternating groups every tRRD_S; 8 clocks so that it, not the bus, is what binds.
    dram = replace(CALM, timing={**TIMING, "tfaw": 1, "trrd_s": 8, "trrd_l": 8})
    reached, _ = share((INDEX % 4) * 4 + INDEX // 4 % 4, INDEX, dram=dram)
    assert reached == pytest.approx(4 / 8, rel=0.02)


def test_one_bank_group_is_bound_by_its_column_spacing():
    # Row hits in one group: a burst of 4 clocks every tCCD_L = 6.
    reached, _ = share(INDEX % 4, 0)
    assert reached == pytest.approx(4 / 6, rel=0.02)


def test_alternating_reads_and_writes_pay_two_turnarounds():
    # One read, one write, in order (window 1), other groups: read to write tCL + 4 + tRTW - tCWL = 17 + 4 + 2 - 12 = 11; write to read
    # tCWL + 4 + tWTR_S = 12 + 4 + 3 = 19. Two bursts of 4 per 30 clocks.
    reached, counts = share((INDEX % 2) * 4, 0, INDEX % 2, window=1)
    assert reached == pytest.approx(8 / 30, rel=0.02)
    assert counts[kernel.TURNAROUNDS] == COUNT - 1


@pytest.mark.parametrize("banks", [1, 2, 3])
def test_a_stride_that_hits_few_banks_is_bound_by_their_row_cycles(banks):
    # k banks, each with a row cycle of tRC = 56 clocks per burst; fewer than four activates per row cycle never meet tFAW.
    reached, _ = share((INDEX % banks) * 4, INDEX)
    assert reached == pytest.approx(4 * banks / 56, rel=0.02)


def test_two_ranks_share_the_bus_with_gaps():
    # One burst of each rank in turn and in order (window 1, row hits): burst 4 + tRTRS 2 between them.
    groups, ranks = np.arange(8) // 4, np.arange(8) // 4
    counts, done = np.zeros(kernel.COUNTS, np.int64), np.full(COUNT, -1, np.int64)
    zeros = np.zeros(COUNT, np.int64)
    lists = ((INDEX % 2 * 4).astype(np.int64), zeros, zeros, zeros)
    end, _ = kernel.serve(*lists, groups, ranks, timing_array(CALM), 1, 4, 1 << 60, counts, done)
    assert 4 * COUNT / end == pytest.approx(4 / 6, rel=0.02)
    assert counts[kernel.RANK_SWITCHES] == COUNT - 1


def test_refresh_bank_by_bank_hides_behind_other_banks():
    # Row hits over all banks; one bank of 16 is away for 200 of every 585 clocks, the window works on the others meanwhile.
    dram = replace(DDR4, refresh="per_bank")
    reached, counts = share((INDEX % 4) * 4 + INDEX // 4 % 4, 0, dram=dram, window=64)
    assert reached > 0.95
    assert counts[kernel.REFRESHES] == pytest.approx(16 * (4 * COUNT / reached - 9360) / 9360, abs=2)  # the first comes after tREFI


def test_a_request_that_others_overtake_is_served_in_time():
    # Request 0 misses (other row), 20,000 hits of the open row come after it: it goes after patience = 128 of them at the latest.
    rows = np.where(INDEX == 1, 7, 0)
    counts, done = np.zeros(kernel.COUNTS, np.int64), np.full(COUNT, -1, np.int64)
    zeros = np.zeros(COUNT, np.int64)
    args = (zeros, rows.astype(np.int64), zeros, zeros, np.arange(16) // 4, np.zeros(16, np.int64), timing_array(CALM))
    kernel.serve(*args, 32, 128, 1 << 60, counts, done)
    assert (done < done[1]).sum() <= 130


# the model of transfers


def model(dram: Dram, **changes: object) -> DramModel:
    """A memory of the DRAM's own peak bandwidth."""
    peak = dram.channels * dram.bus_bits * dram.bits_per_clock * dram.clock_hz / 8
    return DramModel(replace(Memory("dram", True, 1 << 34, peak, dram=dram), **changes))


def test_a_long_stream_has_the_efficiency_that_refresh_implies():
    nbytes = 1 << 24
    seconds, commands = model(DDR4).cost([Move(nbytes, False)])
    assert nbytes / seconds / 19.2e9 == pytest.approx(1 - 459 / 9360, rel=0.01)
    assert commands.reads == nbytes // 64
    assert commands.activates == pytest.approx(nbytes / 8192, rel=0.3)  # a row each, and those that refresh closes


def test_short_random_accesses_fall_to_the_row_miss_bound():
    seconds, commands = model(DDR4).cost([Move(1 << 22, False, 64)])
    assert 0.93 < (1 << 22) / seconds / 19.2e9 / (16 / 26 * (1 - 459 / 9360)) <= 1.01
    assert commands.activates == pytest.approx(commands.reads, rel=0.01)


def test_longer_accesses_are_never_much_slower():
    shares = [(1 << 22) / model(DDR4).cost([Move(1 << 22, False, run)])[0] for run in (8, 64, 256, 1024, 8192, 0)]
    assert all(later > 0.99 * former for former, later in pairwise(shares))
    assert shares[0] == pytest.approx(shares[1] / 8, rel=0.01)  # eight bytes fetch a whole burst


def test_turnarounds_cost_what_two_switches_take():
    # A block of writes among reads: (11 - 4) clocks to it and (19 - 4) back from it, see above.
    assert model(DDR4).turnaround_clocks(1000) == pytest.approx(22, abs=2)
    alone, calm = model(DDR4).cost([Move(1 << 16, True)])
    among, busy = model(DDR4).cost([Move(1 << 16, True)], alternating=True)
    assert (among - alone) * 1.2e9 == pytest.approx(22, abs=2)
    assert (calm.turnarounds, busy.turnarounds) == (0, 2)


def test_reads_and_writes_in_one_firing_turn_around_too():
    together, commands = model(DDR4).cost([Move(1 << 20, False), Move(1 << 20, True)])
    apart = sum(model(DDR4).cost([Move(1 << 20, write)])[0] for write in (False, True))
    assert together > apart
    assert commands.turnarounds > 100
    assert commands.reads == commands.writes == (1 << 20) // 64


@pytest.mark.parametrize("channels", [2, 3, 160])
def test_more_channels_are_never_slower_and_scale_long_streams(channels):
    few = model(DDR4).cost([Move(1 << 24, False), Move(1 << 22, True)])[0]
    many = model(replace(DDR4, channels=channels)).cost([Move(1 << 24, False), Move(1 << 22, True)])[0]
    assert many == pytest.approx(few / channels, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in list_hardware() if load_hardware(name).dram.dram is not None])
def test_no_transfer_beats_the_data_sheet(name):
    memory = load_hardware(name).dram
    ports = DramModel(memory)
    for moves in ([Move(1, False)], [Move(100_000, False)], [Move(1 << 20, True, 96)], [Move(4096, False), Move(999, True)]):
        seconds, _ = ports.cost(moves)
        assert seconds >= sum(move.bytes for move in moves) / memory.bandwidth_bytes_per_s


def test_nothing_costs_nothing_and_the_same_costs_the_same():
    assert model(DDR4).cost([]) == model(DDR4).cost([Move(0, True)])
    moves = [Move(123_456, False), Move(7_000, True, 100)]
    assert model(DDR4).cost(moves) == model(DDR4).cost(moves)


def test_a_memory_without_a_part_says_what_is_missing():
    with pytest.raises(UnsupportedError, match=r"memory\.dram.*neither a part nor geometry and timing"):
        DramModel(Memory("dram", True, 1, 1e9)).cost([Move(64, False)])


# addresses


@pytest.mark.parametrize("mapping", ["row:rank:bank:column:bank_group:channel", "row:column:rank:bank:channel:bank_group"])
def test_every_address_has_its_own_place(mapping):
    dram = replace(DDR4, channels=3, ranks=2, row_bytes=1024, mapping=tuple(mapping.split(":")), interleave_bytes=256)
    fields = decode(dram, np.arange(3 * 2 * 16 * 16 * 2))
    places = set(zip(*(fields[name].tolist() for name in ("channel", "rank", "bank_group", "bank", "row", "column")), strict=True))
    assert len(places) == 3 * 2 * 16 * 16 * 2
    assert {name: int(values.max()) + 1 for name, values in fields.items()} == {
        "channel": 3, "rank": 2, "bank_group": 4, "bank": 4, "row": 2, "column": 16,
    }  # fmt: skip
    assert len(set(fields["channel"][:4])) == 1  # 256 bytes stay together
    assert bank_numbers(dram, fields).max() == 31


def test_one_channel_alone_sees_its_share_of_a_stream():
    dram = replace(DDR4, channels=5, interleave_bytes=256)
    fields = decode(dram, np.arange(5 * 4096))
    mine = fields["channel"] == 2
    alone = decode(dram, np.arange(4096), one_channel=True)
    assert all((fields[name][mine] == alone[name]).all() for name in ("rank", "bank_group", "bank", "row", "column"))


def test_streams_take_turns_by_their_shares():
    where, writes = addresses(DDR4, (Stream(False, 0, 12), Stream(True, 4, 4)), 4000)
    assert writes.mean() == pytest.approx(0.25, abs=0.01)
    runs = where[writes == 1].reshape(-1, 4)
    assert (np.diff(runs, axis=1) == 1).all()
    assert len(set(runs[:, 0] // 2048)) > 200  # runs begin in other rows


def test_bursts_cover_the_bytes():
    assert burst_count(DDR4, Move(65, False)) == 2
    assert burst_count(DDR4, Move(100, False, 10)) == 10
    assert burst_count(DDR4, Move(105, False, 10)) == 11
    assert burst_count(DDR4, Move(640, True, 128)) == 10


# parts of the library


@pytest.mark.slow
@pytest.mark.parametrize("part", dram_parts())
def test_each_part_serves_streams_near_its_peak_and_misses_at_its_row_bound(part):
    base = load_hardware("edge-npu", {"memory.dram.part": part, "memory.dram.part_count": 1}).dram
    assert base.dram is not None
    peak = base.dram.channels * base.dram.bus_bits / 8 * base.dram.rated_bits_per_s
    dram = load_hardware("edge-npu", {"memory.dram.part": part, "memory.dram.part_count": 1, "memory.dram.bandwidth": peak}).dram.dram
    assert dram is not None
    t, burst = dram.timing, dram.burst_cycles
    stream = burst / sample(dram, (Stream(False, 0, 16),)).clocks
    lost = (t["trp"] + t["trfc"] + t["trcd"]) / t["trefi"] if dram.refresh == "all_bank" else 0.0
    assert stream == pytest.approx(1 - lost, abs=0.03)  # bank by bank, the window of a fast part fills up before its bank is back
    spacing = max(t["tfaw"] / 4, t["trrd_s"], (t["tras"] + t["trp"]) / dram.banks, burst)
    missing = burst / sample(dram, (Stream(False, 1, 16),)).clocks
    assert 0.75 * burst / spacing * (1 - lost) < missing < 1.02 * burst / spacing


@pytest.mark.parametrize("name", [name for name in list_hardware() if load_hardware(name).dram.dram is not None])
def test_no_device_drives_its_part_above_its_rating(name):
    dram = load_hardware(name).dram.dram
    assert dram is not None
    assert 0.5 * dram.rated_bits_per_s < dram.clock_hz * dram.bits_per_clock < 1.01 * dram.rated_bits_per_s


def test_two_channels_of_ddr3_by_hand():
    """34 GB/s over 2 x 64 lines, two bits per clock: 1062.5 MHz. A stream loses tRTP + tRP + tRFC + tRCD - 4 of each tREFI."""
    dram = load_hardware("tpu-v1-like").dram.dram
    assert dram is not None
    assert dram.clock_hz == 34e9 / (2 * 8 * 2)
    t = dram.timing
    assert (t["trp"], t["trcd"], t["tras"], t["trtp"], t["trfc"], t["trefi"]) == (14, 14, 36, 8, 277, 8288)
    stream = dram.burst_cycles / sample(dram, (Stream(False, 0, 16),)).clocks
    assert stream == pytest.approx(1 - (8 + 14 + 277 + 14 - 4) / 8288, rel=0.01)


def test_what_a_memory_states_goes_before_its_part():
    plain = load_hardware("edge-npu").dram.dram
    wide = load_hardware("edge-npu", ["dram.controller.window=64", "dram.timing.trfc=0.5 us"]).dram.dram
    assert plain is not None
    assert wide is not None
    assert wide == replace(plain, window=64, timing={**plain.timing, "trfc": 400})


def test_bad_parts_are_named(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean hbm3"):
        load_hardware("edge-npu", ["dram.part=hbm33"])
    text = "schema: 1\nname: mine\nextends: edge-npu\nmemory: {dram: {%s}}\n"
    path = tmp_path / "mine.yaml"
    for words, message in (
        ("part: nothing", "unknown DRAM part 'nothing'"),
        ("controller.mapping: 'row:bank'", "cannot read 'row:bank'"),
        ("controller.interleave: {value: 100 B, source: derived, cite: x}", "into whole bursts"),
        ("timing.trefi: {value: 300 ns, source: derived, cite: x}", "no time between two refreshes"),
        ("geometry.burst_length: {value: 12, source: derived, cite: x}", "whole number of clocks"),
    ):
        path.write_text(text % words, encoding="utf-8")
        with pytest.raises((ErrorList, SpecError), match=message):
            load_hardware(str(path))


def test_refresh_and_window_can_be_turned_off():
    counts, done = serve(CALM, np.arange(1000), np.zeros(1000, np.int64))
    assert counts[kernel.REFRESHES] == 0
    assert done.max() == 17 + 17 + 4 * 1000
