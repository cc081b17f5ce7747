"""Pre-generation: N:M copies of a weight made while the optimizer's results stream by, not read back from memory first.

A ``prune`` operator with the attribute ``pregenerated`` that takes what an ``update`` operator makes joins that operator: tile by tile
the vector unit hands new weights to the reduction engine, whose copies leave beside the weights themselves. The engine works while the
update loads and stores, and the dense weights are read once less. Without the attribute copies are made on line, before the product.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from hwspecs.hardware import ComputeUnit, Hardware
from mappings.cores.view import cores_of, on_core
from mappings.dataflow import PORT, Alternative, Edge, MappedGraph, MappedOperator, Stage
from mappings.groups import Group, Stretch, standing_for, stretches, with_groups
from mappings.sparse_array.reduction import ENGINE, engine_actions, engine_cycles
from mappings.vector import even
from workloads.graph import Operator, OperatorGraph, Repeat

STREAMED = "update and reduction"


def streamed(mapped: MappedGraph) -> MappedGraph:
    """``mapped`` with pre-generated copies made in the updates that they follow."""
    chosen: dict[int, list[Group]] = {}
    for number, stretch in enumerate(stretches(mapped)):
        groups = list(_groups(stretch, mapped.hardware))
        if groups:
            chosen[number] = groups
    return with_groups(mapped, chosen)


def pregenerated(operator: Operator) -> bool:
    """Whether an operator makes copies ahead of their use."""
    return operator.kind == "prune" and bool(operator.attributes.get("pregenerated", False))


def hoisted(graph: OperatorGraph) -> OperatorGraph:
    """``graph`` with each pre-generating operator right after the update that it follows, in the graph itself and in bodies of repeats."""
    made = {name: node.name for node in graph.nodes if isinstance(node, Operator) and node.kind == "update" for name in node.outputs}
    waiting: dict[str, list[Operator]] = {}
    rest: list[Operator | Repeat] = []
    for node in graph.nodes:
        if isinstance(node, Repeat):
            rest.append(replace(node, body=hoisted(node.body)))
            continue
        sources = {made.get(name, "") for name in node.inputs} if pregenerated(node) else set()
        if len(sources) == 1 and "" not in sources:
            waiting.setdefault(sources.pop(), []).append(node)
        else:
            rest.append(node)
    if not waiting and all(one is other for one, other in zip(rest, graph.nodes, strict=True)):
        return graph
    nodes = [item for node in rest for item in (node, *waiting.get(node.name, ()))]
    return replace(graph, nodes=tuple(nodes))


def _groups(stretch: Stretch, hardware: Hardware) -> list[Group]:
    """An update and the pre-generating operators right after it that take what it makes, each time they occur."""
    found: list[Group] = []
    operators, items = stretch.operators, stretch.block.operators
    place = 0
    while place < len(operators):
        last = place
        if operators[place].kind == "update":
            made = set(items[place].writes)
            while last + 1 < len(operators) and _joins(operators[last + 1], items[last + 1], made, hardware):
                last += 1
        if last > place:
            found.append(Group(place, last, _joined(stretch, place, last, hardware)))
        place = last + 1
    return found


def _joins(operator: Operator, item: MappedOperator, made: set[str], hardware: Hardware) -> bool:
    unit = hardware.units.get(item.unit)
    return pregenerated(operator) and set(item.reads) <= made and unit is not None and "reduction.lanes" in unit.parameters


def _joined(stretch: Stretch, first: int, last: int, hardware: Hardware) -> MappedOperator:
    update = stretch.block.operators[first]
    alone = [
        one for one in update.alternatives if hardware.cores == 1 or cores_of(one) == {0}
    ]  # its new weights pass the engine of its core
    alternatives = [_with_copies(one, stretch, first, last, hardware) for one in alone]
    mapped = standing_for(stretch, first, last, STREAMED, alternatives, update.unit)
    return replace(mapped, training_pass=update.training_pass)


def _with_copies(update: Alternative, stretch: Stretch, first: int, last: int, hardware: Hardware) -> Alternative:
    """The update's own stages, and for each copy a stage on the engine and one that stores it."""
    dram, chip = hardware.dram.name, hardware.on_chip
    name = chip.name if chip is not None else update.stages[-1].unit
    source = next(stage for stage in update.stages if not stage.unit.startswith(PORT))
    many = hardware.cores > 1
    stages, edges = list(update.stages), list(update.edges)
    actions, breakdown = dict(update.actions), dict(update.breakdown)
    stored = sorting = 0
    for index in range(first + 1, last + 1):
        operator, item = stretch.operators[index], stretch.block.operators[index]
        unit: ComputeUnit = hardware.units[item.unit]
        cycles, size = engine_cycles(operator, stretch.tensors, unit, hardware), sum(item.writes.values())
        sort, store = f"sort {index - first}", f"store copy {index - first}"
        stages.insert(0, Stage(store, PORT + dram, even(item.writes, source.firings, name, dram)))
        engine = f"{unit.name}.{ENGINE}"
        stages.append(Stage(sort, on_core(engine, 0) if many else engine, even({"": cycles}, source.firings)))
        edges += [Edge(source.name, sort, 1, 1, 0, 2), Edge(sort, store, 1, 1, 0, 2)]
        for action, number in engine_actions(operator, stretch.tensors, unit).items():
            actions[action] = actions.get(action, 0.0) + number
        if chip is not None:
            actions[f"{name}.write.byte"] = actions.get(f"{name}.write.byte", 0.0) + size
            actions[f"{name}.read.byte"] = actions.get(f"{name}.read.byte", 0.0) + size
        sorting, stored = sorting + cycles, stored + size
    transfer = ceil(stored * hardware.clock_hz / hardware.dram.achieved_bandwidth(stored or 1))
    breakdown[ENGINE] = sorting
    breakdown[f"memory {dram}"] = breakdown.get(f"memory {dram}", 0) + transfer
    return Alternative(
        f"{update.name}, copies on the way",
        tuple(stages),
        tuple(edges),
        update.working_set_bytes + 2 * -(-stored // source.firings),
        max(update.cycles_estimate + transfer, sorting),
        actions,
        breakdown,
        update.notes,
    )
