"""Networks of small images that training methods are compared on: CIFAR (32 x 32 pixels), Tiny-ImageNet (64 x 64).

Papers name them and seldom define them; each function says whose definition it follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from workloads.graph import OperatorGraph
from workloads.zoo.network import NATIVE_FORMAT, Network
from workloads.zoo.resnet import resnet
from workloads.zoo.vit import Shape, vit


def resnet9(batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """ResNet-9 for CIFAR-10: 379.3 MMAC, 6.573 M parameters.

    Eight convolutions and a classifier without bias as in Page, "How to Train Your ResNet" (2018; github davidcpage/cifar10-fast), the
    network that the name comes from. Its constant scale of the logits (1/8) is left out.
    """
    net = Network("resnet9-cifar10", batch, format, 32)
    x = net.conv_norm("image", "prep.conv", "prep.bn", 64, 3, activation="relu")
    for name, width, residual in (("layer1", 128, True), ("layer2", 256, False), ("layer3", 512, True)):
        x = net.conv_norm(x, f"{name}.conv", f"{name}.bn", width, 3, activation="relu")
        x = net.pool(x, f"{name}.pool", "max", 2, stride=2)
        if residual:
            y = net.conv_norm(x, f"{name}.res1.conv", f"{name}.res1.bn", width, 3, activation="relu")
            y = net.conv_norm(y, f"{name}.res2.conv", f"{name}.res2.bn", width, 3, activation="relu")
            x = net.add((x, y), f"{name}.add")
    return net.finish(net.linear(net.flatten(net.pool(x, "pool", "max", 4, stride=4)), "linear", 10, bias=False))


def vgg19(batch: int = 1, format: str = NATIVE_FORMAT) -> OperatorGraph:
    """VGG-19 with batch normalization and one fully connected layer, for CIFAR-100: 398.2 MMAC, 20.087 M parameters.

    Convolutions as in Simonyan and Zisserman 2015, configuration E; the head of CIFAR versions (github kuangliu/pytorch-cifar).
    """
    net = Network("vgg19-cifar100", batch, format, 32)
    x = "image"
    for stage, (layers, width) in enumerate(((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)), start=1):
        for layer in range(1, layers + 1):
            x = net.conv_norm(x, f"conv{stage}_{layer}", f"bn{stage}_{layer}", width, 3, activation="relu", bias=True)
        x = net.pool(x, f"pool{stage}", "max", 2, stride=2)
    return net.finish(net.linear(net.flatten(x), "classifier", 100))


_VIT = Shape("ViT", layers=6, hidden=512, heads=8, widening=1, patch=4, image=32, classes=100, qkv_bias=False)

NETWORKS: Mapping[str, tuple[Callable[[int, str], OperatorGraph], str]] = MappingProxyType(
    {
        "resnet9-cifar10": (resnet9, "ResNet-9 (Page 2018), 32 x 32, 10 classes"),
        "vgg19-cifar100": (vgg19, "VGG-19 with batch normalization, 32 x 32, 100 classes"),
        "vit-cifar100": (
            partial(vit, "vit-cifar100", shape=_VIT),
            "ViT, 6 layers of 512 in patches of 4 x 4 (github kentaroy47/vision-transformers-cifar10), 32 x 32, 100 classes",
        ),
        "resnet18-tiny-imagenet": (
            partial(resnet, "resnet18", name="resnet18-tiny-imagenet", size=64, classes=200),
            "ResNet-18 as for ImageNet, 64 x 64, 200 classes",
        ),
    }
)
"""Name to (builder of (batch, format), description)."""
