"""Which mapper serves which kind of compute unit.

A mapper registers under the ``kind`` that a spec's unit names: the built-in ones here, others by an entry point of the group
``cyclewright.mappers`` (``my-kind = "my_package:MyMapper"``) or, within one process, by ``register_mapper``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, runtime_checkable

from hwspecs.hardware import ComputeUnit, Hardware
from hwspecs.vocabulary.errors import ArgumentError, UnsupportedError
from mappings.dataflow import MappedOperator
from workloads.graph import Operator, Tensor

MAPPER_GROUP = "cyclewright.mappers"

_BUILT_IN = {"gpu": "mappings.gpu:GpuMapper", "systolic": "mappings.systolic:SystolicMapper", "vector": "mappings.vector:VectorMapper"}
"""Named here as well as in the package's entry points, so that a checkout that is not installed works too."""


@dataclass(frozen=True, slots=True)
class Unmappable:
    """A mapper's answer that its unit cannot run an operator; ``reason`` completes "the unit cannot run it: ..."."""

    reason: str


@runtime_checkable
class Mapper(Protocol):
    """What serves one kind of compute unit.

    ``map_graph`` makes one instance per run, so an instance may remember what it has searched; nothing may outlive it.
    """

    def map(self, operator: Operator, tensors: Mapping[str, Tensor], unit: ComputeUnit, hardware: Hardware) -> MappedOperator | Unmappable:
        """Ways to run ``operator`` on ``unit``.

        Args:
            operator: has at least one loop nest with at least one point.
            tensors: every tensor that crosses the operator's border; internal ones are in ``operator.internal``.
            unit: a unit of the kind that the mapper is registered for.
            hardware: the whole device: memories, clock (all cycles count ``hardware.clock_hz``), other units.

        Returns:
            At least one alternative, best estimate first; or ``Unmappable`` to hand the operator to ``unit.fallback``.
            Empty ``reads`` and ``writes`` are filled in with the compulsory bytes.
        """
        ...


_registered: dict[str, Callable[[], Mapper]] = {}


def register_mapper(kind: str, factory: Callable[[], Mapper]) -> None:
    """Let ``factory()`` serve units of ``kind`` in this process.

    Raises:
        ArgumentError: a built-in mapper serves the kind.
    """
    if kind in _BUILT_IN:
        raise ArgumentError(f"the built-in mapper of kind {kind!r} cannot be replaced", hint="give the unit in your spec a kind of its own")
    _registered[kind] = factory


@cache
def _plug_ins() -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=MAPPER_GROUP) if point.name not in _BUILT_IN}


def mapper_kinds() -> tuple[str, ...]:
    """Kinds of compute units that can be served here, sorted."""
    return tuple(sorted({*_BUILT_IN, *_registered, *_plug_ins()}))


def find_mapper(kind: str) -> Mapper | None:
    """A new instance of the mapper that serves ``kind``; None if nothing does.

    Raises:
        UnsupportedError: a plug-in is registered for the kind but cannot be loaded.
    """
    if kind in _BUILT_IN:
        module, _, name = _BUILT_IN[kind].partition(":")
        mapper: Mapper = getattr(import_module(module), name)()
        return mapper
    if kind in _registered:
        return _registered[kind]()
    point = _plug_ins().get(kind)
    if point is None:
        return None
    try:
        loaded: Mapper = point.load()()
    except (ImportError, AttributeError, TypeError) as error:
        raise UnsupportedError(
            f"the mapper plug-in {point.value!r} of kind {kind!r} cannot be loaded: {error}",
            where=f"entry point {MAPPER_GROUP}",
            hint="reinstall or remove the package that registers it",
        ) from error
    return loaded
