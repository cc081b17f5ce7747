"""Sparsity by rules: which layers get which pattern."""

from __future__ import annotations

import pytest

from hwspecs.vocabulary.errors import ArgumentError
from workloads import load_model
from workloads.passes.sparsify import parse_rules

RULES = "pointwise=unstructured:0.15, pointwise&features.1[2-7].*=block:2x1:0.15"


def test_the_last_rule_that_takes_a_weight_decides():
    tensors = load_model("mobilenet-v2", sparsity=RULES).tensors
    assert tensors["features.0.0.weight"].sparsity.kind == "dense"  # 3x3
    assert tensors["classifier.1.weight"].sparsity.kind == "dense"  # a product
    assert tensors["features.12.conv.1.0.weight"].sparsity.kind == "dense"  # depthwise
    assert tensors["features.11.conv.0.0.weight"].sparsity.kind == "unstructured"
    assert tensors["features.12.conv.0.0.weight"].sparsity.block == (2, 1)
    assert tensors["features.17.conv.2.weight"].sparsity.block == (2, 1)
    assert tensors["features.18.0.weight"].sparsity.kind == "unstructured"


def test_kept_values_of_a_layer():
    """384 x 64 at 15 %: 3,686.4 values, so 3,687; in blocks of two 1,843.2 blocks, so 1,844 of them."""
    tensors = load_model("mobilenet-v2", sparsity=RULES).tensors
    plain, blocked = tensors["features.8.conv.0.0.weight"], tensors["features.12.conv.0.0.weight"]
    assert plain.sparsity.kept(plain.values) == 3687
    assert blocked.shape[:2] == (576, 96)
    assert blocked.sparsity.kept(blocked.values) == 2 * 4148  # 576 x 96 / 2 x 0.15 = 4,147.2


def test_a_plain_pattern_takes_every_layer():
    tensors = load_model("mobilenet-v2", sparsity="unstructured:0.5").tensors
    assert tensors["classifier.1.weight"].sparsity == tensors["features.0.0.weight"].sparsity == parse_rules("unstructured:0.5")[0].pattern


def test_dense_takes_a_pattern_away_again():
    tensors = load_model("mobilenet-v2", sparsity="2:4, product=dense").tensors
    assert tensors["classifier.1.weight"].sparsity.kind == "dense"
    assert tensors["features.18.0.weight"].sparsity.kind == "nm"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pointwize=2:4", "no weight is that"),
        ("layer9.*=2:4", "no weight is that"),
        ("=2:4", "empty selector"),
        ("pointwise&=2:4", "empty selector"),
        ("pointwise=", "cannot read sparsity"),
        ("pointwise=unstructured:0", "outside"),
        ("2:4,", "cannot read sparsity"),
    ],
)
def test_faulty_rules(text, message):
    with pytest.raises(ArgumentError, match=message):
        load_model("mobilenet-v2", sparsity=text)
