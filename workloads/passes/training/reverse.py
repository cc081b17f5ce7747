"""The reverse of a graph: gradients of all operators, repeats reversed as repeats, recomputation where it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import MappingProxyType

from workloads.graph import Nest, Operand, Operator, OperatorGraph, Repeat, Role, Tensor
from workloads.passes.training import blocks, linear, vector
from workloads.passes.training.options import Settings
from workloads.passes.training.tape import Tape
from workloads.passes.training.wants import body_wanted

Rule = Callable[[Tape, Operator, dict[str, str]], None]
RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "conv": linear.products, "gemm": linear.products, "embedding": linear.lookup, "view": linear.views, "copy": vector.copies,
        "attention": blocks.attention, "elementwise": vector.elementwise, "norm": vector.norm, "softmax": vector.softmax,
        "pool": vector.pool, "reduce": vector.pool, "topk": vector.choice,
    }
)  # fmt: skip
"""Kind of operator to the rule that writes its gradients."""


def backward(tape: Tape, node: Operator) -> None:
    """Write the operators that send gradients from the outputs of ``node`` to its inputs.

    Raises:
        UnsupportedError: the operator has no known gradient; names it.
    """
    given = {name: made for name in node.outputs if name in tape.wants and (made := tape.gradient(name)) is not None}
    if not given or not any(name in tape.wants for name in node.inputs):
        return
    rule = blocks.batchnorm if node.attributes.get("batch_statistics") else RULES.get(node.kind)
    if node.kind == "reduce" and node.attributes.get("norm") == "batchnorm":
        return  # mean and variance: their gradients are in that of the normalization
    if rule is None:
        raise vector.unknown(node, node.nests[0].function if node.nests else "no loop nest")
    rule(tape, node, given)


def renamed(node: Operator, names: Mapping[str, str], prefix: str = "", phase: str = "") -> Operator:
    """``node`` on other tensors; names that ``names`` lacks stay."""

    def operands(side: tuple[Operand, ...]) -> tuple[Operand, ...]:
        return tuple(replace(item, tensor=names[item.tensor]) if item.tensor in names else item for item in side)

    nests = tuple(Nest(nest.dims, nest.function, operands(nest.reads), operands(nest.writes), nest.vector_ops) for nest in node.nests)
    facts = {**node.attributes, "pass": phase} if phase else node.attributes
    return replace(
        node, name=prefix + node.name, inputs=tuple(names.get(name, name) for name in node.inputs),
        outputs=tuple(names.get(name, name) for name in node.outputs), nests=nests, attributes=facts,
        read_bytes={names.get(name, name): size for name, size in node.read_bytes.items()},
    )  # fmt: skip


def remade(forward: Sequence[Operator], backward: Sequence[Operator], kept: Callable[[Operator, str], bool]) -> list[Operator]:
    """The operators of ``forward`` that must run again because ``backward`` reads what they make and it is not kept."""
    needed = {name for node in backward for name in node.inputs}
    again: list[Operator] = []
    for node in reversed(forward):
        if any(name in needed and not kept(node, name) for name in node.outputs):
            again.append(node)
            needed.update(node.inputs)
    return again[::-1]


def _late(views: Sequence[Operator], nodes: Sequence[Operator]) -> list[Operator]:
    """``nodes`` with each of ``views`` (in order) right before its first reader."""
    waiting = {name: node for node in views for name in node.outputs}
    done: list[Operator] = []

    def place(name: str) -> None:
        view = waiting.get(name)
        if view is not None:
            for output in view.outputs:
                del waiting[output]
            for source in view.inputs:
                place(source)
            done.append(view)

    for node in nodes:
        for name in node.inputs:
            place(name)
        done.append(node)
    return done


@dataclass(slots=True)
class Reverse:
    """The reverse of one graph under construction.

    Attributes:
        tape: of the enclosing graph.
        forward: name of a repeat to the repeat as the forward pass runs it, with what it keeps for the backward pass.
        weights: name of a repeat to its trained weights: (weight, gradient) in the body; those of the graph itself under "".
    """

    settings: Settings
    tape: Tape
    forward: dict[str, Repeat] = field(default_factory=dict)
    weights: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    def run(self, nodes: Sequence[Operator | Repeat], segments: Sequence[int] = ()) -> None:
        """Reverse ``nodes``; ``segments``: indices at which a segment begins whose tensors are made again (the last one is kept)."""
        ends = dict(pairwise(segments))
        places = sorted(ends, reverse=True)
        done = len(nodes)
        for start in places:
            self._stretch(nodes[ends[start] : done])
            self._again([node for node in nodes[start : ends[start]] if isinstance(node, Operator)])
            done = start
        self._stretch(nodes[:done])
        trained = [name for name, tensor in self.tape.tensors.items() if tensor.role is Role.WEIGHT and name in self.tape.wants]
        found = [(name, made) for name in trained if (made := self.tape.gradient(name)) is not None]
        self.weights[""] = tuple(found)

    def _stretch(self, nodes: Sequence[Operator | Repeat]) -> None:
        for node in reversed(nodes):
            if isinstance(node, Repeat):
                self._repeat(node)
            else:
                backward(self.tape, node)

    def _again(self, nodes: list[Operator]) -> None:
        """Reverse a segment of which only what enters and leaves is kept: what its gradients read is made again first."""
        outer = self.tape.nodes
        made = {name for node in nodes for name in node.outputs}
        leaving = {name for node in nodes[-1:] for name in node.outputs}
        self.tape.nodes = []
        self._stretch(nodes)
        written = [node for node in self.tape.nodes if isinstance(node, Operator)]
        again = remade(nodes, written, lambda _node, name: name in leaving)
        names = {name: f"{name}.again" for node in again for name in node.outputs if name in made and name not in leaving}
        for name, new in names.items():
            tensor = self.tape.tensors[name]
            alias = names.get(tensor.alias_of, tensor.alias_of) if tensor.alias_of else None
            self.tape.tensors[new] = replace(tensor, name=new, alias_of=alias)
        repeated = [renamed(node, names, "again.", "recompute") for node in again]
        self.tape.nodes = [*outer, *repeated, *(renamed(node, names) for node in written)]

    def _repeat(self, repeat: Repeat) -> None:
        """A repeat's reverse: a repeat over the same layers, last first, that reads what each round has kept.

        Carried tensors hand their gradients on; weights, their gradients and what is kept are stacked: one tensor with a slice per round.
        """
        tape, body = self.tape, repeat.body
        inner = Tape(
            f"{repeat.name}.backward", dict(body.tensors), body_wanted(repeat, self.settings.trains, tape.wants), tape.gradient_format
        )
        entering: dict[str, str] = {}
        for output, _ in repeat.carried:
            outer = repeat.outputs.get(output)
            coming = tape.gradient(outer) if outer is not None else None
            if coming is not None and output in inner.wants:
                name = inner.new(f"{output}.coming", body.tensors[output])
                inner.sent[output] = [name]
                entering[name] = coming
        if not entering:
            return
        operators = [node for node in body.nodes if isinstance(node, Operator)]
        for node in reversed(operators):
            backward(inner, node)
        carried, leaving = [], {}
        for output, name in repeat.carried:
            made = inner.gradient(name) if name in inner.wants else None
            if made is not None and f"{output}.coming" in inner.tensors:
                carried.append((made, f"{output}.coming"))
                if repeat.inputs[name] in tape.wants:
                    leaving[made] = tape.new(f"{repeat.name}.gradient.{name}", tape.tensors[repeat.inputs[name]])
                    tape.give(repeat.inputs[name], leaving[made])
        self._close(repeat, inner, operators, entering, tuple(carried), leaving)

    def _close(
        self, repeat: Repeat, inner: Tape, operators: list[Operator], entering: dict[str, str], carried: tuple[tuple[str, str], ...],
        leaving: dict[str, str],
    ) -> None:  # fmt: skip
        body, recompute = repeat.body, self.settings.recompute
        written = [node for node in inner.nodes if isinstance(node, Operator)]
        makers = {name: node for node in operators for name in node.outputs}
        again = remade(operators, written, lambda node, _: not recompute and node.kind != "view")
        nodes = [replace(node, attributes={**node.attributes, "pass": "recompute"}) for node in again]
        nodes = nodes + written if recompute else _late(nodes, written)
        made = {name for node in nodes for name in node.outputs}
        read = dict.fromkeys(name for node in nodes for name in node.inputs if name not in made)
        given = {name: output for output, name in repeat.carried}
        stacked, kept, shifted, shared = {}, dict[str, str](), [], []
        for name in read:
            tensor = body.tensors.get(name)
            if name in entering:
                continue
            if name in given:  # what a round takes in is what the round before has made
                stacked[name] = kept[given[name]] = self._stack(repeat, given[name], body.tensors[given[name]])
                shifted.append(name)
                entering[name] = repeat.inputs[name]
            elif name in repeat.inputs:
                entering[name] = repeat.inputs[name]
                shared.extend([name] if name in repeat.shared else [])
            elif tensor is not None and name in makers:
                stacked[name] = kept[name] = self._stack(repeat, name, tensor)
            elif tensor is not None:
                stacked[name] = self._stack(repeat, name, tensor)
        found = tuple(
            (name, gradient) for name, tensor in body.tensors.items()
            if tensor.role is Role.WEIGHT and name in inner.wants and (gradient := inner.gradient(name)) is not None
        )  # fmt: skip
        for _, gradient in found:
            stacked[gradient] = self._stack(repeat, gradient, inner.tensors[gradient])
        used = {name for node in nodes for name in (*node.inputs, *node.outputs)}
        behind = {tensor.alias_of for name in used if (tensor := inner.tensors[name]).alias_of is not None}
        tensors = {name: tensor for name, tensor in inner.tensors.items() if name in used or name in behind}
        outputs = tuple(dict.fromkeys((*(name for name, _ in carried), *(gradient for _, gradient in found))))
        reverse = OperatorGraph(inner.name, tensors, tuple(nodes), tuple(entering), outputs)
        self.tape.nodes.append(
            Repeat(
                f"{repeat.name}.backward", reverse, repeat.count, carried, tuple(shared), entering, leaving, stacked, True, tuple(shifted)
            )
        )  # fmt: skip
        fixed = {*repeat.inputs, *makers}
        for name, tensor in body.tensors.items():
            if (
                tensor.role is Role.WEIGHT
                and name not in fixed
                and tensor.alias_of is None
                and any(name in node.inputs for node in operators)
            ):
                kept[name] = self._stack(repeat, name, tensor)
        self.forward[repeat.name] = replace(repeat, stacked={**repeat.stacked, **kept})
        self.weights[repeat.name] = found

    def _stack(self, repeat: Repeat, name: str, tensor: Tensor) -> str:
        """The tensor of the enclosing graph that holds ``name`` of every round."""
        outer = f"{repeat.name}.{name}"
        self.tape.tensors.setdefault(outer, stack_of(tensor, outer, repeat.count))
        return outer


def stack_of(tensor: Tensor, name: str, count: int) -> Tensor:
    """``count`` slices like ``tensor`` as one tensor with a leading axis."""
    pattern = tensor.sparsity
    if pattern.kind == "nm" and pattern.axis >= 0:
        pattern = replace(pattern, axis=pattern.axis + 1)
    return Tensor(name, (count, *tensor.shape), tensor.format, tensor.role, pattern, None, 0, tensor.view_of)


def segments_of(graph: OperatorGraph) -> tuple[int, ...]:
    """Where segments begin for recomputation: about the root of the number of operators, cut where one activation alone goes on.

    With n segments of equal memory, what is kept falls to n borders and one segment (Chen et al., arXiv 1604.06174, section 3). The last
    entry is the end of the last segment that is made again; what follows it is kept.
    """
    nodes = graph.nodes
    last = {name: place for place, node in enumerate(nodes) for name in node.inputs if isinstance(node, Operator)}
    alive: set[str] = set()
    cuts, weight, total = [], [], 0
    for place, node in enumerate(nodes):
        assert isinstance(node, Operator)
        alive.update(node.outputs)
        alive -= {name for name in alive if last.get(name, -1) <= place}
        total += sum(graph.tensors[name].stored_bytes for name in node.outputs if graph.tensors[name].alias_of is None)
        if len(alive) == 1 and alive <= set(node.outputs) and node.kind != "view":
            cuts.append(place + 1)
            weight.append(total)
    if len(cuts) < 3:
        return ()
    wished = max(2, round(len(nodes) ** 0.5))
    starts = [0]
    for cut, sofar in zip(cuts, weight, strict=True):
        if sofar >= total * len(starts) / wished and cut > starts[-1] and cut < len(nodes):
            starts.append(cut)
    return tuple(starts)
