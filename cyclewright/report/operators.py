"""The table of operators, which the page's script sorts and filters."""

from __future__ import annotations

from dataclasses import dataclass

from cyclewright.plots.formatting import amount, energy, percent, seconds, si, significant
from cyclewright.plots.palette import kind_colour
from cyclewright.plots.wording import holder, work
from cyclewright.report.markup import breakable, esc
from simulator.result import OperatorResult, Result


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell: what is shown (HTML), and the number it sorts by (None: by its text)."""

    html: str
    key: float | None = None
    label: str = ""


_HEAD = (
    ("#", "place in the program"),
    ("Operator", "name in the model; × is the number of equal rounds folded into the row"),
    ("Kind", "what it computes"),
    ("Time", "all rounds together"),
    ("Share", "of the latency"),
    (
        "Bound by",
        "the resource that is occupied longest; an arithmetic unit counts as occupied with its idle elements, filling and draining",
    ),
    ("Of roof", "its roofline time over its time: 100 % is as fast as its bytes and work allow at data-sheet rates"),
    ("Off-chip", "bytes read and written off chip"),
    ("Extra", "off-chip bytes beyond the compulsory ones"),
    ("How it runs", "the alternative that the schedule chose"),
    ("Op/byte", "operations per off-chip byte: 0 where it moves bytes and computes nothing, a dash where no byte moves off chip"),
    ("MACs", "multiply-accumulates, as if dense: skipped zeros count too"),
    ("Elementwise", "vector operations beside the multiply-accumulates: additions, exponentials, comparisons"),
    ("Format", "format that the arithmetic is done in, and the sparsity it exploits; tensors may be stored in another"),
    ("Unit", "compute unit that runs it"),
    ("Rounds", "equal rounds folded into this row"),
    ("Dynamic energy", "without the static energy, which belongs to the time and not to an operator: the sum is less than the headline's"),
)


def operator_table(result: Result) -> str:
    """The table with its filter box; folded repeats are one row with their number of rounds."""
    head = "".join(
        f'<th scope="col" aria-sort="none"><button type="button" title="{esc(meaning)}">{esc(name)}</button></th>'
        for name, meaning in _HEAD
    )
    rows = "\n".join(_row(index, operator) for index, operator in enumerate(result.operators))
    number = len(result.operators)
    return (
        '<div class="tools"><label>Filter <input type="search" id="filter" autocomplete="off" placeholder="name, kind, format ..."></label>'
        f'<span id="shown" role="status" aria-live="polite">{number} of {number} operators</span></div>\n'
        '<div class="scroll tall" role="region" aria-label="Operators" tabindex="0"><table id="operators">\n'
        '<caption class="hidden">Operators; the buttons in the head sort by their column</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>\n{_NOTE}"
    )


_NOTE = (
    '<p class="under">The table scrolls sideways: work, format, unit and energy are on the right. <em>Arithmetic</em> in <em>Bound by</em> '
    "means that the unit is occupied, idle elements, filling and draining included, so such a row can be far from its roof. "
    "<em>Dynamic energy</em> leaves out the static energy of the headline, which belongs to no operator.</p>"
)


def _row(index: int, operator: OperatorResult) -> str:
    cells = _cells(index, operator)
    text = "".join(
        f"<td{f' class={chr(34)}{cell.label}{chr(34)}' if cell.label else ''}>{cell.html}</td>"
        if cell.key is None
        else f'<td class="n" data-v="{cell.key:.9g}">{cell.html}</td>'
        for cell in cells
    )
    return f'<tr id="op{index}">{text}</tr>'


def _cells(index: int, operator: OperatorResult) -> list[_Cell]:
    fallback = f' <span class="flag">fell back from {esc(operator.fell_back_from)}</span>' if operator.fell_back_from else ""
    swatch = f'<i class="swatch" style="background:var(--{kind_colour(operator.kind)})"></i>'
    form = operator.compute_format if operator.pattern in ("", "dense") else f"{operator.compute_format} {operator.pattern}"
    extra = operator.dram_bytes - operator.compulsory_bytes
    reached = operator.roof_s / operator.time_s if operator.time_s > 0 else 0.0
    spent = sum(operator.energy_j.values())
    times = f' <span class="times">×{operator.count}</span>' if operator.count > 1 else ""
    together = f"<br><small>together: {breakable(', '.join(operator.members))}</small>" if operator.members else ""
    return [
        _Cell(str(index + 1), index + 1),
        _Cell(f"{breakable(operator.name)}{times}{fallback}{together}", label="name"),
        _Cell(f"{swatch}{esc(operator.kind)}"),
        _Cell(seconds(operator.time_s) if operator.time_s else "–", operator.time_s),
        _Cell(
            f'<span class="meter" style="--part:{min(1.0, operator.share) * 100:.1f}%">{esc(percent(operator.share))}</span>',
            operator.share,
        ),
        _Cell(esc(holder(operator))),
        _Cell(percent(reached) if reached else "–", reached),
        _Cell(amount(operator.dram_bytes) if operator.dram_bytes else "–", operator.dram_bytes),
        _Cell(amount(extra) if extra else "–", extra),
        _Cell(breakable(operator.alternative), label="how"),
        _Cell(significant(operator.intensity) if operator.dram_bytes else "–", operator.intensity),
        _Cell(si(operator.macs, "") if operator.macs else "–", operator.macs),
        _Cell(si(operator.vector_ops, "") if operator.vector_ops else "–", operator.vector_ops),
        _Cell(esc(form) if form and work(operator) else "–"),
        _Cell(esc(operator.unit)),
        _Cell(f"×{operator.count}", operator.count),
        _Cell(energy(spent) if spent else "–", spent),
    ]
