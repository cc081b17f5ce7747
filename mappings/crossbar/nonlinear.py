"""Nonlinear converters: a ramp whose steps follow the inverse of a function, so that a conversion gives the function's value.

``adc: {type: nonlinear_ramp, functions: [sigmoid, tanh]}`` computes the elementwise functions that follow a product while it converts the
sums, for the 2^n steps of the ramp that the conversion takes anyway (Yang et al., Nat. Commun. 16, 2025, arXiv 2411.18271). Of an LSTM
cell whose gates come from one product (of [x, h] and one matrix) the gates' functions are done in that product's conversions; tanh(c) is a
conversion of its own (c drives the rows of a ramp array: a phase of input and a ramp), and what is left (f c + i g, and o tanh(c)) is
digital. The digital alternative is the same spec with a linear converter: everything then runs on the vector unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import ceil

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.functions import OPERATIONS
from mappings.compulsory import compulsory_reads, compulsory_writes
from mappings.crossbar.costs import product_energy
from mappings.crossbar.machine import Machine
from mappings.crossbar.slicing import Layout, Matrix
from mappings.crossbar.timing import Pace, pace_of
from mappings.crossbar.work import Work, alternative_of
from mappings.dataflow import MappedOperator
from mappings.rates import nest_format, vector_cycles, vector_format, vector_unit
from workloads.graph import Nest, Operator, OperatorGraph, Tensor

GATE_FUNCTIONS: Mapping[str, Mapping[str, int]] = {"LSTM": {"sigmoid": 3, "tanh": 1}, "RNN": {"tanh": 1}}
"""Functions of the gates of a cell, per hidden value."""
STATE_FUNCTIONS: Mapping[str, Mapping[str, int]] = {"LSTM": {"tanh": 1}, "RNN": {}}
"""Functions of the state that a conversion of its own computes."""


def whole_sums(matrix: Matrix, layout: Layout, machine: Machine) -> bool:
    """Whether a column's conversion sees a whole sum: one array, one set of rows, one phase and no bit slices; a function of parts of a
    sum says nothing of the sum's function."""
    reading = machine.reading
    slices = -(-reading.weight_bits // reading.bits_per_cell)
    return layout.row_parts == 1 and slices == 1 and reading.sets(layout.deepest) == 1 and reading.phases(matrix.input_format.bits) == 1


def absorbed(nest: Nest, matrices: Iterable[tuple[Matrix, Layout]], machine: Machine) -> bool:
    """Whether the converter computes the function of ``nest`` as it converts the sums of the products before it."""
    return nest.function in machine.functions and all(whole_sums(matrix, layout, machine) for matrix, layout in matrices)


def cell_work(
    operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit, hardware: Hardware, machine: Machine,
    held: Iterable[tuple[Matrix, Layout]],
) -> MappedOperator | None:  # fmt: skip
    """A recurrent cell on converters that compute its functions; None where they do not, or its gates are not those of one product.

    Args:
        held: the matrices in arrays; those as wide as the gates are taken to make them.
    """
    vector = vector_unit(unit, hardware)
    if vector is None or not _converts(operator, tensors, machine, held):
        return None
    kind, nest = _cell(operator), operator.nests[0]
    done = [*GATE_FUNCTIONS[kind].items(), *STATE_FUNCTIONS[kind].items()]
    left = max(0, nest.vector_ops - sum(OPERATIONS[function] * times for function, times in done))
    name = vector_format(nest_format(nest, tensors, operator.internal), vector)
    assert name is not None
    digital = vector_cycles(nest, name, vector, hardware, cost=float(left)) if left else 0.0
    actions = {f"{vector.name}.vector.{name}": float(left * nest.points)}
    state = tensors[operator.inputs[-1]]
    cycles = 0
    if STATE_FUNCTIONS[kind]:
        pace, energy = converted(nest.points, state.format.bits, state, machine)
        cycles = pace.cycles(1)
        actions.update({f"{unit.name}.{part}.joule": joules for part, joules in energy.items()})
    reads, writes = compulsory_reads(operator, tensors), compulsory_writes(operator, tensors)
    work = Work(cycles, 1, ceil(digital), reads, writes, actions=actions)
    alternative = alternative_of("its functions are done by the converters", work, unit, vector, "", hardware)
    return MappedOperator(
        operator.name, operator.kind, unit.name, (alternative,), vector_ops=operator.vector_ops, reads=reads, writes=writes
    )


def _cell(operator: Operator) -> str:
    """``LSTM``, ``GRU`` or ``RNN`` of a recurrent cell; empty of any other operator."""
    return str(operator.attributes.get("cell", ""))


def _converts(operator: Operator, tensors: Mapping[str, Tensor], machine: Machine, held: Iterable[tuple[Matrix, Layout]]) -> bool:
    """Whether an operator is a cell whose gates come from one product, and converters compute all of its functions."""
    kind = _cell(operator)
    if kind not in GATE_FUNCTIONS or len(operator.nests) != 1:
        return False
    gates = {operand.tensor for operand in operator.nests[0].reads[: 4 if kind == "LSTM" else 1]}
    if not {*GATE_FUNCTIONS[kind], *STATE_FUNCTIONS[kind]} <= machine.functions or len(gates) != 1:
        return False
    width = tensors[next(iter(gates))].shape[-1]
    makers = [(matrix, layout) for matrix, layout in held if matrix.n == width]
    return bool(makers) and all(whole_sums(matrix, layout, machine) for matrix, layout in makers)


def state_conversions(
    graph: OperatorGraph, unit: ComputeUnit, hardware: Hardware, machine: Machine, held: Iterable[tuple[Matrix, Layout]]
) -> Iterator[tuple[str, int, int]]:
    """(operator that makes the gates, cycles of its converters from one state to the next, times per input) of each cell of ``graph``.

    The state goes through the converters of the arrays that hold the gates' weights, which meanwhile convert nothing else.
    """
    if not machine.functions or vector_unit(unit, hardware) is None:
        return
    held = tuple(held)
    made: dict[str, str] = {}
    for operator, holder, times in graph.walk():
        source = made.get(operator.inputs[0], operator.name) if operator.kind == "view" else operator.name
        made.update(dict.fromkeys(operator.outputs, source))
        if not STATE_FUNCTIONS.get(_cell(operator)) or not _converts(operator, holder.tensors, machine, held):
            continue
        nest, state = operator.nests[0], holder.tensors[operator.inputs[-1]]
        pace, _ = converted(nest.points, state.format.bits, state, machine)
        yield made.get(nest.reads[0].tensor, operator.name), pace.interval, times


def converted(values: int, bits: int, tensor: Tensor, machine: Machine) -> tuple[Pace, dict[str, float]]:
    """(pace, joules by component) of ``values`` through the converters by themselves: each drives a row, its column converts."""
    columns = min(values, machine.columns)
    arrays = -(-values // machine.columns)
    layout = Layout(arrays, 1, 1, 1, 1, columns, values, values, values, values, arrays)
    matrix = Matrix(0, "", tensor.name, "", 1, values, 1, 1, tensor.format, machine.reading.weight_bits, bits, True)
    return pace_of(matrix, layout, machine), product_energy(machine, layout, matrix)
