"""The frozen instance list of the memory-scheduling benchmark: its networks exist, and are the ones that were frozen."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ilp.atomic import atomic_problem, least_capacity
from workloads import list_models, load_model

FILE = yaml.safe_load((Path(__file__).parents[2] / "benchmarks" / "memory_instances.yaml").read_text())
ROWS = {row["model"]: row for row in FILE["instances"]}
ASKED = {  # what the list has to cover, by how the names begin
    "human": (
        "resnet50", "resnext50", "densenet121", "inception-v1", "inception-v2", "inception-v3", "squeezenet", "shufflenet", "mobilenet-v2",
        "fcn", "deeplabv3", "lraspp", "r2plus1d-18", "s3d", "unet", "vit-b-16", "transformer", "bert", "gpt2", "training", "mamba", "lstm",
    ),
    "nas": (
        *(f"{base}-{cells}" for base in ("darts", "nasnet-a", "amoebanet-d", "pnasnet-5") for cells in (6, 14)),
        "darts-imagenet", "nasnet-a-mobile", "amoebanet-d", "pnasnet-5-mobile", "randwire-ws32",
    ),
}  # fmt: skip


def test_list_is_whole():
    assert len(ROWS) == len(FILE["instances"])
    assert set(ROWS) <= {model.name for model in list_models()}
    assert FILE["budgets"] == ["M_R", "M_H"]
    assert FILE["tensors"] == ["activations", "activations+weights"]
    for group, names in ASKED.items():
        held = [name for name, row in ROWS.items() if row["group"] == group]
        for name in names:
            assert any(found.startswith(name) for found in held), name
    kinds = {kind for bar in FILE["bars"] for kind in bar["kinds"]}
    assert kinds <= {row["kind"] for row in ROWS.values()}
    assert {row["group"] for row in ROWS.values()} == {share["group"] for share in FILE["shares"]} == set(ASKED)


@pytest.mark.parametrize("name", ROWS)
def test_instance_is_the_frozen_one(name):
    row = ROWS[name]
    options = {key: row[key] for key in ("tokens",) if key in row}
    graph = load_model(name, **FILE["load"], **options)
    problems = [atomic_problem(graph, weights=weights) for weights in (False, True)]
    assert [len(problem.tasks) for problem in problems] == [row["operators"]] * 2
    assert [least_capacity(problem) for problem in problems] == row["m_r_bytes"]
