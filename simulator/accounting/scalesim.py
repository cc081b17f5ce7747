"""What SCALE-Sim 3.0.0 counts for one layer on one array: demand lines, scratchpad and DRAM words, stalls.

A compatibility mode: the counts agree with SCALE-Sim's to the word, its faults included (``docs/scalesim.md`` lists them). Demand lines
and scratchpad counts have closed forms; DRAM counts and stalls come from a walk over the demand lines (``simulator.kernels.scalesim``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.errors import ArgumentError, UnsupportedError
from simulator.accounting.layers import Layer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PARTS = ("ifmap", "filter", "ofmap")
DEFAULT_WORDS_PER_CYCLE = 10
"""Fill rate of the ifmap and filter scratchpads in every configuration that SCALE-Sim comes with."""
_DATAFLOWS = {"output_stationary": "os", "weight_stationary": "ws", "input_stationary": "is"}


@dataclass(frozen=True, slots=True)
class Array:
    """What SCALE-Sim's configuration file says.

    Attributes:
        dataflow: ``os``, ``ws`` or ``is``.
        sizes: bytes of the ifmap, filter and ofmap scratchpads.
        bandwidths: words per cycle at which the three are filled and drained, for the user mode; None: estimated (calc).
    """

    rows: int
    columns: int
    dataflow: str
    sizes: tuple[int, int, int]
    bandwidths: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """What SCALE-Sim reports for a layer; words and cycles.

    Attributes:
        demand_lines: lines of the demand matrices, one per cycle without stalls.
        total_cycles: SCALE-Sim's "Total Cycles": the index of the last line, so one less than lines and stalls.
        folds: times that the array is filled.
    """

    folds: int
    demand_lines: int
    total_cycles: int
    stall_cycles: int
    sram_ifmap_reads: int
    sram_filter_reads: int
    sram_ofmap_writes: int
    dram_ifmap_reads: int
    dram_filter_reads: int
    dram_ofmap_writes: int


def array_of(hardware: Hardware, *, user: bool) -> Array:
    """SCALE-Sim's configuration for a device with a systolic array and a split scratchpad.

    Args:
        user: take the bandwidths of the spec (SCALE-Sim's ``InterfaceBandwidth: USER``): the DRAM's for ofmap writes,
            ``memory.<scratchpad>.<part>.bank_bandwidth`` for reads. Otherwise SCALE-Sim estimates them (``CALC``).

    Raises:
        UnsupportedError: no systolic unit, several arrays, dataflow ``auto``, or a scratchpad that is not split.
        ArgumentError: a bandwidth that is not a whole number of bytes per cycle, or a scratchpad below 100 bytes.
    """
    unit = next((unit for unit in hardware.units.values() if unit.kind == "systolic"), None)
    if unit is None:
        kinds = ", ".join(sorted({unit.kind for unit in hardware.units.values()}))
        raise UnsupportedError(
            f"{hardware.name} has no systolic array (it has {kinds})", where="accounting", hint="use a device with one, systolic-array"
        )
    if unit.count != 1:
        raise UnsupportedError(
            f"SCALE-Sim knows one array, unit.{unit.name} has {unit.count}", where="accounting", hint=f"--set unit.{unit.name}.count=1"
        )
    dataflow = _DATAFLOWS.get(str(unit.parameters.get("dataflow", "auto")))
    if dataflow is None:
        raise UnsupportedError(
            f"SCALE-Sim has the dataflows os, ws and is, unit.{unit.name} has {unit.parameters.get('dataflow', 'auto')}",
            where="accounting", hint=f"--set unit.{unit.name}.dataflow=os",
        )  # fmt: skip
    memory = hardware.on_chip
    if memory is None or not set(PARTS) <= set(memory.partitions):
        raise UnsupportedError(
            f"SCALE-Sim needs a scratchpad split into ifmap, filter and ofmap, {hardware.name} has none", where="accounting",
            hint="use systolic-array, or a spec whose scratchpad has these three parts",
        )  # fmt: skip
    for part in PARTS:
        if memory.partitions[part] < 100:
            raise ArgumentError(
                f"{memory.partitions[part]} bytes are less than SCALE-Sim can divide into its 100 sets",
                where=f"memory.{memory.name}.{part}.size", hint="SCALE-Sim counts whole KiB",
            )  # fmt: skip
    sizes = (memory.partitions["ifmap"], memory.partitions["filter"], memory.partitions["ofmap"])
    return Array(*_shape(unit), dataflow, sizes, _bandwidths(hardware) if user else None)


def _shape(unit: ComputeUnit) -> tuple[int, int]:
    return int(unit.parameters["rows"]), int(unit.parameters["columns"])


def _bandwidths(hardware: Hardware) -> tuple[int, int, int]:
    memory = hardware.on_chip
    assert memory is not None

    def words(bytes_per_s: float, where: str) -> int:
        rate = bytes_per_s / hardware.clock_hz
        if round(rate) < 1 or abs(rate - round(rate)) > 1e-9 * rate:
            raise ArgumentError(
                f"{rate:.6g} bytes per cycle; SCALE-Sim takes whole words of one byte", where=where,
                hint=f'--set {where}="{max(1, round(rate))} B/cycle"',
            )  # fmt: skip
        return round(rate)

    default = DEFAULT_WORDS_PER_CYCLE * hardware.clock_hz
    ifmap, filters = (
        words(memory.partition_bandwidths.get(part, default), f"memory.{memory.name}.{part}.bank_bandwidth") for part in PARTS[:2]
    )
    return ifmap, filters, words(hardware.dram.bandwidth_bytes_per_s, f"memory.{hardware.dram.name}.bandwidth")


@dataclass(frozen=True, slots=True)
class Folding:
    """How a layer lies on an array: along rows, along columns, and over time."""

    row_folds: int
    column_folds: int
    lines: int

    @property
    def folds(self) -> int:
        """Times that the array is filled."""
        return self.row_folds * self.column_folds


def folding(layer: Layer, array: Array) -> Folding:
    """Folds and demand lines per fold.

    ========  ============  ===========  ===============
    dataflow  rows, columns time         lines of a fold
    ========  ============  ===========  ===============
    os        M, N          K            K + R + C - 2
    ws        K, N          M            M + 2R + C - 2
    is        K, M          N            N + 2R + C - 2
    ========  ============  ===========  ===============
    """
    m, n, k = layer.m, layer.n, layer.k
    down, across, time = {"os": (m, n, k), "ws": (k, n, m), "is": (k, m, n)}[array.dataflow]
    ramp = array.rows * (1 if array.dataflow == "os" else 2) + array.columns - 2
    return Folding(-(-down // array.rows), -(-across // array.columns), time + ramp)


def sram_counts(layer: Layer, array: Array) -> tuple[int, int, int]:
    """Ifmap reads, filter reads and ofmap writes of the scratchpads.

    ========  ============== ============== =======================
    dataflow  ifmap reads    filter reads   ofmap writes
    ========  ============== ============== =======================
    os        M K ceil(N/C)  K N ceil(M/R)  M N + folds (R + C)
    ws        M K ceil(N/C)  K N            M N ceil(K/R)
    is        M K            K N ceil(M/C)  M N ceil(K/R)
    ========  ============== ============== =======================

    Reads of window positions outside the input count. The ``R + C`` per fold is SCALE-Sim's: it adds up the shape of the padded matrix.
    """
    m, n, k = layer.m, layer.n, layer.k
    fold = folding(layer, array)
    ifmap, filters = m * k, k * n
    if array.dataflow == "os":
        return ifmap * fold.column_folds, filters * fold.row_folds, m * n + fold.folds * (array.rows + array.columns)
    if array.dataflow == "ws":
        return ifmap * fold.column_folds, filters, m * n * fold.row_folds
    return ifmap, filters * fold.column_folds, m * n * fold.row_folds


def utilisation(layer: Layer, array: Array, counts: Counts) -> dict[str, float]:
    """Shares of one as SCALE-Sim reports them (in percent): mapping efficiency, compute and overall utilisation.

    Under ws and is the compute utilisation reckons with folds longer by C - 1 lines than they are.
    """
    cells = array.rows * array.columns
    fold = folding(layer, array)
    mapped = {"os": layer.m * layer.n, "ws": layer.k * layer.n, "is": layer.k * layer.m}[array.dataflow]
    lines = fold.lines + (0 if array.dataflow == "os" else array.columns - 1)
    return {
        "mapping_efficiency": mapped / (fold.folds * cells),
        "compute_utilisation": layer.macs / (fold.folds * cells * lines),
        "overall_utilisation": layer.macs / (counts.total_cycles * cells) if counts.total_cycles else 0.0,
    }


def count_layer(layer: Layer, array: Array) -> Counts:
    """Everything SCALE-Sim counts for one run of a layer.

    Raises:
        UnsupportedError: the layer is too large to be walked word by word.
    """
    fold = folding(layer, array)
    walk = _estimated if array.bandwidths is None else _given
    last, stalls, reads, writes = walk(layer, array)
    return Counts(fold.folds, fold.folds * fold.lines, last, stalls, *sram_counts(layer, array), *reads, writes)


Walk = tuple[int, int, tuple[int, int], int]
"""Last cycle, stall cycles, DRAM reads of ifmap and filter, DRAM writes of ofmap."""


def _estimated(layer: Layer, array: Array) -> Walk:
    """SCALE-Sim's calc mode. Reads never wait and do not depend on the writes, so that each operand is counted on its own."""
    from simulator.kernels import scalesim as kernel

    table, streams = _table(layer, array), _streams(layer, array)
    reads = (_estimated_ifmap(layer, array, streams[0], table), _estimated_filter(layer, array))
    last, stalls, writes = kernel.play_writes(streams[2], table, array.columns, array.sizes[2])
    return int(last), int(stalls), reads, int(writes)


def _given(layer: Layer, array: Array) -> Walk:
    """SCALE-Sim's user mode."""
    import numpy as np

    from simulator.kernels import scalesim as kernel

    assert array.bandwidths is not None
    words = (layer.height * layer.width * layer.channels, layer.k * layer.n)
    _check_size(layer, max(*words, (layer.m + max(array.rows, array.columns)) * (layer.k + max(array.rows, array.columns))), 1 << 28)
    numbers = (np.array(values, np.int64) for values in (array.sizes, array.bandwidths, words))
    tables = (*_ifmap_tables(layer, array), *_filter_tables(layer, array))
    last, stalls, ifmap, filters, writes = kernel.play_user(_streams(layer, array), tables, _table(layer, array), *numbers)
    return int(last), int(stalls), (int(ifmap), int(filters)), int(writes)


def _check_size(layer: Layer, words: int, most: int) -> None:
    if words > most:
        raise UnsupportedError(
            f"a layer of {layer.m} x {layer.n} x {layer.k} is too large to be walked as SCALE-Sim does ({words} words, at most {most})",
            where="accounting", hint="count it without accounting, or in smaller pieces",
        )  # fmt: skip


def _estimated_ifmap(layer: Layer, array: Array, stream: NDArray[np.int64], table: NDArray[np.int64]) -> int:
    """DRAM reads of the ifmap in the calc mode."""
    import numpy as np

    from simulator.kernels import scalesim as kernel

    words, capacity = ifmap_words(layer), _capacity(array.sizes[0])
    rounds = 1 if array.dataflow == "is" else folding(layer, array).column_folds
    if words < capacity:
        return words
    if _windows_apart(layer):
        return int(kernel.rounds_reads(1, np.array([words], np.int64), rounds, capacity))
    space = layer.height * layer.width * layer.channels
    _check_size(layer, space, 1 << 30)
    return int(kernel.estimate_reads(stream, *_ifmap_tables(layer, array), table, capacity, space))


def _estimated_filter(layer: Layer, array: Array) -> int:
    """DRAM reads of the filters in the calc mode: os walks each block of C filters once per row fold, is all of them per column fold."""
    import numpy as np

    from simulator.kernels import scalesim as kernel

    fold, capacity = folding(layer, array), _capacity(array.sizes[1])
    if array.dataflow != "os":
        rounds = 1 if array.dataflow == "ws" else fold.column_folds
        return int(kernel.rounds_reads(1, np.array([layer.k * layer.n], np.int64), rounds, capacity))
    blocks = np.full(fold.column_folds, layer.k * array.columns, np.int64)
    blocks[-1] = layer.k * (layer.n - (fold.column_folds - 1) * array.columns)
    return int(kernel.rounds_reads(fold.column_folds, blocks, fold.row_folds, capacity))


def _capacity(size_bytes: int) -> int:
    """Words that SCALE-Sim's estimated read buffer holds: 50 sets of a hundredth of the scratchpad."""
    return 50 * (size_bytes // 100)


def _windows_apart(layer: Layer) -> bool:
    """Whether no element of the input lies in two windows."""
    down, right = layer.stride
    return (layer.output[0] == 1 or layer.filter_height <= down) and (layer.output[1] == 1 or layer.filter_width <= right)


def ifmap_words(layer: Layer) -> int:
    """Elements of the input that at least one window touches: the product over both axes of the rows and columns touched."""

    def touched(size: int, window: int, stride: int, outputs: int) -> int:
        end = min(size, (outputs - 1) * stride + window)
        return end if window >= stride else sum(min(window, size - start) for start in range(0, end, stride))

    rows = touched(layer.height, layer.filter_height, layer.stride[0], layer.output[0])
    return rows * touched(layer.width, layer.filter_width, layer.stride[1], layer.output[1]) * layer.channels


def _ifmap_tables(layer: Layer, array: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(row, column, address) of what ports and lines run over: windows' corners and taps within a window; channels are innermost."""
    import numpy as np

    line, channels = layer.width * layer.channels, layer.channels
    y, x = np.divmod(np.arange(layer.m), layer.output[1])
    y, x = y * layer.stride[0], x * layer.stride[1]
    tap, channel = np.divmod(np.arange(layer.k), channels)
    down, right = np.divmod(tap, layer.filter_width)
    pixels = np.stack((y, x, y * line + x * channels), axis=1)
    taps = np.stack((down, right, down * line + right * channels + channel), axis=1)
    return (taps, pixels) if array.dataflow == "ws" else (pixels, taps)


def _filter_tables(layer: Layer, array: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As ``_ifmap_tables``: filters and taps; address ``tap N + filter``, no rows and columns."""
    import numpy as np

    filters, taps = np.zeros((layer.n, 3), np.int64), np.zeros((layer.k, 3), np.int64)
    filters[:, 2], taps[:, 2] = np.arange(layer.n), np.arange(layer.k) * layer.n
    return (taps, filters) if array.dataflow == "is" else (filters, taps)


def _table(layer: Layer, array: Array) -> NDArray[np.int64]:
    """``layer`` of the kernels. The write buffer sees the true writes: the surplus of os is a fault of SCALE-Sim's report alone."""
    import numpy as np

    fold = folding(layer, array)
    writes = layer.m * layer.n * (1 if array.dataflow == "os" else fold.row_folds)
    numbers = (array.rows, array.columns, fold.row_folds, fold.column_folds, fold.lines, layer.height, layer.width, writes)
    return np.array(numbers, np.int64)


def _streams(layer: Layer, array: Array) -> NDArray[np.int64]:
    """Rows for ifmap, filter and ofmap: held, delay, ports, by column, across, along."""
    import numpy as np

    m, n, k, rows, columns = layer.m, layer.n, layer.k, array.rows, array.columns
    table = {
        "os": ((0, 0, rows, 0, m, k), (0, 0, columns, 1, n, k), (1, k - 1, columns, 1, n, m)),
        "ws": ((0, rows, rows, 0, k, m), (1, 0, columns, 1, n, k), (0, 2 * rows - 1, columns, 1, n, m)),
        "is": ((1, 0, columns, 1, m, k), (0, rows, rows, 0, k, n), (0, 2 * rows - 1, columns, 1, m, n)),
    }[array.dataflow]
    return np.array(table, np.int64)
