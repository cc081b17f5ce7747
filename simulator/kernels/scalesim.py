"""SCALE-Sim's walk over the demand lines of a layer, for the compatibility accounting: what SCALE-Sim 3.0.0 counts, faults included.

A layer is M output pixels x N filters x K window taps on R rows x C columns; a word is one byte. In each *fold* every operand has a
*port* per row or column and one *line* per cycle. An operand either is *held* (loaded row by row, last row first, in the first R
lines) or *moves* (port p sees at line l what port 0 saw at line l - p). Folds run columns outermost, rows innermost.

Entry points and helpers share this file, because numba's cache does not see edits to helpers elsewhere.

Arrays (int64):
    across (Z, 3), along (T, 3): of an operand, what ports and lines run over; each (row, column, address) within the input. Element
    (z, t) lies at the sum; outside the layer's height and width it has the address -1 and is never fetched. Filters: rows, columns 0.
    layer: the fields ``ROWS`` ... below. stream: of ifmap, filter or ofmap, the fields ``HELD`` ... below.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]

ROWS, COLUMNS, ROW_FOLDS, COLUMN_FOLDS, LINES, HEIGHT, WIDTH, WRITES = range(8)
"""Fields of ``layer``; LINES: demand lines of one fold, HEIGHT and WIDTH: of the input, WRITES: words written to the ofmap scratchpad."""
HELD, DELAY, PORTS, BY_COLUMN, ACROSS, ALONG = range(6)
"""Fields of a stream. DELAY: line at which port 0 starts; BY_COLUMN: its ports are the array's columns; ACROSS, ALONG: Z and T."""
IFMAP, FILTER, OFMAP = range(3)
COUNT, FREE, DRAINED, CLOSED, OPEN, BUSY_UNTIL = range(6)
"""Fields of the write buffer: words counted, free words, lines drained, lines closed, words of the open line, end of the last drain."""
READS, ARRIVED, START, END, SETS, ACTIVE, AHEAD, BATCH, BANDWIDTH = range(9)
"""Fields of a read buffer with given bandwidth: reads, cycle of the last arrival, window of sets [START, END), number of sets, sets in
the window, sets it moves at a time, lines fetched per move, words per line."""


@njit(cache=True)
def _ports(stream: Ints, rows: int, fold_row: int, fold_column: int, line: int) -> tuple[int, int, int, int]:
    """What a read operand does at a line: first port, end of ports, position along of port 0, position across of port 0."""
    across = (fold_column if stream[BY_COLUMN] else fold_row) * stream[PORTS]
    end = min(stream[PORTS], stream[ACROSS] - across)
    if stream[HELD]:
        along = fold_row * rows + rows - 1 - line
        return 0, (end if line < rows and along < stream[ALONG] else 0), along, across
    along = line - stream[DELAY]
    return max(0, along - stream[ALONG] + 1), min(end, along + 1), along, across


@njit(cache=True)
def _outputs(stream: Ints, rows: int, fold_row: int, fold_column: int, line: int) -> int:
    """Words that leave the array at a line. A held ofmap drains bottom row first, after its last operands arrived."""
    across = fold_column * stream[PORTS]
    end = min(stream[PORTS], stream[ACROSS] - across)
    delay, length = stream[DELAY], stream[ALONG]
    if stream[HELD]:
        length = min(rows, stream[ALONG] - fold_row * rows)
        delay += rows - length
    along = line - delay
    return int(max(0, min(end, along + 1) - max(0, along - length + 1)))


@njit(cache=True)
def _overhangs(across: Ints, along: Ints, layer: Ints) -> bool:
    """Whether some element lies outside the input."""
    down, right = across[:, 0].max() + along[:, 0].max(), across[:, 1].max() + along[:, 1].max()
    return bool(down >= layer[HEIGHT] or right >= layer[WIDTH])


@njit(cache=True)
def _drain(write: Ints, line_fill: Ints, bandwidth: int, drain_words: int, cycle: int) -> None:
    """Send up to ceil(drain_words / bandwidth) closed lines away, one per cycle; only holes of the last of them are not counted."""
    end = min(write[DRAINED] - (-drain_words // bandwidth), write[CLOSED])
    moved = end - write[DRAINED]
    words = moved * bandwidth - (bandwidth - line_fill[end - 1])
    write[COUNT] += words
    write[FREE] += words
    write[DRAINED] = end
    write[BUSY_UNTIL] = cycle + moved - 1


@njit(cache=True)
def _close(write: Ints, line_fill: Ints) -> None:
    """Close the open line, if it holds anything."""
    if write[OPEN] > 0:
        line_fill[write[CLOSED]] = write[OPEN]
        write[CLOSED] += 1
        write[OPEN] = 0


@njit(cache=True)
def _append(write: Ints, line_fill: Ints, words: int, bandwidth: int) -> None:
    """Put words into lines of ``bandwidth`` words, closing those that are full."""
    write[FREE] -= words
    while write[OPEN] + words >= bandwidth:
        words -= bandwidth - write[OPEN]
        write[OPEN] = bandwidth
        _close(write, line_fill)
    write[OPEN] += words


@njit(cache=True)
def _write(write: Ints, line_fill: Ints, words: int, bandwidth: int, size: int, cycle: int) -> int:
    """Take ``words`` output words at ``cycle``; returns the cycle at which the last of them is taken.

    Word by word: while a drain is under way, a full buffer waits for its end; else free space below half the buffer starts a drain.
    Between two such events words are taken in one go.
    """
    drain_words = size // 2
    while words > 0:
        waits = cycle < write[BUSY_UNTIL]
        until = max(1, write[FREE] if waits else write[FREE] - (size - drain_words) + 1)
        _append(write, line_fill, min(words, until), bandwidth)
        if words >= until:
            if waits:
                cycle = write[BUSY_UNTIL]
            else:
                _close(write, line_fill)
                _drain(write, line_fill, bandwidth, drain_words, cycle)
        words -= until
    return cycle


@njit(cache=True)
def _finish(write: Ints, line_fill: Ints, bandwidth: int, size: int, cycle: int) -> None:
    """Drain what is left after the last line."""
    _close(write, line_fill)
    while write[DRAINED] < write[CLOSED]:
        _drain(write, line_fill, bandwidth, size // 2, cycle)
        cycle = write[BUSY_UNTIL] + 1


@njit(cache=True)
def rounds_reads(blocks: int, per_block: Ints, rounds: int, capacity: int) -> int:
    """DRAM reads with an estimated bandwidth of ``blocks`` blocks of different words, each read through ``rounds`` times.

    The words since the set was last emptied are different ones until a round is over, so that the walk is a few steps per emptying.
    per_block (blocks,): words of each block.
    """
    reads, held = 0, 0
    for block in range(blocks):
        left = per_block[block] * rounds
        while left > 0:
            fresh = min(per_block[block], left)
            room = capacity - held
            if fresh < room:
                reads += fresh
                held += fresh
                break
            reads += room
            left -= room
            held = 0
    return reads


@njit(cache=True)
def estimate_reads(stream: Ints, across: Ints, along: Ints, layer: Ints, capacity: int, words: int) -> int:
    """DRAM reads of an operand where the bandwidth is estimated: a set of unique words that is emptied whole when it is full.

    capacity: words that the set holds; words: size of the operand's address space.
    """
    step = 0 if stream[HELD] else 1
    overhangs = _overhangs(across, along, layer)
    far, near = across[:, 2].astype(np.int32), along[:, 2].astype(np.int32)
    stamp = np.zeros(words, np.int32)
    reads, held, epoch = 0, 0, np.int32(1)
    for fold_column in range(layer[COLUMN_FOLDS]):
        for fold_row in range(layer[ROW_FOLDS]):
            for line in range(layer[LINES]):
                first, end, t, z = _ports(stream, layer[ROWS], fold_row, fold_column, line)
                for port in range(first, end):
                    i, j = z + port, t - step * port
                    if overhangs and (across[i, 0] + along[j, 0] >= layer[HEIGHT] or across[i, 1] + along[j, 1] >= layer[WIDTH]):
                        continue
                    address = far[i] + near[j]
                    if stamp[address] != epoch:
                        stamp[address] = epoch
                        held += 1
                        if held == capacity:
                            reads += held
                            held = 0
                            epoch += np.int32(1)
    return reads + held


@njit(cache=True)
def play_writes(stream: Ints, layer: Ints, bandwidth: int, size: int) -> tuple[int, int, int]:
    """The ofmap scratchpad alone, reads never late: (last cycle, stall cycles, DRAM writes)."""
    write = np.array([0, size, 0, 0, 0, 0], np.int64)
    line_fill = np.empty(layer[WRITES] + 2, np.int64)
    stalls, last, base = 0, 0, 0
    for fold_column in range(layer[COLUMN_FOLDS]):
        for fold_row in range(layer[ROW_FOLDS]):
            for line in range(layer[LINES]):
                cycle = base + line + stalls
                words = _outputs(stream, layer[ROWS], fold_row, fold_column, line)
                now = _write(write, line_fill, words, bandwidth, size, cycle)
                stalls += now - cycle
                last = max(last, now)
            base += layer[LINES]
    _finish(write, line_fill, bandwidth, size, last)
    return last, stalls, write[COUNT]


@njit(cache=True)
def _fetch_order(stream: Ints, across: Ints, along: Ints, layer: Ints) -> Ints:
    """Addresses of an operand in the order in which its buffer fetches them, -1 left in.

    The folds' matrices (along x ports) lie under one another; a held operand is taken row by row, a moving one by anti-diagonals.
    """
    width, height = stream[PORTS], stream[ALONG]
    stack = np.full((-(-stream[ACROSS] // width) * height, width), -1, np.int64)
    overhangs = _overhangs(across, along, layer)
    for row in range(stack.shape[0]):
        z, j = row // height * width, row % height
        for port in range(min(width, stream[ACROSS] - z)):
            i = z + port
            if overhangs and (across[i, 0] + along[j, 0] >= layer[HEIGHT] or across[i, 1] + along[j, 1] >= layer[WIDTH]):
                continue
            stack[row, port] = across[i, 2] + along[j, 2]
    if stream[HELD]:
        return stack.ravel()
    order = np.empty(stack.size, np.int64)
    place = 0
    for diagonal in range(stack.shape[0] + width):
        for row in range(min(diagonal, stack.shape[0] - 1), max(0, diagonal - width + 1) - 1, -1):
            order[place] = stack[row, diagonal - row]
            place += 1
    return order


@njit(cache=True)
def _sets(order: Ints, per_set: int, words: int) -> tuple[Ints, Ints, int]:
    """Cut the fetch order into sets of ``per_set`` words. Returns (start, ids, number).

    Address a is in the sets ids[start[a]:start[a+1]], ascending.
    """
    set_of = np.full(order.size, -1, np.int64)
    newest = np.full(words, -1, np.int64)
    start = np.zeros(words + 1, np.int64)
    current, held = 0, 0
    for place in range(order.size):
        address = order[place]
        if address >= 0:
            if newest[address] != current:
                newest[address] = current
                set_of[place] = current
                start[address + 1] += 1
            held += 1
        if held >= per_set:
            current += 1
            held = 0
    start = np.cumsum(start)
    place_of = start[:-1].copy()
    ids = np.empty(start[-1], np.int64)
    for place in range(order.size):
        if set_of[place] >= 0:
            ids[place_of[order[place]]] = set_of[place]
            place_of[order[place]] += 1
    return start, ids, current + 1


@njit(cache=True)
def _in_window(ids: Ints, low: int, high: int, first: int, end: int) -> bool:
    """Whether one of the ascending ids[low:high] is in [first, end), cyclic where end <= first."""
    a, b = low, high
    while a < b:
        middle = (a + b) // 2
        if ids[middle] < first:
            a = middle + 1
        else:
            b = middle
    if first < end:
        return a < high and ids[a] < end
    return a < high or (low < high and ids[low] < end)


@njit(cache=True)
def _read_buffer(fetched: int, sets: int, size: int, bandwidth: int) -> Ints:
    """The state of a read buffer after its first fill; half of it is the window, the other half is fetched ahead."""
    window = (size + 1) // 2
    per_set = -(-size // 100)
    buffer = np.zeros(9, np.int64)
    buffer[READS] = min(-(-window // bandwidth), -(-fetched // bandwidth)) * bandwidth
    buffer[ARRIVED] = -1
    buffer[SETS] = sets
    buffer[ACTIVE] = min(sets, -(-window // per_set))
    buffer[AHEAD] = min(sets - buffer[ACTIVE], -(-(size - window) // per_set))
    buffer[END] = buffer[ACTIVE]
    buffer[BATCH] = -(-(size - window) // bandwidth)
    buffer[BANDWIDTH] = bandwidth
    return buffer


@njit(cache=True)
def _move_on(buffer: Ints, offset: int, cycle: int) -> int:
    """Move the window, as the prefetched half arrives; returns the new offset: a stall counts twice, an early arrival is taken off."""
    buffer[START] = (buffer[START] + buffer[AHEAD]) % buffer[SETS]
    buffer[END] = (buffer[START] + buffer[ACTIVE]) % buffer[SETS]
    buffer[READS] += buffer[BATCH] * buffer[BANDWIDTH]
    buffer[ARRIVED] += buffer[BATCH] + 1
    late = buffer[ARRIVED] - (cycle + offset)
    return int(offset + late + max(late, 0))


@njit(cache=True)
def _late(
    buffer: Ints, start: Ints, ids: Ints, stream: Ints, across: Ints, along: Ints, layer: Ints, ports: tuple[int, int, int, int], cycle: int
) -> int:
    """Serve one line's reads; the cycles by which the line is late. start, ids: of ``_sets``; ports: of ``_ports``."""
    if buffer[ACTIVE] == buffer[SETS]:
        return 0
    first, end, t, z = ports
    step = 0 if stream[HELD] else 1
    offset = 1
    opens, closes = buffer[START], buffer[END]
    for port in range(first, end):
        i, j = z + port, t - step * port
        if across[i, 0] + along[j, 0] >= layer[HEIGHT] or across[i, 1] + along[j, 1] >= layer[WIDTH]:
            continue
        address = across[i, 2] + along[j, 2]
        low = start[address]
        if opens <= ids[low] < closes:
            continue
        while not _in_window(ids, low, start[address + 1], opens, closes):
            offset = _move_on(buffer, offset, cycle)
            opens, closes = buffer[START], buffer[END]
    return offset - 1


@njit(cache=True)
def play_user(
    streams: Ints, tables: tuple[Ints, Ints, Ints, Ints], layer: Ints, sizes: Ints, bandwidths: Ints, words: Ints
) -> tuple[int, int, int, int, int]:
    """The walk with given bandwidths: (last cycle, stall cycles, DRAM reads of ifmap and filter, DRAM writes of ofmap).

    streams: of the three; tables: (across, along) of the ifmap, then of the filters; sizes: bytes of the three scratchpads;
    bandwidths: words per cycle of the three; words: address space of ifmap and filter.
    """
    across_i, along_i, across_f, along_f = tables
    stream_i, stream_f, stream_o = streams[IFMAP], streams[FILTER], streams[OFMAP]
    order = _fetch_order(stream_i, across_i, along_i, layer)
    start_i, ids_i, sets = _sets(order, -(-sizes[IFMAP] // 100), words[IFMAP])
    ifmap = _read_buffer(order.size, sets, sizes[IFMAP], bandwidths[IFMAP])
    order = _fetch_order(stream_f, across_f, along_f, layer)
    start_f, ids_f, sets = _sets(order, -(-sizes[FILTER] // 100), words[FILTER])
    filters = _read_buffer(order.size, sets, sizes[FILTER], bandwidths[FILTER])
    write = np.array([0, sizes[OFMAP], 0, 0, 0, 0], np.int64)
    line_fill = np.empty(layer[WRITES] + 2, np.int64)
    stalls, last, base = 0, 0, 0
    for fold_column in range(layer[COLUMN_FOLDS]):
        for fold_row in range(layer[ROW_FOLDS]):
            for line in range(layer[LINES]):
                cycle = base + line + stalls
                ports = _ports(stream_i, layer[ROWS], fold_row, fold_column, line)
                late = _late(ifmap, start_i, ids_i, stream_i, across_i, along_i, layer, ports, cycle)
                ports = _ports(stream_f, layer[ROWS], fold_row, fold_column, line)
                late = max(late, _late(filters, start_f, ids_f, stream_f, across_f, along_f, layer, ports, cycle))
                outputs = _outputs(stream_o, layer[ROWS], fold_row, fold_column, line)
                now = _write(write, line_fill, outputs, bandwidths[OFMAP], sizes[OFMAP], cycle)
                stalls += max(late, now - cycle)
                last = max(last, now)
            base += layer[LINES]
    _finish(write, line_fill, bandwidths[OFMAP], sizes[OFMAP], last)
    return last, stalls, ifmap[READS], filters[READS], write[COUNT]
