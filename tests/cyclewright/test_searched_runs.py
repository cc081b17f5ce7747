"""Searched networks and training steps run on an NPU and on a GPU, and no rung beats the roofline."""

from __future__ import annotations

import pytest

import cyclewright as cw
from workloads import counts, load_model

ON_NPU = (
    "darts-6", "darts-cifar-6", "darts-imagenet", "nasnet-a-6", "nasnet-a-cifar-6", "nasnet-a-mobile", "nasnet-a-large", "pnasnet-5-6",
    "pnasnet-5-large", "amoebanet-d-6", "amoebanet-d", "randwire-ws16-s1", "randwire-ws32-c109-s1", "training-chain-16",
    "training-resnet18",
)  # fmt: skip
ON_GPU = ("darts-cifar-6", "nasnet-a-6", "pnasnet-5-mobile", "amoebanet-d-6", "randwire-ws16-s1", "training-resnet18")


@pytest.mark.parametrize(("name", "hardware"), [*((name, "edge-npu") for name in ON_NPU), *((name, "nvidia-h100-sxm") for name in ON_GPU)])
def test_network_runs(name, hardware):
    found = cw.run(name, hardware)
    assert found.macs == counts(load_model(name)).macs
    assert found.dram_bytes >= found.compulsory_bytes
    assert cw.run(name, hardware, fidelity="roofline").latency_s <= found.latency_s * (1 + 1e-9)
