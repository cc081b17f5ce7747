"""Reader of Hugging Face ``config.json`` files: decoder LLMs and BERT.

Each ``model_type`` has one function from the file's fields to a :class:`TransformerConfig`; a type without one is refused by name.
All faults of a file are reported at once, each with ``file:line:col``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path

from hwspecs.vocabulary.errors import CyclewrightError, ErrorList, ModelError, UnsupportedError
from hwspecs.vocabulary.suggest import did_you_mean
from workloads.located_json import read_object, where
from workloads.transformer_config import MoE, TransformerConfig

_DTYPES = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}
_ACTIVATIONS = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu", "relu2": "relu2",
}  # fmt: skip
_UNREASONABLE = 1 << 31


class Fields:
    """The top-level fields of one file; collects faults instead of raising at the first."""

    def __init__(self, path: Path, tree: Mapping[str, object], text: str) -> None:
        self.path = path
        self.tree = tree
        self.text = text
        self.errors: list[CyclewrightError] = []

    def at(self, *keys: str) -> str:
        """Location of a value, or of the object that lacks it."""
        return where(self.path, self.text, keys)

    def fault(self, what: str, *keys: str, hint: str | None = None) -> None:
        """Note a fault at a key path."""
        self.errors.append(ModelError(what, where=self.at(*keys), hint=hint))

    def integer(self, key: str, default: int | None = None, minimum: int = 1) -> int:
        """A whole number of at least ``minimum``; ``null`` counts as absent. A fault yields ``minimum`` so that reading goes on."""
        value = self.tree.get(key)
        if value is None:
            if default is not None:
                return default
            near = get_close_matches(key, self.tree, n=1, cutoff=0.85)
            self.fault(f"the field {key!r} is missing", hint=f"did you mean {near[0]}?" if near else f"add it to {self.path.name}")
        elif isinstance(value, bool) or not isinstance(value, int):
            self.fault(f"{key} is {_show(value)}, not a whole number", key, hint="write it without quotes or fraction")
        elif value < minimum:
            self.fault(f"{key} is {value}", key, hint=f"it must be at least {minimum}")
        elif value >= _UNREASONABLE:
            self.fault(f"{key} is {value}, beyond any model", key, hint=f"it must be below {_UNREASONABLE}")
        else:
            return value
        return max(minimum, 1)

    def flag(self, key: str, default: bool = False) -> bool:
        """true or false."""
        value = self.tree.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fault(f"{key} is {_show(value)}, not true or false", key)
            return default
        return value

    def choice(self, key: str, known: Mapping[str, str], default: str) -> str:
        """One of the known texts, translated."""
        value = self.tree.get(key)
        if value is None:
            return default
        if not isinstance(value, str) or value not in known:
            self.fault(f"{key} is {_show(value)}, which is not known here", key, hint=did_you_mean(str(value), known))
            return default
        return known[value]

    def refuse(self, what: str, *keys: str, hint: str | None = None) -> None:
        """Note something valid that is not supported."""
        self.errors.append(UnsupportedError(what, where=self.at(*keys), hint=hint))


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def read_config(path: str | Path) -> TransformerConfig:
    """Read a ``config.json``, or the one in the folder ``path``.

    Raises:
        ModelError: a missing file, broken JSON, missing or senseless fields; with ``file:line:col``.
        ErrorList: several of these at once.
        UnsupportedError: a model type, wrapper, layer mix or quantization method that is not covered, named.
    """
    given = Path(path)
    file = given / "config.json" if given.is_dir() else given
    if not file.exists():
        hint = "the folder must hold a config.json" if given.is_dir() else "give the path of a config.json or of its folder"
        raise ModelError("no such file", where=str(file), hint=hint)
    tree, text = read_object(file)
    fields = Fields(file, tree, text)
    family = _family(fields)
    config = _READERS[family](fields, file.resolve().parent.name or family)
    if fields.errors:
        faults = sorted(fields.errors, key=_place)
        raise faults[0] if len(faults) == 1 else ErrorList(faults)
    return config()


def model_types() -> tuple[str, ...]:
    """Every ``model_type`` that :func:`read_config` can read."""
    return tuple(_READERS)


def _place(error: CyclewrightError) -> tuple[int, int]:
    line, column = str(error.where).rsplit(":", 2)[1:]
    return int(line), int(column)


def _family(fields: Fields) -> str:
    family = fields.tree.get("model_type")
    for wrapper in ("text_config", "llm_config", "language_config"):
        if isinstance(fields.tree.get(wrapper), dict):
            raise UnsupportedError(
                f"model_type {family!r} wraps a language model in {wrapper!r} (multi-modal)", where=fields.at(wrapper),
                hint=f"save the contents of {wrapper!r} as a config.json of its own and give that",
            )  # fmt: skip
    if family is None:
        raise ModelError("the field 'model_type' is missing", where=fields.at(), hint="known types: " + ", ".join(_READERS))
    if not isinstance(family, str):
        raise ModelError(f"model_type is {_show(family)}, not a text", where=fields.at("model_type"))
    if family not in _READERS:
        raise UnsupportedError(
            f"model_type {family!r} is not supported", where=fields.at("model_type"), hint=did_you_mean(family, _READERS)
        )
    if fields.tree.get("is_encoder_decoder") is True:
        raise UnsupportedError("encoder-decoder models are not supported", where=fields.at("is_encoder_decoder"))
    return family


# What all readers return: the config is built only after the faults of the file are known.
_Ready = Callable[[], TransformerConfig]


def _heads(fields: Fields, default_kv: bool, hidden: int) -> tuple[int, int, int]:
    heads = fields.integer("num_attention_heads")
    kv_heads = fields.integer("num_key_value_heads", heads if default_kv else None)
    if fields.errors:  # relations between faulty fields would only repeat the faults
        return heads, kv_heads, 1
    if heads % kv_heads:
        hint = "the key-value heads must divide the heads"
        fields.fault(f"num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}", "num_key_value_heads", hint=hint)
    head_dim = fields.tree.get("head_dim")
    if head_dim is None and hidden % heads:
        hint = "give head_dim where the heads do not divide the hidden size"
        fields.fault(f"hidden_size {hidden} is not a multiple of num_attention_heads {heads}", "num_attention_heads", hint=hint)
    return heads, kv_heads, fields.integer("head_dim", max(1, hidden // heads))


def _formats(fields: Fields) -> tuple[str, str, bool]:
    """Number format of the model, of its block weights, and whether the head is quantized too."""
    key = "torch_dtype" if fields.tree.get("torch_dtype") is not None else "dtype"
    # transformers loads float32 where the file states no type
    plain = fields.choice(key, _DTYPES, "fp32")
    quantization = fields.tree.get("quantization_config")
    if quantization is None:
        return plain, "", False
    if not isinstance(quantization, dict):
        fields.fault("quantization_config is not an object", "quantization_config")
        return plain, "", False
    method = quantization.get("quant_method")
    if method not in ("gptq", "awq"):
        hint = "gptq and awq are; or leave it out and give --format"
        fields.refuse(f"quantization method {_show(method)} is not supported", "quantization_config", "quant_method", hint=hint)
        return plain, "", False
    bits = quantization.get("bits", quantization.get("w_bit"))
    group = quantization.get("group_size", quantization.get("q_group_size", 128))
    if isinstance(bits, bool) or bits not in (2, 3, 4, 8):
        fields.fault(f"bits is {_show(bits)}", "quantization_config", "bits", hint="2, 3, 4 or 8")
        return plain, "", False
    if isinstance(group, bool) or not isinstance(group, int) or not (group == -1 or group > 0):
        hint = "a number of weights, or -1 for one group per output"
        fields.fault(f"group_size is {_show(group)}", "quantization_config", "group_size", hint=hint)
        return plain, "", False
    return plain, f"int{bits}g{group}", quantization.get("lm_head") is True


def _sliding_window(fields: Fields, layers: int, default: int = 0) -> int:
    """Window of all layers; 0 for none. ``use_sliding_window: false`` (Qwen) switches a stated window off."""
    if "use_sliding_window" in fields.tree and not fields.flag("use_sliding_window"):
        return 0
    if "sliding_window" in fields.tree and fields.tree["sliding_window"] is None:
        return 0
    window = fields.integer("sliding_window", default)
    full = fields.tree.get("max_window_layers")
    if window and isinstance(full, int) and full > 0 and "use_sliding_window" in fields.tree:
        if full >= layers:
            return 0
        fields.refuse("layers with and without a sliding window in one model are not supported", "max_window_layers")
    return window


def _decoder(
    fields: Fields, name: str, family: str, *, default_kv: bool, gated: bool = True, norm: str = "rmsnorm",
    activation: str = "silu", qkv_bias: bool | None = None, qk_norm: bool = False, window: int = 0, moe: MoE | None = None,
) -> _Ready:  # fmt: skip
    """Fields that the Llama-like families share. ``qkv_bias``: fixed by the family, or None to read ``attention_bias``."""
    hidden, layers = fields.integer("hidden_size"), fields.integer("num_hidden_layers")
    heads, kv_heads, head_dim = _heads(fields, default_kv, hidden)
    attention_bias = fields.flag("attention_bias")
    plain, weight_format, quantized_head = _formats(fields)
    intermediate = 0 if moe is not None else fields.integer("intermediate_size")
    act = fields.choice("hidden_act", _ACTIVATIONS, activation)
    vocab, positions = fields.integer("vocab_size"), fields.integer("max_position_embeddings", 0)
    tied, mlp_bias = fields.flag("tie_word_embeddings"), fields.flag("mlp_bias")
    sliding = _sliding_window(fields, layers, window)
    return lambda: TransformerConfig(
        name, family, layers, hidden, heads, kv_heads, head_dim, intermediate, vocab,
        gated=gated, activation=act, norm=norm, qkv_bias=attention_bias if qkv_bias is None else qkv_bias,
        output_bias=attention_bias, mlp_bias=mlp_bias, qk_norm=qk_norm, tied=tied, max_positions=positions,
        sliding_window=sliding, moe=moe, format=plain, weight_format=weight_format, quantized_head=quantized_head,
        citation=f"{name}/config.json",
    )  # fmt: skip


def _moe(fields: Fields, experts_key: str, width_key: str, shared_key: str = "") -> MoE:
    experts, per_token = fields.integer(experts_key), fields.integer("num_experts_per_tok")
    if per_token > experts:
        fields.fault(f"num_experts_per_tok {per_token} is more than {experts_key} {experts}", "num_experts_per_tok")
    if fields.integer("decoder_sparse_step", 1) != 1:
        fields.refuse("dense layers between expert layers are not supported", "decoder_sparse_step")
    if fields.tree.get("mlp_only_layers"):
        fields.refuse("dense layers between expert layers are not supported", "mlp_only_layers")
    width = fields.integer(width_key)
    shared = fields.integer(shared_key, minimum=0) if shared_key else 0
    return MoE(experts, per_token, width, int(shared > 0), shared, shared_gate=shared > 0)


def _llama(fields: Fields, name: str) -> _Ready:
    return _decoder(fields, name, "llama", default_kv=True)


def _mistral(fields: Fields, name: str) -> _Ready:
    # MistralConfig has a window of 4096 where the file does not say
    return _decoder(fields, name, "mistral", default_kv=False, window=4096)


def _mixtral(fields: Fields, name: str) -> _Ready:
    return _decoder(fields, name, "mixtral", default_kv=False, moe=_moe(fields, "num_local_experts", "intermediate_size"))


def _qwen2(fields: Fields, name: str) -> _Ready:
    return _decoder(fields, name, "qwen2", default_kv=False, qkv_bias=True)


def _qwen3(fields: Fields, name: str) -> _Ready:
    return _decoder(fields, name, "qwen3", default_kv=False, qk_norm=True)


def _qwen2_moe(fields: Fields, name: str) -> _Ready:
    moe = _moe(fields, "num_experts", "moe_intermediate_size", "shared_expert_intermediate_size")
    return _decoder(fields, name, "qwen2_moe", default_kv=False, qkv_bias=True, moe=moe)


def _qwen3_moe(fields: Fields, name: str) -> _Ready:
    moe = _moe(fields, "num_experts", "moe_intermediate_size")
    return _decoder(fields, name, "qwen3_moe", default_kv=False, qk_norm=True, moe=moe)


def _nemotron(fields: Fields, name: str) -> _Ready:
    return _decoder(fields, name, "nemotron", default_kv=True, gated=False, norm="layernorm", activation="relu2")


def _gpt2(fields: Fields, name: str) -> _Ready:
    hidden, layers, heads = fields.integer("n_embd"), fields.integer("n_layer"), fields.integer("n_head")
    if not fields.errors and hidden % heads:
        fields.fault(f"n_embd {hidden} is not a multiple of n_head {heads}", "n_head")
    inner = fields.integer("n_inner", 4 * hidden)
    positions = fields.integer("n_positions")
    vocab = fields.integer("vocab_size")
    act = fields.choice("activation_function", _ACTIVATIONS, "gelu_tanh")
    plain, weight_format, quantized_head = _formats(fields)
    tied = fields.flag("tie_word_embeddings", True)
    return lambda: TransformerConfig(
        name, "gpt2", layers, hidden, heads, heads, hidden // heads, inner, vocab,
        gated=False, activation=act, norm="layernorm", qkv_bias=True, output_bias=True, mlp_bias=True, tied=tied,
        positions="learned", max_positions=positions, format=plain, weight_format=weight_format, quantized_head=quantized_head,
        citation=f"{name}/config.json",
    )  # fmt: skip


def _bert(fields: Fields, name: str) -> _Ready:
    hidden, layers = fields.integer("hidden_size"), fields.integer("num_hidden_layers")
    heads, _, head_dim = _heads(fields, True, hidden)
    intermediate, vocab = fields.integer("intermediate_size"), fields.integer("vocab_size")
    act = fields.choice("hidden_act", _ACTIVATIONS, "gelu")
    positions, types = fields.integer("max_position_embeddings"), fields.integer("type_vocab_size", 2, minimum=0)
    if fields.flag("is_decoder"):
        fields.refuse("BERT as a decoder is not supported", "is_decoder")
    plain, weight_format, _ = _formats(fields)
    return lambda: TransformerConfig(
        name, "bert", layers, hidden, heads, heads, head_dim, intermediate, vocab,
        gated=False, activation=act, norm="layernorm", qkv_bias=True, output_bias=True, mlp_bias=True,
        positions="learned", max_positions=positions, encoder=True, pooler=True, type_vocab=types, format=plain,
        weight_format=weight_format, citation=f"{name}/config.json",
    )  # fmt: skip


_READERS: dict[str, Callable[[Fields, str], _Ready]] = {
    "llama": _llama, "mistral": _mistral, "mixtral": _mixtral, "qwen2": _qwen2, "qwen3": _qwen3, "qwen2_moe": _qwen2_moe,
    "qwen3_moe": _qwen3_moe, "gpt2": _gpt2, "bert": _bert, "nemotron": _nemotron,
}  # fmt: skip
