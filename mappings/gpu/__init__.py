"""GPUs: kernels of four classes (matrix product, attention prefill and decode, streaming), one after the other."""

from mappings.gpu.mapper import GpuMapper

__all__ = ["GpuMapper"]
