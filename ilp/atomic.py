"""COSMA's problem straight from an operator graph: operators and tensors are atomic, one way per operator, no hardware.

The sets follow arXiv 2311.18246, section III: either activations alone, or activations and parameters; while an operator runs, all its
operands and results lie in the scratchpad.
"""

from __future__ import annotations

from hwspecs.vocabulary.errors import InfeasibleError, ModelError
from ilp.problem import Item, Problem, Task, Way
from mappings.flatten import unrolled
from workloads.graph import Operator, OperatorGraph, Repeat, Role

PARAMETERS = frozenset({Role.WEIGHT, Role.KV_CACHE, Role.OPTIMIZER_STATE})
"""Roles that are left out where only activations count."""


def atomic_problem(graph: OperatorGraph, *, weights: bool = False) -> Problem:
    """The problem of ``graph``, repeats written out.

    Views are the tensors behind them. A tensor that one operator alone reads and nobody makes, and one that nobody reads, is no item: it
    takes room in its operator's step (``Problem.private``) and costs compulsory traffic alone.

    Args:
        weights: count weights, caches and optimizer states too.

    Raises:
        ModelError: the graph holds no operator that computes.
    """
    while any(isinstance(node, Repeat) for node in graph.nodes):
        graph = unrolled(graph)
    operators = [node for node in graph.nodes if isinstance(node, Operator)]
    behind = {name: node.inputs[0] for node in operators if node.kind == "view" and node.inputs for name in node.outputs}

    def root(name: str) -> str:
        while name in behind:
            name = behind[name]
        return name

    def counted(names: tuple[str, ...]) -> list[str]:
        found = dict.fromkeys(root(name) for name in names)
        return [name for name in found if weights or graph.tensors[name].role not in PARAMETERS]

    working = [node for node in operators if node.kind != "view"]
    if not working:
        raise ModelError("has no operator to schedule", where=graph.name)
    reads, writes = [counted(node.inputs) for node in working], [counted(node.outputs) for node in working]
    maker = {name: index for index, names in enumerate(writes) for name in names}
    users: dict[str, list[int]] = {}
    for index, names in enumerate(reads):
        for name in names:
            users.setdefault(name, []).append(index)
    leaving = {root(name) for name in graph.outputs}
    items: list[Item] = []
    number: dict[str, int] = {}
    for name in dict.fromkeys(name for pair in zip(reads, writes, strict=True) for names in pair for name in names):
        used = users.get(name, [])
        if not used or (name not in maker and len(used) == 1):
            continue
        number[name] = len(items)
        stored = name in leaving or name not in maker
        items.append(Item(name, graph.tensors[name].stored_bytes, maker.get(name), tuple(used), stored))
    tasks, private = [], []
    for node, ins, outs in zip(working, reads, writes, strict=True):
        touched = dict.fromkeys((*ins, *outs))
        size = sum(graph.tensors[name].stored_bytes for name in touched)
        tasks.append(
            Task(
                node.name,
                tuple(number[name] for name in ins if name in number),
                tuple(number[name] for name in outs if name in number),
                (Way(size),),
            )
        )
        private.append(tuple((name, graph.tensors[name].stored_bytes) for name in touched if name not in number))
    return Problem(graph.name, tuple(items), tuple(tasks), True, tuple(private), _updates(graph, working))


def _updates(graph: OperatorGraph, working: list[Operator]) -> tuple[tuple[int, int], ...]:
    """(reader, updater) pairs: whoever reads a storage must run before what updates it in place."""
    pairs: list[tuple[int, int]] = []
    for second, node in enumerate(working):
        for name in node.outputs:
            old = graph.tensors[name].alias_of
            if old is None:
                continue
            pairs.extend((first, second) for first in range(second) if old in working[first].inputs)
    return tuple(dict.fromkeys(pairs))


def least_capacity(problem: Problem) -> int:
    """M_R: bytes of the operator that needs most in its smallest way (arXiv 2311.18246, section V)."""
    return max(min(way.bytes for way in task.ways) for task in problem.tasks)


def check_fits(problem: Problem, capacity: int) -> None:
    """Every operator must fit alone.

    Raises:
        InfeasibleError: names the operator that needs most, and by how much it is too large.
    """
    worst = max(problem.tasks, key=lambda task: min(way.bytes for way in task.ways))
    need = min(way.bytes for way in worst.ways)
    if need > capacity:
        raise InfeasibleError(
            f"needs {need} bytes at once, {need - capacity} more than the scratchpad of {capacity}",
            where=worst.name,
            hint="use a larger scratchpad, or give hardware (--hw) so that operators are cut into tiles",
        )
