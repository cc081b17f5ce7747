"""What a sparse array offers a product: dataflows, interleaving of sums, N:M modes, as arrays of another size for the tile search.

Each cell is a multiplier, an adder of ``mac_latency`` L cycles and registers. With R rows and C columns:

* *Outputs stay*. A cell adds to one sum every L cycles: a reduction of K takes K L cycles. Interleaved, a cell holds i j = L sums of
  its own and adds to another one each cycle: the array then holds i R x j C results and still takes L cycles per step, which is one
  multiply-accumulate per cell and cycle. A fold takes K L + R + C - 2, and L - 1 more where sums are interleaved.
* *An operand stays* (weights; or inputs). Sums pass down the rows, L cycles per row: a fold of M takes M + R + R L + C - 2. Sums of
  different outputs follow each other, so nothing stalls.
* *N:M*. The sparse operand brings the N kept of every M values with their places, the other one all M values of a group, of which each cell
  picks. A reduction of K takes K N / M steps (the last group, if not full, as many as a full one). Where the sparse operand stays, R rows
  hold R M / N points of K.

With L = 1 and dense operands these are the cycles of ``mappings.systolic.folds``.

*Feeding*. A group's M values reach the cells in the time of N steps, so that in an N:M mode the dense side takes M / N times the bandwidth
of a dense product. A step lasts at least as long as the on-chip memory takes to deliver what it consumes; interleaved sums share operands,
and so ask for less. Dense operands are always fed (the edges of the array are built for them, as in a systolic array), results leave on
wires of their own.
"""

from __future__ import annotations

from dataclasses import replace

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.records import dataclass
from mappings.sparse_array.patterns import Kept
from mappings.systolic.folds import FLOWS, INPUT, OUTPUT, WEIGHT, Flow
from mappings.systolic.pace import Pace, Stream
from mappings.systolic.problem import Product
from mappings.systolic.setting import Setting, Way
from mappings.systolic.tiles import Array, flows_for


@dataclass(frozen=True, slots=True)
class Machine:
    """What a spec says of the array beyond its size.

    Attributes:
        latency: cycles from a MAC's inputs to its sum.
        modes: N:M modes (n, m).
        use: ``auto`` (sparse where it is faster), ``always`` (where it is possible) or ``never``.
        feed: bytes per cycle of the array that the on-chip memory delivers to one copy of it.
    """

    latency: int
    interleave: bool
    modes: tuple[tuple[int, int], ...]
    use: str
    feed: float


@dataclass(frozen=True, slots=True)
class SparseWay:
    """A dataflow in an N:M mode: on this array, with these streams."""

    flow: Flow
    array: Array
    streams: tuple[tuple[str, Stream], ...]


def machine_of(unit: ComputeUnit, hardware: Hardware) -> Machine:
    """The machine that the spec of ``unit`` describes."""
    memory = hardware.on_chip
    assert memory is not None
    words = str(unit.parameters.get("modes", "")).replace(",", " ").split()
    modes = tuple([(int(n), int(m)) for n, _, m in (word.partition(":") for word in words)])
    latency = int(unit.parameters.get("mac_latency", 1))
    interleave = bool(unit.parameters.get("interleave", False)) and latency > 1
    feed = memory.bandwidth_bytes_per_s / unit.clock_hz / unit.count
    return Machine(latency, interleave, modes, str(unit.parameters.get("sparse_mode", "auto")), feed)


def shapes(latency: int, interleave: bool) -> tuple[tuple[int, int], ...]:
    """(sums per cell along the rows, along the columns) that are tried: one, and L in each way that they can lie."""
    if not interleave:
        return ((1, 1),)
    return ((1, 1), *[(rows, latency // rows) for rows in range(1, latency + 1) if latency % rows == 0])


def wide(array: Array, machine: Machine, shape: tuple[int, int]) -> Array:
    """``array`` with ``shape`` sums in each cell."""
    latency = machine.latency
    if latency == 1:
        return array
    edges = array.rows + array.columns - 2
    sums = shape[0] * shape[1]
    return replace(
        array, rows=array.rows * shape[0], columns=array.columns * shape[1],
        fill=(edges + sums - 1, edges + array.rows * latency),
    )  # fmt: skip


def dense_ways(setting: Setting, machine: Machine) -> tuple[Way, ...]:
    """Ways to run a dense product."""
    ways: list[Way] = []
    for flow in flows_for(setting.dataflow):
        if flow.name == OUTPUT:
            ways += [
                Way(flow, wide(setting.array, machine, shape), machine.latency) for shape in shapes(machine.latency, machine.interleave)
            ]
        else:
            ways.append(Way(flow, wide(setting.array, machine, (1, 1))))
    return tuple(ways)


def sparse_ways(product: Product, kept: Kept, setting: Setting, machine: Machine) -> list[SparseWay]:
    """Ways to run ``product`` in the mode of its sparse operand: outputs stay, or the sparse operand does."""
    staying = FLOWS[WEIGHT if kept.operand == "b" else INPUT]
    flows = flows_for(setting.dataflow)
    ways: list[SparseWay] = []
    if FLOWS[OUTPUT] in flows:
        ways += [_streaming(product, kept, setting.array, machine, shape) for shape in shapes(machine.latency, machine.interleave)]
    if staying in flows:
        ways.append(_staying(product, kept, setting.array, machine, staying))
    return ways


def _limit(product: Product, kept: Kept, array: Array, machine: Machine) -> tuple[float, float, float]:
    """(bytes per cycle that reach the array, bytes of a dense value, bytes of a kept value with its place)."""
    dense, sparse = (product.a, product.b) if kept.operand == "b" else (product.b, product.a)
    steps, points = kept.ratio
    value = sparse.bytes_per_value * points / steps
    return max(machine.feed, (array.rows + array.columns) * dense.bytes_per_value), dense.bytes_per_value, value


def _streaming(product: Product, kept: Kept, array: Array, machine: Machine, shape: tuple[int, int]) -> SparseWay:
    """Outputs stay, both operands stream: a step takes L cycles, or as long as its operands do."""
    limit, dense_bytes, kept_bytes = _limit(product, kept, array, machine)
    lanes = min(array.rows * shape[0], product.size("m")), min(array.columns * shape[1], product.size("n"))
    dense_lanes, sparse_lanes = lanes if kept.operand == "b" else (lanes[1], lanes[0])
    steps, points = kept.ratio
    asked = dense_lanes * dense_bytes * points / steps + sparse_lanes * kept_bytes
    pace = Pace(max(float(machine.latency), asked / limit), steps, points, kept.n / kept.m, kept.mode)
    return SparseWay(FLOWS[OUTPUT], wide(array, machine, shape), (("k", pace),))


def _staying(product: Product, kept: Kept, array: Array, machine: Machine, flow: Flow) -> SparseWay:
    """The sparse operand stays: rows hold more of the reduction, and each step of the dense one delivers all that they hold."""
    limit, dense_bytes, _ = _limit(product, kept, array, machine)
    steps, points = kept.ratio
    held = max(1, array.rows * points // steps)
    reduced = product.size("k")
    asked = reduced / -(-reduced // held) * dense_bytes
    pace = Pace(max(1.0, asked / limit), density=kept.n / kept.m, label=kept.mode)
    whole = wide(array, machine, (1, 1))
    return SparseWay(flow, replace(whole, rows=held, fill=(0, whole.ramp(flow))), ((flow.time, pace),))
