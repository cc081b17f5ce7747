"""Compulsory traffic: each operand of an operator moved once, the least that any mapping can move with all operands off chip."""

from __future__ import annotations

from collections.abc import Mapping

from workloads.graph import Operator, Tensor


def compulsory_reads(operator: Operator, tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Input tensor to the bytes that must be read: ``Operator.read_bytes`` where it says so, else all stored bytes.

    An input that no nest reads (the cache that an append extends in place) costs nothing unless ``read_bytes`` lists it.
    An operator without nests reads all its inputs, except one whose storage an output takes over.
    """
    if operator.nests:
        used = {operand.tensor for nest in operator.nests for operand in nest.reads}
    else:
        taken = {tensors[name].alias_of for name in operator.outputs}
        used = {name for name in operator.inputs if name not in taken}
    reads: dict[str, int] = {}
    for name in operator.inputs:
        size = operator.read_bytes.get(name, tensors[name].stored_bytes if name in used else 0)
        if size > 0:
            reads[name] = size
    return reads


def compulsory_writes(operator: Operator, tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Output tensor to the bytes that must be written: the new region of an alias, all stored bytes of any other tensor."""
    writes: dict[str, int] = {}
    for name in operator.outputs:
        tensor = tensors[name]
        size = tensor.region_bytes if tensor.alias_of is not None and tensor.region_bytes > 0 else tensor.stored_bytes
        if size > 0:
            writes[name] = size
    return writes
