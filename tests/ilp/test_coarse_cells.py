"""Problems with one operator per convolution unit: their sizes by hand, and that they are problems."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from benchmarks.coarse_cells import problems
from ilp.atomic import atomic_problem, least_capacity
from ilp.recount import recount
from tests.ilp.test_atomic import kept, peak
from workloads import load_model

PROBLEMS = problems()
PIXELS = 28 * 28
OPERATORS = {  # two inputs, operations that are not identities, sums, the join if it is no view
    "darts-6-views": 6 * (2 + 6 + 4),
    "darts-14": 14 * (2 + 6 + 4 + 1),
    "nasnet-a-1x3-views": 3 * (2 + 8 + 5) + 2 * (2 + 9 + 5) + 2 * 2,  # and two halves where an input has the old resolution
    "nasnet-a-4x3": 12 * (2 + 8 + 5 + 1) + 2 * (2 + 9 + 5 + 1) + 2 * 2,
    "pnasnet-5-6": 6 * (2 + 9 + 5 + 1),
    "pnasnet-5-14": 14 * (2 + 9 + 5 + 1),
    "amoebanet-d-6": 6 * (2 + 8 + 5 + 1),
    "amoebanet-d-14": 14 * (2 + 8 + 5 + 1),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_program_order_is_a_plan_without_extra_bytes(name):
    problem = PROBLEMS[name]
    plan = kept(problem)
    assert recount(problem, plan, peak(problem, plan)) == 0
    assert len(problem.tasks) == OPERATORS.get(name, len(problem.tasks))
    for task, private in zip(problem.tasks, problem.private, strict=True):
        touched = {*task.reads, *task.writes}
        assert task.ways[0].bytes == sum(problem.items[item].bytes for item in touched) + sum(size for _, size in private)


@pytest.mark.parametrize("name", ["darts-14", "pnasnet-5-14", "amoebanet-d-14"])
def test_the_join_needs_most_in_both_grains(name):
    """Units hide tensors of the width of a cell, never the join."""
    fine = atomic_problem(load_model(name, format="int8", fuse=False))
    assert least_capacity(PROBLEMS[name]) == least_capacity(fine)
    assert len(fine.tasks) > 2 * len(PROBLEMS[name].tasks)


def test_least_budgets_by_hand():
    state = 44 * PIXELS
    assert least_capacity(PROBLEMS["nasnet-a-4x3"]) == 2 * 6 * state  # the join of the first group
    # an input unit of a reduction reads six states and makes one of twice the channels
    assert least_capacity(PROBLEMS["nasnet-a-1x3-views"]) == (6 + 2) * state
    assert least_capacity(PROBLEMS["randwire-ws32-s1"]) >= 5 * 78 * PIXELS  # a first node reads the image at 56 x 56


def test_frozen_list():
    text = (Path(__file__).parents[2] / "benchmarks" / "memory_instances.yaml").read_text()
    frozen = {row["problem"]: (row["operators"], row["m_r_bytes"]) for row in yaml.safe_load(text)["coarse"]["problems"]}
    assert frozen == {name: (len(problem.tasks), least_capacity(problem)) for name, problem in PROBLEMS.items()}
