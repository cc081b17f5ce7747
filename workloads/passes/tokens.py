"""Token reduction: from a layer on, a transformer goes on with fewer tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hwspecs.vocabulary.errors import ArgumentError, UnsupportedError
from workloads.graph import Nest, Operand, Operator, OperatorGraph, Repeat, Role, Tensor
from workloads.passes.token_axes import Count, Marks, query_marks, refusal, resized, shrink
from workloads.passes.token_schedule import TokenSchedule, parse_schedule, schedule_text
from workloads.passes.token_selection import Rows, merging, pruning

_PASSING = frozenset((Role.ACTIVATION, Role.GRADIENT))


def keep_tokens(graph: OperatorGraph, schedule: str | float | Mapping[int, float] | TokenSchedule) -> OperatorGraph:
    """``graph`` with fewer tokens from some layers on: attention, MLP, norms and what follows shrink, and choosing the tokens is added.

    Tokens are chosen between a layer's attention and its MLP (as ToMe and EViT do), where one tensor holds all there is of them; in
    a layer without such a place in between, at its end. Repeats are split only where the number of tokens changes: equal layers
    stay folded. Sizes of merged tokens (an added log in ToMe's attention) are not counted.

    Raises:
        ArgumentError: the schedule cannot be read, or names a layer that the model does not have.
        UnsupportedError: no self-attention, a cached context, or an operator that fewer tokens do not fit, named.
    """
    wanted = schedule if isinstance(schedule, TokenSchedule) else parse_schedule(schedule)
    layers = sum(times for operator, _, times in graph.walk() if operator.kind == "attention")
    if not layers:
        raise UnsupportedError(f"{graph.name} has no attention, so it has no tokens to leave out", where="keep_tokens",
                               hint="reduce tokens of transformers; for ONNX files leave fusing on")  # fmt: skip
    if wanted.last_layer > layers:
        raise ArgumentError(f"layer {wanted.last_layer} of {layers}", where="keep_tokens", hint=f"layers count from 1 to {layers}")
    done = _Reduction(wanted)
    result = done.reduced(graph)
    counts = f"{done.entered} to {done.count} tokens" if done.count != done.entered else f"all {done.entered} tokens stay"
    text = wanted.method if isinstance(schedule, TokenSchedule) else schedule_text(schedule)
    return replace(result, notes=(*graph.notes, f"token reduction ({wanted.method}): {counts}"), meta={**graph.meta, "keep_tokens": text})


class _Reduction:
    """One call: the layer it is at and the tokens that are left."""

    def __init__(self, schedule: TokenSchedule) -> None:
        self.schedule = schedule
        self.layer = 0
        self.entered = 0
        self.count = 0

    def reduced(self, graph: OperatorGraph) -> OperatorGraph:
        """``graph``, whose inputs come with all their tokens."""
        part = _Part(graph, self, {})
        part.go()
        return part.graph()

    def enter(self, operator: Operator) -> dict[int, int]:
        """Note the tokens of the first attention; returns the marks of this one's output."""
        tokens, marks = query_marks(operator)
        self.entered = self.entered or tokens
        self.count = self.count or tokens
        if tokens != self.entered:
            raise refusal(
                operator, f"has {tokens} tokens where the first attention has {self.entered}", "reduce tokens of plain transformers"
            )
        return marks


class _Part:
    """A graph or a body on its way to fewer tokens."""

    def __init__(self, graph: OperatorGraph, run: _Reduction, entering: Mapping[str, Marks]) -> None:
        self.source, self.run = graph, run
        self.marks: dict[str, Marks] = dict(entering)
        self.tensors = dict(graph.tensors)
        self.nodes: list[Operator | Repeat] = []
        self.names: dict[str, str] = {}
        """Tensor to the one that has taken its place."""
        for name, marks in entering.items():
            self.tensors[name] = resized(graph.tensors[name], marks, self.size)

    @property
    def size(self) -> Count:
        """The tokens of a sequence now."""
        return Count(self.run.entered, self.run.count)

    def graph(self) -> OperatorGraph:
        """The result."""
        outputs = tuple(self.names.get(name, name) for name in self.source.outputs)
        return replace(self.source, tensors=self.tensors, nodes=tuple(self.nodes), outputs=outputs)

    def go(self) -> None:
        """Rewrite node by node."""
        waiting: Operator | None = None
        last = _last_uses(self.source)
        for place, node in enumerate(self.source.nodes):
            if isinstance(node, Repeat):
                self._repeat(node)
                continue
            made = self._operator(node)
            if made.kind == "attention":
                self.run.layer += 1
                waiting = made
            if waiting is not None:
                cut = self._only_one(place, last)
                if cut is not None:
                    self._choose(cut, waiting)
                    waiting = None
        if waiting is not None and self.run.schedule.behind(self.run.layer, self.run.count, self.run.entered) < self.run.count:
            raise refusal(waiting, "no single tensor holds all tokens behind it", "choose another layer")

    def _operator(self, node: Operator) -> Operator:
        marks = {name: self.marks[name] for name in node.inputs if self.marks.get(name)}
        own: dict[str, Marks] = {}
        renamed = _renamed_inputs(node, self.names)
        if marks:
            made, renewed, own = shrink(node, marks, self.source.tensors, self.size)
            self.tensors.update(renewed)
            renamed = _renamed_inputs(made, self.names)
        if node.kind == "attention":
            own = {node.outputs[0]: self.run.enter(node)}
        self.marks.update(own)
        self.nodes.append(renamed)
        return renamed

    def _only_one(self, place: int, last: Mapping[str, int]) -> str | None:
        """The one activation that is used behind node ``place``, if it has tokens."""
        alive = [
            name for name, end in last.items()
            if end > place and self.source.tensors[name].role in _PASSING and _made_by(self.source, place, name)
        ]  # fmt: skip
        return alive[0] if len(alive) == 1 and len(self.marks.get(alive[0], {})) == 1 else None

    def _choose(self, name: str, attention: Operator) -> None:
        """Leave tokens of ``name`` out, as the schedule says for this layer."""
        run = self.run
        after = run.schedule.behind(run.layer, run.count, run.entered)
        if after >= run.count:
            return
        tensor = self.tensors[name]
        ((place, sequences),) = self.marks[name].items()
        rows = Rows(tensor, place, int(attention.attributes["batch"]), run.count, after)
        if sequences not in (1, rows.batch):
            raise refusal(attention, f"{name!r} mixes tokens of {sequences} sequences", "choose another layer")
        query, key = (self.tensors[operand.tensor] for operand in attention.nests[0].reads)
        if run.schedule.method == "merge":
            operators, made = merging(rows, attention, key)
        else:
            operators, made = pruning(rows, attention, query, key, run.schedule.method == "fuse")
        self.nodes.extend(operators)
        self.tensors.update((item.name, item) for item in made)
        self.names[name] = made[-1].name
        run.count = after

    # -- repeats ---------------------------------------------------------------------------------------------------

    def _repeat(self, node: Repeat) -> None:
        inside = sum(times for operator, _, times in node.body.walk() if operator.kind == "attention")
        if not inside:
            if any(self.marks.get(name) for name in node.inputs.values()) and self.size.before != self.size.after:
                raise UnsupportedError(
                    "repeats over the tokens: tokens cannot be reduced before it", where=node.name, hint="choose another layer"
                )
            self.nodes.append(node)
            return
        if inside > 1 or any(isinstance(item, Repeat) for item in node.body.nodes):
            raise UnsupportedError("holds several attentions or further repeats", where=node.name, hint="write its layers one by one")
        entering = self._entering(node)
        groups = self._groups(node)
        if len(groups) == 1 and groups[0][1] == groups[0][2] == self.run.entered:
            self.run.layer += node.count
            self.nodes.append(node)
        else:
            self._split(node, groups, entering)
        for inner, outer in node.outputs.items():
            if (found := self._body_marks(node, entering).get(inner)) is not None:
                self.marks[outer] = found
                self.tensors[outer] = resized(self.source.tensors[outer], found, self.size)

    def _entering(self, node: Repeat) -> dict[str, Marks]:
        """Marks of the body's inputs: what a layer hands on has the shape of what it gets."""
        found = self._body_marks(node, {})
        return {inner: found[output] for output, inner in node.carried if found.get(output)}

    def _body_marks(self, node: Repeat, entering: Mapping[str, Marks]) -> dict[str, Marks]:
        """Marks of the body's tensors, its tokens as they were."""
        probe = _Reduction(TokenSchedule("prune"))
        probe.entered, probe.count = self.run.entered, self.run.entered
        part = _Part(node.body, probe, entering)
        part.go()
        self.run.entered = self.run.entered or probe.entered
        self.run.count = self.run.count or probe.entered
        return part.marks

    def _groups(self, node: Repeat) -> list[tuple[int, int, int]]:
        """Runs of equal layers: (layers, tokens that come, tokens that go)."""
        groups: list[tuple[int, int, int]] = []
        count = self.run.count
        for turn in range(node.count):
            after = self.run.schedule.behind(self.run.layer + turn + 1, count, self.run.entered)
            if groups and groups[-1][1:] == (count, after):
                groups[-1] = (groups[-1][0] + 1, count, after)
            else:
                groups.append((1, count, after))
            count = after
        return groups

    def _split(self, node: Repeat, groups: list[tuple[int, int, int]], entering: Mapping[str, Marks]) -> None:
        """One repeat per run of equal layers; a run of one layer stands in the graph itself."""
        comes = {inner: self.names.get(node.inputs[inner], node.inputs[inner]) for inner in node.inputs}
        for number, (times, _, _) in enumerate(groups):
            part = _Part(node.body, self.run, entering)
            first = self.run.layer + 1
            part.go()
            self.run.layer = first - 1 + times
            final = number == len(groups) - 1
            title = f"{node.name}.{first}" + (f"-{first + times - 1}" if times > 1 else "")
            body = part.graph()
            goes = {output: part.names.get(output, output) for output in {*node.outputs, *(output for output, _ in node.carried)}}
            outward = {goes[inner]: outer for inner, outer in node.outputs.items()} if final else {}
            for output, _ in node.carried:
                outward.setdefault(goes[output], f"{title}.{output}")
            prefix = f"{title}."
            names = {name: prefix + name for name in body.tensors}
            if times == 1:
                names.update({inner: comes[inner] for inner in comes if inner in names})
                names.update(outward)
                self.tensors.update({names[name]: _named(tensor, names) for name, tensor in body.tensors.items()
                                     if names[name] not in comes.values()})  # fmt: skip
                self.nodes.extend(_renamed(item, names, prefix) for item in body.nodes if isinstance(item, Operator))
            else:
                self._folded(node, body, title, times, names, comes, outward, goes)
            for output, inner in node.carried:
                comes[inner] = outward[goes[output]]

    def _folded(
        self, node: Repeat, body: OperatorGraph, title: str, times: int, names: Mapping[str, str], comes: Mapping[str, str],
        outward: Mapping[str, str], goes: Mapping[str, str],
    ) -> None:  # fmt: skip
        tensors = {names[name]: _named(tensor, names) for name, tensor in body.tensors.items()}
        nodes = tuple(_renamed(item, names, f"{title}.") for item in body.nodes if isinstance(item, Operator))
        inner = replace(
            body,
            tensors=tensors,
            nodes=nodes,
            inputs=tuple(names[name] for name in body.inputs),
            outputs=tuple(names[name] for name in body.outputs),
        )
        for name, outer in outward.items():
            self.tensors[outer] = replace(body.tensors[name], name=outer, alias_of=None)
        self.nodes.append(
            Repeat(
                title, inner, times, tuple((names[goes[output]], names[name]) for output, name in node.carried),
                tuple(names[name] for name in node.shared), {names[name]: outer for name, outer in comes.items()},
                {names[name]: outer for name, outer in outward.items()},
            )
        )  # fmt: skip


def _last_uses(graph: OperatorGraph) -> dict[str, int]:
    last: dict[str, int] = {}
    for place, node in enumerate(graph.nodes):
        for name in node.inputs.values() if isinstance(node, Repeat) else node.inputs:
            last[name] = place
    last.update(dict.fromkeys(graph.outputs, len(graph.nodes)))
    return last


def _made_by(graph: OperatorGraph, place: int, name: str) -> bool:
    """Whether ``name`` is there once node ``place`` has run."""
    later: Iterable[Operator | Repeat] = graph.nodes[place + 1 :]
    return not any(name in (node.outputs.values() if isinstance(node, Repeat) else node.outputs) for node in later)


def _named(tensor: Tensor, names: Mapping[str, str]) -> Tensor:
    return replace(tensor, name=names[tensor.name], alias_of=names.get(tensor.alias_of, tensor.alias_of) if tensor.alias_of else None)


def _renamed_inputs(node: Operator, names: Mapping[str, str]) -> Operator:
    """``node`` with other tensors in the place of some that it reads."""
    if not any(name in names for name in node.inputs):
        return node

    def read(nest: Nest) -> Nest:
        reads = tuple(Operand(names.get(operand.tensor, operand.tensor), operand.axes) for operand in nest.reads)
        return Nest(nest.dims, nest.function, reads, nest.writes, nest.vector_ops)

    return replace(
        node, inputs=tuple(names.get(name, name) for name in node.inputs), nests=tuple(read(nest) for nest in node.nests),
        read_bytes={names.get(name, name): count for name, count in node.read_bytes.items()},
    )  # fmt: skip


def _renamed(node: Operator, names: Mapping[str, str], prefix: str) -> Operator:
    """``node`` with other names for itself and for all tensors that cross its border."""

    def side(operands: tuple[Operand, ...]) -> tuple[Operand, ...]:
        return tuple(
            Operand(operand.tensor if operand.tensor in node.internal else names[operand.tensor], operand.axes) for operand in operands
        )

    return replace(
        node, name=prefix + node.name,
        inputs=tuple(names[name] for name in node.inputs), outputs=tuple(names[name] for name in node.outputs),
        nests=tuple(Nest(nest.dims, nest.function, side(nest.reads), side(nest.writes), nest.vector_ops) for nest in node.nests),
        read_bytes={names[name]: count for name, count in node.read_bytes.items()},
    )  # fmt: skip
