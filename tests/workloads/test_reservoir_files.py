"""Liquid state machines from YAML files."""

from __future__ import annotations

import pytest

from hwspecs.vocabulary.errors import CyclewrightError, ErrorList
from workloads import counts, list_models, load_model
from workloads.graph import Repeat

GOOD = """\
outputs: 5
reservoirs:
  eye: {inputs: 16, neurons: 30, steps: 7, threshold: 1.0, decay: 0.9, weight_scale: 0.5, input_density: 0.1, spike_density: 0.05}
"""


def written(folder, text: str) -> str:
    path = folder / "sensor.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_is_a_model(tmp_path):
    graph = load_model(written(tmp_path, GOOD), batch=2)
    graph.check()
    assert graph.name == "sensor"
    assert counts(graph).macs == 2 * (7 * (16 + 30) * 30 + 30 * 5)
    (repeat,) = (node for node in graph.nodes if isinstance(node, Repeat))
    assert repeat.body.tensors["x"].sparsity.density == 0.1
    assert repeat.body.tensors["s"].sparsity.density == 0.05


def test_densities_are_simulated_where_an_encoding_is_stated(tmp_path):
    text = GOOD.replace("input_density: 0.1, spike_density: 0.05", "encoding: formants")
    first, again = (load_model(written(tmp_path, text)) for _ in range(2))
    densities = [
        [node.body.tensors[name].sparsity.density for name in "xs"] for node in (*first.nodes, *again.nodes) if isinstance(node, Repeat)
    ]
    assert densities[0] == densities[1]
    assert 0.0 < densities[0][1] < 1.0


@pytest.mark.parametrize(
    ("old", "new", "place", "word"),
    [
        ("outputs: 5", "outputs: 0", ":1:10:", "outputs"),
        ("outputs: 5", "output: 5", ":1:1:", "outputs"),
        ("neurons: 30", "neurons: many", ":3:30:", "neurons"),
        ("neurons: 30, ", "", ":3:8:", "neurons is missing"),
        ("decay: 0.9", "decay: 1.9", ":3:8:", "decay"),
        ("decay: 0.9", "dekay: 0.9", f":3:{GOOD.splitlines()[2].index('decay') + 1}:", "decay"),
        ("input_density: 0.1, spike_density: 0.05", "", ":3:8:", "density"),
        ("input_density: 0.1, spike_density: 0.05", "encoding: formant", ":3:8:", "formants"),
        ("reservoirs:", "reservoirs: []\nrest:", ":2:13:", "reservoir"),
    ],
)
def test_faults_are_located(tmp_path, old, new, place, word):
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(CyclewrightError) as caught:
        load_model(path)
    errors = caught.value.errors if isinstance(caught.value, ErrorList) else [caught.value]
    assert any(place in str(error) and word in str(error) for error in errors), [str(error) for error in errors]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CyclewrightError, match=r"nothing\.yaml"):
        load_model(str(tmp_path / "nothing.yaml"))


def test_the_zoo_says_which_models_spike():
    assert {model.name for model in list_models() if model.kind == "spiking"} >= {"lsm-nmnist", "lsm-zero-shot"}
