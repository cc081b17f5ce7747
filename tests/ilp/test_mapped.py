"""Schedules of mapped graphs: against brute force, the laws, the checker, and a chain by hand."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs import load_hardware
from hwspecs.vocabulary.errors import ContractError, InfeasibleError
from ilp import optimal_schedule, replay, trivial_schedule
from ilp.lifetimes import compulsory
from ilp.parts import without_parts
from ilp.rounds import off_chip_bytes
from ilp.schedule import BlockSchedule, Residency
from mappings import map_graph
from mappings.dataflow import Alternative, MappedGraph, MappedOperator, Segment, Stage, Transfer
from simulator import fastest_schedule, simulate
from tests.simulator.build import hardware, layered, mapped_operator, random_graph, straight, tensor
from workloads import load_model
from workloads.graph import Role


def way(name, loads, stores, room, cycles=10):
    """An alternative that moves exactly these bytes."""
    moves = [Transfer(tensor, size, "dram", "spad") for tensor, size in loads.items()]
    moves += [Transfer(tensor, size, "spad", "dram") for tensor, size in stores.items()]
    stage = Stage("all", "array", (Segment(1, cycles, tuple(moves)),))
    return Alternative(name, (stage,), (), room, cycles)


def tiny(rng: random.Random, most: int = 5) -> MappedGraph:
    """Up to five operators, skip connections, weights used twice, and ways that trade room for loads; straight or as a repeat."""
    rounds = rng.choice((1, 1, 2, 3))
    steps = rng.randint(2, most)
    sizes = {"x": rng.randint(1, 6)}
    tensors, operators = [], []
    if rng.random() < 0.4:
        sizes["w"] = rng.randint(1, 6)
        tensors.append(tensor("w", sizes["w"], Role.WEIGHT))
    for step in range(steps):
        out = "y" if step == steps - 1 else f"t{step}"
        names = {"x"} if step == 0 else set(rng.sample(sorted(sizes), min(len(sizes), rng.randint(1, 2))))
        reads = {name: sizes[name] for name in sorted(names)}
        sizes[out] = sizes["x"] if out == "y" else rng.randint(1, 6)
        if out != "y":
            tensors.append(tensor(out, sizes[out]))
        ways = [way("big", reads, {out: sizes[out]}, rng.randint(2, 6), 10)]
        if rng.random() < 0.6:
            again = {name: size * rng.randint(1, 3) for name, size in reads.items()}
            ways.append(way("small", again, {out: sizes[out]}, rng.randint(0, 2), 12))
        operators.append(MappedOperator(f"op{step}", "gemm", "array", tuple(ways), reads=reads, writes={out: sizes[out]}))
    device = hardware(on_chip=rng.randint(6, 16))
    if rounds == 1:
        outputs = ["y", *(name for name in sizes if name.startswith("t") and rng.random() < 0.15)]
        return straight([tensor("x", sizes["x"]), tensor("y", sizes["y"]), *tensors], operators, outputs, device)
    mapped = layered(tensors, operators, rounds, sizes["x"], device)
    shared = ("w",) if "w" in sizes and rng.random() < 0.7 else ()
    (block,) = mapped.blocks
    entering = {**block.entering, **{name: name for name in shared}}
    return replace(mapped, blocks=(replace(block, shared=shared, entering=entering),))


def least_bytes(mapped: MappedGraph) -> int:
    """Brute force over orders, ways and kept gaps of a graph of one block; whether addresses exist is not asked."""
    (block,) = mapped.blocks
    capacity = mapped.hardware.on_chip.size_bytes
    count = len(block.operators)
    best = None
    for order in itertools.permutations(range(count)):
        position = {index: step for step, index in enumerate(order)}
        maker = {name: index for index, item in enumerate(block.operators) for name in item.writes}
        if any(
            name in maker and position[maker[name]] > position[index] for index, item in enumerate(block.operators) for name in item.reads
        ):
            continue
        gaps = list(_gaps(block, order, position, maker))
        for picked in itertools.product((False, True), repeat=len(gaps)):
            kept = [gap for gap, taken in zip(gaps, picked, strict=True) if taken]
            plan = _plan_of(block, order, position, maker, kept)
            for ways in itertools.product(*(range(len(item.alternatives)) for item in block.operators)):
                rooms = [block.operators[index].alternatives[ways[index]].working_set_bytes for index in order]
                for stay in plan.residencies:
                    for step in range(max(stay.first, 0), min(stay.last, count - 1) + 1):
                        rooms[step] += stay.bytes
                if max(rooms) > capacity:
                    continue
                moved = replay._Replay(mapped, block, replace(plan, alternatives=ways)).bytes()
                best = moved if best is None else min(best, moved)
    return best


def _gaps(block, order, position, maker):
    """(tensor at the end, first step, last step, tensor at the beginning) of what may stay."""
    readers = {}
    for step, index in enumerate(order):
        for name in block.operators[index].reads:
            readers.setdefault(name, []).append(step)
    for name, steps in readers.items():
        touches = ([position[maker[name]]] if name in maker else []) + steps
        yield from ((name, first, last, name) for first, last in itertools.pairwise(touches))
    if block.count > 1:
        pairs = [*((output, inner) for output, inner in block.carried if output in maker), *((name, name) for name in block.shared)]
        for output, inner in pairs:
            if inner in readers:
                ends = readers.get(output, [])
                last = max([*ends, position[maker[output]]] if output in maker else ends)
                yield output, last, readers[inner][0], inner


def _plan_of(block, order, position, maker, kept):
    """The plan that keeps these gaps, without addresses: a carried tensor may still be there when the next one is made."""
    count = len(order)
    stays, reads = [], set()
    around = [gap for gap in kept if gap[2] <= gap[1] or gap[0] != gap[3]]
    for name, first, last, inner in kept:
        reads.add((order[last], inner))
        if (name, first, last, inner) in around:
            stays += [[inner, -1, last], [name, first, count]]
        else:
            stays.append([name, first, last])
    stays.sort()
    joined = []
    for stay in stays:
        if joined and joined[-1][0] == stay[0] and joined[-1][2] == stay[1]:
            joined[-1][2] = stay[2]
        else:
            joined.append(stay)
    handed = {output for output, _, _, _ in around}
    writes = set()
    for name, index in maker.items():
        users = [other for other, item in enumerate(block.operators) if name in item.reads]
        carried = block.count > 1 and any(output == name for output, _ in block.carried)
        needed = any((other, name) not in reads for other in users)
        if name in handed:
            inner = next(inner for output, inner in block.carried if output == name)
            needed = needed or any((other, inner) not in reads for other, item in enumerate(block.operators) if inner in item.reads)
        elif name in block.leaving or carried:
            needed = True
        if not needed:
            writes.add((index, name))
    size = {name: item.stored_bytes for name, item in block.tensors.items()}
    return BlockSchedule(order, (), tuple(Residency(n, a, b, 0, size[n]) for n, a, b in joined), frozenset(reads), frozenset(writes))


def check_against_brute_force(seeds, most):
    """How many of the graphs of ``seeds`` got a proven schedule."""
    proven = 0
    for seed in seeds:
        mapped = tiny(random.Random(seed), most)
        schedule = optimal_schedule(mapped)
        least = least_bytes(mapped) - compulsory(mapped).bytes
        assert schedule.lower_bound_bytes <= least <= schedule.extra_bytes, seed
        assert schedule.extra_bytes <= trivial_schedule(mapped).extra_bytes, seed
        assert not schedule.proven or schedule.extra_bytes == least, seed
        proven += schedule.proven
    return proven


def test_no_plan_of_brute_force_moves_less():
    assert check_against_brute_force(range(1000, 1120), 4) >= 115  # for a few no addresses are found


def test_no_plan_of_brute_force_moves_less_with_five_operators():
    assert check_against_brute_force(range(1, 6), 5) >= 4


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_random_graphs_get_plans_that_the_checker_accepts_and_never_worse_ones(seed):
    mapped = random_graph(random.Random(seed))
    schedule = optimal_schedule(mapped)
    replay.check(mapped, schedule)
    assert "refused" not in schedule.method
    assert schedule.lower_bound_bytes <= schedule.extra_bytes <= trivial_schedule(mapped).extra_bytes
    fast = fastest_schedule(mapped)
    replay.check(mapped, fast)
    cycles = [simulate(mapped, one, timeline=False).cycles for one in (trivial_schedule(mapped), schedule, fast)]
    assert cycles[2] <= min(cycles)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_more_room_never_moves_more_bytes(seed):
    mapped = tiny(random.Random(seed), 4)
    wide = replace(mapped, hardware=hardware(on_chip=mapped.hardware.on_chip.size_bytes + 3))
    found, other = optimal_schedule(mapped), optimal_schedule(wide)
    if found.proven and other.proven:
        assert other.extra_bytes <= found.extra_bytes


def fork(device=None):
    """x -> a (600 bytes); b (500) and c (100) are made of a, y of both; each operator works in 300 bytes."""
    tensors = [tensor(name, size) for name, size in (("x", 50), ("a", 600), ("b", 500), ("c", 100), ("y", 10))]
    operators = [
        mapped_operator("make_a", {"x": 50}, {"a": 600}, working_set=300),
        mapped_operator("make_b", {"a": 600}, {"b": 500}, working_set=300),
        mapped_operator("make_c", {"a": 600}, {"c": 100}, working_set=300),
        mapped_operator("join", {"b": 500, "c": 100}, {"y": 10}, working_set=300),
    ]
    return straight(tensors, operators, ["y"], device or hardware(on_chip=1_000))


def test_a_fork_by_hand():
    # a place is taken while its tensor is made or read for the last time: a, b and the working set need 1,400 bytes, a and c 1,000.
    # So a stays for both, c stays, and b is stored and fetched: 2 x 500; giving up a instead would cost 3 x 600 (stored, fetched twice)
    schedule = optimal_schedule(fork())
    assert (schedule.extra_bytes, schedule.proven) == (1_000, True)
    (plan,) = schedule.blocks
    assert {read for read in plan.kept_reads if read[0] == 3} == {(3, "c")}
    assert plan.kept_writes == {(0, "a"), (2, "c")}
    # all three beside a working set need 1,500 bytes; with one byte less c (2 x 100) gives way
    assert optimal_schedule(fork(hardware(on_chip=1_499))).extra_bytes == 200
    roomy = optimal_schedule(fork(hardware(on_chip=1_500)))
    assert (roomy.extra_bytes, roomy.proven) == (0, True)


def test_a_spilled_tensor_costs_time_and_energy_and_a_kept_one_saves_both():
    tight, roomy = fork(), fork(hardware(on_chip=1_500))
    spilled, kept = (simulate(mapped, optimal_schedule(mapped), timeline=False) for mapped in (tight, roomy))
    assert spilled.dram_bytes - kept.dram_bytes == 1_000
    assert spilled.cycles > kept.cycles
    # 10 pJ per byte read and 20 per byte written off chip; on chip 1 and 2 in place of them
    assert spilled.energy_by_component["dram"] - kept.energy_by_component["dram"] == pytest.approx(500 * 30e-12)
    # 100 bytes per cycle: 500 bytes hold the port for 5 cycles in each operator, in four tiles that the next tile's load overlaps with
    assert 0 < spilled.cycles - kept.cycles <= 2 * 8
    trivial = simulate(tight, trivial_schedule(tight), timeline=False)
    assert spilled.dram_bytes <= trivial.dram_bytes
    assert spilled.cycles <= trivial.cycles


def test_a_weight_that_rounds_share_stays_over_all_of_them():
    operators = [mapped_operator("step", {"x": 100, "w": 5_000}, {"y": 100}, working_set=200)]
    mapped = layered([tensor("w", 5_000, Role.WEIGHT)], operators, 10, 100)
    (block,) = mapped.blocks
    mapped = replace(mapped, blocks=(replace(block, shared=("w",), entering={**block.entering, "w": "w"}),))
    for schedule in (trivial_schedule(mapped), optimal_schedule(mapped)):
        replay.check(mapped, schedule)
        assert schedule.extra_bytes == 0
        assert schedule.proven
        assert simulate(mapped, schedule, timeline=False).extra_bytes == 0


@pytest.mark.parametrize(
    ("capacity", "weight", "states"), [(5_400, True, True), (5_399, False, True), (400, False, True), (399, False, False)]
)
def test_a_state_that_its_own_operator_reads_and_replaces_changes_places(capacity, weight, states):
    """x -> y: while the one is read the other is made, so both and the working set take 2 x 100 + 200 bytes; the weight 5,000 more."""
    operators = [mapped_operator("step", {"x": 100, "w": 5_000}, {"y": 100}, working_set=200)]
    mapped = layered([tensor("w", 5_000, Role.WEIGHT)], operators, 10, 100, hardware(on_chip=capacity))
    (block,) = mapped.blocks
    mapped = replace(mapped, blocks=(replace(block, shared=("w",), entering={**block.entering, "w": "w"}),))
    schedule = trivial_schedule(mapped)
    replay.check(mapped, schedule)
    assert schedule.extra_bytes == (0 if weight else 9 * 5_000) + (0 if states else 9 * 200)
    best = optimal_schedule(mapped)
    replay.check(mapped, best)
    assert best.extra_bytes <= schedule.extra_bytes
    assert best.extra_bytes == {5_400: 0, 5_399: 9 * 200, 400: 9 * 5_000, 399: 9 * 5_200}[capacity]
    places = {stay.tensor: stay.address for stay in schedule.blocks[0].residencies}
    assert (places.keys() >= {"x", "y"}) == states


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32))
def test_views_anywhere_change_nothing(seed):
    """An operator that moves nothing, before all others of a round too: what rounds hand on is there beneath it."""
    dice = random.Random(seed)
    mapped = tiny(dice, 4)
    (block,) = mapped.blocks
    operators = list(block.operators)
    for number in range(dice.randint(1, 2)):
        view = MappedOperator(f"view{number}", "view", "array", (Alternative("none", (), (), 0, 0),), reads={}, writes={})
        operators.insert(dice.choice((0, dice.randint(0, len(operators)))), view)
    viewed = replace(mapped, blocks=(replace(block, operators=tuple(operators)),))
    for make in (optimal_schedule, fastest_schedule):
        plain, found = make(mapped), make(viewed)
        replay.check(viewed, found)
        assert "refused" not in found.method
        assert found.extra_bytes == plain.extra_bytes


def test_a_plan_that_the_checker_refuses_gives_way_to_the_trivial_one(monkeypatch):
    mapped = fork()
    check = replay.check

    def refusing(graph, schedule):
        if schedule.method != "trivial":
            raise ContractError("has no place", where="op")
        check(graph, schedule)

    monkeypatch.setattr("ilp.mapped.check", refusing)
    found = optimal_schedule(mapped)
    assert (found.blocks, found.proven) == (trivial_schedule(mapped).blocks, trivial_schedule(mapped).proven)
    assert "refused: op: has no place" in found.method


def test_a_part_that_was_updated_in_place_is_not_taken_for_the_whole():
    tensors = [tensor("c", 1_000, Role.KV_CACHE), tensor("d", 1_000, Role.KV_CACHE, alias_of="c", region=10)]
    operators = [mapped_operator("append", {"x": 100}, {"d": 10}), mapped_operator("attention", {"x": 100, "d": 1_000}, {"y": 100})]
    mapped = layered(tensors, operators, 3, 100)
    honest = optimal_schedule(mapped)
    (plan,) = honest.blocks
    stay = Residency("d", 0, 1, 5_000, 1_000)
    others = tuple(one for one in plan.residencies if one.tensor != "d")
    false = replace(plan, residencies=(*others, stay), kept_reads=plan.kept_reads | {(1, "d")}, kept_parts=frozenset())
    with pytest.raises(ContractError, match="the load of 'd' is kept, but it is not on chip"):
        replay.check(mapped, replace(honest, blocks=(false,)))


def test_the_newest_part_of_a_cache_need_not_be_loaded_again():
    tensors = [tensor("c", 1_000, Role.KV_CACHE), tensor("d", 1_000, Role.KV_CACHE, alias_of="c", region=10)]
    operators = [mapped_operator("append", {"x": 100}, {"d": 10}), mapped_operator("attention", {"x": 100, "d": 1_000}, {"y": 100})]
    mapped = layered(tensors, operators, 7, 100)
    # x is read twice and handed on in a place of its own; the trivial schedule loads the 10 new bytes back in each of 7 rounds
    simple, best = trivial_schedule(mapped), optimal_schedule(mapped)
    (plan,) = best.blocks
    assert plan.kept_parts == {(1, "d", 10)}
    part = next(stay for stay in plan.residencies if stay.tensor == "d")
    assert (part.first, part.last, part.bytes) == (0, 1, 10)
    played = {name: simulate(mapped, one, timeline=False) for name, one in (("simple", simple), ("best", best))}
    assert played["best"].extra_bytes == best.extra_bytes
    loads = {name: result.operators[1].bytes_by_memory["dram"][0] for name, result in played.items()}
    assert loads["simple"] - loads["best"] >= 7 * 10
    for nbytes in (11, 2_000):
        false = replace(plan, kept_parts=frozenset({(1, "d", nbytes)}))
        with pytest.raises(ContractError, match=f"{nbytes} bytes of .* load of 'd' are kept"):
            replay.check(mapped, replace(best, blocks=(false,)))


@pytest.mark.parametrize("nbytes", [1, 24, 25, 26, 60, 100])
def test_a_load_less_a_part_moves_so_much_less_in_as_many_firings(nbytes):
    whole = mapped_operator("attention", {"x": 40, "d": 100}, {"y": 100}).alternatives[0]
    part = without_parts(whole, [("d", nbytes)], {"dram"})
    before, after = (off_chip_bytes(one, frozenset({"dram"})) for one in (whole, part))
    assert after == ({"x": 40} | ({"d": 100 - nbytes} if nbytes < 100 else {}), before[1])
    assert [stage.firings for stage in part.stages] == [stage.firings for stage in whole.stages]
    assert [stage.cycles for stage in part.stages] == [stage.cycles for stage in whole.stages]


def test_split_scratchpads_keep_nothing_and_say_so():
    schedule = optimal_schedule(fork(hardware(on_chip=1_400, partitions={"a": 700, "b": 700})))
    assert schedule.blocks[0].residencies == ()
    assert "keeps nothing" in schedule.method
    with pytest.raises(InfeasibleError, match="make_a"):
        optimal_schedule(fork(hardware(on_chip=299)))


@pytest.mark.parametrize(("model", "asked"), [("resnet50", {}), ("mobilenet-v2", {}), ("llama-3-8b", {"phase": "decode", "context": 512})])
@pytest.mark.parametrize("room", ["4 MiB", "1 MiB"])
def test_networks_are_proven_and_no_worse(model, asked, room):
    device = load_hardware("edge-npu", {"memory.scratchpad.size": room})
    mapped = map_graph(load_model(model, default_format=device.default_format, **asked), device)
    simple, best = trivial_schedule(mapped), optimal_schedule(mapped)
    assert best.proven
    assert best.extra_bytes <= simple.extra_bytes
    small, large = (simulate(mapped, one, timeline=False) for one in (best, simple))
    assert small.extra_bytes == best.extra_bytes
    assert small.energy_by_component["dram"] <= large.energy_by_component["dram"] + 1e-12


def test_an_operator_that_does_not_fit_is_tiled():
    device = load_hardware("edge-npu")
    mapped = map_graph(load_model("llama-3-8b", phase="prefill", tokens=512, default_format=device.default_format), device)
    schedule = optimal_schedule(mapped)
    largest = max(sum(item.reads.values()) + sum(item.writes.values()) for block in mapped.blocks for item in block.operators)
    assert largest > 10 * schedule.capacity_bytes
    assert schedule.proven
    assert len(schedule.blocks) == 3  # 32 layers are one block
    assert schedule.extra_bytes < trivial_schedule(mapped).extra_bytes
