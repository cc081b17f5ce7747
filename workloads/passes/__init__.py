"""Lowering passes: pure functions from a graph to a graph. They go into the bodies of repeats."""

from workloads.passes.decompose import decompose, fold_batchnorm
from workloads.passes.delta import delta
from workloads.passes.fuse import fuse
from workloads.passes.fuse_attention import fuse_attention
from workloads.passes.lora import lora
from workloads.passes.nm_training import nm_training
from workloads.passes.pad import explicit_padding
from workloads.passes.quantize import QuantizationPolicy, parse_policy, quantize
from workloads.passes.reuse import reuse
from workloads.passes.sparsify import sparsify
from workloads.passes.split_attention import split_attention
from workloads.passes.stream import stream
from workloads.passes.tokens import keep_tokens
from workloads.passes.training import training

__all__ = [
    "QuantizationPolicy", "decompose", "delta", "explicit_padding", "fold_batchnorm", "fuse", "fuse_attention", "keep_tokens",
    "lora", "nm_training", "parse_policy", "quantize", "reuse", "sparsify", "split_attention", "stream", "training",
]  # fmt: skip
