"""SCALE-Sim's counting, written down from its description without its or our code: whole demand matrices, Python sets and lists.

Demand matrices hold one address per line and port, ``None`` where a port asks for nothing, ``OUTSIDE`` for a window position outside the
input: that is counted as a scratchpad read, but never fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

Matrix = list[list[object]]
OUTSIDE = "outside"


def operands(layer) -> tuple[Matrix, Matrix]:
    """Addresses of the im2col matrix (M x K) and of the filter matrix (K x N)."""
    rows, columns = layer.output
    ifmap: Matrix = []
    for y in range(rows):
        for x in range(columns):
            window: list[object] = []
            for fy in range(layer.filter_height):
                for fx in range(layer.filter_width):
                    down, right = y * layer.stride[0] + fy, x * layer.stride[1] + fx
                    inside = down < layer.height and right < layer.width
                    window += [(down, right, channel) if inside else OUTSIDE for channel in range(layer.channels)]
            ifmap.append(window)
    taps = layer.filter_height * layer.filter_width * layer.channels
    return ifmap, [[(tap, number) for number in range(layer.filters)] for tap in range(taps)]


def block(matrix: Matrix, top: int, left: int, height: int, width: int) -> Matrix:
    """A height x width part, filled up with None."""
    return [
        [matrix[y][x] if y < len(matrix) and x < len(matrix[0]) else None for x in range(left, left + width)]
        for y in range(top, top + height)
    ]


def skewed(matrix: Matrix, before: int, lines: int) -> Matrix:
    """Column p of the matrix enters p lines after column 0, which enters after ``before`` lines."""
    width = len(matrix[0])
    out: Matrix = [[None] * width for _ in range(lines)]
    for line, row in enumerate(matrix):
        for port, item in enumerate(row):
            out[before + line + port][port] = item
    return out


def transposed(matrix: Matrix) -> Matrix:
    return [list(row) for row in zip(*matrix, strict=True)]


def folds(layer, array) -> Iterator[tuple[Matrix, Matrix, Matrix]]:
    """Demand matrices of ifmap, filter and ofmap, fold by fold."""
    ifmap, filters = operands(layer)
    m, k, n, r, c = len(ifmap), len(filters), layer.filters, array.rows, array.columns
    outputs: Matrix = [[(y, x) for x in range(n)] for y in range(m)]
    down, across = {"os": (m, n), "ws": (k, n), "is": (k, m)}[array.dataflow]
    for right in range(0, across, c):
        for top in range(0, down, r):
            if array.dataflow == "os":
                lines = k + r + c - 2
                yield (
                    skewed(transposed(block(ifmap, top, 0, r, k)), 0, lines),
                    skewed(block(filters, 0, right, k, c), 0, lines),
                    skewed(block(outputs, top, right, r, c)[::-1], k - 1, lines),
                )
            elif array.dataflow == "ws":
                lines = m + 2 * r + c - 2
                held = block(filters, top, right, r, c)[::-1]
                yield (
                    skewed(block(ifmap, 0, top, m, r), r, lines),
                    held + [[None] * c for _ in range(lines - r)],
                    skewed(block(outputs, 0, right, m, c), 2 * r - 1, lines),
                )
            else:
                lines = n + 2 * r + c - 2
                held = block(transposed(ifmap), top, right, r, c)[::-1]
                yield (
                    held + [[None] * c for _ in range(lines - r)],
                    skewed(block(transposed(filters), 0, top, n, r), r, lines),
                    skewed(block(transposed(outputs), 0, right, n, c), 2 * r - 1, lines),
                )


def prefetch(layer, array) -> tuple[list[object], list[object]]:
    """The order in which the read buffers fetch: folds under one another; anti-diagonals if the operand moves, rows if it is held."""
    ifmap, filters = operands(layer)
    r, c = array.rows, array.columns
    a, b = transposed(ifmap), filters

    def stacked(matrix: Matrix, width: int, moves: bool) -> list[object]:
        stack: Matrix = []
        for left in range(0, len(matrix[0]), width):
            stack += block(matrix, 0, left, len(matrix), width)
        if not moves:
            return [item for row in stack for item in row]
        order: list[object] = []
        for diagonal in range(len(stack) + width):
            order += [stack[y][diagonal - y] for y in reversed(range(len(stack))) if 0 <= diagonal - y < width]
        return order

    if array.dataflow == "os":
        return stacked(a, r, True), stacked(b, c, True)
    if array.dataflow == "ws":
        return stacked(ifmap, r, True), stacked(b, c, False)
    return stacked(a, c, False), stacked(transposed(filters), r, True)


class EstimatedReads:
    """A set of unique words that is emptied when it holds 50 hundredths of the scratchpad."""

    def __init__(self, size: int) -> None:
        self.most = 50 * (size // 100)
        self.held: set[object] = set()
        self.reads = 0

    def line(self, demand: list[object], cycle: int) -> int:
        for item in demand:
            if item not in (None, OUTSIDE) and item not in self.held:
                self.held.add(item)
                self.reads += 1
                if len(self.held) == self.most:
                    self.held = set()
        return 0


class GivenReads:
    """A ring of sets in fetch order, a window of which is at hand; the window moves on until it holds what is asked for."""

    def __init__(self, order: list[object], size: int, bandwidth: int) -> None:
        per_set = ceil(size / 100)
        self.sets: list[set[object]] = [set()]
        count = 0
        for item in order:
            if item not in (None, OUTSIDE):
                self.sets[-1].add(item)
                count += 1
            if count >= per_set:
                self.sets.append(set())
                count = 0
        active, ahead = ceil(size / 2), size - ceil(size / 2)
        self.window = min(len(self.sets), ceil(active / per_set))
        self.step = min(len(self.sets) - self.window, ceil(ahead / per_set))
        self.batch, self.bandwidth, self.first = ceil(ahead / bandwidth), bandwidth, 0
        self.reads = min(ceil(active / bandwidth), ceil(len(order) / bandwidth)) * bandwidth
        self.arrived = -1

    def line(self, demand: list[object], cycle: int) -> int:
        offset = 1
        for item in demand:
            while item not in (None, OUTSIDE) and not any(item in self.sets[(self.first + i) % len(self.sets)] for i in range(self.window)):
                self.first = (self.first + self.step) % len(self.sets)
                self.reads += self.batch * self.bandwidth
                self.arrived += self.batch + 1
                stall = self.arrived - (cycle + offset)
                offset += stall
                if stall > 0:
                    offset += stall
        return offset - 1


class Writes:
    """Lines of ``bandwidth`` words; below half of free space a drain begins, one line per cycle."""

    def __init__(self, size: int, bandwidth: int) -> None:
        self.size, self.bandwidth = size, bandwidth
        self.drain_words = size - ceil(size / 2)
        self.free, self.count, self.busy_until = size, 0, 0
        self.lines: list[int] = []
        self.open = 0

    def _close(self) -> None:
        if self.open:
            self.lines.append(self.open)
            self.open = 0

    def _drain(self, cycle: int) -> None:
        moved = self.lines[: ceil(self.drain_words / self.bandwidth)]
        del self.lines[: len(moved)]
        words = (len(moved) - 1) * self.bandwidth + moved[-1]
        self.count += words
        self.free += words
        self.busy_until = cycle + len(moved) - 1

    def line(self, demand: list[object], cycle: int) -> int:
        start = cycle
        for item in demand:
            if item is None:
                continue
            self.open += 1
            self.free -= 1
            if self.open == self.bandwidth:
                self._close()
            if cycle < self.busy_until:
                if self.free <= 0:
                    cycle = self.busy_until
            elif self.free < self.size - self.drain_words:
                self._close()
                self._drain(cycle)
        return cycle - start

    def finish(self, cycle: int) -> None:
        self._close()
        while self.lines:
            self._drain(cycle)
            cycle = self.busy_until + 1


def count(layer, array) -> dict[str, int]:
    """All counts of a layer. The surplus R + C per fold of the os report is added at the end."""
    if array.bandwidths is None:
        ifmap, filters = EstimatedReads(array.sizes[0]), EstimatedReads(array.sizes[1])
        writes = Writes(array.sizes[2], array.columns)
    else:
        orders = prefetch(layer, array)
        ifmap, filters = (GivenReads(orders[i], array.sizes[i], array.bandwidths[i]) for i in range(2))
        writes = Writes(array.sizes[2], array.bandwidths[2])
    lines = stalls = last = sram_reads = sram_filters = sram_writes = number = 0
    for demands in folds(layer, array):
        number += 1
        for a, b, out in zip(*demands, strict=True):
            cycle = lines + stalls
            late = max(ifmap.line(a, cycle), filters.line(b, cycle))
            waited = writes.line(out, cycle)
            stalls += max(late, waited)
            last = max(last, cycle + waited)
            lines += 1
            sram_reads += sum(item is not None for item in a)
            sram_filters += sum(item is not None for item in b)
            sram_writes += sum(item is not None for item in out)
    writes.finish(last)
    return {
        "folds": number,
        "demand_lines": lines,
        "total_cycles": last,
        "stall_cycles": stalls,
        "sram_ifmap_reads": sram_reads,
        "sram_filter_reads": sram_filters,
        "sram_ofmap_writes": sram_writes + (number * (array.rows + array.columns) if array.dataflow == "os" else 0),
        "dram_ifmap_reads": ifmap.reads,
        "dram_filter_reads": filters.reads,
        "dram_ofmap_writes": writes.count,
    }
