"""Where the time of each operator goes: one stacked bar per row of the program, in the program's order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cyclewright.plots.formatting import percent, seconds
from cyclewright.plots.scene import Rect, Scene, Text, shorten, text_width
from cyclewright.plots.wording import title
from simulator.result import OperatorResult, Result

_MOST_ROWS = 80
_ROW = 16.0
FULL, OCCUPIED, MEMORY, LAUNCH, IDLE = "arithmetic at full rate", "unit occupied, not full", "waiting for memory", "launch", "idle"
COLOURS = {FULL: "s1", OCCUPIED: "s6", MEMORY: "s4", LAUNCH: "s5", IDLE: "s8"}
_STALLED = (MEMORY, LAUNCH, IDLE)


@dataclass(frozen=True, slots=True)
class Row:
    """One bar: its label and cycles by part, which add up to the cycles of all rounds."""

    label: str
    parts: Mapping[str, float]

    @property
    def cycles(self) -> float:
        """All parts."""
        return sum(self.parts.values())

    @property
    def stalled(self) -> float:
        """Share of the time in which nothing computes."""
        return sum(self.parts[part] for part in _STALLED) / self.cycles


def rows_of(result: Result) -> list[Row]:
    """A row for each operator that takes time. Computing splits into the least time that its arithmetic takes and the rest of it.

    Where there are more than 80, the longest stay and the others are summed up in the last row.
    """
    columns = result.time_parts
    if set(columns) != {"computing", "memory", "launch", "idle"} or len(columns["idle"]) != len(result.operators):
        return []
    rows = []
    for number, operator in enumerate(result.operators):
        computing, memory, launch, idle = (float(columns[part][number]) for part in ("computing", "memory", "launch", "idle"))
        full = min(computing, _full_rate_s(operator, result.roofs) * result.clock_hz)
        parts = {FULL: full, OCCUPIED: computing - full, MEMORY: memory, LAUNCH: launch, IDLE: idle}
        if computing + memory + launch + idle > 0:
            rows.append(Row(f"{operator.name} ×{operator.count}" if operator.count > 1 else operator.name, parts))
    if len(rows) <= _MOST_ROWS:
        return rows
    ranked = sorted(range(len(rows)), key=lambda number: -rows[number].cycles)
    kept, others = sorted(ranked[: _MOST_ROWS - 1]), ranked[_MOST_ROWS - 1 :]
    rest = {part: sum(rows[number].parts[part] for number in others) for part in COLOURS}
    return [*(rows[number] for number in kept), Row(f"{len(others)} shorter ones", rest)]


def _full_rate_s(operator: OperatorResult, roofs: Mapping[str, float]) -> float:
    """Seconds of an operator's arithmetic on its unit at the peak of its format: MACs if it has any, else its elementwise operations."""
    vector = max((rate for key, rate in roofs.items() if key.startswith(f"vector:{operator.unit}:")), default=0.0)
    if operator.executed_macs:
        rate = roofs.get(f"compute:{operator.unit}:{operator.compute_format}") or vector
        return 2 * operator.executed_macs / rate if rate else 0.0
    return operator.vector_ops / vector if vector else 0.0


def stalls_scene(result: Result, *, width: float = 1080, heading: bool = True) -> Scene:
    """Lay out the bars; the longest fills the room, the others are to scale. A run stored without its parts gives a scene that says so."""
    rows = rows_of(result)
    scene = Scene(width, 0, f"Where the time of each operator goes, for {title(result)}")
    y = 8.0
    if heading:
        scene.add(Text(12, 22, shorten(title(result), 14, width - 24, bold=True), size=14, bold=True))
        y = 40.0
    if not rows:
        scene.add(Text(12, y + 14, "this run was stored without the parts of its time", size=12, fill="muted"))
        scene.height = y + 30
        return scene
    shown = [part for part in COLOURS if any(row.parts[part] for row in rows)]
    y = _legend(scene, shown, rows, y + 12) + 18
    wide = width > 600
    size = 11.0 if wide else 10.0
    left, numbers, share = (230.0, 140.0, 62.0) if wide else (112.0, 98.0, 46.0)
    right, time_at = width - 12 - numbers, width - 12 - share
    scene.add(Text(time_at, y, "time", size=size, fill="muted", anchor="end"))
    scene.add(Text(width - 12, y, "stalled", size=size, fill="muted", anchor="end"))
    longest = max(row.cycles for row in rows)
    for number, row in enumerate(rows):
        top = y + 6 + number * _ROW
        _bar(scene, row, (left, right), top, longest, result.clock_hz)
        base = top + 11.5
        scene.add(Text(left - 6, base, shorten(row.label, size, left - 16), size=size, anchor="end", title=row.label))
        scene.add(Text(time_at, base, seconds(row.cycles / result.clock_hz), size=size, anchor="end"))
        scene.add(Text(width - 12, base, percent(row.stalled), size=size, fill="muted", anchor="end"))
    scene.height = y + 6 + len(rows) * _ROW + 8
    return scene


def _bar(scene: Scene, row: Row, place: tuple[float, float], top: float, longest: float, clock_hz: float) -> None:
    left, right = place
    text = ", ".join(f"{part} {percent(spent / row.cycles)}" for part, spent in row.parts.items() if spent)
    note = f"{row.label}: {seconds(row.cycles / clock_hz)}; {text}"
    x = left
    for part, spent in row.parts.items():
        if spent:
            length = spent / longest * (right - left)
            scene.add(Rect(x, top + 1.5, max(length, 0.3), _ROW - 3, COLOURS[part], title=note))
            x += length


def _legend(scene: Scene, shown: list[str], rows: list[Row], y: float) -> float:
    total = sum(row.cycles for row in rows)
    x = 12.0
    for part in shown:
        text = f"{part}: {percent(sum(row.parts[part] for row in rows) / total)}"
        step = 18 + text_width(text, 12)
        if x + step > scene.width - 12 and x > 12:
            x, y = 12.0, y + 19
        scene.add(Rect(x, y - 10, 11, 11, COLOURS[part]), Text(x + 16, y, text, size=12))
        x += step + 20
    return y
