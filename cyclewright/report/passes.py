"""A training step by pass, how busy units and memories are, and what memory holds."""

from __future__ import annotations

from cyclewright.passes import busy_of, memory_of, passes_of
from cyclewright.plots.formatting import count, percent, seconds, si
from cyclewright.report.markup import esc, table
from simulator.result import Result
from simulator.stored import to_document


def passes_table(result: Result) -> str:
    """A table with a row per pass, a line on units and memories, and one on what is held, as HTML."""
    document = to_document(result)
    rows = [
        [
            esc(item.title), esc(seconds(item.time_s)), esc(percent(item.share)), esc(count(item.macs)), esc(count(item.executed_macs)),
            esc(si(item.dram_bytes, "B")), esc(si(item.energy_j, "J")),
        ]
        for item in passes_of(document)
    ]  # fmt: skip
    busy = ", ".join(f"{esc(name)} {esc(percent(share))}" for name, _, share in busy_of(document))
    held = ", ".join(f"{esc(name)} {esc(si(size, 'B'))}" for name, size in memory_of(document))
    told = f'<p class="under">Held in memory: {held}.</p>' if held else ""
    heads = ["pass", "time", "share", "MACs", "executed", "off-chip", "energy (dynamic)"]
    return table(heads, rows, label="Passes") + f'<p class="under">Busy: {busy}.</p>' + told
