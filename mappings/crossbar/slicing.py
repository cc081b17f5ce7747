"""Weights on arrays: which part of an operator is a matrix that arrays hold, and how many arrays it takes.

A matrix of K x N weights lies with K along the rows and N along the columns, ``cells_per_weight`` neighbouring columns to a weight (bit
slices, and the second column of a differential pair). It is cut into ``ceil(K / rows)`` row parts, whose sums are added digitally, and
``ceil(N / whole weights per row)`` column parts, which all take the same inputs. Groups of a grouped convolution are matrices of their
own: several that fit share an array as a block diagonal (cells off the diagonal stay empty), or each has arrays to itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from hwspecs.vocabulary.formats import NumberFormat
from hwspecs.vocabulary.records import dataclass
from mappings.crossbar.machine import Machine
from workloads.graph import Nest, Operator, Role, Tensor, as_matmul

DENSITY, ACTIVE = "event_density", "active_share"
"""Attributes of an operator: share of its input values that are events, and share of its input vectors with any event."""
Key = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix product of an operator with one operand in arrays.

    Attributes:
        nest: index of its nest; ``weight``, ``source``, ``output``: tensors that arrays hold, that streams, that results.
        k, n: rows and columns in weights; ``groups``: matrices side by side; ``products``: vectors that stream through each.
        input_format: of the streaming operand; ``weight_bits``: of the held one.
        static: the held operand is a weight, written before the run.
        outputs: results of all products.
    """

    nest: int
    weight: str
    source: str
    output: str
    k: int
    n: int
    groups: int
    products: int
    input_format: NumberFormat
    weight_bits: int
    output_bits: int
    static: bool

    @property
    def key(self) -> Key:
        """What two matrices have in common that arrays treat alike."""
        return self.k, self.n, self.groups, self.products, self.input_format.bits

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all products."""
        return self.k * self.n * self.groups * self.products


@dataclass(frozen=True, slots=True)
class Layout:
    """A matrix (all groups) on arrays; counts are of all its arrays together.

    Attributes:
        arrays: that hold it once; ``row_parts``, ``column_parts``: of one group; ``packed``: groups in one array.
        deepest, widest: rows and columns in use of the fullest array.
        driven_rows: rows that inputs are driven on; ``columns``: in use; ``cells``: that hold weights.
        column_sets: columns times the sets of rows that they are read in; ``array_sets``: arrays times sets.
    """

    arrays: int
    row_parts: int
    column_parts: int
    packed: int
    deepest: int
    widest: int
    driven_rows: int
    columns: int
    cells: int
    column_sets: int
    array_sets: int


def matrices_of(operator: Operator, tensors: Mapping[str, Tensor]) -> tuple[Matrix, ...] | str:
    """The products of an operator in order; or the reason why arrays cannot run them."""
    found = [_matrix(place, nest, operator, tensors) for place, nest in enumerate(operator.nests) if nest.function == "mac"]
    if not found:
        return f"{operator.kind} holds no matrix product"
    reasons = [item for item in found if isinstance(item, str)]
    if reasons:
        return reasons[0]
    return tuple([item for item in found if not isinstance(item, str)])


def _matrix(place: int, nest: Nest, operator: Operator, tensors: Mapping[str, Tensor]) -> Matrix | str:
    if len(nest.reads) != 2 or len(nest.writes) != 1:
        return f"its multiply-accumulate nest has {len(nest.reads)} operands and {len(nest.writes)} results, an array takes two and one"
    view = as_matmul(nest)
    first, second, out = (operator.internal.get(name) or tensors[name] for name in (view.a, view.b, view.out))
    held = first.role == Role.WEIGHT and second.role != Role.WEIGHT  # the weights may stand first
    weight, source = (first, second) if held else (second, first)
    products, n = (view.n, view.m) if held else (view.m, view.n)
    changing = weight.role != Role.WEIGHT or operator.attributes.get("pass") is not None
    return Matrix(
        place, weight.name, source.name, out.name, view.k, n, view.batch, products, source.format, weight.format.bits,
        out.format.bits, not changing,
    )  # fmt: skip


def event_density(operator: Operator, source: Tensor) -> float:
    """Share of the streaming operand's values that are driven: the operator's ``event_density``, else what its sparsity keeps."""
    stated = operator.attributes.get(DENSITY)
    if stated is not None:
        return min(1.0, max(0.0, float(stated)))
    return source.sparsity.density if source.sparsity.kind != "dense" else 1.0


def layout_of(matrix: Matrix, machine: Machine) -> Layout:
    """How ``matrix`` lies on arrays of ``machine``."""
    reading, rows, columns = machine.reading, machine.rows, machine.columns
    each, held = reading.cells_per_weight, machine.weights_per_row
    cells = matrix.groups * matrix.k * matrix.n * each
    packed = 1
    if machine.diagonal and matrix.groups > 1 and held:
        packed = max(1, min(rows // matrix.k, held // matrix.n, matrix.groups))
    if packed > 1:
        arrays, sets = ceil(matrix.groups / packed), reading.sets(packed * matrix.k)
        used = matrix.groups * matrix.n * each
        deep, wide = packed * matrix.k, packed * matrix.n * each
        return Layout(arrays, 1, 1, packed, deep, wide, matrix.groups * matrix.k, used, cells, used * sets, arrays * sets)
    row_parts = ceil(matrix.k / rows)
    column_parts = ceil(matrix.n / held) if held else matrix.n * ceil(each / columns)
    rest = matrix.k - (row_parts - 1) * rows
    sets = (row_parts - 1) * reading.sets(rows) + reading.sets(rest)
    used = matrix.groups * matrix.n * each
    widest = min(matrix.n, held) * each if held else columns
    return Layout(
        matrix.groups * row_parts * column_parts, row_parts, column_parts, 1, min(rows, matrix.k), widest,
        matrix.groups * matrix.k * column_parts, used * row_parts, cells, used * sets, matrix.groups * column_parts * sets,
    )  # fmt: skip


def bits_needed(machine: Machine, rows: int, input_bits: int) -> int:
    """Bits of a converter that tells all sums of a column of ``rows`` cells apart, less what an encoding saves.

    ``log2(rows (2^cell bits - 1) (2^bits per phase - 1) + 1)``; ISAAC, section 5: R + v + w bits, less one for its encoding.
    """
    from math import log2

    reading = machine.reading
    phase = min(input_bits, reading.input_bits) if reading.driver == "pulse_width" else min(reading.driver_bits, input_bits)
    levels = min(rows, reading.rows_per_read) * (2**reading.bits_per_cell - 1) * (2**phase - 1)
    return max(1, ceil(log2(levels + 1)) - machine.saved_bits)
