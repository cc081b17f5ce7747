"""The mapper of crossbars."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from hwspecs.hardware import ComputeUnit, Hardware
from mappings.compulsory import compulsory_reads, compulsory_writes
from mappings.crossbar.allocation import Allocation, Class, allocate, alone, fits
from mappings.crossbar.costs import product_energy, write_energy
from mappings.crossbar.machine import Machine, machine_of
from mappings.crossbar.nonlinear import absorbed, cell_work, state_conversions
from mappings.crossbar.remarks import remarks
from mappings.crossbar.report import in_memory, scaled
from mappings.crossbar.slicing import ACTIVE, Layout, Matrix, event_density, layout_of, matrices_of
from mappings.crossbar.timing import pace_of, turns, write_cycles
from mappings.crossbar.work import Work, alternative_of
from mappings.dataflow import MappedOperator
from mappings.rates import nest_format, served_format, vector_cycles, vector_format, vector_operations, vector_unit
from mappings.registry import Unmappable
from workloads.graph import Nest, Operator, OperatorGraph, Role, Tensor


class CrossbarMapper:
    """Serves kind ``crossbar``: matrix products whose weights lie in arrays, vectors streamed through them.

    Weights are in the arrays before the run starts, so they are no traffic of it; ``prepare`` gives all of a graph's weights their arrays.
    Elementwise work of an operator runs on the first vector unit along ``fallback``, unless a programmable converter computes it. Products
    of two computed operands are written to arrays (``dynamic: write``) or left to the fallback unit.
    """

    def __init__(self) -> None:
        self._allocation: Allocation | None = None
        self._graph: OperatorGraph | None = None
        self._machines: dict[str, Machine] = {}

    def prepare(self, graph: OperatorGraph, unit: ComputeUnit, hardware: Hardware) -> Hardware:
        """Allocate the weights of ``graph``; the hardware is that of as many chips as they take.

        Raises:
            InfeasibleError: they take more arrays than there are.
        """
        self._graph = graph
        self._allocation = allocate(graph, self._machine(unit, hardware), unit, hardware)
        return scaled(hardware, self._allocation.chips)

    @property
    def allocation(self) -> Allocation | None:
        """What ``prepare`` decided; None before it."""
        return self._allocation

    def in_memory(self, unit: ComputeUnit, hardware: Hardware) -> Mapping[str, object] | None:
        """What the arrays hold, for a result; None before ``prepare``."""
        if self._allocation is None or self._graph is None:
            return None
        states = state_conversions(self._graph, unit, hardware, self._machine(unit, hardware), self._held())
        return in_memory(self._allocation, unit, hardware, tuple(states))

    def remarks(self, unit: ComputeUnit, hardware: Hardware) -> tuple[str, ...]:
        """What a run should say of the arrays; nothing before ``prepare``."""
        return remarks(self._allocation, unit) if self._allocation is not None else ()

    def map(self, operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit, hardware: Hardware) -> MappedOperator | Unmappable:
        """See ``mappings.registry.Mapper``. There is one alternative: the arrays are given."""
        machine = self._machine(unit, hardware)
        matrices = matrices_of(operator, tensors)
        if isinstance(matrices, str):
            return cell_work(operator, tensors, unit, hardware, machine, self._held()) or Unmappable(matrices)
        reason = _refused(matrices, tensors, machine, unit)
        if reason:
            return Unmappable(reason)
        allocation = self._allocation
        if allocation is None or any(matrix.static and matrix.key not in allocation.classes for matrix in matrices):
            allocation = alone(operator, tensors, machine, unit, hardware)
        if not all(matrix.static for matrix in matrices) and not allocation.free:
            return Unmappable("no array is free to write a computed operand to")
        vector = vector_unit(unit, hardware)
        laid = [(matrix, layout_of(matrix, machine)) for matrix in matrices] if machine.functions else []
        others = [nest for nest in operator.nests if nest.function != "mac" and not absorbed(nest, laid, machine)]
        if vector is None and any(nest.vector_ops for nest in others):
            return Unmappable("the elementwise work behind its product needs a vector unit as fallback")
        job = _Job(operator, tensors, unit, hardware, machine, allocation)
        return job.mapped(matrices, others, vector)

    def _held(self) -> list[tuple[Matrix, Layout]]:
        """The matrices in arrays."""
        known = self._allocation.classes.values() if self._allocation is not None else ()
        return [(item.matrix, item.layout) for item in known]

    def _machine(self, unit: ComputeUnit, hardware: Hardware) -> Machine:
        if unit.name not in self._machines:
            self._machines[unit.name] = machine_of(unit, hardware)
        return self._machines[unit.name]


def _refused(matrices: tuple[Matrix, ...], tensors: Mapping[str, Tensor], machine: Machine, unit: ComputeUnit) -> str:
    """Why arrays cannot run the products; empty if they can."""
    reading = machine.reading
    for matrix in matrices:
        if not fits(matrix, machine):
            return (
                f"arrays take integers of at most {reading.input_bits} bits times weights of {reading.weight_bits}; "
                f"it has {matrix.input_format.name} times {matrix.weight_bits} bits"
            )
        if served_format(matrix.input_format, [name for name, _ in unit.rates]) is None:
            return f"it has no rate for {matrix.input_format.rate_name}"
        weight = tensors.get(matrix.weight)
        if not matrix.static and weight is not None and weight.role == Role.WEIGHT:
            return "its weights change during the run, and arrays hold constant ones"
        if not matrix.static and not machine.write_dynamic:
            return "both operands of its product are computed, and the spec writes no computed operand to arrays"
    return ""


class _Job:
    """One operator on its way onto the arrays."""

    def __init__(
        self, operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit, hardware: Hardware, machine: Machine,
        allocation: Allocation,
    ) -> None:  # fmt: skip
        self.operator, self.tensors, self.unit, self.hardware = operator, tensors, unit, hardware
        self.machine, self.allocation = machine, allocation
        self.actions: dict[str, float] = {}
        self.notes: dict[str, None] = {}
        self.weights: dict[str, int] = {}
        self.array_cycles = self.turns = self.writes = self.crossing = self.read = self.written = 0
        self.executed = 0.0
        self.passes = 1
        self.reads = compulsory_reads(operator, tensors)

    def mapped(self, matrices: tuple[Matrix, ...], others: list[Nest], vector: ComputeUnit | None) -> MappedOperator:
        operator, tensors, unit = self.operator, self.tensors, self.unit
        reads, writes = self.reads, compulsory_writes(operator, tensors)
        streamed = {matrix.source for matrix in matrices}
        streamed.update(operand.tensor for nest in operator.nests if nest.function != "mac" for operand in nest.reads)
        for matrix in matrices:
            self._product(matrix, matrix.weight in streamed)
        held = {name for name in reads if tensors[name].role == Role.WEIGHT and name not in self.weights}
        if all(matrix.static for matrix in matrices):
            reads = {name: size for name, size in reads.items() if name not in held}
        loads = {name: size for name, size in reads.items() if name not in self.weights}
        vector_cycles_of = self._vector(others, vector) if vector is not None else 0
        widest = max(matrices, key=lambda matrix: (matrix.input_format.bits, matrix.macs)).input_format
        form = served_format(widest, [name for name, _ in unit.rates]) or ""
        work = Work(
            self.array_cycles, self.turns, vector_cycles_of, loads, writes, self.passes, self.writes, self.weights, self.crossing,
            (self.read, self.written), self.actions, tuple(self.notes),
        )  # fmt: skip
        alternative = alternative_of(self._name(matrices[0]), work, unit, vector, self.machine.chip_link, self.hardware)
        macs = operator.macs
        return MappedOperator(
            operator.name,
            operator.kind,
            unit.name,
            (alternative,),
            macs=macs,
            executed_macs=min(macs, ceil(self.executed)),
            vector_ops=operator.vector_ops,
            compute_format=form,
            reads=reads,
            writes=writes,
        )

    def _name(self, matrix: Matrix) -> str:
        item = self.allocation.classes.get(matrix.key) if matrix.static else None
        layout = item.layout if item is not None else layout_of(matrix, self.machine)
        copies = f", {item.copies} copies" if item is not None and item.copies > 1 else ""
        packed = f", {layout.packed} groups in an array" if layout.packed > 1 else ""
        what = "in" if item is not None and item.resident else "written to"
        return f"{matrix.k} x {matrix.n} weights {what} {layout.arrays} array{'s' if layout.arrays != 1 else ''}{packed}{copies}"

    def _product(self, matrix: Matrix, streamed: bool) -> None:
        """Add one product: its cycles, joules and bytes; ``streamed``: vectors or digital work read what it holds, too."""
        machine = self.machine
        source = self.operator.internal.get(matrix.source) or self.tensors[matrix.source]
        density = event_density(self.operator, source)
        active = min(1.0, max(0.0, float(self.operator.attributes.get(ACTIVE, 1.0)))) if machine.skip_empty else 1.0
        item = self.allocation.classes[matrix.key] if matrix.static else None
        layout = item.layout if item is not None else layout_of(matrix, machine)
        pace = pace_of(matrix, layout, machine)
        products = max(1, ceil(matrix.products * active)) if matrix.products else 0
        passes = 1
        if item is None or not item.resident:
            room = max(1, self.allocation.free)
            passes = -(-layout.arrays // room)
            self._written(matrix, layout, passes, streamed)
        spent = turns(products, item.copies if item is not None else 1)
        self.array_cycles += pace.cycles(spent) * passes
        self.turns = max(self.turns, spent)
        self.executed += matrix.macs * density
        energy = product_energy(machine, layout, matrix, density / active if active else density)
        if not energy:
            self.notes["the spec states no energy of any part of its arrays: counted as zero"] = None
        for part, joules in energy.items():
            action = f"{self.unit.name}.{part}.joule"
            self.actions[action] = self.actions.get(action, 0.0) + joules * (matrix.products * active if active else products)
        self._buffered(matrix, products)
        self._crossed(matrix, item)

    def _written(self, matrix: Matrix, layout: Layout, passes: int, streamed: bool) -> None:
        self.passes = max(self.passes, passes)
        self.writes += write_cycles(layout, self.machine)
        action = f"{self.unit.name}.write.joule"
        self.actions[action] = self.actions.get(action, 0.0) + write_energy(self.machine, layout)
        if not self.machine.write_j:
            self.notes["the spec states no energy of writing (write.energy): counted as zero"] = None
        if matrix.static:
            self.weights[matrix.weight] = self.tensors[matrix.weight].stored_bytes
            self.notes["its weights do not fit beside the others and are written to arrays during the run"] = None
        elif matrix.weight in self.reads and not streamed:  # each pass writes a part of it, which comes in for that pass only
            self.weights[matrix.weight] = self.reads[matrix.weight]

    def _buffered(self, matrix: Matrix, products: int) -> None:
        """Bytes between the on-chip memory and the arrays: each vector once, each result once."""
        self.read += ceil(products * matrix.groups * matrix.k * matrix.input_format.stored_bits / 8)
        self.written += ceil(products * matrix.groups * matrix.n * matrix.output_bits / 8)

    def _crossed(self, matrix: Matrix, item: Class | None) -> None:
        """Vectors that go on to the next chip because the class's arrays lie on both; the rounds of a repeat share them evenly."""
        if item is None or not item.crossings or self.machine.chip_link not in self.hardware.links:
            return
        link = self.hardware.links[self.machine.chip_link]
        size = matrix.groups * matrix.k * matrix.products * matrix.input_format.stored_bits / 8
        share = item.crossings / max(1, item.instances)
        seconds = size * share / link.bandwidth_bytes_per_s + link.latency_s * share
        self.crossing += ceil(seconds * self.machine.clock_hz)
        action = f"{link.name}.byte"
        self.actions[action] = self.actions.get(action, 0.0) + size * share

    def _vector(self, nests: list[Nest], vector: ComputeUnit) -> int:
        """Cycles of the digital unit for ``nests``; books their operations."""
        cycles = 0.0
        for nest in nests:
            name = vector_format(nest_format(nest, self.tensors, self.operator.internal), vector)
            assert name is not None
            cycles += vector_cycles(nest, name, vector, self.hardware)
            action = f"{vector.name}.vector.{name}"
            self.actions[action] = self.actions.get(action, 0.0) + vector_operations(nest, vector)
        return ceil(cycles)
