"""Delta activations: layers work on what changed since the last frame, and keep their sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from math import ceil
from pathlib import Path

from hwspecs.vocabulary.errors import ArgumentError, CyclewrightError, ErrorList, UnknownNameError
from hwspecs.vocabulary.formats import NumberFormat, number_format
from hwspecs.vocabulary.sparsity import Sparsity
from hwspecs.vocabulary.suggest import did_you_mean
from workloads.counting import stored_tensors
from workloads.graph import Nest, Operand, Operator, OperatorGraph, Repeat, Role, Tensor
from workloads.nests import plain_axes, point_dims

_DELTA_OPS = 3
"""Vector operations per value: subtract the last frame, compare with the threshold, keep or drop."""
_HINT = "write one density in (0, 1], or the path of a YAML file that maps layers to densities"


@dataclass(frozen=True, slots=True)
class DeltaRule:
    """``density`` for layers whose name ``pattern`` matches (``*``, ``?``, ``[...]`` as in file names).

    ``where`` is its place, for errors.
    """

    pattern: str
    density: float
    where: str = "delta"


def parse_delta(given: str | float | Mapping[str, float]) -> tuple[DeltaRule, ...]:
    """Rules from a density, its text, a mapping of layers to densities, or the path of a YAML file with such a mapping.

    A later rule goes before an earlier one. All faults of a file are reported at once, each with its line.

    Raises:
        ArgumentError, ErrorList: not a density in (0, 1], or not a mapping.
    """
    if isinstance(given, Mapping):
        return tuple(DeltaRule(name, _density(value, "delta"), f"delta.{name}") for name, value in given.items())
    if isinstance(given, str) and given.strip().lower().endswith((".yaml", ".yml")):
        return _from_file(Path(given.strip()))
    return (DeltaRule("*", _density(given, "delta")),)


def _from_file(path: Path) -> tuple[DeltaRule, ...]:
    from hwspecs.vocabulary.located_yaml import load_yaml

    root = load_yaml(path, error=ArgumentError)
    if not isinstance(root.value, dict) or not root.value:
        raise ArgumentError("is not a mapping of layers to densities", where=str(root.mark), hint="write conv1: 0.3, one layer a line")
    rules: list[DeltaRule] = []
    errors: list[CyclewrightError] = []
    for name, node in root.items():
        try:
            rules.append(DeltaRule(name, _density(node.value, str(node.mark)), str(node.mark)))
        except ArgumentError as error:
            errors.append(error)
    if errors:
        raise ErrorList(errors)
    return tuple(rules)


def _density(value: object, where: str) -> float:
    density = 0.0
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            density = float(value)
        except ValueError:
            density = 0.0
    if not 0.0 < density <= 1.0:
        raise ArgumentError(f"{value!r} is not a density", where=where, hint=_HINT)
    return density


def delta(graph: OperatorGraph, density: str | float | Mapping[str, float]) -> OperatorGraph:
    """``graph`` on one more frame of a signal that changes little: layers with weights multiply only what changed.

    For each layer with a density below 1: the change of its input since the last frame, small ones dropped, is a tensor
    ``<input>.delta`` of that density (unstructured); its products are added to the layer's sums of the last frame, before
    bias and activation (sigma-delta networks, O'Connor and Welling, arXiv 1611.02024; DeltaRNN, Neil et al., arXiv 1612.05571; CBinfer,
    Cavigelli and Benini, arXiv 1704.04313). The last input and the sums (in full width) are states, read and written in each frame; of
    the input only the changed values are written back. What a unit saves depends on its rates for sparse operands: one that skips no
    zeros pays the states and saves nothing.

    Args:
        density: see ``parse_delta``.

    Raises:
        ArgumentError, ErrorList: the densities cannot be read.
        UnknownNameError: a rule names no layer of the graph.
    """
    rules = parse_delta(density)
    layers = sorted(_layers(graph))
    errors = [
        UnknownNameError(f"no layer {rule.pattern!r} in {graph.name}", where=rule.where, hint=did_you_mean(rule.pattern, layers))
        for rule in rules
        if not any(fnmatchcase(name, rule.pattern) for name in layers)
    ]
    if errors:
        raise errors[0] if len(errors) == 1 else ErrorList(errors)
    changed = _changed(graph, rules)
    held = sum(tensor.stored_bytes * times for tensor, times in stored_tensors(changed))
    held -= sum(tensor.stored_bytes * times for tensor, times in stored_tensors(graph))
    note = f"delta activations: last inputs and sums hold {held} bytes"
    text = density if isinstance(density, str | float | int) else ", ".join(f"{rule.pattern}={rule.density:g}" for rule in rules)
    return replace(changed, notes=(*graph.notes, note), meta={**graph.meta, "delta": str(text)})


def _layers(graph: OperatorGraph) -> set[str]:
    """Names of the operators that multiply an activation by a weight."""
    return {node.name for node, holder, _ in graph.walk() if _product(node, holder.tensors) is not None}


def _product(node: Operator, tensors: Mapping[str, Tensor]) -> int | None:
    """Place of the nest that multiplies an activation of the graph by a weight; None where there is not exactly one such nest."""
    places = [place for place, nest in enumerate(node.nests) if nest.function == "mac"]
    if len(places) != 1 or len(node.nests[places[0]].reads) != 2:
        return None
    a, b = (tensors.get(operand.tensor) for operand in node.nests[places[0]].reads)
    if a is None or b is None or b.role is not Role.WEIGHT or a.role is Role.WEIGHT:
        return None
    return places[0]


@dataclass(slots=True)
class _Writer:
    """A graph being rewritten; ``deltas``: (input, density) to the tensor of its change."""

    tensors: dict[str, Tensor]
    nodes: list[Operator | Repeat] = field(default_factory=list)
    deltas: dict[tuple[str, float], str] = field(default_factory=dict)

    def change_of(self, name: str, density: float) -> str:
        """The change of tensor ``name`` since the last frame, made once for all layers that read it at one density."""
        found = self.deltas.get((name, density))
        if found is not None:
            return found
        tensor = self.tensors[name]
        several = sum(1 for other, _ in self.deltas if other == name)
        made = f"{name}.delta{several or ''}"
        last = Tensor(f"{made}.last", tensor.shape, tensor.format, Role.STATE)
        new = replace(last, name=f"{last.name}_new", alias_of=last.name, region_bytes=max(1, ceil(density * last.stored_bytes)))
        self.tensors[made] = Tensor(made, tensor.shape, tensor.format, sparsity=Sparsity("unstructured", density))
        self.tensors.update({last.name: last, new.name: new})
        dims = point_dims(len(tensor.shape))
        whole = plain_axes(dims)
        step = Nest(
            tuple(zip(dims, tensor.shape, strict=True)), "sub", (Operand(name, whole), Operand(last.name, whole)),
            (Operand(made, whole), Operand(new.name, whole)), _DELTA_OPS,
        )  # fmt: skip
        self.nodes.append(
            Operator(made, "elementwise", (name, last.name), (made, new.name), (step,), attributes={"function": "delta"}, origin="delta")
        )
        self.deltas[name, density] = made
        return made

    def layer(self, node: Operator, place: int, density: float) -> None:
        """``node`` on the change of its input; its product is added to the sums of the last frame."""
        nest = node.nests[place]
        source, target = nest.reads[0], nest.writes[0]
        made = self.change_of(source.tensor, density)
        sums = node.internal.get(target.tensor) or self.tensors[target.tensor]
        change = Tensor(f"{node.name}.change", sums.shape, sums.format)
        old = Tensor(f"{node.name}.sums", sums.shape, _sum_format(sums.format), Role.STATE)
        new = replace(old, name=f"{old.name}_new", alias_of=old.name, region_bytes=old.stored_bytes)
        self.tensors.update({old.name: old, new.name: new})
        product = replace(
            nest, reads=(Operand(made, source.axes), nest.reads[1]), writes=(Operand(change.name, target.axes),)
        )  # fmt: skip
        dims = point_dims(len(sums.shape))
        whole = plain_axes(dims)
        added = Nest(
            tuple(zip(dims, sums.shape, strict=True)), "add", (Operand(change.name, whole), Operand(old.name, whole)),
            (Operand(target.tensor, whole), Operand(new.name, whole)), 1,
        )  # fmt: skip
        nests = (*node.nests[:place], product, added, *node.nests[place + 1 :])
        others = {operand.tensor for at, other in enumerate(node.nests) if at != place for operand in other.reads}
        inputs = [made if name == source.tensor and name not in others else name for name in node.inputs]
        if made not in inputs:
            inputs.insert(0, made)
        reads = {name: count for name, count in node.read_bytes.items() if name in inputs}
        self.nodes.append(
            replace(
                node, inputs=(*inputs, old.name), outputs=(*node.outputs, new.name), nests=nests,
                internal={**node.internal, change.name: change}, read_bytes=reads,
            )
        )  # fmt: skip


def _sum_format(format: NumberFormat) -> NumberFormat:
    """Sums that live from frame to frame keep their full width, or rounding errors would add up: int32, and at least 16 bits of a float."""
    if format.family == "int":
        return number_format("int32")
    return format if format.bits >= 16 else number_format("bf16")


def _changed(graph: OperatorGraph, rules: tuple[DeltaRule, ...]) -> OperatorGraph:
    writer = _Writer(dict(graph.tensors))
    for node in graph.nodes:
        if isinstance(node, Repeat):
            writer.nodes.append(replace(node, body=_changed(node.body, rules)))
            continue
        place = _product(node, graph.tensors)
        taking = [rule.density for rule in rules if fnmatchcase(node.name, rule.pattern)]
        if place is None or not taking or taking[-1] == 1.0:
            writer.nodes.append(node)
        else:
            writer.layer(node, place, taking[-1])
    return replace(graph, tensors=writer.tensors, nodes=tuple(writer.nodes))
