"""What users ask of training steps in vain, or half in vain: said, never passed over."""

import pytest

from hwspecs.vocabulary.errors import ArgumentError
from workloads import load_model


@pytest.mark.parametrize("pattern", ["nothing*", "!nothing*", "fc.weigth", "layer1.*,fc.weigth"])
def test_patterns_of_no_weight_are_refused(pattern):
    """Passed over, a slip would train what was to be frozen, or freeze everything."""
    with pytest.raises(ArgumentError, match="no weight of resnet18 is meant by") as caught:
        load_model("resnet18", phase="train", training={"frozen": pattern})
    assert caught.value.where == "frozen"


def test_patterns_reach_weights_inside_repeats():
    step = load_model("deit-ti-16", phase="train", training={"frozen": "!*qkv*"})
    updated = {name for node, _, _ in step.walk() if node.kind == "update" for name in node.inputs}
    assert updated
    assert all("qkv" in name for name in updated)


@pytest.mark.parametrize("model", ["resnet18", "vit-b-16"])
def test_adapted_classifiers_keep_their_loss(model):
    """The logits of an adapted layer are a sum, and a cross-entropy follows as without adapters."""
    step = load_model(model, phase="train", training={"lora": 4})
    assert any(node.name.endswith(".loss") for node, _, _ in step.walk())
    assert not any("no loss is known" in note for note in step.notes)


def test_layers_without_adapters_are_named():
    """ResNet-18: 20 convolutions and one linear layer of 512 to 1000."""
    step = load_model("resnet18", phase="train", training={"lora": 4})
    assert "lora: 20 convolutions have no adapter and are frozen; adapters are beside linear layers" in step.notes


def test_adapters_larger_than_every_layer_are_refused():
    assert load_model("resnet18", phase="train", training={"lora": 511})
    with pytest.raises(ArgumentError, match="rank 512 is not below the width of any layer of resnet18"):
        load_model("resnet18", phase="train", training={"lora": 512})


def test_adapters_as_wide_as_some_layers_are_counted():
    """ViT of 512: four linear layers in each of 6 blocks are wider than 128, the head of 100 classes is not."""
    step = load_model("vit-cifar100", phase="train", training={"lora": 128})
    assert "lora: 1 of 25 adapted layers are no wider than the rank" in step.notes


@pytest.mark.parametrize(("given", "told"), [("2:4", "bdwp-2:4"), ("1:16", "sdgp-1:16"), ("unstructured:0.5", "bdwp-2:8")])
def test_patterns_of_inference_are_answered_with_methods(given, told):
    with pytest.raises(ArgumentError, match="does not say which passes") as caught:
        load_model("resnet18", phase="train", sparsity=given)
    assert told in str(caught.value)


def test_impossible_patterns_are_told_as_such():
    with pytest.raises(ArgumentError, match="keeps 9 of 8"):
        load_model("resnet18", phase="train", sparsity="9:8")


def test_training_chooses_no_token():
    """A note about sampling belongs to generation; training has a loss instead."""
    assert not any("next token" in note for note in load_model("gpt2-small", phase="train").notes)
    assert any("next token" in note for note in load_model("gpt2-small", phase="prefill").notes)


def test_methods_of_training_are_sent_to_training():
    with pytest.raises(ArgumentError, match="is no pattern") as caught:
        load_model("resnet18", sparsity="bdwp-2:8")
    assert "phase train" in str(caught.value)
    assert "write 2:8" in str(caught.value)
