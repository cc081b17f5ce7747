"""N:M sparsity in training steps: which pass sees pruned weights or gradients, and along which axis."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from types import MappingProxyType

from hwspecs.vocabulary.errors import ArgumentError, ModelError, UnknownNameError
from hwspecs.vocabulary.sparsity import Sparsity
from hwspecs.vocabulary.suggest import did_you_mean
from workloads.graph import Nest, Operand, Operator, OperatorGraph, Repeat, Role, Tensor
from workloads.nests import plain_axes, point_dims
from workloads.passes.training.reverse import renamed, stack_of


@dataclass(frozen=True, slots=True)
class Method:
    """What a training method prunes.

    Attributes:
        passes: passes whose products read an N:M operand, pruned along the axis that this pass reduces: input channels and taps in FF,
            output channels in BP. WU, which multiplies activations by gradients, stays dense in all of them.
        update_ops: operations per weight that the method adds to the optimizer's step.
        citation: where it is described.
        operand: ``weight``, or ``gradient``: what enters BP from behind, whose values are new in each step.
    """

    name: str
    passes: tuple[str, ...]
    update_ops: int
    citation: str
    operand: str = "weight"


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "dense": Method("dense", (), 0, ""),
        "sr-ste": Method("sr-ste", ("FF",), 3, "Zhou et al., arXiv 2102.04010: pruned weights decay, lambda (1 - mask) w"),
        "sdgp": Method("sdgp", ("BP",), 0, "McDanel et al., arXiv 2202.00774 (code: github BradMcDanel/sdgp, sdgp.py)", "gradient"),
        "bdwp": Method("bdwp", ("FF", "BP"), 0, "arXiv 2309.13015: bidirectional weight pruning"),
    }
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A method with its pattern: ``n`` of every ``m`` values stay."""

    method: Method
    n: int
    m: int

    @property
    def text(self) -> str:
        """As ``parse_method`` reads it."""
        return f"{self.method.name}-{self.n}:{self.m}" if self.method.passes else "dense"


def is_method(text: str) -> bool:
    """Whether ``text`` names a training method (right or wrong in its numbers) and no pattern of inference."""
    return text.partition("-")[0] in {name.partition("-")[0] for name in METHODS if name != "dense"}


def parse_method(text: str) -> Rule:
    """``dense``, ``sr-ste-2:8`` (weights in FF), ``sdgp-2:4`` (gradients in BP), ``bdwp-2:8`` (weights in FF and BP).

    Raises:
        UnknownNameError: no such method.
        ArgumentError: no N:M behind it, or N > M.
    """
    if text == "dense":
        return Rule(METHODS["dense"], 1, 1)
    match = re.fullmatch(r"([a-z-]+?)-?(\d+):(\d+)", text.strip().lower())
    name = match[1] if match else text.rpartition("-")[0] or text
    if name not in METHODS or name == "dense":
        known = ", ".join(f"{known}-2:8" for known in METHODS if known != "dense")
        near = did_you_mean(name, METHODS)
        raise UnknownNameError(f"unknown training sparsity {text!r}", where="sparsity", hint=f"{near} (write dense, {known})")
    if match is None:
        raise ArgumentError(f"sparsity {text!r} has no N:M", where="sparsity", hint=f"write {name}-2:8")
    n, m = int(match[2]), int(match[3])
    if not 0 < n <= m:
        raise ArgumentError(f"sparsity {text!r} keeps {n} of {m}", where="sparsity", hint="N:M needs 0 < N <= M")
    return Rule(METHODS[name], n, m)


def nm_training(graph: OperatorGraph, method: str | Rule, *, pregenerate: bool = True) -> OperatorGraph:
    """A training step whose products read N:M weights or gradients as ``method`` says.

    Dense stay: the first layers (weights that send no gradient to an input), products of activations, weight gradients, frozen weights,
    and operands whose reduced axis is too short to leave anything out. Where M does not divide a reduced axis, the view is padded,
    and a note says so. Each view is a tensor that an operator of kind ``prune`` makes of the dense one (``Tensor.view_of``).

    Gradients (SDGP) are pruned along the output channels of the layer that sends them on, groups of one pixel or row, right before the
    product with the weight, frozen or not; the product that makes the weight's own gradient reads them whole.

    Args:
        method: see ``parse_method``.
        pregenerate: views of weights are made in the update step and kept in memory; otherwise where they are read, each time. Gradients
            are always pruned where they are read.

    Raises:
        ModelError: the graph is no training step.
        ArgumentError, UnknownNameError: the method cannot be read; no weight of the graph can be pruned.
    """
    rule = parse_method(method) if isinstance(method, str) else method
    if graph.meta.get("phase") != "train":
        raise ModelError("is no training step", where=graph.name, hint="apply passes.training first, or load with phase train")
    pregenerate = pregenerate and rule.method.operand == "weight"
    meta = {**graph.meta, "sparsity": rule.text, "pregenerate": int(pregenerate)}
    if not rule.method.passes:
        return replace(graph, meta=meta)
    run = _Run(rule, pregenerate, dict(graph.tensors))
    nodes = run.scope(graph.nodes, run.tensors)
    bodies = {node.name: node for node in nodes if isinstance(node, Repeat)}
    for name, repeat in bodies.items():
        if f"{name}.backward" in bodies:
            changed = run.repeats(repeat, bodies[f"{name}.backward"], bodies.get(f"{name}.update"))
            nodes = [changed.get(node.name, node) if isinstance(node, Repeat) else node for node in nodes]
    if not run.views:
        what = f"no {rule.method.operand} of {graph.name} can be pruned {rule.n}:{rule.m}"
        raise ArgumentError(what, where="sparsity", hint="weights need a reduced axis longer than M, and an optimizer that updates them")
    return replace(graph, nodes=tuple(nodes), tensors=run.tensors, notes=(*graph.notes, *run.notes()), meta=meta)


@dataclass(frozen=True, slots=True)
class View:
    """An N:M view: name and shape of what it is made of, tensor of the view, pass that reads it, length of what that reduces."""

    source: str
    shape: tuple[int, ...]
    tensor: Tensor
    phase: str
    length: int


def _operators(nodes: Sequence[Operator | Repeat]) -> list[Operator]:
    return [node for node in nodes if isinstance(node, Operator)]


@dataclass(slots=True)
class _Run:
    rule: Rule
    pregenerate: bool
    tensors: dict[str, Tensor]
    views: int = 0
    padded: dict[str, list[str]] = field(default_factory=dict)
    short: list[str] = field(default_factory=list)

    def scope(self, nodes: Sequence[Operator | Repeat], tensors: dict[str, Tensor]) -> list[Operator | Repeat]:
        """Operators outside repeats, and inside them those that read what all rounds share."""
        flat = self._flat(nodes)
        views = self._views(flat, flat, {node.name for node in flat if node.kind == "update"}, tensors)
        if not views:
            return list(nodes)
        tensors.update({view.tensor.name: view.tensor for view in views})
        done = self._read(nodes, views)
        return self._pregenerated(done, views, tensors) if self.pregenerate else self._on_line(done, views, False)

    def _flat(self, nodes: Sequence[Operator | Repeat]) -> list[Operator]:
        """Operators of the graph and of its repeats, shared weights by the names that they have outside."""
        found: list[Operator] = []
        for node in nodes:
            if isinstance(node, Operator):
                found.append(node)
                continue
            names = {name: outer for name, outer in node.inputs.items() if name in node.shared}
            if names and self.rule.method.operand == "weight":
                inside = _operators(node.body.nodes)
                found += [
                    renamed(one, {name: names.get(name, f"{node.name}/{name}") for name in (*one.inputs, *one.outputs)}) for one in inside
                ]
        return found

    def _in_rounds(self, repeat: Repeat, views: Sequence[View]) -> Repeat:
        """``repeat`` with the products of its body on ``views`` of weights that all its rounds share."""
        inner = {outer: name for name, outer in repeat.inputs.items() if name in repeat.shared}
        local: dict[str, str] = {}
        own = []
        for view in views:
            if view.source in inner:
                weight = inner[view.source]
                tensor = replace(view.tensor, name=f"{weight}.{view.phase.lower()}", view_of=weight)
                local[tensor.name] = view.tensor.name
                own.append(replace(view, source=weight, tensor=tensor))
        nodes = self._read(repeat.body.nodes, own)
        read = {name for node in _operators(nodes) for name in node.inputs}
        used = [view for view in own if view.tensor.name in read]
        if not used:
            return repeat
        gone = {view.source for view in used} - read
        tensors = {name: tensor for name, tensor in repeat.body.tensors.items() if name not in gone}
        tensors.update({view.tensor.name: view.tensor for view in used})
        entering = {name: outer for name, outer in repeat.inputs.items() if name not in gone}
        entering.update({view.tensor.name: local[view.tensor.name] for view in used})
        shared = (*(name for name in repeat.shared if name not in gone), *(view.tensor.name for view in used))
        return replace(repeat, body=replace(repeat.body, nodes=tuple(nodes), tensors=tensors), inputs=entering, shared=shared)

    def repeats(self, forward: Repeat, backward: Repeat, update: Repeat | None) -> dict[str, Repeat]:
        """The three repeats of one: its rounds, their reverse and their updates (None where nothing in it is trained)."""
        ahead, behind = _operators(forward.body.nodes), _operators(backward.body.nodes)
        trained = {node.name for node in _operators(update.body.nodes)} if update is not None else set()
        views = self._views(ahead, behind, trained, {**backward.body.tensors, **forward.body.tensors})
        if not views:
            return {}
        made: dict[str, Repeat] = {}
        for repeat, again in ((forward, False), (backward, True)):
            nodes = self._read(repeat.body.nodes, views)
            read = {name for node in _operators(nodes) for name in node.inputs}
            used = [view for view in views if view.tensor.name in read]
            if not self.pregenerate:
                nodes = self._on_line(nodes, used, again)
            made[repeat.name] = self._with(repeat, nodes, {view.tensor.name: view.tensor for view in used})
        if update is None:
            return made
        tensors = {view.tensor.name: view.tensor for view in views}
        inner = {**update.body.tensors, **tensors}
        nodes = [*update.body.nodes]
        if self.pregenerate:
            nodes = self._pregenerated(nodes, views, inner)
        else:
            nodes = self._decayed(nodes)
            inner = dict(update.body.tensors)
        made[update.name] = replace(update, body=replace(update.body, nodes=tuple(nodes), tensors=inner))
        if self.pregenerate:
            for name, repeat in made.items():
                made[name] = self._stacked(forward, repeat, tensors)
        return made

    def _with(self, repeat: Repeat, nodes: list[Operator | Repeat], views: Mapping[str, Tensor]) -> Repeat:
        read = {name for node in _operators(nodes) for name in node.inputs}
        gone = {name for name, tensor in repeat.body.tensors.items() if tensor.role is Role.WEIGHT and name not in read}
        tensors = {name: tensor for name, tensor in {**repeat.body.tensors, **views}.items() if name not in gone}
        held = {name: outer for name, outer in repeat.stacked.items() if name not in gone}
        return replace(repeat, body=replace(repeat.body, nodes=tuple(nodes), tensors=tensors), stacked=held)

    def _stacked(self, forward: Repeat, repeat: Repeat, views: Mapping[str, Tensor]) -> Repeat:
        held = {}
        for name, tensor in views.items():
            if name in repeat.body.tensors:
                held[name] = outer = f"{forward.name}.{name}"
                whole = stack_of(tensor, outer, repeat.count)
                self.tensors[outer] = replace(whole, view_of=f"{forward.name}.{tensor.view_of}")
        return replace(repeat, stacked={**repeat.stacked, **held})

    # -- views -----------------------------------------------------------------------------------------------------

    def _views(self, ahead: list[Operator], behind: list[Operator], trained: set[str], tensors: Mapping[str, Tensor]) -> list[View]:
        found = []
        if self.rule.method.operand == "gradient":
            for name, nest in self._gradients(behind, tensors).items():
                view = self._view(name, tensors[name], nest, "BP")
                found.extend([view] if view is not None else [])
            self.views += len(found)
            return found
        back = self._weights(behind, "BP", tensors)
        for phase, weights in (("FF", self._weights(ahead, "FF", tensors)), ("BP", back)):
            if phase not in self.rule.method.passes:
                continue
            for name, nest in weights.items():
                if name in back and f"{name}.update" in trained:
                    view = self._view(name, tensors[name], nest, phase)
                    found.extend([view] if view is not None else [])
        self.views += len(found)
        return found

    def _weights(self, nodes: list[Operator], phase: str, tensors: Mapping[str, Tensor]) -> dict[str, Nest]:
        """Weight to the first product of pass ``phase`` that reads it."""
        found: dict[str, Nest] = {}
        for node in nodes:
            if node.attributes.get("pass") != phase:
                continue
            for nest in node.nests:
                for read in nest.reads if nest.function == "mac" else ():
                    tensor = tensors.get(read.tensor)
                    if tensor is not None and tensor.role is Role.WEIGHT and tensor.view_of is None:
                        found.setdefault(read.tensor, nest)
        return found

    def _gradients(self, nodes: list[Operator], tensors: Mapping[str, Tensor]) -> dict[str, Nest]:
        """Gradient to the first product of BP that multiplies it by a weight."""
        found: dict[str, Nest] = {}
        for node in nodes:
            for nest in node.nests if node.attributes.get("pass") == "BP" else ():
                roles = {read.tensor: tensors[read.tensor].role for read in nest.reads if read.tensor in tensors}
                if nest.function == "mac" and Role.WEIGHT in roles.values():
                    found.update({name: nest for name, role in roles.items() if role is Role.GRADIENT and name not in found})
        return found

    def _view(self, name: str, tensor: Tensor, nest: Nest, phase: str) -> View | None:
        n, m = self.rule.n, self.rule.m
        read = next(item for item in nest.reads if item.tensor == name)
        extents, kept = dict(nest.dims), nest.writes[0].dims
        reduced = [[extents[dim] for dim, _ in item.terms if dim not in kept] for item in read.axes]
        places = [place for place, sizes in enumerate(reduced) if sizes]
        length = prod(prod(reduced[place]) for place in places)
        axis = places[0] if places else 0
        own = prod(reduced[axis])  # channels; taps come behind them
        over_taps = length % m == 0 and tensor.role is Role.WEIGHT  # taps of a gradient are other pixels of it
        fits = over_taps or own % m == 0
        if not places or not (fits or (own >= m and (n == m or -(-own // m) * n < own))):
            self.short.append(f"{name} in {phase}")
            return None
        shape = list(tensor.shape)
        if not fits:
            self.padded.setdefault(phase, []).append(f"{name} ({own})")
            shape[axis] = shape[axis] // own * (-(-own // m) * m)
        pattern = Sparsity("nm", n / m, n, m, axis=axis)
        made = Tensor(f"{name}.{phase.lower()}", tuple(shape), tensor.format, tensor.role, pattern, view_of=name)
        return View(name, tensor.shape, made, phase, length)

    def notes(self) -> list[str]:
        """What was padded and what stayed dense for its size."""
        text, notes = self.rule.text, []
        for phase, names in self.padded.items():
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            notes.append(f"sparsity {text}: {self.rule.m} does not divide the axis that {phase} reduces of {shown}; it is padded")
        if self.short:
            shown = ", ".join(self.short[:3]) + (f" and {len(self.short) - 3} more" if len(self.short) > 3 else "")
            notes.append(f"sparsity {text}: the reduced axis is too short to prune: {shown}")
        return notes

    # -- operators -------------------------------------------------------------------------------------------------

    def _read(self, nodes: Sequence[Operator | Repeat], views: Sequence[View]) -> list[Operator | Repeat]:
        """``nodes`` with the products of each pass on the views of that pass."""
        names: dict[str, dict[str, str]] = {"FF": {}, "BP": {}}
        for view in views:
            names[view.phase][view.source] = view.tensor.name
        names["recompute"] = names["FF"]
        done: list[Operator | Repeat] = []
        for node in nodes:
            if isinstance(node, Repeat):
                done.append(self._in_rounds(node, views))
                continue
            chosen = names.get(str(node.attributes.get("pass")), {})
            product = any(nest.function == "mac" for nest in node.nests)
            read = {name: chosen[name] for name in node.inputs if name in chosen}
            if product and read:
                node = renamed(replace(node, read_bytes={k: v for k, v in node.read_bytes.items() if k not in read}), read)
            done.append(node)
        return done

    def _prune(self, view: View, source: str, target: str, phase: str) -> Operator:
        shape = view.shape  # of the weight: what pads the view is not read
        dims = point_dims(len(shape))
        whole = plain_axes(dims)
        nest = Nest(tuple(zip(dims, shape, strict=True)), "prune", (Operand(source, whole),), (Operand(target, whole),), 1)
        facts: dict[str, int | float | str | bool] = {
            "n": self.rule.n, "m": self.rule.m, "axis": view.tensor.sparsity.axis, "length": view.length, "pass": phase,
            "view_pass": view.phase, "pregenerated": self.pregenerate,
        }  # fmt: skip
        inputs = (source, view.tensor.name) if target != view.tensor.name else (source,)
        return Operator(f"{view.tensor.name}.prune", "prune", inputs, (target,), (nest,), attributes=facts, origin=self.rule.text)

    def _on_line(self, nodes: list[Operator | Repeat], views: Sequence[View], again: bool) -> list[Operator | Repeat]:
        """Each view made before its first reader."""
        waiting = {view.tensor.name: view for view in views}
        done: list[Operator | Repeat] = []
        for node in nodes:
            for name in node.inputs if isinstance(node, Operator) else node.read:
                view = waiting.pop(name, None)
                if view is not None:
                    phase = "recompute" if again and view.phase == "FF" else view.phase
                    done.append(self._prune(view, view.source, name, phase))
            done.append(node)
        return self._decayed(done)

    def _pregenerated(self, nodes: list[Operator | Repeat], views: Sequence[View], tensors: dict[str, Tensor]) -> list[Operator | Repeat]:
        """Each view renewed behind the update of its weight."""
        by_weight: dict[str, list[View]] = {}
        for view in views:
            by_weight.setdefault(f"{view.source}.update", []).append(view)
        done: list[Operator | Repeat] = []
        for node in self._decayed(nodes):
            done.append(node)
            for view in by_weight.get(node.name, ()):
                new = f"{view.tensor.name}.new"
                tensors[new] = replace(view.tensor, name=new, alias_of=view.tensor.name)
                done.append(self._prune(view, f"{view.source}.new", new, "update"))
        return done

    def _decayed(self, nodes: Sequence[Operator | Repeat]) -> list[Operator | Repeat]:
        more = self.rule.method.update_ops
        if not more:
            return list(nodes)
        return [
            replace(node, nests=tuple(replace(nest, vector_ops=nest.vector_ops + more) for nest in node.nests))
            if isinstance(node, Operator) and node.kind == "update"
            else node
            for node in nodes
        ]
