"""Zeros in the weights of linear layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from hwspecs.vocabulary.errors import ArgumentError
from hwspecs.vocabulary.sparsity import DENSE, Sparsity, parse_sparsity
from workloads.graph import Nest, Operator, OperatorGraph, Repeat, Tensor
from workloads.passes.common import exchange, linear_weights

CLASSES = ("pointwise", "depthwise", "spatial", "product")
"""What a layer is, for rules: a 1x1 convolution of one group, one filter per channel, any other convolution, a matrix product."""


@dataclass(frozen=True, slots=True)
class SparsityRule:
    """``pattern`` for the weights that every word of ``selector`` takes: a word of ``CLASSES`` by the kind of layer, any other word by the
    weight's name, in which ``*``, ``?`` and ``[...]`` match as in file names. No words: all weights."""

    selector: tuple[str, ...]
    pattern: Sparsity

    def takes(self, name: str, layer: str) -> bool:
        """Whether the weight ``name`` of a layer of class ``layer`` is meant."""
        return all(layer == word if word in CLASSES else fnmatchcase(name, word) for word in self.selector)


def parse_rules(text: str) -> tuple[SparsityRule, ...]:
    """Read ``PATTERN`` or ``SELECTOR=PATTERN, SELECTOR=PATTERN, ...``; words of a selector are joined by ``&``.

    ``pointwise=unstructured:0.15, pointwise&features.1[2-7].*=block:2x1:0.15``: a later rule goes before an earlier one.

    Raises:
        ArgumentError: a pattern cannot be read, or a selector is empty.
    """
    rules = []
    for part in text.split(","):
        selector, equals, pattern = part.strip().rpartition("=")
        words = tuple(word.strip() for word in selector.split("&")) if equals else ()
        if "" in words:
            raise ArgumentError(f"sparsity {text!r} has an empty selector", hint="write pointwise=unstructured:0.1 or layer4.*=2:4")
        rules.append(SparsityRule(words, parse_sparsity(pattern.strip())))
    return tuple(rules)


def sparsify(graph: OperatorGraph, sparsity: str | Sparsity | Sequence[SparsityRule]) -> OperatorGraph:
    """Give the weights of linear layers (output projections of language models excepted) the pattern ``sparsity``, or that of the last
    of several rules that takes them; weights that no rule takes stay dense.

    N:M groups lie along the axis that the product reduces (input features or channels), because that is where hardware skips
    them. A weight whose axis M does not divide stays dense, and a note says so. A block's rows lie along the first axis (output channels of
    a convolution), its columns along all others.

    Raises:
        ArgumentError: the text cannot be read, or a rule takes no weight of the graph.
    """
    if isinstance(sparsity, Sparsity):
        sparsity = (SparsityRule((), sparsity),)
    rules = parse_rules(sparsity) if isinstance(sparsity, str) else tuple(sparsity)
    run = _Run(rules)
    changed = run.sparse(graph, {})
    run.refuse_idle_rules()
    notes = graph.notes
    for m, left in run.left.items():
        shown = ", ".join(left[:3]) + (f" and {len(left) - 3} more" if len(left) > 3 else "")
        pattern = next(rule.pattern.pattern for rule in rules if rule.pattern.m == m)
        stay = "weights stay" if len(left) != 1 else "weight stays"
        note = f"sparsity {pattern}: {len(left)} {stay} dense because {m} does not divide the reduced axis ({shown})"
        notes = (*notes, note)
    text = sparsity if isinstance(sparsity, str) else ", ".join(rule.pattern.pattern for rule in rules)
    return replace(changed, notes=notes, meta={**graph.meta, "sparsity": text})


class _Run:
    """One call: which rules have found weights, and which weights had to stay dense (by M)."""

    def __init__(self, rules: tuple[SparsityRule, ...]) -> None:
        self.rules = rules
        self.used: set[int] = set()
        self.left: dict[int, list[str]] = {}

    def sparse(self, graph: OperatorGraph, outer: Mapping[str, Sparsity]) -> OperatorGraph:
        """``graph`` with its weights' patterns; ``outer`` holds those that an enclosing graph has decided on."""
        tensors = dict(graph.tensors)
        classes = _classes(node for node in graph.nodes if isinstance(node, Operator))
        for name, axes in linear_weights(graph).items():
            chosen = outer[name] if name in outer else self._chosen(tensors[name], axes, classes.get(name, "product"))
            tensors[name] = replace(tensors[name], sparsity=chosen)
        nodes = []
        for node in graph.nodes:
            if isinstance(node, Repeat):
                held = {inner: tensors[name].sparsity for inner, name in node.inputs.items() if name in tensors}
                node = replace(node, body=self.sparse(node.body, held))
            nodes.append(node)
        return exchange(replace(graph, nodes=tuple(nodes)), tensors)

    def refuse_idle_rules(self) -> None:
        """Raise for a rule with a selector that takes nothing: it is misspelt."""
        for place, rule in enumerate(self.rules):
            if rule.selector and place not in self.used:
                hint = f"words are {', '.join(CLASSES)}, or a weight's name with * for any letters"
                raise ArgumentError(f"sparsity for {'&'.join(rule.selector)!r}, but no weight is that", where="sparsity", hint=hint)

    def _chosen(self, tensor: Tensor, axes: tuple[int, ...], layer: str) -> Sparsity:
        taking = [place for place, rule in enumerate(self.rules) if rule.takes(tensor.name, layer)]
        self.used.update(taking)
        if not taking:
            return tensor.sparsity
        pattern = self.rules[taking[-1]].pattern
        if pattern.kind != "nm":
            return pattern
        if not axes or tensor.shape[axes[0]] % pattern.m:
            self.left.setdefault(pattern.m, []).append(tensor.name)
            return tensor.sparsity if tensor.sparsity.kind != "nm" else DENSE
        return replace(pattern, axis=axes[0])


def _classes(operators: Iterable[Operator]) -> dict[str, str]:
    """Weight to the class of the layer that multiplies by it."""
    classes = {}
    for operator in operators:
        for nest in operator.nests:
            if nest.function == "mac" and len(nest.reads) == 2:
                classes[nest.reads[1].tensor] = layer_class(operator, nest)
    return classes


def layer_class(operator: Operator, nest: Nest) -> str:
    """The word of ``CLASSES`` for a multiply-accumulate nest of ``operator``."""
    if operator.kind != "conv":
        return "product"
    extents = dict(nest.dims)
    if "g" in extents:
        return "depthwise" if extents.get("c") == 1 else "spatial"
    return "pointwise" if all(size == 1 for name, size in nest.dims if name.startswith("r")) else "spatial"
