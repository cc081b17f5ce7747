"""COSMA's problem straight from an operator graph: operators and tensors are atomic, one way per operator, no hardware.

The sets follow arXiv 2311.18246, section III: either activations alone, or activations and parameters; while an operator runs, all its
operands and results lie in the scratchpad.
"""

from __future__ import annotations

from dataclasses import replace

from hwspecs.vocabulary.errors import InfeasibleError, ModelError
from ilp.decompose import orders_of
from ilp.problem import Item, Problem, Task, Way
from workloads.graph import Operator, OperatorGraph, Repeat, Role
from workloads.passes.unroll import unrolled

PARAMETERS = frozenset({Role.WEIGHT, Role.KV_CACHE, Role.OPTIMIZER_STATE})
"""Roles that are left out where only activations count."""


def atomic_problem(graph: OperatorGraph, *, weights: bool = False, in_place: bool = False, concat_views: bool = False) -> Problem:
    """The problem of ``graph``, repeats written out.

    Views are the tensors behind them. A tensor that one operator alone reads and nobody makes, and one that nobody reads, is no item: it
    takes room in its operator's step (``Problem.private``) and costs compulsory traffic alone.

    Args:
        weights: count weights, caches and optimizer states too.
        in_place: an elementwise operator may write over an operand of equal size that dies there in every order (``overwrites_of``).
        concat_views: an operator that only joins tensors is left out; who reads the joined tensor reads its parts, which stay until then
            (``Problem.views``). The parts may come from anywhere and go off chip one by one.

    Raises:
        ModelError: the graph holds no operator that computes.
    """
    while any(isinstance(node, Repeat) for node in graph.nodes):
        graph = unrolled(graph)
    operators = [node for node in graph.nodes if isinstance(node, Operator)]
    behind = {name: node.inputs[:1] for node in operators if node.kind == "view" and node.inputs for name in node.outputs}
    if concat_views:
        behind |= {node.outputs[0]: node.inputs for node in operators if _joins(graph, node)}

    def roots(name: str) -> list[str]:
        return [root for part in behind[name] for root in roots(part)] if name in behind else [name]

    def counted(names: tuple[str, ...]) -> list[str]:
        found = dict.fromkeys(root for name in names for root in roots(name))
        return [name for name in found if weights or graph.tensors[name].role not in PARAMETERS]

    working = [node for node in operators if node.kind != "view" and not (node.outputs and node.outputs[0] in behind)]
    if not working:
        raise ModelError("has no operator to schedule", where=graph.name)
    reads, writes = [counted(node.inputs) for node in working], [counted(node.outputs) for node in working]
    leaving = {root for name in graph.outputs for root in roots(name)}
    items, number = _items(graph, reads, writes, leaving)
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
    joined = [tuple(number[root] for root in roots(name) if root in number) for node in working for name in node.inputs if name in behind]
    views = tuple(dict.fromkeys(parts for parts in joined if len(parts) > 1))
    problem = Problem(graph.name, items, tuple(tasks), True, tuple(private), _updates(graph, working), (), views)
    return _in_place(problem, working) if in_place else problem


def _items(
    graph: OperatorGraph, reads: list[list[str]], writes: list[list[str]], leaving: set[str]
) -> tuple[tuple[Item, ...], dict[str, int]]:
    """The items, and name to number."""
    maker = {name: index for index, names in enumerate(writes) for name in names}
    users: dict[str, list[int]] = {}
    for index, names in enumerate(reads):
        for name in names:
            users.setdefault(name, []).append(index)
    items: list[Item] = []
    number: dict[str, int] = {}
    for name in dict.fromkeys(name for pair in zip(reads, writes, strict=True) for names in pair for name in names):
        used = users.get(name, [])
        if not used or (name not in maker and len(used) == 1):
            continue
        number[name] = len(items)
        stored = name in leaving or name not in maker
        items.append(Item(name, graph.tensors[name].stored_bytes, maker.get(name), tuple(used), stored))
    return tuple(items), number


def _joins(graph: OperatorGraph, node: Operator) -> bool:
    """Whether an operator only lays its operands side by side: a copy of several different tensors that loses nothing."""
    if node.kind != "copy" or len(node.outputs) != 1 or len(set(node.inputs)) != len(node.inputs) or len(node.inputs) < 2:
        return False
    result = graph.tensors[node.outputs[0]]
    return result.alias_of is None and sum(graph.tensors[name].stored_bytes for name in node.inputs) == result.stored_bytes


def _in_place(problem: Problem, working: list[Operator]) -> Problem:
    """The problem in which elementwise operators write over an operand."""
    found = overwrites_of(problem, frozenset(index for index, node in enumerate(working) if node.kind == "elementwise"))
    tasks = list(problem.tasks)
    for index, _, new in found:
        way = tasks[index].ways[0]
        tasks[index] = replace(tasks[index], ways=(replace(way, bytes=way.bytes - problem.items[new].bytes),))
    return replace(problem, tasks=tuple(tasks), overwrites=found)


def overwrites_of(problem: Problem, elementwise: frozenset[int]) -> tuple[tuple[int, int, int], ...]:
    """(operator, operand, result) where an elementwise operator may write its result over an operand.

    The operand has the size of the result, and all its other readers are ancestors of the operator: so it dies there whatever the order.
    (An operand that dies there in some orders only keeps a place of its own.) The first such operand is taken.
    """
    ancestors, _ = orders_of(problem)
    found = []
    for index in sorted(elementwise):
        task = problem.tasks[index]
        if len(task.writes) != 1:
            continue
        new = task.writes[0]
        for old in task.reads:
            item = problem.items[old]
            dies = all(user == index or ancestors[index] >> user & 1 for user in item.users)
            if dies and item.bytes == problem.items[new].bytes:
                found.append((index, old, new))
                break
    return tuple(found)


def compulsory_bytes(graph: OperatorGraph, *, weights: bool = False) -> int:
    """Bytes that every plan of ``atomic_problem`` moves: what nobody makes comes in once, what leaves goes out once."""
    while any(isinstance(node, Repeat) for node in graph.nodes):
        graph = unrolled(graph)
    operators = [node for node in graph.nodes if isinstance(node, Operator)]
    behind = {name: node.inputs[0] for node in operators if node.kind == "view" and node.inputs for name in node.outputs}

    def root(name: str) -> str:
        while name in behind:
            name = behind[name]
        return name

    working = [node for node in operators if node.kind != "view"]
    made = {name for node in working for name in node.outputs}
    read = {root(name) for node in working for name in node.inputs}
    moved = [*sorted(read - made), *sorted({root(name) for name in graph.outputs})]
    return sum(graph.tensors[name].stored_bytes for name in moved if weights or graph.tensors[name].role not in PARAMETERS)


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
