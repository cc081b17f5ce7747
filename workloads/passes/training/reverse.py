"""The reverse of a graph: gradients of all operators, repeats reversed as repeats, recomputation where it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import MappingProxyType

from workloads.graph import Axis, Nest, Operand, Operator, OperatorGraph, Repeat, Role, Tensor
from workloads.passes.training import blocks, linear, recurrent, vector
from workloads.passes.training.options import Settings
from workloads.passes.training.tape import Attribute, Part, Tape
from workloads.passes.training.wants import body_wanted

Rule = Callable[[Tape, Operator, dict[str, str]], None]
RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "conv": linear.products, "gemm": linear.products, "embedding": linear.lookup, "view": linear.views, "copy": vector.copies,
        "attention": blocks.attention, "elementwise": vector.elementwise, "norm": vector.norm, "softmax": vector.softmax,
        "pool": vector.pool, "reduce": vector.pool, "topk": vector.choice, "scan": recurrent.scan,
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
    rule = (
        blocks.batchnorm if node.attributes.get("batch_statistics") else recurrent.cell if recurrent.is_cell(node) else RULES.get(node.kind)
    )
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
        entering, stacked = self._coming(repeat, inner)
        if not entering and not stacked:
            return
        operators = [node for node in body.nodes if isinstance(node, Operator)]
        inner.lifted = {name: [] for name in repeat.shared if name in inner.wants and body.tensors[name].role is Role.WEIGHT}
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
        made_of = {node.outputs[0] for node in operators}
        for name, outer in repeat.stacked.items():  # rows of a sequence: their gradients, row by row
            found = inner.gradient(name) if name in inner.wants and name not in made_of else None
            if found is not None and body.tensors[name].role is not Role.WEIGHT:
                stacked[found] = tape.new(f"{repeat.name}.gradient.{name}", tape.tensors[outer])
                tape.give(outer, stacked[found])
        self._close(repeat, inner, operators, entering, tuple(carried), leaving, stacked)

    def _coming(self, repeat: Repeat, inner: Tape) -> tuple[dict[str, str], dict[str, str]]:
        """Gradients that enter a repeat's reverse: of what it hands on after the last round, and of stacks that others read.

        States that nobody reads behind the loop have a gradient in all rounds but the last, where it is zero.
        """
        tape, body = self.tape, repeat.body
        stacked: dict[str, str] = {}
        made = {name for node in body.nodes for name in node.outputs}
        for name, outer in repeat.stacked.items():
            coming = tape.gradient(outer) if name in made and name in inner.wants else None
            if coming is not None:
                given = inner.new(f"{name}.given", body.tensors[name])
                inner.sent.setdefault(name, []).append(given)
                stacked[given] = coming
        entering: dict[str, str] = {}
        wanted = [output for output, _ in repeat.carried if output in inner.wants]
        found = {output: tape.gradient(repeat.outputs[output]) for output in wanted if output in repeat.outputs}
        if not stacked and not any(found.values()):
            return {}, {}
        for output in wanted:
            coming = found.get(output)
            if coming is None:
                coming = tape.new(f"{repeat.name}.{output}.zero", body.tensors[output])
                tape.tensors[coming] = replace(tape.tensors[coming], role=Role.STATE)
            name = inner.new(f"{output}.coming", body.tensors[output])
            inner.sent.setdefault(output, []).append(name)
            entering[name] = coming
        return entering, stacked

    def _close(
        self, repeat: Repeat, inner: Tape, operators: list[Operator], entering: dict[str, str], carried: tuple[tuple[str, str], ...],
        leaving: dict[str, str], stacked: dict[str, str],
    ) -> None:  # fmt: skip
        """Write the reversed repeat: what it makes again, what it reads of the forward rounds and what leaves it.

        Args:
            entering, leaving: of the reversed body, to the enclosing graph; ``stacked``: gradients that come and go row by row.
        """
        body, recompute = repeat.body, self.settings.recompute
        written = [node for node in inner.nodes if isinstance(node, Operator)]
        makers = {name: node for node in operators for name in node.outputs}
        reads = [read.tensor for records in inner.lifted.values() for _, parts, _ in records for part in parts for read in part.reads]
        asks = Operator("behind the loop", "view", tuple(reads), ())
        again = remade(operators, [*written, asks], lambda node, _: not recompute and node.kind != "view")
        nodes = [replace(node, attributes={**node.attributes, "pass": "recompute"}) for node in again]
        nodes = nodes + written if recompute else _late(nodes, written)
        made = {name for node in nodes for name in node.outputs}
        kept, shifted, shared = self._kept(repeat, nodes, made, makers, entering, stacked)
        found = tuple(
            (name, gradient) for name, tensor in body.tensors.items()
            if tensor.role is Role.WEIGHT and name in inner.wants and (gradient := inner.gradient(name)) is not None
        )  # fmt: skip
        for _, gradient in found:
            stacked[gradient] = self._stack(repeat, gradient, inner.tensors[gradient])
        lifted = self._lifted(repeat, inner, carried, entering, stacked, kept, made)
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
        for target, kind, parts, facts in lifted:
            self.tape.send(repeat, target, kind, parts, {**facts, "rounds": repeat.count})
        fixed = {*repeat.inputs, *makers, *repeat.stacked}
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

    def _kept(
        self, repeat: Repeat, nodes: Sequence[Operator], made: set[str], makers: Mapping[str, Operator], entering: dict[str, str],
        stacked: dict[str, str],
    ) -> tuple[dict[str, str], list[str], list[str]]:  # fmt: skip
        """What ``nodes`` of the reverse read and do not make: stacks that the forward rounds keep, which of them a round reads shifted, and
        what all rounds share. Adds to ``entering`` and ``stacked`` of the reverse."""
        body, given = repeat.body, {name: output for output, name in repeat.carried}
        kept, shifted, shared = dict[str, str](), list[str](), list[str]()
        for name in dict.fromkeys(name for node in nodes for name in node.inputs if name not in made):
            tensor = body.tensors.get(name)
            if name in entering or name in stacked:
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
        return kept, shifted, shared

    def _lifted(
        self, repeat: Repeat, inner: Tape, carried: tuple[tuple[str, str], ...], entering: Mapping[str, str], stacked: dict[str, str],
        kept: dict[str, str], remade: set[str],
    ) -> list[tuple[str, str, list[Part], Mapping[str, Attribute]]]:  # fmt: skip
        """Gradients of weights that all rounds share, over all rounds at once: (weight of the enclosing graph, kind, nests, attributes).

        Adds the stacks that they read to ``stacked`` (what the reverse makes or reads) and ``kept`` (what the forward rounds keep).
        """
        body, given = repeat.body, {name: output for output, name in repeat.carried}
        after = {coming: made for made, coming in carried}
        outer = self.tape.tensors

        def edge(read: Operand, name: str) -> Operand | None:
            return None if outer[name].role is Role.STATE else replace(read, tensor=name)  # a state that nothing has made is zero

        def place(read: Operand) -> tuple[Operand, Operand | None]:
            name, offset, beyond = read.tensor, 0, None
            if name in given:  # what the round before has made
                beyond, offset = edge(read, repeat.inputs[name]), -1
                stack = kept.setdefault(given[name], self._stack(repeat, given[name], body.tensors[given[name]]))
            elif name in after:  # what the round behind has sent back
                beyond, offset = edge(read, entering[name]), 1
                stack = stacked.setdefault(after[name], self._stack(repeat, after[name], inner.tensors[after[name]]))
            elif name in repeat.inputs:
                return replace(read, tensor=repeat.inputs[name]), None
            elif name in repeat.stacked:
                stack = repeat.stacked[name]
            elif name in body.tensors and name not in remade:
                stack = kept.setdefault(name, self._stack(repeat, name, body.tensors[name]))
            else:
                stack = stacked.setdefault(name, self._stack(repeat, name, inner.tensors[name]))
            return Operand(stack, (Axis((("round", 1),), offset), *read.axes)), beyond

        return [
            (repeat.inputs[weight], kind, [wide for part in parts for wide in recurrent.over_rounds(part, repeat.count, place)], facts)
            for weight, records in inner.lifted.items() for kind, parts, facts in records
        ]  # fmt: skip

    def _stack(self, repeat: Repeat, name: str, tensor: Tensor) -> str:
        """The tensor of the enclosing graph that holds ``name`` of every round."""
        if name in repeat.stacked:
            return repeat.stacked[name]
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
