"""ZigZag's access counts, priced by our engine: counts become the actions and transfers of a mapped graph, which the simulator plays.

Nothing here needs ZigZag. A count is one access of a memory's port; an access of b bits is b / 8 bytes, so a price per access is a price
per byte of the hardware's spec, and both must agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isclose
from typing import Any

from hwspecs.hardware import Hardware
from hwspecs.vocabulary.errors import ContractError
from hwspecs.vocabulary.formats import number_format
from ilp.trivial import trivial_schedule
from mappings.dataflow import PORT, Alternative, MappedBlock, MappedGraph, MappedOperator, Segment, Stage, Transfer
from simulator import Result, simulate
from workloads.graph import Operator, OperatorGraph, Role, Tensor

FORMAT = "int8"
ROLES = {"W": Role.WEIGHT, "I": Role.ACTIVATION, "O": Role.ACTIVATION}
SPILLED = "partial sums"


@dataclass(frozen=True, slots=True)
class Accesses:
    """Accesses of one operand (``W``, ``I``, ``O``) in one memory.

    Attributes:
        reads, writes: accesses, towards the array and away from it together.
        read_bits, write_bits: width of one access.
        read_pj, write_pj: picojoules of one access.
    """

    memory: str
    operand: str
    reads: int
    writes: int
    read_bits: int
    write_bits: int
    read_pj: float
    write_pj: float

    @property
    def read_bytes(self) -> int:
        """Bytes that the reads move."""
        return _bytes(self.memory, self.reads, self.read_bits)

    @property
    def written_bytes(self) -> int:
        """Bytes that the writes move."""
        return _bytes(self.memory, self.writes, self.write_bits)


@dataclass(frozen=True, slots=True)
class Layer:
    """What ZigZag says of one layer.

    Attributes:
        energy_pj, latency_cycles: its totals.
        array_cycles: cycles of its temporal loops, the array never waiting; ``stall_cycles``: waits between them.
        onload_cycles, offload_cycles, drain_cycles: before the first and after the last of them.
        mac_pj: picojoules of one multiply-accumulate.
    """

    name: str
    macs: int
    mac_pj: float
    energy_pj: float
    latency_cycles: float
    array_cycles: int
    stall_cycles: float
    onload_cycles: float
    offload_cycles: float
    drain_cycles: float
    accesses: tuple[Accesses, ...]

    def component_pj(self, memories: Iterable[str]) -> float:
        """Picojoules in ``memories``, from counts and prices alone."""
        wanted = set(memories)
        return sum(item.reads * item.read_pj + item.writes * item.write_pj for item in self.accesses if item.memory in wanted)


def layer_of(row: Mapping[str, Any]) -> Layer:
    """A layer from the driver's JSON object.

    Raises:
        ContractError: a field is missing or not known.
    """
    try:
        return Layer(**{**row, "accesses": tuple(Accesses(**item) for item in row["accesses"])})
    except (KeyError, TypeError) as error:
        raise ContractError(f"this is no layer of the driver: {error}", hint="driver and benchmark are of two versions") from None


def mapped_graph(layer: Layer, hardware: Hardware) -> MappedGraph:
    """One operator whose on-chip actions and off-chip transfers are the layer's counts.

    The array works ``array_cycles`` without a break and the off-chip port serves all words beside it: what the layer takes at least.

    Raises:
        ContractError: a memory is not in the spec, a price differs from the spec's, or accesses are no whole bytes.
    """
    unit = hardware.primary
    _check_price(f"{unit.name}.mac.{FORMAT}", unit.energy_j.get(f"mac.{FORMAT}", 0.0), layer.mac_pj, 1.0)
    actions = {f"{unit.name}.mac.{FORMAT}": float(layer.macs)}
    loads: dict[str, int] = {}
    stores: dict[str, int] = {}
    for item in layer.accesses:
        memory = hardware.memories.get(item.memory)
        if memory is None:
            raise ContractError(f"{hardware.name!r} has no memory {item.memory!r}", where=layer.name)
        _check_price(f"{item.memory}.read", memory.read_energy_j_per_byte, item.read_pj, item.read_bits / 8)
        _check_price(f"{item.memory}.write", memory.write_energy_j_per_byte, item.write_pj, item.write_bits / 8)
        if memory.off_chip:
            for moved, size in ((loads, item.read_bytes), (stores, item.written_bytes)):
                if size:
                    moved[item.operand] = moved.get(item.operand, 0) + size
            continue
        for word, size in (("read", item.read_bytes), ("write", item.written_bytes)):
            key = f"{item.memory}.{word}.byte"
            actions[key] = actions.get(key, 0.0) + size
    return _graph(layer, hardware, actions, loads, stores)


def play(layer: Layer, hardware: Hardware) -> Result:
    """The result of the layer's counts on ``hardware``; its energy is the sum of counts times prices.

    Raises:
        ContractError: see ``mapped_graph``.
    """
    mapped = mapped_graph(layer, hardware)
    return simulate(mapped, trivial_schedule(mapped), timeline=False)


def _graph(layer: Layer, hardware: Hardware, actions: dict[str, float], loads: dict[str, int], stores: dict[str, int]) -> MappedGraph:
    unit, dram = hardware.primary, hardware.dram.name
    chip = hardware.on_chip.name if hardware.on_chip is not None else unit.name
    port = PORT + dram
    stages = [Stage("array", unit.name, (Segment(1, layer.array_cycles),))]
    back = loads.pop("O", 0)  # partial sums that return: no operand of the operator
    if loads or back:
        moves = [Transfer(name, size, dram, chip) for name, size in (*loads.items(), (SPILLED, back)) if size]
        stages.append(Stage("load", port, tuple(Segment(1, 0, (move,)) for move in moves)))
    if stores:
        stages.append(Stage("store", port, tuple(Segment(1, 0, (Transfer(name, size, chip, dram),)) for name, size in stores.items())))
    alternative = Alternative("as counted", tuple(stages), (), 0, layer.array_cycles, actions)
    item = MappedOperator(
        layer.name, "gemm", unit.name, (alternative,), macs=layer.macs, executed_macs=layer.macs, compute_format=FORMAT,
        reads=loads, writes=stores,
    )  # fmt: skip
    sizes = {**loads, **stores}
    tensors = {name: Tensor(name, (size,), number_format(FORMAT), ROLES[name]) for name, size in sizes.items()}
    node = Operator(layer.name, "gemm", tuple(loads), tuple(stores))
    entering = tuple(name for name in loads if ROLES[name] is Role.ACTIVATION)
    graph = OperatorGraph(layer.name, tensors, (node,), entering, tuple(stores), meta={"phase": "inference", "batch": 1})
    own = {name: name for name in loads}
    block = MappedBlock("layer", (item,), 1, tensors, entering=own, leaving={name: name for name in stores})
    return MappedGraph(graph, hardware, (block,))


def _check_price(name: str, joules_per_byte: float, picojoules: float, nbytes: float) -> None:
    if not isclose(joules_per_byte * nbytes, picojoules * 1e-12, rel_tol=1e-12):
        raise ContractError(f"{name} costs {picojoules} pJ per access there and {joules_per_byte * nbytes * 1e12:.6g} pJ in the spec")


def _bytes(memory: str, accesses: int, bits: int) -> int:
    if accesses * bits % 8:
        raise ContractError(f"{accesses} accesses of {bits} bits are no whole bytes", where=memory)
    return accesses * bits // 8
