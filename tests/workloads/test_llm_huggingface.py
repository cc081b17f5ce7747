"""Reading ``config.json``: good files of every family, and bad files with located errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwspecs.vocabulary.errors import CyclewrightError, ErrorList, ModelError, UnsupportedError
from workloads import load_model
from workloads.huggingface import model_types, read_config
from workloads.located_json import read_object, where
from workloads.training_counts import macs_by_pass, training_memory
from workloads.transformer_config import TransformerConfig
from workloads.zoo.llm import CONFIGS

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "hidden_act": "silu",
    "max_position_embeddings": 8192, "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "tie_word_embeddings": False,
    "torch_dtype": "bfloat16", "attention_bias": False,
}  # fmt: skip
SHARED = ("layers", "hidden", "heads", "kv_heads", "head_dim", "intermediate", "vocab", "gated", "activation", "norm", "qkv_bias",
          "output_bias", "mlp_bias", "qk_norm", "tied", "positions", "sliding_window", "moe", "encoder", "pooler",
          "type_vocab")  # fmt: skip
FILES: dict[str, dict[str, object]] = {
    "llama-3-8b": LLAMA,
    "mistral-7b": {
        "model_type": "mistral", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "intermediate_size": 14336, "vocab_size": 32000, "hidden_act": "silu", "max_position_embeddings": 32768, "sliding_window": 4096,
    },
    "mixtral-8x7b": {
        "model_type": "mixtral", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "intermediate_size": 14336, "vocab_size": 32000, "hidden_act": "silu", "max_position_embeddings": 32768, "sliding_window": None,
        "num_local_experts": 8, "num_experts_per_tok": 2, "router_aux_loss_coef": 0.02,
    },
    "qwen2-7b": {
        "model_type": "qwen2", "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
        "intermediate_size": 18944, "vocab_size": 152064, "hidden_act": "silu", "max_position_embeddings": 131072,
        "sliding_window": 131072, "use_sliding_window": False, "max_window_layers": 28, "tie_word_embeddings": False,
    },
    "qwen3-8b": {
        "model_type": "qwen3", "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8,
        "head_dim": 128, "intermediate_size": 12288, "vocab_size": 151936, "hidden_act": "silu", "attention_bias": False,
        "sliding_window": None, "use_sliding_window": False, "max_window_layers": 36, "tie_word_embeddings": False,
    },
    "qwen1.5-moe-a2.7b": {
        "model_type": "qwen2_moe", "hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16,
        "intermediate_size": 5632, "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632, "num_experts": 60,
        "num_experts_per_tok": 4, "decoder_sparse_step": 1, "vocab_size": 151936, "hidden_act": "silu", "use_sliding_window": False,
        "sliding_window": 32768, "max_window_layers": 21, "tie_word_embeddings": False,
    },
    "qwen3-30b-a3b": {
        "model_type": "qwen3_moe", "hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4,
        "head_dim": 128, "intermediate_size": 6144, "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8,
        "mlp_only_layers": [], "decoder_sparse_step": 1, "vocab_size": 151936, "hidden_act": "silu", "use_sliding_window": False,
    },
    "gpt2-small": {
        "model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "n_ctx": 1024, "vocab_size": 50257,
        "activation_function": "gelu_new",
    },
    "bert-base": {
        "model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
        "vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2, "hidden_act": "gelu",
    },
    "minitron-8b": {
        "model_type": "nemotron", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 48, "num_key_value_heads": 8,
        "head_dim": 128, "intermediate_size": 16384, "vocab_size": 256000, "hidden_act": "relu2", "partial_rotary_factor": 0.5,
        "torch_dtype": "bfloat16", "attention_bias": False, "mlp_bias": False,
    },
}  # fmt: skip


def write(folder: Path, content: object, name: str = "config.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
    return path


def shape(config: TransformerConfig) -> dict[str, object]:
    return {key: getattr(config, key) for key in SHARED}


@pytest.mark.parametrize("name", FILES)
def test_file_equals_zoo(name: str, tmp_path: Path) -> None:
    """The zoo and the importer were written apart; they agree on every size."""
    assert shape(read_config(write(tmp_path, FILES[name]))) == shape(CONFIGS[name])


@pytest.mark.parametrize("name", FILES)
def test_files_train_as_the_zoo_does(name: str, tmp_path: Path) -> None:
    """The same passes, from a ``config.json``."""
    file = write(tmp_path, FILES[name])
    one, other = (load_model(source, phase="train", tokens=16) for source in (str(file), name))
    one.check()
    assert macs_by_pass(one) == macs_by_pass(other)
    assert training_memory(one) == training_memory(other)


def test_every_family_has_a_file() -> None:
    assert {str(content["model_type"]) for content in FILES.values()} == set(model_types())


def test_folder_is_accepted_and_names_the_model(tmp_path: Path) -> None:
    folder = tmp_path / "My-Llama"
    folder.mkdir()
    write(folder, LLAMA)
    assert read_config(folder).name == "My-Llama"
    assert read_config(folder) == read_config(folder / "config.json")


def test_dtype_and_derived_head_dim(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, {**LLAMA, "num_attention_heads": 64, "torch_dtype": "float16"}))
    assert (config.head_dim, config.format, config.weight_format) == (64, "fp16", "")
    new_key = {key: value for key, value in LLAMA.items() if key != "torch_dtype"}
    assert read_config(write(tmp_path, {**new_key, "dtype": "bfloat16"})).format == "bf16"
    assert read_config(write(tmp_path, new_key)).format == "fp32"


def test_llama_without_kv_heads_has_one_per_head(tmp_path: Path) -> None:
    plain = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
    assert read_config(write(tmp_path, plain)).kv_heads == 32
    assert read_config(write(tmp_path, {**LLAMA, "num_key_value_heads": 1})).kv_heads == 1


@pytest.mark.parametrize(
    ("quantization", "format_name"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False}, "int4g128"),
        ({"quant_method": "gptq", "bits": 3, "group_size": -1}, "int3g-1"),
        ({"quant_method": "awq", "bits": 4, "group_size": 64, "version": "gemm", "zero_point": True}, "int4g64"),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 128}, "int4g128"),
    ],
)
def test_quantization_config(quantization: dict[str, object], format_name: str, tmp_path: Path) -> None:
    config = read_config(write(tmp_path, {**LLAMA, "quantization_config": quantization}))
    assert (config.format, config.weight_format, config.quantized_head) == ("bf16", format_name, False)


def test_quantized_head(tmp_path: Path) -> None:
    quantization = {"quant_method": "gptq", "bits": 4, "group_size": 128, "lm_head": True}
    assert read_config(write(tmp_path, {**LLAMA, "quantization_config": quantization})).quantized_head


def test_attention_and_mlp_bias(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, {**LLAMA, "attention_bias": True, "mlp_bias": True}))
    assert config.qkv_bias
    assert config.output_bias
    assert config.mlp_bias


def without(key: str, base: dict[str, object] | None = None) -> dict[str, object]:
    return {name: value for name, value in (base or LLAMA).items() if name != key}


QWEN_MOE = FILES["qwen1.5-moe-a2.7b"]
GPTQ: dict[str, object] = {"quant_method": "gptq", "bits": 4, "group_size": 128}
BAD: dict[str, tuple[object, type[CyclewrightError], str]] = {
    "missing field": (without("hidden_size"), ModelError, "config.json:1:1: the field 'hidden_size' is missing"),
    "misspelt field": ({**without("hidden_size"), "hiden_size": 4096}, ModelError, "did you mean hiden_size"),
    "text for a number": ({**LLAMA, "hidden_size": "4096"}, ModelError, "config.json:6:18: hidden_size is '4096', not a whole number"),
    "fraction": ({**LLAMA, "hidden_size": 4096.5}, ModelError, "not a whole number"),
    "bool for a number": ({**LLAMA, "num_hidden_layers": True}, ModelError, "num_hidden_layers is True"),
    "negative": ({**LLAMA, "num_hidden_layers": -32}, ModelError, "num_hidden_layers is -32; it must be at least 1"),
    "zero": ({**LLAMA, "vocab_size": 0}, ModelError, "vocab_size is 0"),
    "absurd": ({**LLAMA, "vocab_size": 10**15}, ModelError, "beyond any model"),
    "heads do not share": ({**LLAMA, "num_key_value_heads": 5}, ModelError, "32 is not a multiple of num_key_value_heads 5"),
    "heads do not divide": ({**LLAMA, "num_attention_heads": 24, "num_key_value_heads": 8}, ModelError, "4096 is not a multiple"),
    "unknown activation": ({**LLAMA, "hidden_act": "geluu"}, ModelError, "did you mean gelu"),
    "unknown dtype": ({**LLAMA, "torch_dtype": "bfloat17"}, ModelError, "did you mean bfloat16"),
    "flag is text": ({**LLAMA, "tie_word_embeddings": "no"}, ModelError, "tie_word_embeddings is 'no', not true or false"),
    "no model type": (without("model_type"), ModelError, "'model_type' is missing"),
    "model type is a list": ({**LLAMA, "model_type": ["llama"]}, ModelError, "not a text"),
    "unknown model type": ({**LLAMA, "model_type": "mixtrall"}, UnsupportedError, "'mixtrall' is not supported; did you mean mixtral"),
    "multi-modal wrapper": ({"model_type": "llava", "text_config": LLAMA}, UnsupportedError, "'llava' wraps a language model"),
    "encoder-decoder": ({**LLAMA, "is_encoder_decoder": True}, UnsupportedError, "encoder-decoder"),
    "too many experts": ({**QWEN_MOE, "num_experts_per_tok": 61}, ModelError, "61 is more than num_experts 60"),
    "mixed layers": ({**QWEN_MOE, "decoder_sparse_step": 2}, UnsupportedError, "dense layers between expert layers"),
    "mixed windows": ({**QWEN_MOE, "use_sliding_window": True}, UnsupportedError, "with and without a sliding window"),
    "unknown quantization": ({**LLAMA, "quantization_config": {"quant_method": "hqq"}}, UnsupportedError, "'hqq' is not supported"),
    "quantization bits": ({**LLAMA, "quantization_config": {**GPTQ, "bits": 5}}, ModelError, "bits is 5; 2, 3, 4 or 8"),
    "quantization group": ({**LLAMA, "quantization_config": {**GPTQ, "group_size": 0}}, ModelError, "group_size is 0"),
    "not JSON": ('{"model_type": "llama",}', ModelError, "config.json:1:"),
    "truncated": (json.dumps(LLAMA)[:100], ModelError, "not valid JSON"),
    "empty file": ("", ModelError, "config.json:1:1: not valid JSON"),
    "a list": ("[1, 2]", ModelError, "holds no JSON object"),
    "key twice": ('{\n  "model_type": "llama",\n  "hidden_size": 1,\n  "hidden_size": 2\n}', ModelError, "4:18: the key"),
    "NaN": ({**LLAMA, "hidden_size": float("nan")}, ModelError, "hidden_size is nan, not a whole"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_file(name: str, tmp_path: Path) -> None:
    content, kind, message = BAD[name]
    path = write(tmp_path, content)
    with pytest.raises(kind) as caught:
        read_config(path)
    assert message in str(caught.value)
    assert caught.value.where is not None
    assert caught.value.where.startswith(str(path))


def test_all_faults_at_once_in_file_positions(tmp_path: Path) -> None:
    path = write(tmp_path, {**LLAMA, "hidden_size": "x", "vocab_size": -1, "hidden_act": 3})
    with pytest.raises(ErrorList) as caught:
        read_config(path)
    assert len(caught.value.errors) == 3
    assert [error.where for error in caught.value.errors] == [f"{path}:6:18", f"{path}:11:17", f"{path}:12:17"]


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        read_config(tmp_path / "none.json")
    with pytest.raises(ModelError, match="the folder must hold"):
        read_config(tmp_path)


def test_binary_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ModelError, match="not UTF-8"):
        read_config(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**40) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=6,
)  # fmt: skip


@given(family=st.sampled_from(sorted(FILES)), data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_value_in_any_field_is_read_or_refused(family: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = dict(FILES[family])
    for key in data.draw(st.lists(st.sampled_from(sorted([*content, "quantization_config", "head_dim"])), max_size=3)):
        content[key] = data.draw(JSON)
    path = write(tmp_path_factory.mktemp("fuzz"), content)
    try:
        assert isinstance(read_config(path), TransformerConfig)
    except CyclewrightError as error:
        message = str(error)
    else:
        return
    assert str(path) in message


@given(tree=st.dictionaries(st.text(max_size=6), JSON, min_size=1, max_size=5), indent=st.sampled_from([None, 1, 4]), data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_located_value_starts_there(
    tree: dict[str, object], indent: int | None, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("place"), json.dumps(tree, indent=indent))
    again, text = read_object(path)
    assert again == tree
    key = data.draw(st.sampled_from(sorted(tree)))
    line, column = (int(part) for part in where(path, text, (key,)).rsplit(":", 2)[1:])
    rest = "\n".join([text.split("\n")[line - 1][column - 1 :], *text.split("\n")[line:]])
    assert json.JSONDecoder().raw_decode(rest)[0] == tree[key]


def test_quantized_file_keeps_its_weights_under_a_default_format(tmp_path: Path) -> None:
    """A device's default format must not undo the quantization that the file states; an explicit one may."""
    path = write(tmp_path, {**LLAMA, "num_hidden_layers": 2, "quantization_config": GPTQ})

    def stored(**formats: str) -> set[str]:
        graph = load_model(str(path), phase="decode", context=16, **formats)  # type: ignore[arg-type]
        return {holder.tensors["qkv.weight"].format.name for operator, holder, _ in graph.walk() if operator.name == "qkv"}

    assert stored(default_format="bf16") == stored() == {"int4g128"}
    assert stored(format="bf16") == {"bf16"}
