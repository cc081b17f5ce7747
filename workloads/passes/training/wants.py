"""Which tensors of a graph need a gradient: those that a trained weight leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from workloads.graph import OperatorGraph, Repeat, Role

_FLOWING = frozenset((Role.ACTIVATION, Role.STATE, Role.KV_CACHE))


def wanted(graph: OperatorGraph, trains: Callable[[str], bool], entering: Iterable[str] = ()) -> set[str]:
    """Names of ``graph``'s tensors that need a gradient: trained weights, and activations that depend on one.

    Of a repeat all rounds are equal, so a carried tensor needs one as soon as one round's does.

    Args:
        trains: whether the weight of a name is trained.
        entering: inputs that need one because the enclosing graph says so.
    """
    found = set(entering) | {name for name, tensor in graph.tensors.items() if tensor.role is Role.WEIGHT and trains(name)}
    for node in graph.nodes:
        if isinstance(node, Repeat):
            inner = body_wanted(node, trains, found)
            found.update(outer for name, outer in node.outputs.items() if name in inner)
            made = node.written if node.stacked else ()
            found.update(outer for name, outer in node.stacked.items() if name in inner and outer in made)
        elif any(name in found for name in node.inputs):
            found.update(name for name in node.outputs if graph.tensors[name].role in _FLOWING)
    return found


def body_wanted(repeat: Repeat, trains: Callable[[str], bool], outer: set[str]) -> set[str]:
    """``wanted`` of the body of ``repeat``, where ``outer`` holds what is wanted around it."""
    entering = {
        inner for inner, name in (*repeat.inputs.items(), *repeat.stacked.items()) if name in outer and inner in repeat.body.tensors
    }
    while True:
        found = wanted(repeat.body, lambda name: name not in repeat.inputs and trains(name), entering)
        more = {name for output, name in repeat.carried if output in found}
        if more <= entering:
            return found
        entering |= more
