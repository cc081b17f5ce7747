"""The networks that memory scheduling is measured on, against published counts, files and hand counts."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from hwspecs.vocabulary.errors import CyclewrightError
from workloads import counts, load_model
from workloads.zoo import segmentation, video

PUBLISHED = {  # multiply-accumulates in millions (None: none published), parameters; torchvision's num_params and GFLOPS unless noted
    "resnet18": (1814, 11_689_512),
    "resnet34": (3664, 21_797_672),
    "resnet50": (4089, 25_557_032),
    "resnet101": (7801, 44_549_160),
    "resnext50-32x4d": (4230, 25_028_904),
    "densenet121": (2834, 7_978_856),
    "squeezenet-1.0": (819, 1_248_424),
    "squeezenet-1.1": (349, 1_235_496),
    "shufflenet-v1": (137, 1_865_728),  # Zhang et al. 2018, table 1: 137 MFLOPs; parameters: the osmr/imgclsmob model list
    "shufflenet-v2": (145, 2_278_604),
    "inception-v1": (1498, 6_624_904),
    "inception-v3": (5713, 27_161_264 - 3_326_696),  # the file of torchvision holds the auxiliary classifier, see below
    "lraspp-mobilenet-v3-large": (None, 3_221_538),
    "unet-256": (None, 31_037_698),  # github milesial/Pytorch-UNet, 3 channels and 2 classes
    "s3d": (17_979, 8_320_048),
    "r2plus1d-18": (None, 31_505_325),
    "vit-b-16": (17_564, 86_567_656),
    "transformer-base": (None, 44_140_544),  # torch.nn.Transformer with its defaults
    "mamba-130m": (None, 129_135_360),  # model card of state-spaces/mamba-130m-hf
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_the_published_ones(name):
    graph = load_model(name)
    graph.check()
    found = counts(graph)
    macs, parameters = PUBLISHED[name]
    assert found.parameters == parameters
    assert graph.name == name
    if macs is not None:
        assert found.macs / 1e6 == pytest.approx(macs, rel=4e-3 if macs < 200 else 5e-4)


@pytest.mark.parametrize("name", [*PUBLISHED, "fcn-resnet50", "deeplabv3-resnet50", "unet", "inception-v2", "r2plus1d-18", "lstm-1x16"])
def test_a_batch_is_so_many_inputs(name):
    """Products and vector work go with the batch, parameters do not, and all tensors between operators hold it in front."""
    one, three = load_model(name, fuse=False), load_model(name, batch=3, fuse=False)
    three.check()
    assert counts(three).macs == 3 * counts(one).macs
    assert counts(three).vector_ops == 3 * counts(one).vector_ops
    assert counts(three).parameters == counts(one).parameters
    assert counts(three).peak_activation_bytes == 3 * counts(one).peak_activation_bytes


def test_auxiliary_classifier_of_inception_v3():
    """A 1x1 convolution 768 to 128 and a 5x5 to 768, each normalized, and 768 to 1000 with bias: what inference leaves out."""
    assert 768 * 128 + 2 * 128 + 128 * 768 * 25 + 2 * 768 + 768 * 1000 + 1000 == 3_326_696


@pytest.mark.parametrize(
    ("build", "macs", "parameters"),
    [(segmentation.fcn_resnet50, 152.717e9, 35_322_218), (segmentation.deeplabv3_resnet50, 178.722e9, 42_004_074)],
)
def test_segmentation_networks_as_torchvision_counts_them(build, macs, parameters):
    """At 520 x 520 and with the auxiliary head, which its figures hold."""
    found = counts(build(size=520, auxiliary=True))
    assert found.parameters == parameters
    assert found.macs == pytest.approx(macs, rel=1e-5)


def test_resolutions_of_published_figures():
    assert counts(segmentation.lraspp_mobilenet_v3_large(size=520)).macs == pytest.approx(2.086e9, rel=5e-4)
    assert counts(video.r2plus1d_18(size=112)).macs == pytest.approx(40.519e9, rel=1e-4)


def light(name: str) -> str:
    import onnx

    return os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data", "light", f"light_{name}.onnx")


@pytest.mark.parametrize(("name", "file"), [("inception-v2", "inception_v2"), ("squeezenet-1.1", "squeezenet")])
def test_every_product_is_that_of_the_released_file(name, file):
    """The same convolutions and products with the same extents, one for one."""

    def products(graph):
        return Counter(tuple(sorted(nest.dims)) for node, _, _ in graph.walk() for nest in node.nests if nest.function == "mac")

    ours, theirs = load_model(name, fuse=False), load_model(light(file), fuse=False)
    # the file's classifier of SqueezeNet is a convolution as well; its Inception ends in a product
    assert products(ours) == products(theirs)


def test_inception_v2_has_two_values_a_channel_less_than_its_file():
    """Caffe stores a scale and a shift behind each normalization that has its own two."""
    ours = load_model("inception-v2", fuse=False)
    channels = sum(ours.tensors[node.outputs[0]].shape[1] for node, _, _ in ours.walk() if node.kind == "conv")
    assert counts(load_model(light("inception_v2"))).parameters - counts(ours).parameters == 2 * channels


@pytest.mark.parametrize(("name", "side", "channels"), [("unet", 388, 2), ("unet-256", 256, 2), ("fcn-resnet50", 224, 21)])
def test_label_maps(name, side, channels):
    graph = load_model(name, batch=2)
    (out,) = graph.outputs
    assert graph.tensors[out].shape == (2, channels, side, side)


def test_unet_as_published():
    """Ronneberger et al. 2015, figure 1: 28 x 28 pixels at the bottom, 64 x 64 cut to 56 x 56, and so on."""
    graph = load_model("unet", fuse=False)
    shapes = {name: tensor.shape[2:] for name, tensor in graph.tensors.items()}
    assert shapes["down4.relu2"] == (28, 28)
    assert [shapes[f"up{level}.join"] for level in (3, 2, 1, 0)] == [(56, 56), (104, 104), (200, 200), (392, 392)]
    assert graph.tensors["up3.join"].shape[1] == 1024
    # two 3x3 convolutions a level, up to 1024 channels and down again, four enlargements, one pointwise; all with bias
    w = (64, 128, 256, 512, 1024)
    down = sum(9 * a * b + b for a, b in zip((1, *w[:4]), w, strict=True)) + sum(9 * b * b + b for b in w)
    up = sum(4 * 2 * b * b + b + 9 * 2 * b * b + b + 9 * b * b + b for b in w[:4])
    assert counts(graph).parameters == down + up + 64 * 2 + 2


def test_dilated_backbone_keeps_its_resolution():
    graph = load_model("deeplabv3-resnet50", fuse=False)
    conv = {node.name: node for node, _, _ in graph.walk() if node.kind == "conv"}
    assert graph.tensors["layer4.2.relu"].shape == (1, 2048, 28, 28)
    steps = {name: [term[1] for axis in conv[name].nests[0].reads[0].axes[2:3] for term in axis.terms] for name in conv}
    assert steps["layer3.0.conv2"] == [1, 1]  # the first block of a stage keeps the dilation of the stage before
    assert steps["layer3.1.conv2"] == [1, 2]
    assert steps["layer4.0.conv2"] == [1, 2]
    assert steps["layer4.1.conv2"] == [1, 4]
    assert steps["classifier.0.convs.3.0"] == [1, 36]


def test_transformer_by_hand():
    """Source and target of 32: projections 4 d^2, 8 d^2 in the decoder; MLP 2 d f; scores and values 2 n^2 d for each attention."""
    n, d, f = 32, 512, 2048
    encoder = n * (4 * d * d + 2 * d * f) + 2 * n * n * d
    decoder = n * (8 * d * d + 2 * d * f) + 4 * n * n * d
    assert counts(load_model("transformer-base", tokens=32)).macs == 6 * (encoder + decoder)
    graph = load_model("transformer-base", tokens=32, fuse=False)
    causal = [node.attributes["causal"] for node, _, _ in graph.walk() if node.kind == "attention"]
    assert causal == [False, True, False]


def test_mamba_by_hand():
    """Per token and layer: projections in and out, of the step and its low-rank half, four taps; the head once."""
    tokens, width, inner, state, rank = 64, 768, 1536, 16, 48
    layer = width * 2 * inner + 4 * inner + inner * (rank + 2 * state) + rank * inner + inner * width
    assert counts(load_model("mamba-130m", tokens=tokens)).macs == tokens * 24 * layer + width * 50_280
    graph = load_model("mamba-130m", tokens=tokens, fuse=False)
    scan = next(node for node, _, _ in graph.walk() if node.kind == "scan")
    assert scan.nests[0].points == tokens * inner * state
    conv = next(node for node, _, _ in graph.walk() if node.kind == "conv")
    seen = conv.nests[0].reads[0].axes[1]
    assert [seen.offset + tap for tap in (0, 3)] == [-3, 0]  # token 0 sees nothing behind itself


def test_lstm_by_hand():
    """The first step has no recurrent product; weights are the same tensors at every step; a cell makes both states."""
    graph = load_model("lstm-2x3", batch=2)
    graph.check()
    assert len(graph.nodes) == 2 * (3 * 3 - 1)
    found = counts(graph)
    assert found.parameters == 2 * 4 * (2 * 1024 * 1024 + 1024)
    assert found.macs == 2 * 2 * 4 * 1024 * 1024 * (3 + 2)
    made = {node.name: node for node, _, _ in graph.walk()}
    assert made["layer1.step2.input"].inputs[:2] == ("layer0.step2.h", "layer1.W")
    assert made["layer1.step2.recurrent"].inputs == ("layer1.step1.h", "layer1.R")
    assert made["layer1.step2.cell"].inputs == ("layer1.step2.recurrent", "layer1.step2.input", "layer1.step1.c")
    assert graph.outputs == ("layer1.step0.h", "layer1.step1.h", "layer1.step2.h")


@pytest.mark.parametrize("name", ["lstm-0x4", "lstm-65x4", "lstm-1x4097", "lstm-1x", "lstm-1x4x4"])
def test_no_such_lstm(name):
    with pytest.raises(CyclewrightError, match="unknown model"):
        load_model(name)


def test_tokens_belong_to_sequences():
    with pytest.raises(CyclewrightError, match="tokens does not apply"):
        load_model("resnet18", tokens=4)
    with pytest.raises(CyclewrightError, match="tokens"):
        load_model("mamba-130m", tokens=0)
    with pytest.raises(CyclewrightError, match="tokens"):
        load_model("transformer-base", tokens=-3)


def test_channel_shuffle_and_split():
    graph = load_model("shufflenet-v2", fuse=False)
    split = next(node for node, _, _ in graph.walk() if node.name == "stage2.1.split")
    assert split.kind == "view"
    assert [graph.tensors[name].shape for name in split.outputs] == [(1, 58, 28, 28)] * 2
    moved = [node for node, _, _ in graph.walk() if node.attributes.get("function") == "transpose"]
    assert len(moved) == 16
    assert all(graph.tensors[node.outputs[0]].values == graph.tensors[node.inputs[0]].values for node in moved)
