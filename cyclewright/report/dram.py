"""What the cycle rung counted of each off-chip memory's DRAM."""

from __future__ import annotations

from cyclewright.plots.formatting import count, percent, seconds, si
from cyclewright.report.markup import esc, table
from simulator.result import Result

_ROWS = (
    ("row_hit_rate", "Row hits", "bursts that find their row open"),
    ("efficiency", "Efficiency", "bytes over the time of the transfers, of the data sheet's bandwidth"),
    ("busy_s", "Time of transfers", "row misses, turnarounds and refresh included"),
    ("reads", "Read bursts", ""),
    ("writes", "Written bursts", ""),
    ("activates", "Activates", "rows opened"),
    ("turnarounds", "Turnarounds", "of the bus, from reads to writes or back"),
    ("refreshes", "Refreshes", "of ranks, in the whole run"),
)


def dram_table(result: Result) -> str:
    """A table with a column per memory, as HTML."""
    names = list(result.dram)
    rows = []
    for key, label, meaning in _ROWS:
        values = [_value(key, result.dram[name].get(key, 0.0)) for name in names]
        rows.append([f"{esc(label)}", *(esc(value) for value in values), f'<span class="muted">{esc(meaning)}</span>'])
    missing = ", ".join(f"{esc(name)} {_peak(result, name)}" for name in names)
    note = f'<p class="under">Data-sheet bandwidth: {missing}. Memories without traffic are left out.</p>'
    return table(["", *names, "meaning"], rows, label="DRAM") + note


def _peak(result: Result, name: str) -> str:
    return si(result.roofs.get(f"memory:{name}", 0.0), "B/s")


def _value(key: str, value: float) -> str:
    if key in ("row_hit_rate", "efficiency"):
        return percent(value)
    return seconds(value) if key == "busy_s" else count(round(value))
