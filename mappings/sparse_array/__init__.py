"""Sparse arrays: unified PEs that multiply dense or N:M sparse operands, outputs or an operand staying in the array.

``machine``: what a spec's array offers, as ways to run a product; ``patterns``: which operand is N:M along the reduction;
``reduction``: making N:M copies of a tensor; ``pregeneration``: making them while an optimizer's results stream by; ``mapper``: the
``SparseArrayMapper``. Folds, tile search and stages are those of ``mappings.systolic``.
"""

from __future__ import annotations

from mappings.sparse_array.mapper import SparseArrayMapper

__all__ = ["SparseArrayMapper"]
