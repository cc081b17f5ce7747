"""The shape of a transformer, as its ``config.json`` states it: what the graph builders need and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from hwspecs.vocabulary.errors import ModelError

ACTIVATIONS = ("silu", "gelu", "gelu_tanh", "relu", "relu2")
NORMS = ("rmsnorm", "layernorm")
POSITIONS = ("rope", "learned", "none")


@dataclass(frozen=True, slots=True)
class MoE:
    """The expert part of a mixture-of-experts layer.

    Attributes:
        experts: routed experts of one layer.
        per_token: routed experts that one token visits.
        width: intermediate width of one routed expert.
        shared: experts that every token visits, each ``shared_width`` wide.
        shared_width: intermediate width of one shared expert.
        shared_gate: a linear of width 1 scales the shared expert's output (Qwen2-MoE).
        router: ``topk`` (the k best of all), or ``grouped:G`` (the k / G best in each of G groups, Pangu Pro MoE).
    """

    experts: int
    per_token: int
    width: int
    shared: int = 0
    shared_width: int = 0
    shared_gate: bool = False
    router: str = "topk"


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """One transformer: a decoder (LLM) or an encoder.

    Attributes:
        name: the model's name, for reports.
        family: the ``model_type`` of its ``config.json`` (``llama``, ``mixtral``, ``gpt2``, ``bert``, ...).
        layers, hidden, heads, kv_heads, head_dim, intermediate, vocab: sizes; ``intermediate`` is unused where ``moe`` is set.
        gated: the MLP has a gate and an up projection (SwiGLU); otherwise one up projection.
        activation: ``silu``, ``gelu``, ``gelu_tanh``, ``relu`` or ``relu2`` (squared ReLU).
        norm: ``rmsnorm`` (a weight) or ``layernorm`` (a weight and a bias).
        qkv_bias, output_bias, mlp_bias: which projections have a bias.
        qk_norm: query and key heads are normed each with a weight of ``head_dim`` values (Qwen3).
        tied: the head is the embedding table, stored and counted once.
        positions: ``rope``, ``learned`` (a table of ``max_positions`` rows) or ``none``.
        max_positions: longest context that the model was made for; 0 when not stated.
        parallel: attention and MLP read the same normed input (GPT-J style); False: one after the other.
        sliding_window: a query attends to at most this many positions; 0 means no window.
        moe: the experts, or None for a dense MLP.
        encoder: no causal mask, no cache, no head; a pooler where ``pooler`` is set.
        type_vocab: rows of the token-type table (BERT); 0 for none.
        format: number format of weights, activations and cache (``bf16``).
        weight_format: number format of the linear layers of the blocks where a ``quantization_config`` says so; "" means ``format``.
            A group size of -1 in the file (one group per output) is written ``int4g-1`` and resolved for each layer.
        quantized_head: the ``weight_format`` holds for the head too.
        citation: where the sizes come from.
    """

    name: str
    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    gated: bool = True
    activation: str = "silu"
    norm: str = "rmsnorm"
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    tied: bool = False
    positions: str = "rope"
    max_positions: int = 0
    parallel: bool = False
    sliding_window: int = 0
    moe: MoE | None = None
    encoder: bool = False
    pooler: bool = False
    type_vocab: int = 0
    format: str = "bf16"
    weight_format: str = ""
    quantized_head: bool = False
    citation: str = ""

    def __post_init__(self) -> None:
        for key in ("layers", "hidden", "heads", "kv_heads", "head_dim", "vocab"):
            if getattr(self, key) < 1:
                raise ModelError(f"{key} is {getattr(self, key)}", where=self.name, hint="it must be at least 1")
        if self.moe is None and self.intermediate < 1:
            raise ModelError(f"intermediate is {self.intermediate}", where=self.name, hint="a dense MLP needs a width of at least 1")
        if self.heads % self.kv_heads:
            raise ModelError(f"{self.heads} heads cannot share {self.kv_heads} key-value heads evenly", where=self.name)
        for key, known in (("activation", ACTIVATIONS), ("norm", NORMS), ("positions", POSITIONS)):
            if getattr(self, key) not in known:
                raise ModelError(f"{key} is {getattr(self, key)!r}", where=self.name, hint="known: " + ", ".join(known))
        if self.moe is not None and not 0 < self.moe.per_token <= self.moe.experts:
            raise ModelError(f"a token visits {self.moe.per_token} of {self.moe.experts} experts", where=self.name)

    @property
    def query_width(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all key heads together (the values have the same)."""
        return self.kv_heads * self.head_dim

    @property
    def qkv_width(self) -> int:
        """Width of the fused query, key and value projection."""
        return self.query_width + 2 * self.kv_width
