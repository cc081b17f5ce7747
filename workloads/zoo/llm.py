"""Transformers of the zoo, by name: sizes as their ``config.json`` (or the paper, where no file is public) states them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from workloads.transformer_config import MoE, TransformerConfig


def _llama2(name: str, layers: int, hidden: int, heads: int, kv_heads: int, intermediate: int) -> TransformerConfig:
    return TransformerConfig(
        name, "llama", layers, hidden, heads, kv_heads, hidden // heads, intermediate, 32000,
        max_positions=4096, format="fp16", citation=f"config.json of meta-llama/{name.title()}-hf",
    )  # fmt: skip


def _llama3(name: str, layers: int, hidden: int, heads: int, intermediate: int, released_as: str) -> TransformerConfig:
    return TransformerConfig(
        name, "llama", layers, hidden, heads, 8, hidden // heads, intermediate, 128256,
        max_positions=8192, citation=f"config.json of meta-llama/{released_as}",
    )  # fmt: skip


def _gpt2(name: str, layers: int, hidden: int, heads: int, released_as: str) -> TransformerConfig:
    return TransformerConfig(
        name, "gpt2", layers, hidden, heads, heads, hidden // heads, 4 * hidden, 50257,
        gated=False, activation="gelu_tanh", norm="layernorm", qkv_bias=True, output_bias=True, mlp_bias=True, tied=True,
        positions="learned", max_positions=1024, format="fp32", citation=f"config.json of openai-community/{released_as}",
    )  # fmt: skip


def _nemotron(name: str, hidden: int, heads: int, intermediate: int, citation: str) -> TransformerConfig:
    return TransformerConfig(
        name, "nemotron", 32, hidden, heads, 8, 128, intermediate, 256000,
        gated=False, activation="relu2", norm="layernorm", max_positions=4096, citation=citation,
    )  # fmt: skip


def _opt(name: str, layers: int, hidden: int, heads: int) -> TransformerConfig:
    # positions count from 2, so the table has two rows more than the 2048 positions
    return TransformerConfig(
        name, "opt", layers, hidden, heads, heads, hidden // heads, 4 * hidden, 50272,
        gated=False, activation="relu", norm="layernorm", qkv_bias=True, output_bias=True, mlp_bias=True, tied=True,
        positions="learned", max_positions=2050, format="fp16", citation=f"config.json of facebook/{name}",
    )  # fmt: skip


def _qwen2(
    name: str, layers: int, hidden: int, heads: int, kv_heads: int, intermediate: int, vocab: int, tied: bool = False
) -> TransformerConfig:
    return TransformerConfig(
        name, "qwen2", layers, hidden, heads, kv_heads, hidden // heads, intermediate, vocab,
        qkv_bias=True, tied=tied, max_positions=32768, citation=f"config.json of Qwen/{name.title()}",
    )  # fmt: skip


def _qwen3(name: str, layers: int, hidden: int, heads: int, kv_heads: int, intermediate: int, tied: bool = False) -> TransformerConfig:
    return TransformerConfig(
        name, "qwen3", layers, hidden, heads, kv_heads, 128, intermediate, 151936,
        qk_norm=True, tied=tied, max_positions=40960, citation=f"config.json of Qwen/{name.title()}",
    )  # fmt: skip


_ALL = (
    TransformerConfig(
        "bert-base", "bert", 12, 768, 12, 12, 64, 3072, 30522,
        gated=False, activation="gelu", norm="layernorm", qkv_bias=True, output_bias=True, mlp_bias=True,
        positions="learned", max_positions=512, encoder=True, pooler=True, type_vocab=2, format="fp32",
        citation="config.json of google-bert/bert-base-uncased",
    ),
    _gpt2("gpt2-small", 12, 768, 12, "gpt2"),
    _gpt2("gpt2-medium", 24, 1024, 16, "gpt2-medium"),
    _gpt2("gpt2-large", 36, 1280, 20, "gpt2-large"),
    _gpt2("gpt2-xl", 48, 1600, 25, "gpt2-xl"),
    _llama2("llama-2-7b", 32, 4096, 32, 32, 11008),
    _llama2("llama-2-13b", 40, 5120, 40, 40, 13824),
    _llama2("llama-2-70b", 80, 8192, 64, 8, 28672),
    _llama3("llama-3-8b", 32, 4096, 32, 14336, "Meta-Llama-3-8B"),
    _llama3("llama-3-70b", 80, 8192, 64, 28672, "Meta-Llama-3-70B"),
    TransformerConfig(
        "mistral-7b", "mistral", 32, 4096, 32, 8, 128, 14336, 32000,
        max_positions=32768, sliding_window=4096, citation="config.json of mistralai/Mistral-7B-v0.1",
    ),
    TransformerConfig(
        "mistral-large-123b", "mistral", 88, 12288, 96, 8, 128, 28672, 32768,
        max_positions=131072, citation="config.json of mistralai/Mistral-Large-Instruct-2407",
    ),
    TransformerConfig(
        "mixtral-8x7b", "mixtral", 32, 4096, 32, 8, 128, 0, 32000,
        max_positions=32768, moe=MoE(8, 2, 14336), citation="config.json of mistralai/Mixtral-8x7B-v0.1",
    ),
    _nemotron("minitron-4b", 3072, 24, 9216, "config.json of nvidia/Minitron-4B-Base"),
    _nemotron("minitron-8b", 4096, 48, 16384, "config.json of nvidia/Minitron-8B-Base"),
    _nemotron("nemotron-4-15b", 6144, 48, 24576, "defaults of NemotronConfig in transformers: Nemotron-4 15B, the parent of Minitron"),
    _opt("opt-6.7b", 32, 4096, 32),
    _opt("opt-13b", 40, 5120, 40),
    TransformerConfig(
        "pangu-pro-moe", "pangu_pro_moe", 48, 5120, 40, 8, 128, 0, 153376,
        max_positions=32768, moe=MoE(64, 8, 1344, shared=4, shared_width=1344, router="grouped:8"),
        citation="Pangu Pro MoE, arXiv 2505.21411, Table 1",
    ),
    _qwen2("qwen2-0.5b", 24, 896, 14, 2, 4864, 151936, tied=True),
    _qwen2("qwen2-1.5b", 28, 1536, 12, 2, 8960, 151936, tied=True),
    _qwen2("qwen2-7b", 28, 3584, 28, 4, 18944, 152064),
    _qwen2("qwen2-72b", 80, 8192, 64, 8, 29568, 152064),
    _qwen2("qwen2.5-7b", 28, 3584, 28, 4, 18944, 152064),
    _qwen2("qwen2.5-32b", 64, 5120, 40, 8, 27648, 152064),
    _qwen3("qwen3-0.6b", 28, 1024, 16, 8, 3072, tied=True),
    _qwen3("qwen3-8b", 36, 4096, 32, 8, 12288),
    _qwen3("qwen3-32b", 64, 5120, 64, 8, 25600),
    TransformerConfig(
        "qwen1.5-moe-a2.7b", "qwen2_moe", 24, 2048, 16, 16, 128, 0, 151936,
        qkv_bias=True, max_positions=8192, moe=MoE(60, 4, 1408, shared=1, shared_width=5632, shared_gate=True),
        citation="config.json of Qwen/Qwen1.5-MoE-A2.7B",
    ),
    TransformerConfig(
        "qwen3-30b-a3b", "qwen3_moe", 48, 2048, 32, 4, 128, 0, 151936,
        qk_norm=True, max_positions=40960, moe=MoE(128, 8, 768), citation="config.json of Qwen/Qwen3-30B-A3B",
    ),
)  # fmt: skip

CONFIGS: Mapping[str, TransformerConfig] = MappingProxyType({config.name: config for config in _ALL})
"""Name to config, every transformer of the zoo."""
