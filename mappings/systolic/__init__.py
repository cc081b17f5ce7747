"""Systolic arrays: output-, weight- and input-stationary, with a double-buffered scratchpad.

``folds``: cycles and scratchpad accesses of one product; ``splits`` and ``tiles``: the tile search; ``stages``: the dataflow graph;
``attention``: two products with a softmax between them; ``mapper``: the ``SystolicMapper``.
"""

from __future__ import annotations

from mappings.systolic.mapper import SystolicMapper

__all__ = ["SystolicMapper"]
