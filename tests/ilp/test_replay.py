"""The replay checker refuses plans that break one rule at a time, naming operator and tensor."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwspecs.vocabulary.errors import ContractError
from ilp import Residency, replay, trivial_schedule
from tests.ilp.test_trivial import chain
from tests.simulator.build import hardware, layered, mapped_operator, straight, tensor
from workloads.graph import Role

GOOD = chain()


def broken(message, mapped=GOOD, schedule=None, top=None, **changes):
    schedule = schedule or trivial_schedule(mapped)
    replay.check(mapped, schedule)
    first, *rest = schedule.blocks
    with pytest.raises(ContractError, match=message):
        replay.check(mapped, replace(schedule, blocks=(replace(first, **changes), *rest), **(top or {})))


def stay(tensor="a", first=0, last=1, address=0, size=1_000):
    return Residency(tensor, first, last, address, size)


def test_order():
    broken("second: runs before 'a' is made", order=(1, 0))
    broken("does not run each operator once", order=(0, 0))


def test_alternatives():
    broken("first: alternative 3 of 1", alternatives=(3, 0))
    broken("1 alternatives are chosen for 2", alternatives=(0,))


def test_places():
    broken("'a' lies at 999500, outside the capacity", residencies=(stay(address=999_500),))
    broken("10 bytes are kept for 'a'", residencies=(stay(size=10),))
    broken("'a' stays from step 1 to 0 of 2", residencies=(stay(first=1, last=0),))
    broken("first: 'a' and 'w' lie in one place", residencies=(stay(), stay("w", 0, 1, 999, 5_000)))
    broken("first: needs 500 bytes beside 999900", residencies=(stay(size=999_900),))


def test_kept_loads_must_find_their_tensor():
    broken("second: the load of 'a' is kept, but it is not on chip", residencies=())
    broken("first: the load of 'w' is kept, but it is not on chip", kept_reads=frozenset({(0, "w"), (1, "a")}))
    broken("second: a load of 'w' is kept, which it does not read", kept_reads=frozenset({(1, "w"), (1, "a")}))
    broken("operator 9 are kept, which is not there", kept_reads=frozenset({(9, "w")}))


def test_kept_stores_must_not_be_missed():
    broken("second: loads 'a', of which no copy was stored", kept_reads=frozenset(), residencies=())
    broken("'y' is used after the block, but no copy of it was stored", kept_writes=frozenset({(0, "a"), (1, "y")}))
    broken("first: a store of 'y' is kept, which it does not write", kept_writes=frozenset({(0, "y")}))


def test_a_cache_must_be_stored():
    tensors = [tensor("x", 10), tensor("c", 100, Role.KV_CACHE), tensor("d", 100, Role.KV_CACHE, alias_of="c", region=10), tensor("y", 10)]
    mapped = straight(tensors, [mapped_operator("append", {"x": 10}, {"d": 10}), mapped_operator("use", {"d": 100}, {"y": 10})], ["y"])
    broken("append: the store of 'd' is kept, which must outlive the run", mapped, kept_writes=frozenset({(0, "d")}))


def test_rounds():
    operators = [mapped_operator("mlp", {"x": 100, "w": 5_000}, {"t": 300}), mapped_operator("add", {"t": 300}, {"y": 100})]
    mapped = layered([tensor("t", 300), tensor("w", 5_000, Role.WEIGHT)], operators, 10, 100)
    schedule = trivial_schedule(mapped)
    plan = schedule.blocks[0]
    left_out = tuple(item for item in plan.residencies if item.tensor == "t")
    broken("the load of 'x' is kept, but it is not on chip", mapped, residencies=left_out)
    no_reads = frozenset(entry for entry in plan.kept_reads if entry[1] != "x")
    without = tuple(item for item in plan.residencies if item.tensor != "x")
    broken("mlp: loads 'x', of which no copy was stored", mapped, residencies=without, kept_reads=no_reads)
    single = replace(mapped, blocks=(replace(mapped.blocks[0], count=1),))
    with pytest.raises(ContractError, match="no round leaves it there"):
        replay.check(single, schedule)


def test_places_that_change_from_round_to_round():
    operators = [
        mapped_operator("first", {"x": 100}, {"t": 300}),
        mapped_operator("second", {"t": 300}, {"u": 200}),
        mapped_operator("third", {"u": 200}, {"y": 100}),
    ]
    mapped = layered([tensor("t", 300), tensor("u", 200)], operators, 10, 100)
    schedule = trivial_schedule(mapped)
    plan = schedule.blocks[0]
    into_round = next(item for item in plan.residencies if item.first < 0)
    beside = next(item for item in plan.residencies if item.tensor == "u")

    def with_x_at(address):
        moved = tuple(replace(item, address=address) if item is into_round else item for item in plan.residencies)
        return replace(schedule, blocks=(replace(plan, residencies=moved),))

    replay.check(mapped, with_x_at(700_000))
    # x is gone when u comes, but every other round has y there, which is made while u is read
    with pytest.raises(ContractError, match="'x' is taken to be on chip when a round begins"):
        replay.check(mapped, with_x_at(beside.address))


def test_sums():
    broken("states 5 extra bytes, a recount gives 0", top={"extra_bytes": 5})
    broken("lower bound of 7", top={"lower_bound_bytes": 7})
    spilled = chain(hardware(on_chip=1_499))
    broken("proven: True", spilled, top={"proven": True})
    broken("uses 2000000 bytes of 1000000", top={"capacity_bytes": 2_000_000})
