"""Precedences of cheaper plans and bounds from crossings, against brute force, the down-set program, and training steps by hand."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

import ilp.downset
import workloads
from ilp.atomic import atomic_problem
from ilp.decompose import orders_of
from ilp.downset import plan_of, sweep
from ilp.order_model import OrderModel, free_pairs, order_bound
from ilp.precedences import closure, tightened
from ilp.problem import Item, Problem, Task, Way
from ilp.recount import recount
from ilp.solve import solve
from tests.naive.memory import least_extra_bytes, random_problem


def problem_of(name, operators, own=None):
    """A problem from (item sizes by name, operators as (reads, writes)); items that nobody makes come from off chip."""
    sizes, rows = operators
    makers = {written: index for index, (_, writes) in enumerate(rows) for written in writes}
    users = {item: tuple(index for index, (reads, _) in enumerate(rows) if item in reads) for item in sizes}
    kept = [item for item in sizes if users[item] and (item in makers or len(users[item]) > 1)]
    number = {item: place for place, item in enumerate(kept)}
    items = tuple(Item(item, sizes[item], makers.get(item), users[item], item not in makers) for item in kept)
    tasks = []
    for index, (reads, writes) in enumerate(rows):
        size = sum(sizes[item] for item in {*reads, *writes}) + (own or {}).get(index, 0)
        pick = [tuple(number[item] for item in row if item in number) for row in (reads, writes)]
        tasks.append(Task(f"op{index}", *pick, (Way(size),)))
    return Problem(name, items, tuple(tasks))


def training_chain(layers, size, weight):
    """conv and relu per layer, forward; then per layer the relu's gradient, the input's and the weights'. The gradient that enters is
    the first relu gradient's own."""
    sizes = {"a0": size}
    rows = []
    for k in range(layers):
        sizes |= {f"w{k}": weight, f"c{k}": size, f"a{k + 1}": size, f"g{k}": size, f"h{k}": size, f"d{k}": weight}
        rows += [((f"a{k}", f"w{k}"), (f"c{k}",)), ((f"c{k}",), (f"a{k + 1}",))]
    for k in reversed(range(layers)):
        rows.append(((f"a{k + 1}", *((f"h{k + 1}",) if k + 1 < layers else ())), (f"g{k}",)))
        if k:
            rows.append(((f"g{k}", f"w{k}"), (f"h{k}",)))
        rows.append(((f"a{k}", f"g{k}"), (f"d{k}",)))
    return problem_of(f"chain {layers}", (sizes, rows), own={2 * layers: size})


def lstm(steps, weight, gates, state):
    """Per step the input's product, the recurrent one, and the cell; all steps read the same two matrices."""
    sizes, rows = {"w": weight, "r": weight}, []
    for k in range(steps):
        sizes |= {f"x{k}": gates, f"y{k}": gates, f"h{k}": state, f"c{k}": state}
        rows.append((("w",), (f"x{k}",)))
        if k:
            rows.append(((f"h{k - 1}", "r"), (f"y{k}",)))
        rows.append(((f"x{k}", *((f"y{k}", f"c{k - 1}") if k else ())), (f"h{k}", f"c{k}")))
    return problem_of(f"lstm {steps}", (sizes, rows))


@pytest.mark.parametrize("seeds", [range(30), pytest.param(range(40, 340), marks=pytest.mark.slow)])
def test_random_graphs(seeds):
    """The precedences keep an optimal plan and, asked for something cheaper, leave none; no bound is above the optimum, and with all pairs
    it is there."""
    kept = closed = 0
    for seed in seeds:
        problem, capacity = random_problem(seed, 7)
        least = least_extra_bytes(problem, capacity)
        tight = tightened(problem, capacity, least + 1)
        assert least_extra_bytes(tight, capacity) == least, seed
        cheaper = tightened(problem, capacity, least)
        if cheaper is not None:
            found = least_extra_bytes(cheaper, capacity)
            assert found is None or found >= least, seed
        kept += len(tight.after) > len(problem.after)
        closed += cheaper is None
        pairs = list(combinations(range(len(problem.tasks)), 2))
        some = random.Random(seed).sample(pairs, len(pairs) // 2)
        for chosen in ((), some):
            assert order_bound(problem, capacity, pairs=chosen).bound_bytes <= least, seed
            assert order_bound(tight, capacity, pairs=chosen).bound_bytes <= least, seed
        assert order_bound(problem, capacity, pairs=pairs).bound_bytes == least, seed
    assert kept > len(seeds) // 20
    assert closed > len(seeds) // 20


@pytest.mark.parametrize(("layers", "weight"), [(3, 0), (3, 3), (4, 3), (5, 0)])
def test_training_chains(layers, weight):
    """Short training steps at all capacities of interest, against the complete down-set program."""
    problem = training_chain(layers, 10, weight)
    for capacity in (30, 33, 40, 47, 55):
        least = sweep(problem, capacity, width=10**6)
        assert least.complete
        pairs = free_pairs(problem, 10**6)
        assert order_bound(problem, capacity).bound_bytes <= least.extra_bytes
        assert order_bound(problem, capacity, pairs=pairs).bound_bytes == least.extra_bytes
        tight = tightened(problem, capacity, least.extra_bytes + 1)
        assert sweep(tight, capacity, width=10**6).extra_bytes == least.extra_bytes
        found = solve(problem, capacity)
        assert (found.extra_bytes, found.proven) == (least.extra_bytes, True)


def test_a_training_chain_by_hand():
    """64 layers at 35 activations: 64 inputs of layers cross the last relu's gradient, which takes 3; 32 of them have no room. The input of
    the network has a copy off chip and costs one, 31 others are stored and fetched."""
    graph = workloads.load_model("training-chain-64", format="int8", fuse=False)
    problem = atomic_problem(graph)
    unit = 200_704
    found = solve(problem, 35 * unit)
    assert (found.extra_bytes, found.lower_bound_bytes) == (63 * unit, 63 * unit)


def test_either_order_of_a_gradient_costs_more():
    """Weights beside activations of 10 in 30: beside the product for the input's gradient, with its weights of 3, no third activation has
    room. So the layer's input is fetched for each gradient of layers 1 and 2, or 20 bytes go for something else. Per layer: a store and two
    fetches of its input, and one fetch of its weights; the network's input is fetched once again. All activations cross the last gradient.
    The weights' gradients may run before or after: only a model that knows of both orders sees it."""
    problem = training_chain(3, 10, 3)
    assert order_bound(problem, 30).bound_bytes == 2 * (20 + 3) + 10
    assert order_bound(problem, 30, pairs=free_pairs(problem, 10**6)).bound_bytes == 2 * (30 + 3) + 10


def test_an_lstm_loads_each_matrix_once():
    """A scratchpad for one matrix: whoever fetches one twice moves 1000 bytes, so all inputs' products run before any recurrent one."""
    problem = lstm(6, 1000, 4, 1)
    capacity = 1000 + 4 + 4 + 5
    tight = tightened(problem, capacity, 1000)
    before = closure([set(row) for row in tight.predecessors()])
    number = {item.name: place for place, item in enumerate(tight.items)}
    products = {name: [v for v, task in enumerate(tight.tasks) if number[name] in task.reads] for name in "wr"}
    assert all(before[late, early] for late in products["r"] for early in products["w"])
    least = sweep(problem, capacity, width=10**6)
    assert least.complete
    assert least.extra_bytes < 1000
    found = solve(problem, capacity)
    assert (found.extra_bytes, found.proven) == (least.extra_bytes, True)


def test_orders_with_precedences_against_the_program():
    """Operators 0 and 1 in the order 1, 0."""
    problem, _ = random_problem(3, 2)
    free = Problem("free", (), (Task("a", (), (), (Way(1),)), Task("b", (), (), (Way(1),))), after=((1, 0),))
    assert orders_of(free) == ([2, 0], [0, 1])
    assert closure([{1}, {0}]) is None
    assert tightened(problem, 10**6, 10**6).after == problem.after


def test_one_odd_size_does_not_make_units_small():
    """With two million units of one byte, the odd size is counted as 3 of 256 bytes; bounds stay below the optimum."""
    sizes = {"a": 2**20, "b": 2**20, "c": 1001, "d": 256}
    rows = [((), ("a", "c")), (("a",), ("b",)), (("b",), ("d",)), (("a", "b", "c", "d"), ())]
    problem = problem_of("odd", (sizes, rows), own={2: 2**21})
    capacity = max(task.ways[0].bytes for task in problem.tasks)
    model = OrderModel(problem, capacity)
    assert model.unit == 256
    least = least_extra_bytes(problem, capacity)
    assert least - 2 * 256 <= order_bound(problem, capacity).bound_bytes <= least


def test_a_layer_in_small_steps_is_the_same_layer(monkeypatch):
    """Where a call to the kernel ends changes nothing; where the clock ends a layer, the plan is valid and the bound true."""
    for seed in range(12):
        problem, capacity = random_problem(seed, 12)
        whole = sweep(problem, capacity, width=64)
        with monkeypatch.context() as patch:
            patch.setattr(ilp.downset, "CHUNK", 1)
            assert sweep(problem, capacity, width=64) == whole
            for steps in (0, 3, 10):
                left = iter(range(steps))
                cut = sweep(problem, capacity, width=64, over=lambda left=left: next(left, None) is None)
                assert cut.bound_bytes <= whole.extra_bytes
                if cut.order is not None:
                    assert recount(problem, plan_of(problem, cut.order, cut.kept), capacity) == cut.extra_bytes >= cut.bound_bytes
