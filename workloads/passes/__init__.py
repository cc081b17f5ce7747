"""Lowering passes: pure functions from a graph to a graph. They go into the bodies of repeats."""

from workloads.passes.decompose import decompose, fold_batchnorm
from workloads.passes.fuse import fuse
from workloads.passes.fuse_attention import fuse_attention
from workloads.passes.quantize import QuantizationPolicy, parse_policy, quantize
from workloads.passes.sparsify import sparsify

__all__ = ["QuantizationPolicy", "decompose", "fold_batchnorm", "fuse", "fuse_attention", "parse_policy", "quantize", "sparsify"]
