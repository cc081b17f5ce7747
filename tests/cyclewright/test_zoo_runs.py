"""Every network of the instance list of memory scheduling runs on an NPU and on a GPU, and no rung beats the roofline."""

from __future__ import annotations

import pytest

import cyclewright as cw
from workloads import counts, load_model

NETWORKS = (
    "resnet18", "resnet34", "resnet101", "resnext50-32x4d", "densenet121", "squeezenet-1.0", "squeezenet-1.1", "shufflenet-v1",
    "shufflenet-v2", "inception-v1", "inception-v2", "inception-v3", "fcn-resnet50", "deeplabv3-resnet50", "lraspp-mobilenet-v3-large",
    "unet", "unet-256", "r2plus1d-18", "s3d", "transformer-base", "mamba-130m", "lstm-1x16",
)  # fmt: skip


@pytest.mark.parametrize("hardware", ["edge-npu", "nvidia-h100-sxm"])
@pytest.mark.parametrize("name", NETWORKS)
def test_network_runs(name, hardware):
    found = cw.run(name, hardware)
    assert found.macs == counts(load_model(name)).macs
    assert found.latency_s > 0
    assert found.dram_bytes >= found.compulsory_bytes
    assert cw.run(name, hardware, fidelity="roofline").latency_s <= found.latency_s * (1 + 1e-9)
