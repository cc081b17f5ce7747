"""Mapping onto SIMD cores with caches (phone and board CPUs)."""

from mappings.simd.mapper import SimdMapper

__all__ = ["SimdMapper"]
