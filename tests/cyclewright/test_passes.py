"""A training step by pass: totals of a result's rows, on the command line, in the report and side by side."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cyclewright import run
from cyclewright.api import document_of
from cyclewright.cli.commands import main
from cyclewright.comparison import compare
from cyclewright.passes import busy_of, layers_of, memory_of, passes_of
from cyclewright.report.page import render
from hwspecs import load_hardware
from tests.mappings.builders import graph
from tests.mappings.training_parts import product, prune, update
from workloads import load_model
from workloads.graph import Operator
from workloads.training_counts import training_memory

SAT = "xilinx-vcu1525-sat"


def step(pattern="2:8", batch=64):
    """Forward product on an N:M copy (or the weight), weight gradient and update of a 512 x 512 layer."""
    from dataclasses import replace

    def marked(pair, name):
        operator: Operator = pair[0]
        return replace(operator, attributes={**operator.attributes, "pass": name}), pair[1]

    copies = [] if pattern == "dense" else [prune(512, 512, pattern)]
    forward = product(batch, 512, 512, pattern, w="w.ff" if copies else "w")
    gradient = product(512, 512, batch, name="wu", x="xt", w="dy", y="w.grad")
    net = graph(*copies, marked(forward, "FF"), marked(gradient, "WU"), update(512, 512))
    return replace(net, outputs=("y", "w.new"))


@pytest.fixture(scope="module")
def document():
    return document_of(run(step(), load_hardware(SAT), interval=False))


def test_passes_add_up_to_the_step(document):
    found = {item.name: item for item in passes_of(document)}
    assert list(found) == ["FF", "WU", "update"]
    assert sum(item.time_s for item in found.values()) == pytest.approx(document["latency_s"], rel=1e-9)
    assert sum(item.share for item in found.values()) == pytest.approx(1.0)
    assert (found["FF"].macs, found["FF"].executed_macs) == (64 * 512 * 512, 64 * 512 * 128)
    assert found["update"].macs == 0 < found["update"].dram_bytes
    assert {"stce", "stce.reduction", "wuve", "ddr"} == {name for name, _, _ in busy_of(document)}


def test_layers_hold_the_products_of_all_passes():
    """Eight convolutions and a classifier: each layer has FF and WU, all but the first BP; with norms and the rest they are the step."""
    net = load_model("resnet9-cifar10", phase="train", batch=4, sparsity="bdwp-2:8")
    document = document_of(run(net, load_hardware(SAT), interval=False))
    layers = layers_of(document)
    names = ["prep", "layer1", "layer1.res1", "layer1.res2", "layer2", "layer3", "layer3.res1", "layer3.res2"]
    assert [layer.name for layer in layers] == [*(f"{name}.conv" for name in names), "linear"]
    assert all(set(layer.time_s) == ({"FF", "WU"} if place == 0 else {"FF", "BP", "WU"}) for place, layer in enumerate(layers))
    for item in passes_of(document):
        assert sum(layer.macs.get(item.name, 0) for layer in layers) == item.macs
        assert sum(layer.time_s.get(item.name, 0.0) for layer in layers) <= item.time_s
    assert layers[4].macs == dict.fromkeys(("FF", "BP", "WU"), 4 * 9 * 128 * 256 * 16**2)


def test_what_a_step_holds_is_told():
    """ResNet-9, momentum, FP16 with FP32 master weights: 2, 4 + 4 and 2 bytes a parameter. A copy takes (2 x 16 + 2 x 3) / 8 bits a value:
    two of each of the seven convolutions that send gradients on; of the classifier's 10 x 512 one, and one of 16 x 512 (10 padded)."""
    graph = load_model("resnet9-cifar10", phase="train", batch=4, sparsity="bdwp-2:8")
    result = run("resnet9-cifar10", SAT, phase="train", batch=4, sparsity="bdwp-2:8")
    parameters = 6_573_120
    convolutions = 9 * (64 * 128 + 2 * 128 * 128 + 128 * 256 + 256 * 512 + 2 * 512 * 512)
    held = dict(memory_of(document_of(result)))
    assert (held["weights"], held["optimizer"], held["gradients"]) == (2 * parameters, 8 * parameters, 2 * parameters)
    assert held["N:M copies"] == (2 * convolutions + (10 + 16) * 512) * 38 // 64
    assert held["saved activations"] == training_memory(graph).saved_activations
    text = CliRunner().invoke(main, ["run", "resnet9-cifar10", "--hw", SAT, "--phase", "train", "--no-interval"]).output
    assert "held: weights 13.15 MB, optimizer 52.58 MB, gradients 13.15 MB, saved activations" in text
    assert "Held in memory: weights" in render(document_of(result))
    assert memory_of(document_of(run("resnet18", SAT))) == ()


def test_recomputed_products_belong_to_their_layer():
    net = load_model("resnet9-cifar10", phase="train", batch=4, training={"recompute": "blocks"})
    layers = {layer.name: layer for layer in layers_of(document_of(run(net, load_hardware(SAT), interval=False)))}
    assert len(layers) == 9
    assert any(layer.macs.get("recompute") == layer.macs["FF"] for layer in layers.values())


def test_a_stored_result_keeps_its_passes(document):
    assert passes_of(json.loads(json.dumps(document))) == passes_of(document)


def test_inference_has_no_passes():
    from dataclasses import replace

    net = graph(product(8, 8, 8))
    assert passes_of(document_of(run(replace(net, outputs=("y",)), load_hardware(SAT), interval=False))) == ()


def test_the_report_shows_the_passes(document):
    page = render(document)
    assert "Passes of the training step" in page
    assert "WU, weight gradients" in page


def test_comparisons_show_passes_side_by_side(document):
    dense = document_of(run(step("dense"), load_hardware(SAT), interval=False))
    found = compare(dense, document, labels=("dense", "2:8")).as_dict()["passes"]
    assert [item["name"] for item in found] == ["FF", "WU", "update"]
    forward = found[0]["time_s"]
    assert forward[0] != forward[1]
