"""Memory-scheduling problems of searched networks with one operator per convolution unit.

The networks of `memory_instances.yaml` hold each ReLU, convolution and normalization as an operator. Earlier studies of these cells
counted a unit (ReLU, a single or double separable convolution, normalization) as one operator, three to five times fewer. These are such
problems, activations alone, 8 bits: operands and results of a unit lie in the scratchpad whole, what is inside a unit takes no room.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from ilp.problem import Item, Problem, Task, Way
from workloads.zoo.nas_blocks import Cell
from workloads.zoo.nas_cells import AMOEBANET_NORMAL, NASNET_NORMAL, NASNET_REDUCTION, PNASNET
from workloads.zoo.nas_darts import NORMAL as DARTS_NORMAL
from workloads.zoo.nas_random import wiring

Parts = tuple[int, ...]
"""Tensors that together are one activation: one, or the parts of a join that is a view."""

PIXELS = 28 * 28
_IDLE = frozenset(("none", "skip"))


class Units:
    """Operators and tensors under construction.

    Args:
        views: a join of branches is no operator and no copy: its readers read the branches.
    """

    def __init__(self, name: str, views: bool) -> None:
        self.name, self.views = name, views
        self.sizes: list[int] = []
        self.made: list[tuple[str, Parts, int]] = []

    def input(self, size: int) -> Parts:
        """An activation of ``size`` bytes that enters."""
        self.sizes.append(size)
        return (len(self.sizes) - 1,)

    def unit(self, name: str, reads: Parts, size: int) -> Parts:
        """An operator whose result has ``size`` bytes."""
        made = self.input(size)
        self.made.append((name, tuple(dict.fromkeys(reads)), made[0]))
        return made

    def join(self, name: str, parts: Parts) -> Parts:
        """The parts, or an operator that copies them."""
        return parts if self.views else self.unit(name, parts, sum(self.sizes[part] for part in parts))

    def problem(self, leaving: Parts) -> Problem:
        """The problem in which ``leaving`` is stored at the end."""
        maker = {out: index for index, (_, _, out) in enumerate(self.made)}
        users: dict[int, list[int]] = {}
        for index, (_, reads, _) in enumerate(self.made):
            for tensor in reads:
                users.setdefault(tensor, []).append(index)
        kept = [t for t in range(len(self.sizes)) if users.get(t) and (t in maker or len(users[t]) > 1)]
        number = {tensor: index for index, tensor in enumerate(kept)}
        items = tuple(Item(f"t{t}", self.sizes[t], maker.get(t), tuple(users[t]), t in leaving or t not in maker) for t in kept)
        tasks, private = [], []
        for name, reads, out in self.made:
            touched = (*reads, out)
            writes = (number[out],) if out in number else ()
            size = sum(self.sizes[tensor] for tensor in touched)
            tasks.append(Task(name, tuple(number[tensor] for tensor in reads if tensor in number), writes, (Way(size),)))
            private.append(tuple((f"t{tensor}", self.sizes[tensor]) for tensor in touched if tensor not in number))
        return Problem(self.name, items, tuple(tasks), True, tuple(private))


def apply(net: Units, cell: Cell, states: list[Parts], name: str, size: int, stride: int = 1) -> Parts:
    """One cell on two inputs of any size; a state has ``size`` bytes, at stride 2 the first two have four times the pixels."""
    states = [net.unit(f"{name}.state{index}", parts, stride * stride * size) for index, parts in enumerate(states)]
    for step, pair in enumerate(cell.steps):
        halves = [
            states[state] if kind in _IDLE else net.unit(f"{name}.{step}.{side}", states[state], size)
            for side, (kind, state) in zip("ab", pair, strict=True)
        ]
        states.append(net.unit(f"{name}.{step}", halves[0] + halves[1], size))
    return net.join(name, tuple(part for state in cell.joined for part in states[state]))


def body(name: str, cell: Cell, width: int, cells: int, *, older_first: bool = False, views: bool = False) -> Problem:
    """``cells`` equal cells of ``width`` channels on 28 x 28 pixels; what enters is both inputs of the first.

    ``older_first``: state 0 is the older input.
    """
    net = Units(name, views)
    size = width * PIXELS
    older = newer = net.input(len(cell.joined) * size)
    for index in range(cells):
        inputs = [older, newer] if older_first else [newer, older]
        older, newer = newer, apply(net, cell, inputs, f"cell{index}", size)
    return net.problem(newer)


def nasnet(name: str, repeats: int, *, views: bool = False) -> Problem:
    """NASNet-A: three groups of ``repeats`` normal cells, 44 channels at 28 x 28, and the reductions between them.

    A reduction halves the bytes of a state. Behind it the older input comes as two halves of a factorized reduction.
    """
    net = Units(name, views)
    size = 44 * PIXELS
    older = newer = net.input(6 * size)
    for group in range(3):
        for index in range(repeats):
            at = f"group{group}.{index}"
            if group and not index:
                size //= 2
                older, newer = newer, apply(net, NASNET_REDUCTION, [newer, older], f"reduction{group}", size, 2)
                older = net.unit(f"{at}.even", older, size // 2) + net.unit(f"{at}.odd", older, size // 2)
            older, newer = newer, apply(net, NASNET_NORMAL, [newer, older], at, size)
    return net.problem(newer)


def randwire(name: str, nodes: int, seed: int) -> Problem:
    """One stage of RandWire-WS, 78 channels at 28 x 28 from 78 at 56 x 56: a sum and a unit per node, a mean at the end."""
    net = Units(name, False)
    size = 78 * PIXELS
    image, wires = net.input(4 * size), wiring(nodes, Random(seed))
    made: list[Parts] = []
    for node, read in enumerate(wires):
        parts = tuple(part for other in read for part in made[other])
        summed = net.unit(f"{node}.sum", parts, size) if len(parts) > 1 else parts or image
        made.append(net.unit(f"{node}", summed, size))
    inner = {other for read in wires for other in read}
    last = tuple(part for node in range(nodes) if node not in inner for part in made[node])
    return net.problem(net.unit("mean", last, size) if len(last) > 1 else last)


def problems() -> Mapping[str, Problem]:
    """All problems by name; ``views`` in a name: joins are views."""
    found = [
        body("darts-6-views", DARTS_NORMAL, 48, 6, older_first=True, views=True),
        body("darts-14", DARTS_NORMAL, 48, 14, older_first=True),
        nasnet("nasnet-a-1x3-views", 1, views=True),
        nasnet("nasnet-a-4x3", 4),
        body("pnasnet-5-6", PNASNET, 54, 6),
        body("pnasnet-5-14", PNASNET, 54, 14),
        body("amoebanet-d-6", AMOEBANET_NORMAL, 44, 6),
        body("amoebanet-d-14", AMOEBANET_NORMAL, 44, 14),
        randwire("randwire-ws16-s1", 16, 1),
        randwire("randwire-ws32-s1", 32, 1),
    ]
    return {problem.name: problem for problem in found}
