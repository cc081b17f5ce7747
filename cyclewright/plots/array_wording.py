"""The words that figures, reports and the terminal use for the arrays of a crossbar."""

from __future__ import annotations

from cyclewright.arrays import Arrays, Peak
from cyclewright.plots.formatting import count, percent, seconds, si, significant
from cyclewright.plots.wording import resource_name


def pace_of(found: Arrays) -> str:
    """What sets the pace of runs that follow each other: ``the arrays of conv1``, ``hbm bandwidth``."""
    slowest = found.interval_bound_by
    return f"the {slowest}" if slowest.startswith("arrays of ") else resource_name(slowest)


def told(found: Arrays) -> list[tuple[str, str]]:
    """What to say of the arrays, as (name, text)."""
    chips = f" on {count(found.chips)} chips" if found.chips > 1 else ""
    copies = [layer.copies for layer in found.placed]
    lines = [
        ("arrays", f"{count(found.used)} of {count(found.arrays)}{chips} hold weights, in {percent(found.use)} of their cells"),
        (
            "copies",
            f"{_range(copies)} of each of {count(len(copies))} layer{'s' if len(copies) > 1 else ''}"
            if copies
            else "no layer lies on arrays before the run",
        ),
        ("pipelined", f"a run every {seconds(found.interval_s)}, {si(found.throughput_per_s, '/s')} (the time of {pace_of(found)})"),
        ("converters", _converters(found)),
        ("chip" if found.chips == 1 else f"{count(found.chips)} chips", ", ".join(_peak_words(found.peak))),
    ]
    if found.written_bytes:
        worn = "" if found.runs_until_worn is None else f"; cells last {si(found.runs_until_worn, '')} runs"
        lines.insert(2, ("written", f"{si(found.written_bytes, 'B')} to arrays during the run{worn}"))
    return lines


def _converters(found: Arrays) -> str:
    share = found.adc_share
    if not share.energy and not share.time:
        return "none"
    area = f", {percent(share.area)} of the area" if found.area_mm2 else ""
    return f"{percent(share.energy)} of the energy, {percent(share.time)} of the arrays' time{area}"


def _peak_words(peak: Peak) -> list[str]:
    words = [f"{significant(peak.area_mm2)} mm²"] if peak.area_mm2 else []
    words.append(f"peak {significant(peak.tops)} TOPS")
    words += [f"{significant(peak.tops_per_w)} TOPS/W"] if peak.tops_per_w is not None else []
    return words + ([f"{significant(peak.tops_per_mm2)} TOPS/mm²"] if peak.tops_per_mm2 is not None else [])


def _range(copies: list[int]) -> str:
    low, high = min(copies), max(copies)
    return f"{count(low)} to {count(high)}" if low < high else count(low)
