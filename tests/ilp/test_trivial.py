"""The trivial schedule: what it keeps, what it cannot, and that the replay checker agrees."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import InfeasibleError
from ilp import replay, trivial_schedule
from ilp.lifetimes import compulsory
from ilp.rounds import rounds
from tests.simulator.build import hardware, layered, mapped_operator, random_graph, straight, tensor
from workloads.graph import Role


def chain(device=None, middle=1_000):
    """x -> a -> y with a weight of 5,000 bytes; ``a`` has ``middle`` bytes."""
    tensors = [tensor("x", 100), tensor("a", middle), tensor("y", 200), tensor("w", 5_000, Role.WEIGHT)]
    first = mapped_operator("first", {"x": 100, "w": 5_000}, {"a": middle}, macs=10_000, working_set=500)
    second = mapped_operator("second", {"a": middle}, {"y": 200}, vector_ops=1_000, working_set=500)
    return straight(tensors, [first, second], ["y"], device)


def test_an_intermediate_that_fits_stays_on_chip_and_nothing_extra_moves():
    mapped = chain()
    schedule = trivial_schedule(mapped)
    (plan,) = schedule.blocks
    assert plan.kept_writes == {(0, "a")}
    assert plan.kept_reads == {(1, "a")}
    (stay,) = plan.residencies
    assert (stay.tensor, stay.first, stay.last, stay.address, stay.bytes) == ("a", 0, 1, 0, 1_000)
    assert (schedule.extra_bytes, schedule.lower_bound_bytes, schedule.proven) == (0, 0, True)
    assert compulsory(mapped).bytes == 100 + 5_000 + 200
    replay.check(mapped, schedule)


def test_an_intermediate_that_does_not_fit_beside_the_working_set_is_spilled():
    # 1,000 bytes for the tensor and 500 for the working set need 1,500
    assert trivial_schedule(chain(hardware(on_chip=1_500))).extra_bytes == 0
    schedule = trivial_schedule(chain(hardware(on_chip=1_499)))
    assert schedule.extra_bytes == 2 * 1_000
    assert not schedule.proven
    replay.check(chain(hardware(on_chip=1_499)), schedule)


@pytest.mark.parametrize("device", [hardware(partitions={"a": 500_000, "b": 500_000}), hardware(family="gpu")], ids=["split", "no l2"])
def test_split_scratchpads_and_gpus_without_l2_keep_nothing(device):
    schedule = trivial_schedule(chain(device))
    assert schedule.blocks[0].residencies == ()
    assert schedule.extra_bytes == 2_000


def test_a_graph_output_is_stored_even_if_it_is_used_again():
    tensors = [tensor("x", 100), tensor("a", 100), tensor("y", 100)]
    operators = [mapped_operator("first", {"x": 100}, {"a": 100}), mapped_operator("second", {"a": 100}, {"y": 100})]
    schedule = trivial_schedule(straight(tensors, operators, ["a", "y"]))
    assert schedule.blocks[0].kept_reads == {(1, "a")}
    assert schedule.blocks[0].kept_writes == frozenset()
    assert schedule.extra_bytes == 0


def test_the_fastest_alternative_that_fits_is_chosen():
    operator = mapped_operator("only", {"x": 100}, {"y": 100}, working_set=800, slow=10)
    tensors = [tensor("x", 100), tensor("y", 100)]
    assert trivial_schedule(straight(tensors, [operator], ["y"])).blocks[0].alternatives == (0,)
    assert trivial_schedule(straight(tensors, [operator], ["y"], hardware(on_chip=500))).blocks[0].alternatives == (1,)
    with pytest.raises(InfeasibleError, match=r"only: no mapping fits .* needs 400 bytes of 300"):
        trivial_schedule(straight(tensors, [operator], ["y"], hardware(on_chip=300)))


def test_a_carried_tensor_stays_for_the_next_round():
    operators = [mapped_operator("mlp", {"x": 100, "w": 5_000}, {"t": 300}), mapped_operator("add", {"t": 300}, {"y": 100})]
    mapped = layered([tensor("t", 300), tensor("w", 5_000, Role.WEIGHT)], operators, 10, 100, tail=50)
    schedule = trivial_schedule(mapped)
    replay.check(mapped, schedule)
    kinds = rounds(mapped.blocks[0], schedule.blocks[0])
    assert [kind.count for kind in kinds] == [1, 8, 1]
    # in: 100 once; weights: 5,000 in each round; out: handed over to the tail off chip (stored and loaded); end: 50
    assert compulsory(mapped).bytes == 100 + 50_000 + 50
    assert schedule.extra_bytes == 2 * 100


def test_a_cache_is_loaded_and_the_new_part_stored_in_each_round():
    tensors = [tensor("c", 1_000, Role.KV_CACHE), tensor("d", 1_000, Role.KV_CACHE, alias_of="c", region=10)]
    operators = [mapped_operator("append", {"x": 100}, {"d": 10}), mapped_operator("attention", {"x": 100, "d": 1_000}, {"y": 100})]
    mapped = layered(tensors, operators, 7, 100)
    # the 10 new bytes need not be loaded back; x once, y once
    assert compulsory(mapped).bytes == 7 * (10 + 990) + 100 + 100
    replay.check(mapped, trivial_schedule(mapped))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_random_graphs_get_plans_that_the_checker_accepts(seed):
    mapped = random_graph(random.Random(seed))
    schedule = trivial_schedule(mapped)
    replay.check(mapped, schedule)
    assert schedule.extra_bytes >= schedule.lower_bound_bytes == 0
