"""The precision guard of crossbars: layers of a model, the command, and the error beside the gain in a what-if."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import cyclewright as cw
from cyclewright.cli.commands import main
from cyclewright.precision import check_precision, quick_error
from cyclewright.sensitivity import whatif
from hwspecs.vocabulary.errors import ArgumentError, UnknownNameError
from workloads import load_model


def test_distinct_layers_are_drawn_once_and_cover_all_work_on_arrays():
    found = check_precision("resnet50", "isaac")
    names = [name for layer in found.layers for name in layer.operators]
    assert len(names) == len(set(names)) == 54  # 53 convolutions and the classifier
    assert sum(layer.macs for layer in found.layers) == cw.run("resnet50", "isaac").macs
    assert found.error < 1e-3
    assert found.as_dict()["layers"][0]["rows"] == found.layers[0].k


def test_fewer_bits_cost_precision():
    errors = [check_precision("lstm-kws", "isaac", overrides=[f"array.adc.resolution={bits}"]).error for bits in (8, 5, 4, 3)]
    assert errors == sorted(errors)
    assert errors[-1] > 100 * errors[0]


def test_sums_without_converters_are_exact_up_to_rounding():
    (layer, *_) = check_precision("gemm:1x256x64", "dcim-22nm", format="int8").layers
    assert layer.converter_bits == 0
    assert layer.precision.array_error == layer.precision.clipped == 0.0
    assert layer.precision.error == pytest.approx(layer.precision.quantization_error)


def test_one_operator_and_seeds():
    one = check_precision("lstm-kws", "isaac", operator="fc", seed=3)
    assert [layer.operators for layer in one.layers] == [("fc",)]
    assert one == check_precision("lstm-kws", "isaac", operator="fc", seed=3)
    assert one.layers[0].precision != check_precision("lstm-kws", "isaac", operator="fc", seed=4).layers[0].precision


def test_events_state_their_density():
    layers = {layer.operators: layer for layer in check_precision("lsm-nmnist", "isaac").layers}
    assert layers[("current",)].density == pytest.approx((256 * 0.076 + 200 * 0.00042) / 456)
    assert layers[("readout",)].density == 1.0


def test_what_cannot_be_asked():
    with pytest.raises(ArgumentError, match="no crossbar"):
        check_precision("lstm-kws", "edge-npu")
    with pytest.raises(UnknownNameError, match=r"layer0\.gates"):
        check_precision("lstm-kws", "isaac", operator="layer0.gate")
    with pytest.raises(ArgumentError, match="seed"):
        check_precision("lstm-kws", "isaac", seed=-1)
    with pytest.raises(ArgumentError, match="integers"):
        check_precision("lstm-kws", "isaac", format="fp32")


def test_what_if_shows_the_error_beside_the_gain():
    answer = whatif("gemm:16x512x64", "isaac", set=["array.adc.resolution=4"], metric="energy")
    (effect,) = (effect for effect in answer.leaves if effect.leaf.path == "unit.array.adc.resolution")
    graph = load_model("gemm:16x512x64", format="int16")
    assert effect.output_error == quick_error(graph, cw.load_hardware("isaac"))
    half = next(point for point in effect.points if point.factor == 0.5)
    assert half.value == 4
    assert half.output_error > 100 * effect.output_error
    assert "output error" in effect.note
    errors = answer.as_dict()["change"]["output_error"]
    assert errors == [effect.output_error, half.output_error]
    (clock,) = (effect for effect in answer.leaves if effect.leaf.path == "memory.host.bandwidth")
    assert clock.output_error is None


def test_what_if_without_a_crossbar_says_nothing_of_it():
    answer = whatif("gemm:64x64x64", "edge-npu", set=["array.rows=32"], leaves=False).as_dict()
    assert "output_error" not in answer["change"]


def test_command(tmp_path):
    runner = CliRunner()
    told = runner.invoke(main, ["precision", "lstm-kws", "--hw", "isaac", "--set", "array.adc.resolution=4"])
    assert told.exit_code == 0
    assert "layer0.gates" in told.output
    assert "72 x 128" in told.output
    stored = runner.invoke(main, ["precision", "lstm-kws", "--hw", "isaac", "--json"])
    document = json.loads(stored.output)
    assert document["command"] == "precision"
    assert document["layers"][0]["converter_bits"] == 9
    page = tmp_path / "page.html"
    changed = runner.invoke(main, ["whatif", "lstm-kws", "--hw", "isaac", "--set", "array.adc.resolution=4", "--all", "-o", str(page)])
    assert changed.exit_code == 0
    html = page.read_text(encoding="utf-8")
    assert "What arrays make of the numbers" in html
    assert "Output error of the largest layers" in html
    changed = runner.invoke(main, ["whatif", "lstm-kws", "--hw", "isaac", "--set", "array.adc.resolution=4"])
    assert "output error" in changed.output
