"""Largest operators and peaks that a published re-implementation of COSMA printed (KiB; its files are FP32, four bytes a value).

Its networks come from exports that pad in front of windows with a stride by operators of their own.
"""

from __future__ import annotations

import pytest

from ilp.atomic import atomic_problem, least_capacity
from tests.ilp.test_atomic import kept, peak
from workloads import counts, load_model
from workloads.passes import explicit_padding

PRINTED = {  # bytes of a value, largest operator, peak of the default schedule
    "resnet50": (1, 2352, 2352),
    "densenet121": (1, 1596.25, 2058),
    "resnext50-32x4d": (4, 9408, 9636),
    "s3d": (4, 119_168, 119_168),
    "fcn-resnet50": (4, 18_816, 18_816),
    "r2plus1d-18": (4, 225_792, 275_968),
}


@pytest.mark.parametrize("name", PRINTED)
def test_largest_operator_and_peak(name):
    size, largest, at_once = PRINTED[name]
    graph = load_model(name, format="int8" if size == 1 else "fp32", fuse=False)
    padded = explicit_padding(graph)
    padded.check()
    assert (counts(padded).macs, counts(padded).parameters) == (counts(graph).macs, counts(graph).parameters)
    problem = atomic_problem(padded)
    assert least_capacity(problem) / 1024 == largest
    assert peak(problem, kept(problem)) / 1024 == at_once


def test_the_same_sizes_by_hand():
    """DenseNet-121: 64 channels of 112 x 112 and their copy with a border of one. S3D: 64 channels, 16 frames padded to 22."""
    assert (64 * 112 * 112 + 64 * 114 * 114) / 1024 == 1596.25
    assert 4 * 64 * 112 * 112 * (16 + 22) / 1024 == 119_168
    # ResNeXt-50, layer2.0: input and first convolution of 256 channels at 56 x 56, the latter padded to 58 x 58
    assert 4 * 256 * (2 * 56 * 56 + 58 * 58) / 1024 == 9636


def test_least_budgets_of_the_other_networks_by_hand():
    """Activations alone, 8 bits, no padding by operators: the largest sum of operands and results of one operator."""
    expected = {
        "inception-v1": 2 * 64 * 112 * 112,  # the first normalization
        "inception-v3": 2 * 64 * 147 * 147,
        "squeezenet-1.1": 2 * 64 * 111 * 111,
        "shufflenet-v2": 2 * 24 * 112 * 112,
        "mobilenet-v2": 2 * 96 * 112 * 112,
        "unet-256": 4 * 64 * 256 * 256,  # the join: 64 channels passed over, 64 enlarged, 128 made
        "unet": 2 * 64 * 570 * 570,  # the first ReLU: the join needs less, because its map is cut to 392 x 392 first
        "lstm-1x16": 4096 + 4096 + 3 * 1024,  # a cell: two parts of the gates, old state, both new states
        "mamba-130m": 512 * (3 * 1536 + 80),  # the scan: u, delta, y, and the projection that holds B and C
    }
    for name, size in expected.items():
        assert least_capacity(atomic_problem(load_model(name, format="int8", fuse=False))) == size, name
