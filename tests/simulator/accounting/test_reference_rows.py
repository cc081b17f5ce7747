"""Every row of the reference results comes out to the word."""

from __future__ import annotations

from dataclasses import asdict

import pytest

import cyclewright as cw
from simulator.accounting import count_layer
from simulator.accounting.scalesim import utilisation
from tests.simulator.accounting.reference import COUNTS, FILES, array_of_row, kib_of, layer_of, rows, sizes_of, wanted

EXPECTED_ROWS = {
    "scalesim_random_small.csv": 30,
    "scalesim_full_calc.csv": 81,
    "scalesim_full_user.csv": 18,
    "scalesim_shipped_golden.csv": 4,
}
SHARES = {"mapping_eff_pct": "mapping_efficiency", "compute_util_pct": "compute_utilisation", "overall_util_pct": "overall_utilisation"}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_every_row(name, data_file):
    number = 0
    for row in rows(data_file(f"scalesim/{name}")):
        layer, array = layer_of(row), array_of_row(row)
        counts = count_layer(layer, array)
        want = wanted(row)
        assert {key: asdict(counts)[key] for key in want} == want, row
        shares = utilisation(layer, array, counts)
        for column, key in SHARES.items():
            if row.get(column):
                assert 100 * shares[key] == pytest.approx(float(row[column]), abs=1e-6), row
        number += 1
    assert number >= EXPECTED_ROWS.get(name, 180)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_rows_through_the_api(name, data_file, tmp_path):
    picked = list(rows(data_file(f"scalesim/{name}")))[::7]
    path = tmp_path / "layer.csv"
    for row in picked:
        sizes = sizes_of(row)
        header = "Layer, M, N, K," if len(sizes) == 3 else "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels,"
        header += "" if len(sizes) == 3 else " Num Filter, Strides,"
        path.write_text(f"{header}\nlayer, {', '.join(map(str, sizes))},\n", encoding="utf-8")
        parts = zip(("ifmap", "filter", "ofmap"), kib_of(row), strict=True)
        overrides = [
            f"array.rows={row['rows']}", f"array.columns={row['cols']}", f"array.dataflow={row['dataflow']}",
            *(f'scratchpad.{part}.size="{size} KiB"' for part, size in parts),
        ]  # fmt: skip
        mode = "user" if row.get("bandwidth_mode") == "USER" else "calc"
        result = cw.run(path, "systolic-array", overrides=overrides, accounting=f"scalesim:{mode}")
        block, want = result.scalesim, wanted(row)
        assert {key: block[key] for key in want} == want, row
        assert {key: block["layers"][0][key] for key in want} == want
        assert set(COUNTS) <= set(block)
