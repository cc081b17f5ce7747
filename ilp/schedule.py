"""The schedule: which alternative each operator takes, in what order, what stays on chip and where.

Made by a scheduler (``ilp.trivial`` or an exact one), accepted by ``ilp.replay`` before anyone uses it, played by the simulator.
"""

from __future__ import annotations

from hwspecs.vocabulary.records import dataclass


@dataclass(frozen=True, slots=True)
class Residency:
    """A tensor that stays in the on-chip memory from the end of step ``first`` to the end of step ``last``.

    Steps count the operators of one block in schedule order. ``first`` = -1: resident when the block's round begins
    (carried from the round before); ``last`` = number of operators: stays for the next round.

    Attributes:
        address, bytes: place in the on-chip memory.
    """

    tensor: str
    first: int
    last: int
    address: int
    bytes: int


@dataclass(frozen=True, slots=True)
class BlockSchedule:
    """The plan of one mapped block.

    Attributes:
        order: indices into ``MappedBlock.operators``, in the order they run.
        alternatives: per operator (indexed as in the block) the index of the chosen alternative.
        residencies: what stays on chip between operators.
        kept_reads: (operator index, tensor) whose off-chip loads do not happen because the tensor is on chip.
        kept_writes: (operator index, tensor) whose off-chip stores do not happen because nobody needs the copy.
        kept_parts: (operator index, tensor, bytes): so many bytes of a load less, because an operator of the block that wrote this part of
            the tensor in place left it on chip (a residency of the part).
    """

    order: tuple[int, ...]
    alternatives: tuple[int, ...]
    residencies: tuple[Residency, ...]
    kept_reads: frozenset[tuple[int, str]]
    kept_writes: frozenset[tuple[int, str]]
    kept_parts: frozenset[tuple[int, str, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Schedule:
    """The plan of a mapped graph.

    Attributes:
        blocks: one plan per mapped block.
        capacity_bytes: on-chip bytes that the plan may use.
        method: which scheduler made it (``trivial``).
        extra_bytes: off-chip bytes beyond the compulsory ones; ``lower_bound_bytes``: best proven bound of them.
        proven: True if ``extra_bytes`` is proven minimal.
    """

    blocks: tuple[BlockSchedule, ...]
    capacity_bytes: int
    method: str
    extra_bytes: int
    lower_bound_bytes: int
    proven: bool
