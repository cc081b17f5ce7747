"""Networks of small images, against counts by hand."""

from __future__ import annotations

import pytest

from workloads import counts, load_model
from workloads.training_counts import macs_by_pass

RESNET9 = [(3, 64, 32), (64, 128, 32), (128, 128, 16), (128, 128, 16), (128, 256, 16), (256, 512, 8), (512, 512, 4), (512, 512, 4)]
"""Inputs, outputs and rows of the 3 x 3 convolutions, before pooling."""
VGG19 = [
    (3, 64, 32), (64, 64, 32), (64, 128, 16), (128, 128, 16), (128, 256, 8), *[(256, 256, 8)] * 3, (256, 512, 4), *[(512, 512, 4)] * 3,
    *[(512, 512, 2)] * 4,
]  # fmt: skip


def products(layers):
    """Multiplications of 3 x 3 convolutions that keep the extents."""
    return sum(9 * inputs * outputs * rows**2 for inputs, outputs, rows in layers)


def weights(layers):
    """Values of 3 x 3 windows."""
    return sum(9 * inputs * outputs for inputs, outputs, _ in layers)


def test_resnet9():
    """Norms have a scale and a shift per channel, the classifier no bias: 6,573,120 values as the model's authors count."""
    found = counts(load_model("resnet9-cifar10"))
    assert found.macs == products(RESNET9) + 512 * 10
    assert found.parameters == weights(RESNET9) + 2 * sum(outputs for _, outputs, _ in RESNET9) + 512 * 10 == 6_573_120


def test_vgg19():
    """Convolutions have a bias beside the norm's two values."""
    found = counts(load_model("vgg19-cifar100"))
    assert found.macs == products(VGG19) + 512 * 100
    assert found.parameters == weights(VGG19) + 3 * sum(outputs for _, outputs, _ in VGG19) + 512 * 100 + 100


def test_vit():
    """64 patches of 48 values and a class token; 6 layers: three projections in, one out, an MLP as wide as the model, two products."""
    found = counts(load_model("vit-cifar100"))
    layer = 512 * 1536 + 512 * 512 + 2 * 512 * 512
    assert found.macs == 64 * 48 * 512 + 6 * (65 * layer + 2 * 65 * 65 * 512) + 512 * 100
    biases = 512 + 2 * 512 + 2 * 2 * 512  # of the output projection, the MLP, and two norms
    assert found.parameters == (48 * 512 + 512) + 512 + 65 * 512 + 6 * (layer + biases) + 2 * 512 + 512 * 100 + 100


def test_resnet18_for_tiny_imagenet():
    """64 pixels become 32 after the first convolution and 16 after the pool; each stage halves them and doubles the channels."""
    found = counts(load_model("resnet18-tiny-imagenet"))
    first = 64 * 3 * 49 * 32**2
    stages = 4 * 9 * 64**2 * 16**2
    for width, rows in ((128, 8), (256, 4), (512, 2)):
        stages += (9 * width // 2 * width + 3 * 9 * width**2 + width // 2 * width) * rows**2
    assert found.macs == first + stages + 512 * 200
    assert found.parameters == 11_689_512 - 512 * 1000 - 1000 + 512 * 200 + 200  # torchvision's, with another head


@pytest.mark.parametrize("name", ["resnet9-cifar10", "vgg19-cifar100", "vit-cifar100", "resnet18-tiny-imagenet"])
def test_a_training_step_is_three_times_the_forward_pass_less_the_first_gradient(name):
    """The first layer's input needs no gradient; nothing else is left out."""
    step = load_model(name, phase="train", batch=2)
    step.check()
    macs = {phase: found.dense for phase, found in macs_by_pass(step).items()}
    forward = 2 * counts(load_model(name)).macs
    first = {"resnet9-cifar10": 64 * 27 * 32**2, "vgg19-cifar100": 64 * 27 * 32**2, "vit-cifar100": 64 * 48 * 512}
    assert macs["FF"] == forward
    assert macs["FF"] + macs["BP"] + macs["WU"] == 3 * forward - 2 * first.get(name, 64 * 147 * 32**2)
