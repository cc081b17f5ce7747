"""Networks against what was published about them."""

from __future__ import annotations

import os

import pytest

from workloads import counts, list_models, load_model

PUBLISHED = {  # multiply-accumulates and parameters: torchvision's model pages and the papers
    "resnet50": (4.089e9, 25.557e6),
    "vgg19": (19.63e9, 143.667e6),
    "mobilenet-v2": (300.8e6, 3.505e6),
}
LIGHT = {  # multiply-accumulates (None: no published figure to this precision) and parameters of the Caffe models
    "bvlc_alexnet": (None, 60.965e6), "densenet121": (2.834e9, None), "inception_v1": (None, 6.9986e6), "inception_v2": (None, None),
    "resnet50": (4.089e9, 25.557e6), "shufflenet": (None, None), "squeezenet": (None, 1.2355e6), "vgg19": (19.63e9, 143.667e6),
    "zfnet512": (None, None),
}  # fmt: skip


def light(name: str) -> str:
    import onnx

    return os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data", "light", f"light_{name}.onnx")


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("batch", [1, 8])
def test_zoo_networks(name, batch):
    graph = load_model(name, batch=batch)
    graph.check()
    found = counts(graph)
    macs, parameters = PUBLISHED[name]
    assert found.macs == pytest.approx(batch * macs, rel=1e-3)
    assert found.parameters == pytest.approx(parameters, rel=1e-4)
    assert found.flops == 2 * found.macs


@pytest.mark.parametrize("name", LIGHT)
def test_light_networks_import_fully(name):
    graph = load_model(light(name))
    found = counts(graph)
    macs, parameters = LIGHT[name]
    if macs is not None:
        assert found.macs == pytest.approx(macs, rel=1e-3)
    if parameters is not None:
        assert found.parameters == pytest.approx(parameters, rel=1e-3)
    assert not graph.notes
    for operator, holder, _ in graph.walk():
        assert operator.kind != "unknown"
        assert operator.nests or operator.kind == "view"
        assert all(0 not in holder.tensors[out].shape for out in operator.outputs)
    kinds = [operator.kind for operator, _, _ in graph.walk()]
    assert "conv" in kinds


@pytest.mark.parametrize("name", ["resnet50", "vgg19"])
def test_file_and_code_agree(name):
    """The file ends in a softmax, which has neither products nor weights."""
    ours, file = counts(load_model(name)), counts(load_model(light(name)))
    assert (ours.macs, ours.parameters) == (file.macs, file.parameters)


def test_batch_cannot_change_a_fixed_axis():
    from hwspecs.vocabulary.errors import ArgumentError

    with pytest.raises(ArgumentError, match="fixes the first axis"):
        load_model(light("squeezenet"), batch=4)


@pytest.mark.parametrize("model", [info.name for info in list_models() if info.kind != "operator"])
def test_every_model_of_the_zoo_builds_and_is_consistent(model):
    graph = load_model(model)
    graph.check()
    found = counts(graph)
    assert found.macs > 0
    assert found.parameters > 0
    assert found.weight_bytes > 0
    assert found.peak_activation_bytes > 0
    assert found.operators >= found.distinct_operators > 0


def test_convolution_weight_bytes_follow_the_format():
    whole = counts(load_model("resnet50", format="fp32")).weight_bytes
    assert counts(load_model("resnet50", format="int8")).weight_bytes * 4 == whole


def test_edges_follow_the_tensors():
    import networkx

    from workloads.edges import to_networkx

    graph = load_model("resnet50")
    edges = to_networkx(graph)
    assert networkx.is_directed_acyclic_graph(edges)
    assert edges.number_of_nodes() == len(graph.nodes)
    assert sum(data["macs"] for _, data in edges.nodes(data=True)) == counts(graph).macs
    assert to_networkx(load_model("llama-3-8b")).nodes["layers"]["kind"] == "repeat"
