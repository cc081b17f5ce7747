"""The core of ``GraphBuilder``: tensors, nodes, inputs and outputs of a graph under construction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwspecs.vocabulary.errors import ModelError
from hwspecs.vocabulary.formats import NumberFormat, number_format
from hwspecs.vocabulary.sparsity import DENSE, Sparsity
from workloads.graph import Nest, Operator, OperatorGraph, Repeat, Role, Tensor

Attributes = Mapping[str, int | float | str | bool]
NO_ATTRIBUTES: Attributes = {}


class BuilderCore:
    """A graph under construction; ``build`` freezes it.

    Args:
        name: the model's name.
        format: number format of tensors for which none is stated.
        meta: see ``OperatorGraph.meta``.
    """

    def __init__(self, name: str, format: str | NumberFormat = "bf16", meta: Mapping[str, str | int | float] | None = None) -> None:
        self.name = name
        self.format = number_format(format) if isinstance(format, str) else format
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Operator | Repeat] = []
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.notes: list[str] = []
        self.meta = dict(meta or {})

    # -- tensors ---------------------------------------------------------------------------------------------------

    def tensor(
        self, name: str, shape: Sequence[int], *, format: str | NumberFormat | None = None, role: Role = Role.ACTIVATION,
        sparsity: Sparsity = DENSE, alias_of: str | None = None, region_bytes: int = 0,
    ) -> str:  # fmt: skip
        """Define a tensor and return its name.

        Raises:
            ModelError: the name is taken.
        """
        if name in self.tensors:
            raise ModelError(f"tensor {name!r} is defined twice", where=self.name)
        stored = self.format if format is None else number_format(format) if isinstance(format, str) else format
        self.tensors[name] = Tensor(name, tuple(shape), stored, role, sparsity, alias_of, region_bytes)
        return name

    def input(self, name: str, shape: Sequence[int], *, format: str | None = None, role: Role = Role.ACTIVATION) -> str:
        """Define a tensor that enters the graph (activations or, with ``role=Role.INDEX``, token ids in int32)."""
        self.inputs.append(name)
        return self.tensor(name, shape, format="int32" if role is Role.INDEX and format is None else format, role=role)

    def weight(self, name: str, shape: Sequence[int], *, format: str | None = None) -> str:
        """Define a weight."""
        return self.tensor(name, shape, format=format, role=Role.WEIGHT)

    def output(self, *names: str) -> None:
        """Mark tensors as outputs of the graph."""
        for name in names:
            self[name]
            self.outputs.append(name)

    def __getitem__(self, name: str) -> Tensor:
        try:
            return self.tensors[name]
        except KeyError:
            raise ModelError(f"tensor {name!r} is not defined", where=self.name) from None

    def _result(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        shape = tuple(shape)
        found = self.tensors.get(name)
        if found is None:
            found = self.tensors[name] = Tensor(name, shape, like.format)
        elif found.shape != shape:
            raise ModelError(f"tensor {name!r} has shape {found.shape}, the operator makes {shape}", where=self.name)
        return found

    # -- nodes -----------------------------------------------------------------------------------------------------

    def add(self, node: Operator | Repeat) -> None:
        """Append an operator or repeat as it is."""
        self.nodes.append(node)

    def repeat(
        self, name: str, body: OperatorGraph, count: int, *, carried: Sequence[tuple[str, str]] = (), shared: Sequence[str] = (),
        inputs: Mapping[str, str] | None = None, outputs: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Append ``count`` equal copies of ``body``; output tensors that are not defined yet take the shape they have in the body."""
        for inner, outer in (outputs or {}).items():
            if outer not in self.tensors:
                made = body.tensors[inner]
                self.tensors[outer] = Tensor(outer, made.shape, made.format, made.role)
        self.nodes.append(Repeat(name, body, count, tuple(carried), tuple(shared), dict(inputs or {}), dict(outputs or {})))

    def operator(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], nests: Sequence[Nest] = (), *, name: str | None = None,
        internal: Mapping[str, Tensor] | None = None, attributes: Attributes = NO_ATTRIBUTES, read_bytes: Mapping[str, int] | None = None,
        origin: str = "",
    ) -> None:  # fmt: skip
        """Append an operator made by hand."""
        self.nodes.append(
            Operator(
                name or outputs[0], kind, tuple(inputs), tuple(outputs), tuple(nests), internal or {}, attributes, read_bytes or {}, origin
            )
        )

    def build(self, *, check: bool = False) -> OperatorGraph:
        """The graph; ``check=True`` verifies it (``OperatorGraph.check``)."""
        graph = OperatorGraph(
            self.name, self.tensors, tuple(self.nodes), tuple(self.inputs), tuple(self.outputs), tuple(self.notes), self.meta
        )
        if check:
            graph.check()
        return graph


def per_axis(value: Sequence[int] | int, rank: int) -> tuple[int, ...]:
    """One value per spatial axis."""
    return (value,) * rank if isinstance(value, int) else tuple(value)
