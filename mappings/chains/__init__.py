"""Layer fusion: consecutive operators of a block worked on tile by tile, depth first, so that what passes between them stays on chip.

``layers``: how the rows of an operator's operands follow from those of its output; ``tiling``: which rows each tile makes, loads and keeps;
``work``: what a layer costs on its unit; ``weighing``: working set and off-chip bytes of a cut; ``graph``: the dataflow graph;
``finding``: the chains of a block and the cuts that are worth playing.
"""

from __future__ import annotations

from mappings.chains.finding import chains

__all__ = ["chains"]
