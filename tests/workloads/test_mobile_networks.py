"""The networks for phones against what was published about them."""

from __future__ import annotations

import pytest

from hwspecs.vocabulary.errors import CyclewrightError
from workloads import counts, load_model
from workloads.zoo.mobile import divisible

PUBLISHED = {  # (multiply-accumulates in millions, parameters, their tolerance)
    "mobilenet-v1": (569, 4_231_976, 0),  # TF-Slim's table: 569 MMAC, 4.24 M; by hand: see below
    "mobilenet-v1-0.75": (325, 2_585_560, 0),  # Howard et al. 2017, table 6: 325 MMAC, 2.6 M
    "mobilenet-v2": (300.8, 3_504_872, 0),  # torchvision's model page
    "mobilenet-v2-1.4": (582, 6_060_000, 0.01),  # TF-Slim's table: 582 MMAC, 6.06 M
    "mobilenet-v3-large": (217, 5_483_032, 0),  # torchvision's model page; Howard et al. 2019: 219 MMAC, 5.4 M
    "mobilenet-v3-small": (56.5, 2_542_856, 0),  # torchvision's model page
    "efficientnet-b0": (386, 5_288_548, 0),  # torchvision's model page: 0.39 GMAC
    "efficientnet-b1": (687, 7_794_184, 0),  # torchvision's model page: 0.69 GMAC
    "mobilevig-ti": (662, 5_270_000, 0.001),  # summed by hand from the release's modules: 5.27 M, 0.66 GMAC
    "mobilevig-b": (2793, 26_870_000, 0.001),  # likewise 26.87 M, 2.79 GMAC
    "spartan-t": (799.59, 3_820_296, 0),  # summed by hand from the release's modules; the abstract: 3.8 M
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts(name):
    graph = load_model(name, batch=2)
    graph.check()
    found = counts(graph)
    macs, parameters, tolerance = PUBLISHED[name]
    assert found.macs / 2 == pytest.approx(macs * 1e6, rel=2e-3)
    assert found.parameters == pytest.approx(parameters, rel=tolerance or 1e-12)
    assert graph.name == name


def test_first_v1_block_by_hand():
    """112 x 112 pixels: 9 products per depthwise output, 32 per pointwise one."""
    graph = load_model("mobilenet-v1")
    macs = {operator.name: operator.macs for operator, _, _ in graph.walk()}
    assert macs["blocks.0.depthwise"] == 112 * 112 * 32 * 9
    assert macs["blocks.0.pointwise"] == 112 * 112 * 32 * 64
    assert macs["stem.conv"] == 112 * 112 * 32 * 27


def test_widths_follow_each_papers_rule():
    assert load_model("mobilenet-v1-1.4").tensors["stem.conv.weight"].shape[0] == 44
    assert load_model("mobilenet-v2-1.4").tensors["features.18.0.weight"].shape[:2] == (1792, 448)
    assert load_model("mobilenet-v2-0.8").tensors["features.18.0.weight"].shape[0] == 1280
    assert [divisible(value) for value in (4, 12, 33.6, 22.4, 11.9)] == [8, 16, 32, 24, 16]


@pytest.mark.parametrize("name", ["mobilenet-v2-0", "mobilenet-v2-wide", "mobilenet-v3-large-0.5", "mobilenet-v2-1e3", "mobilenet-v2-"])
def test_no_such_width(name):
    with pytest.raises(CyclewrightError, match="unknown model"):
        load_model(name)


def test_squeeze_excite_is_two_small_products_and_a_scale():
    graph = load_model("mobilenet-v3-small")
    made = {operator.name: operator for operator, _, _ in graph.walk()}
    assert made["features.1.block.1.fc1"].macs == made["features.1.block.1.fc2"].macs == 16 * 8
    assert made["features.1.block.1.scale"].vector_ops == 16 * 56 * 56


def test_mobilevig_moves_the_map_for_each_hop():
    """7 x 7 pixels and K = 2: hops 2, 4, 6 along rows and along columns, each one copy of the map and no products."""
    graph = load_model("mobilevig-ti")
    rolls = [operator for operator, _, _ in graph.walk() if operator.attributes.get("function") == "roll"]
    assert len(rolls) == 2 * 6
    assert all(operator.macs == 0 and operator.read_bytes == {operator.inputs[0]: 256 * 49 * 4} for operator in rolls)


@pytest.mark.parametrize(("variant", "flops", "parameters"), [("m1", 239, 6.7), ("m2", 355, 13.9), ("m3", 656, 16.6), ("m4", 1111, 19.6)])
def test_efficientvim_with_the_batch_normalizations_that_its_figures_count(variant, flops, parameters):
    """fvcore counts one per multiply-accumulate and two per value of a batch normalization."""
    graph = load_model(f"efficientvim-{variant}", fuse=False)
    graph.check()
    norms = sum(nest.points for operator, _, _ in graph.walk() for nest in operator.nests if nest.function == "affine")
    assert (counts(graph).macs + 2 * norms) / 1e6 == pytest.approx(flops, abs=1)
    assert counts(graph).parameters / 1e6 == pytest.approx(parameters, abs=0.05)


def test_subspace_attention_costs_two_products_per_value():
    """160 channels at 7 x 7: a product each in the 1x1 depthwise and in the point layer, for 960 x 160 x 2 + 960 x 9 of the block."""
    plain, changed = counts(load_model("mobilenet-v2")), counts(load_model("ulsam-mobilenet-v2-16"))
    assert plain.macs - changed.macs == 49 * (960 * 160 * 2 + 960 * 9 - 2 * 160)
    graph = load_model("ulsam-mobilenet-v2-16", fuse=False)
    graph.check()
    (maps,) = (operator for operator, _, _ in graph.walk() if operator.kind == "softmax")
    assert graph.tensors[maps.outputs[0]].shape == (1, 4, 49)
