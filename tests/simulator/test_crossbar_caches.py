"""Language models on crossbars: the cache comes in, however the layers are played; weights written in each round are counted in each."""

import pytest

import cyclewright as cw


@pytest.mark.parametrize(("hardware", "size"), [("isaac", 2), ("neurosim-rram", 1)])
@pytest.mark.parametrize("context", [8, 512])
def test_the_cache_is_loaded_layer_by_layer_and_side_by_side(hardware: str, size: int, context: int) -> None:
    """By hand: 12 layers, keys and values of 768 numbers of ``size`` bytes for each position but the new one."""
    alone = cw.run("gpt2-small", hardware, phase="decode", context=context, interval=False, search="estimate")
    played = cw.run("gpt2-small", hardware, phase="decode", context=context, interval=False, search="play")
    cache = 12 * 2 * 768 * (context - 1) * size
    assert played.compulsory_bytes == alone.compulsory_bytes >= cache
    assert played.dram_bytes >= played.compulsory_bytes
    assert played.roofline_s == pytest.approx(alone.roofline_s)
    assert played.cycles <= alone.cycles


def test_weights_that_every_step_writes_anew_are_counted_in_every_step() -> None:
    """By hand: 35 steps of two layers of 1300 x 2600 weights of 8 bits, and once the classes, 650 x 10,000."""
    found = cw.run("lstm-ptb-medium", "dcim-22nm", interval=False, search="estimate").in_memory
    assert found is not None
    assert found["written_bytes"] == 35 * 2 * 1300 * 2600 + 650 * 10_000


def test_arrays_that_attention_is_written_to_set_the_interval() -> None:
    """By hand: keys and values of 12 layers, each written row by row, 1 us a row: 64 rows of keys, 128 of values."""
    found = cw.run("bert-base", "isaac", tokens=128, interval=False, overrides={"unit.array.dynamic": "write"}).in_memory
    assert found is not None
    assert found["written_bytes"] == 12 * 2 * 12 * 64 * 128 * 2  # layers, keys and values, heads of 64 x 128 numbers of 16 bits
    assert not found["weights_written"]  # weights stay, so layers work side by side
    assert float(str(found["interval_s"])) > 12 * (64 + 128) * 1e-6
    assert found["interval_bound_by"] == "arrays of what is written during the run"


def test_writing_without_an_energy_is_told() -> None:
    free = {"unit.array.dynamic": "write", "unit.array.write.energy": None}
    told = cw.run("bert-base", "isaac", tokens=128, interval=False, search="estimate", overrides=free).warnings
    assert any("write.energy" in line for line in told)
