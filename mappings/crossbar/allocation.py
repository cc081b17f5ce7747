"""Arrays for the weights of a whole graph: who holds what, in how many copies, on how many chips, and what must be written during the run.

Weights are written before the run, so all of a graph's matrices have arrays at the same time: a weight that is another one in each round of
a repeat takes arrays for every round, one that all rounds share takes them once. What is left over goes to copies of layers, the
slowest first (Shafiee et al., ISAAC, ISCA 2016, section 3.3: layers are replicated so that a pipeline of them is balanced). Matrices of
equal shape that stream equally many vectors are one *class* and have equally many copies.

Where a chip has too few arrays, the weights go over ``chips`` chips; else, with ``reprogram``, whole classes stay in the arrays as long as
they fit, those of most rounds first and then in the order of the program, and the others are written when their turn comes into arrays
that are kept free for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass as mutable
from math import prod

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.errors import InfeasibleError
from hwspecs.vocabulary.records import dataclass
from mappings.crossbar.machine import Machine
from mappings.crossbar.slicing import Key, Layout, Matrix, layout_of, matrices_of
from mappings.crossbar.timing import pace_of
from workloads.graph import Operator, OperatorGraph, Repeat, Tensor

Place = tuple[tuple[int, ...], str]
_SCRATCH_SHARE = 4
"""Of all arrays at most one in so many is kept free for weights that are written during the run, unless one matrix needs more."""


@dataclass(frozen=True, slots=True)
class Use:
    """A matrix of the graph where it stands.

    Attributes:
        operator: name; ``place``: identity of the stored weight (the repeats that it is own to, and its name there).
        instances: different weights that it stands for; ``rounds``: products with each of them per input, as a multiple of ``products``.
    """

    operator: str
    matrix: Matrix
    place: Place
    instances: int
    rounds: int


@mutable(slots=True)
class Class:
    """Matrices of equal key.

    Attributes:
        instances: different weights; ``rounds``: the most uses of one of them per input.
        copies: of each weight; ``resident``: written before the run; ``crossings``: borders between chips that lie in its arrays.
    """

    matrix: Matrix
    layout: Layout
    interval: int
    instances: int = 0
    rounds: int = 1
    copies: int = 1
    resident: bool = True
    crossings: int = 0

    @property
    def arrays(self) -> int:
        """Arrays of all instances and copies; 0 if it is written during the run."""
        return self.instances * self.copies * self.layout.arrays if self.resident else 0


@dataclass(frozen=True, slots=True)
class Allocation:
    """What ``allocate`` decided.

    Attributes:
        classes: by key; ``uses``: in program order; ``chips``: in use; ``arrays``: of all of them together.
        free: arrays that hold no weights; ``computed``: computed operands that are written to them, and how often per input.
    """

    machine: Machine
    classes: Mapping[Key, Class]
    uses: tuple[Use, ...]
    chips: int
    arrays: int
    free: int
    computed: tuple[tuple[Matrix, int], ...] = ()

    @property
    def used(self) -> int:
        """Arrays that hold weights."""
        return sum(item.arrays for item in self.classes.values())


def allocate(graph: OperatorGraph, machine: Machine, unit: ComputeUnit, hardware: Hardware) -> Allocation:
    """Arrays for every static matrix of ``graph``.

    Raises:
        InfeasibleError: the weights take more arrays than there are, and may neither go over chips nor be written during the run.
    """
    uses = tuple(_uses(graph, machine))
    computed = tuple(_computed(graph, machine))
    classes = _classes(uses, machine)
    need = sum(item.instances * item.layout.arrays for item in classes.values())
    chips = min(machine.chips, -(-need // machine.arrays)) if need > machine.arrays else 1
    room = chips * machine.arrays
    if need > room and not machine.reprogram:
        raise _too_large(need, machine, unit, hardware)
    if need > room:
        _evict(classes, room)
    elif machine.replicate and need < room:
        _replicate(classes, max(0, room - need - _reserve(computed, machine)))
    if chips > 1:
        _cross(uses, classes, machine.arrays)
    return Allocation(machine, classes, uses, chips, room, room - sum(item.arrays for item in classes.values()), computed)


def alone(operator: Operator, tensors: Mapping[str, Tensor], machine: Machine, unit: ComputeUnit, hardware: Hardware) -> Allocation:
    """Arrays for one operator that is mapped without its graph."""
    graph = OperatorGraph(operator.name, tensors, (operator,), (), ())
    return allocate(graph, machine, unit, hardware)


def _uses(graph: OperatorGraph, machine: Machine) -> Iterator[Use]:
    for operator, matrix, scopes in _matrices(graph, machine):
        if matrix.static:
            yield Use(operator.name, matrix, *_stored(matrix.weight, scopes))


def fits(matrix: Matrix, machine: Machine) -> bool:
    """Whether arrays take the formats of ``matrix``: integers of no more bits than cells and drivers have."""
    reading = machine.reading
    streams = matrix.input_format.bits <= reading.input_bits and matrix.input_format.family == "int"
    return streams and matrix.weight_bits <= reading.weight_bits


def _matrices(graph: OperatorGraph, machine: Machine) -> Iterator[tuple[Operator, Matrix, tuple[Repeat, ...]]]:
    """The products of operators that arrays take, with the repeats around them."""
    for operator, holder, scopes in _walk(graph, ()):
        matrices = matrices_of(operator, holder.tensors)
        if not isinstance(matrices, str) and all(fits(matrix, machine) for matrix in matrices):
            yield from ((operator, matrix, scopes) for matrix in matrices if matrix.macs)


def _walk(graph: OperatorGraph, scopes: tuple[Repeat, ...]) -> Iterator[tuple[Operator, OperatorGraph, tuple[Repeat, ...]]]:
    for node in graph.nodes:
        if isinstance(node, Repeat):
            if node.count > 0:
                yield from _walk(node.body, (*scopes, node))
        else:
            yield node, graph, scopes


def _stored(name: str, scopes: tuple[Repeat, ...]) -> tuple[Place, int, int]:
    """(identity of a weight, different weights that the name stands for, rounds that use each of them)."""
    rounds = 1
    for depth in range(len(scopes), 0, -1):
        repeat = scopes[depth - 1]
        if name not in repeat.shared or name not in repeat.inputs:
            instances = 1
            for outer in scopes[:depth]:
                instances *= outer.count
            return (tuple([id(outer) for outer in scopes[:depth]]), name), instances, rounds
        rounds *= repeat.count
        name = repeat.inputs[name]
    return ((), name), 1, rounds


def _classes(uses: tuple[Use, ...], machine: Machine) -> dict[Key, Class]:
    classes: dict[Key, Class] = {}
    stored: dict[Place, tuple[Key, int]] = {}
    for use in uses:
        key = use.matrix.key
        item = classes.get(key)
        if item is None:
            layout = layout_of(use.matrix, machine)
            item = classes[key] = Class(use.matrix, layout, pace_of(use.matrix, layout, machine).interval)
        seen = stored.get(use.place)
        if seen is None:
            item.instances += use.instances
            stored[use.place] = key, use.rounds
        else:
            stored[use.place] = seen[0], seen[1] + use.rounds
    for key, rounds in stored.values():
        classes[key].rounds = max(classes[key].rounds, rounds)
    return classes


def _reserve(computed: Sequence[tuple[Matrix, int]], machine: Machine) -> int:
    """Arrays that computed operands are written to: those of the largest, at most an eighth of a chip."""
    return min(max((layout_of(matrix, machine).arrays for matrix, _ in computed), default=0), max(1, machine.arrays // 8))


def _computed(graph: OperatorGraph, machine: Machine) -> Iterator[tuple[Matrix, int]]:
    """Computed operands that are written to arrays, with the rounds of the repeats around them."""
    if not machine.write_dynamic:
        return
    for _, matrix, scopes in _matrices(graph, machine):
        if not matrix.static:
            yield matrix, prod(scope.count for scope in scopes)


def _evict(classes: Mapping[Key, Class], room: int) -> None:
    """Decide which classes stay; what is left over is where the others are written."""
    largest = max(item.layout.arrays for item in classes.values())
    scratch = min(largest, max(1, room // _SCRATCH_SHARE))
    taken = 0
    for item in sorted(classes.values(), key=lambda item: -item.rounds):  # what is used again and again would be written again and again
        size = item.instances * item.layout.arrays
        item.resident = taken + size <= room - scratch
        taken += size if item.resident else 0


def _replicate(classes: Mapping[Key, Class], room: int) -> None:
    import numpy as np

    from simulator.kernels.replication import balance

    items = list(classes.values())
    arrays = np.array([item.instances * item.layout.arrays for item in items], np.int64)
    products = np.array([item.matrix.products for item in items], np.int64)
    cycles = np.array([item.interval * item.rounds for item in items], np.int64)
    for item, copies in zip(items, balance(arrays, products, cycles, room), strict=True):
        item.copies = int(copies)


def _cross(uses: Sequence[Use], classes: Mapping[Key, Class], size: int) -> None:
    """Count the borders between chips of ``size`` arrays that lie within each class's arrays; matrices are placed in program order."""
    place = 0
    placed: set[Place] = set()
    for use in uses:
        item = classes[use.matrix.key]
        if use.place in placed or not item.resident:
            continue
        placed.add(use.place)
        end = place + use.instances * item.copies * item.layout.arrays
        item.crossings += max(0, (end - 1) // size - max(0, place - 1) // size)
        place = end


def _too_large(need: int, machine: Machine, unit: ComputeUnit, hardware: Hardware) -> InfeasibleError:
    leaf = next((hardware.leaves[path] for path in (f"unit.{unit.name}.count", f"unit.{unit.name}.kind") if path in hardware.leaves), None)
    chips = -(-need // machine.arrays)
    has = f"{machine.chips} chips of {machine.arrays:,}" if machine.chips > 1 else f"{machine.arrays:,}"
    return InfeasibleError(
        f"the weights take {need:,} arrays ({chips} chips), unit {unit.name!r} has {has}",
        where=leaf.where if leaf is not None and leaf.where else hardware.name,
        hint=f"--set unit.{unit.name}.chips={chips}, or --set unit.{unit.name}.reprogram=true to write weights during the run",
    )
